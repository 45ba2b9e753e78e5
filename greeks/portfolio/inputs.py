"""Reading files that others wrote: plain files of a reasonable size, and nothing that could wait for ever."""

from __future__ import annotations

import errno
import io
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

from pricers.errors import InvalidInput

__all__ = ["MOST_BYTES", "content", "opened", "text", "toml"]

MOST_BYTES = 2**28
"""Bytes of a file that is read without asking: a book of a million trades has half of that."""


def opened(path: Path) -> io.BufferedReader:
    """A plain file, opened for reading.

    Raises
    ------
    InvalidInput
        Where it is not a plain file (a pipe, a device, a folder): reading it might never end.
    OSError
        Where it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENODEV, errno.EISDIR):  # a socket, a device that is not there
            raise InvalidInput("file", str(path), _NOT_PLAIN) from None
        if error.errno == errno.ENAMETOOLONG:
            raise InvalidInput("file", str(path), "must have a name that the system can have") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidInput("file", str(path), _NOT_PLAIN)
    return os.fdopen(descriptor, "rb")


def content(path: Path, most: int | None = MOST_BYTES) -> bytes:
    """The bytes of a plain file.

    Parameters
    ----------
    path : path
    most : int, optional
        Bytes that are accepted; None for any number.

    Raises
    ------
    InvalidInput
        Where it is not a plain file, or has more than ``most`` bytes.
    OSError
        Where it cannot be read.
    """
    with opened(path) as file:
        if most is None:
            return file.read()
        size = os.fstat(file.fileno()).st_size
        read = b"" if size > most else file.read(most + 1)
    if max(size, len(read)) > most:
        found = f"{max(size, len(read)) / 1e6:,.0f} MB, and at most {most / 1e6:,.0f} MB are read"
        raise InvalidInput("file", str(path), f"has {found}; split it, or allow large files (--allow-large-files)")
    return read


_NOT_PLAIN = "must be a plain file, not a pipe, a device or a folder"


def text(path: Path, most: int | None = MOST_BYTES) -> str:
    """The text of a plain file in UTF-8; raises as `content` does, and UnicodeDecodeError."""
    return content(path, most).decode("utf-8-sig")


def toml(path: Path, most: int | None = MOST_BYTES) -> dict[str, Any]:
    """The tables of a TOML file; raises as `content` does.

    Raises
    ------
    InvalidInput
        Where it is no TOML, or nested too deeply to be read. Nothing of what the file holds is quoted.
    """
    try:
        return tomllib.loads(text(path, most))
    except InvalidInput:
        raise
    except RecursionError:
        raise InvalidInput(str(path), "tables or lists within each other", "must not be nested so deeply") from None
    except ValueError as error:  # also an integer of thousands of digits
        raise InvalidInput(str(path), str(error), "must be a TOML file in UTF-8") from None
