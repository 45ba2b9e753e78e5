"""Discretely monitored single-barrier options."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from pricers.contracts.contract import OPTIONS, Contract, dates
from pricers.contracts.digital import Digital
from pricers.contracts.discontinuity import Discontinuity, Maximum, Minimum
from pricers.contracts.european import European
from pricers.errors import InvalidInput, increasing, non_negative, one_of, positive
from pricers.paths.paths import Paths
from pricers.paths.row_operations import exercise, exercise_unless

__all__ = ["Barrier"]

FloatArray = npt.NDArray[np.float64]

KINDS = ("down-and-out", "down-and-in", "up-and-out", "up-and-in")


@dataclass(frozen=True, slots=True, kw_only=True)
class Barrier(Contract):
    r"""A call or put that dies ("out") or comes alive ("in") when the spot, on a monitoring date, stands at or beyond a barrier.

    Every monitoring date counts, the last included; the option pays at the last one. Where it is dead at the end (an "out"
    that touched, an "in" that did not), the rebate is paid instead, also at the last date.

    Attributes
    ----------
    option : {"call", "put"}
    strike, barrier : float
        In units of spot, positive.
    kind : {"down-and-out", "down-and-in", "up-and-out", "up-and-in"}
        "down" touches at :math:`S \le H`, "up" at :math:`S \ge H`.
    monitoring : tuple of float
        Dates still to come, years from the valuation, increasing.
    rebate : float
        Not negative.
    touched : bool
        Whether the barrier was touched on a date already past.
    """

    family: ClassVar[str] = "barrier"
    option: str
    strike: float
    barrier: float
    kind: str
    monitoring: tuple[float, ...] = dates()
    rebate: float = 0.0
    touched: bool = False

    def __post_init__(self) -> None:
        one_of("option", self.option, OPTIONS)
        one_of("kind", self.kind, KINDS)
        for name in ("strike", "barrier"):
            object.__setattr__(self, name, positive(name, getattr(self, name)))
        object.__setattr__(self, "rebate", non_negative("rebate", self.rebate))
        object.__setattr__(self, "monitoring", increasing("monitoring", self.monitoring))
        if not isinstance(self.touched, (bool, np.bool_)):
            raise InvalidInput("touched", self.touched, "must be True or False")

    @property
    def times(self) -> tuple[float, ...]:  # type: ignore[override]
        """The monitoring dates still to come."""
        return self.monitoring

    @property
    def control_claims(self) -> tuple[Contract, ...]:
        """Vanillas and digitals on the last date, at the strike and at the barrier."""
        last, levels = self.monitoring[-1], dict.fromkeys((self.strike, self.barrier))
        calls = tuple(European(option="call", strike=level, expiry=last) for level in levels)
        digitals = tuple(Digital(option="call", strike=level, expiry=last) for level in levels)
        return (European(option="put", strike=self.strike, expiry=last), *calls, *digitals)

    @property
    def down(self) -> bool:
        """Whether the barrier is touched from above."""
        return self.kind.startswith("down")

    @property
    def out(self) -> bool:
        """Whether a touch kills the option (it brings an "in" to life)."""
        return self.kind.endswith("out")

    @property
    def discontinuous(self) -> bool:
        """At the barrier, unless it was touched already."""
        return not self.touched

    @property
    def discontinuity(self) -> Discontinuity | None:
        """See `Contract.discontinuity`: at the barrier, of the path's minimum or maximum."""
        if self.touched:
            return None
        vanilla = European(option=self.option, strike=self.strike, expiry=self.monitoring[-1])
        untouched, touched = (vanilla, self.rebate) if self.out else (self.rebate, vanilla)
        if self.down:
            return Discontinuity(level=Minimum(), threshold=self.barrier, below=touched, above=untouched)
        return Discontinuity(level=Maximum(), threshold=self.barrier, below=untouched, above=touched)

    @property
    def largest_payment(self) -> float:
        """The strike of a put, or the rebate; a call has no bound."""
        return max(self.strike, self.rebate) if self.option == "put" else math.inf

    @property
    def sure_payment(self) -> float | None:
        """The rebate of a knock-out that was touched."""
        return self.rebate if self.touched and self.out else None

    def payoff(self, paths: Paths) -> FloatArray:
        """See `Contract.payoff`."""
        if self.touched:
            return (
                np.full(paths.n_paths, self.rebate)
                if self.out
                else exercise(self.option, paths.affine_summary("last"), self.strike)
            )
        extreme = paths.minimum if self.down else paths.maximum
        return exercise_unless(
            self.option,
            paths.last,
            self.strike,
            extreme=extreme,
            barrier=self.barrier,
            up=not self.down,
            out=self.out,
            rebate=self.rebate,
        )

    def derivative(self, paths: Paths, parameter: str) -> FloatArray:
        """See `Contract.derivative`; a barrier that was touched already leaves a European, or the rebate."""
        if self.discontinuous:
            return Contract.derivative(self, paths, parameter)
        last, sign = paths.last, 1.0 if self.option == "call" else -1.0
        return (not self.out) * sign * (sign * (last - self.strike) > 0.0) * last * paths.slope("log_last", parameter)
