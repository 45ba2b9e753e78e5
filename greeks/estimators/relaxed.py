"""Continuous relaxation: a payoff whose jump is smoothed, differentiated along the path."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from greeks.estimators.base import PathEstimator, SampleSpec
from greeks.estimators.smoothing import SECOND_ORDER, SmoothedPayoff, smoothed_payoff, typical_width
from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.engine.plan import Plan
from pricers.errors import positive
from pricers.models.scenario import Scenario
from pricers.paths.paths import Paths

__all__ = ["Relaxed"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Relaxed(PathEstimator):
    r"""The pathwise derivative of a payoff whose indicator :math:`1_{x>0}` is replaced by :math:`\Phi(x/w)`.

    x is the logarithm of the quantity that jumps over its threshold. What is estimated is another payoff's Greek: the bias is
    :math:`O(w^2)`, the variance :math:`O(1/w)`. The bias is measured on the same paths, as 4/3 of what half the width changes
    (Richardson), and reported with its own error in the estimate; it is not taken off. Use it where a
    third opinion is wanted, as automatic differentiation of a smoothed payoff would give it; `Localised` is unbiased and no more work.

    Parameters
    ----------
    width : float, optional
        w, in units of the logarithm, positive. By default :math:`n^{-1/3}` standard deviations of the last log-spot, n the number of
        paths: below the rate :math:`n^{-1/5}` that minimises the mean square error, so that the bias is small beside the error.
    """

    name: ClassVar[str] = "relaxed"
    second_order: ClassVar[frozenset[tuple[str, ...]]] = SECOND_ORDER
    unbiased: ClassVar[bool] = False
    width: float | None = None

    def __post_init__(self) -> None:
        if self.width is not None:
            object.__setattr__(self, "width", positive("width", self.width))

    def cost_ns(self, contract: Contract) -> float:
        """See `PathEstimator.cost_ns`."""
        return 40.0 + (1.0 if contract.on_average else 8.0) * len(contract.times)

    def sample_spec(self, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> SampleSpec:
        """See `PathEstimator.sample_spec`; for payoffs that say where they jump."""
        spread = smoothed_payoff("relaxation", greek, contract, scenario)
        width = self.width if self.width is not None else plan.paths ** (-1.0 / 3.0) * typical_width(contract, scenario)

        def samples(paths: tuple[Paths, ...], out: FloatArray) -> None:
            (path,) = paths
            factor = greek.sign * path.discounting.factor()
            wide, narrow = (factor * _relaxed(spread, path, greek, w) for w in (width, 0.5 * width))
            out[0], out[1] = wide, (4.0 / 3.0) * (wide - narrow)

        return SampleSpec(scenarios=(scenario,), samples=samples, note=f"width {width:.3g}", bias_rows=(1,))


def _relaxed(spread: SmoothedPayoff, path: Paths, greek: Greek, width: float) -> FloatArray:
    """One number per path whose mean is the smoothed payoff's Greek, sign and discount factor left out."""
    x = spread.distance(path) / width
    return spread.greek(path, greek, ndtr(x), np.exp(-0.5 * x * x) / (math.sqrt(2.0 * math.pi) * width))
