"""The average of the spot over fixings, some of which may be past: what options on an average share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pricers.errors import InvalidInput, increasing, one_of, positive
from pricers.paths.paths import AffineSummary, Paths

__all__ = ["AVERAGES", "Average", "AverageClaim", "average_of"]

FloatArray = npt.NDArray[np.float64]

AVERAGES = ("arithmetic", "geometric")


@dataclass(frozen=True, slots=True, kw_only=True)
class Average:
    r""":math:`\frac1n\sum_i S_{t_i}` (arithmetic) or :math:`(\prod_i S_{t_i})^{1/n}` (geometric) over all n fixings.

    Attributes
    ----------
    average : {"arithmetic", "geometric"}
    fixings : tuple of float
        Dates still to come, years from the valuation, increasing, at least one.
    past_fixings : tuple of float
        Spots already fixed (today's among them, where today is a fixing), each positive.
    """

    average: str
    fixings: tuple[float, ...]
    past_fixings: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        one_of("average", self.average, AVERAGES)
        object.__setattr__(self, "fixings", increasing("fixings", self.fixings))
        try:
            past = tuple(positive("past_fixings", spot) for spot in self.past_fixings)
        except TypeError:
            raise InvalidInput("past_fixings", self.past_fixings, "must be a sequence of spots") from None
        object.__setattr__(self, "past_fixings", past)

    @property
    def arithmetic(self) -> bool:
        """Whether spots are added up, rather than multiplied."""
        return self.average == "arithmetic"

    @property
    def single(self) -> bool:
        """Whether there is but one fixing in all, so that both averages are the last spot."""
        return len(self.fixings) + len(self.past_fixings) == 1

    @property
    def future_share(self) -> float:
        """The part of all fixings that is still to come."""
        return len(self.fixings) / (len(self.fixings) + len(self.past_fixings))

    @property
    def past_log_sum(self) -> float:
        """Sum of the logarithms of the past fixings."""
        return math.fsum(math.log(spot) for spot in self.past_fixings)

    @property
    def past_part(self) -> float:
        """What past fixings add to the average (arithmetic) or to its logarithm (geometric)."""
        if not self.past_fixings:
            return 0.0
        known = self.past_fixings if self.arithmetic else np.log(self.past_fixings)
        return (1.0 - self.future_share) * float(np.mean(known))

    @property
    def floor(self) -> float:
        """What the average cannot end below, whatever the fixings to come."""
        return self.past_part if self.arithmetic else 0.0

    def affine_summary(self, paths: Paths) -> AffineSummary:
        """`value`, as a line in what the paths know."""
        return self._with_past(paths.affine_summary("mean")) if self.arithmetic else AffineSummary(0.0, 1.0, self.value(paths))

    def value(self, paths: Paths) -> FloatArray:
        """The average over past and future fixings, [path]."""
        if not self.past_fixings:
            return paths.mean if self.arithmetic else paths.geometric_mean
        return (
            self.affine_summary(paths).array()
            if self.arithmetic
            else self._with_past(paths.affine_summary("log_mean")).exponentials()
        )

    def _with_past(self, future: AffineSummary) -> AffineSummary:
        """The average of past and future fixings (geometric: its logarithm) from that of the future ones."""
        level, slope, x = future
        return AffineSummary(self.past_part + self.future_share * level, self.future_share * slope, x)

    def slope(self, paths: Paths, parameter: str) -> FloatArray:
        """Its derivative along each path, [path]."""
        moved = paths.slope("mean", parameter) if self.arithmetic else self.value(paths) * paths.slope("log_mean", parameter)
        return np.asarray(moved) if not self.past_fixings else np.multiply(self.future_share, moved)


@lru_cache(maxsize=4096)
def average_of(average: str, fixings: tuple[float, ...], past_fixings: tuple[float, ...]) -> Average:
    """The one `Average` of these terms: contracts ask for theirs often."""
    return Average(average=average, fixings=fixings, past_fixings=past_fixings)


@dataclass(frozen=True, slots=True, kw_only=True)
class AverageClaim:
    r"""What is paid on an average A: :math:`(A - K)^+` or :math:`(K - A)^+`, or cash where the one or the other is positive.

    Attributes
    ----------
    mean : Average
    option : {"call", "put"}
    strike : float
    cash : float, optional
        Paid instead of the difference.
    """

    mean: Average
    option: str
    strike: float
    cash: float | None = None
