r"""Options on an average, integrated in closed form along one direction of each path's normals.

Given the variance path, log-returns are Gaussian, :math:`M_j + s_j \xi_j`. Along a unit vector c, :math:`\xi = c\,y + \rho` with y
standard normal and independent of the rest :math:`\rho = \xi - c\,(c\cdot\xi)`, and

.. math:: \ln S_k(y) = a_k + u_k y, \quad a_k = \ln S_0 + \sum_{j \le k} (M_j + s_j \rho_j), \quad u_k = \sum_{j \le k} s_j c_j .

With :math:`c_j \propto s_j (n - j + 1)`, the gradient of the geometric average, every :math:`u_k` is positive, so that the average
:math:`A(y) = p + w\sum_k S_k(y)` (p the past fixings' part) rises through the strike K at one root :math:`y^*`, and

.. math:: E[(A - K)^+ \mid \rho] = w\sum_k e^{a_k + u_k^2/2}\,\Phi(u_k - y^*) - (K - p)\,\Phi(-y^*), \qquad
          P(A > K \mid \rho) = \Phi(-y^*)

are smooth functions of the rest, of M and of s, and so have pathwise derivatives; no indicator is left. The derivatives by all
:math:`a_k` and :math:`u_k` (at the root the option's integrand vanishes; the digital's root moves by the implicit function theorem)
are carried back to each :math:`M_j` and :math:`s_j`, whose own slopes the model knows.

Of the geometric average nothing is left to sample but the variance path. Of the arithmetic one it is little more than how the path's
bends about that direction raise it, which linear and quadratic functions of :math:`r_k = \sum_{j\le k} s_j \rho_j`, of known means,
explain in turn; they are offered as controls, and so is the forward of the average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from greeks.estimators.base import GAMMA, PathEstimator, SampleSpec
from greeks.greek import Greek
from pricers.contracts.average import AverageClaim
from pricers.contracts.contract import Contract
from pricers.engine.plan import Plan
from pricers.errors import NotApplicable
from pricers.models.scenario import Scenario
from pricers.numerics.elementary import exp, fma, log, mills, ndtr
from pricers.numerics.kernel import device, kernel
from pricers.paths.paths import Paths, Steps
from pricers.paths.row_operations import empty

__all__ = ["Preintegrated"]

FloatArray = npt.NDArray[np.float64]

CHUNK = 64
"""Paths carried through all of time together, so that their state stays in the cache; the root is sought for them together, so that
blocks must begin and end with whole chunks (`pricers.random_numbers.sampling.ATOM`) for a path's bits to be the same in each."""

_SHARED = frozenset({"rate", "dividend", "vol", "time"})
_FAR = 40.0  # the normal density and tail beyond are zero in double precision
_CLOSE = 1e-6  # a step of the root search after which the next, of third order, is below rounding
_ROUNDS = 60
_DENSITY = 0.3989422804014327


@device
def _row(values, first, scratch):
    """Values of a chunk of paths, or the one value that all paths share."""
    if values.size == 1:
        scratch[:] = values[0]
        return scratch
    return values[first : first + scratch.size]


