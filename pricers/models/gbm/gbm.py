"""Geometric Brownian motion."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from pricers.errors import NotApplicable, positive
from pricers.market.market import Market
from pricers.models.gbm.direction import Direction
from pricers.models.gbm.one_pass import Program, Summaries
from pricers.models.model import Model, PathSimulator
from pricers.numerics.elementary import exp_normal, fma
from pricers.numerics.kernel import kernel
from pricers.numerics.workspace import empty
from pricers.paths.paths import AffineSummary, Law, Paths, Steps, add, affine, plane
from pricers.paths.requests import PathRequest
from pricers.random_numbers.path_block import Block, ObservationDates, increments

__all__ = ["GBM"]

FloatArray = npt.NDArray[np.float64]


@kernel
def _spots(vol, root, index, factor, normals, out):
    """Spots [time, path] at the grid points index[time]: factor[time] times e^(vol W).

    W is the sum of root[grid point] times normals[grid point, path].
    """
    walk = np.zeros(normals.shape[1])
    date = 0
    for grid_point in range(index[-1] + 1):
        z, scale = normals[grid_point], root[grid_point]
        for path in range(walk.size):
            walk[path] = fma(scale, z[path], walk[path])
        if grid_point == index[date]:
            here, level = out[date], factor[date]
            for path in range(walk.size):
                here[path] = level * exp_normal(vol * walk[path])
            date += 1


@kernel
def _running(weight, shift, normals, out):
    """Running sums over time of shift[time] + weight[time] * normals[time, path]."""
    for path in range(normals.shape[1]):
        out[0, path] = shift[0] + weight[0] * normals[0, path]
    for t in range(1, normals.shape[0]):
        for path in range(normals.shape[1]):
            out[t, path] = out[t - 1, path] + (shift[t] + weight[t] * normals[t, path])


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
    cost_ns: ClassVar[tuple[float, float]] = 0.0, 2.4
    vol: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "vol", positive("vol", self.vol))

    def time_grid(self, times: tuple[float, ...], steps_per_year: int | None = None, refinement: int = 1) -> tuple[float, ...]:
        """The contract's own dates: between them GBM needs nothing."""
        return times

    def paths(self, block: Block, dates: ObservationDates, market: Market, time_scale: float = 1.0) -> Paths:
        """Spots at the observed dates; see `Model.paths`."""
        request = PathRequest(market=market, time_scale=time_scale, dates=dates)
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
            n_paths=block.n_paths,
            spot=law.spots,
            discounting=made.discounting,
            law=law,
            wanted=request.wanted,
            initial_spot=request.market.spot,
        )


