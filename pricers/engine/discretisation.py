r"""The bias of time steps, measured on the same Brownian paths.

A sampler's rows are made on its time grid (N points), on the grid with every second and on the one with every fourth point, each with the
contract's dates. The normals of a coarse step are :math:`(\sqrt{h_1} Z_1 + \sqrt{h_2} Z_2)/\sqrt{h_1 + h_2}`: standard normals again, so
that the coarse grid's numbers have the mean that they would have on their own. The larger of :math:`|f_N - f_{N/2}|` and
:math:`|f_{N/2} - f_{N/4}|` bounds the bias of :math:`f_N` (measured against Fourier inversion over strikes and parameters: in 95 to 99 of
100 cells; one difference alone may pass through zero where the bias does not).

A step from one date of the contract to the next, which nothing divides, is the same on all three grids: its bias is not measured. Where
dates are that near to each other a model's own rule asks for fewer points than there are dates, but near zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pricers.engine.estimate import Moments
from pricers.engine.path_plan import Asked, BlockPaths, PathPlan, plans_by_law
from pricers.engine.plan import Plan
from pricers.engine.simulation import Sampler, simulate
from pricers.numerics.kernel import kernel
from pricers.numerics.workspace import empty
from pricers.random_numbers.path_block import Block, Blocks, ObservationDates, increments
from pricers.random_numbers.sampling import Address, Sampling
from pricers.random_numbers.tilted import Tilted

__all__ = ["Discretised", "coarser", "halvings", "largest", "remark", "share", "unmeasured"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_ONE_HALVING = "the bias of the time steps rests on one halving of few steps"

_PART = 1.0 / 3.0
"""What measuring a contract's bias may cost, as a part of what its paths cost."""

_LEFT, _DENSE_PART = 0.6, 0.1
"""The same where more than such a part of the points is left on the grid with half of them."""

_UNMEASURED = "the bias of the time steps is not measured: every one ends at a date of the contract"

_FEWEST = 2**10
"""Paths that a bias is measured on, at least (or all of the plan's)."""

_PATHS, _FEW = 2**10, 8
"""Paths of a block where there are more than so many samplers, whose coarse grids are kept beside the fine one."""

_KEPT = 6
"""Coarse blocks kept for one fine block: the grids of contracts with one date, shared by all of them."""


class Discretised(Sampler):
    """A sampler whose paths can be taken from any time grid with its observation dates."""

    dates: ObservationDates


def coarser(points: int, dates: IntArray, by: int) -> IntArray:
    """Which points of a time grid are left when ``by`` steps are made one, counted back from each date.

    What is left over at an interval's beginning, half a group or less, goes with the next one. After the last of several dates there are
    no points; one date alone is followed by steps of ``by`` again, so that contracts with one date share few grids.
    """
    kept: list[int] = []
    before = -1
    for date in dates.tolist():
        inside = range(date, before, -by)
        kept.extend(k for k in reversed(inside) if k == date or 2 * (k - before) > by)
        before = date
    if len(dates) == 1:
        kept.extend(range(before + by, points, by))
    return np.array(kept)


def share(sampler: Discretised) -> int:
    """One in how many paths the bias is measured on: it takes all three grids, and is to cost a third of the run at most.

    It costs a tenth where the dates leave few points out: most steps of such grids are the same, and their differences have little noise.
    """
    points, dates = len(sampler.time_grid), sampler.dates.index
    counts = [len(coarser(points, dates, by)) for by in (1, 2, 4)]
    part = _PART if counts[1] < _LEFT * points else _DENSE_PART
    return math.ceil(sum(counts) / (part * points))


def halvings(
    samplers: Sequence[Discretised], plan: Plan, parts: int, *, threads: int | None = None
) -> list[tuple[list[Moments], ...] | Exception]:
    """Moments of how every sampler's rows differ between its time grid, the one with half and the one with a quarter of the points.

    They are taken over the first of ``parts`` parts of the plan's paths.

    Returns
    -------
    list
        For each sampler the moments of its groups, once for each halving that its dates leave room for; or what stopped it.
    """
    small = replace(plan, paths=_paths(plan, parts), stderr=None)
    grids = _Grids(samplers)
    pairs = [_Halvings(sampler, grids.of(sampler)) for sampler in samplers]
    able = [pair for pair in pairs if pair.levels]
    grids.plan(able)
    n_paths = _PATHS if len(able) > _FEW else None
    found = iter(simulate(able, small, threads=threads, keep_going=True, n_paths=n_paths))
    return [pair.split(next(found)) if pair.levels else () for pair in pairs]


def largest(levels: Sequence[tuple[Moments, FloatArray]]) -> tuple[float, float]:
    """The largest mean of the levels, given with the weights of their rows, and its standard error."""
    sizes = [(abs(moments.value(weights)), moments.stderr(weights)) for moments, weights in levels]
    return max(sizes, default=(0.0, 0.0))


def remark(levels: Sequence[object]) -> str:
    """What a note says of a bias that was measured by fewer than two halvings."""
    return (_UNMEASURED, _ONE_HALVING, "")[len(levels)]


def unmeasured(reason: Exception) -> str:
    """What a note says where a bias could not be measured."""
    return f"the bias of the time steps could not be measured: {reason}"