@kernel
def _split(log_spot, mean, stdev, normals, loads, forward, first, one, two, level, slope, root, tilt, out):
    """Each date's log-spot as level[time] + slope[time] * y along the direction, for a chunk of paths from ``first`` on.

    root becomes y on the path itself, tilt what stdev * loads is to be multiplied by to give the direction, and rows 3 to 6 of
    out zero-mean functions of what is independent of y.
    """
    width = len(root)
    root[:], tilt[:] = 0.0, 0.0
    for t in range(len(loads)):
        s, noise = _row(stdev[t], first, one), normals[t, first : first + width]
        for path in range(width):
            c = s[path] * loads[t]
            tilt[path] = fma(c, c, tilt[path])
            root[path] = fma(c, noise[path], root[path])
    for path in range(width):
        size = 1.0 / math.sqrt(tilt[path])
        tilt[path] = size
        root[path] *= size
    walk, along, spread = np.zeros((3, width))
    a = np.full(width, log_spot)
    linear, second_order = out[3, first : first + width], out[4, first : first + width]
    square, bent_square = out[5, first : first + width], out[6, first : first + width]
    linear[:], second_order[:], square[:], bent_square[:] = 0.0, 0.0, 0.0, 0.0
    for t in range(len(loads)):
        s, m, noise = _row(stdev[t], first, one), _row(mean[t], first, two), normals[t, first : first + width]
        here, there, weight = level[t], slope[t], forward[t]
        for path in range(width):
            c = s[path] * loads[t] * tilt[path]
            moved = s[path] * fma(-c, root[path], noise[path])
            w, u, q = walk[path] + moved, fma(s[path], c, along[path]), fma(s[path], s[path], spread[path])
            walk[path], along[path], spread[path] = w, u, q
            x = a[path] + (m[path] + moved)
            a[path] = x
            here[path], there[path] = x, u
            odd, even = weight * w, weight * (fma(w, w, u * u) - q)
            linear[path] += odd
            second_order[path] = fma(odd, u, second_order[path])
            square[path] += even
            bent_square[path] = fma(even, u, bent_square[path])


@kernel
def _find(log_strike, level, slope, root, spots, moments):
    """The y at which the sum over time of exp(level + slope y) is exp(log_strike), and the sum's terms there, spots[time, path].

    The sum's logarithm is convex, rises, and is nearly linear: Halley's steps from where the geometric average is the strike.
    moments[0:3] become the sums over time of spot, slope * spot and slope^2 * spot at the root.
    """
    width, count = len(root), level.shape[0]
    total, first, second = moments[0], moments[1], moments[2]
    total[:], first[:] = 0.0, 0.0
    for t in range(count):
        a, u = level[t], slope[t]
        for path in range(width):
            total[path] += a[path]
            first[path] += u[path]
    shared = log_strike - math.log(count)
    for path in range(width):
        y = (count * shared - total[path]) / first[path]
        y = _FAR if y > _FAR else y
        root[path] = -_FAR if y < -_FAR else y
    step = np.empty(width)
    for _ in range(_ROUNDS):
        total[:], first[:], second[:] = 0.0, 0.0, 0.0
        for t in range(count):
            a, u, here = level[t], slope[t], spots[t]
            for path in range(width):
                spot = exp(fma(u[path], root[path], a[path]))
                here[path] = spot
                total[path] += spot
                tilted = u[path] * spot
                first[path] += tilted
                second[path] = fma(u[path], tilted, second[path])
        for path in range(width):
            rise = first[path] / total[path]
            newton = (log(total[path]) - log_strike) / rise
            halley = 1.0 - 0.5 * newton * (second[path] / first[path] - rise)
            halley = 0.5 if halley < 0.5 else halley
            halley = 2.0 if halley > 2.0 else halley
            y = root[path] - newton / halley
            y = _FAR if y > _FAR else y
            y = -_FAR if y < -_FAR else y
            step[path] = y - root[path]
            root[path] = y
        largest = 0.0
        for path in range(width):
            largest = max(largest, abs(step[path]))
        if largest < _CLOSE:
            break
    total[:], first[:], second[:] = 0.0, 0.0, 0.0
    for t in range(count):
        u, here = slope[t], spots[t]
        for path in range(width):
            x = u[path] * step[path]
            spot = here[path] * fma(x, fma(0.5, x, 1.0), 1.0)  # exp(x), of x below 1e-6 times the slope
            here[path] = spot
            total[path] += spot
            tilted = u[path] * spot
            first[path] += tilted
            second[path] = fma(u[path], tilted, second[path])


@device
def _carry_back(load, tilt, base, s, noise, by_level, by_slope, sums, by_mean, by_stdev):
    """One date further back: derivatives by its mean and standard deviation, from those by the level and slope of all later dates."""
    for path in range(base.size):
        p, q = sums[0, path] + by_level[path], sums[1, path] + by_slope[path]
        sums[0, path], sums[1, path] = p, q
        c = s[path] * load * tilt[path]
        by_mean[path] = p
        by_stdev[path] = fma(fma(-c, base[path], noise[path]), p, c * q)


