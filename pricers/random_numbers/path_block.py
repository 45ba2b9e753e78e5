"""From an address to a normal: the random numbers of one block of paths."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pricers.numerics.kernel import kernel
from pricers.numerics.workspace import empty
from pricers.random_numbers.philox import stream_key
from pricers.random_numbers.pseudo_random import PseudoRandom
from pricers.random_numbers.sampling import Address, Sampling
from pricers.random_numbers.tilted import Tilted

__all__ = ["Block", "Blocks", "ObservationDates", "increments"]

FloatArray = npt.NDArray[np.float64]
T = TypeVar("T")


@kernel
def _accumulate(scale, normals, out):
    """Running sums over time of scale[time] * normals[time, path]."""
    for path in range(normals.shape[1]):
        out[0, path] = scale[0] * normals[0, path]
    for t in range(1, normals.shape[0]):
        for path in range(normals.shape[1]):
            out[t, path] = out[t - 1, path] + scale[t] * normals[t, path]


@kernel
def _increments(index, scale, walk, out):
    """Differences of walk[grid point, path] between the grid points index[time], over scale[time]."""
    inverse = 1.0 / scale[0]
    for path in range(walk.shape[1]):
        out[0, path] = walk[index[0], path] * inverse
    for t in range(1, index.shape[0]):
        inverse = 1.0 / scale[t]
        for path in range(walk.shape[1]):
            out[t, path] = (walk[index[t], path] - walk[index[t - 1], path]) * inverse


def increments(x: npt.ArrayLike) -> FloatArray:
    """From running sums to what was added each time, the first from nothing."""
    found = np.array(x, dtype=float)
    found[1:] -= found[:-1].copy()
    return found


class ObservationDates:
    """The dates a contract looks at, found among the grid points of a time grid.

    Attributes
    ----------
    times : ndarray [time]
        Years.
    index : ndarray [time]
        Where they stand in the time grid.
    intervals, root : ndarray [time]
        The intervals that end there, and their square roots.
    follows : ndarray [time]
        Whether a date is the very next grid point after the date before.
    whole : bool
        Whether they are the whole time grid.
    """

    __slots__ = ("follows", "index", "intervals", "root", "times", "whole")

    def __init__(self, times: tuple[float, ...], time_grid: tuple[float, ...]):
        self.times = np.array(times)
        self.intervals = increments(self.times)
        self.root = np.sqrt(self.intervals)
        grid_points = np.array(time_grid)
        self.index = np.searchsorted(grid_points, self.times)
        if self.index[-1] >= len(grid_points) or not np.array_equal(grid_points[self.index], self.times):
            raise ValueError("every date of a contract must be a grid point of the time grid it is simulated on")
        self.follows = np.diff(self.index, prepend=-1) == 1
        self.whole = len(grid_points) == len(times)


class Block:
    """Paths ``first`` to ``first + n_paths`` of one stream on one time grid, and whatever of them is worth keeping.

    Parameters
    ----------
    seed : int
        The plan's.
    stream : str
        The name that random numbers are keyed by: an underlying's, or "" for a contract on its own.
    time_grid : tuple of float
        Times in years at which random numbers are drawn, increasing. Grid point k has normals of its own, whatever lies after it.
    first, n_paths : int
        Address of the first path, and how many follow.
    paths : int
        Paths of the whole plan.
    sampling : Sampling
        Where normals come from.
    factors : int
        Drivers of the models on this time grid.
    fine, coarsened : Block and callable, optional
        Where these paths are those of a finer block on fewer grid points: that block, and how any block on its grid is made coarse.
    """

    __slots__ = (
        "_coarsened",
        "_fine",
        "_kept",
        "_latest",
        "_seed",
        "_stream",
        "_tilted",
        "_whole",
        "factors",
        "first",
        "key",
        "n_paths",
        "sampling",
        "time_grid",
    )

    def __init__(
        self,
        *,
        seed: int,
        stream: str,
        time_grid: tuple[float, ...],
        first: int,
        n_paths: int,
        paths: int = 0,
        sampling: Sampling = PseudoRandom(),  # noqa: B008
        factors: int = 1,
        fine: Block | None = None,
        coarsened: Callable[[Block], Block] | None = None,
    ):
        self._seed, self._stream = seed, stream
        self.key = stream_key(seed, stream)
        self.time_grid, self.first, self.n_paths = time_grid, first, n_paths
        self._whole, self.sampling, self.factors = paths, sampling, factors
        self._fine, self._coarsened = fine, coarsened
        self._tilted: Block | None = None
        self._kept: dict[Hashable, Any] = {}
        self._latest: dict[Hashable, Any] = {}

    def normals(self, factor: int = 0) -> FloatArray:
        """Standard normals [grid point, path] of one factor, independent over grid points, paths and factors."""
        if isinstance(self.sampling, Tilted):
            return self._tilted_draw()[0][factor]
        return self.once(("normals", factor), lambda: self._drawn(factor))

    def _drawn(self, factor: int) -> FloatArray:
        out = empty((len(self.time_grid), self.n_paths))
        self.sampling.normals(self._address(factor), out)
        return out

    def _tilted_draw(self) -> tuple[list[FloatArray], FloatArray]:
        """Normals of all factors and coarse coordinates, where they are from another law."""
        return self.once("tilted", self._drawn_together)

    def _drawn_together(self) -> tuple[list[FloatArray], FloatArray]:
        assert isinstance(self.sampling, Tilted)
        outs = [empty((len(self.time_grid), self.n_paths)) for _ in range(self.factors)]
        return outs, self.sampling.draw(self._address(0), outs)

    def coordinates(self) -> FloatArray:
        """The coarse coordinates [direction, path] that the normals were drawn with, where they are from another law: `Tilted.draw`."""
        return self._tilted_draw()[1]

    def _address(self, factor: int) -> Address:
        return Address(
            key=self.key,
            time_grid=self.time_grid,
            factor=factor,
            factors=self.factors,
            first=self.first,
            n_paths=self.n_paths,
            paths=self._whole,
        )

    def under(self, sampling: Tilted) -> Block:
        """The same paths, numbered alike, with normals from another law; this block keeps the last that was asked for."""
        if self._fine is not None and self._coarsened is not None:
            return self._coarsened(self._fine.under(sampling))
        if self._tilted is None or self._tilted.sampling != sampling:
            if self._tilted is not None:
                self._tilted.forget()
            self._tilted = Block(
                seed=self._seed,
                stream=self._stream,
                time_grid=self.time_grid,
                first=self.first,
                n_paths=self.n_paths,
                paths=self._whole,
                sampling=sampling,
                factors=self.factors,
            )
        return self._tilted

    def weights(self) -> FloatArray:
        """What each path counts for, [row, path], where normals are from another law: `Tilted.weigh`."""
        if self._fine is not None:
            return self._fine.weights()
        assert isinstance(self.sampling, Tilted)
        tilted = self.sampling
        return self.once("weights", lambda: tilted.weigh(self.time_grid, *self._tilted_draw()))

    def split(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """What coarse coordinates do not see of the first driver's increments between dates, and what they see: `Tilted.split`."""
        if self._fine is not None:
            return self._fine.split()
        assert isinstance(self.sampling, Tilted)
        (first, *_), coordinates = self._tilted_draw()
        tilted = self.sampling
        return self.once("split", lambda: tilted.split(self.time_grid, first, coordinates))

    def increments(self, dates: ObservationDates) -> FloatArray:
        r""":math:`(W_{t_j} - W_{t_{j-1}})/\sqrt{t_j - t_{j-1}}` at the observed dates, [time, path], W from factor 0."""
        if dates.whole:
            return self.normals()
        return self.recent(("increments", dates), lambda: self._differences(dates))

    def _differences(self, dates: ObservationDates) -> FloatArray:
        out = empty((len(dates.times), self.n_paths))
        _increments(dates.index, dates.root, self.once("walk", self._walk), out)
        return out

    def _walk(self) -> FloatArray:
        steps = self.normals()
        out = empty(steps.shape)
        _accumulate(np.sqrt(increments(self.time_grid)), steps, out)
        return out

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """``make()``, made once for this block: for what every contract on the time grid shares."""
        if key not in self._kept:
            self._kept[key] = make()
        found: T = self._kept[key]
        return found

    def recent(self, key: Hashable, make: Callable[[], T]) -> T:
        """``make()``, kept until sixteen others were asked for: for what neighbours in a book share."""
        if key in self._latest:
            found: T = self._latest.pop(key)
        else:
            found = make()
            if len(self._latest) >= _RECENT:
                del self._latest[next(iter(self._latest))]
        self._latest[key] = found
        return found

    def forget(self) -> None:
        """Drop all that was kept, and so break reference cycles: memory is free at once, not at the next garbage collection."""
        for kept in self._kept.values():
            if isinstance(kept, Blocks):
                kept.forget()
        self._kept.clear()
        self._latest.clear()
        self._fine = self._coarsened = None
        if self._tilted is not None:
            self._tilted.forget()
            self._tilted = None


class Blocks(OrderedDict[Hashable, Block]):
    """Blocks made of another one, which forget with it."""

    def forget(self) -> None:
        """See `Block.forget`."""
        for block in self.values():
            block.forget()
        self.clear()


_RECENT = 16
