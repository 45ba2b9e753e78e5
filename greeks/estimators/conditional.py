"""European claims by their formula given the path of the variance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from greeks.estimators.base import GAMMA, PathEstimator, SampleSpec
from greeks.estimators.kernels.survival import values
from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.contracts.digital import Digital
from pricers.contracts.european import European
from pricers.engine.plan import Plan
from pricers.errors import NotApplicable
from pricers.models.scenario import Scenario
from pricers.paths.paths import Paths, Steps
from pricers.paths.row_operations import empty

__all__ = ["Claim", "Conditional", "TotalReturn", "select_greek", "total_return", "value_and_derivatives"]

FloatArray = npt.NDArray[np.float64]


class Claim(NamedTuple):
    """A claim on the last log-spot, as `greeks.estimators.kernels.survival` knows it.

    Attributes
    ----------
    edges : ndarray [edge, 5]
    image : tuple of float, optional
        Power and pole of the image it is taken less of.
    """

    edges: FloatArray
    image: tuple[float, float] | None = None

    @classmethod
    def of(cls, *rows: tuple[float, float, float, float], image: tuple[float, float] | None = None) -> Claim:
        """From edges (shares, cash, place, side); those that pay nothing are left out."""
        kept = [(c, b, e, side, c * math.exp(e)) for c, b, e, side in rows if c != 0.0 or b != 0.0]
        return cls(np.array(kept).reshape(-1, 5), image)

    @classmethod
    def vanilla(cls, option: str, strike: float, less: float = 0.0) -> Claim:
        """A call or put, less some cash."""
        sign = 1.0 if option == "call" else -1.0
        return cls.of((sign, -sign * strike, math.log(strike), sign), (0.0, -less, -1e3, 1.0))

    @property
    def numbers(self) -> tuple[FloatArray, bool, float, float]:
        """As kernels take it."""
        return self.edges, self.image is not None, *(self.image or (0.0, 0.0))

    def value(self, y: FloatArray, variance: FloatArray) -> FloatArray:
        """Value, first and second derivative by y, and by power, [4, path], where the last log-spot is normal with mean y."""
        out = empty((4, len(y)))
        values(*self.numbers, y, np.broadcast_to(variance, y.shape).copy(), out)
        return out


class TotalReturn(NamedTuple):
    """Mean and variance of the whole log-return given the path of the variance, and their derivatives.

    Attributes
    ----------
    spot : float
    mean, variance : ndarray [path or 1]
    mean_slope, variance_slope : ndarray [p, path or 1]
    """

    spot: float
    mean: FloatArray
    variance: FloatArray
    mean_slope: FloatArray
    variance_slope: FloatArray

    @classmethod
    def of(cls, steps: Steps) -> TotalReturn:
        """Sums over time."""
        spread = 2.0 * np.einsum("tl,ptl->pl", steps.stdev, steps.stdev_slope)
        mean, variance = steps.mean.sum(axis=0), np.einsum("tl,tl->l", steps.stdev, steps.stdev)
        return cls(steps.spot, mean, variance, steps.mean_slope.sum(axis=1), spread)


def total_return(path: Paths, *parameters: str) -> TotalReturn:
    """The sums of `pricers.paths.paths.Paths.steps`, made once."""
    steps = path.steps(*parameters)
    total: TotalReturn = path.once(("total", steps.parameters), lambda: TotalReturn.of(steps))
    return total


def value_and_derivatives(claim: Claim, total: TotalReturn, tilts: FloatArray | None = None) -> FloatArray:
    """Value given the path of the variance, its second derivative by the spot and its first derivatives, [2 + p, path or 1].

    Undiscounted; the first parameter is the spot, and tilts [p] are the derivatives of the image's power.
    """
    value, by_y, by_y_twice, by_power = claim.value(math.log(total.spot) + total.mean, total.variance)
    out = empty((2 + len(total.mean_slope), len(value)))
    out[0], out[1] = value, (by_y_twice - by_y) / total.spot**2
    out[2:] = by_y * total.mean_slope + 0.5 * by_y_twice * total.variance_slope
    out[2] += by_y / total.spot
    if tilts is not None:
        out[2:] += np.outer(tilts, by_power)
    return out


@dataclass(frozen=True, slots=True)
class Conditional(PathEstimator):
    r"""European claims on the last date by Black-Scholes given the path of the variance, differentiated along it.

    Given that path the last log-spot is normal with mean :math:`\ln S_0 + \sum_k M_k` and variance :math:`\sum_k s_k^2`: what is left
    of the noise is the variance's own. For vanillas and digitals, jumps or not, first derivatives and gamma. Under a model whose
    variance is no path this is the formula itself.

    As ``by`` of `Controlled` it explains what the path of the variance does to a claim that looks at more dates; call less put is
    the forward.

    Sources: Hull and White (1987), Journal of Finance 42, for the mixture; Willard (1997), Journal of Derivatives 5(1).
    """

    name: ClassVar[str] = "conditional"
    second_order: ClassVar[frozenset[tuple[str, ...]]] = GAMMA
    structural: ClassVar[bool] = True

    def cost_ns(self, contract: Contract) -> float:
        """See `PathEstimator.cost_ns`."""
        return 60.0

    def sample_spec(self, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> SampleSpec:
        """See `PathEstimator.sample_spec`."""
        match contract:
            case European(option=option, strike=strike):
                claim = Claim.vanilla(option, strike)
            case Digital(option=option, strike=strike, cash=cash):
                claim = Claim.of((0.0, cash, math.log(strike), 1.0 if option == "call" else -1.0))
            case _:
                raise NotApplicable(
                    f"conditional values are of vanillas and digitals, not {contract.family}; use LikelihoodRatio()"
                )
        for parameter in greek.parameters:
            scenario.model.require_score((parameter,))

        def samples(paths: tuple[Paths, ...], out: FloatArray) -> None:
            (path,) = paths
            moved, total = path.steps(*greek.parameters).parameters, total_return(path, *greek.parameters)
            key = "conditional", contract, moved
            rows = path.once(key, lambda: path.discounting.factor() * value_and_derivatives(claim, total))
            out[0] = select_greek(rows, moved, greek, path)

        return SampleSpec(scenarios=(scenario,), samples=samples, exact_if_constant=True)


def select_greek(rows: FloatArray, moved: tuple[str, ...], greek: Greek, path: Paths) -> FloatArray:
    """A Greek from rows of value, second derivative by spot, and first derivatives at a fixed discount factor."""
    value, second, slopes = rows[0], rows[1], rows[2:]
    match greek.parameters:
        case ():
            return value
        case ("spot", "spot"):
            return second
    (parameter,) = greek.parameters
    return greek.sign * (slopes[moved.index(parameter)] + path.discounting.log_slope(parameter) * value)
