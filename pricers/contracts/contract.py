"""What every contract can do."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pricers.contracts.average import AverageClaim
from pricers.contracts.discontinuity import Discontinuity
from pricers.errors import NotApplicable
from pricers.paths.paths import Paths
from pricers.paths.present_value import CashFlow

__all__ = ["OPTIONS", "Contract", "dates"]

FloatArray = npt.NDArray[np.float64]

OPTIONS = ("call", "put")


def dates(**kwargs: Any) -> Any:
    """A dataclass field that holds a date or dates in years: from a table, calendar dates are read into it."""
    return field(metadata={"dates": True}, **kwargs)


class Contract(ABC):
    """Terms only: no model, no market, no paths.

    A contract that pays once, at the last of its dates, says its `payoff`; one that pays on several dates says its `cash_flows`.
    """

    family: ClassVar[str]
    """The name of the contract's family in a table of trades."""

    times: tuple[float, ...]
    """The dates the payoff looks at, years from the valuation, positive and increasing; a property or a field."""

    @property
    @abstractmethod
    def discontinuous(self) -> bool:
        """Whether the payoff jumps somewhere as the spots move (then it has no pathwise derivative)."""

    @property
    def discontinuity(self) -> Discontinuity | None:
        """Where the payoff jumps, if it is at one threshold of one quantity of the path, known here."""
        return None

    @property
    def gradient_lacks_because(self) -> str:
        """Why the payoff has no pathwise derivative, where it has none."""
        return f"the {self.family} payoff jumps"

    @property
    def uses_initial_spot(self) -> bool:
        """Whether the payoff depends on today's spot itself, beside the spots at its dates: scores of paths do not know of that."""
        return False

    @property
    def derivative_note(self) -> str:
        """What a reader should know of `derivative`, where it is no exact one."""
        return ""

    @property
    def volatility_strike(self) -> float | None:
        """The strike at which a smile gives the contract's volatility: its own; None where the terms name none."""
        return getattr(self, "strike", None)

    @property
    def control_claims(self) -> tuple[Contract, ...]:
        """Simpler claims on the same dates, or the last, that pay something alike; their value may be known by formula."""
        return ()

    @property
    def pays_early(self) -> bool:
        """Whether it may pay before the last date: it has `cash_flows` of its own."""
        return type(self).cash_flows is not Contract.cash_flows

    @property
    def largest_payment(self) -> float:
        """The most that can be paid at the last date; infinite where there is no bound, or payments before it."""
        return math.inf

    @property
    def sure_payment(self) -> float | None:
        """What is paid on every path, where the terms alone say so."""
        return None

    @property
    def on_average(self) -> AverageClaim | None:
        """The payoff as a claim on an average of the spot over all of the contract's dates, where it is one."""
        return None

    def check_payoff(self, *, spot: float, vol: float) -> None:  # noqa: B027
        """Try the payoff before paths are simulated, where users may have written what is wrong; contracts of the house need not.

        Raises
        ------
        InvalidInput
            Where it cannot be computed.
        """

    def cash_flows(self, paths: Paths) -> Sequence[CashFlow]:
        """What is paid along each path, at dates of the contract's own; by default the payoff at the last one."""
        return (CashFlow(self.payoff(paths)),)

    def cash_flow_slopes(self, paths: Paths, parameter: str) -> Sequence[CashFlow]:
        """The derivatives of the amounts of `cash_flows` by a parameter along each path, discount factors held.

        Raises
        ------
        NotApplicable
            As `derivative`, which is the default.
        """
        return (CashFlow(self.derivative(paths, parameter)),)

    def payoff(self, paths: Paths) -> FloatArray:
        """What is paid at the last date, undiscounted, [path], where nothing is paid before."""
        raise NotImplementedError(f"{type(self).__name__} must define payoff or cash_flows")

    def derivative(self, paths: Paths, parameter: str) -> FloatArray:
        r"""Derivative of the payoff, [path], by a parameter along each path: see `pricers.paths.paths.Paths.slope`.

        Raises
        ------
        NotApplicable
            Where the payoff jumps: its mean moves although almost no path's payoff does.
        """
        raise NotApplicable(f"{self.gradient_lacks_because} and has no pathwise derivative; use LikelihoodRatio()")

    def initial_spot_derivative(self, paths: Paths) -> FloatArray:
        """Derivative of the payoff by today's spot itself, [path], the spots at its dates held: see `uses_initial_spot`.

        Raises
        ------
        NotApplicable
            Where the payoff may jump, or does not depend on it.
        """
        raise NotApplicable(f"the {self.family} payoff has no derivative by today's spot itself; use FiniteDifference()")
