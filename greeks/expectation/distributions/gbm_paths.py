"""The path measure of geometric Brownian motion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from greeks.expectation.distributions.markov_chain import MarkovChain
from pricers.errors import increasing
from pricers.market.market import Market
from pricers.models.gbm.gbm import GBM

__all__ = ["gbm_paths"]


def gbm_paths(*, model: GBM, market: Market, times: Sequence[float]) -> MarkovChain:
    r"""Spots at ``times`` under geometric Brownian motion, as a Markov chain with parameters spot, rate, dividend and vol.

    Its score by one of them is the weight of the likelihood-ratio Greek: with f the discounted payoff as a function of
    spots [sample, time], the gradient by ``spot`` is the option's delta, by ``vol`` its vega; by ``rate`` it is rho but
    for the discount factor, whose own derivative is -T times the price. Where the market has a curve, ``rate`` is a
    parallel shift of it (0 at the curve).

    Parameters
    ----------
    model : GBM
    market : Market
    times : sequence of float
        Years, positive and increasing.
    """
    dates = increasing("times", times)
    intervals = np.diff(dates, prepend=0.0)
    growth = np.diff(market.log_growth(np.array(dates)), prepend=0.0)
    rate0, dividend0 = (market.rate if isinstance(market.rate, float) else 0.0), market.dividend

    def drift(time: int, rate: Any, dividend: Any, vol: Any) -> Any:
        moved = (rate - rate0) - (dividend - dividend0)
        return growth[time] + (moved - 0.5 * vol**2) * intervals[time]

    def sample(rng: np.random.Generator, state: Any, time: int, spot: Any, rate: Any, dividend: Any, vol: Any) -> Any:
        z = rng.standard_normal(len(state))
        return state * np.exp(drift(time, rate, dividend, vol) + vol * np.sqrt(intervals[time]) * z)

    def log_prob(following: Any, state: Any, time: int, spot: Any, rate: Any, dividend: Any, vol: Any) -> Any:
        std = vol * np.sqrt(intervals[time])
        z = (np.log(following / state) - drift(time, rate, dividend, vol)) / std
        return -0.5 * z * z - np.log(std) - 0.5 * np.log(2.0 * np.pi) - np.log(following)

    return MarkovChain(
        start=lambda spot, **others: spot,
        sample=sample,
        log_prob=log_prob,
        steps=len(dates),
        parameters={"spot": market.spot, "rate": rate0, "dividend": dividend0, "vol": model.vol},
    )
