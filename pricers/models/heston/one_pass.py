r"""What contracts look at of spots given a variance path, made in one pass over the path for all markets and all dates.

Given the running sums of `pricers.models.heston.conditional_normal`, :math:`\ln S_k = \ln S_0 + g_k + X_k` with
:math:`X = Q - \tfrac12 (1-\rho^2) I + \sqrt{1-\rho^2}\, W`, and only the growth g knows the market. So the bumped markets of a finite
difference, or the trades of a book, share X and :math:`e^X`, and paths that are too long for a cache are read once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pricers.numerics.elementary import exp_normal, fma
from pricers.numerics.kernel import device, kernel
from pricers.numerics.workspace import empty
from pricers.paths.requests import PathRequest, Wanted

__all__ = ["NOTHING", "Program", "Summaries", "begin", "observe", "only_summaries", "program"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

ROWS = ("total", "logs", "low", "high", "last")
"""Of spots that start at one: the sum, the sum of the logarithms, the least, the greatest and the last logarithm."""

_TOTAL, _LOGS, _LOW, _HIGH, _LAST = range(len(ROWS))
_BY_SUMMARY = {"mean": "total", "log_mean": "logs", "minimum": "low", "maximum": "high", "last": "last", "log_last": "last"}

_FEW, _CHUNK, _SMALL_CHUNK = 24, 512, 64
"""Up to so many rows a chunk has 512 paths, beyond it 64: what stays in the first- or at least the second-level cache."""


@device
def begin(places, out):
    """Rows before the first date."""
    out[:] = 0.0
    for place in places:
        if place[_LOW] >= 0:
            out[place[_LOW]] = np.inf
        if place[_HIGH] >= 0:
            out[place[_HIGH]] = -np.inf


@device
def observe(x, power, entry, end, items, ends, levels, places, out):
    """One date of a chunk of paths: x [path] is X, power [path] is written over, out [row, path]; entries as for `_summarise`."""
    made = False
    for e in range(entry, end):
        place, level, factor = places[items[e]], levels[e, 0], levels[e, 1]
        if place[_TOTAL] >= 0:
            if not made:
                for path in range(x.size):
                    power[path] = exp_normal(x[path])
                made = True
            total = out[place[_TOTAL]]
            for path in range(x.size):
                total[path] = fma(factor, power[path], total[path])
        if place[_LOGS] >= 0:
            total = out[place[_LOGS]]
            for path in range(x.size):
                total[path] += level + x[path]
        if place[_LOW] >= 0:
            low = out[place[_LOW]]
            for path in range(x.size):
                here, least = level + x[path], low[path]
                low[path] = here if here < least or here != here else least  # NaN stays
        if place[_HIGH] >= 0:
            high = out[place[_HIGH]]
            for path in range(x.size):
                here, most = level + x[path], high[path]
                high[path] = here if here > most or here != here else most
        if place[_LAST] >= 0 and ends[e]:
            last = out[place[_LAST]]
            for path in range(x.size):
                last[path] = level + x[path]


@kernel
def _summarise(share, grid_points, starts, items, ends, levels, places, walk, integral, drift, chunk, out):
    """Rows [row, path] of everything that looks at a path.

    At the path's row ``grid_points[k]`` stand the entries ``starts[k]`` to ``starts[k + 1]``: items [entry] says whose, ends [entry]
    whether it is their last date, levels [entry, 2] are the growth and its exponential. places [item, 5] says which row of ``out`` each of
    `ROWS` goes to, or -1.
    """
    root, half = math.sqrt(share), -0.5 * share
    logs, powers = np.empty((2, chunk))
    begin(places, out)
    for first in range(0, out.shape[1], chunk):
        last = min(first + chunk, out.shape[1])
        x, power = logs[: last - first], powers[: last - first]
        for k in range(len(grid_points)):
            w, i, q = walk[grid_points[k], first:last], integral[grid_points[k], first:last], drift[grid_points[k], first:last]
            for path in range(x.size):
                x[path] = fma(root, w[path], fma(half, i[path], q[path]))
            observe(x, power, starts[k], starts[k + 1], items, ends, levels, places, out[:, first:last])


class _Item(NamedTuple):
    """Requests that differ in the spot alone, and which rows are wanted."""

    requests: tuple[PathRequest, ...]
    rows: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """The arguments of `_summarise` that are the same for every block, and which rows come out: (whose, name of the row)."""

    grid_points: IntArray
    starts: IntArray
    items: IntArray
    ends: BoolArray
    levels: FloatArray
    places: IntArray
    outs: tuple[tuple[tuple[PathRequest, ...], str], ...]

    def made(self, share: float, walk: FloatArray, integral: FloatArray, drift: FloatArray) -> FloatArray:
        """The rows, [row, path], from the sums [row, path] of a path; share is 1 - rho^2."""
        out = empty((len(self.outs), walk.shape[1]))
        chunk = _CHUNK if len(self.outs) < _FEW else _SMALL_CHUNK
        _summarise(share, *self.entries, walk, integral, drift, chunk, out)
        return out

    @property
    def entries(self) -> tuple[IntArray, IntArray, IntArray, BoolArray, FloatArray, IntArray]:
        """As kernels take them."""
        return self.grid_points, self.starts, self.items, self.ends, self.levels, self.places


NOTHING = Program(
    grid_points=np.empty(0, np.int64),
    starts=np.zeros(1, np.int64),
    items=np.empty(0, np.int64),
    ends=np.empty(0, np.bool_),
    levels=np.empty((0, 2)),
    places=np.empty((0, len(ROWS)), np.int64),
    outs=(),
)
"""A program of no rows."""


def _program(items: Iterable[_Item], grid_points: IntArray) -> Program:
    places: list[list[int]] = []
    outs: list[tuple[tuple[PathRequest, ...], str]] = []
    rows, whose, ends, growths = [], [], [], []
    for number, item in enumerate(items):
        places.append([])
        for name in ROWS:
            places[-1].append(len(outs) if name in item.rows else -1)
            outs += [(item.requests, name)] if name in item.rows else []
        first = item.requests[0]
        dates = first.dates
        rows.append(np.searchsorted(grid_points, dates.index))
        whose.append(np.full(len(dates.times), number))
        ends.append(np.arange(len(dates.times)) == len(dates.times) - 1)
        growths.append(first.time_scale * first.market.log_growth(dates.times))
    at, growth = np.concatenate(rows), np.concatenate(growths)
    order = np.argsort(at, kind="stable")
    grid_points, starts = np.unique(at[order], return_index=True)
    return Program(
        grid_points=grid_points,
        starts=np.append(starts, len(at)),
        items=np.concatenate(whose)[order],
        ends=np.concatenate(ends)[order],
        levels=np.stack([growth, np.exp(growth)], axis=-1)[order],
        places=np.array(places),
        outs=tuple(outs),
    )


def program(requests: Iterable[PathRequest], grid_points: IntArray) -> Program | None:
    """What `Summaries` makes in one pass for requests of one variance path, whose rows stand for some ``grid_points`` of the time grid."""
    alike: dict[Hashable, _Item] = {}
    for request in requests:
        if rows := frozenset(_BY_SUMMARY[name] for name in request.wanted.summaries if name in _BY_SUMMARY):
            key = request.dates, request.market.rate, request.market.dividend
            item = alike.get(key, _Item((), frozenset()))
            alike[key] = _Item((*item.requests, request), item.rows | rows)
    return _program(alike.values(), grid_points) if alike else None


def _unplanned(request: PathRequest, grid_points: IntArray) -> Program:
    """All rows of one request."""
    return _program([_Item((request,), frozenset(ROWS))], grid_points)


class Summaries:
    """Rows of a block's spots given one variance path: those of a program made together, others when they are asked for.

    Parameters
    ----------
    grid_points : ndarray
        Of the time grid, those that rows of the path stand for.
    planned : Program, optional
        Of `program`.
    """

    __slots__ = ("_found", "_grid_points", "_planned")

    def __init__(self, grid_points: IntArray, planned: Program | None):
        self._grid_points, self._planned = grid_points, planned
        self._found = dict[tuple[PathRequest, str], FloatArray]()

    def row(self, request: PathRequest, name: str, make: Callable[[Program], FloatArray]) -> FloatArray:
        """One of `ROWS`, [path]; ``make`` gives a program's rows, [row, path]."""
        if self._planned is not None:
            self._add(self._planned, make)
            self._planned = None
        if (request, name) not in self._found:
            self._add(_unplanned(request, self._grid_points), make)
        return self._found[request, name]

    def _add(self, made: Program, make: Callable[[Program], FloatArray]) -> None:
        for (requests, name), row in zip(made.outs, make(made), strict=True):
            self._found.update(((request, name), row) for request in requests)


def only_summaries(wanted: Wanted) -> bool:
    """Whether a path is wanted for nothing but rows of a program."""
    return (
        bool(wanted.summaries) and wanted.summaries <= _BY_SUMMARY.keys() and not (wanted.scores or wanted.slopes or wanted.steps)
    )