def _paths(plan: Plan, parts: int) -> int:
    wanted = max(plan.paths // parts, min(_FEWEST, plan.paths))
    fits = plan.sampling.fitting(wanted)
    return min(fits, plan.paths)


@kernel
def _merge(ends, weights, fine, out):
    """Normals of merged steps out[point, path]: the weighted sums of fine[grid point, path] up to the grid points ends[point]."""
    start = 0
    for point in range(ends.shape[0]):
        row = out[point]
        for path in range(fine.shape[1]):
            row[path] = weights[start] * fine[start, path]
        for grid_point in range(start + 1, ends[point] + 1):
            for path in range(fine.shape[1]):
                row[path] += weights[grid_point] * fine[grid_point, path]
        start = ends[point] + 1


class _Merged(Sampling):
    """Normals of a block on a finer grid, put together."""

    def __init__(self, fine: Block, grid: _Grid):
        self._fine, self._grid = fine, grid

    def normals(self, address: Address, out: FloatArray) -> None:
        """See `Sampling.normals`."""
        _merge(self._grid.ends, self._grid.weights, self._fine.normals(address.factor), out)


class _Grid:
    """A coarse grid that lies in a fine one, and the views of paths on it."""

    def __init__(self, time_grid: tuple[float, ...], ends: IntArray):
        self.ends = ends
        self.time_grid = tuple(time_grid[k] for k in ends.tolist())
        fine, coarse = increments(time_grid), increments(self.time_grid)
        groups = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=-1))
        self.weights = np.sqrt(fine[: len(groups)] / coarse[groups])
        self.plans: dict[Tilted | None, PathPlan] = {}
        self._observations: dict[bytes, ObservationDates] = {}

    def observation(self, dates: ObservationDates) -> ObservationDates:
        """The same dates on this grid, one object for all who ask."""
        key = dates.times.tobytes()
        if key not in self._observations:
            self._observations[key] = ObservationDates(tuple(dates.times.tolist()), self.time_grid)
        return self._observations[key]

    def plan(self, asked: Sequence[Asked]) -> None:
        """Take in what all samplers ask of this grid."""
        self.plans = plans_by_law(asked, self.observation)

    def paths(self, fine: BlockPaths) -> BlockPaths:
        """The fine block's paths on this grid."""
        return BlockPaths(self.block(fine.block), self.plans)

    def block(self, fine: Block) -> Block:
        """The fine block's paths on this grid; few are kept at a time."""
        kept = fine.once("coarse blocks", Blocks)
        if self in kept:
            kept.move_to_end(self)
            return kept[self]
        if len(kept) >= _KEPT:
            kept.popitem(last=False)[1].forget()
        kept[self] = made = Block(
            seed=0,
            stream="",
            time_grid=self.time_grid,
            first=fine.first,
            n_paths=fine.n_paths,
            sampling=_Merged(fine, self),
            factors=fine.factors,
            fine=fine,
            coarsened=self.block,
        )
        return made


class _Grids:
    """One object for all equal coarse grids of a run."""

    def __init__(self, samplers: Sequence[Discretised]):
        self._found: dict[tuple[str, tuple[float, ...], int, bytes], _Grid] = {}

    def of(self, sampler: Discretised) -> tuple[_Grid, ...]:
        """A sampler's coarse grids: with half and with a quarter of the points, as far as the dates leave any out."""
        found, points = list[_Grid](), len(sampler.time_grid)
        dates = sampler.dates.index
        before = int(dates[-1]) + 1
        for by in (2, 4):
            ends = coarser(points, dates, by)
            count = int(np.searchsorted(ends, dates[-1])) + 1
            if count == before:
                break
            key = sampler.stream, sampler.time_grid, sampler.factors, ends.tobytes()
            if key not in self._found:
                self._found[key] = _Grid(sampler.time_grid, ends)
            self._found[key].observation(sampler.dates)
            found.append(self._found[key])
            before = count
        return tuple(found)

    def plan(self, pairs: Sequence[_Halvings]) -> None:
        """Tell every grid what will be asked of it."""
        asked: dict[_Grid, list[Asked]] = {}
        for pair in pairs:
            for grid in pair.levels:
                asked.setdefault(grid, []).extend(pair.inner.asked)
        for grid in self._found.values():
            grid.plan(asked.get(grid, []))


class _Halvings(Sampler):
    """Differences of a sampler's rows between its grid and the next coarser one, one level after the other."""

    def __init__(self, inner: Discretised, levels: tuple[_Grid, ...]):
        self.inner, self.levels = inner, levels
        self.stream, self.time_grid, self.factors = inner.stream, inner.time_grid, inner.factors
        self.asked = inner.asked
        self.shape = len(levels) * inner.shape[0], inner.shape[1]

    def sample(self, paths: BlockPaths, out: FloatArray) -> None:
        """See `Sampler.sample`."""
        groups, rows = self.inner.shape
        made = empty((groups, rows, paths.block.n_paths))
        self.inner.sample(paths, made)
        for level, grid in enumerate(self.levels):
            coarse = empty(made.shape)
            self.inner.sample(grid.paths(paths), coarse)
            np.subtract(made, coarse, out=out[level * groups : (level + 1) * groups])
            made = coarse

    def split(self, found: list[Moments] | Exception) -> tuple[list[Moments], ...] | Exception:
        """The moments of each level's groups."""
        if isinstance(found, Exception):
            return found
        groups = self.inner.shape[0]
        return tuple(found[k : k + groups] for k in range(0, len(found), groups))
