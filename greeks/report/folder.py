"""A folder in which a report takes the place of another as a whole or not at all, and in which nothing else is touched.

A report's files are plain files of the folder, and the folder itself is never renamed: it may be a mount point, the current folder, or
hold a ``.git``. A new report is written into a marked folder inside it. Then, all under a lock on the folder:

1. Each file of the old report is kept in a second marked folder (as a hard link, or a copy), a symbolic link of a marked name is
   made to that folder, and each file's name becomes a link through it. The contents of the names stay the same.
2. The marked link is replaced by one to the new report's folder. That is one step of the file system, and the moment at which all
   names get their new contents.
3. Each file of the new report is put at its name (as a hard link, or a copy), in the place of the link. The contents of the names stay
   the same. What the links showed is removed a moment later (`_GRACE`), when no reader is on its way through them any more.

A reader that opens one name always finds it, and one report's file behind it, whole. One that opens several finds them of one report or,
where the switch came in between, of two: the digests in the manifest tell, and to read again is the way out.

A process may be killed at any moment: every name shows the old report, or every name shows the new one, and the next run
(`prepare`) finishes 3 or undoes 1. Where the file system has no symbolic links, the files are moved one by one, the manifest last; a
kill in between leaves new files under the old manifest, whose digests tell so, and the next run moves the rest.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from greeks.report import manifest, marks
from greeks.report.stopping import uninterrupted
from pricers.errors import InvalidInput

__all__ = ["missing", "prepare", "replaced", "tidy"]

_FIELD = "output folder"
_OF_THE_SYSTEM = ("lost+found",)
_LONGEST_FILE = "crosscheck.parquet"
_GRACE = 0.25
"""Seconds that a reader may take from a link to the file that it shows: microseconds, or longer where others have the processor."""
_PATIENCE = 20.0
"""Seconds that another process may take to put its report in place (milliseconds are usual)."""


@contextlib.contextmanager
def replaced(out: Path) -> Iterator[Path]:
    """A new folder to write into, whose files take the place of the report in ``out`` at the end of the block.

    Raises
    ------
    InvalidInput
        Where ``out`` holds anything but a report, or cannot be written.
    """
    out = prepare(out)
    made = missing(out)
    try:
        _make(made)
        with marks.temporary_folder(out, "new") as new:
            yield new
            for path in (*new.iterdir(), new):
                _flush(path)
            with uninterrupted():
                _put(new, out)
        for path in made:
            _flush(path.parent)
    except BaseException:
        with uninterrupted():
            tidy(out, made)
        raise


def prepare(out: Path) -> Path:
    """The full path of ``out``, once it is known that a report can be written there and nothing that others put there would be lost.

    Finishes or undoes what a killed run left half-done, and removes its temporary files. Names that begin with a dot are left
    alone. That a report can be written is tried out, with names as long as its files have.

    Raises
    ------
    InvalidInput
        Where ``out`` holds anything but a report, or cannot be written.
    """
    out = Path(os.path.realpath(out))
    try:
        if os.path.lexists(out) and not out.is_dir():
            raise InvalidInput(_FIELD, str(out), "is a file")
        if out.is_dir():
            with _alone(out):  # what another process moves meanwhile would look foreign
                _recover(out)
                _check_contents(out)
        _try(out)
    except OSError as error:
        raise InvalidInput(_FIELD, str(out), f"cannot be written: {error.strerror or error}") from None
    return out


def _try(out: Path) -> None:
    """Write a file as a report would, in a temporary folder beside what is there already: ``out`` itself is not made.

    Removes what such a trial left where its process was killed.
    """
    made = missing(out)
    there = made[0].parent if made else out
    for place in {there, out.parent} - {out}:
        with contextlib.suppress(OSError), marks.locked(place) as held:
            if held is not False:  # it may be a folder of reports itself, in which somebody is just putting one in place
                marks.clean(place)
    with marks.temporary_folder(there, "probe") as probe:
        deepest = probe.joinpath(*(path.name for path in made))
        deepest.mkdir(parents=True, exist_ok=True)
        with (deepest / _LONGEST_FILE).open("wb") as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())


def missing(out: Path) -> tuple[Path, ...]:
    """The folders that are to be made for ``out`` to be there, the outermost first."""
    out = Path(os.path.realpath(out))
    return tuple(reversed([path for path in (out, *out.parents) if not os.path.lexists(path)]))


def tidy(out: Path, made: tuple[Path, ...], *, mine: bool = False) -> None:
    """Remove what processes that are gone left in ``out`` under marked names, then those of the folders ``made`` that are empty.

    With ``mine`` also what this process left: for its end, when no other thread of it writes there.
    """
    with contextlib.suppress(OSError, InvalidInput):
        if out.is_dir():
            with _alone(out):
                _recover(out, mine=mine)
    for path in reversed(made):
        with contextlib.suppress(OSError):
            path.rmdir()


def _make(folders: tuple[Path, ...]) -> None:
    for path in folders:
        path.mkdir(parents=True, exist_ok=True)  # another run that failed may just have removed the folder above it


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _check_contents(out: Path) -> None:
    present = {name for name in _names(out) if not name.startswith(".") and name not in _OF_THE_SYSTEM}
    if present and manifest.read(out) is None:
        raise InvalidInput(_FIELD, str(out), "holds other things than a report; name a new or an empty folder")
    if foreign := sorted(present - set(_report_files(out))):
        names = ", ".join(foreign[:5]) + (" and others" if len(foreign) > 5 else "")
        raise InvalidInput(_FIELD, str(out), f"holds {names}, which no report wrote; name a folder of the report's own")


def _report_files(folder: Path) -> list[str]:
    """The plain files in ``folder`` that its manifest lists, and the manifest: all that is a report's."""
    content = manifest.read(folder)
    if content is None:
        return []
    return [name for name in (*manifest.listed(content), manifest.NAME) if _is_plain(folder / name)]


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """The only process that moves files in ``out``."""
    end = time.monotonic() + _PATIENCE
    while True:
        with marks.locked(out) as held:
            if held or (held is None and not _moved_by_another(out)):
                yield
                return
        if time.monotonic() > end:
            raise InvalidInput(_FIELD, str(out), "is being written by another process")
        time.sleep(0.01)


