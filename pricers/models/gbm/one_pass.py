r"""What contracts and scores look at of GBM paths, made in one pass over a time grid without keeping a path.

A block's Brownian motion W is drawn date by date in chunks of paths that stay in the first-level cache. Whatever looks at it adds what
it needs at its own dates: scenarios of one volatility share :math:`e^{\sigma W}`, and all share W. So a whole book on one underlying, or
all bumped scenarios of a finite difference, cost little more than one.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from pricers.errors import NotApplicable
from pricers.market.market import Market
from pricers.models.gbm.direction import Direction
from pricers.numerics.elementary import LOG2_E, exp2_normal, fma
from pricers.numerics.kernel import device, kernel
from pricers.numerics.rows import copy
from pricers.numerics.workspace import empty
from pricers.paths.discounting import Discounting
from pricers.paths.requests import PathRequest
from pricers.random_numbers.path_block import Block, ObservationDates, increments
from pricers.random_numbers.philox import PATHS, step_normals
from pricers.random_numbers.pseudo_random import PseudoRandom

__all__ = ["GBMSteps", "Program", "Summaries", "steps"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
T = TypeVar("T")

ROWS = ("first", "walk", "squares", "drifts", "total", "timed", "shifted", "walked", "walks", "low", "high")
"""With z the normals of an observation's intervals, W (of times not stretched) and S (which starts at one) at its dates: z_1, the last
W, the sums of z^2 - 1, of z times the drift in standard deviations, of S, of S times the time, of S times its logarithm's mean, of S W,
of W; the least and the greatest ln S."""

_FIRST, _WALK, _SQUARES, _DRIFTS, _TOTAL, _TIMED, _SHIFTED, _WALKED, _WALKS, _LOW, _HIGH = range(len(ROWS))
_COMMON = frozenset({"first", "walk", "squares", "walks"})  # what the same dates have in common in all scenarios
_OF_NORMALS = [_FIRST, _SQUARES, _DRIFTS]  # what normals of the observation's own intervals are wanted for
_THEN = len(ROWS)  # W at the observation's date before
_BEGINS, _NEXT, _ENDS = 1, 2, 4  # what an entry is to its observation: the first date, one right after the date before, the last

_GREATEST_POWER = 1022.0
"""The largest exponent of two of a normal number. By the Cauchy-Schwarz inequality, W is at most `Sampling.greatest` times the root of
(grid points times years), however the normals were transformed. So W is clipped only where it might exceed that exponent."""


@device
def _move(root, z, walk):
    for path in range(z.size):
        walk[path] = fma(root, z[path], walk[path])


@device
def _move_and_square(root, z, walk, squares):
    for path in range(z.size):
        walk[path] = fma(root, z[path], walk[path])
        squares[path] += fma(z[path], z[path], -1.0)


@device
def _own(inverse, walk, then, out):
    for path in range(walk.size):
        out[path] = (walk[path] - then[path]) * inverse


@device
def _square(z, squares):
    for path in range(z.size):
        squares[path] += fma(z[path], z[path], -1.0)


@device
def _power(rate, walk, out):
    for path in range(walk.size):
        out[path] = exp2_normal(rate * walk[path])


@device
def _held_power(rate, walk, out):
    for path in range(walk.size):
        x = rate * walk[path]
        x = _GREATEST_POWER if x > _GREATEST_POWER else x
        out[path] = exp2_normal(-_GREATEST_POWER if x < -_GREATEST_POWER else x)


@device
def _add_power(rate, factor, walk, total):
    for path in range(walk.size):
        total[path] = fma(factor, exp2_normal(rate * walk[path]), total[path])


@device
def _add(factor, x, total):
    for path in range(x.size):
        total[path] = fma(factor, x[path], total[path])


@device
def _add_product(factor, x, y, total):
    for path in range(x.size):
        total[path] = fma(factor * x[path], y[path], total[path])


@device
def _lower(level, vol, walk, low):
    for path in range(walk.size):
        x, least = fma(vol, walk[path], level), low[path]
        low[path] = x if x < least or x != x else least  # NaN stays


@device
def _raise(level, vol, walk, high):
    for path in range(walk.size):
        x, most = fma(vol, walk[path], level), high[path]
        high[path] = x if x > most or x != x else most


@kernel
def _summarise(normals, greatest, key0, key1, first_path, root, starts, items, roles, constants, scales, places, out):
    """Rows [row, path] of everything that looks at a time grid.

    normals is [grid point, path], or has no grid points: then they are drawn; no path's have a root mean square beyond ``greatest``. root
    [grid point] are the square roots of the time grid's intervals. At a grid point stand the entries ``starts[grid_point]`` to
    ``starts[grid_point + 1]``: items [entry] says whose, roles [entry] what the date is to it, constants [entry, 5] are ln S at W = 0, its
    exponential, one over the root of the item's own interval, its drift in standard deviations and the time. scales [item] multiply W in
    ln S. places [item, ROWS + 1] says which row of ``out`` each of `ROWS` goes to, or -1; the last of them lies beyond ``out``, in the
    state alone.
    """
    n_paths, k0, k1 = out.shape[1], np.uint64(key0), np.uint64(key1)
    count = 1
    for i in range(places.shape[0]):
        for p in range(places.shape[1]):
            count = max(count, places[i, p] + 1)
    state, drawn = np.empty((count, PATHS)), np.empty(PATHS)
    walks, own_normals, powers = np.empty(PATHS), np.empty(PATHS), np.empty(PATHS)
    years = 0.0
    for scale in root:
        years += scale * scale
    reach = greatest * math.sqrt(len(root) * years)
    begin = 0
    while begin < n_paths:
        skipped = (first_path + begin) % PATHS
        width = min(PATHS - skipped, n_paths - begin)
        walk, power = walks[:width], powers[:width]
        walk[:], state[:] = 0.0, 0.0
        for i in range(len(scales)):
            if places[i, _LOW] >= 0:
                state[places[i, _LOW]] = np.inf
            if places[i, _HIGH] >= 0:
                state[places[i, _HIGH]] = -np.inf
        for grid_point in range(len(root)):
            if normals.shape[0] > 0:
                z = normals[grid_point, begin : begin + width]
            else:
                step_normals(drawn, k0, k1, first_path + begin - skipped, np.uint64(grid_point), np.uint64(0))
                z = drawn[skipped : skipped + width]
            entry, last = starts[grid_point], starts[grid_point + 1]
            alone = last - entry == 1
            squared = alone and roles[entry] & _NEXT != 0 and places[items[entry], _SQUARES] >= 0
            if squared:
                _move_and_square(root[grid_point], z, walk, state[places[items[entry], _SQUARES], :width])
            else:
                _move(root[grid_point], z, walk)
            made = np.nan
            for e in range(entry, last):
                i, role, here = items[e], roles[e], constants[e]
                level, factor, inverse, drift, time = here[0], here[1], here[2], here[3], here[4]
                place, vol = places[i], scales[i]
                if (role & _BEGINS != 0 and place[_FIRST] >= 0) or (place[_SQUARES] >= 0 and not squared) or place[_DRIFTS] >= 0:
                    own = z
                    if role & _NEXT == 0:
                        own = own_normals[:width]
                        _own(inverse, walk, state[place[_THEN], :width], own)
                    if role & _BEGINS != 0 and place[_FIRST] >= 0:
                        copy(own, state[place[_FIRST], :width])
                    if place[_SQUARES] >= 0 and not squared:
                        _square(own, state[place[_SQUARES], :width])
                    if place[_DRIFTS] >= 0:
                        _add(drift, own, state[place[_DRIFTS], :width])
                if place[_THEN] >= 0:
                    copy(walk, state[place[_THEN], :width])
                if place[_WALKS] >= 0:
                    _add(1.0, walk, state[place[_WALKS], :width])
                if place[_LOW] >= 0:
                    _lower(level, vol, walk, state[place[_LOW], :width])
                if place[_HIGH] >= 0:
                    _raise(level, vol, walk, state[place[_HIGH], :width])
                weighted = place[_TIMED] >= 0 or place[_SHIFTED] >= 0 or place[_WALKED] >= 0
                only = made != vol and (e + 1 == last or scales[items[e + 1]] != vol)  # no other item needs e^(vol W)
                rate = vol * LOG2_E  # e^(vol W) = 2^(rate W)
                tame = rate * reach <= _GREATEST_POWER
                if place[_TOTAL] >= 0 and only and tame and not weighted:
                    _add_power(rate, factor, walk, state[place[_TOTAL], :width])
                elif place[_TOTAL] >= 0 or weighted:
                    if made != vol:
                        if tame:
                            _power(rate, walk, power)
                        else:
                            _held_power(rate, walk, power)
                        made = vol
                    if place[_TOTAL] >= 0:
                        _add(factor, power, state[place[_TOTAL], :width])
                    if place[_TIMED] >= 0:
                        _add(factor * time, power, state[place[_TIMED], :width])
                    if place[_SHIFTED] >= 0:
                        _add(factor * level, power, state[place[_SHIFTED], :width])
                    if place[_WALKED] >= 0:
                        _add_product(factor, power, walk, state[place[_WALKED], :width])
                if role & _ENDS != 0 and place[_WALK] >= 0:
                    copy(walk, state[place[_WALK], :width])
        for row in range(out.shape[0]):
            copy(state[row, :width], out[row, begin : begin + width])
        begin += width


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GBMSteps:
    """What no path of a scenario changes at observed dates.

    Attributes
    ----------
    times, intervals, root : ndarray [time]
        Dates, the intervals that end there and their square roots; years.
    shift, shifted : ndarray [time]
        Mean of each log-return, and their sums so far.
    level : ndarray [time]
        Mean of the log-spot.
    mean_time, mean_shifted, mean_level : float
        Means over the dates.
    discounting : Discounting
        Discount factors of the dates.
    """

    times: FloatArray
    intervals: FloatArray
    root: FloatArray
    shift: FloatArray
    shifted: FloatArray
    level: FloatArray
    mean_time: float
    mean_shifted: float
    mean_level: float
    discounting: Discounting


@lru_cache(maxsize=1024)
def steps(vol: float, dates: ObservationDates, market: Market, time_scale: float) -> GBMSteps:
    """Of one scenario."""
    intervals = time_scale * dates.intervals
    times = time_scale * dates.times
    shift = time_scale * increments(market.log_growth(dates.times)) - 0.5 * vol**2 * intervals
    shifted, count = shift.cumsum(), len(times)
    level = math.log(market.spot) + shifted
    return GBMSteps(
        times=times,
        intervals=intervals,
        root=math.sqrt(time_scale) * dates.root,
        shift=shift,
        shifted=shifted,
        level=level,
        mean_time=float(times.sum()) / count,
        mean_shifted=float(shifted.sum()) / count,
        mean_level=float(level.sum()) / count,
        discounting=Discounting.of(market, dates, time_scale),
    )


_BY_SUMMARY = {
    "mean": ("total",),
    "log_mean": ("walks",),
    "minimum": ("low",),
    "maximum": ("high",),
    "last": ("walk",),
    "log_last": ("walk",),
}


def _rows(request: PathRequest, vol: float) -> frozenset[str]:
    """What is made of a block for a request."""
    wanted = request.wanted
    rows = {row for name in wanted.summaries for row in _BY_SUMMARY.get(name, ())}
    terms = {"spot": request.market.spot, "vol": vol, "last": request.time_scale * float(request.dates.times[-1])}
    with contextlib.suppress(NotApplicable):  # raised later, where the score is asked for
        for parameter in wanted.scored:
            rows |= Direction.of(parameter, **terms).score_rows
        for summary, parameter in wanted.slopes:
            rows |= Direction.of(parameter, **terms).slope_rows(summary)
    return frozenset(rows)


class _Item(NamedTuple):
    """Paths and which of their rows are wanted; ``scale`` multiplies W in their log-spot.

    Rows are those of a spot that starts at one: requests that differ in the spot alone have the same.
    """

    requests: tuple[PathRequest, ...]
    vol: float
    rows: frozenset[str]

    @property
    def dates(self) -> ObservationDates:
        return self.requests[0].dates

    @property
    def scale(self) -> float:
        return self.vol * math.sqrt(self.requests[0].time_scale)


_Outs = tuple[tuple[tuple[PathRequest, ...], str], ...]
"""Whose rows come out of a pass, and their names."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pass:
    """The arguments of `_summarise` that are the same for every block, and which rows come out."""

    root: FloatArray
    starts: IntArray
    items: IntArray
    roles: IntArray
    constants: FloatArray
    scales: FloatArray
    places: IntArray
    outs: _Outs


