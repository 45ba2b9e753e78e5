"""Elementary functions on bare float64 for use inside kernels: no calls and no branches, so that loops over paths vectorise.

Errors are in units in the last place (ulp) of the exact result: the largest found against mpmath among some 10^6 random
arguments, rounded up. Polynomials and rational functions are minimax to a fraction of an ulp, fitted for this file in 70
digits; rounding makes the rest. Products that are added to something are fused by hand (`fma`); `pricers.numerics.kernel.kernel`
says why.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import config, types
from numba.extending import intrinsic

from pricers.numerics import interpreted
from pricers.numerics.kernel import device

__all__ = ["LOG2_E", "exp", "exp2_normal", "exp_normal", "fma", "log", "mills", "ndtr", "ndtri", "sincos_turn", "sqrt"]


def _fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c`` with one rounding: one instruction on every processor of the last ten years, a slow call before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), generate


def _bits(typing_context: Any, x: Any) -> Any:
    """The 64 bits of a float64, as uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.uint64(types.float64), generate


def _from_bits(typing_context: Any, word: Any) -> Any:
    """The float64 with the 64 bits of a uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), generate


def _horner(typing_context: Any, x: Any, coefficients: Any) -> Any:
    """Polynomial by Horner's rule with fused multiply-adds; the coefficients are a tuple, constant term first."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, coefficients = arguments
        value = builder.extract_value(coefficients, signature.args[1].count - 1)
        for power in reversed(range(signature.args[1].count - 1)):
            value = builder.fma(value, x, builder.extract_value(coefficients, power))
        return value

    return types.float64(types.float64, coefficients), generate


_CONFIG: Any = config  # made of the environment's variables, which no stub can know
_PLAIN: bool = bool(_CONFIG.DISABLE_JIT)


def _inline(definition: Any, twin: Any) -> Any:
    """As what its result is called in a kernel, which no stub can know."""
    return twin if _PLAIN else intrinsic(definition)


def _sqrt(x: float) -> float:
    """Square root; NaN below zero, for paths of which the result is not taken."""
    return math.sqrt(x)


fma: Callable[[float, float, float], float] = _inline(_fma, interpreted.fma)
bits: Callable[[float], Any] = _inline(_bits, interpreted.bits)
from_bits: Callable[[Any], float] = _inline(_from_bits, interpreted.from_bits)
horner: Callable[[float, tuple[float, ...]], float] = _inline(_horner, interpreted.horner)
sqrt: Callable[[float], float] = interpreted.sqrt if _PLAIN else device(_sqrt)

LOG2_E = 1.4426950408889634
"""Powers of e are powers of two: :math:`e^x = 2^{x \\log_2 e}`."""

_ROUND = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to an integer, which then stands in the lowest bits
_LN2_HIGH = 0.6931471804855391  # 33 bits, so that times an exponent it is exact
_LN2_LOW = 7.440617110012397e-11
_ONE = np.uint64(0x3FF0000000000000)  # bits of 1.0
_TWO52 = np.uint64(0x4330000000000000)  # bits of 2.0**52
_EXPONENT = np.uint64(0x7FF0000000000000)
_FROM_ROOT_HALF = np.uint64(0x3FF0000000000000 - 0x3FE6A09E667F3BCD)  # carries sqrt(1/2) to where an exponent begins
_52 = np.uint64(52)

_EXP = (0.5000000000000001, 0.16666666666666669, 0.04166666666662413, 0.008333333333330062, 0.0013888888917213717,
        0.00019841269863053618, 2.4801521295954376e-05, 2.7557268459997064e-06, 2.7620088445409746e-07,
        2.510038549551032e-08)  # fmt: skip
_EXP2 = (0.6931471805599453, 0.2402265069591013, 0.055504108664820084, 0.00961812910759412, 0.0013333558146774623,
         0.00015403530457112037, 1.5252733493125535e-05, 1.3215435282329337e-06, 1.0178199572961064e-07,
         7.0737832456610065e-09, 4.4347710976729993e-10)  # fmt: skip
_LOG = (0.666666666666667, 0.3999999999989889, 0.28571428626253836, 0.22222211089379496, 0.1818289243253687,
        0.15331611722055008, 0.14617807153417325)  # fmt: skip
_SIN = (6.123233995736766e-17, -0.6459640975062462, 0.07969262624614423, -0.004681754134254037, 0.0001604411666119179,
        -3.598702939782113e-06, 5.642223379747013e-08)  # fmt: skip
