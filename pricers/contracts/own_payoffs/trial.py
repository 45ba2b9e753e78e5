"""A user's payoff run in plain Python: what it raises, with its line, and what it returns."""

from __future__ import annotations

import linecache
import math
import numbers
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import numpy as np
import numpy.typing as npt

from pricers.contracts.own_payoffs.terms import name_of, source_of
from pricers.errors import InvalidInput

__all__ = ["checked_number", "checked_paths", "failure", "plain_call", "rebuilt", "run_plainly", "shown"]

FloatArray = npt.NDArray[np.float64]

_QUOTED = 200
"""Characters of a user's text that a message quotes, at most."""

_FOREIGN = ("numpy", "numba", "scipy", "math", "builtins")
"""Packages whose functions are not helpers of the user's."""


def shown(path: FloatArray) -> str:
    """A path, short enough for a message."""
    values = [f"{value:.10g}" for value in path]
    if len(values) > 6:
        values = [*values[:3], "...", *values[-2:]]
    return f"path {', '.join(values)}"


def failure(
    function: Callable[..., Any], error: BaseException, path: FloatArray | None, *, what: str = "function"
) -> InvalidInput:
    """The error that says what a user's function raised, in which line, on which path."""
    text = " ".join(str(error).split())[:_QUOTED]
    text = f"{name_of(function)} raised {type(error).__name__}" + (f": {text}" if text else "") + _line(function, error)
    dates = "" if path is None else f" of {len(path)} date{'s' if len(path) > 1 else ''}"
    return InvalidInput(what, "a block of paths" if path is None else shown(path), f"must run on every path{dates}, but {text}")


def _line(function: Callable[..., Any], error: BaseException) -> str:
    """Where a traceback leaves the user's own file, if it gets there."""
    code = getattr(source_of(function), "__code__", None)
    file = None if code is None else code.co_filename
    found = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            found = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
    if found is None:
        return ""
    source = linecache.getline(*found).strip()[:_QUOTED]
    return f' (file "{found[0]}", line {found[1]}' + (f": `{source}`)" if source else ")")


def rebuilt(function: Callable[..., Any], convert: Callable[[FunctionType], Any], seen: tuple[Any, ...] = ()) -> FunctionType:
    """The Python function behind ``function``, with the helpers that it calls by name replaced by what ``convert`` makes of them.

    Helpers are functions of the user's among its globals and its closure, compiled or not, and their own helpers in turn.
    """
    source = source_of(function)
    assert isinstance(source, FunctionType)
    seen = (*seen, source)

    def replaced(value: Any) -> Any:
        helper = helper_of(value)
        return value if helper is None or helper in seen else convert(rebuilt(helper, convert, seen))

    names = source.__globals__
    changed = {
        name: new for name in names_in(source.__code__) if name in names and (new := replaced(names[name])) is not names[name]
    }
    cells = source.__closure__ or ()
    closure = tuple(_cell(cell, replaced) for cell in cells)
    if not changed and all(new is cell for new, cell in zip(closure, cells, strict=True)):
        return source
    made = FunctionType(source.__code__, {**names, **changed}, source.__name__, source.__defaults__, closure or None)
    made.__kwdefaults__, made.__module__, made.__qualname__ = source.__kwdefaults__, source.__module__, source.__qualname__
    return made


def helper_of(value: Any) -> FunctionType | None:
    """The Python function of a helper of the user's, or None where ``value`` is something else."""
    source = source_of(value)
    if not isinstance(source, FunctionType) or (source.__module__ or "").split(".")[0] in _FOREIGN:
        return None
    return source


def names_in(code: Any) -> list[str]:
    """Global names and attributes that a function uses, those of functions inside it included."""
    inner = [name for constant in code.co_consts if hasattr(constant, "co_names") for name in names_in(constant)]
    return [*code.co_names, *inner]


def _cell(cell: Any, replaced: Callable[[Any], Any]) -> Any:
    try:
        value = cell.cell_contents
    except ValueError:  # not yet filled
        return cell
    new = replaced(value)
    return cell if new is value else type(cell)(new)


def plain_call(function: Callable[..., Any], terms: Mapping[str, Any], order: tuple[str, ...]) -> Callable[[FloatArray], Any]:
    """A function of one path with its terms bound, to be run in plain Python: indices are checked, and nothing is compiled.

    Helpers that the user compiled run as Python, too. Parameters that are positional only are given by position.
    """
    plain = rebuilt(function, lambda helper: helper)
    count = max(plain.__code__.co_posonlyargcount - 1, 0)
    positional = tuple(terms[name] for name in order[:count] if name in terms)
    named = {name: value for name, value in terms.items() if name not in order[:count]}
    return lambda path: plain(path, *positional, **named)


def run_plainly(function: Callable[..., Any], spot: FloatArray, terms: Mapping[str, Any], order: tuple[str, ...]) -> FloatArray:
    """What a function of one path returns on each path of ``spot`` [time, path] in plain Python, [path].

    Raises
    ------
    InvalidInput
        Where it raises an exception or returns anything but a finite real number.
    """
    call, paid = plain_call(function, terms, order), np.empty(spot.shape[1])
    for path in range(spot.shape[1]):
        try:
            with np.errstate(all="ignore"):
                value = call(spot[:, path].copy())
        except Exception as error:
            raise failure(function, error, spot[:, path]) from error
        paid[path] = checked_number(function, value, spot[:, path])
    return paid


def checked_number(function: Callable[..., Any], value: Any, path: FloatArray) -> float:
    """``value`` as a float, or `InvalidInput` where a payoff may not return it."""
    name = name_of(function)
    if not isinstance(value, (numbers.Real, np.bool_)):
        why = "; one of its branches returns nothing" if value is None else ""
        kind = "None" if value is None else f"{_article(type(value).__name__)} ({str(value)[:60]})"
        raise InvalidInput("function", shown(path), f"must return a number, but {name} returned {kind}{why}")
    if not math.isfinite(value):
        raise InvalidInput("function", shown(path), f"must return a finite number, but {name} returned {float(value)!r}")
    return float(value)


def _article(word: str) -> str:
    return f"{'an' if word[0].lower() in 'aeiou' else 'a'} {word}"


def checked_paths(function: Callable[..., Any], values: Any, spots: tuple[int, ...], *, what: str = "payoff") -> FloatArray:
    """What a function over paths returned for ``spots`` of a shape, as floats [path], or [time, path] for a gradient.

    Raises
    ------
    InvalidInput
        Where it has another shape, or holds anything but real numbers.
    """
    name, shape = name_of(function), spots[1:] if what == "payoff" else spots
    wanted = f"must have the shape {shape} for spots [time, path] of the shape {spots}"
    if values is None:
        raise InvalidInput(what, None, f"{wanted}, but {name} returned nothing")
    try:
        found = np.asarray(values)
    except ValueError as error:
        raise InvalidInput(what, type(values).__name__, f"{wanted}, and {name} returned no array: {error}") from None
    if found.dtype.kind not in "fiub":
        raise InvalidInput(what, str(found.dtype), f"must be made of real numbers, but {name} returned others")
    if found.shape != shape:
        raise InvalidInput(what, found.shape, f"{wanted}, but {name} returned another")
    return np.ascontiguousarray(found, dtype=float)
