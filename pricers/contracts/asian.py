"""Asian options on the average over fixings, some of which may be past."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from pricers.contracts.contract import OPTIONS, Contract, dates, exercise
from pricers.contracts.european import European
from pricers.errors import InvalidInput, increasing, one_of, positive
from pricers.paths import Paths

__all__ = ["Asian"]

FloatArray = npt.NDArray[np.float64]

AVERAGES = ("arithmetic", "geometric")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asian(Contract):
    r"""Call :math:`\max(A - K, 0)` or put :math:`\max(K - A, 0)` on an average A of the spot, paid at the last fixing.

    A is :math:`\frac1n\sum_i S_{t_i}` (arithmetic) or :math:`(\prod_i S_{t_i})^{1/n}` (geometric) over all n fixings,
    the past ones with the spots that were fixed.

    Attributes
    ----------
    option : {"call", "put"}
    strike : float
        In units of spot, positive.
    fixings : tuple of float
        Dates still to come, years from the valuation, increasing, at least one.
    average : {"arithmetic", "geometric"}
    past_fixings : tuple of float
        Spots already fixed (today's among them, where today is a fixing), each positive.
    """

    family: ClassVar[str] = "asian"
    option: str
    strike: float
    fixings: tuple[float, ...] = dates()
    average: str = "arithmetic"
    past_fixings: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        one_of("option", self.option, OPTIONS)
        one_of("average", self.average, AVERAGES)
        object.__setattr__(self, "strike", positive("strike", self.strike))
        object.__setattr__(self, "fixings", increasing("fixings", self.fixings))
        try:
            past = tuple(positive("past_fixings", spot) for spot in self.past_fixings)
        except TypeError:
            raise InvalidInput("past_fixings", self.past_fixings, "must be a sequence of spots") from None
        object.__setattr__(self, "past_fixings", past)

    @property
    def times(self) -> tuple[float, ...]:  # type: ignore[override]
        """The fixings still to come."""
        return self.fixings

    @property
    def jumps(self) -> bool:
        """No."""
        return False

    @property
    def relatives(self) -> tuple[Contract, ...]:
        """The geometric average of the same fixings, and vanillas on the last one."""
        vanillas = tuple(European(option=o, strike=self.strike, expiry=self.fixings[-1]) for o in OPTIONS)
        return vanillas if self.average == "geometric" else (replace(self, average="geometric"), *vanillas)

    @property
    def future_share(self) -> float:
        """The part of all fixings that is still to come."""
        return len(self.fixings) / (len(self.fixings) + len(self.past_fixings))

    def value(self, paths: Paths) -> FloatArray:
        """The average over past and future fixings, [lane]."""
        share, past = self.future_share, self.past_fixings
        if self.average == "arithmetic":
            if not past:
                return paths.mean
            return share * paths.mean + (1.0 - share) * float(np.mean(past))
        if not past:
            return paths.geometric_mean
        return np.exp(share * paths.log_mean + (1.0 - share) * float(np.mean(np.log(past))))

    @property
    def summaries(self) -> frozenset[str]:
        """The mean."""
        return frozenset({"mean" if self.average == "arithmetic" else "log_mean"})

    def payoff(self, paths: Paths) -> FloatArray:
        """See `Contract.payoff`."""
        return exercise(self.option, self.value(paths), self.strike)

    def derivative(self, paths: Paths, parameter: str) -> FloatArray:
        """See `Contract.derivative`."""
        average, arithmetic = self.value(paths), self.average == "arithmetic"
        moved = paths.slope("mean", parameter) if arithmetic else average * paths.slope("log_mean", parameter)
        exercised = average > self.strike if self.option == "call" else average < self.strike
        sign = 1.0 if self.option == "call" else -1.0
        return np.where(exercised, sign * self.future_share * moved, 0.0)
