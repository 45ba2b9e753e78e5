"""Counter-based random numbers: Philox4x32-10, a uniform or a normal for every address (key, stream, path, step)."""

import hashlib
import math

import numpy as np

from pricers.kernel import device, kernel
from pricers.special import from_bits, log_normal_range, sincos_turn

_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)
_W1 = np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_12 = np.uint64(12)
_ONE = np.uint64(0x3FF0000000000000)


@device
def _rounds(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Ten rounds on words in the low halves of uint64; what the high halves hold on return is left to the caller to drop."""
    for _ in range(10):
        p0 = _M0 * (c0 & _LOW)
        p1 = _M1 * (c2 & _LOW)
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1, (p0 >> _32) ^ c3 ^ k1, p0
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@device
def philox4x32(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Four random 32-bit words from a counter of four and a key of two."""
    a, b, c, d = _rounds(np.uint64(c0), np.uint64(c1), np.uint64(c2), np.uint64(c3), np.uint64(k0), np.uint64(k1))
    return np.uint32(a & _LOW), np.uint32(b & _LOW), np.uint32(c & _LOW), np.uint32(d & _LOW)


@device
def _uniform(high, low):  # type: ignore[no-untyped-def]
    """(n + 1/2) / 2**52, n the first 52 bits of two words."""
    return from_bits((((high << _32) | (low & _LOW)) >> _12) | _ONE) - (1.0 - 1.1102230246251565e-16)


@device
def _uniforms_at(path, pair, stream, key0, key1):  # type: ignore[no-untyped-def]
    path = np.uint64(path)
    a, b, c, d = _rounds(path & _LOW, path >> _32, pair, stream, key0, key1)
    return _uniform(a, b), _uniform(c, d)


@kernel
def uniforms(out, key0, key1, first_path, first_step, stream):  # type: ignore[no-untyped-def]
    """Fill out[time, lane] with uniforms."""
    times, lanes = out.shape
    k0, k1, s = np.uint64(key0), np.uint64(key1), np.uint64(stream)
    for time in range(0, times - 1, 2):
        pair = np.uint64((first_step + time) // 2)
        for lane in range(lanes):
            u, v = _uniforms_at(first_path + lane, pair, s, k0, k1)
            out[time, lane] = u
            out[time + 1, lane] = v
    if times % 2 == 1:
        pair = np.uint64((first_step + times) // 2)
        for lane in range(lanes):
            u, v = _uniforms_at(first_path + lane, pair, s, k0, k1)
            out[times - 1, lane] = u


@kernel
def normals(out, key0, key1, first_path, first_step, stream):  # type: ignore[no-untyped-def]
    """Fill out[time, lane] with standard normals."""
    times, lanes = out.shape
    k0, k1, s = np.uint64(key0), np.uint64(key1), np.uint64(stream)
    for time in range(0, times - 1, 2):
        pair = np.uint64((first_step + time) // 2)
        for lane in range(lanes):
            u, v = _uniforms_at(first_path + lane, pair, s, k0, k1)
            radius = math.sqrt(-2.0 * log_normal_range(u))
            sine, cosine = sincos_turn(v)
            out[time, lane] = radius * cosine
            out[time + 1, lane] = radius * sine
    if times % 2 == 1:
        pair = np.uint64((first_step + times) // 2)
        for lane in range(lanes):
            u, v = _uniforms_at(first_path + lane, pair, s, k0, k1)
            radius = math.sqrt(-2.0 * log_normal_range(u))
            sine, cosine = sincos_turn(v)
            out[times - 1, lane] = radius * cosine


def stream_key(seed: int, name: str) -> tuple[int, int]:
    """The Philox key of a named stream of a seed."""
    if not name:
        return seed & 0xFFFFFFFF, seed >> 32
    digest = hashlib.blake2b(name.encode(), digest_size=8, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")
