"""The only loop over blocks of paths."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import starmap

import numpy as np
import numpy.typing as npt

from pricers.engine.estimate import Moments
from pricers.engine.moments import comoments, pool
from pricers.engine.path_plan import Asked, BlockPaths, plans_by_law
from pricers.engine.plan import Plan
from pricers.errors import InvalidInput
from pricers.numerics.workspace import Space, empty, enter, lent
from pricers.random_numbers.path_block import Block
from pricers.random_numbers.philox import PATHS
from pricers.random_numbers.sampling import ATOM

__all__ = ["Sampler", "simulate"]

FloatArray = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]

_MOST_PATHS, _LEAST_PATHS = 16384, 256
"""Paths of a block: enough that Python's part of a block is small beside the kernels' (measured: a book's report takes 3.1 s of
processor with 256 paths, 1.4 s with 2048, 1.2 s with 4096); models with several drivers keep far more for each path and take fewer."""

_FEW_SAMPLERS = 8
"""Up to so many Python's part of a block is small, and models with several drivers take blocks that stay in a cache (and are kept from
one run to the next)."""

_FEW_POINTS = 4
"""Up to so many a path takes so little that blocks have four times as many (measured, one date: 10.4 ns per path for 13.5)."""

_MANY = 4
"""From so many blocks for each thread on, the last ones are shorter."""

_MOST_VALUES = 2**21
"""Normals of a block and driver, at most: what bounds memory for very long time grids."""


class Sampler(ABC):
    """Whatever turns a block of random numbers into rows with one number per path.

    Attributes
    ----------
    stream : str
        Name that the random numbers are keyed by. Samplers of one stream, time grid and number of factors share blocks.
    time_grid : tuple of float
        Times at which random numbers are drawn.
    shape : tuple of int
        (groups, rows): joint moments are kept between the rows of a group.
    asked : tuple of Asked
        The views of models' paths that it takes, and what of them.
    factors : int
        Drivers of the model.
    """

    stream: str
    time_grid: tuple[float, ...]
    shape: tuple[int, int]
    asked: tuple[Asked, ...] = ()
    factors: int = 1

    @abstractmethod
    def sample(self, paths: BlockPaths, out: FloatArray) -> None:
        """Fill ``out[group, row, path]`` from a block of paths."""


class _Accumulator:
    """Moments of one sampler, atom after atom in the order of the paths: no block size or thread count can change them."""

    def __init__(self, shape: tuple[int, int], plan: Plan):
        groups, rows = shape
        self._plan, self._counts, self._samples, self._atom = plan, np.zeros(plan.sections), plan.samples, plan.atom
        self._layout = plan.atom, plan.atoms_per_batch, plan.batches_per_section
        self._mean, self._comoment = np.zeros((groups, plan.sections, rows)), np.zeros((groups, plan.sections, rows, rows))
        self._batch_means, self._batch_counts = np.zeros((plan.batches, groups, rows)), np.zeros(plan.batches)

    def add(self, first: int, means: FloatArray, comoments: FloatArray) -> None:
        starts = first + self._atom * np.arange(means.shape[1])
        sizes = np.minimum(self._atom, self._samples - starts).astype(float)
        totals = self._counts, self._mean, self._comoment, self._batch_means, self._batch_counts
        pool(first, *self._layout, sizes, means, comoments, *totals)

    def moments(self) -> list[Moments]:
        return [
            Moments(
                counts=self._counts,
                mean=self._mean[group],
                comoment=self._comoment[group],
                batch_means=self._batch_means[:, group],
                batch_counts=self._batch_counts,
                batches_per_section=self._plan.batches_per_section,
                independent=self._plan.sampling.independent,
            )
            for group in range(len(self._mean))
        ]


_Part = tuple[FloatArray, FloatArray] | Exception
_Done = tuple[int, int, dict[int, _Part]]
"""A block's first path, how many of its paths count, and the moments of each sampler."""


