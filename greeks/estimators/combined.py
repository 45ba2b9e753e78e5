"""Several unbiased estimators of one Greek, combined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greeks.estimators.base import PathEstimator, Recipe, common_second_order
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

    def work(self, contract: Contract) -> float:
        """See `PathEstimator.work`."""
        return sum(estimator.work(contract) for estimator in self.estimators)

    def recipe(self, greek: Greek, contract: Contract, scene: Scenario, plan: Plan) -> Recipe:
        """See `PathEstimator.recipe`."""
        recipes = [estimator.recipe(greek, contract, scene, plan) for estimator in self.estimators]
        if any(recipe.reweighting is not None for recipe in recipes):
            raise NotApplicable("estimators are combined on the same paths; use ImportanceSampling(Combined(...)) instead")
        ends = np.cumsum([len(recipe.scenes) for recipe in recipes])

        def samples(paths: tuple[Paths, ...], out: FloatArray) -> None:
            row = 0
            for recipe, end in zip(recipes, ends, strict=True):
                recipe.samples(paths[end - len(recipe.scenes) : end], out[row : row + 1 + recipe.controls])
                if row:
                    np.subtract(out[0], out[row], out=out[row])
                row += 1 + recipe.controls

        controls = sum(recipe.controls for recipe in recipes) + len(recipes) - 1
        scenes = tuple(scene for recipe in recipes for scene in recipe.scenes)
        return Recipe(
            scenes=scenes,
            samples=samples,
            controls=controls,
            heavy_tails=any(recipe.heavy_tails for recipe in recipes),
            exact_if_constant=any(recipe.exact_if_constant for recipe in recipes),
        )
