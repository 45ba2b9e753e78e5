"""Central finite differences on common random numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from greeks.estimators.estimator import PathEstimator, Recipe, Scene, payoff
from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.errors import InvalidInput, finite
from pricers.foreseen import Needs
from pricers.paths import Paths, add, plane
from pricers.plan import Plan

__all__ = ["FiniteDifference"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FiniteDifference(PathEstimator):
    r"""Central differences :math:`[V(p+h) - V(p-h)]/2h` and :math:`[V(p+h) - 2V(p) + V(p-h)]/h^2` on the same normals.

    The bump h is a share of the parameter's natural size (spot: :math:`S\,\sigma\sqrt T`; rate: :math:`\sigma/\sqrt T`; time: T; a
    model's parameter: the size it names). With n paths the share is :math:`n^{-2/3}` for the first derivative of a payoff without
    jumps (whose variance does not grow as h falls), :math:`n^{-1/4}` for its second and for the first of one that jumps (variance
    like 1/h), :math:`n^{-1/6}` for the second of one that jumps (:math:`1/h^3`): below the rates :math:`n^{-1/5}` and
    :math:`n^{-1/7}` that minimise the mean square error (Glasserman 2004, section 7.1), so that the bias :math:`O(h^2)` is small
    beside the standard error (of independent paths: with `Sobol` points, whose error is far smaller, give a smaller bump and mind the
    bias). The result's note says the bump.

    Parameters
    ----------
    bump : float, optional
        The share to use instead, above 0 and at most 1/2.
    """

    name: ClassVar[str] = "finite_difference"
    unbiased: ClassVar[bool] = False
    bump: float | None = None

    def __post_init__(self) -> None:
        if self.bump is not None and not 0.0 < finite("bump", self.bump) <= 0.5:
            raise InvalidInput("bump", self.bump, "must be above 0 and at most 0.5")

    def recipe(self, greek: Greek, contract: Contract, scene: Scene, plan: Plan) -> Recipe:
        """See `PathEstimator.recipe`; any payoff will do."""
        share = self._share(len(greek.parameters), contract, plan)
        last = contract.times[-1]
        steps = {p: share * _size(p, scene, last) for p in greek.parameters}
        scenes, stencil = _stencil(scene, tuple((p, step) for p, step in steps.items()), len(greek.parameters))
        units = [steps[p] * (last if p == "time" else 1.0) for p in greek.parameters]
        weights = [greek.sign * weight / math.prod(units) for weight in stencil]

        def samples(paths: tuple[Paths, ...], out: FloatArray) -> None:
            worth = [
                (weight * math.exp(path.log_discount), payoff(contract, path))
                for weight, path in zip(weights, paths, strict=True)
            ]
            match worth:
                case [(weight, paid)]:
                    np.multiply(paid, weight, out=out[0])
                case [one, other, *more]:
                    plane(*one, *other, out=out[0])
                    for weighted in more:
                        add(*weighted, out[0])

        bumps = ", ".join(f"{p} {step * (last if p == 'time' else 1.0):.4g}" for p, step in steps.items())
        needs = Needs(summaries=contract.summaries)
        return Recipe(scenes=scenes, needs=needs, samples=samples, note=f"bump {bumps}" if bumps else "", relative_bias=share**2)

    def _share(self, order: int, contract: Contract, plan: Plan) -> float:
        if self.bump is not None or order == 0:
            return self.bump or 0.0
        power = {(False, 1): 2 / 3, (False, 2): 1 / 4, (True, 1): 1 / 4, (True, 2): 1 / 6}[contract.jumps, order]
        return float(min(0.5, plan.paths**-power))


def _size(parameter: str, scene: Scene, last: float) -> float:
    """Natural size of a parameter: of spot and rate, what a standard deviation of the last log-spot is worth."""
    vol, root = scene.model.scale("vol"), math.sqrt(last)
    match parameter:
        case "spot":
            return scene.market.spot * min(vol * root, 1.0)
        case "rate" | "dividend":
            return vol / root
        case "time":
            return 1.0
    return scene.model.scale(parameter)


def _stencil(scene: Scene, steps: tuple[tuple[str, float], ...], order: int) -> tuple[tuple[Scene, ...], tuple[float, ...]]:
    """Bumped scenes and their weights, before division by the steps."""
    if order == 0:
        return (scene,), (1.0,)
    (p, h), *rest = steps
    if order == 1:
        return (scene.bumped(p, h), scene.bumped(p, -h)), (0.5, -0.5)
    if not rest:
        return (scene.bumped(p, h), scene, scene.bumped(p, -h)), (1.0, -2.0, 1.0)
    ((q, k),) = rest
    corners = ((1, 1), (1, -1), (-1, 1), (-1, -1))
    return tuple(scene.bumped(p, a * h).bumped(q, b * k) for a, b in corners), tuple(0.25 * a * b for a, b in corners)
