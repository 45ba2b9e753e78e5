r"""Log-returns that are Gaussian given a variance path: their spots, scores and tangents, whatever drew the variance.

Between two observed dates, given the variance path, the log-return is normal with

.. math:: M_J = g_J + \Delta Q_J - \tfrac12 s_J^2, \qquad s_J^2 = (1-\rho^2)\,\Delta I_J,

g the market's growth, I the integrated variance, Q what the variance's own noise moves the spot by (so that
:math:`E[e^{\Delta Q}] = 1`). The normal is :math:`\xi_J = \sqrt{1-\rho^2}\,\Delta W_J / s_J` with
:math:`\Delta W = \sum \sqrt{\Delta I_i}\,z_i` over the steps of the interval. All of Q, I and W come as running sums, so that any
set of dates on a time grid takes differences of the same sums.

Differentiating the variance path with its own noise held, and scoring the log-returns (Broadie and Kaya 2004; Giles 2009),

.. math:: \mathrm{score}_p = \sum_J \partial_p M_J\, u_J + \partial_p s_J^2\, \tfrac12 (u_J^2 - s_J^{-2}),\quad u_J = \xi_J/s_J,
          \qquad \partial_p \ln S_k = \sum_{J \le k} \partial_p M_J + \tfrac12\, \partial_p s_J^2\, u_J .

References
----------
- Broadie and Kaya, "Exact simulation of option Greeks under stochastic volatility and jump diffusion models", WSC (2004).
- Giles, "Vibrato Monte Carlo sensitivities", MCQMC 2008 (2009).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pricers.errors import NotApplicable
from pricers.numerics.elementary import exp, fma
from pricers.numerics.kernel import device, kernel
from pricers.numerics.workspace import empty
from pricers.paths.paths import AffineSummary, Law, Steps
from pricers.random_numbers.path_block import increments

__all__ = ["ConditionalNormal", "VariancePath", "spots"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

CHUNK = 64
"""Paths carried through all of time together, so that their state stays in the first-level cache."""


@kernel
def _spots(level, share, rows, walk, integral, drift, out):
    """exp(level[time] + drift - share integral / 2 + sqrt(share) walk) at the rows, [time, path]."""
    root = math.sqrt(share)
    for t in range(len(rows)):
        w, i, q, here = walk[rows[t]], integral[rows[t]], drift[rows[t]], out[t]
        for path in range(out.shape[1]):
            here[path] = exp(fma(root, w[path], fma(-0.5 * share, i[path], level[t] + q[path])))


@kernel
def _shifts(share, rows, weights, walk, integral, out):
    """Sum over intervals of weights[time] * u, [path]."""
    scale, none = 1.0 / math.sqrt(share), np.zeros(len(out))
    for path in range(len(out)):
        out[path] = 0.0
    for t in range(len(rows)):
        weight = scale * weights[t]
        w, i = walk[rows[t]], integral[rows[t]]
        w_before = walk[rows[t - 1]] if t > 0 else none
        i_before = integral[rows[t - 1]] if t > 0 else none
        for path in range(len(out)):
            out[path] += weight * ((w[path] - w_before[path]) / (i[path] - i_before[path]))


@device
def score_factors(walked, area, scale, inverse_share):
    """The shift u of an interval, and what multiplies the slope of its variance in a score: (u^2 - 1/s^2 - u)/2."""
    inverse = 1.0 / area
    u = walked * inverse * scale
    return u, 0.5 * (fma(u, u, -inverse * inverse_share) - u)


@device
def score_term(drifted, spent, u, spread, total):
    """The score so far, and an interval's part; spread has been multiplied by the share."""
    return fma(drifted, u, fma(spent, spread, total))


