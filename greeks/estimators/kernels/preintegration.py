r"""Loops of `greeks.estimators.preintegrated`, whose docstring has the formulas: a claim on an average given all but one direction."""

from __future__ import annotations

import math

import numpy as np

from pricers.numerics.elementary import exp, fma, log, mills, ndtr
from pricers.numerics.kernel import device, kernel

__all__ = ["CHUNK", "along", "arithmetic", "geometric"]

CHUNK = 64
"""Paths carried through all of time together, so that their state stays in the cache; the root is sought for them together, so that
blocks must begin and end with whole chunks (`pricers.random_numbers.sampling.ATOM`) for a path's bits to be the same in each."""

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
def arithmetic(
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
def geometric(sign, cash, share, strike, past, log_spot, mean, stdev, normals, loads, forward, out, by):
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
def along(by_mean, by_stdev, mean_slope, stdev_slope, out):
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
