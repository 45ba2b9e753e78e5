"""Geometric Brownian motion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from pricers.draws import Block, Observation, increments
from pricers.errors import NotApplicable, positive
from pricers.kernel import kernel
from pricers.market import Market
from pricers.models.gbm_summaries import Program, Summaries
from pricers.models.model import Model, PathSimulator
from pricers.paths import Law, Line, Paths, Steps, affine, plane
from pricers.requests import PathRequest
from pricers.special import exp_normal, fma
from pricers.workspace import empty

__all__ = ["GBM"]

FloatArray = npt.NDArray[np.float64]


@kernel
def _spots(vol, root, index, factor, normals, out):
    """Spots [time, lane] at the nodes index[time]: factor[time] times e^(vol W), W the sum of root[node] times normals[node, lane]."""
    walk = np.zeros(normals.shape[1])
    date = 0
    for node in range(index[-1] + 1):
        z, scale = normals[node], root[node]
        for lane in range(walk.size):
            walk[lane] = fma(scale, z[lane], walk[lane])
        if node == index[date]:
            here, level = out[date], factor[date]
            for lane in range(walk.size):
                here[lane] = level * exp_normal(vol * walk[lane])
            date += 1


@kernel
def _running(weight, shift, normals, out):
    """Running sums over time of shift[time] + weight[time] * normals[time, lane]."""
    for lane in range(normals.shape[1]):
        out[0, lane] = shift[0] + weight[0] * normals[0, lane]
    for t in range(1, normals.shape[0]):
        for lane in range(normals.shape[1]):
            out[t, lane] = out[t - 1, lane] + (shift[t] + weight[t] * normals[t, lane])


@dataclass(frozen=True, slots=True, kw_only=True)
class GBM(Model):
    r"""Geometric Brownian motion: :math:`d\ln S = (r - q - \tfrac12\sigma^2)\,dt + \sigma\,dW`, sampled exactly at any dates.

    Attributes
    ----------
    vol : float
        :math:`\sigma`, per square root of a year, positive. Vega is the derivative by it.
    """

    kind: ClassVar[str] = "gbm"
    parameters: ClassVar[tuple[str, ...]] = ()
    work: ClassVar[tuple[float, float]] = 0.0, 2.4
    vol: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "vol", positive("vol", self.vol))

    def lattice(self, times: tuple[float, ...], steps_per_year: int | None = None, refinement: int = 1) -> tuple[float, ...]:
        """The contract's own dates: between them GBM needs nothing."""
        return times

    def paths(self, block: Block, observed: Observation, market: Market, stretch: float = 1.0) -> Paths:
        """Spots at the observed dates; see `Model.paths`."""
        request = PathRequest(market=market, stretch=stretch, observed=observed)
        return self.simulator({self: (request,)}).paths(block, request)

    @classmethod
    def simulator(cls, requests: Mapping[GBM, Sequence[PathRequest]]) -> PathSimulator:
        """See `Model.simulator`: all volatilities share one Brownian motion."""
        return _Simulator({request: model.vol for model, asked in requests.items() for request in asked})

    def bumped(self, parameter: str, by: float) -> GBM:
        """See `Model.bumped`."""
        return replace(self, **{parameter: getattr(self, parameter) + by})

    def scale(self, parameter: str) -> float:
        """See `Model.scale`."""
        return self.vol


class _Simulator(PathSimulator):
    """Plans the rows of all requests together, given with their volatilities."""

    def __init__(self, requests: Mapping[PathRequest, float]):
        self._program = Program(requests)

    def paths(self, block: Block, request: PathRequest) -> Paths:
        """See `PathSimulator.paths`."""
        summaries = block.once(self, lambda: Summaries(block, self._program))
        law = _LogNormal(request, block, summaries)
        made = law.made
        return Paths(
            times=made.times,
            lanes=block.lanes,
            spot=law.spots,
            discounting=made.discounting,
            law=law,
            wanted=request.wanted,
            initial_spot=request.market.spot,
        )


