import hashlib
import math
import os
import platform
import runpy
import subprocess
import sys
from pathlib import Path

import llvmlite.binding
import mpmath
import naive
import numpy as np
import pytest
from scipy import stats

import pricers
from pricers.numerics.kernel import kernel
from pricers.random_numbers.philox import _box_muller, normals, philox4x32, stream_key, uniforms

RANDOM = np.random.default_rng(4)
FULL = 0xFFFFFFFF

# Random123 1.14 (Salmon and others), file tests/kat_vectors, lines "philox4x32 10": counter, key, result.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((FULL, FULL, FULL, FULL), (FULL, FULL), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@kernel
def _words(counters, keys, out):
    for row in range(counters.shape[0]):
        c, k = counters[row], keys[row]
        out[row, 0], out[row, 1], out[row, 2], out[row, 3] = philox4x32(c[0], c[1], c[2], c[3], k[0], k[1])


def kernel_words(counters, keys):
    counters, keys = np.array(counters, dtype=np.uint32), np.array(keys, dtype=np.uint32)
    out = np.empty((len(counters), 4), dtype=np.uint32)
    _words(counters, keys, out)
    return out.tolist()


def filled(fill, shape, *, key=(1, 2), first_path=0, first_step=0, stream=0):
    out = np.full(shape, np.nan)
    fill(out, *key, first_path, first_step, stream)
    return out


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_known_answers_of_random123(counter, key, answer):
    assert kernel_words([counter], [key]) == [list(answer)]
    assert naive.philox(counter, key) == answer


def test_twin_at_64_bits_is_numpys_philox():
    for _ in range(200):
        counter, key = RANDOM.integers(0, 2**64, 4, dtype=np.uint64), RANDOM.integers(0, 2**64, 2, dtype=np.uint64)
        counter[0] = min(int(counter[0]), 2**64 - 2)
        generator = np.random.Philox(counter=counter, key=key)  # which counts first
        expected = tuple(generator.random_raw(4).tolist())
        assert naive.philox((int(counter[0]) + 1, *counter[1:].tolist()), key.tolist(), width=64) == expected


def test_kernel_is_the_twin_at_32_bits():
    counters, keys = RANDOM.integers(0, 2**32, (2000, 4)), RANDOM.integers(0, 2**32, (2000, 2))
    expected = [list(naive.philox(c, k)) for c, k in zip(counters.tolist(), keys.tolist(), strict=True)]
    assert kernel_words(counters, keys) == expected


ADDRESSES = [
    {"key": (1, 2)},
    {"key": (FULL, FULL), "first_path": 2**34 - 130, "first_step": 11, "stream": FULL},
    {"key": (0, 0x80000000), "first_path": 2**53 + 61, "first_step": 2**32 - 5, "stream": 7},
]


@pytest.mark.parametrize("address", ADDRESSES, ids=["first", "past 32 bits", "far"])
def test_uniforms_are_the_twins(address):
    got = filled(uniforms, (5, 300), **address)
    first, step = address.get("first_path", 0), address.get("first_step", 0)
    expected = [
        [naive.uniform(first + path, step + time, address["key"], address.get("stream", 0)) for path in range(300)]
        for time in range(5)
    ]
    assert got.tolist() == expected


@pytest.mark.parametrize("address", ADDRESSES, ids=["first", "past 32 bits", "far"])
def test_normals_are_the_twins(address):
    got = filled(normals, (5, 300), **address)
    first, step = address.get("first_path", 0), address.get("first_step", 0)
    expected = [
        [naive.normal(first + path, step + time, address["key"], address.get("stream", 0)) for path in range(300)]
        for time in range(5)
    ]
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def exact_box_muller(u, v):
    radius = mpmath.sqrt(-2 * mpmath.log(mpmath.mpf(u)))
    return radius * mpmath.cospi(2 * mpmath.mpf(v)), radius * mpmath.sinpi(2 * mpmath.mpf(v))


def test_normals_are_box_muller_of_the_uniforms_to_2e_15():
    address = {"key": (5, 6), "first_path": 256 * 48, "stream": 3}
    u, z = (filled(fill, (2, 3072), **address).reshape(-1, 2, 64).swapaxes(1, 2).reshape(-1, 2) for fill in (uniforms, normals))
    for uniform_pair, normal_pair in zip(u.tolist(), z.tolist(), strict=True):
        for got, exact in zip(normal_pair, exact_box_muller(*uniform_pair), strict=True):
            assert abs(got / exact - 1) < 2e-15


