"""Localised likelihood ratio: the score near the jump only, the pathwise derivative elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from greeks.estimators.base import PathEstimator, SampleSpec
from greeks.estimators.smoothing import SECOND_ORDER, SmoothedPayoff, smoothed_payoff, typical_width
from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.engine.plan import Plan
from pricers.errors import positive
from pricers.models.scenario import Scenario
from pricers.paths.paths import Paths
from pricers.paths.present_value import present_value

__all__ = ["Localised"]

FloatArray = npt.NDArray[np.float64]

_WIDTHS = (0.25, 0.015625, 0.0625, 1.0)
"""Shares of the standard deviation of the last log-spot; the first is that of the estimate, the others those of its controls."""


@dataclass(frozen=True, slots=True)
class Localised(PathEstimator):
    r"""The payoff in two parts, :math:`f = g + (f - g)`: g pathwise, what is left of the jump by likelihood ratio.

    g is f with its jump, where the quantity that jumps passes its threshold, made a straight ramp in the logarithm of that quantity,
    ``width`` to either side. It has a pathwise derivative, of variance like 1/width; :math:`f - g` is zero further off than the
    width, so that its score has a variance like the width. Both are unbiased for every width.

    Which width is best depends on the Greek: the square of the best is three times the variance of the quantity's own derivative over
    that of the score. Rather than guess it, four widths are sampled and the likelihood ratio itself, whose differences have mean
    zero: the combination of least variance is fitted on the same paths, together with the score.

    Source: Fournie, Lasry, Lebuchoux, Lions and Touzi (1999), "Applications of Malliavin calculus to Monte Carlo methods in finance",
    Finance and Stochastics 3, section 4 (localisation).

    Parameters
    ----------
    width : float, optional
        The one width to use instead, in units of the logarithm, positive.
    """

    name: ClassVar[str] = "localised"
    second_order: ClassVar[frozenset[tuple[str, ...]]] = SECOND_ORDER
    width: float | None = None

    def __post_init__(self) -> None:
        if self.width is not None:
            object.__setattr__(self, "width", positive("width", self.width))

    def cost_ns(self, contract: Contract) -> float:
        """See `PathEstimator.cost_ns`: four widths of one number; with slopes of every date where no mean jumps."""
        return 60.0 + (1.0 if contract.on_average else 12.0) * len(contract.times)

    def sample_spec(self, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> SampleSpec:
        """See `PathEstimator.sample_spec`; for payoffs that say where they jump."""
        spread = smoothed_payoff("localisation", greek, contract, scenario)
        scenario.model.require_score(greek.parameters)
        typical = typical_width(contract, scenario)
        widths = (self.width,) if self.width is not None else tuple(share * typical for share in _WIDTHS)
        controls = 1 if self.width is not None else 1 + len(widths)

        def samples(paths: tuple[Paths, ...], out: FloatArray) -> None:
            (path,) = paths
            if not greek.parameters:
                present_value(contract, path).write(out[0])
                return
            factor = greek.sign * path.discounting.factor()
            score, x = path.score(*greek.parameters), spread.distance(path)
            weight = factor * (score + path.discounting.log_slope(greek.parameters[0]))
            first, *others = (_localised(spread, path, greek, x, width, factor, weight) for width in widths)
            if self.width is None:
                others.append(weight * present_value(contract, path).at_last_date())
            out[0], out[1] = first, score
            for row, other in zip(out[2:], others, strict=True):
                np.subtract(first, other, out=row)

        return SampleSpec(scenarios=(scenario,), samples=samples, controls=controls if greek.parameters else 0)


def _localised(
    spread: SmoothedPayoff, path: Paths, greek: Greek, x: FloatArray, width: float, factor: float, weight: FloatArray
) -> FloatArray:
    """One number per path whose mean is the Greek."""
    ramp = np.clip(0.5 + (0.5 / width) * x, 0.0, 1.0)
    steepness = np.where(np.abs(x) < width, 0.5 / width, 0.0)
    rest = spread.height(path) * ((x > 0.0) - ramp)
    return factor * spread.greek(path, greek, ramp, steepness) + weight * rest
