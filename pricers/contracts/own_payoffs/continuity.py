r"""Does a payoff jump, and is its gradient right? Tested along segments between paths.

On the segment :math:`x_k(u) = a_k^{1-u} b_k^u` from path a to path b, straight in the logarithms of the spots, a payoff without jumps
changes by

.. math:: \varphi(v) - \varphi(u) = \int_u^v \sum_k \partial_k f(x(w))\, x_k(w) \ln\frac{b_k}{a_k}\,dw, \qquad \varphi(u) = f(x(u)),

which falls to zero with v - u. Where a payoff jumps it does not: the cell of a grid in which a change stands out is divided again and
again, until its ends are the same path to twelve digits and yet pay differently. Bumps at random paths would hardly ever meet a jump;
segments between paths on either side of it always do. A gradient is held against the change of :math:`\varphi` at points where the
payoff is smooth, that is where changes to the left and to the right agree: kinks are no fault.

A payoff that passes has shown no jump on these segments; that is strong evidence and no proof.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pricers.contracts.own_payoffs.trial import shown
from pricers.errors import InvalidInput

__all__ = ["Break", "check_gradient", "find_discontinuity", "segments", "trial_paths"]

FloatArray = npt.NDArray[np.float64]
Payoff = Callable[[FloatArray], FloatArray]
"""From points [coordinate, point] to payoffs [point]."""

_GRID = 64
"""Cells of a segment's first grid."""

_PARTS, _LEVELS = 8, 14
"""Each level divides a cell in eight: after fourteen, its ends agree to 2^-48 of the segment."""

_SUSPECTS = 4
"""Cells of a segment that are divided, of each kind: with the largest change, with the change most unlike its neighbours', and with the
largest change of slope for its size."""

_JUMP = 1e-5
"""The least jump that is one, as a share of the range of the payoffs on a segment, or of a quarter of the usual range where that is
larger. The square root of an amount changes by 6e-8 of it over the smallest cells."""

_ROUNDING = 256 * np.finfo(float).eps
"""What of a payoff is rounding, as a share of its size."""

_BUMP = 1e-5
"""Of a derivative along a segment, as a share of it."""

_SMOOTH, _WRONG = 1e-3, 1e-4
"""How well changes to both sides agree where a payoff is smooth, and how well a right gradient agrees with their mean."""


class Break(NamedTuple):
    """Where a payoff jumps: two points that differ by rounding, and what is paid at each.

    Attributes
    ----------
    before, after : ndarray [coordinate]
    paid_before, paid_after : float
    """

    before: FloatArray
    after: FloatArray
    paid_before: float
    paid_after: float


def trial_paths(*, times: tuple[float, ...], spot: float, vol: float, count: int, wide: float = 1.0, seed: int = 0) -> FloatArray:
    """Made-up paths of geometric Brownian motion without drift, [time, path], always the same for the same arguments.

    Parameters
    ----------
    times : tuple of float
        Years.
    spot, vol : float
    count : int
    wide : float
        What the volatility is multiplied by.
    seed : int
    """
    dt = np.diff(np.concatenate([[0.0], times]))[:, None]
    normals = np.random.default_rng([2718, seed]).standard_normal((len(times), count))
    paths: FloatArray = spot * np.exp(np.cumsum(wide * vol * np.sqrt(dt) * normals, axis=0))
    return paths


def segments(
    *, times: tuple[float, ...], spot: float, vol: float, count: int, initial_spot: bool
) -> tuple[FloatArray, FloatArray]:
    """Both ends of segments, [coordinate, segment]: likely paths for one half, for the other paths of 2.5 times their volatility.

    With ``initial_spot`` the first coordinate is today's spot, which moves along each segment, too.
    """
    half = count // 2

    def ends(seed: int) -> FloatArray:
        drawn = [
            trial_paths(times=times, spot=spot, vol=vol, count=size, wide=wide, seed=seed)
            for wide, size in ((1.0, count - half), (2.5, half))
        ]
        points = np.concatenate(drawn, axis=1)
        if not initial_spot:
            return points
        spread = vol * math.sqrt(times[-1])
        today = spot * np.exp(spread * np.random.default_rng([3141, seed]).standard_normal(count))
        return np.concatenate([today[None], points])

    return ends(1), ends(2)