@device
def _add_along(p, q, all_p, all_q, mean_slope, stdev_slope, total, all_total):
    """Add a date's p * mean_slope + q * stdev_slope, of a claim and of the average, for slopes that all paths share."""
    if stdev_slope == 0.0:
        for path in range(total.size):
            total[path] = fma(p[path], mean_slope, total[path])
            all_total[path] = fma(all_p[path], mean_slope, all_total[path])
    else:
        for path in range(total.size):
            total[path] = fma(p[path], mean_slope, fma(q[path], stdev_slope, total[path]))
            all_total[path] = fma(all_p[path], mean_slope, fma(all_q[path], stdev_slope, all_total[path]))


@kernel
def _arithmetic(
    sign,
    cash,
    share,
    strike,
    log_strike,
    log_spot,
    mean,
    stdev,
    normals,
    loads,
    forward,
    out,
    by,
    mean_slope,
    stdev_slope,
    along,
):
    """Expectation along the direction of an option (cash zero) or a digital on an arithmetic average, and its derivatives.

    Derivatives by each date's log-return take much memory, whose way to and from the processor takes longer than their arithmetic. Where
    all paths share the slopes of all parameters that will be asked for, each date's are added up at once, and nothing of them is kept.

    Parameters
    ----------
    sign, cash : float
        +1 for a call, -1 for a put; the digital's payment, zero for an option.
    share, strike, log_strike : float
        Weight of a date's spot in the average; strike less past fixings' part; logarithm of strike / share (-inf below zero).
    log_spot : float
    mean, stdev : ndarray [time, path or 1]
    normals : ndarray [time, path]
    loads, forward : ndarray [time]
        Direction over stdev, but for its length; mean of each spot.
    out : ndarray [8, path]
        Become the expectation, its second derivative by the logarithm of the spot less the first, the expectation of the average's
        future part, the four functions of `_split`, and the expectation's first derivative by the logarithm of the spot.
    by : ndarray [4, time, path or 0]
        Become the expectation's derivatives by mean and standard deviation of each log-return, and those of the average's, where there is
        room for them.
    mean_slope, stdev_slope : ndarray [parameter, time]
        Derivatives of each log-return's mean and standard deviation by parameters.
    along : ndarray [parameter, 2, path]
        Become the derivatives by the parameters, of the expectation and of the average's.
    """
    count, n_paths = normals.shape
    level, slope, spots = np.empty((count, CHUNK)), np.empty((count, CHUNK)), np.empty((count, CHUNK))
    scratch, moments, sums, all_sums = np.empty((10, CHUNK)), np.empty((3, CHUNK)), np.empty((2, CHUNK)), np.empty((2, CHUNK))
    kept = by.shape[2] > 0
    by = by if kept else np.empty((4, 1, CHUNK))
    for first in range(0, n_paths, CHUNK):
        last = min(first + CHUNK, n_paths)
        width = last - first
        one, two, base, tilt = scratch[0, :width], scratch[1, :width], scratch[2, :width], scratch[3, :width]
        root, likely, by_level, by_slope = scratch[4, :width], scratch[5, :width], scratch[6, :width], scratch[7, :width]
        parts, seconds = scratch[8, :width], scratch[9, :width]
        value, second, ahead = out[0, first:last], out[1, first:last], out[2, first:last]
        begin = first if kept else 0
        end = begin + width
        _split(log_spot, mean, stdev, normals, loads, forward, first, one, two, level, slope, base, tilt, out)
        _find(log_strike, level, slope, root, spots, moments)
        for path in range(width):
            y = root[path]
            density, beyond = _DENSITY * exp(-0.5 * y * y), ndtr(-sign * y)
            turn = moments[0, path] / moments[1, path]  # the root falls by so much as the log-spot rises
            if cash > 0.0:
                curve = y + moments[2, path] / moments[1, path]
                value[path] = cash * beyond
                second[path] = sign * cash * density * turn * fma(turn, curve, -2.0)
                likely[path] = sign * cash * density / moments[1, path]
            else:
                value[path] = -sign * strike * beyond
                second[path] = share * density * moments[0, path] * turn
                likely[path] = share * density
            ahead[path] = 0.0
        sums[:], all_sums[:] = 0.0, 0.0
        along[:, :, first:last] = 0.0
        for back in range(count):
            t = count - 1 - back
            s, noise = _row(stdev[t], first, one), normals[t, first:last]
            a, u, spot = level[t], slope[t], spots[t]
            for path in range(width):
                part = share * exp(fma(0.5 * u[path], u[path], a[path]))
                parts[path], seconds[path] = part, part * u[path]
                ahead[path] += part
            if cash > 0.0:
                for path in range(width):
                    edge = likely[path] * spot[path]
                    by_level[path], by_slope[path] = edge, edge * root[path]
            else:
                for path in range(width):
                    beyond_root, edge = sign * (u[path] - root[path]), likely[path] * spot[path]
                    tail = edge * mills(abs(beyond_root))  # exp(a + u^2/2) phi(u - y) = exp(a + u y) phi(y)
                    paid = sign * (parts[path] - tail if beyond_root > 0.0 else tail)
                    value[path] += paid
                    by_level[path], by_slope[path] = paid, fma(paid, u[path], edge)
            here = loads[t], tilt, base, s, noise
            kept_at = t if kept else 0
            by_mean, by_stdev = by[0, kept_at, begin:end], by[1, kept_at, begin:end]
            all_by_mean, all_by_stdev = by[2, kept_at, begin:end], by[3, kept_at, begin:end]
            _carry_back(*here, by_level, by_slope, sums, by_mean, by_stdev)
            _carry_back(*here, parts, seconds, all_sums, all_by_mean, all_by_stdev)
            for k in range(len(along)):
                totals = along[k, 0, first:last], along[k, 1, first:last]
                _add_along(by_mean, by_stdev, all_by_mean, all_by_stdev, mean_slope[k, t], stdev_slope[k, t], *totals)
        out[7, first:last] = sums[0, :width]


