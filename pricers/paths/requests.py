"""What a run asks of paths, known before they are simulated: so that a model can make it all in one pass. No number depends on it."""

from __future__ import annotations

from dataclasses import dataclass

from pricers.market.market import Market
from pricers.random_numbers.path_block import ObservationDates

__all__ = ["PathRequest", "Wanted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What of some paths is asked for.

    Attributes
    ----------
    summaries : frozenset of str
        Of `pricers.paths.paths.Paths`, such as ``mean``; ``spot`` for the spots of every date.
    scores : frozenset of tuple of str
        Scores, by the parameters that they are taken by: two for one of second order.
    slopes : frozenset of (str, str)
        Summaries and the parameters that they are differentiated by along the path.
    steps : frozenset of str
        Parameters that the tangents or steps of every date are taken by.
    second_order : bool
        Whether what is made of the steps is differentiated twice by the spot.
    """

    summaries: frozenset[str] = frozenset()
    scores: frozenset[tuple[str, ...]] = frozenset()
    slopes: frozenset[tuple[str, str]] = frozenset()
    steps: frozenset[str] = frozenset()
    second_order: bool = False

    def __or__(self, other: Wanted) -> Wanted:
        return Wanted(
            summaries=self.summaries | other.summaries,
            scores=self.scores | other.scores,
            slopes=self.slopes | other.slopes,
            steps=self.steps | other.steps,
            second_order=self.second_order or other.second_order,
        )

    @property
    def scored(self) -> frozenset[str]:
        """Parameters that scores are taken by."""
        return frozenset(parameter for parameters in self.scores for parameter in parameters)

    @property
    def along(self) -> frozenset[str]:
        """Parameters that paths are differentiated by."""
        return self.steps | {parameter for _, parameter in self.slopes}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PathRequest:
    """One market's paths at one contract's dates, under a model that the request does not know.

    Attributes
    ----------
    market : Market
    time_scale : float
        What all times are multiplied by.
    dates : ObservationDates
    wanted : Wanted
    """

    market: Market
    time_scale: float
    dates: ObservationDates
    wanted: Wanted = Wanted()
