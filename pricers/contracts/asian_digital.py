"""Cash-or-nothing digital on the average over fixings, some of which may be past."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from pricers.contracts.asian import Asian
from pricers.contracts.average import Average, AverageClaim, average_of
from pricers.contracts.contract import OPTIONS, Contract, dates
from pricers.contracts.digital import Digital
from pricers.contracts.discontinuity import Discontinuity
from pricers.contracts.european import European
from pricers.errors import one_of, positive
from pricers.paths.paths import Paths
from pricers.paths.row_operations import cash_if

__all__ = ["AsianDigital"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class AsianDigital(Contract):
    r"""Pays ``cash`` at the last fixing where the average ends above the strike (call) or below it (put).

    The average is an `Asian`'s: :math:`A = \frac1n\sum_i S_{t_i}` (arithmetic) or :math:`(\prod_i S_{t_i})^{1/n}` (geometric) over
    all n fixings, the past ones with the spots that were fixed.

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
    cash : float
        Amount paid, positive.
    """

    family: ClassVar[str] = "asian_digital"
    option: str
    strike: float
    fixings: tuple[float, ...] = dates()
    average: str = "arithmetic"
    past_fixings: tuple[float, ...] = ()
    cash: float = 1.0

    def __post_init__(self) -> None:
        one_of("option", self.option, OPTIONS)
        for name in ("strike", "cash"):
            object.__setattr__(self, name, positive(name, getattr(self, name)))
        mean = Average(average=self.average, fixings=self.fixings, past_fixings=self.past_fixings)
        object.__setattr__(self, "fixings", mean.fixings)
        object.__setattr__(self, "past_fixings", mean.past_fixings)

    @property
    def mean(self) -> Average:
        """What the digital is on."""
        return average_of(self.average, self.fixings, self.past_fixings)

    @property
    def times(self) -> tuple[float, ...]:  # type: ignore[override]
        """The fixings still to come."""
        return self.fixings

    @property
    def control_claims(self) -> tuple[Contract, ...]:
        """The digital and the call on the geometric average of the same fixings, and a digital and a call on the last one."""
        strike, last = self.strike, self.fixings[-1]
        call = Asian(option="call", strike=strike, fixings=self.fixings, average="geometric", past_fixings=self.past_fixings)
        at_last = Digital(option=self.option, strike=strike, expiry=last, cash=self.cash)
        known = (call, at_last, European(option="call", strike=strike, expiry=last))
        return known if self.average == "geometric" else (replace(self, average="geometric"), *known)

    @property
    def discontinuous(self) -> bool:
        """Yes, where the average is the strike."""
        return True

    @property
    def discontinuity(self) -> Discontinuity:
        """See `Contract.discontinuity`."""
        below, above = (0.0, self.cash) if self.option == "call" else (self.cash, 0.0)
        return Discontinuity(level=self.mean, threshold=self.strike, below=below, above=above)

    @property
    def on_average(self) -> AverageClaim:
        """See `Contract.on_average`."""
        return AverageClaim(mean=self.mean, option=self.option, strike=self.strike, cash=self.cash)

    @property
    def largest_payment(self) -> float:
        """The cash."""
        return self.cash

    @property
    def sure_payment(self) -> float | None:
        """Known where past fixings alone lift the average above the strike."""
        if self.mean.floor < self.strike:
            return None
        return self.cash if self.option == "call" else 0.0

    def payoff(self, paths: Paths) -> FloatArray:
        """See `Contract.payoff`."""
        return cash_if(self.option, self.mean.affine_summary(paths), self.strike, self.cash)