def _places(order: list[_Item]) -> tuple[IntArray, _Outs]:
    """Where each item's rows go, -1 where another item makes them too, and whose rows come out."""
    places = np.full((len(order), len(ROWS) + 1), -1)
    outs: list[tuple[tuple[PathRequest, ...], str]] = []
    common: dict[tuple[ObservationDates, str], int] = {}
    for number, item in enumerate(order):
        for place, name in enumerate(ROWS):
            if name not in item.rows:
                continue
            shared = common.get((item.dates, name))
            if shared is not None:
                outs[shared] = (*outs[shared][0], *item.requests), name
                continue
            if name in _COMMON:
                common[item.dates, name] = len(outs)
            places[number, place] = len(outs)
            outs.append((item.requests, name))
    kept = len(outs)
    for number, item in enumerate(order):
        if not item.dates.follows.all() and (places[number, _OF_NORMALS] >= 0).any():
            places[number, _THEN] = kept
            kept += 1
    return places, tuple(outs)


def _pass(time_grid: tuple[float, ...], wanted: Iterable[_Item]) -> _Pass:
    order = sorted(wanted, key=lambda item: item.scale)  # those of one volatility share its power
    places, outs = _places(order)
    making = np.any(places >= 0, axis=1)
    order, places = [item for item, makes in zip(order, making, strict=True) if makes], places[making]
    counts = [len(item.dates.index) for item in order]
    (at, roles), constants = np.empty((2, sum(counts)), dtype=np.int64), np.empty((sum(counts), 5))
    end = 0
    for count, item in zip(counts, order, strict=True):
        dates, here = item.dates, slice(end, end + count)
        made = steps(item.vol, dates, item.requests[0].market, item.requests[0].time_scale)
        at[here], roles[here] = dates.index, np.where(dates.follows, _NEXT, 0)
        roles[end] |= _BEGINS
        end = here.stop
        roles[end - 1] |= _ENDS
        for column, constant in enumerate(
            (made.shifted, np.exp(made.shifted), 1.0 / dates.root, made.shift / (item.vol * made.root), made.times)
        ):
            constants[here, column] = constant
    by_point, last = np.argsort(at, kind="stable"), int(at.max())
    return _Pass(
        root=np.sqrt(increments(time_grid[: last + 1])),
        starts=np.searchsorted(at[by_point], np.arange(last + 2)),
        items=np.repeat(np.arange(len(order)), counts)[by_point],
        roles=roles[by_point],
        constants=constants[by_point],
        scales=np.array([item.scale for item in order]),
        places=places,
        outs=outs,
    )


