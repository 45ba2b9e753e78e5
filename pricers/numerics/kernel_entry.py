"""One compiled kernel as a file: written whole or not at all, and read only if it is what was written."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import struct
import sys
import time
import uuid
from pathlib import Path

from pricers.numerics import trusted_folder

__all__ = ["Unusable", "read", "sweep", "write"]

_PART = ".part-"  # begins the name of a file that is still being written
_ABANDONED = 3600.0  # seconds after which it no longer is
_HEADER = struct.Struct("<16sQ32s")  # what it is, bytes that follow, their digest
_MAGIC = b"scoregreeks krn\x01"


class Unusable(Exception):
    """A file that is no entry of ours, or not as it was written; it can be removed."""


def read(file: Path, name: str) -> bytes:
    """What `write` was given for ``name``.

    Nothing of it is interpreted before its digest is compared, which is SHA-256 of the name and the content: it finds what disks,
    copies and interrupted writes do to a file, and an entry under another's name. It is not a signature: whoever can write the
    file can write a digest, too. Such are kept out by the owner and mode of the file, examined here, and of the folders above it
    (`trusted_folder.untrusted`).

    Parameters
    ----------
    file : Path
    name : str
        What the content belongs to.

    Raises
    ------
    FileNotFoundError
    OSError
        Where the file cannot be read now.
    Unusable
        Where it is damaged, or not a plain file that only this user or the superuser can write.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(file, flags)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a symbolic link, a socket
            raise Unusable(f"{file} is not a plain file") from error
        raise
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode):
        os.close(descriptor)
        raise Unusable(f"{file} is not a plain file")
    with os.fdopen(descriptor, "rb") as stream:
        if sys.platform != "win32" and (info.st_uid not in (0, os.getuid()) or trusted_folder.others_can_write(info)):
            raise Unusable(f"{file} can be written by others")
        header = stream.read(_HEADER.size)
        if len(header) != _HEADER.size:
            raise Unusable(f"{file} is cut off")
        magic, size, digest = _HEADER.unpack(header)
        if magic != _MAGIC or size != info.st_size - _HEADER.size:  # before a huge file is read
            raise Unusable(f"{file} is not as it was written")
        content = stream.read(size)
    if _digest(name, content) != digest:
        raise Unusable(f"{file} is not as it was written")
    return content


def write(file: Path, name: str, content: bytes) -> None:
    """Put ``content`` in place as a whole: readers at the same time find the old file or the new one.

    Raises
    ------
    OSError
        Where it cannot be written; nothing is left behind then.
    """
    part = file.with_name(f"{_PART}{uuid.uuid4().hex}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(part, flags, 0o644), "wb") as stream:
            stream.write(_HEADER.pack(_MAGIC, len(content), _digest(name, content)))
            stream.write(content)
        part.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def sweep(folder: Path) -> None:
    """Remove what processes that were killed left half written."""
    with contextlib.suppress(OSError):
        for part in folder.glob(f"{_PART}*"):
            if part.lstat().st_mtime < time.time() - _ABANDONED:
                part.unlink()


def _digest(name: str, content: bytes) -> bytes:
    digest = hashlib.sha256(f"{len(name)} {name}\n".encode())
    digest.update(content)
    return digest.digest()
