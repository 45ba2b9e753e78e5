r"""What a claim is worth where a barrier is first touched: the kernels of `greeks.estimators.survival`.

Claims are sums of edges: :math:`g(X) = \sum_k (c_k e^X + b_k)\,1\{\epsilon_k (X - e_k) > 0\}`, X the last log-spot. With X normal of
mean y and variance S, :math:`d = (y - e)/\sqrt S`, an edge is worth
:math:`c\,e^{y + S/2}\,\Phi(\epsilon(d + \sqrt S)) + b\,\Phi(\epsilon d)`.

The image of a claim in the pole :math:`\ell` is :math:`e^{a(X - \ell)} g(2\ell - X)`, worth
:math:`e^{a(y - \ell) + a^2 S/2}\,V(2\ell - y - aS,\,S)` where g is worth :math:`V(y, S)`. Where the drift of the log-spot is
:math:`-a/2` times its variance, a claim less its image is worth nothing at the pole, at any time (Carr and Chou 1997). As prices of
claims, all are martingales: their derivative by S is half their second one by y.

On a date, with :math:`d = \pm(x + M - \ln H)/s` and a uniform u, a survivor's normal is :math:`z = -\Phi^{-1}(\Phi(d)\,u)`, with
:math:`\partial_d z = -u\,e^{(z^2 - d^2)/2} = -\alpha` and :math:`\partial_d \alpha = -\alpha(\alpha z + d)`; that of a death
:math:`z = \Phi^{-1}(\Phi(-d)\,u)`, with the like :math:`\beta`. All else is the chain rule.
"""

from __future__ import annotations

import math

import numpy as np

from pricers.numerics.elementary import exp, ndtr, ndtri
from pricers.numerics.kernel import device, kernel

__all__ = ["first_touches", "values"]

CHUNK = 128
"""Paths carried through all of time together, so that their state stays in the near caches (64 to 512 are alike, measured)."""

GROUP = 16
"""The paths near the barrier, gathered, are filled up to a multiple of this: loops over them have no slow rest."""

FAR = 7.5
"""Standard deviations from the barrier at which the probability of touching it next, 3e-14, is left out."""

_DENSITY = 0.3989422804014327  # of the standard normal at zero


@device
def _edge(y, variance, shares, cash, edge, side, strike):
    """Value of an edge, with its first and second derivative by y; strike is shares * e^edge."""
    spread = math.sqrt(variance)
    d = (y - edge) / spread
    held = shares * exp(y + 0.5 * variance) * ndtr(side * (d + spread))
    density = side * _DENSITY * exp(-0.5 * d * d) / spread
    slope = held + (strike + cash) * density
    return held + cash * ndtr(side * d), slope, slope - density * (cash + (strike + cash) * d / spread)


@device
def _image(y, variance, power, pole, shares, cash, edge, side, strike):
    """Value of an edge's image, with its first and second derivative by y, and by power."""
    beyond = y - pole
    tilted = beyond + power * variance
    v, v1, v2 = _edge(pole - tilted, variance, shares, cash, edge, side, strike)
    lift = exp(power * (beyond + 0.5 * power * variance))
    twice = power * (power * v - 2.0 * v1) + v2
    return lift * v, lift * (power * v - v1), lift * twice, lift * (tilted * v - variance * v1)


@kernel
def values(edges, imaged, power, pole, y, variance, out):
    """Value of a claim, less its image if it has one, with first and second derivative by y, and by power; out is [4, path]."""
    for path in range(out.shape[1]):
        value, by_y, by_y_twice, by_power = 0.0, 0.0, 0.0, 0.0
        for k in range(edges.shape[0]):
            shares, cash, edge, side, strike = edges[k]
            v, v1, v2 = _edge(y[path], variance[path], shares, cash, edge, side, strike)
            value, by_y, by_y_twice = value + v, by_y + v1, by_y_twice + v2
            if imaged:
                v, v1, v2, v3 = _image(y[path], variance[path], power, pole, shares, cash, edge, side, strike)
                value, by_y, by_y_twice, by_power = value - v, by_y - v1, by_y_twice - v2, by_power - v3
        out[0, path], out[1, path], out[2, path], out[3, path] = value, by_y, by_y_twice, by_power


