"""Who can have written what lies in a folder: asked before anything from there is run as code."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

__all__ = ["make", "others_can_write", "untrusted"]

_MOST_LINKS = 40
"""Symbolic links followed in one path, as many as Linux follows."""


def untrusted(folder: Path) -> str | None:
    """Why someone else can have put files into ``folder``; None where only this user and the superuser can.

    The folder and every folder above it must belong to this user or to the superuser, and so must every symbolic link on the way,
    whose targets are examined alike. None of them may be writable by others. Above the folder itself a sticky one may be, such as
    ``/tmp``: there nobody can rename or replace what belongs to someone else. What does not exist yet is no fault: this user
    makes it. On Windows, where the folders of a user's profile are closed to others by their access lists, nothing is examined.

    Parameters
    ----------
    folder : Path
        It need not exist.

    Returns
    -------
    str or None
        A clause that names the folder or link at fault and what is wrong with it.
    """
    if sys.platform == "win32":
        return None
    path = folder.absolute()
    here, pending = Path(path.anchor), list(reversed(path.parts[1:]))
    links = 0
    while pending:
        if (fault := _fault(here, here.lstat(), last=False)) is not None:
            return fault
        part = pending.pop()
        here = here.parent if part == ".." else here / part
        try:
            info = here.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return f"{here} cannot be examined ({error.strerror})"
        if not stat.S_ISLNK(info.st_mode):
            continue
        links += 1
        if links > _MOST_LINKS:
            return f"{here} is one of too many symbolic links"
        if not _ours(info):
            return f"{here} is a symbolic link that belongs to the user with the number {info.st_uid}"
        target = here.readlink()
        here = Path(target.anchor) if target.is_absolute() else here.parent
        pending.extend(reversed(target.parts[1:] if target.is_absolute() else target.parts))
    return _fault(here, here.lstat(), last=True)


def others_can_write(info: os.stat_result) -> bool:
    """Whether someone besides the owner may write, by the mode of a file or folder.

    A group that holds nobody but this user, as many systems make one for each user, is not somebody else.
    """
    if info.st_mode & stat.S_IWOTH:
        return True
    return bool(info.st_mode & stat.S_IWGRP) and not _private(info.st_gid)


def make(folder: Path, mode: int) -> None:
    """Make a folder and those above it that are missing, each with ``mode``, whatever the process's mask allows."""
    missing = []
    for path in (folder, *folder.parents):
        if path.exists():
            break
        missing.append(path)
    for path in reversed(missing):
        path.mkdir(mode=mode, exist_ok=True)


def _fault(folder: Path, info: os.stat_result, *, last: bool) -> str | None:
    if not _ours(info):
        return f"{folder} belongs to the user with the number {info.st_uid}"
    sticky = bool(info.st_mode & stat.S_ISVTX)
    if others_can_write(info) and (last or not sticky):
        return f"{folder} can be written by others"
    return None


def _ours(info: os.stat_result) -> bool:
    return info.st_uid in (0, os.getuid())


def _private(gid: int) -> bool:
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(os.getuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    return user.pw_gid == gid and user.pw_name == group.gr_name and set(group.gr_mem) <= {user.pw_name}
