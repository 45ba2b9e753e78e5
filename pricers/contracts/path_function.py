"""A payoff of the user's own."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pricers.contracts.contract import Contract
from pricers.contracts.own_payoffs.compiled import Compiled, PathFailed, compiled
from pricers.contracts.own_payoffs.continuity import check_gradient, find_discontinuity, segments, trial_paths
from pricers.contracts.own_payoffs.terms import INITIAL_SPOT, Bound, bound_terms, name_of
from pricers.contracts.own_payoffs.trial import checked_paths, failure, plain_call, run_plainly, shown
from pricers.errors import InvalidInput, increasing, one_of
from pricers.numerics.kernel import kernel
from pricers.paths.paths import Paths
from pricers.paths.row_operations import empty

__all__ = ["PathFunction"]

FloatArray = npt.NDArray[np.float64]

_TRIALS = 8
"""Made-up paths that a payoff is tried on."""

_SEGMENTS, _SEGMENTS_LONG, _SEGMENTS_LIVE = 64, 32, 16
"""Segments on which jumps are looked for: fewer beyond a hundred dates, and where today's spot moves, too, and each point is a call of
its own."""

_BUMP = float(np.finfo(float).eps) ** (1 / 3)
"""Relative size of a bump along the path: the error of a smooth payoff's derivative, bump^2 and rounding over bump, is least."""

_USUAL_VOL = 0.2
"""Of the paths that a payoff is tried on where no model is known."""

_RESERVED = ("function", "times", "over", "gradient", "continuous", "terms")


@kernel
def _bumped(spot, tangent, bump, same, up, down, size):
    """Spots moved along the tangent [time, path] or [time, 1] and against it, each path by ``size`` [path].

    The size is ``same``, or where that is zero what moves no spot by more than ``bump`` of itself.
    """
    many = tangent.shape[1] > 1
    for path in range(size.shape[0]):
        size[path] = 0.0
    for t in range(spot.shape[0]):
        for path in range(size.shape[0]):
            moved = abs(tangent[t, path if many else 0])
            size[path] = moved if moved > size[path] else size[path]
    for path in range(size.shape[0]):
        size[path] = same if same > 0.0 else bump / size[path] if size[path] > 0.0 else 1.0
    for t in range(spot.shape[0]):
        for path in range(size.shape[0]):
            shift = spot[t, path] * size[path] * tangent[t, path if many else 0]
            up[t, path] = spot[t, path] + shift
            down[t, path] = spot[t, path] - shift