class Program:
    """What is made of every block in one pass, for all requests of a run.

    Attributes
    ----------
    steps : mapping of PathRequest to (float, GBMSteps)
        Volatility and what no path changes, for each request.
    """

    __slots__ = ("_items", "_made", "_passes", "steps")

    def __init__(self, requests: Mapping[PathRequest, float]):
        self.steps = {
            request: (vol, steps(vol, request.dates, request.market, request.time_scale)) for request, vol in requests.items()
        }
        alike: dict[Hashable, _Item] = {}
        for request, vol in requests.items():
            if rows := _rows(request, vol):
                market = request.market
                key = vol, request.time_scale, request.dates, market.rate, market.dividend
                item = alike.get(key, _Item((), vol, frozenset()))
                alike[key] = item._replace(requests=(*item.requests, request), rows=item.rows | rows)
        self._items = tuple(alike.values())
        self._passes: dict[tuple[float, ...], _Pass] = {}
        self._made: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """``make()``, made once for the run: for what is the same in all blocks."""
        if key not in self._made:
            self._made[key] = make()
        found: T = self._made[key]
        return found

    def planned(self, time_grid: tuple[float, ...]) -> _Pass | None:
        """The pass over a time grid, planned once; None where nothing is asked for."""
        if not self._items:
            return None
        if time_grid not in self._passes:
            self._passes[time_grid] = _pass(time_grid, self._items)
        return self._passes[time_grid]

    def unplanned(self, time_grid: tuple[float, ...], request: PathRequest) -> _Pass:
        """A pass that makes all rows of one request."""
        return _pass(time_grid, [_Item((request,), self.steps[request][0], frozenset(ROWS))])


class Summaries:
    """Rows of a block: those that were asked for are made together when the first is read, others when they are."""

    __slots__ = ("_block", "_found", "program")

    def __init__(self, block: Block, program: Program):
        self._block, self.program, self._found = block, program, dict[tuple[PathRequest, str], FloatArray]()
        planned = program.planned(block.time_grid)
        if planned is not None:
            self._make(planned)

    def row(self, request: PathRequest, name: str) -> FloatArray:
        """One of `ROWS`, [path], of spots that start at one."""
        if (request, name) not in self._found:
            self._make(self.program.unplanned(self._block.time_grid, request))
        return self._found[request, name]

    def _make(self, planned: _Pass) -> None:
        block = self._block
        out = empty((len(planned.outs), block.n_paths))
        _summarise(
            _NONE if isinstance(block.sampling, PseudoRandom) else block.normals(),
            block.sampling.greatest,
            *block.key,
            block.first,
            planned.root,
            planned.starts,
            planned.items,
            planned.roles,
            planned.constants,
            planned.scales,
            planned.places,
            out,
        )
        for (requests, name), row in zip(planned.outs, out, strict=True):
            self._found.update(((request, name), row) for request in requests)


_NONE = np.empty((0, 0))
