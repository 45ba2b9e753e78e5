"""The score-function estimator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from greeks.expectation.estimators.baselines import Baseline, Constant
from greeks.expectation.estimators.estimator import Estimator, Numbers
from greeks.expectation.integrand import Draws
from pricers.errors import InvalidInput

__all__ = ["ScoreFunction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreFunction(Estimator):
    r""":math:`\nabla E[f(X)] = E[f(X)\,\nabla \ln p(X;\theta)]`, for any f; also called REINFORCE and likelihood ratio.

    Sources: Glynn (1990); Williams (1992); Mohamed, Rosca, Figurnov and Mnih (2020), section 4.

    Attributes
    ----------
    baseline : Baseline
        `Constant` (by default 0), `LeaveOneOut` or `Optimal`; none of them biases the estimate.
    """

    name: ClassVar[str] = "score function"
    baseline: Baseline = field(default_factory=Constant)

    def __post_init__(self) -> None:
        if not isinstance(self.baseline, Baseline):
            raise InvalidInput("baseline", self.baseline, "must be a baseline, such as LeaveOneOut()")

    def numbers(self, draws: Draws) -> dict[str, Numbers]:
        """See `Estimator.numbers`."""
        return {name: self.baseline.numbers(draws.values, score) for name, score in draws.score.items()}