# The extremes are too rare to be met: put them where the second half of the kernel takes up what the first half left.
@pytest.mark.parametrize("u", [2.0**-53, 3 * 2.0**-53, 0.5 - 2.0**-53, 0.5 + 2.0**-53, 1 - 3 * 2.0**-53, 1 - 2.0**-53])
def test_box_muller_of_extreme_uniforms(u):
    v = [2.0**-53, 0.125, 0.25 - 2.0**-53, 0.25 + 2.0**-53, 0.5 - 2.0**-53, 0.5 + 2.0**-53, 0.75, 1 - 2.0**-53]
    row = np.concatenate([np.full(64, u), np.tile(v, 8)])
    _box_muller(row)
    for path, turn in enumerate(v):
        cosine, sine = exact_box_muller(u, turn)
        assert abs(row[path] - cosine) <= 2e-15 * abs(cosine)
        assert abs(row[path + 64] - sine) <= 2e-15 * abs(sine)


@pytest.mark.parametrize("fill", [uniforms, normals], ids=["uniforms", "normals"])
def test_bits_depend_on_the_address_alone(fill):
    address = {"key": (9, 8), "stream": 5}
    path, step = 2**34 - 330, 2**32 - 15  # the counter's low word overflows in the middle
    whole = filled(fill, (15, 700), first_path=path, first_step=step, **address)
    assert np.isfinite(whole).all()
    for n_paths in (*range(70), 255, 256, 257, 329, 330, 331, 600):
        assert (filled(fill, (4, n_paths), first_path=path, first_step=step, **address) == whole[:4, :n_paths]).all()
    for first in (*range(70), 255, 256, 257, 329, 330, 331):
        part = filled(fill, (3, 290), first_path=path + first, first_step=step, **address)
        assert (part == whole[:3, first : first + 290]).all()
    for times in range(16):
        assert (filled(fill, (times, 11), first_path=path, first_step=step, **address) == whole[:times, :11]).all()
    for later in range(15):
        part = filled(fill, (1, 9), first_path=path, first_step=step + later, **address)
        assert (part == whole[later, :9]).all()


DIGEST = """
import hashlib, numpy as np
from pricers.random_numbers.philox import normals
out = np.empty((5, 1003))
normals(out, 1, 2, 3, 0, 4)
print(hashlib.sha256(out.tobytes()).hexdigest())
"""


