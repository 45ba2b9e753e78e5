"""A payoff that jumps, with the jump spread over a width: what localisation and relaxation share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.contracts.discontinuity import Discontinuity
from pricers.errors import NotApplicable
from pricers.models.scenario import Scenario
from pricers.paths.paths import Paths

SECOND_ORDER = frozenset(("spot", other) for other in ("spot", "vol", "dividend"))
"""Once along the path by the spot, once by score: what does not move the discount factor."""

__all__ = ["SECOND_ORDER", "SmoothedPayoff", "smoothed_payoff", "typical_width"]

FloatArray = npt.NDArray[np.float64]


def typical_width(contract: Contract, scenario: Scenario) -> float:
    """Standard deviation of the logarithm of the last spot, roughly: what widths of a jump are measured by."""
    return scenario.model.scale("vol") * math.sqrt(contract.times[-1])


@dataclass(frozen=True, slots=True)
class SmoothedPayoff:
    r"""A contract's payoff :math:`f = b + (a - b)\,1_{x > 0}` with a ramp R(x) in place of the indicator: :math:`g = b + (a - b) R(x)`.

    x is the logarithm of the quantity that jumps over its threshold, a and b are what is paid above and below.
    """

    contract: Contract
    discontinuity: Discontinuity

    def distance(self, path: Paths) -> FloatArray:
        """x, [path]."""
        return path.once(("distance", self.discontinuity), lambda: self.discontinuity.distance(path))

    def height(self, path: Paths) -> FloatArray | float:
        """What is paid above less what is paid below, [path]."""
        below, above = self._sides(path)
        return above - below

    def value(self, path: Paths, ramp: FloatArray) -> FloatArray:
        """g, undiscounted, [path], where the ramp is R."""
        return self._sides(path)[0] + self.height(path) * ramp

    def slope(self, path: Paths, parameter: str, ramp: FloatArray, steepness: FloatArray) -> FloatArray:
        """Derivative of g along the path, undiscounted, [path], where the ramp is R and as steep as R'."""
        moved, below, above = path.once(("distance", self.discontinuity, parameter), lambda: self._moved(path, parameter))
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
        return path.once(("sides", self.discontinuity), lambda: self.discontinuity.sides(path))

    def _moved(self, path: Paths, parameter: str) -> tuple[FloatArray, FloatArray | float, FloatArray | float]:
        return self.discontinuity.distance_slope(path, parameter), *self.discontinuity.side_slopes(path, parameter)


def smoothed_payoff(method: str, greek: Greek, contract: Contract, scenario: Scenario) -> SmoothedPayoff:
    """The contract's payoff, to be spread.

    Raises
    ------
    NotApplicable
        Where the payoff does not say where it jumps, or this Greek would differentiate it twice.
    """
    if contract.pays_early:
        raise NotApplicable(
            f"{method} is for payoffs at the last date, and {contract.family} may pay before; use LikelihoodRatio()"
        )
    discontinuity = contract.discontinuity
    if discontinuity is None:
        why = (
            f"the {contract.family} payoff does not say where"
            if contract.discontinuous
            else f"the {contract.family} payoff has none"
        )
        instead = "LikelihoodRatio()" if contract.discontinuous else "Pathwise()"
        raise NotApplicable(f"{method} spreads a payoff's jump, and {why}; use {instead}")
    for parameter in greek.parameters:
        scenario.model.require_score((parameter,))
    return SmoothedPayoff(contract, discontinuity)
