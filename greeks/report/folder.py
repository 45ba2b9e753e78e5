"""A folder that is replaced as a whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import glob
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from greeks.report import manifest
from pricers.errors import InvalidInput

__all__ = ["prepare", "replaced"]


@contextlib.contextmanager
def replaced(out: Path) -> Iterator[Path]:
    """A new folder to write into, which takes the place of ``out`` at the end of the block.

    Whenever the process is killed, ``out`` is either the whole old report or the whole new one: the new one is written beside
    it and flushed to disk before the two are exchanged in one step. Where the system cannot exchange (other than Linux and
    macOS), the old one is renamed aside first, and the next run brings it back should this one have died between the two renames.
    """
    out = prepare(out)
    new = out.parent / f".{out.name}.new-{secrets.token_hex(6)}"
    new.mkdir()
    with _held(new):
        try:
            yield new
            for path in (*new.iterdir(), new):
                _flush(path)
            _put(new, out)
            _flush(out.parent)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def prepare(out: Path) -> Path:
    """The full path of ``out``, once nothing that others put there would be lost.

    Takes up what a killed run left: brings an old report back whose place is empty, and removes what was never finished.

    Raises
    ------
    InvalidInput
        Where ``out`` holds anything but a report.
    """
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    _recover(out)
    if out.is_dir():
        present = {path.name for path in out.iterdir()}
        content = manifest.read(out)
        if present and content is None:
            raise InvalidInput("output folder", str(out), "holds other things than a report; name a new or an empty folder")
        foreign = present - {manifest.NAME, *(content or {}).get("files", ())}
        if foreign := {name for name in foreign if not name.startswith(".")}:
            names = ", ".join(sorted(foreign))
            raise InvalidInput("output folder", str(out), f"holds {names}, which no report wrote and a new one would remove")
    elif out.exists():
        raise InvalidInput("output folder", str(out), "is a file")
    return out


def _recover(out: Path) -> None:
    for aside in sorted(out.parent.glob(f".{glob.escape(out.name)}.old-*")):
        if out.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(out)
    for unfinished in out.parent.glob(f".{glob.escape(out.name)}.new-*"):
        with _held(unfinished) as ours:
            if ours:
                shutil.rmtree(unfinished, ignore_errors=True)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Hold a lock on a folder, that ends with this process; False where another process holds it."""
    try:
        import fcntl
    except ImportError:
        yield False
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = True
        except OSError:
            ours = False
        yield ours
    finally:
        os.close(descriptor)


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


def _put(new: Path, out: Path) -> None:
    """``new`` in the place of ``out``; what was there before is then at ``new``, or gone."""
    if not out.exists():
        new.rename(out)
    elif not _exchange(new, out):
        aside = out.parent / f".{out.name}.old-{secrets.token_hex(6)}"
        out.rename(aside)
        new.rename(out)
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the system cannot."""
    names = os.fsencode(one), os.fsencode(other)
    swaps = {
        "linux": ("renameat2", (-100, names[0], -100, names[1], 2)),  # AT_FDCWD twice, RENAME_EXCHANGE
        "darwin": ("renamex_np", (*names, 2)),  # RENAME_SWAP
    }
    if sys.platform not in swaps:
        return False
    function, arguments = swaps[sys.platform]
    try:
        return bool(getattr(ctypes.CDLL(None), function)(*arguments) == 0)
    except (OSError, AttributeError):  # an older system library
        return False