@kernel
def _scores(share, widening, rows, walk, integral, drifts, integrals, out):
    """Scores [parameter, path] but for the market's growth; widening [parameter] is how share moves with each.

    drifts and integrals are [parameter, row, path]. An interval without variance says nothing about a parameter that does not move
    it; about one that does it has no density, and the score is not a number.
    """
    scale, inverse_share = 1.0 / math.sqrt(share), 1.0 / share
    none = np.zeros(CHUNK)
    us, spreads, areas = np.empty((3, CHUNK))
    for first in range(0, out.shape[1], CHUNK):
        last = min(first + CHUNK, out.shape[1])
        for p in range(len(out)):
            for path in range(first, last):
                out[p, path] = 0.0
        for t in range(len(rows)):
            here, before = rows[t], rows[t - 1]
            w, i = walk[here, first:last], integral[here, first:last]
            w_before = walk[before, first:last] if t > 0 else none
            i_before = integral[before, first:last] if t > 0 else none
            for path in range(last - first):
                area = i[path] - i_before[path]
                u, spread = score_factors(w[path] - w_before[path], area, scale, inverse_share)
                us[path], spreads[path], areas[path] = u, spread, area
            for p in range(len(out)):
                q, a, total, wide = drifts[p, here, first:last], integrals[p, here, first:last], out[p, first:last], widening[p]
                q_before = drifts[p, before, first:last] if t > 0 else none
                a_before = integrals[p, before, first:last] if t > 0 else none
                for path in range(last - first):
                    dq, da = q[path] - q_before[path], a[path] - a_before[path]
                    widened = wide * areas[path]
                    more = score_term(dq, da, us[path], share * spreads[path], total[path])
                    more = more + widened * spreads[path] if widened != 0.0 else more
                    still = dq == 0.0 and da == 0.0 and widened == 0.0
                    total[path] = total[path] if still else more


@kernel
def _tangents(share, widening, rows, walk, integral, drift, moved, out):
    """Derivative of ln S [time, path] by one parameter but for the market's growth; drift and moved are its slopes, [row, path]."""
    scale = 1.0 / math.sqrt(share)
    spread = np.zeros(out.shape[1])
    for t in range(len(rows)):
        here, before = rows[t], rows[t - 1]
        for path in range(out.shape[1]):
            dw = walk[here, path] - (walk[before, path] if t > 0 else 0.0)
            di = integral[here, path] - (integral[before, path] if t > 0 else 0.0)
            da = moved[here, path] - (moved[before, path] if t > 0 else 0.0)
            widened = fma(share, da, widening * di)
            part = 0.5 * widened * (dw / di * scale - 1.0)
            spread[path] += part if widened != 0.0 else 0.0
            out[t, path] = drift[here, path] + spread[path]


@kernel
def _steps(share, growth, rows, walk, integral, drift, normals, mean, stdev):
    """Normal, mean and standard deviation of each log-return, [time, path]; the normal of one without variance is zero."""
    for t in range(len(rows)):
        here, before = rows[t], rows[t - 1]
        for path in range(mean.shape[1]):
            dw = walk[here, path] - (walk[before, path] if t > 0 else 0.0)
            di = integral[here, path] - (integral[before, path] if t > 0 else 0.0)
            dq = drift[here, path] - (drift[before, path] if t > 0 else 0.0)
            normals[t, path] = dw / math.sqrt(di) if di != 0.0 else 0.0
            mean[t, path] = growth[t] + dq - 0.5 * share * di
            stdev[t, path] = math.sqrt(share * di)


@kernel
def _step_slopes(share, widening, growth, rows, integral, stdev, drift, moved, mean_slope, stdev_slope):
    """How mean and standard deviation move with one parameter; drift and moved are its slopes, [row, path]."""
    for t in range(len(rows)):
        here, before = rows[t], rows[t - 1]
        for path in range(mean_slope.shape[1]):
            di = integral[here, path] - (integral[before, path] if t > 0 else 0.0)
            dq = drift[here, path] - (drift[before, path] if t > 0 else 0.0)
            da = moved[here, path] - (moved[before, path] if t > 0 else 0.0)
            widened = fma(share, da, widening * di)
            mean_slope[t, path] = growth[t] + dq - 0.5 * widened
            stdev_slope[t, path] = 0.5 * widened / stdev[t, path] if widened != 0.0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VariancePath:
    """Running sums of a block of variance paths at some grid points of a time grid, and how they move with some parameters.

    Attributes
    ----------
    walk, integral, drift : ndarray [row, path]
        W, I and Q at each grid point.
    parameters : tuple of str
        What the path is differentiated by.
    scores : ndarray [parameter, path]
        Scores of returns observed at all of the grid points and no others, but for the market's growth; empty if the slopes are kept.
    drifts, integrals : ndarray [parameter, row, path]
        Derivatives of Q and I along the path; empty if the scores are.
    """

    walk: FloatArray
    integral: FloatArray
    drift: FloatArray
    parameters: tuple[str, ...]
    scores: FloatArray
    drifts: FloatArray
    integrals: FloatArray

    @classmethod
    def blank(cls, rows: int, n_paths: int, parameters: tuple[str, ...], *, slopes: bool) -> VariancePath:
        """Arrays to be filled."""
        sums, kept = empty((3, rows, n_paths)), empty((2, len(parameters), rows if slopes else 0, n_paths))
        return cls(
            walk=sums[0],
            integral=sums[1],
            drift=sums[2],
            parameters=parameters,
            scores=empty((len(parameters), 0 if slopes else n_paths)),
            drifts=kept[0],
            integrals=kept[1],
        )

    @property
    def scored(self) -> bool:
        """Whether it is the scores that were made, and not the slopes."""
        return self.scores.size > 0