_COS = (1.0, -1.2337005501361697, 0.25366950790104803, -0.02086348076335072, 0.000919260274734828,
        -2.5202040587446632e-05, 4.7107369579623363e-07, -6.337542080972305e-09)  # fmt: skip
_ROOT_TWO_PI = 2.5066282746310002
_MILLS = 0.769193049750063
_MILLS_SLOPE = (-0.6653825028900567, 0.49530561596997413, -0.3135331566712971, 0.1650203661705007, -0.06911863870647982,
                0.020795066797569855, -0.002993376769094473, -0.0007978693748911934, 0.000544899062695852,
                -5.937586616736071e-05, -4.9762853165030135e-05, 1.668170360977268e-05, 3.981182741532577e-06,
                -2.7703209441469523e-06, -3.374965203524632e-07, 4.3443907263764586e-07, 4.375841598285575e-08,
                -6.667529339227571e-08, -1.0618274174239376e-08, 7.630410417873182e-09,
                2.224938767716443e-09)  # fmt: skip
_CENTRE_P = (4.754989808938185, 163.79066435874032, 2076.332304962618, 11934.561878442395, 30955.416523392472,
             31193.8089614985, 7871.521350750696)  # fmt: skip
_CENTRE_Q = (1.0, 40.20267976478213, 621.4317278293149, 4653.394048265738, 17508.44072092247, 31151.794608891072,
             21960.16194668497, 3873.440762429696)  # fmt: skip
_TAIL_P = (0.29353512694676265, 0.5298954441297992, 0.3852502187673789, 0.14734699902394777, 0.03216515131927925,
           0.003973413381332048, 0.0002596647542600112, 8.02425204775125e-06, 9.749566218003554e-08,
           3.115712079672661e-10)  # fmt: skip
_TAIL_Q = (1.0, 2.224476225233082, 2.054833128916957, 1.0310996400227226, 0.30790865904221654, 0.05591450552800099,
           0.0059971967136436995, 0.00035336420906195796, 1.0184083625911439e-05, 1.1866228630183202e-07,
           3.7162152861260894e-10)  # fmt: skip


@device
def exp(x: float) -> float:
    """e**x to 1.1 ulp, half a unit more where the result is subnormal. Overflows to inf, underflows to 0."""
    x = 710.0 if x > 710.0 else x
    x = -746.0 if x < -746.0 else x
    return _exp(x, -0.0, 1.0)


@device
def exp2_normal(y: float) -> float:
    """2**y to 1.2 ulp for y in [-1022, 1023.49]; undefined beyond. Three quarters of what `exp` costs."""
    rounded = y + _ROUND
    f = y - (rounded - _ROUND)  # exact, in [-1/2, 1/2]
    scale = from_bits((bits(rounded) << _52) + _ONE)
    return fma(f * horner(f, _EXP2), scale, scale)


@device
def exp_normal(x: float) -> float:
    """e**x to 1.2 ulp and 1.3e-16 times x, for x in [-708.39, 709.41]; held at what it is there beyond.

    So it is about as exact as an x that was rounded itself can tell. A fifth cheaper than `exp`.
    """
    y = x * LOG2_E
    y = 1023.49 if y > 1023.49 else y
    y = -1022.0 if y < -1022.0 else y
    return exp2_normal(y)


@device
def _exp(x: float, low: float, factor: float) -> float:
    """``factor * e**(x + low)`` for x in [-746, 710] and a tiny ``low``."""
    rounded = fma(x, LOG2_E, _ROUND)
    k = rounded - _ROUND
    r = fma(k, -_LN2_LOW, fma(k, -_LN2_HIGH, x)) + low
    excess = fma(r * r, horner(r, _EXP), r)
    half = fma(k, 0.5, _ROUND)  # 2**k in two factors: k reaches beyond the exponents of float64 on both sides
    first = from_bits((bits(half) << _52) + _ONE)
    second = from_bits(((bits(rounded) - bits(half)) << _52) + _ONE)
    return fma(factor, excess, factor) * first * second


@device
def log(x: float) -> float:
    """Natural logarithm to 0.9 ulp, of subnormal numbers too; -inf at zero, NaN below, inf at inf."""
    small = x < 2.0**-1022
    y = log_unguarded(x * 2.0**54 if small else x)
    y = y - 37.42994775023705 if small else y
    y = -np.inf if x == 0.0 else y
    y = x if x == np.inf else y
    return y if x >= 0.0 else np.nan


