"""Geometric Asian options with discrete fixings under geometric Brownian motion: the average is lognormal."""

import numpy as np
import numpy.typing as npt

from pricers.exact.black_scholes import lognormal_tail, option_sign

__all__ = ["geometric_asian", "geometric_asian_digital"]


def geometric_asian(
    *,
    option: str,
    spot: float,
    strike: float,
    vol: float,
    times: npt.ArrayLike,
    log_growth: npt.ArrayLike,
    log_discount: float,
    past_log_sum: float = 0.0,
    past_count: int = 0,
) -> dict[str, float]:
    r"""Geometric-average call or put, paid at the last fixing.

    Of :math:`N` fixings, :math:`m` lie ahead at :math:`t_1 < \dots < t_m`, the others are known. The logarithm of
    the average, :math:`\ln G = \frac1N (\sum_{past} \ln S + \sum_j \ln S_{t_j})`, is normal, with variance

    .. math:: \sigma^2 Q, \quad Q = \frac{1}{N^2} \sum_{j,k} \min(t_j, t_k), \qquad
              \ln E[G] = \frac1N \Big(\sum_{past} \ln S + m \ln S_0 + \sum_j g_j\Big) - \frac{\sigma^2}{2} (\bar t - Q),
              \qquad \bar t = \frac1N \sum_j t_j,

    and Black's formula with forward :math:`E[G]` and standard deviation :math:`\sigma \sqrt Q` is exact.

    Parameters
    ----------
    option : str
        ``"call"`` or ``"put"``.
    spot, strike : float
        In one currency.
    vol : float
        Per square root of a year.
    times : array, shape (time,)
        Fixings ahead, in years, increasing.
    log_growth : array, shape (time,)
        :math:`g_j = \ln(F(t_j)/S_0)`.
    log_discount : float
        To the last fixing.
    past_log_sum : float
        Sum of the logarithms of the fixings already known.
    past_count : int
        Their number.

    Returns
    -------
    dict
        price, delta, gamma, vega, rho, theta, dividend_rho, vanna, volga; conventions of
        :func:`pricers.exact.black_scholes.european`, all future dates scaling with maturity in theta.

    References
    ----------
    Kemna and Vorst, A pricing method for options based on average asset values, J. Banking and Finance 14 (1990);
    Turnbull and Wakeman, J. Financial and Quantitative Analysis 26 (1991), for discrete fixings.
    """
    side = option_sign(option)
    return _greeks(
        side=side,
        slope=side,
        level=-side * strike,
        spot=spot,
        strike=strike,
        vol=vol,
        times=times,
        log_growth=log_growth,
        log_discount=log_discount,
        past_log_sum=past_log_sum,
        past_count=past_count,
    )


def geometric_asian_digital(
    *,
    option: str,
    spot: float,
    strike: float,
    vol: float,
    times: npt.ArrayLike,
    log_growth: npt.ArrayLike,
    log_discount: float,
    cash: float = 1.0,
    past_log_sum: float = 0.0,
    past_count: int = 0,
) -> dict[str, float]:
    r"""Cash paid at the last fixing where the geometric average ends above (call) or below (put) the strike.

    The average is lognormal, so that the cash is worth :math:`D\,c\,\Phi(\omega d_2)` with the forward and the standard deviation of
    :func:`geometric_asian`, whose parameters, Greeks and conventions are these; ``cash`` is the amount paid.
    """
    return _greeks(
        side=option_sign(option),
        slope=0.0,
        level=cash,
        spot=spot,
        strike=strike,
        vol=vol,
        times=times,
        log_growth=log_growth,
        log_discount=log_discount,
        past_log_sum=past_log_sum,
        past_count=past_count,
    )


def _greeks(
    *,
    side: int,
    slope: float,
    level: float,
    spot: float,
    strike: float,
    vol: float,
    times: npt.ArrayLike,
    log_growth: npt.ArrayLike,
    log_discount: float,
    past_log_sum: float,
    past_count: int,
) -> dict[str, float]:
    """Greeks of a payoff linear in the average on one side of the strike, by the chain rule from its log-forward and deviation."""
    t = np.asarray(times, dtype=np.float64)
    growth = np.asarray(log_growth, dtype=np.float64)
    total = past_count + len(t)
    maturity = float(t[-1])

    weight = len(t) / total  # d ln G / d ln S0
    mean_time = float(t.sum()) / total
    clock = float(t @ np.arange(2 * len(t) - 1, 0, -2)) / total**2  # Q: t_j is the minimum in 2 (m - j) + 1 pairs
    root = np.sqrt(clock)
    lag = mean_time - clock
    mean_growth = float(growth.sum()) / total

    log_forward = past_log_sum / total + weight * np.log(spot) + mean_growth - 0.5 * vol**2 * lag
    tail = lognormal_tail(forward=np.exp(log_forward), stdev=vol * root, edge=strike, side=side, slope=slope, level=level)

    forward_vega = -vol * lag  # d log_forward / d vol
    discount = np.exp(log_discount)
    ff = tail.f + tail.convexity  # second derivative in log_forward
    by_maturity = tail.f * (mean_growth - 0.5 * vol**2 * lag) + 0.5 * vol * root * tail.s
    greeks = {
        "price": tail.value,
        "delta": tail.f * weight / spot,
        "gamma": (ff * weight - tail.f) * weight / spot**2,
        "vega": tail.s * root + tail.f * forward_vega,
        "rho": mean_time * tail.f - maturity * tail.value,
        "theta": -(log_discount * tail.value + by_maturity) / maturity,
        "dividend_rho": -mean_time * tail.f,
        "vanna": (tail.fs * root + ff * forward_vega) * weight / spot,
        "volga": tail.ss * clock + 2.0 * tail.fs * root * forward_vega + ff * forward_vega**2 - tail.f * lag,
    }
    return {name: float(discount * value) for name, value in greeks.items()}
