"""A payoff that jumps, with the jump spread over a width: what localisation and relaxation share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.contracts.discontinuity import Jump
from pricers.errors import NotApplicable
from pricers.models.scenario import Scenario
from pricers.paths.paths import Paths

SECOND_ORDER = frozenset(("spot", other) for other in ("spot", "vol", "dividend"))
"""Once along the path by the spot, once by score: what does not move the discount factor."""

__all__ = ["SECOND_ORDER", "Spread", "spread_of", "typical_width"]

FloatArray = npt.NDArray[np.float64]


def typical_width(contract: Contract, scene: Scenario) -> float:
    """Standard deviation of the logarithm of the last spot, roughly: what widths of a jump are measured by."""
    return scene.model.scale("vol") * math.sqrt(contract.times[-1])


@dataclass(frozen=True, slots=True)
class Spread:
    r"""A contract's payoff :math:`f = b + (a - b)\,1_{x > 0}` with a ramp R(x) in place of the indicator: :math:`g = b + (a - b) R(x)`.

    x is the logarithm of the quantity that jumps over its threshold, a and b are what is paid above and below.
    """

    contract: Contract
    jump: Jump

    def distance(self, path: Paths) -> FloatArray:
        """x, [lane]."""
        return path.once(("distance", self.jump), lambda: self.jump.distance(path))

    def height(self, path: Paths) -> FloatArray | float:
        """What is paid above less what is paid below, [lane]."""
        below, above = self._sides(path)
        return above - below

    def value(self, path: Paths, ramp: FloatArray) -> FloatArray:
        """g, undiscounted, [lane], where the ramp is R."""
        return self._sides(path)[0] + self.height(path) * ramp

    def slope(self, path: Paths, parameter: str, ramp: FloatArray, steepness: FloatArray) -> FloatArray:
        """Derivative of g along the path, undiscounted, [lane], where the ramp is R and as steep as R'."""
        moved, below, above = path.once(("distance", self.jump, parameter), lambda: self._moved(path, parameter))
        return below + (above - below) * ramp + self.height(path) * (steepness * moved)

    def greek(self, path: Paths, greek: Greek, ramp: FloatArray, steepness: FloatArray) -> FloatArray:
        """One number per path whose mean is the Greek of g, sign and discount factor left out; a second derivative by score."""
        if not greek.parameters:
            return self.value(path, ramp)
        first, *second = greek.parameters
        slope = self.slope(path, first, ramp, steepness)
        if second:
            explicit = path.law.tangent("spot")[0] if second == ["spot"] else 0.0
            return slope * (path.score(second[0]) - explicit)
        by_discount = path.discounting.log_slope(first)
        return slope + by_discount * self.value(path, ramp) if by_discount else slope

    def _sides(self, path: Paths) -> tuple[FloatArray | float, FloatArray | float]:
        return path.once(("sides", self.jump), lambda: self.jump.sides(path))

    def _moved(self, path: Paths, parameter: str) -> tuple[FloatArray, FloatArray | float, FloatArray | float]:
        return self.jump.distance_slope(path, parameter), *self.jump.side_slopes(path, parameter)


def spread_of(method: str, greek: Greek, contract: Contract, scene: Scenario) -> Spread:
    """The contract's payoff, to be spread.

    Raises
    ------
    NotApplicable
        Where the payoff does not say where it jumps, or this Greek would differentiate it twice.
    """
    jump = contract.jump
    if jump is None:
        why = f"a {contract.family} payoff does not say where" if contract.jumps else f"a {contract.family} payoff has none"
        instead = "LikelihoodRatio()" if contract.jumps else "Pathwise()"
        raise NotApplicable(f"{method} spreads a payoff's jump, and {why}; use {instead}")
    for parameter in greek.parameters:
        scene.model.require_score((parameter,))
    return Spread(contract, jump)
