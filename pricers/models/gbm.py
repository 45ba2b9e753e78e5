"""Geometric Brownian motion."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from pricers.draws import Block, Observation
from pricers.errors import NotApplicable, positive
from pricers.kernel import device, kernel
from pricers.market import Market
from pricers.models.model import Model
from pricers.paths import Law, Paths, Steps
from pricers.philox import normal_pair
from pricers.special import exp
from pricers.workspace import empty

__all__ = ["GBM"]

FloatArray = npt.NDArray[np.float64]


@device
def _advance(level, vol, root, drift, normals, spot, sums):
    """One date of a block: spots of every lane, and the sums that scores are made of."""
    for lane in range(normals.size):
        z = normals[lane]
        walk = sums[0, lane] + root * z
        sums[0, lane] = walk
        sums[1, lane] += z * z - 1.0
        sums[2, lane] += drift * z
        spot[lane] = exp(level + vol * walk)


@kernel
def _evolve(log_spot, vol, shift, root, drift, normals, spot, sums):
    """Spots of a block of GBM paths, and the three sums that its scores are made of.

    normals and spot are [time, lane]; shift (of the log-spot), root (of the interval) and drift (shift in standard deviations) are
    [time]; sums[0:3, lane] become the sums over time of root * normal, normal^2 - 1 and drift * normal.
    """
    sums[:] = 0.0
    level = log_spot
    for t in range(normals.shape[0]):
        level += shift[t]
        _advance(level, vol, root[t], drift[t], normals[t], spot[t], sums)


@kernel
def _draw_and_evolve(key0, key1, first_path, log_spot, vol, shift, root, drift, first, spot, sums):
    """As `_evolve`, with normals drawn as they are needed and not kept but for the first date's, first[lane]."""
    sums[:] = 0.0
    level, k0, k1 = log_spot, np.uint64(key0), np.uint64(key1)
    times, lanes = spot.shape
    even, odd = np.empty(lanes), np.empty(lanes)
    for t in range(0, times, 2):
        normal_pair(even, odd, k0, k1, first_path, np.uint64(t // 2), np.uint64(0))
        if t == 0:
            first[:] = even
        level += shift[t]
        _advance(level, vol, root[t], drift[t], even, spot[t], sums)
        if t + 1 < times:
            level += shift[t + 1]
            _advance(level, vol, root[t + 1], drift[t + 1], odd, spot[t + 1], sums)


@kernel
def _running(weight, shift, normals, out):
    """Running sums over time of shift[time] + weight[time] * normals[time, lane]."""
    for lane in range(normals.shape[1]):
        out[0, lane] = shift[0] + weight[0] * normals[0, lane]
    for t in range(1, normals.shape[0]):
        for lane in range(normals.shape[1]):
            out[t, lane] = out[t - 1, lane] + (shift[t] + weight[t] * normals[t, lane])


@lru_cache(maxsize=256)
def _steps(vol: float, observed: Observation, market: Market, stretch: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Length, drift and square root of the length of each interval, [time]."""
    intervals = stretch * observed.intervals
    growth = stretch * np.diff(market.log_growth(observed.times), prepend=0.0)
    return intervals, growth - 0.5 * vol**2 * intervals, np.sqrt(intervals)


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
    vol: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "vol", positive("vol", self.vol))

    def lattice(self, times: tuple[float, ...], steps_per_year: int) -> tuple[float, ...]:
        """The contract's own dates: between them GBM needs nothing."""
        return times

    def paths(self, block: Block, observed: Observation, market: Market, stretch: float = 1.0) -> Paths:
        """Spots at the observed dates; see `Model.paths`."""
        intervals, shift, root = _steps(self.vol, observed, market, stretch)
        shape = len(root), block.lanes
        spot, sums, first = empty(shape), empty((3, block.lanes)), np.empty(block.lanes)
        steps = math.log(market.spot), self.vol, shift, root, shift / (self.vol * root)
        if block.fleeting and observed.whole:
            _draw_and_evolve(*block.key, block.first, *steps, first, spot, sums)
        else:
            normals = block.increments(observed)
            first = normals[0]
            _evolve(*steps, normals, spot, sums)
        return Paths(
            times=stretch * observed.times,
            spot=spot,
            log_discount=stretch * float(market.log_discount(observed.times[-1])),
            law=_LogNormal(market.spot, self.vol, shift, intervals, first, sums, lambda: block.increments(observed)),
            foreseen=block.expected(self, stretch),
        )

    def bumped(self, parameter: str, by: float) -> GBM:
        """See `Model.bumped`."""
        return replace(self, **{parameter: getattr(self, parameter) + by})

    def scale(self, parameter: str) -> float:
        """See `Model.scale`."""
        return self.vol


class _LogNormal(Law):
    """Independent normal log-returns, mean shift[time], variance vol^2 intervals[time].

    Scores: Broadie and Glasserman (1996), section 3; Glasserman (2004), section 7.3.
    """

    __slots__ = ("_draw", "drifts", "first", "intervals", "shift", "spot", "squares", "vol", "walk")

    def __init__(
        self,
        spot: float,
        vol: float,
        shift: FloatArray,
        intervals: FloatArray,
        first: FloatArray,
        sums: FloatArray,
        draw: Callable[[], FloatArray],
    ):
        self.spot, self.vol, self.shift, self.intervals = spot, vol, shift, intervals
        self.first, self._draw = first, draw
        self.walk, self.squares, self.drifts = sums

    @property
    def normals(self) -> FloatArray:
        """Of the intervals, [time, lane]."""
        return self._draw()

    def score(self, parameters: tuple[str, ...]) -> FloatArray:
        """See `Law.score`."""
        vol, last = self.vol, self.intervals.sum()
        first, root = self.first, math.sqrt(self.intervals[0])
        match parameters:
            case ("spot",):
                return first / (self.spot * vol * root)
            case ("rate",):
                return self.walk / vol
            case ("dividend",):
                return -self.walk / vol
            case ("vol",):
                return self.squares / vol - self.walk
            case ("time",):
                return (self.drifts + 0.5 * self.squares) / last
            case ("spot", "spot"):
                scale = vol * root
                return ((first * first - 1.0) / scale - first) / (self.spot**2 * scale)
            case ("spot", "vol"):
                delta = first / (self.spot * vol * root)
                vega = self.squares / vol - self.walk
                return delta * vega + (1.0 - 2.0 * first / (vol * root)) / (self.spot * vol)
            case ("vol", "vol"):
                vega = self.squares / vol - self.walk
                count = len(self.intervals)
                return vega * vega - (3.0 * self.squares + 2.0 * count) / vol**2 + 3.0 * self.walk / vol - last
        raise NotApplicable(f"GBM has no score for {' x '.join(parameters)}; use FiniteDifference() or Exact()")

    def tangent(self, parameter: str) -> FloatArray:
        """See `Law.tangent`."""
        times = np.cumsum(self.intervals)[:, None]
        match parameter:
            case "spot":
                return np.full_like(times, 1.0 / self.spot)
            case "rate":
                return times
            case "dividend":
                return -times
            case "vol":
                return self._running(np.sqrt(self.intervals), -self.vol * self.intervals)
            case "time":
                last = self.intervals.sum()
                return self._running(0.5 * self.vol * np.sqrt(self.intervals) / last, self.shift / last)
        raise NotApplicable(f"GBM has no parameter {parameter}")

    def steps(self, parameters: tuple[str, ...]) -> Steps:
        """See `Law.steps`."""
        root, last = np.sqrt(self.intervals), self.intervals.sum()
        nothing = np.zeros_like(root)
        slopes = {
            "spot": (nothing, nothing),
            "rate": (self.intervals, nothing),
            "dividend": (-self.intervals, nothing),
            "vol": (-self.vol * self.intervals, root),
            "time": (self.shift / last, 0.5 * self.vol * root / last),
        }
        means, stdevs = (np.array([slopes[p][k] for p in parameters])[:, :, None] for k in (0, 1))
        return Steps(
            spot=self.spot,
            normals=self.normals,
            mean=self.shift[:, None],
            stdev=self.vol * root[:, None],
            mean_slope=means,
            stdev_slope=stdevs,
        )

    def _running(self, weight: FloatArray, shift: FloatArray) -> FloatArray:
        normals = self.normals
        out = empty(normals.shape)
        _running(weight, shift, normals, out)
        return out
