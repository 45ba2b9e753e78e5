"""The likelihood-ratio (score-function) estimator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from greeks.estimators.base import LIKELIHOOD_RATIO, PathEstimator, SampleSpec, needs_initial_spot_term
from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.engine.plan import Plan
from pricers.models.scenario import Scenario
from pricers.paths.paths import Paths
from pricers.paths.present_value import present_value

__all__ = ["LikelihoodRatio"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LikelihoodRatio(PathEstimator):
    r"""Payoff times score: :math:`\partial_p E[D f] = E[D f\,(\partial_p \ln p + \partial_p \ln D)]`, for any payoff.

    The score is that of the contract's own dates; itself of mean zero, it serves as a control, with the coefficient fitted on the
    same paths. Second derivatives take the second-order score. The variance of delta grows like the inverse of the first
    interval, that of vega like the number of dates: short first intervals and many dates call for another method beside it.

    A payoff that depends on today's spot itself, :math:`f(S, S_0)`, moves with it in a way that the score of the path does not know:
    delta and vanna get :math:`E[D\,\partial_{S_0} f]` and :math:`E[D\,\partial_{S_0} f\,\partial_\sigma \ln p]` beside it, where the
    payoff is continuous; else, and for gamma, the method refuses.

    Sources: Broadie and Glasserman (1996), Management Science 42, section 3; Glasserman (2004), section 7.3.
    """

    name: ClassVar[str] = LIKELIHOOD_RATIO
    second_order: ClassVar[frozenset[tuple[str, ...]]] = frozenset({("spot", "spot"), ("spot", "vol"), ("vol", "vol")})

    def sample_spec(self, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> SampleSpec:
        """See `PathEstimator.sample_spec`; second derivatives by rate or time would move the discount factor, too."""
        scenario.model.require_score(greek.parameters)
        beside = needs_initial_spot_term(greek, contract)

        def samples(paths: tuple[Paths, ...], out: FloatArray) -> None:
            (path,) = paths
            value = present_value(contract, path)
            if not greek.parameters:
                value.write(out[0])
                return
            value.write_times_score(path.score(*greek.parameters), greek.parameters[0], greek.sign, out)
            if beside:
                moved = contract.initial_spot_derivative(path) * (greek.sign * path.discounting.factor())
                out[0] += moved if len(greek.parameters) == 1 else moved * path.score(greek.parameters[1])

        return SampleSpec(scenarios=(scenario,), samples=samples, controls=1 if greek.parameters else 0)
