"""What a run will ask of paths, found by running it once on a few made-up ones.

Contracts and estimators declare nothing. What they ask of paths is recorded on numbers of the right shape that no model made, so that a
model can make it all in one pass. It is a hint: a request that is missed costs time and changes no number.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pricers.paths.discounting import Discounting
from pricers.paths.paths import AffineSummary, Law, Paths, Steps
from pricers.paths.requests import Wanted

__all__ = ["remembered", "traced"]

FloatArray = npt.NDArray[np.float64]

_COUNT = 64
"""Paths."""


class _Record:
    def __init__(self) -> None:
        self.summaries, self.steps = set[str](), set[str]()
        self.scores, self.slopes = set[tuple[str, ...]](), set[tuple[str, str]]()
        self.second_order = False


class _RecordingLaw(Law):
    """A law that takes down what it is asked for."""

    def __init__(self, record: _Record, spot: float, normals: FloatArray):
        self._record, self._spot, self._normals = record, spot, normals

    def score(self, parameters: tuple[str, ...]) -> FloatArray:
        self._record.scores.add(parameters)
        return self._normals[0].copy()

    def tangent(self, parameter: str) -> FloatArray:
        self._record.steps.add(parameter)
        return np.full((len(self._normals), 1), 0.01)

    def steps(self, parameters: tuple[str, ...]) -> Steps:
        self._record.steps.update(parameters)
        one = np.ones((len(self._normals), 1))
        slopes = np.full((2, len(parameters), *one.shape), 0.01)
        return Steps(
            spot=self._spot, normals=self._normals, mean=0.0 * one, stdev=0.05 * one, mean_slope=slopes[0], stdev_slope=slopes[1]
        )


class _RecordingPaths(Paths):
    """Paths that take down what they are asked for."""

    __slots__ = ("_level", "_record")

    def __init__(self, record: _Record, times: Sequence[float], spot: float, vol: float):
        normals = np.random.default_rng(0).standard_normal((len(times), _COUNT))
        self._record, dates = record, np.array(times)
        self._level = np.log(spot) + vol * np.sqrt(dates[-1] / len(dates)) * normals.cumsum(axis=0)
        super().__init__(
            times=dates,
            n_paths=_COUNT,
            spot=lambda: np.exp(self._level),
            discounting=Discounting(tuple(times), (0.0,) * len(times)),
            law=_RecordingLaw(record, spot, normals),
            initial_spot=spot,
        )

    @property
    def spot(self) -> FloatArray:
        self._record.summaries.add("spot")
        return self.once("spot", self._spot)

    def affine_summary(self, name: str) -> AffineSummary:
        return AffineSummary(0.0, 1.0, self._summary(name, lambda: self._level[-1]))

    def slope(self, summary: str, parameter: str) -> FloatArray:
        self._record.slopes.add((summary, parameter))
        return np.full(_COUNT, 0.01)

    def score(self, *parameters: str) -> FloatArray:
        return self.law.score(parameters)

    def steps(self, *parameters: str) -> Steps:
        self._record.second_order |= len(set(parameters)) < len(parameters)
        return super().steps(*parameters)

    def _summary(self, name: str, make: Callable[[], FloatArray]) -> FloatArray:
        self._record.summaries.add(name)
        return self._level[-1].copy() if name.startswith("log_") else np.exp(self._level[-1])


def traced(use: Callable[[tuple[Paths, ...]], object], *, count: int, times: Sequence[float], spot: float, vol: float) -> Wanted:
    """What ``use`` asks of ``count`` scenarios' paths at some dates; nothing where it fails on what no model made.

    Parameters
    ----------
    use : callable
    count : int
    times : sequence of float
        The dates, years.
    spot, vol : float
        About where the paths start, and how far they move.
    """
    record = _Record()
    paths = tuple(_RecordingPaths(record, times, spot, vol) for _ in range(count))
    try:
        with np.errstate(all="ignore"):
            use(paths)
    except Exception:  # then nothing is planned: slower, never wrong
        return Wanted()
    return Wanted(
        summaries=frozenset(record.summaries),
        scores=frozenset(record.scores),
        slopes=frozenset(record.slopes),
        steps=frozenset(record.steps),
        second_order=record.second_order,
    )


def remembered(key: Sequence[Hashable], contract: object, trace: Callable[[], Wanted]) -> Wanted:
    """``trace()``, remembered by ``key`` and by what of the contract's terms decides what is asked: all of them but numbers."""
    if not is_dataclass(contract):
        return trace()
    whole = (*key, type(contract), *(_shape(getattr(contract, field.name)) for field in fields(contract)))
    try:
        if whole not in _REMEMBERED:
            if len(_REMEMBERED) >= _MOST:
                _REMEMBERED.clear()
            _REMEMBERED[whole] = trace()
        return _REMEMBERED[whole]
    except (TypeError, KeyError):  # not hashable, or just cleared by another thread
        return trace()


_REMEMBERED: dict[Hashable, Wanted] = {}
_MOST = 4096


def _shape(value: Any) -> Hashable:
    if value is None or isinstance(value, bool | np.bool_ | str):
        return value
    if isinstance(value, tuple):
        return len(value) > 0, len(value) > 1
    return str(type(value))