class PathFunction(Contract):
    """A payoff given as a plain function, paid at the last date.

    >>> def up_and_out_call(path, strike, barrier):
    ...     if path.max() >= barrier:
    ...         return 0.0
    ...     return max(path[-1] - strike, 0.0)
    >>> contract = PathFunction(up_and_out_call, times=(0.5, 1.0), barrier=130.0, strike=100.0)

    Before paths are simulated the function is run in plain Python on a few made-up paths: what it raises is shown with its line, and
    what it returns must be a finite number. An index beyond the path's dates is an error, in the compiled function too.

    Parameters
    ----------
    function : callable
        With ``over="path"``, a function ``f(path, ...)`` of one path (a one-dimensional array of spots at ``times``) that
        returns a number; numba compiles it. With ``over="paths"``, a NumPy function ``f(spot, ...)`` of ``spot[time, path]``, which it
        may not write to, that returns ``[path]``. The path is its first parameter, terms are the others; one called ``initial_spot``
        receives today's spot, unless a term of this name is given.
    times : sequence of float
        Dates the function looks at, years from the valuation, positive and increasing.
    over : {"path", "paths"}
    gradient : callable, optional
        ``g(spot, ...)`` over paths, with the function's terms: the payoff's derivative by each spot, [time, path]. Give it only where
        the payoff does not jump; it is verified against the payoff.
    continuous : bool
        Say that the payoff does not jump as spots move. It is then differentiated along each path by a central difference of relative
        size 6e-6, and has pathwise Greeks. The claim is verified. Without it and without a gradient the payoff is taken to jump, and
        `Pathwise` refuses it.
    terms : mapping, optional
        Terms whose names are keywords of this constructor.
    **named : float
        The payoff's own numbers, by the names of the function's parameters; those not given keep the function's defaults. They arrive as
        floats; a whole number stays an ``int`` where the parameter's default is one.

    Raises
    ------
    InvalidInput
        Where a term is missing, unknown or no finite number, or the function's parameters cannot be told by name.
    """

    family: ClassVar[str] = "path_function"
    __slots__ = ("_bound", "_compiled", "_tried", "continuous", "function", "gradient", "over", "terms", "times")

    function: Callable[..., Any]
    gradient: Callable[..., Any] | None
    continuous: bool
    over: str
    terms: Mapping[str, float]
    _bound: Bound
    _compiled: Compiled | None
    _tried: tuple[tuple[float, float], ...]

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        times: Any,
        over: str = "path",
        gradient: Callable[..., Any] | None = None,
        continuous: bool = False,
        terms: Mapping[str, float] | None = None,
        **named: float,
    ):
        if not callable(function):
            raise InvalidInput("function", function, "must be callable")
        if gradient is not None and not callable(gradient):
            raise InvalidInput("gradient", gradient, "must be callable")
        if not isinstance(continuous, bool):
            raise InvalidInput("continuous", continuous, "must be True or False")
        if terms is not None and not isinstance(terms, Mapping):
            raise InvalidInput("terms", terms, "must be a mapping from names to numbers")
        twice = sorted(set(terms or ()) & set(named))
        if twice:
            raise InvalidInput(twice[0], named[twice[0]], "must be given once, by its name or in terms")
        over = one_of("over", "paths" if over == "lanes" else over, ("path", "paths"))  # "lanes" is an older name
        bound = bound_terms(function, {**(terms or {}), **named}, over=over, reserved=_RESERVED)
        values = {
            "function": function,
            "gradient": gradient,
            "continuous": continuous,
            "over": over,
            "times": increasing("times", times),
            "terms": MappingProxyType(bound.terms),
            "_bound": bound,
            "_compiled": None,
            "_tried": (),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} of a contract does not change; make another PathFunction")

    def __repr__(self) -> str:
        terms = "".join(f", {name}={value!r}" for name, value in self.terms.items())
        text = ", continuous=True" if self.continuous else ""
        return f"PathFunction({name_of(self.function)}, over={self.over!r}{text}{terms})"

    def __eq__(self, other: object) -> bool:
        return self._values == other._values if isinstance(other, PathFunction) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values)

    def __reduce__(self) -> tuple[Any, ...]:
        given = {"times": self.times, "over": self.over, "gradient": self.gradient, "continuous": self.continuous}
        return _made, (self.function, {**given, "terms": dict(self.terms)})

    @property
    def _values(self) -> tuple[Any, ...]:
        return self.function, self.gradient, self.continuous, self.over, self.times, frozenset(self.terms.items())

    @property
    def discontinuous(self) -> bool:
        """Taken to be so, unless a gradient was given or the payoff is said to be continuous."""
        return self.gradient is None and not self.continuous

    @property
    def gradient_lacks_because(self) -> str:
        """See `Contract.gradient_lacks_because`."""
        return f"{name_of(self.function)} was given without gradient=... or continuous=True"

    @property
    def uses_initial_spot(self) -> bool:
        """See `Contract.uses_initial_spot`."""
        return self._bound.takes_initial_spot

    @property
    def derivative_note(self) -> str:
        """See `Contract.derivative_note`."""
        return f"payoff bumped along the path by {_BUMP:.0e}" if self.gradient is None and self.continuous else ""

    def check_payoff(self, *, spot: float, vol: float) -> None:
        """Run the function on made-up paths around ``spot``, and verify its gradient or that it does not jump.

        Done once for spots and volatilities that are alike (within a quarter, and a half).

        Raises
        ------
        InvalidInput
            Where the function raises, returns anything but finite numbers, jumps although it is said not to, or has another gradient.
        NotApplicable
            Where numba cannot compile it.
        """
        vol = min(max(vol, 0.01), 2.0 / math.sqrt(self.times[-1]))  # so that made-up paths move, and stay among the numbers
        near = (math.log(1.25), math.log(1.5))
        asked = math.log(spot), math.log(vol)
        if any(all(abs(a - b) < w for a, b, w in zip(asked, old, near, strict=True)) for old in self._tried):
            return
        with _LOCK:
            paths = trial_paths(times=self.times, spot=spot, vol=vol, count=_TRIALS)
            (self._try_path if self.over == "path" else self._try_paths)(paths, spot)
            if not self.discontinuous:
                self._check_continuous(spot, vol)
            object.__setattr__(self, "_tried", (*self._tried[-15:], asked))

    def payoff(self, paths: Paths) -> FloatArray:
        """See `Contract.payoff`."""
        self._check_on(paths)
        return self._paid(paths.spot, self._initial_spot(paths))

    def derivative(self, paths: Paths, parameter: str) -> FloatArray:
        """See `Contract.derivative`; it includes how the payoff moves with ``initial_spot`` itself."""
        if self.discontinuous:
            return Contract.derivative(self, paths, parameter)
        self._check_on(paths)
        start = self._initial_spot(paths)
        if self.gradient is not None:
            moved: FloatArray = (self._slopes(paths.spot, start) * paths.spot * paths.law.tangent(parameter)).sum(axis=0)
            if parameter == "spot" and self.uses_initial_spot:
                moved += self.initial_spot_derivative(paths)
            return moved
        moves = parameter == "spot" and self.uses_initial_spot  # then all bumps have one size, as that of today's spot has
        up_spot, down_spot, size = empty(paths.spot.shape), empty(paths.spot.shape), empty((paths.n_paths,))
        _bumped(paths.spot, paths.law.tangent(parameter), _BUMP, _BUMP * start if moves else 0.0, up_spot, down_spot, size)
        by_start = _BUMP * start if moves else 0.0
        up, down = self._paid(up_spot, start + by_start), self._paid(down_spot, start - by_start)
        return (up - down) / (2.0 * size)

    def initial_spot_derivative(self, paths: Paths) -> FloatArray:
        """See `Contract.initial_spot_derivative`; a central difference of relative size 6e-6."""
        if self.discontinuous or not self.uses_initial_spot:
            return Contract.initial_spot_derivative(self, paths)
        self._check_on(paths)
        start = self._initial_spot(paths)
        up, down = (self._paid(paths.spot, start * (1.0 + sign * _BUMP)) for sign in (1.0, -1.0))
        return (up - down) / (2.0 * _BUMP * start)

    def _initial_spot(self, paths: Paths) -> float:
        if not self.uses_initial_spot:
            return math.nan
        if paths.initial_spot is None:
            raise InvalidInput(
                INITIAL_SPOT, None, f"must be known for {name_of(self.function)}; these paths do not say where they start"
            )
        return paths.initial_spot

    def _check_on(self, paths: Paths) -> None:
        """Before the first payoff, where no engine has done so."""
        if not self._tried and paths.n_paths:
            spot = paths.initial_spot or float(np.exp(np.log(paths.spot[0]).mean()))
            self.check_payoff(spot=spot if spot > 0.0 else 100.0, vol=_USUAL_VOL)

    def _paid(self, spot: FloatArray, initial_spot: float) -> FloatArray:
        """What the function pays on ``spot`` [time, path]."""
        if self.over == "paths":
            return self._of_paths(self.function, spot, initial_spot, "payoff")
        if self._compiled is None:
            object.__setattr__(self, "_compiled", compiled(self.function, self._bound.ordered(1.0)))
        assert self._compiled is not None
        out = empty((spot.shape[1],))
        try:
            self._compiled(spot, self._bound.ordered(initial_spot), out)
        except PathFailed as failed:
            raise self._raised(failed, spot[:, failed.path], initial_spot) from failed.error
        return out

    def _raised(self, failed: PathFailed, path: FloatArray, initial_spot: float) -> InvalidInput:
        """The function run again on the path it failed on, in plain Python, which knows the line."""
        call = plain_call(self.function, self._bound.named(initial_spot), self._bound.order)
        try:
            with np.errstate(divide="raise", invalid="raise"):
                call(path.copy())
        except Exception as error:
            error_there = failed.error.with_traceback(error.__traceback__) if isinstance(error, FloatingPointError) else error
            return failure(self.function, error_there, path)
        return failure(self.function, failed.error, path)

    def _of_paths(self, function: Callable[..., Any], spot: FloatArray, initial_spot: float, what: str) -> FloatArray:
        """A function over paths, on a view that it cannot write to."""
        view = spot.view()
        view.flags.writeable = False
        try:
            values = function(view, **self._bound.named(initial_spot))
        except Exception as error:
            raise failure(function, error, None, what="function" if what == "payoff" else what) from error
        return checked_paths(function, values, spot.shape, what=what)

    def _slopes(self, spot: FloatArray, initial_spot: float) -> FloatArray:
        assert self.gradient is not None
        return self._of_paths(self.gradient, spot, initial_spot, "gradient")

    def _try_path(self, paths: FloatArray, spot: float) -> None:
        plain = run_plainly(self.function, paths, self._bound.named(spot), self._bound.order)
        paid = self._paid(paths, spot)
        self._same(
            plain,
            paid,
            paths,
            "pays {1:.10g} compiled by numba and {0:.10g} in plain Python; integers may overflow when compiled",
        )

    def _try_paths(self, paths: FloatArray, spot: float) -> None:
        paid = self._paid(paths, spot)
        for path in range(paths.shape[1]):
            if not math.isfinite(paid[path]):
                name = name_of(self.function)
                raise InvalidInput(
                    "function", shown(paths[:, path]), f"must return finite numbers, but {name} returned {paid[path]}"
                )
        part = self._paid(np.ascontiguousarray(paths[:, :3]), spot)
        self._same(
            paid[:3], part, paths, "pays {0:.10g} beside other paths and {1:.10g} beside fewer; it must treat each path alone"
        )

    def _same(self, one: FloatArray, other: FloatArray, paths: FloatArray, text: str) -> None:
        for path, (a, b) in enumerate(zip(one, other, strict=True)):
            if not math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9 * float(np.abs(one).max())):
                reason = f"must pay the same however it is run, but {name_of(self.function)} {text.format(a, b)}"
                raise InvalidInput("function", shown(paths[:, path]), reason)

    def _check_continuous(self, spot: float, vol: float) -> None:
        live = self.uses_initial_spot

        def at(points: FloatArray) -> FloatArray:
            if not live:
                return self._paid(np.ascontiguousarray(points), math.nan)
            return np.array([self._paid(np.ascontiguousarray(p[1:, None]), float(p[0]))[0] for p in points.T])

        count = _SEGMENTS_LIVE if live else _SEGMENTS if len(self.times) <= 100 else _SEGMENTS_LONG
        start, end = segments(times=self.times, spot=spot, vol=vol, count=count, initial_spot=live)
        found, name = find_discontinuity(at, start, end), name_of(self.function)
        if found is not None:
            one, other = sorted((found.paid_before, found.paid_after))
            where = f"{INITIAL_SPOT} {found.before[0]:.10g} and " if live else ""
            field, value = ("gradient", "gradient=...") if self.gradient is not None else ("continuous", True)
            why = "no gradient says how its mean moves" if self.gradient is not None else "it is not continuous"
            raise InvalidInput(
                field,
                value,
                f"must not be given for a payoff that jumps: {name} jumps between {one:.10g} and {other:.10g} at "
                f"{where}{shown(found.before[live:])}, and {why}; leave it out and use LikelihoodRatio()",
            )
        if self.gradient is not None:
            start, end = segments(times=self.times, spot=spot, vol=vol, count=_SEGMENTS, initial_spot=False)
            check_gradient(
                lambda points: self._paid(points, spot), lambda points: self._slopes(points, spot), start, end, name=name
            )


_LOCK = threading.RLock()


def _made(function: Callable[..., Any], given: dict[str, Any]) -> PathFunction:
    """A contract from what it was pickled as."""
    return PathFunction(function, **given)