@kernel
def first_touches(
    sign, barrier, edges, imaged, power, pole, mean, stdev, left, mean_slope, stdev_slope, left_slope, power_slope,
    normals, state, slope, second,
):  # fmt: skip
    r"""Paths conditioned to stay alive on each date but the last, and what the claim is worth where they would have died.

    Parameters
    ----------
    sign, barrier : float
        +1 if the barrier, in log-spot, is below.
    edges, imaged, power, pole
        The claim: edges [edge, 5], and whether it is taken less its image.
    mean, stdev : ndarray [time, path] or [time, 1]
        Of the log-returns. Here and below paths may share one value.
    left : ndarray [2, path or 1]
        Sums over time of mean and of variance.
    mean_slope, stdev_slope, left_slope : ndarray [p, time, path or 1], the last [p, 2, path or 1]
        Derivatives by parameters.
    power_slope : ndarray [p]
        Derivatives of power.
    normals : ndarray [time, path]
    state : ndarray [3, path]
        On entry and return: distance from the barrier into the alive side, probability of the path so far, and the sum of
        value times probability over the deaths.
    slope : ndarray [p, 3, path]
        Derivatives of the distance, of the probability's logarithm and of the sum.
    second : ndarray [3, path] or [0, path]
        Second derivatives by parameter 0, on which neither log-returns nor power may depend; left out if empty.
    """
    n_paths, parameters, size = state.shape[1], slope.shape[0], CHUNK + GROUP
    index = np.empty(size, np.int64)
    scratch = np.zeros((45, size))  # one array for all: of several, the compiler would have to ask whether they overlap
    # one for each path: the state; mean and variance still to come; the normal; mean and standard deviation of the step
    away, weight, loss, rest, room, level, m_, s_ = scratch[:8]
    distance, base, inverse, shrink, hazard, survive = scratch[8:14]
    # what a death is worth, a0, by the derivatives that move it: a0 of the log-probability, a1 of d, a2 of s, a3 and a4 of mean and
    # variance still to come, a5 of power; twice by d alone a6
    a0, a1, a2, a3, a4, a5, a6 = scratch[14:21]
    # the same and more of the paths near the barrier, gathered
    d_, z_, x_, step_, y_, room_, odds_, alive_, dead_, density_, tail_, alpha_, beta_ = scratch[21:34]
    v_, v1_, v2_, v3_ = scratch[34:38]
    # of one parameter: derivatives of distance, log-probability, sum, and of what is still to come; and of the step
    g, w, c1, later, wider, dm, ds = scratch[38:45]
    moving, bending = np.zeros((parameters, 5, size)), np.zeros((3, size))
    room[CHUNK], s_[CHUNK] = 1.0, 1.0  # what groups are filled up with: a path of probability zero
    for first in range(0, n_paths, CHUNK):
        n = min(CHUNK, n_paths - first)
        last = first + n
        wide = mean.shape[1] > 1
        inward, chance_, lost_ = state[0, first:last], state[1, first:last], state[2, first:last]
        for path in range(n):
            away[path], weight[path], loss[path] = inward[path], chance_[path], lost_[path]
        for row in range(2):
            into, source = scratch[3 + row], left[row, first:last] if wide else left[row]
            for path in range(n):
                into[path] = source[path] if wide else source[0]
        for row in range(second.shape[0]):
            into, source = bending[row], second[row, first:last]
            for path in range(n):
                into[path] = source[path]
        for p in range(parameters):
            for row in range(3):
                into, source = moving[p, row], slope[p, row, first:last]
                for path in range(n):
                    into[path] = source[path]
            for row in range(2):
                into, source = moving[p, 3 + row], left_slope[p, row, first:last] if wide else left_slope[p, row]
                for path in range(n):
                    into[path] = source[path] if wide else source[0]
        for t in range(normals.shape[0] - 1):
            noise = normals[t, first:last]
            if wide:
                means, stdevs = mean[t, first:last], stdev[t, first:last]
                for path in range(n):
                    m_[path], s_[path] = means[path], stdevs[path]
            else:
                m, s = mean[t, 0], stdev[t, 0]
                for path in range(n):
                    m_[path], s_[path] = m, s
            for path in range(n):
                s, m, x = s_[path], m_[path], sign * noise[path]
                here, per = away[path] + sign * m, 1.0 / s
                d, variance = here * per, room[path] - s * s
                base[path], inverse[path], level[path] = here, per, x
                distance[path] = -37.0 if d < -37.0 else d
                rest[path], room[path] = rest[path] - m, 1e-16 if variance < 1e-16 else variance
            for path in range(n):
                shrink[path], hazard[path], survive[path] = 0.0, 0.0, 1.0
                a0[path], a1[path], a2[path], a3[path], a4[path], a5[path], a6[path] = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            near = 0  # far away nothing is lost and the normal is what it was: the functions below are for the others
            for path in range(n):
                index[near] = path
                near += distance[path] < FAR
            some = (near + GROUP - 1) // GROUP * GROUP
            for k in range(near, some):
                index[k] = CHUNK
            for k in range(some):
                i = index[k]
                d_[k], z_[k], step_[k], room_[k] = distance[i], level[i], s_[i], room[i]
                y_[k], odds_[k] = barrier + sign * base[i] + rest[i], weight[i]
            for k in range(some):
                d = d_[k]
                tail = ndtr(-abs(d))
                whole = 1.0 - tail
                dead_[k] = tail if d > 0.0 else whole
                alive_[k] = whole if d > 0.0 else tail
                density_[k] = _DENSITY * exp(-0.5 * d * d)
            for k in range(some):
                tail_[k] = ndtr(-z_[k])
            for k in range(some):
                z_[k] = -ndtri(alive_[k] * tail_[k])
            for k in range(some):
                x_[k] = ndtri(dead_[k] * tail_[k])
            for k in range(some):
                tail, square, z, x = tail_[k], d_[k] * d_[k], z_[k], x_[k]
                alpha_[k], beta_[k] = tail * exp(0.5 * (z * z - square)), tail * exp(0.5 * (x * x - square))
                y_[k] += sign * (step_[k] * x)
            for k in range(some):
                v_[k], v1_[k], v2_[k], v3_[k] = 0.0, 0.0, 0.0, 0.0
            for e in range(edges.shape[0]):
                shares, cash, edge, side, strike = edges[e]
                for k in range(some):
                    v, v1, v2 = _edge(y_[k], room_[k], shares, cash, edge, side, strike)
                    v_[k] += v
                    v1_[k] += v1
                    v2_[k] += v2
                if imaged:
                    for k in range(some):
                        v, v1, v2, v3 = _image(y_[k], room_[k], power, pole, shares, cash, edge, side, strike)
                        v_[k] -= v
                        v1_[k] -= v1
                        v2_[k] -= v2
                        v3_[k] -= v3
            for k in range(some):
                i, d, x, s, beta, density = index[k], d_[k], x_[k], step_[k], beta_[k], odds_[k] * density_[k]
                chance, c, by_y, by_y_twice = odds_[k] * dead_[k], v_[k], sign * v1_[k], v2_[k]
                moves = s * (1.0 - beta)
                shrink[i], hazard[i], survive[i], level[i] = alpha_[k], density_[k] / alive_[k], alive_[k], z_[k]
                a0[i] = chance * c
                a1[i] = chance * by_y * moves - density * c
                a2[i] = chance * by_y * (d + x)
                a3[i] = sign * chance * by_y
                a4[i] = 0.5 * chance * by_y_twice
                a5[i] = chance * v3_[k]
                curved = by_y_twice * moves * moves + by_y * s * beta * (beta * x + d)
                a6[i] = chance * curved + density * (d * c - 2.0 * by_y * moves)
            if second.shape[0] > 0:  # before the first derivatives: it needs those of the date before
                by_spot, log_by_spot = moving[0, 0], moving[0, 1]
                g2, l2, c2 = bending
                for path in range(n):
                    d, a, h, l1, s = distance[path], shrink[path], hazard[path], log_by_spot[path], s_[path]
                    d1, d2, second_order = by_spot[path] * inverse[path], g2[path] * inverse[path], l2[path]
                    c2[path] += a0[path] * (l1 * l1 + second_order) + a1[path] * (2.0 * l1 * d1 + d2) + a6[path] * d1 * d1
                    g2[path] += s * a * ((a * level[path] + d) * d1 * d1 - d2)
                    l2[path] = second_order + h * (d2 - (d + h) * d1 * d1)
            for p in range(parameters):
                for row in range(5 if wide else 3):
                    into, source = scratch[38 + row], moving[p, row]
                    for path in range(n):
                        into[path] = source[path]
                tilt = power_slope[p]
                if wide:
                    means, stdevs = mean_slope[p, t, first:last], stdev_slope[p, t, first:last]
                    for path in range(n):
                        dm[path], ds[path] = means[path], stdevs[path]
                    for path in range(n):
                        moved, spread, s = dm[path], ds[path], s_[path]
                        ahead, vast = later[path] - moved, wider[path] - 2.0 * s * spread
                        later[path], wider[path], moved = ahead, vast, sign * moved
                        d1 = (g[path] + moved - distance[path] * spread) * inverse[path]
                        lost = a0[path] * w[path] + a1[path] * d1 + a2[path] * spread
                        c1[path] += lost + (a3[path] * ahead + a4[path] * vast + a5[path] * tilt)
                        g[path] += moved + spread * level[path] - s * shrink[path] * d1
                        w[path] += hazard[path] * d1
                else:
                    moved, spread, s = mean_slope[p, t, 0], stdev_slope[p, t, 0], stdev[t, 0]
                    ahead, vast = moving[p, 3, 0] - moved, moving[p, 4, 0] - 2.0 * s * spread
                    moving[p, 3, 0], moving[p, 4, 0], moved = ahead, vast, sign * moved
                    for path in range(n):
                        d1 = (g[path] + moved - distance[path] * spread) * inverse[path]
                        lost = a0[path] * w[path] + a1[path] * d1 + a2[path] * spread
                        c1[path] += lost + (a3[path] * ahead + a4[path] * vast + a5[path] * tilt)
                        g[path] += moved + spread * level[path] - s * shrink[path] * d1
                        w[path] += hazard[path] * d1
                for row in range(5 if wide else 3):
                    source, into = scratch[38 + row], moving[p, row]
                    for path in range(n):
                        into[path] = source[path]
            for path in range(n):
                away[path] = base[path] + s_[path] * level[path]
                weight[path] *= survive[path]
                loss[path] += a0[path]
        for path in range(n):
            inward[path], chance_[path], lost_[path] = away[path], weight[path], loss[path]
        for row in range(second.shape[0]):
            into, source = second[row, first:last], bending[row]
            for path in range(n):
                into[path] = source[path]
        for p in range(parameters):
            for row in range(3):
                into, source = slope[p, row, first:last], moving[p, row]
                for path in range(n):
                    into[path] = source[path]
