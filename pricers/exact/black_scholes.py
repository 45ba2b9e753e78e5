"""European and cash-or-nothing options under geometric Brownian motion.

Everything rests on one expectation, :func:`lognormal_tail`, which the geometric Asian and the barriers use as well.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr, ndtr

Array = npt.NDArray[np.float64]
FloatLike = float | Array

_SMALLEST_STDEV = 1e-100  # its square and its inverse square are still floats
_FAR = 50.0  # the normal density and tail beyond are zero in double precision


class Partials(NamedTuple):
    r"""An expectation over :math:`\ln X \sim N(f - s^2/2,\, s^2)`, where :math:`e^f = F = E[X]`, and its derivatives.

    The convexity is also :math:`s^{-1} \partial/\partial s`: the heat equation.
    """

    value: Any
    f: Any  # d/df = F d/dF
    convexity: Any  # F^2 d2/dF2
    s: Any  # d/ds
    fs: Any  # d2/df ds
    ss: Any  # d2/ds2


def option_sign(option: str) -> int:
    """Return +1 for ``"call"`` and -1 for ``"put"``."""
    try:
        return {"call": 1, "put": -1}[option]
    except KeyError:
        raise ValueError(f"option must be 'call' or 'put', got {option!r}") from None


def lognormal_tail(
    *,
    forward: FloatLike,
    stdev: FloatLike,
    edge: FloatLike,
    side: int,
    slope: float,
    level: FloatLike,
    log_forward: FloatLike | None = None,
) -> Partials:
    r"""Integrate a linear payoff on one side of an edge; value and derivatives.

    With :math:`\ln X \sim N(\ln F - s^2/2,\, s^2)`, side :math:`\omega = \pm 1`, edge :math:`a`, slope :math:`A`
    and level :math:`B`,

    .. math:: E[(A X + B) 1_{\omega X > \omega a}] = A F \Phi(\omega d_1) + B \Phi(\omega d_2), \quad
              d_{2} = \ln(F/a)/s - s/2, \quad d_1 = d_2 + s.

    The derivatives follow from :math:`F \varphi(d_1) = a \varphi(d_2)`; the payoff jumps by :math:`A a + B` there.

    Parameters
    ----------
    forward, stdev, edge, level : float or array
        Broadcast against each other; ``edge`` not negative, ``stdev`` not negative (zero is read as its limit).
    side : int
        +1 for the part above the edge, -1 for the part below.
    slope : float
        Units of payoff per unit of X.
    log_forward : float or array, optional
        Takes the place of ``forward``, which may then be beyond all floats; the expectation below the edge still is a number.
    """
    s = np.maximum(stdev, _SMALLEST_STDEV)
    with np.errstate(divide="ignore"):  # an edge at zero is passed for certain
        centre = (np.log(np.divide(forward, edge)) if log_forward is None else log_forward - np.log(edge)) / s
    d1 = np.clip(centre + 0.5 * s, -_FAR, _FAR)
    d2 = np.clip(centre - 0.5 * s, -_FAR, _FAR)
    density = side * np.exp(-0.5 * d2 * d2) / np.sqrt(2.0 * np.pi)
    if log_forward is None or not slope:
        linear = slope * forward * ndtr(side * d1) if slope else np.zeros_like(d1)
    else:
        linear = slope * np.exp(log_forward + log_ndtr(side * (centre + 0.5 * s)))
    jump = slope * edge + level
    tilt = level + jump * d2 / s
    return Partials(
        value=linear + level * ndtr(side * d2),
        f=linear + jump * density / s,
        convexity=-density * tilt / s,
        s=-density * tilt,
        fs=density * (d2 * tilt / s - jump / s**2),
        ss=-density * (d1 * d2 * tilt / s - jump * (d1 + d2) / s**2),
    )


def european(
    *,
    option: str,
    spot: FloatLike,
    strike: FloatLike,
    vol: FloatLike,
    expiry: FloatLike,
    log_growth: FloatLike,
    log_discount: FloatLike,
) -> dict[str, Any]:
    r"""Black-Scholes-Merton value of a call or put, with its Greeks.

    .. math:: D\,\omega\,[F \Phi(\omega d_1) - K \Phi(\omega d_2)], \quad F = S e^g,\ D = e^{\ell}

    Parameters
    ----------
    option : str
        ``"call"`` or ``"put"``.
    spot, strike : float or array
        In one currency. All numbers broadcast against each other.
    vol : float or array
        Per square root of a year.
    expiry : float or array
        Years.
    log_growth : float or array
        :math:`g = \ln(F/S)`, (rate - dividend) * expiry when flat.
    log_discount : float or array
        :math:`\ell`, -rate * expiry.

    Returns
    -------
    dict
        price, delta, gamma, vega (per 1.00 of vol), rho (parallel shift of the zero rate), theta (minus the
        derivative in expiry at fixed zero rates), dividend_rho, vanna and volga: derivatives of present value,
        floats or arrays of the broadcast shape. At zero vol or expiry they are the limits; where the limit is
        infinite (gamma at the money) a very large number.

    References
    ----------
    Black and Scholes (1973), Merton (1973); Haug, The Complete Guide to Option Pricing Formulas (2007), ch. 1 and 2.
    """
    side = option_sign(option)
    forward, stdev = spot * np.exp(log_growth), vol * np.sqrt(expiry)
    tail = lognormal_tail(forward=forward, stdev=stdev, edge=strike, side=side, slope=side, level=-side * strike)
    return _present(tail, spot, vol, expiry, log_growth, log_discount)


def digital(
    *,
    option: str,
    spot: FloatLike,
    strike: FloatLike,
    vol: FloatLike,
    expiry: FloatLike,
    log_growth: FloatLike,
    log_discount: FloatLike,
    cash: FloatLike = 1.0,
) -> dict[str, Any]:
    r"""Cash-or-nothing option, paid if the spot ends above (call) or below (put) the strike.

    .. math:: D\,c\,\Phi(\omega d_2)

    Parameters, units and Greeks as in :func:`european`; ``cash`` is the amount paid.

    References
    ----------
    Reiner and Rubinstein, Unscrambling the binary code, Risk 4(9) (1991); Haug (2007), section 4.19.2.
    """
    side = option_sign(option)
    forward, stdev = spot * np.exp(log_growth), vol * np.sqrt(expiry)
    tail = lognormal_tail(forward=forward, stdev=stdev, edge=strike, side=side, slope=0.0, level=cash)
    return _present(tail, spot, vol, expiry, log_growth, log_discount)


def _present(
    tail: Partials,
    spot: FloatLike,
    vol: FloatLike,
    expiry: FloatLike,
    log_growth: FloatLike,
    log_discount: FloatLike,
) -> dict[str, Any]:
    """Greeks of a discounted expectation at ``expiry``, by the chain rule from log-forward and standard deviation."""
    t = np.maximum(expiry, _SMALLEST_STDEV**2)
    discount = np.exp(log_discount)
    return {
        "price": discount * tail.value,
        "delta": discount * tail.f / spot,
        "gamma": discount * tail.convexity / spot**2,
        "vega": discount * tail.s * np.sqrt(t),
        "rho": discount * t * (tail.f - tail.value),
        "theta": -discount * (log_discount * tail.value + log_growth * tail.f + 0.5 * vol * np.sqrt(t) * tail.s) / t,
        "dividend_rho": -discount * t * tail.f,
        "vanna": discount * tail.fs * np.sqrt(t) / spot,
        "volga": discount * tail.ss * t,
    }
