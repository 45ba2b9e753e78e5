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
from pricers.numerics.elementary import exp, fma
from pricers.numerics.kernel import kernel
from pricers.numerics.rows import copy
from pricers.numerics.workspace import empty
from pricers.random_numbers.philox import uniforms
from pricers.random_numbers.pseudo_random import PseudoRandom
from pricers.random_numbers.sampling import Address, Sampling

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
def _still(segment, scale, points, coordinates, normals):
    """Leave of normals[point, path] before ``points`` no more than their coarse coordinates say."""
    for point in range(points):
        z, factor, y = normals[point], scale[point], coordinates[segment[point]]
        for path in range(z.size):
            z[path] = factor * y[path]


@kernel
def _moves(uniform, bounds, scales, copies, means, columns, coordinates, out):
    """How far coarse coordinates [direction, path], standard normal, move to those of a mixture.

    A path's component is the first whose bound [component] is above its uniform. The first are spheres around zero of the given scales;
    then each copy (share, mean's factor, deviation's factor) has one for each of the means [component, direction], with columns
    [component, direction, direction] the transposed lower triangular factors of the covariances.
    """
    directions, spheres, count = coordinates.shape[0], scales.shape[0], means.shape[0]
    moved = np.empty(directions)
    for path in range(coordinates.shape[1]):
        component = 0
        while component + 1 < bounds.shape[0] and uniform[path] >= bounds[component]:
            component += 1
        if component < spheres:
            for i in range(directions):
                out[i, path] = (scales[component] - 1.0) * coordinates[i, path]
        else:
            number = component - spheres
            copy_of, k = copies[number // count], number % count
            for i in range(directions):
                moved[i] = copy_of[1] * means[k, i] - coordinates[i, path]
            for j in range(directions):
                x, column = copy_of[2] * coordinates[j, path], columns[k, j]
                for i in range(j, directions):
                    moved[i] = fma(column[i], x, moved[i])
            for i in range(directions):
                out[i, path] = moved[i]


@kernel
def _weigh(flat, spread, copies, peaks, inverses, centres, coordinates, out):
    r"""Density ratios of coarse coordinates [direction, path]: out[0] the standard normal law's, out[1] that of the mixture's own part.

    With y the coordinates, a sphere's density over the standard one is flat[sphere] e^(spread[sphere] |y|^2), that of a component's copy
    peaks[copy, component] e^(|y|^2/2 - |inverse y / b - a centre / b|^2 / 2), a and b the factors of the copy's mean and deviation.
    """
    directions = coordinates.shape[0]
    halves, parts, own, others = np.empty((4, _CHUNK))
    squares = np.empty((copies.shape[0], _CHUNK))
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
        for component in range(peaks.shape[1]):
            squares[:] = 0.0
            for i in range(directions):
                parts[:] = 0.0
                for j in range(i + 1):
                    factor, y = inverses[component, i, j], coordinates[j, begin : begin + width]
                    for path in range(width):
                        parts[path] = fma(factor, y[path], parts[path])
                for number in range(copies.shape[0]):
                    square = squares[number]
                    scale, centre = 1.0 / copies[number, 2], copies[number, 1] / copies[number, 2] * centres[component, i]
                    for path in range(width):
                        x = fma(scale, parts[path], -centre)
                        square[path] = fma(x, x, square[path])
            for number in range(copies.shape[0]):
                square, factor = squares[number], peaks[number, component]
                for path in range(width):
                    x = fma(-0.5, square[path], halves[path])
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


@kernel
def _split(segment, scale, ends, share, normals, coordinates, residual, seen):
    """What coarse coordinates do not see of the normals of intervals, and what they see, [interval, path]: see `_residual`."""
    interval = 0
    residual[:], seen[:] = 0.0, 0.0
    for point in range(ends[-1]):
        z, y, weight, factor = normals[point], coordinates[segment[point]], share[point], share[point] * scale[point]
        left, mean = residual[interval], seen[interval]
        for path in range(z.size):
            x = factor * y[path]
            mean[path] += x
            left[path] += weight * z[path] - x
        if point + 1 == ends[interval]:
            interval += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    r"""A mixture of normal laws: :math:`\sum_s \alpha_s N(0, c_s^2 I) + \sum_k \beta_k \sum_j w_j N(a_k m_j, b_k^2 L_j L_j^\top)`.

    Attributes
    ----------
    spheres : tuple of (float, float)
        Shares and scales :math:`(\alpha_s, c_s)` of the spherical components around zero.
    copies : tuple of (float, float, float)
        :math:`(\beta_k, a_k, b_k)`: shares of the copies of all other components, with factors of their means and deviations. With the
        spheres' shares they add up to one.
    shares : tuple of float
        :math:`w_j`, which add up to one, where there are any.
    means : tuple [component][direction]
        :math:`m_j`.
    factors : tuple [component][direction][direction]
        :math:`L_j`, lower triangular with a positive diagonal.
    """

    spheres: tuple[tuple[float, float], ...] = ((1.0, 1.0),)
    copies: tuple[tuple[float, float, float], ...] = ()
    shares: tuple[float, ...] = ()
    means: tuple[tuple[float, ...], ...] = ()
    factors: tuple[tuple[tuple[float, ...], ...], ...] = ()

    def __post_init__(self) -> None:
        parts = (*(sphere[0] for sphere in self.spheres), *(copy[0] for copy in self.copies))
        for name, shares in (("spheres and copies", parts), ("shares", self.shares)):
            if not all(share > 0.0 for share in shares) or (shares and abs(sum(shares) - 1.0) > 1e-9):
                raise InvalidInput(name, shares, "must have positive shares that add up to one")
        if bool(self.copies) != bool(self.shares) or not len(self.shares) == len(self.means) == len(self.factors):
            raise InvalidInput("shares", self.shares, "must be as many as means and factors, and have copies")
        deviations = (*(scale for _, scale in self.spheres), *(copy[2] for copy in self.copies))
        if not all(scale > 0.0 for scale in deviations):
            raise InvalidInput("spheres and copies", deviations, "must have positive deviations")
        if not all(factor[i][i] > 0.0 for factor in self.factors for i in range(len(factor))):
            raise InvalidInput("factors", self.factors, "must have positive diagonals")

    @property
    def own(self) -> float:
        """Share of all components that are no spheres."""
        return sum(copy[0] for copy in self.copies)

    def weigh(self, coordinates: FloatArray, out: FloatArray) -> None:
        """Fill out [2, path] for coordinates [direction, path] drawn from this mixture.

        First the standard normal density over the mixture's, then the part of the mixture's density that no sphere has.
        """
        t = _tables(self, len(coordinates))
        _weigh(t.flat, t.spread, t.copies, t.peaks, t.inverses, t.centres, coordinates, out)


class _Tables(NamedTuple):
    """A mixture as the kernels read it."""

    bounds: FloatArray
    scales: FloatArray
    copies: FloatArray
    means: FloatArray
    columns: FloatArray
    flat: FloatArray
    spread: FloatArray
    peaks: FloatArray
    inverses: FloatArray
    centres: FloatArray


@lru_cache(maxsize=64)
def _tables(mixture: Mixture, directions: int) -> _Tables:
    count = len(mixture.shares)
    part, scales = np.array(mixture.spheres, dtype=float).reshape(-1, 2).T.copy()
    copies = np.array(mixture.copies, dtype=float).reshape(-1, 3)
    means = np.array(mixture.means, dtype=float).reshape(count, directions)
    factors = np.array(mixture.factors, dtype=float).reshape(count, directions, directions)
    inverses = np.array([_inverse(factor) for factor in factors]).reshape(factors.shape)
    volumes = np.array([math.prod(factor.diagonal().tolist()) for factor in factors])
    shares = np.outer(copies[:, 0], mixture.shares)
    return _Tables(
        bounds=np.cumsum([*part, *shares.ravel()]),
        scales=scales,
        copies=copies,
        means=means,
        columns=np.ascontiguousarray(factors.transpose(0, 2, 1)),
        flat=part * scales ** -float(directions),
        spread=0.5 * (1.0 - scales**-2.0),
        peaks=shares / volumes / copies[:, 2:] ** directions,
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
    still : int
        Grid points from the first on, the end of a segment or 0, at which normals of the first driver are what their coordinates say
        of them and no more: their means given the coordinates.
    """

    mixture: Mixture
    ends: tuple[int, ...]
    dates: tuple[int, ...]
    factors: int = 1
    base: Sampling = field(default_factory=PseudoRandom)
    still: int = 0

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
        tables, root = _tables(self.mixture, self.directions), math.sqrt(self.directions)
        reach = self.base.greatest * root
        means, roots = np.abs(tables.means).sum(axis=1), np.sqrt((tables.columns**2).sum(axis=(1, 2)))
        furthest = [a * m + b * r * reach for _, a, b in tables.copies.tolist() for m, r in zip(means, roots, strict=True)]
        return float(self.base.greatest + max([*furthest, *(reach * tables.scales)]))

    def normals(self, address: Address, out: FloatArray) -> None:
        """See `Sampling.normals`; `draw` makes all drivers' at once."""
        drawn = [empty(out.shape) for _ in range(address.factors)]
        self.draw(address, drawn)
        out[:] = drawn[address.factor]

    def draw(self, address: Address, outs: Sequence[FloatArray]) -> FloatArray:
        """Fill out[point, path] for each driver, and return the coarse coordinates [direction, path]."""
        for factor, out in enumerate(outs):
            self.base.normals(address.of(factor), out)
        segment, scale = _segments(address.time_grid, self.ends)
        coordinates, moves = empty((2, self.directions, address.n_paths))
        coordinates[:] = 0.0
        for factor, drawn in enumerate(outs):
            _project(segment, scale, factor * len(self.ends), drawn, coordinates)
        t = _tables(self.mixture, self.directions)
        uniform = empty((1, address.n_paths // self.base.group))
        uniforms(uniform, *address.key, address.first, 0, address.factors)  # a stream that no driver has
        chosen = np.tile(uniform[0], self.base.group)  # paths that depend on each other have one component
        _moves(chosen, t.bounds, t.scales, t.copies, t.means, t.columns, coordinates, moves)
        for factor, out in enumerate(outs):
            _move(segment, scale, factor * len(self.ends), moves, out)
        coordinates += moves
        _still(segment, scale, self.still, coordinates, outs[0])
        return coordinates

    @property
    def rows(self) -> int:
        """What `weigh` gives for each path."""
        return 2 + (3 * self.factors if len(self.dates) > len(self.ends) else 0)

    def weigh(self, time_grid: tuple[float, ...], normals: Sequence[FloatArray], coordinates: FloatArray) -> FloatArray:
        """What each path counts for, [row, path], by all drivers' normals and its coarse coordinates as `draw` gives them.

        The first two rows are those of `Mixture.weigh`. Where there are more dates than segments, three for each driver follow, of the
        normals of the intervals between dates: for the first interval what the coordinates do not see of it, and its mean given
        the coordinates; and the sum of squares of what they do not see over all intervals, less its mean. What they do not see is
        independent of the coordinates and normal, whatever the mixture.
        """
        out = empty((self.rows, coordinates.shape[1]))
        self.mixture.weigh(coordinates, out)
        if self.rows > 2:
            segment, scale = _segments(time_grid, self.ends)
            ends, share, variance = _intervals(time_grid, self.ends, self.dates)
            for factor, drawn in enumerate(normals):
                first, rows = factor * len(self.ends), out[2 + 3 * factor : 5 + 3 * factor]
                _residual(segment, scale, first, ends, share, variance.sum(), drawn, coordinates, rows)
        return out

    def split(
        self, time_grid: tuple[float, ...], normals: FloatArray, coordinates: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """What the coordinates do not see of the first driver's normals of the intervals between dates, and what they see.

        Both are [interval, path]; the third is the variance of the former, [interval].
        """
        segment, scale = _segments(time_grid, self.ends)
        ends, share, variance = _intervals(time_grid, self.ends, self.dates)
        residual, seen = empty((2, len(ends), coordinates.shape[1]))
        _split(segment, scale, ends, share, normals, coordinates, residual, seen)
        return residual, seen, variance

    def unseen(self, time_grid: tuple[float, ...]) -> float:
        """Variance of what the coordinates do not see of the first interval's normal."""
        return float(_intervals(time_grid, self.ends, self.dates)[2][0])


@lru_cache(maxsize=64)
def _intervals(
    time_grid: tuple[float, ...], ends: tuple[int, ...], dates: tuple[int, ...]
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Ends of the intervals between dates, each grid point's coefficient in its interval's normal, and the unseen variances [interval]."""
    segment, scale = _segments(time_grid, ends)
    own, share = _segments(time_grid, dates)
    seen = np.zeros((len(dates), len(ends)))
    np.add.at(seen, (own, segment), share * scale)
    return np.array(dates), share, 1.0 - (seen * seen).sum(axis=1)


@lru_cache(maxsize=64)
def _segments(time_grid: tuple[float, ...], ends: tuple[int, ...]) -> tuple[IntArray, FloatArray]:
    """The segment of each grid point up to the last end, and its normal's coefficient in the segment's coordinate."""
    interval = np.diff(np.array(time_grid[: ends[-1]]), prepend=0.0)
    segment = np.searchsorted(np.array(ends), np.arange(ends[-1]), side="right")
    return segment, np.sqrt(interval / np.bincount(segment, interval)[segment])
