r"""Black-Scholes implied volatility to machine precision.

With forward :math:`F`, the time value of any option is the price of its out-of-the-money sibling. In units of
:math:`\sqrt{F K}`, with :math:`x = -|\ln(F/K)|` and total standard deviation :math:`s = \sigma \sqrt T`, it is

.. math:: b(s) = e^{x/2} \Phi(h + t) - e^{-x/2} \Phi(h - t), \quad h = x/s,\; t = s/2, \qquad
          b'(s) = \tfrac{1}{\sqrt{2\pi}} e^{-(h^2 + t^2)/2},

convex below the inflection :math:`s_c = \sqrt{2|x|}`, concave above, with supremum :math:`e^{x/2}`. Newton steps are
taken where the function is nearly a straight line (after Jäckel, "By implication", Wilmott, November 2006): below
:math:`s_c` on :math:`\ln b` in :math:`1/s^2`, above on :math:`\ln(e^{x/2} - b)` in :math:`s^2`; a step that leaves the
bracket is replaced by its geometric middle.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfcx, log_ndtr

from pricers.errors import InvalidInput

__all__ = ["implied_vol"]

FloatArray = NDArray[np.float64]

_FURTHEST = 39.0  # exp(-39^2/2) is the smallest positive double
_MOST_STEPS = 64


def implied_vol(
    *,
    option: ArrayLike,
    price: ArrayLike,
    spot: ArrayLike,
    strike: ArrayLike,
    expiry: ArrayLike,
    log_growth: ArrayLike,
    log_discount: ArrayLike,
) -> FloatArray:
    r"""Return the volatility at which Black and Scholes give `price`.

    The result is exact to a few units in the last place for the time value it is given; that of an option deep in
    the money has lost digits already, in the price.

    Parameters
    ----------
    option : str or array_like of str
        "call" or "put". All arguments broadcast against each other.
    price : float or array
        Present value.
    spot, strike : float or array
        In the price's currency.
    expiry : float or array
        Years, positive.
    log_growth, log_discount : float or array
        :math:`\ln(F/S)` and the logarithm of the discount factor.

    Returns
    -------
    FloatArray
        Per square root of a year, of the broadcast shape.

    Raises
    ------
    InvalidInput
        If a price does not lie strictly inside its no-arbitrage bounds; the text names the first such quote.
    """
    options = np.asarray(option)
    if unknown := set(options.ravel().tolist()) - {"call", "put"}:
        raise InvalidInput("option", unknown.pop(), "must be 'call' or 'put'")
    floats = (np.asarray(number, dtype=np.float64) for number in (price, spot, strike, expiry, log_growth, log_discount))
    side, given, s, k, t, growth, discount = np.broadcast_arrays(np.where(options == "call", 1.0, -1.0), *floats)
    forward, value = s * np.exp(growth), given * np.exp(-discount)

    intrinsic = np.maximum(side * (forward - k), 0.0)
    supremum = np.where(side > 0.0, forward, k)
    valid = (value > intrinsic) & (value < supremum) & (k > 0.0) & (forward > 0.0) & (t > 0.0) & np.isfinite(t)
    if not np.all(valid):
        i = np.unravel_index(int(np.argmin(valid)), valid.shape)
        kind, factor = "call" if side[i] > 0.0 else "put", np.exp(discount[i])
        raise InvalidInput(
            "price",
            float(given[i]),
            f"of the {kind} with strike {k[i]:g}, expiry {t[i]:g} and forward {forward[i]:g} must lie strictly "
            f"between {intrinsic[i] * factor:.17g} and {supremum[i] * factor:.17g}",
        )
    unit = np.sqrt(forward * k)
    x = -np.abs(np.log(forward / k))
    stdev = _stdev(x.ravel(), ((value - intrinsic) / unit).ravel(), ((supremum - value) / unit).ravel())
    return np.asarray(stdev.reshape(x.shape) / np.sqrt(t), dtype=np.float64)


def _stdev(x: FloatArray, value: FloatArray, rest: FloatArray) -> FloatArray:
    """Solve b(s) = value, where rest = exp(x/2) - value, for flat arrays."""
    turn = np.sqrt(-2.0 * x)
    lower = np.log(value) < _log_time_value(-0.5 * turn, 0.5 * turn)
    low = np.where(lower, -x / _FURTHEST, turn)
    high = np.where(lower, turn, turn + 2.0 * _FURTHEST)
    s = np.where(lower, turn, np.sqrt(turn * turn + 2.0 * math.pi * value * value))  # at the money s is near the latter
    target = np.log(np.where(lower, value, rest))
    for _ in range(_MOST_STEPS):
        h, t = x / s, 0.5 * s
        complement = np.logaddexp(0.5 * x + log_ndtr(-h - t), log_ndtr(h - t) - 0.5 * x)
        log_value = np.where(lower, _log_time_value(h, t), complement)
        excess = log_value - target
        rate = np.exp(-0.5 * (h * h + t * t) - 0.5 * math.log(2.0 * math.pi) - log_value)  # |d log_value / ds|
        above = np.where(lower, excess, -excess) > 0.0
        low, high = np.where(above, low, s), np.where(above, s, high)
        with np.errstate(invalid="ignore", divide="ignore"):
            straight = np.where(lower, s**-2 + 2.0 * excess / (rate * s**3), s**2 + 2.0 * s * excess / rate)
            moved = np.where(lower, straight**-0.5, straight**0.5)
        moved = np.where((moved >= low) & (moved <= high), moved, np.sqrt(np.maximum(low, 1e-6 * s) * high))
        settled = np.abs(moved - s) <= 1e-10 * s  # Newton: the error left is about its square
        s = moved
        if np.all(settled):
            break
    return s


def _log_time_value(h: FloatArray, t: FloatArray) -> FloatArray:
    """Return ln b below the inflection, where h + t is not positive, without cancelling tails."""
    near, far = erfcx(-np.minimum(h + t, 0.0) / math.sqrt(2.0)), erfcx((t - h) / math.sqrt(2.0))
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(0.5 * (near - far)) - 0.5 * (h * h + t * t), dtype=np.float64)
