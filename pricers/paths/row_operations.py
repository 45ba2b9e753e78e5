"""What contracts make of rows: one number per path."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pricers.numerics.kernel import kernel
from pricers.numerics.workspace import empty
from pricers.paths.paths import Line

__all__ = ["cash_if", "empty", "exercise", "exercise_slope", "exercise_unless"]

FloatArray = npt.NDArray[np.float64]


@kernel
def _exercise(sign, level, slope, x, strike, out):
    for lane in range(out.shape[0]):
        worth = sign * ((level + slope * x[lane]) - strike)
        out[lane] = 0.0 if worth < 0.0 else worth  # NaN stays


@kernel
def _exercise_slope(sign, value, strike, slope, out):
    for lane in range(out.shape[0]):
        x = sign * (value[lane] - strike)
        moved = sign * slope[lane] if x > 0.0 else 0.0
        out[lane] = moved if x == x else x


@kernel
def _cash_if(sign, level, slope, x, strike, cash, out):
    for lane in range(out.shape[0]):
        beyond = sign * ((level + slope * x[lane]) - strike)
        paid = cash if beyond > 0.0 else 0.0
        out[lane] = paid if beyond == beyond else beyond


def exercise(option: str, value: Line, strike: float) -> FloatArray:
    """Exercise value of a call or put struck at ``strike`` on ``value``, [lane]."""
    out = empty(value.x.shape)
    _exercise(1.0 if option == "call" else -1.0, *value, strike, out)
    return out


def exercise_slope(option: str, value: FloatArray, strike: float, slope: FloatArray) -> FloatArray:
    """Derivative of `exercise` where that of ``value`` is ``slope``, [lane]."""
    out = empty(value.shape)
    _exercise_slope(1.0 if option == "call" else -1.0, value, strike, slope, out)
    return out


def cash_if(option: str, value: Line, strike: float, cash: float) -> FloatArray:
    """``cash`` where ``value`` is above ``strike`` (put: below it), else nothing, [lane]."""
    out = empty(value.x.shape)
    _cash_if(1.0 if option == "call" else -1.0, *value, strike, cash, out)
    return out


@kernel
def _exercise_unless(sign, last, strike, side, extreme, barrier, out, rebate, paid):
    """What is paid for the last spot and the extreme one, [lane]; side is 1 where a barrier is touched from below, else -1."""
    for lane in range(paid.shape[0]):
        worth = sign * (last[lane] - strike)
        worth = 0.0 if worth < 0.0 else worth  # NaN stays
        touched = side * (extreme[lane] - barrier) >= 0.0
        paid[lane] = worth if touched != out else rebate


def exercise_unless(
    option: str, last: FloatArray, strike: float, *, extreme: FloatArray, barrier: float, up: bool, out: bool, rebate: float
) -> FloatArray:
    """Exercise value where the extreme spot has touched the barrier (``out``: has not), else the rebate, [lane]."""
    paid = empty(extreme.shape)
    sign, side = (1.0 if option == "call" else -1.0), (1.0 if up else -1.0)
    _exercise_unless(sign, last, strike, side, extreme, barrier, out, rebate, paid)
    return paid