@kernel
def _geometric(sign, cash, share, strike, past, log_spot, mean, stdev, normals, loads, forward, out, by):
    """The same on a geometric average, whose logarithm is past + share * (sum over dates of log-spots): Black-Scholes for every path.

    Parameters as in `_arithmetic`; the average's expectation is left zero, and by is [2, time, path], without its derivatives.
    """
    count, n_paths = normals.shape
    by_mean, by_stdev = by[0], by[1]
    level, slope = np.empty((count, CHUNK)), np.empty((count, CHUNK))
    scratch, sums = np.empty((6, CHUNK)), np.empty((2, CHUNK))
    log_strike, whole = math.log(strike), share * count
    for first in range(0, n_paths, CHUNK):
        last = min(first + CHUNK, n_paths)
        width = last - first
        one, two, base, tilt = scratch[0, :width], scratch[1, :width], scratch[2, :width], scratch[3, :width]
        by_level, by_slope = scratch[4, :width], scratch[5, :width]
        value, second = out[0, first:last], out[1, first:last]
        _split(log_spot, mean, stdev, normals, loads, forward, first, one, two, level, slope, base, tilt, out)
        sums[:] = 0.0
        for t in range(count):
            for path in range(width):
                sums[0, path] += level[t, path]
                sums[1, path] += slope[t, path]
        for path in range(width):
            f, s = fma(share, sums[0, path], past), share * sums[1, path]
            y = (log_strike - f) / s
            y = _FAR if y > _FAR else y
            y = -_FAR if y < -_FAR else y
            density, beyond = _DENSITY * exp(-0.5 * y * y), ndtr(-sign * y)
            if cash > 0.0:
                value[path] = cash * beyond
                likely = sign * cash * density / s
                second[path] = whole * likely * (whole * y / s - 1.0)
                by_level[path], by_slope[path] = share * likely, share * likely * y
            else:
                paid = sign * exp(fma(0.5 * s, s, f)) * ndtr(sign * (s - y))
                value[path] = paid - sign * strike * beyond
                second[path] = whole * (whole * (paid + strike * density / s) - paid)
                by_level[path], by_slope[path] = share * paid, share * fma(paid, s, strike * density)
            out[2, first + path] = 0.0
            sums[0, path], sums[1, path] = 0.0, 0.0
        for back in range(count):
            t = count - 1 - back
            s, noise = _row(stdev[t], first, one), normals[t, first:last]
            _carry_back(loads[t], tilt, base, s, noise, by_level, by_slope, sums, by_mean[t, first:last], by_stdev[t, first:last])
        out[7, first:last] = sums[0, :width]


