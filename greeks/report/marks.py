"""Temporary files and folders of ours: names that nobody else gives, and what a killed run left under such names."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

__all__ = ["clean", "fresh", "is_ours", "lives", "locked", "purpose", "temporary_file", "temporary_folder", "writer"]

_MARK = ".scoregreeks-tmp-"
_NAME = re.compile(re.escape(_MARK) + r"([a-z]+)-([0-9]{1,10})-([0-9a-f]{32})")


def fresh(purpose: str) -> str:
    """A new name: our mark, a purpose (lower-case letters), this process and 128 random bits."""
    return f"{_MARK}{purpose}-{os.getpid()}-{secrets.token_hex(16)}"


def is_ours(name: str) -> bool:
    """Whether a name carries the full mark."""
    return _NAME.fullmatch(name) is not None


def purpose(name: str) -> str:
    """What a marked name is for; empty for any other name."""
    found = _NAME.fullmatch(name)
    return found[1] if found else ""


def writer(name: str) -> int:
    """The process that gave a marked name."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError(name)
    return int(found[2])


@contextlib.contextmanager
def temporary_folder(parent: Path, purpose: str) -> Iterator[Path]:
    """A new marked folder, locked while the block runs and removed at its end (where it is still there)."""
    for _ in range(_TRIES):
        path = parent / fresh(purpose)
        with contextlib.ExitStack() as stack:
            try:
                path.mkdir(parents=True)
                ours = stack.enter_context(locked(path))
            except FileNotFoundError:  # another run removed the folder above it or, by `clean`, this one
                continue
            if ours is False or not path.is_dir():
                continue
            try:
                yield path
            finally:
                shutil.rmtree(path, ignore_errors=True)
        return
    raise OSError(f"cannot keep a temporary folder in {parent}")


@contextlib.contextmanager
def temporary_file(parent: Path) -> Iterator[Path]:
    """A new, empty, marked file, locked while the block runs and removed at its end (where it is still there)."""
    for _ in range(_TRIES):
        path = parent / fresh("file")
        path.open("x").close()
        with contextlib.ExitStack() as stack:
            try:
                ours = stack.enter_context(locked(path))
            except FileNotFoundError:
                continue
            if ours is False or not path.is_file():
                continue
            try:
                yield path
            finally:
                path.unlink(missing_ok=True)
        return
    raise OSError(f"cannot keep a temporary file in {parent}")


_TRIES = 100


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool | None]:
    """Hold a lock on a file or a folder, which ends with this process at the latest.

    True where it is held, False where another process holds it, None where the system has no such locks.
    """
    try:
        import fcntl
    except ImportError:
        yield None
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held: bool | None = True
        except BlockingIOError:
            held = False
        except OSError:
            held = None
        yield held
    finally:
        os.close(descriptor)


def clean(parent: Path, *, mine: bool = False) -> None:
    """Remove the marked files and folders in ``parent`` whose process is gone; nothing else, and no error where that fails.

    A process is gone where its lock is free, or, where there are no locks, where no process has its number.

    Parameters
    ----------
    parent : path
    mine : bool
        Whether to remove those of this process, too.
    """
    with contextlib.suppress(OSError):
        for path in [path for path in parent.iterdir() if is_ours(path.name)]:
            with contextlib.suppress(OSError):
                _clean(path, mine and writer(path.name) == os.getpid())


def _clean(path: Path, mine: bool) -> None:
    kind = path.lstat().st_mode
    if stat.S_ISLNK(kind):
        if mine or not lives(writer(path.name)):
            path.unlink()
    elif stat.S_ISDIR(kind) or stat.S_ISREG(kind):
        with locked(path) as free:
            if mine or free or (free is None and not lives(writer(path.name))):
                if stat.S_ISDIR(kind):
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


def lives(process: int) -> bool:
    """Whether a process of this number, other than ours, is there (on Windows: whether one may be)."""
    if process == os.getpid():
        return False
    if os.name == "nt":  # where signal 0 would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
