r"""What a claim is worth where a barrier is first touched: the kernels of `greeks.estimators.survival`.

Claims are sums of edges: :math:`g(X) = \sum_k (c_k e^X + b_k)\,1\{\epsilon_k (X - e_k) > 0\}`, X the last log-spot. With X normal of
mean y and variance S, :math:`d = (y - e)/\sqrt S`, an edge is worth
:math:`c\,e^{y + S/2}\,\Phi(\epsilon(d + \sqrt S)) + b\,\Phi(\epsilon d)`.

The image of a claim in the pole :math:`\ell` is :math:`e^{a(X - \ell)} g(2\ell - X)`, worth
:math:`e^{a(y - \ell) + a^2 S/2}\,V(2\ell - y - aS,\,S)` where g is worth :math:`V(y, S)`. Where the drift of the log-spot is
:math:`-a/2` times its variance, a claim less its image is worth nothing at the pole, at any time.
"""

from __future__ import annotations

import math

import numpy as np

from pricers.kernel import device, kernel
from pricers.special import exp, ndtr, ndtri

__all__ = ["first_touches", "worths"]

CHUNK = 128
"""Lanes carried through all of time together, so that their state stays in the first-level cache."""

GROUP = 16
"""The lanes near the barrier, gathered, are filled up to a multiple of this: loops over them have no slow rest."""

FAR = 7.5
"""Standard deviations from the barrier at which the probability of touching it next, 3e-14, is left out."""

_DENSITY = 0.3989422804014327  # of the standard normal at zero


@device
def _edge(y, variance, spread, shares, cash, edge, side, strike):
    """Worth of an edge, with its first and second derivative by y; strike is shares * e^edge."""
    d = (y - edge) / spread
    held = shares * exp(y + 0.5 * variance) * ndtr(side * (d + spread))
    density = side * _DENSITY * exp(-0.5 * d * d) / spread
    slope = held + (strike + cash) * density
    return held + cash * ndtr(side * d), slope, slope - density * (cash + (strike + cash) * d / spread)


@device
def _worths(edges, imaged, power, pole, y, variance, out):
    """Worth of a claim, less its image if it has one, with first and second derivative by y, and by power; out is [4, lane]."""
    for row in range(4):
        out[row, : y.size] = 0.0
    value, slope, bend, by_power = out[0], out[1], out[2], out[3]
    for k in range(edges.shape[0]):
        shares, cash, edge, side, strike = edges[k, 0], edges[k, 1], edges[k, 2], edges[k, 3], edges[k, 4]
        for lane in range(y.size):
            v, v1, v2 = _edge(y[lane], variance[lane], math.sqrt(variance[lane]), shares, cash, edge, side, strike)
            value[lane] += v
            slope[lane] += v1
            bend[lane] += v2
        if not imaged:
            continue
        for lane in range(y.size):
            s = variance[lane]
            beyond = y[lane] - pole
            tilted = beyond + power * s
            v, v1, v2 = _edge(pole - tilted, s, math.sqrt(s), shares, cash, edge, side, strike)
            lift = exp(power * (beyond + 0.5 * power * s))
            value[lane] -= lift * v
            slope[lane] -= lift * (power * v - v1)
            bend[lane] -= lift * (power * (power * v - 2.0 * v1) + v2)
            by_power[lane] -= lift * (tilted * v - s * v1)


@kernel
def worths(edges, imaged, power, pole, y, variance, out):
    """See `_worths`."""
    _worths(edges, imaged, power, pole, y, variance, out)


@device
def _row(values, first, scratch):
    """Lanes ``first`` on of a row, as many as there is scratch for, or the one value that all lanes share."""
    if values.size > 1:
        return values[first : first + scratch.size]
    scratch[:] = values[0]
    return scratch


