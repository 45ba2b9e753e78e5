"""A payoff of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pricers.contracts.contract import Contract
from pricers.errors import InvalidInput, NotApplicable, finite, increasing, one_of
from pricers.paths import Paths
from pricers.workspace import empty

__all__ = ["PathFunction"]

FloatArray = npt.NDArray[np.float64]


@cache
def _over_lanes(function: Callable[..., float]) -> Any:
    """The user's function of one path, compiled and driven over the lanes of a block."""
    import numba

    one_path = numba.njit(function)

    @numba.njit(nogil=True)
    def drive(spot, terms, out):
        path = np.empty(spot.shape[0])
        for lane in range(spot.shape[1]):
            for t in range(spot.shape[0]):
                path[t] = spot[t, lane]
            out[lane] = one_path(path, *terms)

    return drive


class PathFunction(Contract):
    """A payoff given as a plain function, paid at the last date.

    >>> def up_and_out_call(path, strike, barrier):
    ...     if path.max() >= barrier:
    ...         return 0.0
    ...     return max(path[-1] - strike, 0.0)
    >>> contract = PathFunction(up_and_out_call, times=(0.5, 1.0), strike=100.0, barrier=130.0)

    Parameters
    ----------
    function : callable
        With ``over="path"``, a function ``f(path, *terms)`` of one path (a one-dimensional array of spots at ``times``) that
        returns a number; numba compiles it. With ``over="lanes"``, a NumPy function ``f(spot, **terms)`` of
        ``spot[time, lane]`` that returns ``[lane]``.
    times : sequence of float
        Dates the function looks at, years from the valuation, positive and increasing.
    over : {"path", "lanes"}
    gradient : callable, optional
        ``g(spot, **terms)`` over lanes: the payoff's derivative by each spot, [time, lane]. Give it only where the payoff does
        not jump; without it the payoff is taken to jump, and `Pathwise` refuses it.
    **terms : float
        The payoff's own numbers, in the order of the function's arguments.
    """

    family: ClassVar[str] = "path_function"
    __slots__ = ("function", "gradient", "over", "terms", "times")

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        times: Any,
        over: str = "path",
        gradient: Callable[..., Any] | None = None,
        **terms: float,
    ):
        if not callable(function):
            raise InvalidInput("function", function, "must be callable")
        self.function, self.gradient = function, gradient
        self.times = increasing("times", times)
        self.over = one_of("over", over, ("path", "lanes"))
        self.terms = {name: finite(name, value) for name, value in terms.items()}

    def __repr__(self) -> str:
        terms = "".join(f", {name}={value!r}" for name, value in self.terms.items())
        return f"PathFunction({getattr(self.function, '__name__', self.function)}, over={self.over!r}{terms})"

    @property
    def jumps(self) -> bool:
        """Taken to be so, unless a gradient was given."""
        return self.gradient is None

    @property
    def gradient_lacks_because(self) -> str:
        """See `Contract.gradient_lacks_because`."""
        return f"{getattr(self.function, '__name__', 'the function')} was given without gradient=..."

    def payoff(self, paths: Paths) -> FloatArray:
        """See `Contract.payoff`."""
        if self.over == "lanes":
            return self._lanes(self.function(paths.spot, **self.terms), paths.spot.shape[1:])
        out = empty((paths.lanes,))
        from numba.core.errors import NumbaError

        try:
            _over_lanes(self.function)(paths.spot, tuple(self.terms.values()), out)
        except NumbaError as error:
            name = getattr(self.function, "__name__", repr(self.function))
            raise NotApplicable(
                f"numba cannot compile {name}(path, {', '.join(self.terms)}); write it over lanes with NumPy and say "
                f'PathFunction({name}, over="lanes", ...). It said: {str(error).strip().splitlines()[-1]}'
            ) from error
        return out

    def derivative(self, paths: Paths, parameter: str) -> FloatArray:
        """See `Contract.derivative`."""
        if self.gradient is None:
            return Contract.derivative(self, paths, parameter)
        by_spot = self._lanes(self.gradient(paths.spot, **self.terms), paths.spot.shape)
        moved: FloatArray = (by_spot * paths.spot * paths.law.tangent(parameter)).sum(axis=0)
        return moved

    def _lanes(self, values: Any, shape: tuple[int, ...]) -> FloatArray:
        found = np.ascontiguousarray(values, dtype=float)
        if found.shape != shape:
            raise InvalidInput("payoff", found.shape, f"must have the shape {shape} for spots [time, lane]")
        return found