@kernel
def _along(by_mean, by_stdev, mean_slope, stdev_slope, out):
    """Sum over time of by_mean * mean_slope + by_stdev * stdev_slope, [path]; slopes are [time, path or 1]."""
    n_paths = len(out)
    one, two = np.empty(CHUNK), np.empty(CHUNK)
    for first in range(0, n_paths, CHUNK):
        last = min(first + CHUNK, n_paths)
        total = out[first:last]
        total[:] = 0.0
        for t in range(by_mean.shape[0]):
            dm, ds = _row(mean_slope[t], first, one[: last - first]), _row(stdev_slope[t], first, two[: last - first])
            p, q = by_mean[t, first:last], by_stdev[t, first:last]
            for path in range(last - first):
                total[path] = fma(p[path], dm[path], fma(q[path], ds[path], total[path]))


@dataclass(slots=True, eq=False)
class _Integrated:
    """A claim's expectation along each path's direction, undiscounted, with what its Greeks are made of; see `_arithmetic`."""

    claim: AverageClaim
    steps: Steps
    forward: FloatArray
    out: FloatArray
    by: FloatArray | None = None
    along: dict[str, FloatArray] = field(default_factory=dict)

    @property
    def value(self) -> FloatArray:
        """The expectation."""
        return self.out[0]

    @property
    def second(self) -> FloatArray:
        """Its second derivative by the logarithm of the spot less the first."""
        return self.out[1]

    @property
    def share(self) -> float:
        """Weight of a date's spot in the average."""
        return self.claim.mean.future_share / len(self.forward)

    @property
    def controls(self) -> tuple[FloatArray, ...]:
        """Of known mean zero, each [path]; a geometric average has none."""
        return tuple(self.out[2:7]) if self.claim.mean.arithmetic else ()

    def slopes(self, path: Paths, parameter: str) -> tuple[FloatArray, ...]:
        """Derivative by a parameter of model or market, [path], discounting left out; of an arithmetic average another control."""
        if parameter == "spot":
            return (self.out[7] / self.steps.spot,)
        if parameter not in self.along:
            mean_slope, stdev_slope = _slopes_by((parameter,), path, len(self.forward))
            if mean_slope.shape[-1] == stdev_slope.shape[-1] == 1:
                self._add_shared((parameter,), mean_slope[..., 0], stdev_slope[..., 0], path)
            else:
                if self.by is None:
                    _integrate(self, keep=True)
                assert self.by is not None
                found = np.empty((len(self.by) // 2, self.by.shape[-1]))
                for row, (by_mean, by_stdev) in zip(found, (self.by[:2], self.by[2:]), strict=False):
                    _along(by_mean, by_stdev, mean_slope[0], stdev_slope[0], row)
                self.along[parameter] = self._centred(found, path, parameter)
        return tuple(self.along[parameter])

    def _add_shared(self, names: tuple[str, ...], mean_slope: FloatArray, stdev_slope: FloatArray, path: Paths) -> None:
        """Integrate the claim, and take its derivatives by parameters that move the log-returns of all paths alike."""
        found = _integrate(self, mean_slope=mean_slope, stdev_slope=stdev_slope)
        self.along |= {name: self._centred(rows, path, name) for name, rows in zip(names, found, strict=True)}

    def _centred(self, out: FloatArray, path: Paths, parameter: str) -> FloatArray:
        """The derivative of an arithmetic average, the second row, less its mean, so that it is a control."""
        if len(out) == 2:
            out[1] -= self._forward_slope(path, parameter)
            out[1][np.abs(out[1]) < _ROUNDING * self.share * self.forward.sum()] = 0.0
        return out

    def _forward_slope(self, path: Paths, parameter: str) -> float:
        """Derivative of the average's forward: only the market moves it."""
        times = path.times[-len(self.forward) :]
        growth = np.log(self.forward / self.steps.spot)
        weights = {"rate": times, "dividend": -times, "time": growth / times[-1]}.get(parameter)
        return self.share * float(self.forward @ weights) if weights is not None else 0.0


def _slopes_by(names: tuple[str, ...], path: Paths, count: int) -> tuple[FloatArray, FloatArray]:
    """Derivatives of the log-returns' means and standard deviations, each [parameter, time, path or 1]."""
    steps = [_steps(path, name, count) for name in names]
    means, stdevs = [s.mean_slope[0] for s in steps], [s.stdev_slope[0] for s in steps]
    return np.array(np.broadcast_arrays(*means)), np.array(np.broadcast_arrays(*stdevs))


def _steps(path: Paths, parameter: str, count: int) -> Steps:
    """The path's log-returns; where one is asked for and the path has more, that to the last date."""
    steps = path.law.steps((parameter,))
    if count == len(steps.normals):
        rows = (steps.mean, steps.stdev, steps.mean_slope, steps.stdev_slope)
        mean, stdev, mean_slope, stdev_slope = (np.ascontiguousarray(row) for row in rows)
        normals = steps.normals
    else:
        stdev = np.sqrt((steps.stdev**2).sum(axis=0, keepdims=True))
        normals = (steps.stdev * steps.normals).sum(axis=0, keepdims=True) / stdev
        mean, mean_slope = steps.mean.sum(axis=0, keepdims=True), steps.mean_slope.sum(axis=1, keepdims=True)
        stdev_slope = (steps.stdev * steps.stdev_slope).sum(axis=1, keepdims=True) / stdev
    return Steps(spot=steps.spot, normals=normals, mean=mean, stdev=stdev, mean_slope=mean_slope, stdev_slope=stdev_slope)


def _integrated(claim: AverageClaim, forward: FloatArray, path: Paths) -> _Integrated:
    """The claim on a block of paths; forward is each spot's mean, [time]."""
    steps = _steps(path, "spot", len(forward))
    found = _Integrated(claim, steps, forward, empty((8, steps.normals.shape[1])))
    names = tuple(sorted(path.parameters_asked - {"spot"}))
    if not set(names) <= _SHARED or steps.mean.shape[-1] * steps.stdev.shape[-1] > 1:
        _integrate(found, keep=True)
    elif names:
        mean_slope, stdev_slope = _slopes_by(names, path, len(forward))
        found._add_shared(names, mean_slope[..., 0], stdev_slope[..., 0], path)
    else:
        _integrate(found)
    return found


_NO_SLOPES = np.empty((0, 0))


def _integrate(
    found: _Integrated, *, keep: bool = False, mean_slope: FloatArray = _NO_SLOPES, stdev_slope: FloatArray = _NO_SLOPES
) -> FloatArray:
    """Fill ``out``, with ``keep`` ``by`` too, and return the derivatives by the parameters of these slopes, [parameter, claim, path]."""
    claim, steps, mean = found.claim, found.steps, found.claim.mean
    count, n_paths = steps.normals.shape
    out, share, loads = found.out, found.share, np.arange(count, 0.0, -1.0)
    sign, cash = 1.0 if claim.option == "call" else -1.0, claim.cash or 0.0
    paths = math.log(steps.spot), steps.mean, steps.stdev, steps.normals, loads, found.forward, out
    claims = 2 if mean.arithmetic else 1
    along = empty((len(mean_slope), claims, n_paths))
    if mean.arithmetic:
        by = empty((4, count, n_paths)) if keep else np.empty((4, count, 0))
        strike = claim.strike - mean.past_part
        log_strike = math.log(strike / share) if strike > 0.0 else -math.inf
        _arithmetic(sign, cash, share, strike, log_strike, *paths, by, mean_slope, stdev_slope, along)
        out[2] -= share * found.forward.sum()
    else:
        by = empty((2, count, n_paths))
        _geometric(sign, cash, share, claim.strike, mean.past_part, *paths, by)
        for row, dm, ds in zip(along, mean_slope, stdev_slope, strict=True):
            _along(by[0], by[1], dm[:, None], ds[:, None], row[0])
    if keep:
        found.by = by
    scales = share * found.forward.sum() * np.array([1.0, count, count, count, count])
    rounding = np.abs(out[2:7]) < _ROUNDING * scales[:, None]
    out[2:7][rounding] = 0.0
    return along


_ROUNDING = 1e-13
"""Of a control, as a share of what cancels in it: nothing but rounding, which must not be taken for a control."""


@dataclass(frozen=True, slots=True)
class Preintegrated(PathEstimator):
    r"""The payoff's expectation along one direction of each path's normals, in closed form, differentiated along the path.

    For options and digitals on an average (of one date, too: European and digital), under models whose log-returns are Gaussian given
    the variance path. The direction is the geometric average's gradient; along it the average rises through the strike once, at a
    root found to rounding, and what is left to sample is smooth, so that a digital has pathwise Greeks too and Sobol points
    gain most. Zero-mean functions of the rest are fitted as controls, and the forward of the average and its derivative.

    Sources: Griewank, Kuo, Leovey and Sloan (2018), "High dimensional integration of kinks and jumps: smoothing by preintegration",
    J. Comput. Appl. Math. 344; Liu and Owen (2023), "Preintegration via active subspace", SIAM J. Numer. Anal. 61; Gilbert, Kuo
    and Sloan (2022), "Preintegration is not smoothing when monotonicity fails"; Curran (1994), Management Science 40, for
    conditioning on the geometric average.
    """

    name: ClassVar[str] = "preintegrated"
    second_order: ClassVar[frozenset[tuple[str, ...]]] = GAMMA
    structural: ClassVar[bool] = True

    def cost_ns(self, contract: Contract) -> float:
        """See `PathEstimator.cost_ns`: some three exponentials and a normal distribution function on each date."""
        return 60.0 + 28.0 * len(contract.times)

    def sample_spec(self, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> SampleSpec:
        """See `PathEstimator.sample_spec`; for claims on an average, first derivatives and gamma."""
        claim = contract.on_average
        if claim is None:
            raise NotApplicable(
                f"preintegration is for options and digitals on an average, not {contract.family}; use LikelihoodRatio()"
            )
        for parameter in greek.parameters:
            scenario.model.require_score((parameter,))
        forward = scenario.market.spot * np.exp(scenario.time_scale * scenario.market.log_growth(contract.times))

        def samples(paths: tuple[Paths, ...], out: FloatArray) -> None:
            (path,) = paths
            found = path.once(("preintegrated", claim), lambda: _integrated(claim, forward, path))
            number, *more = _derivatives(found, path, greek.parameters)
            np.multiply(number, greek.sign * path.discounting.factor(), out=out[0])
            for row, control in zip(out[1:], (*found.controls, *more), strict=True):
                row[:] = control

        controls = 5 + (len(greek.parameters) == 1 and greek.parameters != ("spot",))
        controls = controls if claim.mean.arithmetic else 0
        return SampleSpec(scenarios=(scenario,), samples=samples, controls=controls, exact_if_constant=True)


def _derivatives(found: _Integrated, path: Paths, parameters: tuple[str, ...]) -> tuple[FloatArray, ...]:
    """Derivative of the present value over the discount factor, [path], and the control that goes with it, if there is one."""
    match parameters:
        case ():
            return (found.value,)
        case ("spot", _):
            return (found.second / found.steps.spot**2,)
        case (parameter,):
            slope, *control = found.slopes(path, parameter)
            return (slope + path.discounting.log_slope(parameter) * found.value, *control)
    raise AssertionError(parameters)