@kernel
def first_touches(
    sign, barrier, edges, imaged, power, pole, mean, stdev, left, mean_slope, stdev_slope, left_slope, power_slope,
    normals, state, slope, bend,
):  # fmt: skip
    r"""Paths conditioned to stay alive on each date but the last, and what the claim is worth where they would have died.

    Parameters
    ----------
    sign, barrier : float
        +1 if the barrier, in log-spot, is below.
    edges, imaged, power, pole
        The claim: edges [edge, 5], and whether it is taken less its image.
    mean, stdev : ndarray [time, lane] or [time, 1]
        Of the log-returns. Here and below lanes may share one value.
    left : ndarray [2, lane or 1]
        Sums over time of mean and of variance.
    mean_slope, stdev_slope, left_slope : ndarray [p, time, lane or 1], the last [p, 2, lane or 1]
        Derivatives by parameters.
    power_slope : ndarray [p]
        Derivatives of power.
    normals : ndarray [time, lane]
    state : ndarray [3, lane]
        On entry and return: distance from the barrier into the alive side, probability of the path so far, and the sum of
        worth times probability over the deaths.
    slope : ndarray [p, 3, lane]
        Derivatives of the distance, of the probability's logarithm and of the sum.
    bend : ndarray [3, lane] or [0, lane]
        Second derivatives by parameter 0, on which neither log-returns nor power may depend; left out if empty.
    """
    lanes, parameters, size = state.shape[1], slope.shape[0], CHUNK + GROUP
    index = np.empty(size, np.int64)
    distance, level, base, scale, inverse, rest, room, odds = np.zeros((8, size))
    shrink, hazard, survive, a0, a1, a2, a3, a4, a5, a6 = np.zeros((10, size))
    d_, z_, base_, scale_, y_, room_, odds_, alive_, dead_, density_, tail_, alpha_, beta_ = np.zeros((13, size))
    worth = np.zeros((4, size))
    rest_slope, room_slope = np.zeros((2, parameters, size))
    ones, twos, threes, fours = np.empty((4, size))
    scale[CHUNK], room[CHUNK] = 1.0, 1.0
    for first in range(0, lanes, CHUNK):
        n = min(CHUNK, lanes - first)
        away, weight, loss = state[0, first : first + n], state[1, first : first + n], state[2, first : first + n]
        one, two, three, four = ones[:n], twos[:n], threes[:n], fours[:n]
        rest[:n], room[:n] = _row(left[0], first, one), _row(left[1], first, two)
        for p in range(parameters):
            rest_slope[p, :n], room_slope[p, :n] = _row(left_slope[p, 0], first, one), _row(left_slope[p, 1], first, two)
        for t in range(normals.shape[0] - 1):
            noise, m, s = normals[t, first : first + n], _row(mean[t], first, one), _row(stdev[t], first, two)
            for lane in range(n):
                here = away[lane] + sign * m[lane]
                d = here / s[lane]
                base[lane], distance[lane] = here, -37.0 if d < -37.0 else d
                scale[lane], inverse[lane] = s[lane], 1.0 / s[lane]
                level[lane], odds[lane] = sign * noise[lane], weight[lane]
                variance = room[lane] - s[lane] * s[lane]
                rest[lane], room[lane] = rest[lane] - m[lane], 1e-16 if variance < 1e-16 else variance
                shrink[lane], hazard[lane], survive[lane] = 0.0, 0.0, 1.0
                a0[lane], a1[lane], a2[lane], a3[lane], a4[lane], a5[lane], a6[lane] = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            near = 0
            for lane in range(n):
                index[near] = lane
                near += distance[lane] < FAR
            some = (near + GROUP - 1) // GROUP * GROUP
            index[near:some] = CHUNK
            for k in range(some):
                i = index[k]
                d_[k], z_[k], base_[k], scale_[k] = distance[i], level[i], base[i], scale[i]
                y_[k], room_[k], odds_[k] = rest[i], room[i], odds[i]
            for k in range(some):
                d = d_[k]
                tail = ndtr(-abs(d))
                dead = tail if d > 0.0 else 1.0 - tail
                alive = 1.0 - tail if d > 0.0 else tail
                alive_[k], dead_[k], density_[k], tail_[k] = alive, dead, _DENSITY * exp(-0.5 * d * d), ndtr(-z_[k])
            for k in range(some):
                z = -ndtri(alive_[k] * tail_[k])
                alpha_[k] = tail_[k] * exp(0.5 * (z * z - d_[k] * d_[k]))
                z_[k] = z
            for k in range(some):
                z = ndtri(dead_[k] * tail_[k])
                beta_[k] = tail_[k] * exp(0.5 * (z * z - d_[k] * d_[k]))
                tail_[k] = z
                y_[k] += barrier + sign * (base_[k] + scale_[k] * z)
            _worths(edges, imaged, power, pole, y_[:some], room_[:some], worth)
            for k in range(some):
                i, d, z, beta, density = index[k], d_[k], tail_[k], beta_[k], density_[k]
                chance, c, by_y = odds_[k] * dead_[k], worth[0, k], sign * worth[1, k]
                moves = scale_[k] * (1.0 - beta)
                shrink[i], hazard[i], survive[i], level[i] = alpha_[k], density / alive_[k], alive_[k], z_[k]
                a0[i] = chance * c
                a1[i] = chance * by_y * moves - odds_[k] * density * c
                a2[i] = chance * by_y * (d + z)
                a3[i] = sign * chance * by_y
                a4[i] = 0.5 * chance * worth[2, k]
                a5[i] = chance * worth[3, k]
                curved = worth[2, k] * moves * moves + by_y * scale_[k] * beta * (beta * z + d)
                a6[i] = chance * curved + odds_[k] * density * (d * c - 2.0 * by_y * moves)
            if bend.shape[0] > 0:  # before the first derivatives: it needs those of the date before
                g, l, g2 = slope[0, 0, first : first + n], slope[0, 1, first : first + n], bend[0, first : first + n]
                l2, c2 = bend[1, first : first + n], bend[2, first : first + n]
                for lane in range(n):
                    d, a, h, l1 = distance[lane], shrink[lane], hazard[lane], l[lane]
                    d1, d2 = g[lane] * inverse[lane], g2[lane] * inverse[lane]
                    c2[lane] += a0[lane] * (l1 * l1 + l2[lane]) + a1[lane] * (2.0 * l1 * d1 + d2) + a6[lane] * d1 * d1
                    g2[lane] += scale[lane] * a * ((a * level[lane] + d) * d1 * d1 - d2)
                    l2[lane] += h * (d2 - (d + h) * d1 * d1)
            for p in range(parameters):
                dm, ds = _row(mean_slope[p, t], first, three), _row(stdev_slope[p, t], first, four)
                g, l, c1 = slope[p, 0, first : first + n], slope[p, 1, first : first + n], slope[p, 2, first : first + n]
                ahead, wider, tilt = rest_slope[p], room_slope[p], power_slope[p]
                for lane in range(n):
                    moved, spread, s = sign * dm[lane], ds[lane], scale[lane]
                    later, vaster = ahead[lane] - dm[lane], wider[lane] - 2.0 * s * spread
                    d1 = (g[lane] + moved - distance[lane] * spread) * inverse[lane]
                    lost = a0[lane] * l[lane] + a1[lane] * d1 + a2[lane] * spread
                    c1[lane] += lost + a3[lane] * later + a4[lane] * vaster + a5[lane] * tilt
                    g[lane] += moved + spread * level[lane] - s * shrink[lane] * d1
                    l[lane] += hazard[lane] * d1
                    ahead[lane], wider[lane] = later, vaster
            for lane in range(n):
                away[lane] = base[lane] + scale[lane] * level[lane]
                weight[lane] *= survive[lane]
                loss[lane] += a0[lane]