class _LogNormal(Law):
    """Independent normal log-returns, mean shift[time], variance vol^2 intervals[time].

    Scores: Broadie and Glasserman (1996), section 3; Glasserman (2004), section 7.3.
    """

    __slots__ = ("_block", "_request", "_summaries", "made", "spot", "vol")

    def __init__(self, request: PathRequest, block: Block, summaries: Summaries):
        self._request, self._block, self._summaries = request, block, summaries
        self.spot, self.vol, self.made = request.market.spot, *summaries.program.steps[request]

    def _row(self, name: str) -> FloatArray:
        return self._summaries.row(self._request, name)

    @property
    def normals(self) -> FloatArray:
        """Of the intervals, [time, lane]."""
        return self._block.increments(self._request.observed)

    def spots(self) -> FloatArray:
        """[time, lane]."""
        observed, lattice = self._request.observed, self._block.lattice
        root = math.sqrt(self._request.stretch) * np.sqrt(increments(lattice))
        out = empty((len(observed.times), self._block.lanes))
        _spots(self.vol, root, observed.index, np.exp(self.made.level), self._block.normals(), out)
        return out

    @property
    def _root(self) -> float:
        """Of the factor on all times."""
        return math.sqrt(self._request.stretch)

    def line(self, name: str) -> Line | None:
        """See `Law.line`."""
        count, start = len(self.made.shift), math.log(self.spot)
        match name:
            case "mean":
                return Line(0.0, self.spot / count, self._row("total"))
            case "log_mean":
                return Line(self.made.mean_level, self.vol / count * self._root, self._row("walks"))
            case "log_last":
                return Line(float(self.made.level[-1]), self.vol * self._root, self._row("walk"))
            case "log_minimum":
                return Line(start, 1.0, self._row("low"))
            case "log_maximum":
                return Line(start, 1.0, self._row("high"))
        return None

    def slope(self, name: str, parameter: str) -> FloatArray | float | None:
        """See `Law.slope`."""
        made = self.made
        count, last = len(made.shift), float(made.times[-1])
        match name, parameter:
            case "mean", "spot":
                return affine(0.0, 1.0 / count, self._row("total"))
            case "mean", "rate":
                return affine(0.0, self.spot / count, self._row("timed"))
            case "mean", "dividend":
                return affine(0.0, -self.spot / count, self._row("timed"))
            case "mean", "vol":
                return plane(
                    self._root * (self.spot / count), self._row("walked"), -self.vol * (self.spot / count), self._row("timed")
                )
            case "mean", "time":
                scale = self.spot / (count * last)
                return plane(0.5 * self.vol * self._root * scale, self._row("walked"), scale, self._row("shifted"))
            case "log_mean", "vol":
                return affine(-self.vol * made.mean_time, self._root / count, self._row("walks"))
            case "log_mean", "time":
                return affine(made.mean_shifted / last, 0.5 * self.vol * self._root / (count * last), self._row("walks"))
            case "log_last", "vol":
                return affine(-self.vol * last, self._root, self._row("walk"))
            case "log_last", "time":
                return affine(float(made.shifted[-1]) / last, 0.5 * self.vol * self._root / last, self._row("walk"))
            case "log_mean" | "log_last", "spot":
                return 1.0 / self.spot
            case "log_mean", "rate" | "dividend":
                return made.mean_time * (1.0 if parameter == "rate" else -1.0)
            case "log_last", "rate" | "dividend":
                return last * (1.0 if parameter == "rate" else -1.0)
        return None

    def score(self, parameters: tuple[str, ...]) -> FloatArray:
        """See `Law.score`."""
        vol, made = self.vol, self.made
        last, root = float(made.times[-1]), float(made.root[0])
        match parameters:
            case ("spot",):
                return affine(0.0, 1.0 / (self.spot * vol * root), self._row("first"))
            case ("rate",):
                return affine(0.0, self._root / vol, self._row("walk"))
            case ("dividend",):
                return affine(0.0, -self._root / vol, self._row("walk"))
            case ("vol",):
                return plane(1.0 / vol, self._row("squares"), -self._root, self._row("walk"))
            case ("time",):
                return plane(1.0 / last, self._row("drifts"), 0.5 / last, self._row("squares"))
            case ("spot", "spot"):
                first, scale = self._row("first"), vol * root
                return ((first * first - 1.0) * (1.0 / scale) - first) * (1.0 / (self.spot**2 * scale))
            case ("spot", "vol"):
                first = self._row("first")
                return (first * self.score(("vol",)) + (root - 2.0 / vol * first)) * (1.0 / (self.spot * vol * root))
            case ("vol", "vol"):
                vega, squares = self.score(("vol",)), self._row("squares")
                return (
                    vega * vega
                    - (3.0 * squares + 2.0 * len(made.shift)) / vol**2
                    + 3.0 / vol * self._root * self._row("walk")
                    - last
                )
        raise NotApplicable(f"GBM has no score for {' x '.join(parameters)}; use FiniteDifference() or Exact()")

    def tangent(self, parameter: str) -> FloatArray:
        """See `Law.tangent`."""
        made = self.made
        times, last = made.times[:, None], made.times[-1]
        match parameter:
            case "spot":
                return np.full_like(times, 1.0 / self.spot)
            case "rate":
                return times
            case "dividend":
                return -times
            case "vol":
                return self._running(made.root, -self.vol * made.intervals)
            case "time":
                return self._running(0.5 * self.vol * made.root / last, made.shift / last)
        raise NotApplicable(f"GBM has no parameter {parameter}")

    def steps(self, parameters: tuple[str, ...]) -> Steps:
        """See `Law.steps`."""
        made = self.made
        root, last, nothing = made.root, made.times[-1], np.zeros_like(made.root)
        slopes = {
            "spot": (nothing, nothing),
            "rate": (made.intervals, nothing),
            "dividend": (-made.intervals, nothing),
            "vol": (-self.vol * made.intervals, root),
            "time": (made.shift / last, 0.5 * self.vol * root / last),
        }
        means, stdevs = (np.array([slopes[p][k] for p in parameters])[:, :, None] for k in (0, 1))
        return Steps(
            spot=self.spot,
            normals=self.normals,
            mean=made.shift[:, None],
            stdev=self.vol * root[:, None],
            mean_slope=means,
            stdev_slope=stdevs,
        )

    def _running(self, weight: FloatArray, shift: FloatArray) -> FloatArray:
        normals = self.normals
        out = empty(normals.shape)
        _running(weight, shift, normals, out)
        return out
