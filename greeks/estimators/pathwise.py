"""The pathwise (infinitesimal perturbation) estimator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from greeks.estimators.base import PathEstimator, SampleSpec
from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.engine.plan import Plan
from pricers.errors import NotApplicable
from pricers.models.scenario import Scenario
from pricers.paths.paths import Paths
from pricers.paths.present_value import present_value, write_derivative, write_mixed_derivative

__all__ = ["Pathwise"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pathwise(PathEstimator):
    r"""The payoff's own derivative along each path: :math:`E[D\sum_k f_k S_k\,\partial_p \ln S_k + f\,\partial_p D]`.

    It needs a payoff without jumps and refuses others. Gamma and vanna differentiate the payoff once and the density once
    (pathwise delta times score, Glasserman 2004, section 7.3.3): :math:`E[g\,(\partial_{S_0}\ln p - 1/S_0)]`, :math:`g` the
    pathwise delta of a path.

    Sources: Broadie and Glasserman (1996), Management Science 42, section 2; Glasserman (2004), section 7.2.
    """

    name: ClassVar[str] = "pathwise"
    second_order: ClassVar[frozenset[tuple[str, ...]]] = frozenset(
        ("spot", other) for other in ("spot", "vol", "rate", "dividend", "time")
    )

    def cost_ns(self, contract: Contract) -> float:
        """See `PathEstimator.cost_ns`."""
        return (6.0 if contract.derivative_note else 1.0) * len(contract.times)  # two payoffs more where it is bumped

    def sample_spec(self, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> SampleSpec:
        """See `PathEstimator.sample_spec`; payoffs that jump are refused, and second derivatives that are not first by spot."""
        if contract.discontinuous:
            raise NotApplicable(
                f"pathwise {greek.name} needs a payoff gradient and {contract.gradient_lacks_because}; use LikelihoodRatio()"
            )
        if contract.uses_initial_spot and greek.parameters == ("spot", "spot"):
            raise NotApplicable(
                f"pathwise {greek.name} takes a score, which does not know that the payoff depends on today's spot itself; "
                "use FiniteDifference()"
            )
        for parameter in greek.parameters:
            scenario.model.require_score((parameter,))

        def samples(paths: tuple[Paths, ...], out: FloatArray) -> None:
            (path,) = paths
            match greek.parameters:
                case ():
                    present_value(contract, path).write(out[0])
                case (parameter,):
                    write_derivative(contract, path, parameter, greek.sign, out[0])
                case (parameter, other):
                    score = path.score(other) - (1.0 / scenario.market.spot if other == "spot" else 0.0)
                    write_mixed_derivative(contract, path, parameter, score, other, greek.sign, out[0])

        note = contract.derivative_note if greek.parameters else ""
        return SampleSpec(scenarios=(scenario,), samples=samples, note=note)
