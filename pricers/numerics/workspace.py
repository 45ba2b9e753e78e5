"""Arrays of a block, used again by the next one.

A block's arrays are too large for the allocator to keep: handed back to the system and asked for again, their pages are cleared anew
for every block, which takes longer than filling them with normals does (measured: 10.8 against 3.2 ns per path-step). What is small
enough is kept from one run to the next, too: a run of 16,384 paths takes 3.1 ms so, and 4.5 with memory that it has to ask for.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

__all__ = ["Space", "empty", "enter", "lent"]

FloatArray = npt.NDArray[np.float64]

_KEPT = 2**25
"""Bytes of one thread's arrays that outlast a run, at most: enough for a contract, not for a book."""


class Space:
    """Arrays of one thread, by their capacity."""

    __slots__ = ("_arrays",)

    def __init__(self) -> None:
        self._arrays: dict[int, list[FloatArray]] = {}

    def empty(self, shape: tuple[int, ...]) -> FloatArray:
        """An uninitialised array of floats; it may be one that was handed out before and is no longer in use."""
        size = math.prod(shape)
        capacity = 1 << max(size - 1, 0).bit_length()
        arrays = self._arrays.setdefault(capacity, [])
        found = _free(arrays)
        if found is None:
            found = np.empty(capacity)
            arrays.append(found)
        return found[:size].reshape(shape)

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(array.nbytes for arrays in self._arrays.values() for array in arrays)


class _Current(threading.local):
    def __init__(self) -> None:
        self.space = Space()


_CURRENT = _Current()
_IDLE: list[Space] = []
"""Spaces that no run uses. A list's own operations are safe between threads."""


def empty(shape: tuple[int, ...]) -> FloatArray:
    """An uninitialised array of floats; it may be one that was handed out before in this thread and is no longer in use."""
    return _CURRENT.space.empty(shape)


def enter(space: Space) -> Space:
    """Make ``space`` this thread's, and say which was before."""
    before, _CURRENT.space = _CURRENT.space, space
    return before


@contextmanager
def lent(count: int) -> Iterator[list[Space]]:
    """Spaces for the threads of a run, each to `enter` one; kept for the next run unless they have grown large."""
    spaces = [_idle() for _ in range(count)]
    try:
        yield spaces
    finally:
        _IDLE.extend(space for space in spaces if space.size <= _KEPT)


def _idle() -> Space:
    try:
        return _IDLE.pop()
    except IndexError:
        return Space()


def _free(arrays: list[FloatArray]) -> FloatArray | None:
    """An array that nobody but the space refers to, be it by a view."""
    for array in arrays:
        if sys.getrefcount(array) == _ALONE:
            return array
    return None


def _references_of_one_held_by_the_space_alone() -> int:
    for array in [np.empty(1)]:
        return sys.getrefcount(array)
    raise AssertionError


_ALONE = _references_of_one_held_by_the_space_alone()
