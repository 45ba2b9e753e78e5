"""A model in a market: what is simulated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pricers.market.market import Market
from pricers.models.model import Model
from pricers.paths.paths import Paths
from pricers.paths.requests import Wanted
from pricers.paths.tracing import traced

__all__ = ["Scenario"]

_OF_MARKET = ("spot", "rate", "dividend")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A model in a market, and a factor on all times."""

    model: Model
    market: Market
    time_scale: float = 1.0

    def bumped(self, parameter: str, by: float) -> Scenario:
        """This scenario with one parameter moved by ``by`` (``time``: all times multiplied by 1 + ``by``)."""
        if parameter == "time":
            return replace(self, time_scale=self.time_scale * (1.0 + by))
        if parameter in _OF_MARKET:
            return replace(self, market=self.market.bumped(parameter, by))
        return replace(self, model=self.model.bumped(parameter, by))

    def trace(self, use: Callable[[tuple[Paths, ...]], object], dates: Sequence[float], count: int = 1) -> Wanted:
        """What ``use`` asks of ``count`` scenarios' paths at some dates, found on made-up paths: see `pricers.paths.tracing.traced`."""
        return traced(use, count=count, times=dates, spot=self.market.spot, vol=self.model.scale("vol"))
