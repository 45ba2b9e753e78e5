"""The terms of a user's payoff, bound by name to the parameters of its function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pricers.errors import InvalidInput, finite

__all__ = ["INITIAL_SPOT", "Bound", "bound_terms", "name_of", "source_of"]

INITIAL_SPOT = "initial_spot"
"""A parameter of this name receives today's spot, unless a term of this name is given."""

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def source_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """The Python function behind one that the user compiled with numba; any other function as it is."""
    source: Callable[..., Any] = getattr(function, "py_func", function)
    return source


def name_of(function: Callable[..., Any]) -> str:
    """How messages call a function."""
    return str(getattr(function, "__name__", None) or type(function).__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How a payoff's function is called.

    Attributes
    ----------
    terms : dict
        The terms that were given, as floats (a whole number stays an ``int`` where the parameter's default is one).
    order : tuple of str
        Every parameter after the path, in the function's own order.
    defaults : dict
        Values of parameters that were not given, from the function.
    takes_initial_spot : bool
        Whether today's spot is passed as ``initial_spot``.
    """

    terms: dict[str, Any]
    order: tuple[str, ...]
    defaults: dict[str, Any]
    takes_initial_spot: bool

    def named(self, initial_spot: float) -> dict[str, Any]:
        """Keyword arguments."""
        return {**self.terms, INITIAL_SPOT: initial_spot} if self.takes_initial_spot else dict(self.terms)

    def ordered(self, initial_spot: float) -> tuple[Any, ...]:
        """All arguments after the path, by position, with the defaults filled in."""
        given = {**self.defaults, **self.named(initial_spot)}
        return tuple(given[name] for name in self.order)


def bound_terms(function: Callable[..., Any], terms: Mapping[str, Any], *, over: str, reserved: tuple[str, ...]) -> Bound:
    """Terms matched to the parameters of ``function``, whose first one is the path.

    Parameters
    ----------
    function : callable
    terms : mapping of str to number
    over : {"path", "paths"}
        Over paths a function may take ``**kwargs``, which then receives terms of any name.
    reserved : tuple of str
        Keywords of the constructor itself, which a term of that name has to be told from.

    Raises
    ------
    InvalidInput
        Where a term is missing, unknown or no number, or the function's parameters cannot be matched by name.
    """
    for name, value in terms.items():
        if not isinstance(name, str):
            raise InvalidInput("terms", name, "must have names for keys")
        finite(name, value)
    parameters = _parameters(function, over)
    names = [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
    takes = f"{name_of(function)} takes {', '.join(names) if names else 'no terms'} after the path"
    anything = len(names) < len(parameters)
    unknown = [] if anything else [name for name in terms if name not in names]
    if unknown:
        raise InvalidInput(unknown[0], terms[unknown[0]], f"must be a parameter of the function: {takes}")
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty and p.name not in terms}
    live = INITIAL_SPOT in names and INITIAL_SPOT not in terms
    if live:
        defaults.pop(INITIAL_SPOT, None)
    for name in names:
        if name in terms or name in defaults or (live and name == INITIAL_SPOT):
            continue
        clash = f"; {name} is also a keyword of PathFunction, so give it as terms={{{name!r}: ...}}" if name in reserved else ""
        raise InvalidInput(name, None, f"must be given, for {takes}{clash}")
    whole = {p.name for p in parameters if isinstance(p.default, int) and not isinstance(p.default, bool)}
    return Bound(
        terms={name: int(v) if name in whole and _is_whole(v) else float(v) for name, v in terms.items()},
        order=tuple(names),
        defaults=defaults,
        takes_initial_spot=live,
    )


def _is_whole(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def _parameters(function: Callable[..., Any], over: str) -> list[inspect.Parameter]:
    """The parameters that terms may be bound to: all but the first."""
    name = name_of(function)
    if over == "path" and not inspect.isfunction(source_of(function)):
        raise InvalidInput(
            "function", name, 'must be a plain function (def or lambda) of one path; write one that calls it, or say over="paths"'
        )
    try:
        first, *others = inspect.signature(source_of(function)).parameters.values()
    except (TypeError, ValueError):
        raise InvalidInput(
            "function", name, "must have named parameters, a path first and then its terms; write a def that calls it"
        ) from None
    if first.kind not in _POSITIONAL:
        raise InvalidInput("function", name, f"must take a path as its first parameter by position and starts with {first}")
    for other in others:
        if other.kind is inspect.Parameter.VAR_POSITIONAL:
            raise InvalidInput("function", name, f"must name each of its terms, which are bound by name, and takes {other}")
        if other.kind is inspect.Parameter.VAR_KEYWORD and over == "path":
            raise InvalidInput(
                "function", name, f'must name each of its terms to be compiled, and takes {other}; or say over="paths"'
            )
        if other.kind is inspect.Parameter.POSITIONAL_ONLY and over == "paths":
            raise InvalidInput("function", name, f"must take its terms by name, and {other.name} is positional only")
    return others