def find_discontinuity(payoff: Payoff, start: FloatArray, end: FloatArray) -> Break | None:
    """A place between ``start`` and ``end`` [coordinate, segment] where the payoff jumps, or None where none was found."""
    count = start.shape[1]
    grid = np.linspace(0.0, 1.0, _GRID + 1)
    values = payoff(_points(start, end, np.tile(np.arange(count), _GRID + 1), np.repeat(grid, count))).reshape(_GRID + 1, count)
    finite = np.where(np.isfinite(values), values, values[0])
    spread = np.nan_to_num(np.ptp(finite, axis=0))
    usual = float(np.median(spread[spread > 0.0])) if (spread > 0.0).any() else 0.0
    least = np.maximum(_JUMP * np.maximum(spread, 0.25 * usual), _ROUNDING * np.nan_to_num(np.abs(finite).max(axis=0)))
    steps = np.nan_to_num(np.diff(values, axis=0), nan=0.0, posinf=0.0, neginf=0.0)
    odd, second_order = _unlike_neighbours(steps, least)
    chosen = np.concatenate([np.argsort(-rank, axis=0, kind="stable")[:_SUSPECTS] for rank in (np.abs(steps), odd, second_order)])
    place, cell = np.tile(np.arange(count), len(chosen)), chosen.ravel()
    suspect = np.maximum(np.abs(steps[cell, place]), odd[cell, place]) > least[place]
    place, low = place[suspect], grid[cell[suspect]]
    width = 1.0 / _GRID
    for _ in range(_LEVELS):
        if not len(place):
            return None
        inner = low[None] + width * np.linspace(0.0, 1.0, _PARTS + 1)[:, None]
        values = payoff(_points(start, end, np.tile(place, _PARTS + 1), inner.ravel())).reshape(inner.shape)
        steps = np.nan_to_num(np.diff(values, axis=0), nan=0.0, posinf=0.0, neginf=0.0)
        part = np.argmax(np.abs(steps - np.median(steps, axis=0)), axis=0)
        n_paths = np.arange(len(place))
        change = np.abs(steps[part, n_paths])
        kept = change > least[place]
        width /= _PARTS
        low, place = (low + width * part)[kept], place[kept]
    if not len(place):
        return None
    worst = int(np.argmax(change[kept]))
    pair = _points(start, end, np.repeat(place[worst], 2), np.array([low[worst], low[worst] + width]))
    paid = payoff(pair)
    return Break(pair[:, 0], pair[:, 1], float(paid[0]), float(paid[1]))


def _unlike_neighbours(steps: FloatArray, least: FloatArray) -> tuple[FloatArray, FloatArray]:
    """How far each step is from the median of itself and its two neighbours, and where the slope changes for its size."""
    before, after = np.concatenate([steps[:1], steps[:-1]]), np.concatenate([steps[1:], steps[-1:]])
    median = np.median([before, steps, after], axis=0)
    odd = np.abs(steps - median)
    smallest = least + np.finfo(float).tiny
    second_order = np.maximum(
        odd / (np.abs(median) + smallest), np.abs(after - before) / (np.abs(after) + np.abs(before) + smallest)
    )
    return odd, second_order


def _points(start: FloatArray, end: FloatArray, place: npt.NDArray[np.intp], u: FloatArray) -> FloatArray:
    """Points of segments, [coordinate, point]: ``place`` says which segment, ``u`` how far along it."""
    found: FloatArray = start[:, place] * np.exp(u * np.log(end / start)[:, place])
    return found


def check_gradient(payoff: Payoff, gradient: Payoff, start: FloatArray, end: FloatArray, *, name: str) -> None:
    """Hold a gradient against the payoff's own changes along segments.

    Parameters
    ----------
    payoff : callable
    gradient : callable
        From points [coordinate, point] to derivatives by each coordinate, of the same shape.
    start, end : ndarray [coordinate, segment]
    name : str
        What messages call the payoff.

    Raises
    ------
    InvalidInput
        Where the gradient is not finite, or is not the payoff's slope at a point where the payoff has one.
    """
    count = start.shape[1]
    place = np.repeat(np.arange(count), 8)
    u = np.random.default_rng(5).uniform(0.05, 0.95, size=len(place))
    points = _points(start, end, place, u)
    direction = points * np.log(end / start)[:, place]
    claimed = gradient(points)
    if not np.isfinite(claimed).all():
        path = int(np.argmax(~np.isfinite(claimed).all(axis=0)))
        raise InvalidInput("gradient", shown(points[:, path]), f"must be finite, and that of {name} is not on every path")
    slope = (claimed * direction).sum(axis=0)
    below, here, above = (payoff(points + shift * direction) for shift in (-_BUMP, 0.0, _BUMP))
    left, right = (here - below) / _BUMP, (above - here) / _BUMP
    measured = 0.5 * (left + right)
    scale = float(np.nanmax(here) - np.nanmin(here)) if np.isfinite(here).any() else 0.0
    noise = _ROUNDING * float(np.nanmax(np.abs(here), initial=0.0)) / _BUMP + 1e-6 * scale
    smooth = np.abs(left - right) <= _SMOOTH * np.maximum(np.abs(left), np.abs(right)) + noise
    off = np.where(smooth, np.abs(measured - slope) - _WRONG * (np.abs(measured) + np.abs(slope)) - noise, -math.inf)
    worst = int(np.argmax(off))
    if off[worst] > 0.0:
        raise InvalidInput(
            "gradient",
            shown(points[:, worst]),
            f"must be the derivative of {name}: along a segment through a path the payoff changes at the rate of "
            f"{measured[worst]:.6g} and the gradient says {slope[worst]:.6g} ({int((off > 0.0).sum())} of {int(smooth.sum())} points)",
        )