def simulate(
    samplers: Sequence[Sampler],
    plan: Plan,
    *,
    threads: int | None = None,
    keep_going: bool = False,
    progress: Progress | None = None,
    n_paths: int | None = None,
) -> list[list[Moments] | Exception]:
    """Joint moments of every sampler's rows over the plan's paths.

    Memory is bounded by the block, not by the number of paths. The result has the same bits whatever the threads, the paths in a
    block and the other samplers.

    Parameters
    ----------
    samplers : sequence of Sampler
    plan : Plan
    threads : int, optional
        Blocks in flight; all processors by default.
    keep_going : bool
        Whether a sampler that fails is reported in its place, rather than ending the run.
    progress : callable, optional
        Called with (paths done, paths in all) after each block.
    n_paths : int, optional
        Paths in a block, a multiple of `ATOM`; chosen from the time grids by default.

    Returns
    -------
    list
        For each sampler the moments of each of its groups, or the exception that stopped it.
    """
    workers = threads if threads is not None else os.cpu_count() or 1
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise InvalidInput("threads", threads, "must be a whole number of at least 1")
    n_paths = plan.sampling.n_paths(min(n_paths or _n_paths(samplers), -(-plan.samples // ATOM) * ATOM), plan.paths)
    blocks = _blocks(plan.samples, n_paths, workers)
    workers = min(workers, -(-plan.samples // n_paths))
    families: dict[tuple[str, tuple[float, ...], int], list[int]] = {}  # points in more dimensions are others (Sobol's)
    for position, sampler in enumerate(samplers):
        families.setdefault((sampler.stream, sampler.time_grid, sampler.factors), []).append(position)
    plans = {
        family: plans_by_law(asked for position in positions for asked in samplers[position].asked)
        for family, positions in families.items()
    }
    failed: dict[int, Exception] = {}
    atom, samples = plan.atom, plan.samples

    def run(first: int, n_paths: int) -> _Done:
        valid, parts = min(n_paths, samples - first), {}
        for family, positions in families.items():
            stream, time_grid, factors = family
            block = Block(
                seed=plan.seed,
                stream=stream,
                time_grid=time_grid,
                first=first,
                n_paths=n_paths * plan.sampling.group,
                paths=plan.paths,
                sampling=plan.sampling,
                factors=factors,
            )
            paths = BlockPaths(block, plans[family])
            for position in positions:
                if position not in failed:
                    parts[position] = _part(samplers[position], paths, plan.sampling.group, atom, valid, keep_going)
            block.forget()
        return first, valid, parts

    pools = [_Accumulator(sampler.shape, plan) for sampler in samplers]
    for first, valid, parts in _in_order(run, blocks, workers):
        for position, part in parts.items():
            if isinstance(part, Exception):
                failed.setdefault(position, part)
            else:
                pools[position].add(first, *part)
        if progress is not None:
            progress((first + valid) * plan.sampling.group, plan.paths)
    return [failed[p] if p in failed else pool.moments() for p, pool in enumerate(pools)]


def _part(sampler: Sampler, paths: BlockPaths, group: int, atom: int, valid: int, keep_going: bool) -> _Part:
    groups, rows = sampler.shape
    out = empty((groups, rows, paths.block.n_paths))
    try:
        with np.errstate(all="ignore"):  # what is not finite is reported as such, by the estimate
            sampler.sample(paths, out)
    except Exception as error:
        if not keep_going:
            raise
        return error
    if group > 1:
        out = out.reshape(groups, rows, group, -1).mean(axis=2)
    atoms = -(-valid // atom)
    means, products = np.empty((groups, atoms, rows)), np.empty((groups, atoms, rows, rows))
    comoments(np.ascontiguousarray(out[:, :, :valid]), means, products, atom)
    return means, products


def _n_paths(samplers: Sequence[Sampler]) -> int:
    longest = max((len(sampler.time_grid) for sampler in samplers), default=1)
    kept = max((sampler.factors for sampler in samplers), default=1) ** 2
    most = (4 * _MOST_PATHS if longest <= _FEW_POINTS else _MOST_PATHS) // kept
    values = _MOST_VALUES // kept if len(samplers) <= _FEW_SAMPLERS else _MOST_VALUES
    return min(max(values // longest, _LEAST_PATHS), most) // PATHS * PATHS


def _blocks(samples: int, n_paths: int, workers: int) -> Iterator[tuple[int, int]]:
    """First paths and paths of blocks, one after another: there may be more of them than memory holds.

    Of several threads' last ones a quarter each, so that no thread waits long for another's end.
    """
    count = -(-samples // n_paths)
    whole = count if workers == 1 or count < _MANY * workers or n_paths % (4 * ATOM) else count - workers
    yield from ((block * n_paths, n_paths) for block in range(whole))
    yield from ((first, n_paths // 4) for first in range(whole * n_paths, samples, max(n_paths // 4, 1)))


def _in_order(run: Callable[[int, int], _Done], blocks: Iterator[tuple[int, int]], workers: int) -> Iterator[_Done]:
    """The results of ``run`` in the order of ``blocks``, a few of them ahead in threads."""
    if workers == 1:
        with lent(1) as (space,):
            own = enter(space)
            try:
                yield from starmap(run, blocks)
            finally:
                enter(own)
        return
    with lent(workers) as spaces, _threads(spaces) as pool:
        ahead: deque[Future[_Done]] = deque()
        try:
            for block in blocks:
                ahead.append(pool.submit(run, *block))
                if len(ahead) > 2 * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def _threads(spaces: list[Space]) -> ThreadPoolExecutor:
    """A thread for each space."""
    left = iter(spaces)
    return ThreadPoolExecutor(len(spaces), thread_name_prefix="greeks", initializer=lambda: enter(next(left)))
