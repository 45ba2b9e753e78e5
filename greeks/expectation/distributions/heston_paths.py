"""The path measure of Heston's model, stepped by the full-truncation Euler scheme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from greeks.expectation.distributions.markov_chain import MarkovChain
from pricers.errors import InvalidInput, increasing
from pricers.market.market import Market
from pricers.models.heston.heston import Heston

__all__ = ["heston_paths"]


def heston_paths(*, model: Heston, market: Market, times: Sequence[float]) -> MarkovChain:
    r"""Spots and variances at ``times``, [sample, time, 2], as a Markov chain with the parameters of model and market.

    One Euler step from each of ``times`` to the next: :math:`v' = v + \kappa(\theta - v)h + \xi\sqrt{vh}\,a` and
    :math:`\ln S'/S = (r - q - \tfrac12 v)h + \sqrt{vh}\,(\rho a + \sqrt{1-\rho^2}\,b)`, whatever the model's own scheme. Its parameters
    are spot, rate, dividend, v0, kappa, theta, xi and rho; see `gbm_paths` for rate and discounting. The score is that of both
    drivers at every step: independent of the conditional one of `greeks.LikelihoodRatio`, and noisier.

    Parameters
    ----------
    model : Heston
        With a variance that stays above zero: a step that begins at zero has no density, and such a path is refused.
    market : Market
    times : sequence of float
        Years, positive and increasing; the bias of the scheme falls with their distance.
    """
    dates = increasing("times", times)
    intervals = np.diff(dates, prepend=0.0)
    growth = np.diff(market.log_growth(np.array(dates)), prepend=0.0)
    rate0, dividend0 = (market.rate if isinstance(market.rate, float) else 0.0), market.dividend

    def means(time: int, v: Any, rate: Any, dividend: Any, kappa: Any, theta: Any) -> tuple[Any, Any, Any]:
        """Means of variance and log-return, the latter given no shock to variance, and the standard deviation of the return."""
        if not (v.real > 0.0).all():
            raise InvalidInput(
                "variance",
                float(v.real.min()),
                "must stay above zero for its steps to have a density; use greeks.LikelihoodRatio()",
            )
        h = intervals[time]
        drift = growth[time] + ((rate - rate0) - (dividend - dividend0)) * h
        return v + kappa * (theta - v) * h, drift - 0.5 * v * h, np.sqrt(v * h)

    def sample(
        rng: np.random.Generator,
        state: Any,
        time: int,
        *,
        rate: Any,
        dividend: Any,
        kappa: Any,
        theta: Any,
        xi: Any,
        rho: Any,
        **start: Any,
    ) -> Any:
        spot, v = state[:, 0], state[:, 1]
        mean, log_return, std = means(time, v, rate, dividend, kappa, theta)
        a, b = rng.standard_normal((2, len(state)))
        moved = spot * np.exp(log_return + std * (rho * a + np.sqrt(1.0 - rho**2) * b))
        return np.column_stack([moved, mean + xi * std * a])

    def log_prob(
        following: Any,
        state: Any,
        time: int,
        *,
        rate: Any,
        dividend: Any,
        kappa: Any,
        theta: Any,
        xi: Any,
        rho: Any,
        **start: Any,
    ) -> Any:
        spot, v = state[:, 0], state[:, 1]
        mean, log_return, std = means(time, v, rate, dividend, kappa, theta)
        rest = np.sqrt(1.0 - rho**2)
        a = (following[:, 1] - mean) / (xi * std)
        b = (np.log(following[:, 0] / spot) - log_return - std * rho * a) / (std * rest)
        return -0.5 * (a * a + b * b) - np.log(xi * std) - np.log(std * rest) - np.log(2.0 * np.pi * following[:, 0])

    own = {name: getattr(model, name) for name in Heston.parameters}
    return MarkovChain(
        start=lambda spot, v0, **others: np.array([spot, v0]),
        sample=sample,
        log_prob=log_prob,
        steps=len(dates),
        parameters={"spot": market.spot, "rate": rate0, "dividend": dividend0, **own},
    )
