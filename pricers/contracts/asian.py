"""Asian options on the average over fixings, some of which may be past."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from pricers.contracts.average import Average, AverageClaim, average_of
from pricers.contracts.contract import OPTIONS, Contract, dates
from pricers.contracts.european import European
from pricers.errors import one_of, positive
from pricers.paths.paths import Paths
from pricers.paths.row_operations import exercise, exercise_slope

__all__ = ["Asian"]

FloatArray = npt.NDArray[np.float64]


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
        object.__setattr__(self, "strike", positive("strike", self.strike))
        mean = Average(average=self.average, fixings=self.fixings, past_fixings=self.past_fixings)
        object.__setattr__(self, "fixings", mean.fixings)
        object.__setattr__(self, "past_fixings", mean.past_fixings)

    @property
    def mean(self) -> Average:
        """What the option is on."""
        return average_of(self.average, self.fixings, self.past_fixings)

    @property
    def times(self) -> tuple[float, ...]:  # type: ignore[override]
        """The fixings still to come."""
        return self.fixings

    @property
    def discontinuous(self) -> bool:
        """No."""
        return False

    @property
    def control_claims(self) -> tuple[Contract, ...]:
        """The geometric average of the same fixings, and vanillas on the last one."""
        vanillas = tuple(European(option=o, strike=self.strike, expiry=self.fixings[-1]) for o in OPTIONS)
        return vanillas if self.average == "geometric" else (replace(self, average="geometric"), *vanillas)

    @property
    def on_average(self) -> AverageClaim:
        """See `Contract.on_average`."""
        return AverageClaim(mean=self.mean, option=self.option, strike=self.strike)

    @property
    def largest_payment(self) -> float:
        """The strike of a put; a call has no bound."""
        return self.strike if self.option == "put" else math.inf

    @property
    def sure_payment(self) -> float | None:
        """Nothing, of a put whose past fixings alone lift the average to the strike."""
        return 0.0 if self.option == "put" and self.mean.floor >= self.strike else None

    def payoff(self, paths: Paths) -> FloatArray:
        """See `Contract.payoff`."""
        return exercise(self.option, self.mean.affine_summary(paths), self.strike)

    def derivative(self, paths: Paths, parameter: str) -> FloatArray:
        """See `Contract.derivative`."""
        mean = self.mean
        return exercise_slope(self.option, mean.value(paths), self.strike, mean.slope(paths, parameter))
