"""Elementary functions on bare float64 for use inside kernels: no calls, no branches, so that loops over lanes vectorise.

(First version: exp, log, sincos_turn, ndtr, ndtri.)
"""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from pricers.kernel import device


@intrinsic  # type: ignore[untyped-decorator]
def fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c`` with one rounding; one instruction on every processor of the last ten years."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), generate


@intrinsic  # type: ignore[untyped-decorator]
def bits(typing_context: Any, x: Any) -> Any:
    """The 64 bits of a float64 as uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.uint64(types.float64), generate


@intrinsic  # type: ignore[untyped-decorator]
def from_bits(typing_context: Any, word: Any) -> Any:
    """The float64 whose 64 bits are a uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator]
def horner(typing_context: Any, x: Any, coefficients: Any) -> Any:
    """Polynomial in x by fused multiply-adds; the coefficients are a tuple of floats, constant term first."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.extract_value(arguments[1], coefficients.count - 1)
        for index in reversed(range(coefficients.count - 1)):
            value = builder.fma(value, arguments[0], builder.extract_value(arguments[1], index))
        return value

    return types.float64(types.float64, coefficients), generate


_LN2_HIGH = 0.6931471804855391  # 33 bits, so that times an exponent it is exact
_LN2_LOW = 7.440617110012397e-11
_LOG2_E = 1.4426950408889634
_ROUND = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to an integer and leaves that in the lowest bits
_ONE = np.uint64(0x3FF0000000000000)
_EXPONENT = np.uint64(0x7FF0000000000000)
_SQRT_HALF_UP = np.uint64(0x3FF0000000000000 - 0x3FE6A09E667F3BCD)  # moves sqrt(1/2) to where an exponent begins
_TWO52 = np.uint64(0x4330000000000000)
_52 = np.uint64(52)


@device
def exp(x):  # type: ignore[no-untyped-def]
    """e**x."""
    x = 710.0 if x > 710.0 else x
    x = -746.0 if x < -746.0 else x
    rounded = fma(x, _LOG2_E, _ROUND)
    k = rounded - _ROUND
    r = fma(k, -_LN2_LOW, fma(k, -_LN2_HIGH, x))
    p = fma(r, 2.510038549551032e-08, 2.7620088445409746e-07)
    p = fma(r, p, 2.7557268459997064e-06)
    p = fma(r, p, 2.4801521295954376e-05)
    p = fma(r, p, 0.00019841269863053618)
    p = fma(r, p, 0.0013888888917213717)
    p = fma(r, p, 0.008333333333330062)
    p = fma(r, p, 0.04166666666662413)
    p = fma(r, p, 0.16666666666666669)
    p = fma(r, p, 0.5000000000000001)
    p = 1.0 + fma(r * r, p, r)
    halved = fma(k, 0.5, _ROUND)
    first = from_bits((bits(halved) << _52) + _ONE)
    second = from_bits(((bits(rounded) - bits(halved)) << _52) + _ONE)
    return p * first * second


@device
def log_normal_range(x):  # type: ignore[no-untyped-def]
    """Natural logarithm of a positive, normal, finite number."""
    moved = bits(x) + _SQRT_HALF_UP
    k = from_bits((moved >> _52) | _TWO52) - 4503599627371519.0
    f = from_bits(bits(x) - ((moved & _EXPONENT) - _ONE)) - 1.0
    s = f / (2.0 + f)
    z = s * s
    p = fma(z, 0.14617807153417325, 0.15331611722055008)
    p = fma(z, p, 0.1818289243253687)
    p = fma(z, p, 0.22222211089379496)
    p = fma(z, p, 0.28571428626253836)
    p = fma(z, p, 0.3999999999989889)
    p = fma(z, p, 0.666666666666667)
    tail = fma(k, _LN2_LOW, -s * fma(-z, p, f))
    return fma(k, _LN2_HIGH, f + tail)


@device
def log(x):  # type: ignore[no-untyped-def]
    """Natural logarithm."""
    subnormal = x < 2.2250738585072014e-308
    y = log_normal_range(x * 18014398509481984.0 if subnormal else x)
    y = y - 37.42994775023705 if subnormal else y
    y = x if x == np.inf else y
    y = -np.inf if x == 0.0 else y
    return y if x >= 0.0 else np.nan


@device
def sincos_turn(u):  # type: ignore[no-untyped-def]
    """sin and cos of 2 pi u, for u in [0, 1)."""
    rounded = fma(u, 4.0, _ROUND)
    quadrant = bits(rounded)
    y = fma(u, 4.0, _ROUND - rounded)
    w = y * y
    p = fma(w, 5.642223379747013e-08, -3.598702939782113e-06)
    p = fma(w, p, 0.0001604411666119179)
    p = fma(w, p, -0.004681754134254037)
    p = fma(w, p, 0.07969262624614423)
    p = fma(w, p, -0.6459640975062462)
    p = fma(w, p, 6.123233995736766e-17)
    s = fma(y, 1.5707963267948966, y * p)
    q = fma(w, -6.337542080972305e-09, 4.7107369579623363e-07)
    q = fma(w, q, -2.5202040587446632e-05)
    q = fma(w, q, 0.000919260274734828)
    q = fma(w, q, -0.02086348076335072)
    q = fma(w, q, 0.25366950790104803)
    q = fma(w, q, -1.2337005501361697)
    c = fma(w, q, 1.0)
    odd = (quadrant & np.uint64(1)) != np.uint64(0)
    sine = c if odd else s
    cosine = s if odd else c
    sine_sign = (quadrant & np.uint64(2)) << np.uint64(62)
    cosine_sign = ((quadrant + np.uint64(1)) & np.uint64(2)) << np.uint64(62)
    return from_bits(bits(sine) ^ sine_sign), from_bits(bits(cosine) ^ cosine_sign)


_MILLS = (0.769193049750063, -0.6653825028900567, 0.49530561596997413, -0.3135331566712971, 0.1650203661705007,
    -0.06911863870647982, 0.020795066797569855, -0.002993376769094473, -0.0007978693748911934, 0.000544899062695852,
    -5.937586616736071e-05, -4.9762853165030135e-05, 1.668170360977268e-05, 3.981182741532577e-06,
    -2.7703209441469523e-06, -3.374965203524632e-07, 4.3443907263764586e-07, 4.375841598285575e-08,
    -6.667529339227571e-08, -1.0618274174239376e-08, 7.630410417873182e-09, 2.224938767716443e-09)


@device
def ndtr(x):  # type: ignore[no-untyped-def]
    """Standard normal distribution function."""
    t = abs(x)
    t = 39.0 if t > 39.0 else t
    z = 1.0 / (t + 5.0)
    square = t * t
    tail = exp(-0.5 * square) * fma(-0.5, fma(t, t, -square), 1.0) * (z * horner(fma(-10.0, z, 1.0), _MILLS))
    return 1.0 - tail if x > 0.0 else tail


_CENTRE_P = (2.5066282746310007, -38.76009853414576, 240.15873964281954, -757.3136614855704, 1270.2603864644932,
    -1068.0838260864164, 365.60729489041, -24.497519129691163)
_CENTRE_Q = (1.0, -16.510239648992883, 110.79605008793332, -386.3787051627505, 740.654553432615, -754.4144936347652,
    355.11695388061406, -51.56364010612997)
_TAIL_P = (-3.5554918090165653, -37.270544185617595, -60.44128199147064, 19.482277260649123, 76.48011319873807,
    53.46317517962659, 18.512840565275862, 3.1853321431656525, 0.24556024286066547, 0.007416893200408117,
    6.50018062617982e-05)
_TAIL_Q = (1.0, 17.16235461263071, 59.51020735207727, 72.47703898221415, 41.69034484541807, 13.46183856607892,
    2.266281262565412, 0.1737949723377267, 0.0052446483786560945, 4.5962934230897705e-05, 5.599809918754801e-13)


@device
def ndtri(p):  # type: ignore[no-untyped-def]
    """Inverse of the standard normal distribution function."""
    q = p - 0.5
    r = q * q
    smaller = 1.0 - p if p > 0.5 else p
    s = math.sqrt(-log(smaller))
    central = smaller > 0.08
    above = q * horner(r, _CENTRE_P) if central else math.copysign(horner(s, _TAIL_P), q)
    below = horner(r, _CENTRE_Q) if central else horner(s, _TAIL_Q)
    x = above / below
    return math.copysign(np.inf, q) if smaller == 0.0 else x
