import math
import runpy
from pathlib import Path

import llvmlite.binding
import mpmath
import numpy as np
import pytest

from pricers.numerics import elementary as special
from pricers.numerics.kernel import kernel

mpmath.mp.dps = 40


def over_paths(function):
    """The device function as an array function, in a loop like the ones it is made for."""

    @kernel
    def loop(x, out):
        for path in range(x.size):
            out[path] = function(x[path])

    def apply(x):
        x = np.asarray(x, dtype=np.float64)
        out = np.empty_like(x)
        loop(x, out)
        return out

    return apply


@kernel
def _sincos(u, sine, cosine):
    for path in range(u.size):
        sine[path], cosine[path] = special.sincos_turn(u[path])


@kernel
def _fma(a, b, c, out):
    for path in range(a.size):
        out[path] = special.fma(a[path], b[path], c[path])


exp, exp2_normal, exp_normal, log, mills, ndtr, ndtri = (
    over_paths(f)
    for f in (special.exp, special.exp2_normal, special.exp_normal, special.log, special.mills, special.ndtr, special.ndtri)
)


def exact_mills(t):
    return mpmath.ncdf(-t) / mpmath.npdf(t)


def exact_ndtri(p):
    """Newton's method on the logarithm of the distribution function, which is well conditioned in the tail."""
    if p > 0.5:
        return -exact_ndtri(1 - p)
    x = -mpmath.sqrt(-2 * mpmath.log(2 * p)) if p < 0.1 else mpmath.sqrt(2 * mpmath.pi) * (p - 0.5)
    while True:
        below = mpmath.erfc(-x / mpmath.sqrt(2)) / 2
        step = mpmath.log(below / p) * below / mpmath.npdf(x)
        x -= step
        if abs(step) < mpmath.mpf(10) ** -35:
            return x


def ulps(got, x, exact):
    """Distance from the exact values in units of their last place, the largest one."""
    worst = 0.0
    for value, argument in zip(got.tolist(), x.tolist(), strict=True):
        true = exact(mpmath.mpf(argument))
        worst = max(worst, float(abs(value - true) / math.ulp(float(true))))
    return worst


RANDOM = np.random.default_rng(20)
N = 4000

