"""European call and put."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from pricers.contracts.average import Average, AverageClaim
from pricers.contracts.contract import OPTIONS, Contract, dates
from pricers.errors import one_of, positive
from pricers.paths.paths import Paths
from pricers.paths.row_operations import exercise, exercise_slope

__all__ = ["European"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class European(Contract):
    r"""Call :math:`\max(S_T - K, 0)` or put :math:`\max(K - S_T, 0)`.

    Attributes
    ----------
    option : {"call", "put"}
    strike : float
        In units of spot, positive.
    expiry : float
        Years from the valuation, positive.
    """

    family: ClassVar[str] = "european"
    option: str
    strike: float
    expiry: float = dates()

    def __post_init__(self) -> None:
        one_of("option", self.option, OPTIONS)
        object.__setattr__(self, "strike", positive("strike", self.strike))
        object.__setattr__(self, "expiry", positive("expiry", self.expiry))

    @property
    def times(self) -> tuple[float, ...]:  # type: ignore[override]
        """The expiry."""
        return (self.expiry,)

    @property
    def discontinuous(self) -> bool:
        """No."""
        return False

    @property
    def on_average(self) -> AverageClaim:
        """See `Contract.on_average`; the one date's spot is its own average."""
        mean = Average(average="arithmetic", fixings=self.times)
        return AverageClaim(mean=mean, option=self.option, strike=self.strike)

    @property
    def largest_payment(self) -> float:
        """The strike of a put; a call has no bound."""
        return self.strike if self.option == "put" else math.inf

    def payoff(self, paths: Paths) -> FloatArray:
        """See `Contract.payoff`."""
        return exercise(self.option, paths.affine_summary("last"), self.strike)

    def derivative(self, paths: Paths, parameter: str) -> FloatArray:
        """See `Contract.derivative`."""
        return exercise_slope(self.option, paths.last, self.strike, paths.last * paths.slope("log_last", parameter))
