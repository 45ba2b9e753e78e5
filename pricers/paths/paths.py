"""What contracts and estimators see of a model: spots at the contract's dates, and how their law moves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from pricers.errors import NotApplicable
from pricers.numerics.elementary import exp, log
from pricers.numerics.kernel import kernel
from pricers.numerics.workspace import empty
from pricers.paths.discounting import Discounting
from pricers.paths.requests import Wanted

__all__ = ["AffineSummary", "Law", "Paths", "Steps", "add", "affine", "plane"]

FloatArray = npt.NDArray[np.float64]
T = TypeVar("T")


@kernel
def _mean(spot, out):
    for path in range(spot.shape[1]):
        out[path] = spot[0, path]
    for t in range(1, spot.shape[0]):
        for path in range(spot.shape[1]):
            out[path] += spot[t, path]
    scale = 1.0 / spot.shape[0]
    for path in range(spot.shape[1]):
        out[path] *= scale


@kernel
def _log_mean(spot, out):
    for path in range(spot.shape[1]):
        out[path] = log(spot[0, path])
    for t in range(1, spot.shape[0]):
        for path in range(spot.shape[1]):
            out[path] += log(spot[t, path])
    scale = 1.0 / spot.shape[0]
    for path in range(spot.shape[1]):
        out[path] *= scale


@kernel
def _minimum(spot, out):
    for path in range(spot.shape[1]):
        out[path] = spot[0, path]
    for t in range(1, spot.shape[0]):
        for path in range(spot.shape[1]):
            x = spot[t, path]
            out[path] = x if x < out[path] or x != x else out[path]  # NaN stays


@kernel
def _maximum(spot, out):
    for path in range(spot.shape[1]):
        out[path] = spot[0, path]
    for t in range(1, spot.shape[0]):
        for path in range(spot.shape[1]):
            x = spot[t, path]
            out[path] = x if x > out[path] or x != x else out[path]


@kernel
def add(factor, x, out):
    """Add ``factor`` times x [path] to ``out``."""
    for path in range(out.shape[0]):
        out[path] += factor * x[path]


@kernel
def _affine(level, slope, x, out):
    for path in range(out.shape[0]):
        out[path] = level + slope * x[path]


def affine(level: float, slope: float, x: FloatArray) -> FloatArray:
    """A straight line: ``level + slope * x``, [path]."""
    out = empty(x.shape)
    _affine(level, slope, x, out)
    return out


@kernel
def _exponentials(level, slope, x, out):
    for path in range(out.shape[0]):
        out[path] = exp(level + slope * x[path])


@kernel
def _plane(a, x, b, y, out):
    for path in range(out.shape[0]):
        out[path] = a * x[path] + b * y[path]


def plane(a: float, x: FloatArray, b: float, y: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """``a * x + b * y``, [path]."""
    made = out if out is not None else empty(x.shape)
    _plane(a, x, b, y, made)
    return made


class AffineSummary(NamedTuple):
    """An affine function of a row, ``level + slope * x`` [path], evaluated by whoever reads it."""

    level: float
    slope: float
    x: FloatArray

    def array(self) -> FloatArray:
        """Made."""
        return affine(self.level, self.slope, self.x)

    def exponentials(self) -> FloatArray:
        """Its exponential, [path]."""
        out = empty(self.x.shape)
        _exponentials(self.level, self.slope, self.x, out)
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    r"""The log-returns between a contract's dates, Gaussian given the rest of the path: :math:`M_k + s_k\,\xi_k`.

    Attributes
    ----------
    spot : float
        Where they start.
    normals : ndarray [time, path]
        :math:`\xi`.
    mean, stdev : ndarray [time, path] or [time, 1]
        M and s.
    mean_slope, stdev_slope : ndarray [parameter, time, path] or [parameter, time, 1]
        Derivatives of M and s; by ``spot`` zero, since only the start moves.
    parameters : tuple of str
        What they are differentiated by.
    second_order : bool
        Whether a second derivative by the spot is asked for.
    """

    spot: float
    normals: FloatArray
    mean: FloatArray
    stdev: FloatArray
    mean_slope: FloatArray
    stdev_slope: FloatArray
    parameters: tuple[str, ...] = ()
    second_order: bool = False


class Law(ABC):
    """How the joint law of a path's log-returns moves with each parameter of model and market.

    Parameters are named ``spot``, ``rate``, ``dividend``, ``time`` (all dates in proportion to the last one, zero rates at each
    date held), ``vol`` (what the model's vega is by) and the model's own.
    """

    @abstractmethod
    def score(self, parameters: tuple[str, ...]) -> FloatArray:
        r"""The score [path]: :math:`p^{-1}\,\partial^k p/\partial a \cdots \partial b` of the path's density p, mean zero.

        Raises
        ------
        NotApplicable
            Where the model does not know this derivative.
        """

    @abstractmethod
    def tangent(self, parameter: str) -> FloatArray:
        r""":math:`\partial \ln S_k/\partial p` along each path at fixed normals, [time, path] or [time, 1]."""

    def affine_summary(self, name: str) -> AffineSummary | None:
        """A summary of `Paths`, or with ``log_`` before the name its logarithm, where the law knows it without the spots."""
        return None

    def slope(self, name: str, parameter: str) -> FloatArray | float | None:
        """The derivative of a summary along each path, [path] or one for all, where the law knows it without the tangents."""
        return None

    def steps(self, parameters: tuple[str, ...]) -> Steps:
        """The log-returns, with their derivatives by ``parameters``; not every law can say."""
        raise NotApplicable(f"{type(self).__name__} has no log-return steps; use LikelihoodRatio() or FiniteDifference()")


class Paths:
    """A block of paths at one contract's dates.

    Spots are made when they are asked for: a model may know what contracts look at without them.

    Attributes
    ----------
    times : ndarray [time]
        Years.
    n_paths : int
        Paths.
    discounting : Discounting
        Discount factors of the dates.
    law : Law
        How the spots move with each parameter.
    initial_spot : float, optional
        Today's spot, where the paths start.
    """

    __slots__ = ("_known", "_spot", "_wanted", "discounting", "initial_spot", "law", "n_paths", "times")

    def __init__(
        self,
        *,
        times: FloatArray,
        n_paths: int,
        spot: Callable[[], FloatArray],
        discounting: Discounting,
        law: Law,
        wanted: Wanted = Wanted(),  # noqa: B008
        initial_spot: float | None = None,
    ):
        self.times, self.n_paths, self.discounting, self.law = times, n_paths, discounting, law
        self._wanted, self._spot, self.initial_spot = wanted, spot, initial_spot
        self._known: dict[Hashable, Any] = {}

    @property
    def spot(self) -> FloatArray:
        """Prices of the underlying, [time, path]."""
        return self.once("spot", self._spot)

    def affine_summary(self, name: str) -> AffineSummary:
        """A summary that is read but once: as a line in what its law knows, or in itself."""
        known = self.law.affine_summary(name)
        return AffineSummary(0.0, 1.0, getattr(self, name)) if known is None else known

    @property
    def last(self) -> FloatArray:
        """Spot at the last date, [path]."""
        return self._summary("last", lambda: self.spot[-1])

    @property
    def log_last(self) -> FloatArray:
        """Its logarithm, [path]."""
        return self._summary("log_last", lambda: np.log(self.last))

    @property
    def mean(self) -> FloatArray:
        """Arithmetic mean over the dates, [path]."""
        return self._summary("mean", lambda: self._reduced(_mean))

    @property
    def geometric_mean(self) -> FloatArray:
        """Geometric mean over the dates, [path]."""
        return self.once("geometric_mean", lambda: self.affine_summary("log_mean").exponentials())

    @property
    def log_mean(self) -> FloatArray:
        """Mean over the dates of the logarithm, [path]."""
        return self._summary("log_mean", lambda: self._reduced(_log_mean))

    @property
    def minimum(self) -> FloatArray:
        """Least spot over the dates, [path]."""
        return self._summary("minimum", lambda: self._reduced(_minimum))

    @property
    def maximum(self) -> FloatArray:
        """Greatest spot over the dates, [path]."""
        return self._summary("maximum", lambda: self._reduced(_maximum))

    @property
    def log_minimum(self) -> FloatArray:
        """Logarithm of the least spot, [path]."""
        return self._summary("log_minimum", lambda: np.log(self.minimum))

    @property
    def log_maximum(self) -> FloatArray:
        """Logarithm of the greatest spot, [path]."""
        return self._summary("log_maximum", lambda: np.log(self.maximum))

    def slope(self, summary: str, parameter: str) -> FloatArray | float:
        """Derivative of ``mean``, ``log_mean`` or ``log_last`` by a parameter along each path, [path] or one number for all."""
        return self.once((summary, parameter), lambda: self._slope(summary, parameter))

    def _slope(self, summary: str, parameter: str) -> FloatArray | float:
        known = self.law.slope(summary, parameter)
        if known is not None:
            return known
        tangent = self.law.tangent(parameter)
        found: FloatArray
        match summary:
            case "mean":
                found = (self.spot * tangent).mean(axis=0)
            case "log_mean":
                found = tangent.mean(axis=0)
            case "log_last":
                found = tangent[-1]
            case _:
                raise ValueError(f"no derivative of {summary} is known")
        return found

    def score(self, *parameters: str) -> FloatArray:
        """`Law.score`, computed once."""
        return self.once(parameters, lambda: self.law.score(parameters))

    @property
    def parameters_asked(self) -> frozenset[str]:
        """What the run differentiates steps or tangents by, as far as known: Greeks may share one pass. No number depends on it."""
        return self._wanted.steps

    def steps(self, *parameters: str) -> Steps:
        """`Law.steps` by the spot, by these parameters and by all others that the run asks for, so that Greeks share them.

        A parameter that is named twice asks for a second derivative.
        """
        asked = {*parameters, *self.parameters_asked} - {"spot"}
        second_order = self._wanted.second_order or len(set(parameters)) < len(parameters)
        key = "spot", *sorted(asked)
        return self.once(("steps", key, second_order), lambda: self._steps(key, second_order))

    def _steps(self, parameters: tuple[str, ...], second_order: bool) -> Steps:
        return replace(self.law.steps(parameters), parameters=parameters, second_order=second_order)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """``make()``, made once for these paths: for what several Greeks or contracts need."""
        if key not in self._known:
            self._known[key] = make()
        found: T = self._known[key]
        return found

    def _summary(self, name: str, make: Callable[[], FloatArray]) -> FloatArray:
        def known() -> FloatArray:
            line = self.law.affine_summary(name)
            if line is not None:
                return line.array()
            line = self.law.affine_summary(f"log_{name}")
            return make() if line is None else line.exponentials()

        return self.once(name, known)

    def _reduced(self, reduce: Any) -> FloatArray:
        out = empty((self.n_paths,))
        reduce(self.spot, out)
        return out
