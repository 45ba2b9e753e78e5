"""Normals from another law than the standard one, and what each path then counts for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pricers.errors import InvalidInput
from pricers.kernel import kernel
from pricers.lanes import copy
from pricers.philox import uniforms
from pricers.sampling.pseudo_random import PseudoRandom
from pricers.sampling.sampling import Address, Sampling
from pricers.special import exp, fma
from pricers.workspace import empty

__all__ = ["Mixture", "Tilted"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_CHUNK = 256
"""Paths that are weighed together, so that what belongs to them stays in the nearest cache."""

_LARGEST_EXPONENT = 700.0
"""Of a density ratio: beyond it a weight is zero to all digits anyway, and its inverse would overflow."""


@kernel
def _project(segment, scale, first, normals, out):
    """Coarse coordinates out[first + segment[point]] of normals[point, path]: their sums over segments, scaled."""
    for point in range(segment.shape[0]):
        z, factor, coordinate = normals[point], scale[point], out[first + segment[point]]
        for path in range(z.size):
            coordinate[path] = fma(factor, z[path], coordinate[path])


@kernel
def _move(segment, scale, first, moves, normals):
    """Move normals[point, path] so that their coarse coordinates move by ``moves``."""
    for point in range(segment.shape[0]):
        z, factor, move = normals[point], scale[point], moves[first + segment[point]]
        for path in range(z.size):
            z[path] = fma(factor, move[path], z[path])


@kernel
def _moves(uniform, bounds, scales, means, factors, coordinates, out):
    """How far coarse coordinates [direction, path], standard normal, move to those of a mixture.

    A path's component is the first whose bound [component] is above its uniform; the first components are spheres around zero of the
    given scales, the others have means [component, direction] and lower triangular factors of their covariance.
    """
    directions, spheres = coordinates.shape[0], scales.shape[0]
    own = np.empty(directions)
    for path in range(coordinates.shape[1]):
        component = 0
        while component + 1 < bounds.shape[0] and uniform[path] >= bounds[component]:
            component += 1
        if component < spheres:
            for i in range(directions):
                out[i, path] = (scales[component] - 1.0) * coordinates[i, path]
        else:
            mean, factor = means[component - spheres], factors[component - spheres]
            for i in range(directions):
                own[i] = coordinates[i, path]
            for i in range(directions):
                moved = mean[i] - own[i]
                for j in range(i + 1):
                    moved = fma(factor[i, j], own[j], moved)
                out[i, path] = moved


@kernel
def _weigh(flat, spread, peaks, inverses, centres, coordinates, out):
    r"""Density ratios of coarse coordinates [direction, path]: out[0] the standard normal law's, out[1] that of the mixture's own part.

    With y the coordinates, a sphere's density over the standard one is flat[sphere] e^(spread[sphere] |y|^2), another component's
    peaks[component] e^(|y|^2/2 - |inverse y - centre|^2/2).
    """
    directions = coordinates.shape[0]
    halves, squares, parts, own, others = np.empty((5, _CHUNK))
    begin = 0
    while begin < coordinates.shape[1]:
        width = min(_CHUNK, coordinates.shape[1] - begin)
        halves[:] = 0.0
        for i in range(directions):
            y = coordinates[i, begin : begin + width]
            for path in range(width):
                halves[path] = fma(0.5 * y[path], y[path], halves[path])
        own[:], others[:] = 0.0, 0.0
        for sphere in range(flat.shape[0]):
            factor, rate = flat[sphere], 2.0 * spread[sphere]
            for path in range(width):
                x = rate * halves[path]
                others[path] += factor * exp(_LARGEST_EXPONENT if x > _LARGEST_EXPONENT else x)
        for component in range(peaks.shape[0]):
            squares[:] = 0.0
            for i in range(directions):
                parts[:] = -centres[component, i]
                for j in range(i + 1):
                    factor, y = inverses[component, i, j], coordinates[j, begin : begin + width]
                    for path in range(width):
                        parts[path] = fma(factor, y[path], parts[path])
                for path in range(width):
                    squares[path] = fma(parts[path], parts[path], squares[path])
            factor = peaks[component]
            for path in range(width):
                x = fma(-0.5, squares[path], halves[path])
                own[path] += factor * exp(_LARGEST_EXPONENT if x > _LARGEST_EXPONENT else x)
        weight, share = out[0, begin : begin + width], out[1, begin : begin + width]
        for path in range(width):
            total = own[path] + others[path]
            weight[path] = 1.0 / total
            share[path] = own[path] / total
        begin += width


@kernel
def _residual(segment, scale, first, ends, share, variance, normals, coordinates, out):
    """What coarse coordinates do not see of the normals of a contract's intervals, out[3, path], for one driver.

    An interval's normal is the sum of share[point] times the normals of its points, up to ends[interval]; r is what is left of it
    less its mean given the coordinates. out is r of the first interval, that mean, and the sum of r^2 less ``variance`` over all.
    """
    residual, seen = np.zeros(normals.shape[1]), np.zeros(normals.shape[1])
    out[2] = -variance
    interval = 0
    for point in range(ends[-1]):
        z, y, weight, factor = normals[point], coordinates[first + segment[point]], share[point], share[point] * scale[point]
        for path in range(z.size):
            mean = factor * y[path]
            seen[path] += mean
            residual[path] += weight * z[path] - mean
        if point + 1 == ends[interval]:
            if interval == 0:
                copy(residual, out[0])
                copy(seen, out[1])
            squares = out[2]
            for path in range(z.size):
                squares[path] = fma(residual[path], residual[path], squares[path])
            residual[:], seen[:] = 0.0, 0.0
            interval += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    r"""A mixture of normal laws: :math:`\sum_k a_k N(0, s_k^2 I) + \sum_j b_j N(m_j, L_j L_j^\top)`, the shares adding up to one.

    Attributes
    ----------
    spheres : tuple of (float, float)
        Shares and scales :math:`(a_k, s_k)` of the spherical components around zero.
    shares : tuple of float
        :math:`b_j`.
    means : tuple [component][direction]
    factors : tuple [component][direction][direction]
        :math:`L_j`, lower triangular with a positive diagonal.
    """

    spheres: tuple[tuple[float, float], ...] = ((1.0, 1.0),)
    shares: tuple[float, ...] = ()
    means: tuple[tuple[float, ...], ...] = ()
    factors: tuple[tuple[tuple[float, ...], ...], ...] = ()

    def __post_init__(self) -> None:
        shares = (*(share for share, _ in self.spheres), *self.shares)
        if not all(share > 0.0 for share in shares) or abs(sum(shares) - 1.0) > 1e-9:
            raise InvalidInput("shares", shares, "must be positive and add up to one")
        if not all(scale > 0.0 for _, scale in self.spheres):
            raise InvalidInput("spheres", self.spheres, "must have positive scales")
        if not all(factor[i][i] > 0.0 for factor in self.factors for i in range(len(factor))):
            raise InvalidInput("factors", self.factors, "must have positive diagonals")

    def weigh(self, coordinates: FloatArray, out: FloatArray) -> None:
        """Fill out [2, path] for coordinates [direction, path] drawn from this mixture.

        First the standard normal density over the mixture's, then the part of the mixture's density that its general components have.
        """
        tables = _tables(self, len(coordinates))
        _weigh(tables.flat, tables.spread, tables.peaks, tables.inverses, tables.centres, coordinates, out)


class _Tables(NamedTuple):
    """A mixture as the kernels read it."""

    bounds: FloatArray
    scales: FloatArray
    means: FloatArray
    factors: FloatArray
    flat: FloatArray
    spread: FloatArray
    peaks: FloatArray
    inverses: FloatArray
    centres: FloatArray


@lru_cache(maxsize=64)
def _tables(mixture: Mixture, directions: int) -> _Tables:
    count = len(mixture.shares)
    part, scales = np.array(mixture.spheres, dtype=float).reshape(-1, 2).T.copy()
    means = np.array(mixture.means, dtype=float).reshape(count, directions)
    factors = np.array(mixture.factors, dtype=float).reshape(count, directions, directions)
    inverses = np.array([_inverse(factor) for factor in factors]).reshape(factors.shape)
    volumes = np.array([math.prod(factor.diagonal().tolist()) for factor in factors])
    return _Tables(
        bounds=np.cumsum([*part, *mixture.shares]),
        scales=scales,
        means=means,
        factors=factors,
        flat=part * scales ** -float(directions),
        spread=0.5 * (1.0 - scales**-2.0),
        peaks=np.array(mixture.shares) / volumes,
        inverses=inverses,
        centres=np.einsum("kij,kj->ki", inverses, means),
    )


def _inverse(factor: FloatArray) -> FloatArray:
    """Of a lower triangular matrix, by forward substitution."""
    found = np.zeros_like(factor)
    for i in range(len(factor)):
        found[i] = -(factor[i, :i] @ found[:i]) / factor[i, i]
        found[i, i] = 1.0 / factor[i, i]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Tilted(Sampling):
    r"""Normals whose coarse coordinates are drawn from a mixture, for importance sampling: :math:`z = e + B\,(y - B^\top e)`.

    e are the normals of another sampling, the columns of B are orthonormal, one for each segment of the time grid and driver (its
    Brownian increment over its deviation), and y comes from the mixture: with the component chosen by a uniform of the path's own
    address, :math:`y = m + L\,B^\top e`. What B does not see stays as it was. A mean over such paths counts each with its weight, the
    standard normal density of y over the mixture's: `weigh`.

    Attributes
    ----------
    mixture : Mixture
        In `directions` dimensions; all segments of the first driver come first.
    ends : tuple of int
        Grid points up to the end of each segment, increasing. Normals of later points stay as they were.
    dates : tuple of int
        Grid points up to each of the contract's dates; the last is that of the last segment.
    factors : int
        Drivers of the model.
    base : Sampling
        Where e comes from.
    """

    mixture: Mixture
    ends: tuple[int, ...]
    dates: tuple[int, ...]
    factors: int = 1
    base: Sampling = field(default_factory=PseudoRandom)

    @property
    def directions(self) -> int:
        """Coarse coordinates: segments times drivers."""
        return len(self.ends) * self.factors

    def check(self, paths: int) -> None:
        """A plan has no use for it: its averages would not weigh the paths."""
        raise InvalidInput("sampling", self, "must leave paths their nominal law; ask for ImportanceSampling() as the estimator")

    @property
    def greatest(self) -> float:
        """See `Sampling.greatest`."""
        tables = _tables(self.mixture, self.directions)
        spread = self.base.greatest * math.sqrt(self.directions)
        lengths = [math.hypot(*mean) + spread * math.sqrt((f * f).sum()) for mean, f in zip(tables.means, tables.factors, strict=True)]
        return self.base.greatest + max([*lengths, *(spread * tables.scales)])

    def normals(self, address: Address, out: FloatArray) -> None:
        """See `Sampling.normals`; `draw` makes all drivers' at once."""
        drawn = [empty(out.shape) for _ in range(address.factors)]
        self.draw(address, drawn)
        out[:] = drawn[address.factor]

    def draw(self, address: Address, outs: Sequence[FloatArray]) -> None:
        """Fill out[point, path] for each driver."""
        for factor, out in enumerate(outs):
            self.base.normals(address.of(factor), out)
        coordinates = self.coordinates(address.lattice, outs)
        tables = _tables(self.mixture, self.directions)
        one = empty((1, address.lanes // self.base.group))
        uniforms(one, *address.key, address.first, 0, address.factors)  # of no driver's: theirs are the numbers below
        moves = empty(coordinates.shape)
        chosen = np.tile(one[0], self.base.group)  # paths that depend on each other have one component
        _moves(chosen, tables.bounds, tables.scales, tables.means, tables.factors, coordinates, moves)
        segment, scale = _segments(address.lattice, self.ends)
        for factor, out in enumerate(outs):
            _move(segment, scale, factor * len(self.ends), moves, out)

    def coordinates(self, lattice: tuple[float, ...], normals: Sequence[FloatArray]) -> FloatArray:
        """Coarse coordinates [direction, path] of the drivers' normals [point, path]."""
        segment, scale = _segments(lattice, self.ends)
        out = empty((self.directions, normals[0].shape[1]))
        out[:] = 0.0
        for factor, drawn in enumerate(normals):
            _project(segment, scale, factor * len(self.ends), drawn, out)
        return out

    @property
    def rows(self) -> int:
        """What `weigh` gives for each path."""
        return 2 + (3 * self.factors if len(self.dates) > len(self.ends) else 0)

    def weigh(self, lattice: tuple[float, ...], normals: Sequence[FloatArray]) -> FloatArray:
        """What each path of all drivers' normals counts for, [row, path].

        The first two rows are those of `Mixture.weigh`. Where there are more dates than segments, three for each driver follow, of the
        normals of the intervals between dates: for the first interval what the coordinates do not see of it, and its mean given
        the coordinates; and the sum of squares of what they do not see over all intervals, less its mean. What they do not see is
        independent of the coordinates and normal, whatever the mixture.
        """
        coordinates = self.coordinates(lattice, normals)
        out = empty((self.rows, coordinates.shape[1]))
        self.mixture.weigh(coordinates, out)
        if self.rows > 2:
            segment, scale = _segments(lattice, self.ends)
            ends, share, variance = _intervals(lattice, self.ends, self.dates)
            for factor, drawn in enumerate(normals):
                first, rows = factor * len(self.ends), out[2 + 3 * factor : 5 + 3 * factor]
                _residual(segment, scale, first, ends, share, variance.sum(), drawn, coordinates, rows)
        return out

    def unseen(self, lattice: tuple[float, ...]) -> float:
        """Variance of what the coordinates do not see of the first interval's normal."""
        return float(_intervals(lattice, self.ends, self.dates)[2][0])


@lru_cache(maxsize=64)
def _intervals(
    lattice: tuple[float, ...], ends: tuple[int, ...], dates: tuple[int, ...]
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Ends of the intervals between dates, each grid point's coefficient in its interval's normal, and the unseen variances [interval]."""
    segment, scale = _segments(lattice, ends)
    own, share = _segments(lattice, dates)
    seen = np.zeros((len(dates), len(ends)))
    np.add.at(seen, (own, segment), share * scale)
    return np.array(dates), share, 1.0 - (seen * seen).sum(axis=1)


@lru_cache(maxsize=64)
def _segments(lattice: tuple[float, ...], ends: tuple[int, ...]) -> tuple[IntArray, FloatArray]:
    """The segment of each grid point up to the last end, and its normal's coefficient in the segment's coordinate."""
    interval = np.diff(np.array(lattice[: ends[-1]]), prepend=0.0)
    segment = np.searchsorted(np.array(ends), np.arange(ends[-1]), side="right")
    return segment, np.sqrt(interval / np.bincount(segment, interval)[segment])