@device
def log_unguarded(x: float) -> float:
    """`log` of what is positive, finite and not subnormal; undefined for anything else."""
    moved = bits(x) + _FROM_ROOT_HALF
    k = from_bits((moved >> _52) | _TWO52) - (2.0**52 + 1023.0)
    f = from_bits(bits(x) - ((moved & _EXPONENT) - _ONE)) - 1.0  # x = 2**k (1 + f), 1 + f from sqrt(1/2) to sqrt(2)
    s = f / (2.0 + f)  # ln(1 + f) = 2 artanh s = f - s (f - s**2 (2/3 + 2/5 s**2 + ...))
    z = s * s
    tail = fma(k, _LN2_LOW, -s * fma(-z, horner(z, _LOG), f))
    return fma(k, _LN2_HIGH, f + tail)


@device
def sincos_turn(u: float) -> tuple[float, float]:
    """Sine and cosine of 2 pi u, each to 1.1 ulp, for u in [0, 1)."""
    rounded = fma(u, 4.0, _ROUND)
    quadrant = bits(rounded)
    y = fma(u, 4.0, _ROUND - rounded)  # exact, in [-1/2, 1/2]
    w = y * y
    s = fma(y, 1.5707963267948966, y * horner(w, _SIN))
    c = horner(w, _COS)
    odd = (quadrant & np.uint64(1)) != np.uint64(0)
    sine_sign = (quadrant & np.uint64(2)) << np.uint64(62)
    cosine_sign = ((quadrant + np.uint64(1)) & np.uint64(2)) << np.uint64(62)
    return from_bits(bits(c if odd else s) ^ sine_sign), from_bits(bits(s if odd else c) ^ cosine_sign)


@device
def ndtr(x: float) -> float:
    r"""Standard normal distribution function to 3 ulp, in the left tail too, where results below x = -37.5 are subnormal.

    :math:`\Phi(-t) = M(t) e^{-t^2/2}` for positive t, with :math:`(t + 5) M(t)` a polynomial in
    :math:`(t - 5)/(t + 5)`. What the square and the quotient round off is put back in the exponent.
    """
    t = abs(x)
    t = 39.0 if t > 39.0 else t
    square = t * t
    s = t + 5.0
    z = 1.0 / s
    y = fma(-10.0, z, 1.0)
    lost = fma(-s, z, 1.0) + ((s - 5.0) - t) * z  # 1 / (t + 5) = z (1 + lost), which M feels through y as well
    low = fma(-0.5, fma(t, t, -square), lost * fma(1.0 - y, fma(-0.6, y, 0.87), 1.0))
    slope = horner(y, _MILLS_SLOPE)
    mills = fma(y, slope, _MILLS)
    tail = _exp(-0.5 * square, low, fma(z, mills, z * fma(y, slope, _MILLS - mills)))
    return 1.0 - tail if x > 0.0 else tail


@device
def mills(t: float) -> float:
    r"""Tail of the standard normal distribution over its density, :math:`\Phi(-t)/\varphi(t)`, to 7.5 ulp for t in [0, 39]; held beyond.

    Where the density is there already, a third of what `ndtr` costs.
    """
    z = 1.0 / ((39.0 if t > 39.0 else t) + 5.0)
    y = fma(-10.0, z, 1.0)
    return z * (_ROOT_TWO_PI * fma(y, horner(y, _MILLS_SLOPE), _MILLS))


@device
def ndtri(p: float) -> float:
    r"""Inverse of the standard normal distribution function to 3.5 ulp; infinite at 0 and 1, NaN outside.

    With p the distance to the nearer end of the interval: a straight line plus a rational function, of
    :math:`q = \frac12 - p` and :math:`q^2` where p > 0.08, else of :math:`\sqrt{-\ln p}`. Their variables are shifted so
    that all coefficients are positive and no digits cancel.
    """
    q = p - 0.5
    r = q * q
    nearer = 1.0 - p if p > 0.5 else p
    central = nearer > 0.08
    c = 0.1764 - r
    t = math.sqrt(-log(nearer)) - 1.6
    line = 2.5066282746310007 * abs(q) if central else fma(1.4142135623730951, t, 1.4234371107496835)
    numerator = abs(q) * r * horner(c, _CENTRE_P) if central else t * horner(t, _TAIL_P)
    denominator = horner(c, _CENTRE_Q) if central else horner(t, _TAIL_Q)
    size = np.inf if nearer == 0.0 else line + numerator / denominator
    return math.copysign(size, q)
