r"""Geometric Asian options with discrete fixings under Heston: the logarithm of the average is affine.

Of :math:`N` fixings, :math:`m` lie ahead at :math:`t_1 < \dots < t_m`, the others are known. With the forward average
:math:`\ln F_G = \frac1N (\sum_{past} \ln S + m \ln S_0 + \sum_j g_j)`, where :math:`g_j = \ln(F(t_j)/S_0)`,

.. math:: \ln(G/F_G) = \sum_{j=1}^m a_j X_j, \qquad a_j = \frac{m - j + 1}{N},

where :math:`X_j` is the driftless log-return over :math:`(t_{j-1}, t_j]`. Its moment generating function follows from
the last interval to the first by :func:`pricers.exact.heston_fourier.affine_step`, each interval with its own argument
:math:`a_j z` and starting from the factor of the one after (Kim, Kim, Kim and Wee 2016, by another route). The option
is then worth what the European is with :math:`F_G` for the forward, except that :math:`E[G] = F_G M(1)`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pricers.exact.black_scholes import option_sign
from pricers.exact.heston_fourier import ComplexArray, Exponent, FloatArray, affine_step, check_parameters, greeks_of, invert

__all__ = ["geometric_asian", "geometric_asian_digital"]


def geometric_asian(
    *,
    option: str,
    spot: float,
    strike: ArrayLike,
    times: ArrayLike,
    log_growth: ArrayLike,
    log_discount: float,
    v0: float,
    kappa: float,
    theta: float,
    xi: float,
    rho: float,
    past_log_sum: float = 0.0,
    past_count: int = 0,
) -> dict[str, Any]:
    r"""Geometric-average call or put, paid at the last fixing.

    Parameters
    ----------
    option : str
        "call" or "put".
    spot, strike : float, array_like
        Positive; an array of strikes shares one pass of the characteristic function.
    times, log_growth : array_like, [time]
        Fixings ahead in years, positive and increasing, and :math:`\ln(F/S)` at each.
    log_discount : float
        Logarithm of the discount factor to the last fixing.
    v0, kappa, theta, xi, rho : float
        Heston's parameters.
    past_log_sum, past_count : float, int
        Sum of the logarithms of the fixings already known, and their number.

    Returns
    -------
    dict of str to float or ndarray
        As :func:`pricers.exact.heston_fourier.european`; all dates scale with maturity in theta.

    References
    ----------
    Kim, Kim, Kim and Wee, "A recursive method for discretely monitored geometric Asian option prices", Bull. Korean
    Math. Soc. 53 (2016); Kim and Wee, Quantitative Finance 14 (2014), for the continuous average.
    """
    side = option_sign(option)
    terms = _Terms.of(spot, strike, times, log_growth, log_discount, past_log_sum, past_count)
    parameters = {"kappa": kappa, "theta": theta, "xi": xi, "rho": rho}
    check_parameters(v0=v0, **parameters)
    exponent = _exponent(terms.taus, terms.shares, v0, parameters)
    capped, error = invert(exponent, lambda z: 1.0 / (z * (1.0 - z)), terms.log_forward - np.log(terms.strikes), bends=(0.0,))
    discount = math.exp(log_discount)
    claim = -discount * terms.strikes * capped
    if side > 0:
        if kappa == rho * xi:
            parameters["kappa"] = math.nextafter(kappa, math.inf)  # d is zero in the first interval of a fresh average
        log_mgf, slopes = _exponent(terms.taus, terms.shares, v0, parameters)(np.ones(1, np.complex128))
        mean = discount * math.exp(terms.log_forward + log_mgf[0].real)
        claim += mean * np.concatenate(([1.0, 1.0, 0.0], slopes[:, 0].real))[:, None]
    else:
        claim[0] += discount * terms.strikes
    return terms.greeks(claim, discount * terms.strikes * error, shape=np.shape(strike), v0=v0)


def geometric_asian_digital(
    *,
    option: str,
    spot: float,
    strike: ArrayLike,
    times: ArrayLike,
    log_growth: ArrayLike,
    log_discount: float,
    v0: float,
    kappa: float,
    theta: float,
    xi: float,
    rho: float,
    cash: float = 1.0,
    past_log_sum: float = 0.0,
    past_count: int = 0,
) -> dict[str, Any]:
    """Cash paid at the last fixing where the geometric average ends above (call) or below (put) the strike.

    Parameters, units, Greeks and errors as in :func:`geometric_asian`; ``cash`` is the amount paid.
    """
    side = option_sign(option)
    terms = _Terms.of(spot, strike, times, log_growth, log_discount, past_log_sum, past_count)
    parameters = {"kappa": kappa, "theta": theta, "xi": xi, "rho": rho}
    check_parameters(v0=v0, **parameters)
    exponent = _exponent(terms.taus, terms.shares, v0, parameters)
    above, error = invert(exponent, lambda z: 1.0 / z, terms.log_forward - np.log(terms.strikes), bends=(0.0,))
    present = cash * math.exp(log_discount)
    claim = side * present * above
    if side < 0:
        claim[0] += present
    return terms.greeks(claim, present * error, shape=np.shape(strike), v0=v0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Terms:
    """The average's forward and its intervals, checked."""

    spot: float
    strikes: FloatArray
    taus: FloatArray
    shares: FloatArray
    mean_growth: float
    mean_time: float
    log_forward: float
    log_discount: float

    @classmethod
    def of(
        cls,
        spot: float,
        strike: ArrayLike,
        times: ArrayLike,
        log_growth: ArrayLike,
        log_discount: float,
        past_log_sum: float,
        past_count: int,
    ) -> _Terms:
        fixings = np.asarray(times, dtype=np.float64)
        taus = np.diff(fixings, prepend=0.0)
        strikes = np.asarray(strike, dtype=np.float64).ravel()
        if not (len(taus) and np.all(taus > 0.0) and math.isfinite(taus.sum())):
            raise ValueError(f"times must be positive and increase, got {times!r}")
        if not (0.0 < spot < math.inf and np.all((strikes > 0.0) & (strikes < math.inf))):
            raise ValueError(f"spot and strike must be positive, got {spot!r} and {strike!r}")
        growths = np.asarray(log_growth, dtype=np.float64)
        if growths.shape != taus.shape or not math.isfinite(growths.sum() + log_discount + past_log_sum):
            raise ValueError(f"log_growth must be as many finite numbers as times, got {log_growth!r}")
        ahead, total = len(taus), len(taus) + past_count
        mean_growth = float(growths.sum()) / total
        return cls(
            spot=spot,
            strikes=strikes,
            taus=taus,
            shares=np.arange(ahead, 0.0, -1.0) / total,
            mean_growth=mean_growth,
            mean_time=float(fixings.sum()) / total,
            log_forward=(past_log_sum + ahead * math.log(spot)) / total + mean_growth,
            log_discount=log_discount,
        )

    def greeks(self, claim: FloatArray, error: FloatArray, *, shape: tuple[int, ...], v0: float) -> dict[str, Any]:
        return greeks_of(
            claim,
            error + float(np.finfo(np.float64).eps) * np.abs(claim[0]),
            shape=shape,
            spot=self.spot,
            maturity=float(self.taus.sum()),
            mean_growth=self.mean_growth,
            log_discount=self.log_discount,
            v0=v0,
            share=float(self.shares[0]),
            mean_time=self.mean_time,
        )


def _exponent(taus: FloatArray, shares: FloatArray, v0: float, parameters: dict[str, float]) -> Exponent:
    """Return ln E[(G/F_G)^z] with its slopes, the last interval first."""

    def exponent(z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
        factor, constant = np.zeros((2, len(z)), dtype=np.complex128)
        factor_slopes, constant_slopes = np.zeros((2, 5, len(z)), dtype=np.complex128)
        for tau, share in zip(taus[::-1].tolist(), shares[::-1].tolist(), strict=True):
            more, factor, more_slopes, factor_slopes = affine_step(
                share * z, factor, factor_slopes, tau, tau / float(taus.sum()), **parameters
            )
            constant, constant_slopes = constant + more, constant_slopes + more_slopes
        return constant + factor * v0, np.concatenate((factor[None], constant_slopes + factor_slopes * v0))

    return exponent