class PathSource(Protocol):
    """Gives a block's variance path, the same one however often it is asked."""

    def __call__(self, parameter: str | None = None, *, slopes: bool = False) -> VariancePath:
        """The path, differentiated by the parameter; with its slopes kept, where they are needed."""


def spots(*, spot: float, growth: FloatArray, rho: float, rows: IntArray, path: VariancePath) -> FloatArray:
    """Spots [time, path] at the dates that stand in ``rows`` of the path; growth is the market's log-growth to each, [time]."""
    out = empty((len(rows), path.walk.shape[1]))
    _spots(math.log(spot) + growth, 1.0 - rho * rho, rows, path.walk, path.integral, path.drift, out)
    return out


class Direction(NamedTuple):
    """How a parameter moves log-returns given the path of their variance.

    Attributes
    ----------
    start : float
        Derivative of the logarithm of today's spot.
    growth : ndarray [time]
        Derivative of the market's log-growth over each interval.
    own, share : str and float
        So many times the derivative of the variance path by a parameter of its own; "" where it does not move.
    """

    start: float
    growth: FloatArray
    own: str = ""
    share: float = 0.0


class ConditionalNormal(Law):
    """The law of log-returns that are normal given a variance path.

    Parameters
    ----------
    kind : str
        The model's, for messages.
    spot, rho, vol : float
        Vol is the square root of the initial variance, whose parameter is named ``v0``.
    times, growth : ndarray [time]
        Observed dates in years, and the market's log-growth to each.
    rows : ndarray [time]
        Where the dates stand in the path.
    path : PathSource
        Gives the path, differentiated by what is asked for.
    row : callable
        One of `pricers.models.heston.one_pass.ROWS` by its name, [path].
    """

    __slots__ = (
        "_growth",
        "_intervals",
        "_known",
        "_path",
        "_row",
        "_rows",
        "_share",
        "_times",
        "kind",
        "rho",
        "spot",
        "vol",
    )

    def __init__(
        self,
        *,
        kind: str,
        spot: float,
        rho: float,
        vol: float,
        times: FloatArray,
        growth: FloatArray,
        rows: IntArray,
        path: PathSource,
        row: Callable[[str], FloatArray],
    ):
        self.kind, self.spot, self.rho, self.vol = kind, spot, rho, vol
        self._share, self._path, self._row, self._rows, self._times = 1.0 - rho * rho, path, row, rows, times
        self._intervals, self._growth = increments(times), increments(growth)
        self._known: dict[str, FloatArray] = {}

    def affine_summary(self, name: str) -> AffineSummary | None:
        """See `Law.affine_summary`."""
        match name:
            case "mean":
                return AffineSummary(0.0, self.spot / len(self._rows), self._row("total"))
            case "log_mean":
                return AffineSummary(math.log(self.spot), 1.0 / len(self._rows), self._row("logs"))
            case "log_minimum":
                return AffineSummary(math.log(self.spot), 1.0, self._row("low"))
            case "log_maximum":
                return AffineSummary(math.log(self.spot), 1.0, self._row("high"))
            case "log_last":
                return AffineSummary(math.log(self.spot), 1.0, self._row("last"))
        return None

    def direction(self, parameter: str) -> Direction:
        """How a parameter moves the log-returns; what is not the market's is taken for the variance path's own."""
        still = 0.0 * self._intervals
        match parameter:
            case "spot":
                return Direction(1.0 / self.spot, still)
            case "rate":
                return Direction(0.0, self._intervals)
            case "dividend":
                return Direction(0.0, -self._intervals)
            case "vol":
                return Direction(0.0, still, "v0", 2.0 * self.vol)
            case "time":
                last = float(self._times[-1])
                return Direction(0.0, self._growth / last, "time", 1.0 / last)
        return Direction(0.0, still, parameter, 1.0)

    def score(self, parameters: tuple[str, ...]) -> FloatArray:
        """See `Law.score`."""
        match parameters:
            case (parameter,):
                by = self.direction(parameter)
                parts = [by.share * self._score(by.own)] if by.own else []
                if by.growth.any():
                    parts.append(self._shifts(by.growth))
                if by.start:
                    parts.append(by.start * self._first_shift())
                return reduce(add, parts)
            case ("spot", "spot"):
                u = self._first_shift()
                return (u * u - 1.0 / self._first_variance() - u) / self.spot**2
            case ("spot", "vol"):
                return 2.0 * self.vol * self._spot_cross("v0")
        raise NotApplicable(f"{self.kind} has no score for {' x '.join(parameters)}; use FiniteDifference()")

    def tangent(self, parameter: str) -> FloatArray:
        """See `Law.tangent`."""
        by = self.direction(parameter)
        shared = (by.start + by.growth.cumsum())[:, None]
        return by.share * self._tangent(by.own) + shared if by.own else shared

    def steps(self, parameters: tuple[str, ...]) -> Steps:
        """See `Law.steps`."""
        moves = [self.direction(parameter) for parameter in parameters]
        path = self._path()
        for by in moves:
            if by.own:
                path = self._path(by.own, slopes=True)
        shape = len(self._rows), path.walk.shape[1]
        normals, mean, stdev = empty((3, *shape))
        _steps(self._share, self._growth, self._rows, path.walk, path.integral, path.drift, normals, mean, stdev)
        slopes = empty((2, len(parameters), *shape))
        for place, by in enumerate(moves):
            if not by.own:
                slopes[0, place], slopes[1, place] = by.growth[:, None], 0.0
                continue
            index = path.parameters.index(by.own)
            moved = path.integral, stdev, path.drifts[index], path.integrals[index]
            widening = share_slope(self.rho, by.own)
            _step_slopes(self._share, widening, by.growth / by.share, self._rows, *moved, slopes[0, place], slopes[1, place])
            if by.share != 1.0:
                slopes[:, place] *= by.share
        return Steps(spot=self.spot, normals=normals, mean=mean, stdev=stdev, mean_slope=slopes[0], stdev_slope=slopes[1])

    def _shifts(self, weights: FloatArray) -> FloatArray:
        """Sum of weights[time] * u over the first intervals."""
        path = self._path()
        out = empty((path.walk.shape[1],))
        _shifts(self._share, self._rows[: len(weights)], weights, path.walk, path.integral, out)
        return out

    def _first_shift(self) -> FloatArray:
        return self._shifts(np.ones(1))

    def _first_variance(self) -> FloatArray:
        found: FloatArray = self._share * self._path().integral[self._rows[0]]
        return found

    def _score(self, parameter: str) -> FloatArray:
        """Score of the variance path and of the returns given it; those of all that the path is differentiated by are made together."""
        if parameter not in self._known:
            whole = len(self._rows) == len(self._path().walk)
            path = self._path(parameter, slopes=not whole)
            out = path.scores
            if not path.scored:
                out = empty((len(path.parameters), path.walk.shape[1]))
                widening = np.array([share_slope(self.rho, name) for name in path.parameters])
                sums = path.walk, path.integral
                _scores(self._share, widening, self._rows, *sums, path.drifts, path.integrals, out)
            self._known.update(zip(path.parameters, out, strict=True))
        return self._known[parameter]

    def _tangent(self, parameter: str) -> FloatArray:
        path = self._path(parameter, slopes=True)
        place = path.parameters.index(parameter)
        out = empty((len(self._rows), path.walk.shape[1]))
        slopes = path.drifts[place], path.integrals[place]
        widening = share_slope(self.rho, parameter)
        _tangents(self._share, widening, self._rows, path.walk, path.integral, *slopes, out)
        return out

    def _spot_cross(self, parameter: str) -> FloatArray:
        r"""Second-order score :math:`\mathrm{score}_S\,\mathrm{score}_p + \partial_p \mathrm{score}_S` at a fixed path of spots."""
        path, row = self._path(parameter, slopes=True), self._rows[0]
        place = path.parameters.index(parameter)
        u = self._first_shift()
        widened = self._share * path.integrals[place, row]
        shifted = path.drifts[place, row] - 0.5 * widened
        return (u * self._score(parameter) - (shifted + u * widened) / self._first_variance()) / self.spot


def share_slope(rho: float, parameter: str) -> float:
    """Derivative of 1 - rho^2."""
    return -2.0 * rho if parameter == "rho" else 0.0