RANGES = {
    "exp": (exp, mpmath.exp, 1.1, RANDOM.uniform(-708.0, 709.78, N)),
    "exp near 0": (exp, mpmath.exp, 1.1, RANDOM.uniform(-1.0, 1.0, N)),
    "exp at tiny": (exp, mpmath.exp, 1.1, 10.0 ** RANDOM.uniform(-300.0, -1.0, N) * RANDOM.choice([-1, 1], N)),
    "exp, subnormal result": (exp, mpmath.exp, 1.6, RANDOM.uniform(-745.0, -708.0, N)),
    "exp2": (exp2_normal, lambda y: mpmath.mpf(2) ** y, 1.2, RANDOM.uniform(-1022.0, 1023.49, N)),
    "exp2 near 0": (exp2_normal, lambda y: mpmath.mpf(2) ** y, 1.2, RANDOM.uniform(-2.0, 2.0, N)),
    "exp2 at tiny": (exp2_normal, lambda y: mpmath.mpf(2) ** y, 1.2, 10.0 ** RANDOM.uniform(-300.0, -1.0, N)),
    "log": (log, mpmath.log, 0.9, 10.0 ** RANDOM.uniform(-307.0, 308.0, N)),
    "log near 1": (log, mpmath.log, 0.9, RANDOM.uniform(0.4, 2.5, N)),
    "log closer to 1": (log, mpmath.log, 0.9, 1.0 + 10.0 ** RANDOM.uniform(-15.0, -2.0, N) * RANDOM.choice([-1, 1], N)),
    "log of subnormal": (log, mpmath.log, 0.9, 10.0 ** RANDOM.uniform(-323.0, -308.0, N)),
    "ndtr": (ndtr, mpmath.ncdf, 3.0, RANDOM.uniform(-9.0, 9.0, N)),
    "ndtr near 0": (ndtr, mpmath.ncdf, 3.0, RANDOM.uniform(-1.0, 1.0, N)),
    "ndtr far left": (ndtr, mpmath.ncdf, 3.0, RANDOM.uniform(-37.5, -8.0, N)),
    "ndtr, subnormal result": (ndtr, mpmath.ncdf, 3.0, RANDOM.uniform(-38.4, -37.5, N // 10)),
    "mills": (mills, exact_mills, 7.5, RANDOM.uniform(0.0, 39.0, N // 4)),
    "mills near 0": (mills, exact_mills, 7.5, RANDOM.uniform(0.0, 1.0, N // 4)),
    "ndtri": (ndtri, exact_ndtri, 3.5, RANDOM.uniform(0.0, 1.0, N // 4)),
    "ndtri left": (ndtri, exact_ndtri, 3.5, 10.0 ** RANDOM.uniform(-307.0, 0.0, N // 4)),
    "ndtri where its branches meet": (ndtri, exact_ndtri, 3.5, RANDOM.uniform(0.07, 0.09, N // 4)),
    "ndtri near 1": (ndtri, exact_ndtri, 3.5, 1.0 - 10.0 ** RANDOM.uniform(-15.0, 0.0, N // 4)),
    "ndtri near 1/2": (ndtri, exact_ndtri, 3.5, 0.5 + 10.0 ** RANDOM.uniform(-15.0, -2.0, N // 4)),
    "ndtri of subnormal": (ndtri, exact_ndtri, 3.5, 10.0 ** RANDOM.uniform(-323.0, -308.0, N // 40)),
}


@pytest.mark.parametrize("name", RANGES)
def test_error_in_ulp(name):
    function, exact, bound, x = RANGES[name]
    assert ulps(function(x), x, exact) <= bound


@pytest.mark.parametrize("reach", [1e-3, 1.0, 708.39])
def test_error_of_exp_normal_is_that_of_its_argument(reach):
    x = RANDOM.uniform(-reach, reach, N)
    for got, at in zip(exp_normal(x).tolist(), x.tolist(), strict=True):
        true = mpmath.exp(mpmath.mpf(at))
        assert abs(got - true) <= 1.2 * math.ulp(float(true)) + 1.3e-16 * abs(at) * true


def test_exp_normal_is_held_where_results_stop_being_normal():
    low, high, nan = exp_normal([-1e4, 1e4, np.nan]).tolist()
    assert low == 2.0**-1022
    assert high == pytest.approx(2.0**1023.49)
    assert math.isnan(nan)


def test_sincos_turn_error_in_ulp():
    u = np.concatenate([RANDOM.uniform(0.0, 1.0, N), np.arange(8) / 8 + 2.0**-53, [2.0**-53, 1.0 - 2.0**-53]])
    sine, cosine = np.empty_like(u), np.empty_like(u)
    _sincos(u, sine, cosine)
    assert ulps(sine, u, lambda v: mpmath.sinpi(2 * v)) <= 1.1
    assert ulps(cosine, u, lambda v: mpmath.cospi(2 * v)) <= 1.1


def test_sincos_turn_is_exact_at_quarter_turns():
    u = np.array([0.0, 0.25, 0.5, 0.75])
    sine, cosine = np.empty_like(u), np.empty_like(u)
    _sincos(u, sine, cosine)
    assert sine.tolist() == [0.0, 1.0, 0.0, -1.0]
    assert cosine.tolist() == [1.0, 0.0, -1.0, 0.0]


ENDS = {
    "exp": (exp, [0.0, -0.0, np.inf, -np.inf, 709.79, 1e300, -745.2, -1e300], [1.0, 1.0, np.inf, 0.0, np.inf, np.inf, 0.0, 0.0]),
    "log": (log, [1.0, 0.0, -0.0, np.inf], [0.0, -np.inf, -np.inf, np.inf]),
    "ndtr": (ndtr, [0.0, -0.0, np.inf, -np.inf, 1e300, -1e300, -38.6], [0.5, 0.5, 1.0, 0.0, 1.0, 0.0, 0.0]),
    "ndtri": (ndtri, [0.5, 0.0, -0.0, 1.0], [0.0, -np.inf, -np.inf, np.inf]),
}


@pytest.mark.parametrize("name", ENDS)
def test_ends_of_the_range(name):
    function, x, expected = ENDS[name]
    assert function(x).tolist() == expected


@pytest.mark.parametrize(
    ("function", "outside"),
    [(exp, []), (log, [-1.0, -5e-324, -np.inf]), (ndtr, []), (ndtri, [-5e-324, -1.0, 1.0 + 2.0**-52, np.inf, -np.inf])],
    ids=["exp", "log", "ndtr", "ndtri"],
)
def test_nan_stays_and_outside_is_nan(function, outside):
    assert np.isnan(function([np.nan, -np.nan, *outside])).all()


def test_largest_and_smallest_results_of_exp():
    assert exp([709.782712893384]).item() == pytest.approx(1.7976931348622732e308, rel=1e-15)
    assert exp([-745.13]).item() == 5e-324


def test_fma_rounds_once():
    x = np.full(9, 1.0 + 2.0**-30)
    out = np.empty_like(x)
    _fma(x, x, np.full(9, -1.0 - 2.0**-29), out)
    assert (out == 2.0**-60).all()


@pytest.mark.parametrize("function", [exp, log, ndtr, ndtri], ids=["exp", "log", "ndtr", "ndtri"])
def test_bits_do_not_depend_on_the_path(function):
    x = RANDOM.uniform(1e-3, 0.999, 70)
    whole = function(x)
    for n_paths in range(1, 71):
        assert (function(x[:n_paths]) == whole[:n_paths]).all()
    for first in range(16):
        assert (function(x[first:]) == whole[first:]).all()


@pytest.mark.skipif(not llvmlite.binding.get_host_cpu_features().get("avx2"), reason="reads x86-64 assembly with AVX2")
@pytest.mark.parametrize(
    "function",
    [special.exp, special.exp2_normal, special.exp_normal, special.log, special.mills, special.ndtr, special.ndtri],
    ids=lambda f: f.__name__,
)
def test_loops_over_paths_become_vector_instructions(function):
    benchmark = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "kernels.py"))
    loop = benchmark["over_paths"](function)
    loop(np.ones((2, 64)), np.ones((2, 64)))
    found = benchmark["vector_loop"](loop)
    assert found["zmm"] + found["ymm"] > 15
    assert found["calls"] == 0
