"""What a run is asked, and what it says."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from greeks.estimators.base import Estimator
from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.engine.estimate import Estimate, Moments, Statistics
from pricers.engine.plan import Plan
from pricers.errors import NotApplicable
from pricers.models.scenario import Scenario

__all__ = ["GreekResult", "GreekTask"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class GreekTask:
    """One contract to be differentiated, each Greek by each estimator, on the same paths.

    Attributes
    ----------
    contract : Contract
    scenario : Scenario
    greeks : tuple of Greek
    estimators : tuple of Estimator
    stream : str
        Name that random numbers are keyed by.
    time_grid : tuple of float, optional
        Times at which random numbers are drawn; by default what the model needs for this contract.
    """

    contract: Contract
    scenario: Scenario
    greeks: tuple[Greek, ...]
    estimators: tuple[Estimator, ...]
    stream: str = ""
    time_grid: tuple[float, ...] | None = None

    def grid(self, plan: Plan) -> tuple[float, ...]:
        """Times at which random numbers are drawn for it."""
        return self.time_grid or self.scenario.model.time_grid(self.contract.times, *plan.steps)


@dataclass(slots=True, kw_only=True, eq=False)
class GreekResult:
    """What a run says about one task.

    Attributes
    ----------
    estimates : dict
        By (greek name, estimator name).
    refusals : dict
        Why an estimator does not answer, by the same key.
    step_biases : dict
        Size and standard error of the part of an estimate's bias that its model's time steps leave, by the same key.
    """

    estimates: dict[tuple[str, str], Estimate] = field(default_factory=dict)
    refusals: dict[tuple[str, str], NotApplicable] = field(default_factory=dict)
    step_biases: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    _weights: dict[tuple[str, str], FloatArray] = field(default_factory=dict)
    _moments: dict[str, Moments] = field(default_factory=dict)
    _differences: dict[tuple[str, str, str], Statistics | None] | None = None
    _spreads: dict[tuple[str, str], float] = field(default_factory=dict)

    def condense(self, pairs: Iterable[tuple[str, str, str]]) -> None:
        """Keep of the moments, which take ten times the memory of all else, no more than `difference` and `spread` need.

        Afterwards `difference` answers for these pairs only, in either order; `statistics` and `batches` do not answer any more.

        Parameters
        ----------
        pairs : iterable of tuple
            (greek, one estimator, other estimator), as `difference` takes them; both have an estimate.
        """
        self._differences = {pair: self._paired(*pair) for pair in pairs}
        self._spreads = {key: self.statistics(*key).spread for key in self._weights}
        self._weights, self._moments = {}, {}

    def statistics(self, greek: str, estimator: str) -> Statistics:
        """What the paths say of an estimate, whether that tells its error or not."""
        return self._moments[greek].statistics(self._weights[greek, estimator])

    def difference(self, greek: str, one: str, other: str) -> Statistics:
        """Estimate ``one`` less estimate ``other`` on their common paths."""
        gap = self.estimates[greek, one].value - self.estimates[greek, other].value
        if self._differences is None:
            found = self._paired(greek, one, other)
        elif (greek, other, one) in self._differences:
            found = self._differences[greek, other, one]
            found = found._replace(skewness=-found.skewness) if found is not None else None
        else:
            found = self._differences[greek, one, other]
        return found._replace(value=gap) if found is not None else Statistics(gap, 0.0, 0.0, math.inf, math.inf, 0.0)

    def _paired(self, greek: str, one: str, other: str) -> Statistics | None:
        """What the paths say of a difference; None where neither estimate is sampled."""
        sampled = [sign * self._weights[greek, name] for sign, name in ((1, one), (-1, other)) if (greek, name) in self._weights]
        return self._moments[greek].statistics(np.sum(sampled, axis=0)) if sampled else None

    def spread(self, greek: str, estimator: str) -> float:
        """Greatest standard error of the rows that make the estimate: rounding is small beside it, also where the rows cancel."""
        if (greek, estimator) in self._weights:
            return self.statistics(greek, estimator).spread
        return self._spreads.get((greek, estimator), 0.0)

    def adopt(self, greek: str, name: str, other: GreekResult, method: str, note: str) -> None:
        """Take over all that another answer of the same task says of a Greek; what it calls ``method`` makes the number called ``name``."""
        self._moments[greek] = other._moments[greek]
        for key in [key for key in self._weights if key[0] == greek]:
            its = (greek, method if key[1] == name else key[1])
            self._weights[key], self.estimates[key] = other._weights[its], other.estimates[its]
            if its in other.step_biases:
                self.step_biases[key] = other.step_biases[its]
        estimate = self.estimates[greek, name]
        self.estimates[greek, name] = replace(estimate, note=f"{note}; {estimate.note}" if estimate.note else note)

    def batches(self, greek: str, estimator: str) -> tuple[FloatArray, FloatArray]:
        """Batch means of an estimate and the paths in each batch; a closed form has the same value in all (an empty pair)."""
        if (greek, estimator) not in self._weights:
            return np.empty(0), np.empty(0)
        moments = self._moments[greek]
        return moments.batches(self._weights[greek, estimator]), moments.batch_counts