class _LogNormal(Law):
    """Independent normal log-returns, mean shift[time], variance vol^2 intervals[time]; derivatives by `Direction`."""

    __slots__ = ("_block", "_request", "_summaries", "made", "spot", "vol")

    def __init__(self, request: PathRequest, block: Block, summaries: Summaries):
        self._request, self._block, self._summaries = request, block, summaries
        self.spot, self.vol, self.made = request.market.spot, *summaries.program.steps[request]

    def _row(self, name: str) -> FloatArray:
        return self._summaries.row(self._request, name)

    @property
    def normals(self) -> FloatArray:
        """Of the intervals, [time, path]."""
        return self._block.increments(self._request.dates)

    def spots(self) -> FloatArray:
        """[time, path]."""
        dates, time_grid = self._request.dates, self._block.time_grid
        root = math.sqrt(self._request.time_scale) * np.sqrt(increments(time_grid))
        out = empty((len(dates.times), self._block.n_paths))
        _spots(self.vol, root, dates.index, np.exp(self.made.level), self._block.normals(), out)
        return out

    @property
    def _root(self) -> float:
        """Of the factor on all times."""
        return math.sqrt(self._request.time_scale)

    def affine_summary(self, name: str) -> AffineSummary | None:
        """See `Law.affine_summary`."""
        count, start = len(self.made.shift), math.log(self.spot)
        match name:
            case "mean":
                return AffineSummary(0.0, self.spot / count, self._row("total"))
            case "log_mean":
                return AffineSummary(self.made.mean_level, self.vol / count * self._root, self._row("walks"))
            case "log_last":
                return AffineSummary(float(self.made.level[-1]), self.vol * self._root, self._row("walk"))
            case "log_minimum":
                return AffineSummary(start, 1.0, self._row("low"))
            case "log_maximum":
                return AffineSummary(start, 1.0, self._row("high"))
        return None

    def direction(self, parameter: str) -> Direction:
        """How a parameter moves the log-returns."""
        return Direction.of(parameter, spot=self.spot, vol=self.vol, last=float(self.made.times[-1]))

    def slope(self, name: str, parameter: str) -> FloatArray | float | None:
        """See `Law.slope`."""
        made, by = self.made, self.direction(parameter)
        count, spread = len(made.shift), by.by_stdev * self.vol * self._root
        match name:
            case "mean":
                share = self.spot / count
                sizes = share * by.start, share * by.by_time, share * by.by_mean, share * spread
                return self._combined(0.0, zip(sizes, ("total", "timed", "shifted", "walked"), strict=True))
            case "log_mean":
                level = by.start + by.by_time * made.mean_time + by.by_mean * made.mean_shifted
                return self._combined(level, [(spread / count, "walks")])
            case "log_last":
                level = by.start + by.by_time * float(made.times[-1]) + by.by_mean * float(made.shifted[-1])
                return self._combined(level, [(spread, "walk")])
        return None

    def score(self, parameters: tuple[str, ...]) -> FloatArray:
        """See `Law.score`."""
        vol, made = self.vol, self.made
        last, root = float(made.times[-1]), float(made.root[0])
        match parameters:
            case (parameter,):
                terms = self._summaries.program.once((self._request, parameter), lambda: self._score_terms(parameter))
                return np.asarray(self._combined(0.0, terms))
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

    def _score_terms(self, parameter: str) -> list[tuple[float, str]]:
        """How many times each row makes a score."""
        by, first = self.direction(parameter), self.vol * float(self.made.root[0])
        sizes = by.start / first, by.by_time * self._root / self.vol, by.by_mean, by.by_stdev
        return [(size, row) for size, row in zip(sizes, ("first", "walk", "drifts", "squares"), strict=True) if size]

    def tangent(self, parameter: str) -> FloatArray:
        """See `Law.tangent`."""
        made, by = self.made, self.direction(parameter)
        if by.by_stdev == 0.0:
            return (by.start + by.by_time * made.times + by.by_mean * made.shifted)[:, None]
        moved = by.by_time * made.intervals + by.by_mean * made.shift
        moved[0] += by.start
        return self._running(by.by_stdev * self.vol * made.root, moved)

    def steps(self, parameters: tuple[str, ...]) -> Steps:
        """See `Law.steps`."""
        made, moves = self.made, [self.direction(parameter) for parameter in parameters]
        stdev = self.vol * made.root
        return Steps(
            spot=self.spot,
            normals=self.normals,
            mean=made.shift[:, None],
            stdev=stdev[:, None],
            mean_slope=np.array([by.by_time * made.intervals + by.by_mean * made.shift for by in moves])[:, :, None],
            stdev_slope=np.array([by.by_stdev * stdev for by in moves])[:, :, None],
        )

    def _combined(self, level: float, terms: Iterable[tuple[float, str]]) -> FloatArray | float:
        """``level`` and so many times each row, [path]; a number where no row counts."""
        match [(size, self._row(name)) for size, name in terms if size]:
            case []:
                return level
            case [(size, x)]:
                return affine(level, size, x)
            case [(one, x), (other, y), *more]:
                out = plane(one, x, other, y)
                for size, z in more:
                    add(size, z, out)
                if level:
                    out += level
                return out
        raise AssertionError

    def _running(self, weight: FloatArray, shift: FloatArray) -> FloatArray:
        normals = self.normals
        out = empty(normals.shape)
        _running(weight, shift, normals, out)
        return out
