"""The pathwise (infinitesimal perturbation) estimator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from greeks.estimators.estimator import PathEstimator, Recipe, Scene, present_value
from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.errors import NotApplicable
from pricers.paths import Paths
from pricers.plan import Plan

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

    @property
    def cost(self) -> float:
        """See `PathEstimator.cost`."""
        return 1.5

    def recipe(self, greek: Greek, contract: Contract, scene: Scene, plan: Plan) -> Recipe:
        """See `PathEstimator.recipe`; payoffs that jump are refused, and second derivatives that are not first by spot."""
        if contract.jumps:
            raise NotApplicable(
                f"pathwise {greek.name} needs a payoff gradient and {contract.gradient_lacks_because}; use LikelihoodRatio()"
            )
        if len(greek.parameters) > 1 and greek.parameters[0] != "spot":
            raise NotApplicable(
                f"pathwise {greek.name} would differentiate the payoff twice; use LikelihoodRatio() or FiniteDifference()"
            )
        for parameter in greek.parameters:
            scene.model.require_score((parameter,))

        def samples(paths: tuple[Paths, ...]) -> tuple[FloatArray, ...]:
            (path,) = paths
            if not greek.parameters:
                return (present_value(contract, path),)
            first, *second = greek.parameters
            slope = math.exp(path.log_discount) * contract.derivative(path, path.law.tangent(first))
            if second:
                explicit = 1.0 / scene.market.spot if second[0] == "spot" else 0.0
                return (greek.sign * slope * (path.score(second[0]) - explicit),)
            by_discount = path.log_discount_slope(first)
            if by_discount:
                slope = slope + by_discount * present_value(contract, path)
            return (greek.sign * slope,)

        return Recipe(scenes=(scene,), samples=samples, slopes=len(greek.parameters) == 1)
