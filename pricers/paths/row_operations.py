"""What contracts make of rows: one number per path."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pricers.numerics.kernel import kernel
from pricers.numerics.workspace import empty
from pricers.paths.paths import AffineSummary

__all__ = ["cash_if", "empty", "exercise", "exercise_slope", "exercise_unless"]

FloatArray = npt.NDArray[np.float64]


@kernel
def _exercise(sign, level, slope, x, strike, out):
    for path in range(out.shape[0]):
        value = sign * ((level + slope * x[path]) - strike)
        out[path] = 0.0 if value < 0.0 else value  # NaN stays


@kernel
def _exercise_slope(sign, value, strike, slope, out):
    for path in range(out.shape[0]):
        x = sign * (value[path] - strike)
        moved = sign * slope[path] if x > 0.0 else 0.0
        out[path] = moved if x == x else x


@kernel
def _cash_if(sign, level, slope, x, strike, cash, out):
    for path in range(out.shape[0]):
        beyond = sign * ((level + slope * x[path]) - strike)
        paid = cash if beyond > 0.0 else 0.0
        out[path] = paid if beyond == beyond else beyond


def exercise(option: str, value: AffineSummary, strike: float) -> FloatArray:
    """Exercise value of a call or put struck at ``strike`` on ``value``, [path]."""
    out = empty(value.x.shape)
    _exercise(1.0 if option == "call" else -1.0, *value, strike, out)
    return out


def exercise_slope(option: str, value: FloatArray, strike: float, slope: FloatArray) -> FloatArray:
    """Derivative of `exercise` where that of ``value`` is ``slope``, [path]."""
    out = empty(value.shape)
    _exercise_slope(1.0 if option == "call" else -1.0, value, strike, slope, out)
    return out


def cash_if(option: str, value: AffineSummary, strike: float, cash: float) -> FloatArray:
    """``cash`` where ``value`` is above ``strike`` (put: below it), else nothing, [path]."""
    out = empty(value.x.shape)
    _cash_if(1.0 if option == "call" else -1.0, *value, strike, cash, out)
    return out


@kernel
def _exercise_unless(sign, last, strike, side, extreme, barrier, out, rebate, paid):
    """What is paid for the last spot and the extreme one, [path]; side is 1 where a barrier is touched from below, else -1."""
    for path in range(paid.shape[0]):
        value = sign * (last[path] - strike)
        value = 0.0 if value < 0.0 else value  # NaN stays
        touched = side * (extreme[path] - barrier) >= 0.0
        paid[path] = value if touched != out else rebate


def exercise_unless(
    option: str, last: FloatArray, strike: float, *, extreme: FloatArray, barrier: float, up: bool, out: bool, rebate: float
) -> FloatArray:
    """Exercise value where the extreme spot has touched the barrier (``out``: has not), else the rebate, [path]."""
    paid = empty(extreme.shape)
    sign, side = (1.0 if option == "call" else -1.0), (1.0 if up else -1.0)
    _exercise_unless(sign, last, strike, side, extreme, barrier, out, rebate, paid)
    return paid
