"""Cash-or-nothing digital."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from pricers.contracts.average import Average, AverageClaim
from pricers.contracts.contract import OPTIONS, Contract, dates
from pricers.contracts.discontinuity import Discontinuity, Last
from pricers.contracts.european import European
from pricers.errors import one_of, positive
from pricers.paths.paths import Paths
from pricers.paths.row_operations import cash_if

__all__ = ["Digital"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Digital(Contract):
    r"""Pays ``cash`` where :math:`S_T > K` (call) or :math:`S_T < K` (put).

    Attributes
    ----------
    option : {"call", "put"}
    strike : float
        In units of spot, positive.
    expiry : float
        Years from the valuation, positive.
    cash : float
        Amount paid, positive.
    """

    family: ClassVar[str] = "digital"
    option: str
    strike: float
    expiry: float = dates()
    cash: float = 1.0

    def __post_init__(self) -> None:
        one_of("option", self.option, OPTIONS)
        for name in ("strike", "expiry", "cash"):
            object.__setattr__(self, name, positive(name, getattr(self, name)))

    @property
    def times(self) -> tuple[float, ...]:  # type: ignore[override]
        """The expiry."""
        return (self.expiry,)

    @property
    def control_claims(self) -> tuple[Contract, ...]:
        """Vanillas at the strike."""
        return tuple(European(option=o, strike=self.strike, expiry=self.expiry) for o in OPTIONS)

    @property
    def discontinuous(self) -> bool:
        """Yes, at the strike."""
        return True

    @property
    def discontinuity(self) -> Discontinuity:
        """See `Contract.discontinuity`."""
        below, above = (0.0, self.cash) if self.option == "call" else (self.cash, 0.0)
        return Discontinuity(level=Last(), threshold=self.strike, below=below, above=above)

    @property
    def on_average(self) -> AverageClaim:
        """See `Contract.on_average`; the one date's spot is its own average."""
        mean = Average(average="arithmetic", fixings=self.times)
        return AverageClaim(mean=mean, option=self.option, strike=self.strike, cash=self.cash)

    @property
    def largest_payment(self) -> float:
        """The cash."""
        return self.cash

    def payoff(self, paths: Paths) -> FloatArray:
        """See `Contract.payoff`."""
        return cash_if(self.option, paths.affine_summary("log_last"), math.log(self.strike), self.cash)
