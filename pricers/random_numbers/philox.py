"""Random numbers by address: Philox4x32-10, counter-based, so that any number can be had without those before it.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). A counter of four 32-bit words
and a key of two become four random words: ten rounds of two multiplications, whose high halves are mixed with the other
words and the key.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pricers.numerics.elementary import from_bits, log_unguarded, sincos_turn
from pricers.numerics.kernel import device, kernel
from pricers.numerics.rows import copy

__all__ = ["PATHS", "normals", "philox4x32", "step_normals", "stream_key", "uniforms"]

FloatArray = npt.NDArray[np.float64]

PATHS = 256
"""Paths that are drawn together. A counter serves four of them, 64 apart, so that nothing is drawn in vain however few the steps."""

# 32-bit words are held in uint64 paths: a vector unit multiplies the low halves of 64-bit paths in one instruction.
_MULTIPLIER = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_KEY_STEP = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)  # golden ratio and sqrt(3) - 1
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_12 = np.uint64(12)
_28 = np.uint64(28)
_ONE = np.uint64(0x3FF0000000000000)  # bits of 1.0
_FRACTION = np.uint64(0x000FFFFFFFFFF000)  # the first 40 bits of a fraction
_LOW24 = np.uint64(0xFFFFFF)


@device
def _rounds(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Ten rounds; only the low halves of the counter's words and of the results mean anything."""
    for _ in range(10):
        p0 = _MULTIPLIER[0] * (c0 & _LOW)
        p1 = _MULTIPLIER[1] * (c2 & _LOW)
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1, (p0 >> _32) ^ c3 ^ k1, p0
        k0 = (k0 + _KEY_STEP[0]) & _LOW
        k1 = (k1 + _KEY_STEP[1]) & _LOW
    return c0, c1, c2, c3


@device
def philox4x32(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Four random 32-bit words, as uint32, from a counter of four and a key of two (any integers below 2**32)."""
    a, b, c, d = _rounds(np.uint64(c0), np.uint64(c1), np.uint64(c2), np.uint64(c3), np.uint64(k0), np.uint64(k1))
    return np.uint32(a & _LOW), np.uint32(b & _LOW), np.uint32(c & _LOW), np.uint32(d & _LOW)


@device
def _radial(high: Any, low: Any) -> Any:
    """(n + 1/2) / 2**40, where n is the first 40 bits of two words; exact."""
    return from_bits(((((high << _32) | (low & _LOW)) >> _12) & _FRACTION) | _ONE) - (1.0 - 2.0**-41)


@device
def _angular(low: Any) -> Any:
    """(n + 1/2) / 2**24, where n is the last 24 bits of a word; exact."""
    return from_bits(((low & _LOW24) << _28) | _ONE) - (1.0 - 2.0**-25)


@device
def _draw(row: Any, k0: Any, k1: Any, first_path: Any, step: Any, stream: Any) -> None:
    """Uniforms [256 paths] of one step: 64 counters; path 0 is a multiple of 256."""
    first = np.uint64(first_path // 4)
    for path in range(64):
        counter = first + np.uint64(path)
        a, b, c, d = _rounds(counter, counter >> _32, step, stream, k0, k1)
        row[path], row[path + 64] = _radial(a, b), _angular(b)
        row[path + 128], row[path + 192] = _radial(c, d), _angular(d)


@device
def _box_muller(row: Any) -> None:
    """Uniforms [128 paths], half of them radial and half angular, into independent standard normals (Box and Muller 1958).

    A loop of its own, because together with the rounds it is too long for a processor to overlap its iterations.
    """
    for path in range(64):
        radius = math.sqrt(-2.0 * log_unguarded(row[path]))
        sine, cosine = sincos_turn(row[path + 64])
        row[path] = radius * cosine
        row[path + 64] = radius * sine


@device
def step_normals(row: Any, k0: Any, k1: Any, first_path: Any, step: Any, stream: Any) -> None:
    """Normals [256 paths] of one step, for kernels that use them at once; path 0 is a multiple of 256."""
    _draw(row, k0, k1, first_path, step, stream)
    _box_muller(row[:128])
    _box_muller(row[128:])


@device
def _fill(out: Any, key0: Any, key1: Any, first_path: Any, first_step: Any, stream: Any, normal: bool) -> None:
    """Rows [time, path] of normals or uniforms, from whatever path on: groups that are not wanted whole are drawn whole."""
    k0, k1, s, row = np.uint64(key0), np.uint64(key1), np.uint64(stream), np.empty(PATHS)
    for time in range(out.shape[0]):
        step, path = np.uint64(first_step + time), 0
        while path < out.shape[1]:
            skipped = (first_path + path) % PATHS
            width = min(PATHS - skipped, out.shape[1] - path)
            if normal:
                step_normals(row, k0, k1, first_path + path - skipped, step, s)
            else:
                _draw(row, k0, k1, first_path + path - skipped, step, s)
            copy(row[skipped : skipped + width], out[time, path : path + width])
            path += width


@kernel
def uniforms(out: FloatArray, key0: int, key1: int, first_path: int, first_step: int, stream: int) -> None:
    """Fill ``out[time, path]`` with the uniforms of consecutive steps and paths.

    The number at an address (key, stream, path, step) is the same bits whatever else is asked for in the same call.
    Counter (n, n >> 32, step, stream) gives four words for the paths p = 256 (n // 64) + n % 64, p + 64, p + 128 and p + 192. The
    first two make the midpoint of one of 2**40 equal intervals, for the first of these paths, and of one of 2**24, for the
    second; the last two do the same for the third and the fourth. So no number is 0 or 1.

    Parameters
    ----------
    out : ndarray [time, path]
        C-contiguous.
    key0, key1 : int
        Below 2**32, from `stream_key`.
    first_path : int
        Path of path 0; non-negative.
    first_step : int
        Step of time 0; non-negative, steps below 2**32.
    stream : int
        Below 2**32.
    """
    _fill(out, key0, key1, first_path, first_step, stream, False)


@kernel
def normals(out: FloatArray, key0: int, key1: int, first_path: int, first_step: int, stream: int) -> None:
    r"""Fill ``out[time, path]`` with the standard normals of consecutive steps and paths.

    At the first of two paths, :math:`\sqrt{-2 \ln u} \cos 2\pi v`, and at the other, 64 further on,
    :math:`\sqrt{-2 \ln u} \sin 2\pi v`, where u and v are what `uniforms` gives at these two addresses, to 2e-15 relative. No
    normal is beyond :math:`\sqrt{82 \ln 2} \approx 7.54`, where 5e-14 of them should be. The directions v are 2**24 equally
    spaced ones, of which every trigonometric moment below the order 2**24 is that of a circle.

    Parameters
    ----------
    out : ndarray [time, path]
        C-contiguous.
    key0, key1, first_path, first_step, stream : int
        As for `uniforms`.
    """
    _fill(out, key0, key1, first_path, first_step, stream, True)


def stream_key(seed: int, name: str) -> tuple[int, int]:
    """Philox key of a named stream of a seed.

    Parameters
    ----------
    seed : int
        From 0 to 2**64 - 1.
    name : str
        With the empty name the key is the seed's own two halves, low first; otherwise the first eight bytes of the
        name's BLAKE2b digest, keyed by the seed.

    Returns
    -------
    key0, key1 : int
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be an integer from 0 to 2**64 - 1, got {seed!r}")
    words = seed.to_bytes(8, "little")
    if name:
        words = hashlib.blake2b(name.encode(), key=words).digest()[:8]
    return int.from_bytes(words[:4], "little"), int.from_bytes(words[4:], "little")
