"""Several unbiased estimators of one Greek, combined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greeks.estimators.base import PathEstimator, SampleSpec, common_second_order
from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.engine.plan import Plan
from pricers.errors import InvalidInput, NotApplicable
from pricers.models.scenario import Scenario
from pricers.paths.paths import Paths

__all__ = ["Combined"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, init=False)
class Combined(PathEstimator):
    r"""The combination of least variance of unbiased estimators on the same paths.

    Their differences have mean zero and serve as controls: :math:`Y_1 - \sum_k \beta_k (Y_1 - Y_k)`, with coefficients fitted on the
    same paths.

    Parameters
    ----------
    *estimators : PathEstimator
        Two or more, such as ``Combined(LikelihoodRatio(), Pathwise())``; one that refuses makes the combination refuse.
    """

    estimators: tuple[PathEstimator, ...]

    def __init__(self, *estimators: PathEstimator):
        if len(estimators) < 2 or not all(isinstance(e, PathEstimator) and e.unbiased for e in estimators):
            raise InvalidInput("estimators", estimators, "must be two or more unbiased estimators on paths")
        object.__setattr__(self, "estimators", estimators)

    @property
    def name(self) -> str:  # type: ignore[override]
        """All names."""
        return " + ".join(estimator.name for estimator in self.estimators)

    @property
    def methods(self) -> frozenset[str]:
        """See `Estimator.methods`."""
        return frozenset({self.name}).union(*(each.methods for each in self.estimators))

    @property
    def second_order(self) -> frozenset[tuple[str, ...]] | None:  # type: ignore[override]
        """What all that it is made of have."""
        return common_second_order(self.estimators)

    def cost_ns(self, contract: Contract) -> float:
        """See `PathEstimator.cost_ns`."""
        return sum(estimator.cost_ns(contract) for estimator in self.estimators)

    def sample_spec(self, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> SampleSpec:
        """See `PathEstimator.sample_spec`."""
        sample_specs = [estimator.sample_spec(greek, contract, scenario, plan) for estimator in self.estimators]
        if any(sample_spec.reweighting is not None for sample_spec in sample_specs):
            raise NotApplicable("estimators are combined on the same paths; use ImportanceSampling(Combined(...)) instead")
        ends = np.cumsum([len(sample_spec.scenarios) for sample_spec in sample_specs])

        def samples(paths: tuple[Paths, ...], out: FloatArray) -> None:
            row = 0
            for sample_spec, end in zip(sample_specs, ends, strict=True):
                sample_spec.samples(paths[end - len(sample_spec.scenarios) : end], out[row : row + 1 + sample_spec.controls])
                if row:
                    np.subtract(out[0], out[row], out=out[row])
                row += 1 + sample_spec.controls

        controls = sum(sample_spec.controls for sample_spec in sample_specs) + len(sample_specs) - 1
        scenarios = tuple(scenario for sample_spec in sample_specs for scenario in sample_spec.scenarios)
        return SampleSpec(
            scenarios=scenarios,
            samples=samples,
            controls=controls,
            heavy_tails=any(sample_spec.heavy_tails for sample_spec in sample_specs),
            exact_if_constant=any(sample_spec.exact_if_constant for sample_spec in sample_specs),
        )
