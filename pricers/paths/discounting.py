"""Discount factors of a contract's dates, and how they move."""

from __future__ import annotations

import math
from typing import NamedTuple

from pricers.market.market import Market
from pricers.random_numbers.path_block import ObservationDates

__all__ = ["LAST", "Discounting"]

LAST = -1
"""The last of a contract's dates."""


class Discounting(NamedTuple):
    """Discount factors of a contract's dates; a date is named by its place among them.

    Attributes
    ----------
    times : tuple of float
        The dates, years.
    log_factors : tuple of float
        Logarithms of their discount factors.
    """

    times: tuple[float, ...]
    log_factors: tuple[float, ...]

    @classmethod
    def of(cls, market: Market, dates: ObservationDates, time_scale: float) -> Discounting:
        """In a market whose times are all multiplied by ``time_scale``."""
        times, logs = time_scale * dates.times, time_scale * market.log_discount(dates.times)
        return cls(tuple(times.tolist()), tuple(logs.tolist()))

    def factor(self, date: int = LAST) -> float:
        """The discount factor of a date."""
        return math.exp(self.log_factors[date])

    def log_slope(self, parameter: str, date: int = LAST) -> float:
        """Derivative of its logarithm by a parameter of market, model or time."""
        if parameter == "rate":
            return -self.times[date]
        if parameter == "time":
            return self.log_factors[date] / self.times[-1]
        return 0.0