def _moved_by_another(out: Path) -> bool:
    """Whether another process seems to move files in ``out``, where the system has no locks to tell it."""
    steps = (name for name in _names(out) if marks.purpose(name) in ("link", "ready", "old"))
    return any(marks.lives(marks.writer(name)) for name in steps)


def _put(new: Path, out: Path) -> None:
    """The files of ``new`` in the place of the report in ``out``; where that fails, the report in ``out`` is as it was."""
    with _alone(out):
        _settle(out)
        ours, coming = _report_files(out), _names(new)
        if taken := [name for name in coming if name not in ours and os.path.lexists(out / name)]:
            raise InvalidInput(_FIELD, str(out), f"holds {taken[0]}, which no report wrote; name another folder")
        stale = [name for name in ours if name not in coming and _is_unchanged(out, name)]
        ours = [name for name in ours if name in coming] + stale
        try:
            if not _linked(new, out, ours, coming):
                _move(new.rename(out / marks.fresh("ready")), out)
        finally:
            _settle(out)


def _is_unchanged(folder: Path, name: str) -> bool:
    """Whether a file is what the manifest says: only then it may be removed without another one taking its place."""
    content = manifest.read(folder)
    return content is not None and manifest.listed(content).get(name) == manifest.digest(folder / name)


def _linked(new: Path, out: Path, ours: list[str], coming: list[str]) -> bool:
    """Steps 1 and 2 above; `_settle` does 3. False, and nothing done, where there are no symbolic links."""
    link, old = marks.fresh("link"), marks.fresh("old")
    try:
        (out / link).symlink_to(old)
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        return False
    (out / old).mkdir()
    for name in ours:
        _keep(out / name, out / old / name)
    _flush(out / old)
    for name in ours:
        _pin(out, name, link)
    for name in coming:
        if name not in ours:
            (out / name).symlink_to(f"{link}/{name}")
    _flush(out)
    swap = out / marks.fresh("swap")
    swap.symlink_to(new.name)
    swap.replace(out / link)
    _flush(out)
    return True


def _keep(file: Path, copy: Path) -> None:
    try:
        os.link(file, copy)
    except OSError:
        shutil.copy2(file, copy)
        _flush(copy)


def _pin(out: Path, name: str, link: str) -> None:
    """``name`` as a link through ``link``, in one step."""
    swap = out / marks.fresh("swap")
    swap.symlink_to(f"{link}/{name}")
    swap.replace(out / name)


def _recover(out: Path, *, mine: bool = False) -> None:
    """Finish or undo what a process that is gone was putting in place, and remove what it left. To be called by one process alone."""
    if any(map(marks.is_ours, _names(out))):
        _settle(out)  # first: what links show may lie in a folder that is then removed
        marks.clean(out, mine=mine)


def _settle(out: Path) -> None:
    """Step 3 above: every link of ours gives way to the file that it shows. To be called by one process alone."""
    for name in _names(out):
        if marks.purpose(name) == "ready" and not (out / name).is_symlink():
            _move(out / name, out)
    moved = False
    for name in _names(out):
        shown = _shown(out, name)
        if shown is not None:
            moved = True
            _unpin(out, name, shown)
    if moved:
        _flush(out)
        time.sleep(_GRACE)
    for name in _names(out):
        if marks.purpose(name) in ("link", "swap") and (out / name).is_symlink():
            (out / name).unlink()
        elif marks.purpose(name) == "old":
            shutil.rmtree(out / name, ignore_errors=True)


def _unpin(out: Path, name: str, shown: Path) -> None:
    """The file that a link of ours shows, in the link's place; it stays where it is, too, for a reader that has read the link already."""
    if not _is_plain(shown):
        (out / name).unlink()
        return
    swap = out / marks.fresh("swap")
    try:
        _keep(shown, swap)
    except OSError:  # no room for a copy
        swap.unlink(missing_ok=True)
        swap = shown
    swap.replace(out / name)


def _shown(out: Path, name: str) -> Path | None:
    """What a link of ours shows, through the marked link, in a marked folder of ``out``; None for all else."""
    path = out / name
    if not path.is_symlink():
        return None
    link, _, file = str(path.readlink()).partition("/")
    if marks.purpose(link) != "link" or file != name or not (out / link).is_symlink():
        return None
    folder = str((out / link).readlink())  # a folder of ours beside it, and never one that somebody else may have linked to
    return out / folder / file if marks.purpose(folder) in ("old", "new") and not (out / folder).is_symlink() else None


def _move(ready: Path, out: Path) -> None:
    """The files of a finished report to their names, one by one, where there are no symbolic links."""
    content = manifest.read(ready)
    if content is not None:
        coming = manifest.listed(content)
        for name in _report_files(out):
            if name not in coming and name != manifest.NAME and _is_unchanged(out, name):
                (out / name).unlink()
        for name in (*coming, manifest.NAME):
            if _is_plain(ready / name):
                (ready / name).replace(out / name)
        _flush(out)
    shutil.rmtree(ready, ignore_errors=True)


def _flush(path: Path) -> None:
    """To disk, where the system can."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