@pytest.mark.parametrize(
    "processor",
    [
        {"NUMBA_OPT": "0"},
        pytest.param(
            {"NUMBA_CPU_NAME": "nehalem", "NUMBA_CPU_FEATURES": "+sse4.2"},
            marks=pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="an x86-64 of 2008"),
        ),
    ],
    ids=["scalar", "without fma"],
)
def test_bits_do_not_depend_on_the_processor(processor):
    here = filled(normals, (5, 1003), first_path=3, stream=4)
    environment = {**os.environ, "PYTHONPATH": str(Path(pricers.__file__).parents[1]), **processor}
    there = subprocess.run([sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == hashlib.sha256(here.tobytes()).hexdigest()


@pytest.mark.parametrize("fill", [uniforms, normals], ids=["uniforms", "normals"])
def test_every_part_of_an_address_counts(fill):
    base = filled(fill, (2, 256))
    for other in (
        {"key": (2, 2)},
        {"key": (1, 3)},
        {"first_path": 256},
        {"first_path": 2**34},
        {"first_step": 2},
        {"first_step": 2**31},
        {"stream": 1},
    ):
        assert not np.isin(filled(fill, (2, 256), **other), base).any()


@pytest.mark.parametrize(("odd", "digits"), [(0, 40), (1, 24)], ids=["radial", "angular"])
def test_uniforms_are_never_0_or_1_and_their_smallest_bit_is_used(odd, digits):
    u = filled(uniforms, (32, 4096)).reshape(32, -1, 2, 64)[:, :, odd]
    assert u.min() > 0.0
    assert u.max() < 1.0
    scaled = u * 2.0 ** (digits + 1)
    assert (scaled % 2 == 1).all()
    assert abs(np.mean(scaled % 4 == 1) - 0.5) < 4 * 0.5 / math.sqrt(u.size)


def test_directions_have_the_moments_of_a_circle():
    turns = (np.arange(2.0**24) + 0.5) / 2.0**24
    for order in (1, 2, 3, 4, 8):
        assert abs(np.cos(2.0 * np.pi * order * turns).mean()) < 1e-12


def test_radii_have_the_moments_of_an_exponential():
    """Midpoints of 2**40 intervals instead of a continuum: what that is worth, by the Euler-Maclaurin sum over the first of them."""
    n = np.arange(1e6) + 0.5
    for power, moment in ((1, 1.0), (2, 2.0)):
        exact = [float(mpmath.gammainc(power + 1, 40 * mpmath.log(2) - mpmath.log(1e6))), moment]
        first = float(np.sum((40.0 * math.log(2.0) - np.log(n)) ** power) * 2.0**-40)
        assert abs(first - exact[0]) < 1e-10 * exact[1]


PATHS, STEPS = 2**14, 64


@pytest.fixture(scope="module")
def sample():
    return filled(normals, (STEPS, PATHS), key=stream_key(20240229, ""))


def test_uniforms_are_uniform():
    u = filled(uniforms, (STEPS, PATHS), key=stream_key(7, "")).ravel()
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    assert stats.chisquare(np.histogram(u, bins=1024, range=(0.0, 1.0))[0]).pvalue > 1e-3


def test_normals_are_normal(sample):
    assert stats.kstest(sample.ravel(), "norm").pvalue > 1e-3
    for part in sample.reshape(STEPS, -1, 4, 64).swapaxes(0, 2):  # cosines and sines of either half of a counter
        assert stats.kstest(part.ravel(), "norm").pvalue > 1e-3


@pytest.mark.parametrize(("power", "moment"), [(1, 0), (2, 1), (3, 0), (4, 3), (6, 15)])
def test_moments_of_normals(sample, power, moment):
    powers = sample.ravel() ** power
    variance = math.prod(range(2 * power - 1, 0, -2)) - moment**2
    assert abs(powers.mean() - moment) < 4 * math.sqrt(variance / powers.size)


@pytest.mark.parametrize("level", [2.0, 3.0, 4.0])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_tails_of_normals(sample, level, sign):
    expected = sample.size * stats.norm.sf(level)
    assert abs(np.sum(sign * sample > level) - expected) < 4 * math.sqrt(expected)


@pytest.mark.parametrize("f", [lambda z: z, lambda z: (z**2 - 1) / math.sqrt(2)], ids=["values", "squares"])
def test_normals_at_different_addresses_are_uncorrelated(sample, f):
    key = stream_key(20240229, "")
    scaled = f(sample)
    others = {
        "next step": (scaled[1:], scaled[:-1]),
        "step after next": (scaled[2:], scaled[:-2]),
        "third step": (scaled[3:], scaled[:-3]),
        "next path": (scaled[:, 1:], scaled[:, :-1]),
        **{f"{lag} paths on": (scaled[:, lag:], scaled[:, :-lag]) for lag in (64, 128, 192, 256)},
        "other stream": (scaled, f(filled(normals, sample.shape, key=key, stream=1))),
        "other path word": (scaled, f(filled(normals, sample.shape, key=key, first_path=2**34))),
        "other seed": (scaled, f(filled(normals, sample.shape, key=stream_key(20240230, "")))),
        "other name": (scaled, f(filled(normals, sample.shape, key=stream_key(20240229, "a")))),
    }
    for name, (a, b) in others.items():
        assert abs(np.mean(a * b)) < 4 / math.sqrt(a.size), name


def test_key_of_the_empty_name_is_the_seed():
    assert stream_key(0x0123456789ABCDEF, "") == (0x89ABCDEF, 0x01234567)
    assert stream_key(2**64 - 1, "") == (FULL, FULL)


def test_key_of_a_name_is_its_keyed_digest():
    digest = hashlib.blake2b("SPX é".encode(), key=(7).to_bytes(8, "little")).digest()
    key0, key1 = stream_key(7, "SPX é")
    assert (key0 + 2**32 * key1).to_bytes(8, "little") == digest[:8]


def test_keys_of_names_and_seeds_differ():
    keys = {stream_key(seed, name) for seed in (0, 1, 2**63) for name in ("", "a", "b", "ab", "a ")}
    assert len(keys) == 15


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seed_out_of_range_is_refused(seed):
    with pytest.raises(ValueError, match="seed must be"):
        stream_key(seed, "a")


@pytest.mark.skipif(not llvmlite.binding.get_host_cpu_features().get("avx2"), reason="reads x86-64 assembly with AVX2")
@pytest.mark.parametrize("fill", [uniforms, normals], ids=["uniforms", "normals"])
def test_loops_over_paths_become_vector_instructions(fill):
    benchmark = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "kernels.py"))
    fresh = kernel(cached=False)(fill.py_func)
    fresh(np.empty((2, 64)), 1, 2, 0, 0, 0)
    found = benchmark["vector_loop"](fresh)
    assert found["zmm"] + found["ymm"] > 50
    assert found["calls"] == 0
