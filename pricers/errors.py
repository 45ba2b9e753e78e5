"""What goes wrong, said so that a caller can act on it and a batch can file it."""

from __future__ import annotations

import math
import pickle
import reprlib
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

__all__ = ["InvalidInput", "NotApplicable", "finite", "increasing", "non_negative", "one_of", "positive"]


class InvalidInput(ValueError):
    """A value that no calculation can start from.

    Attributes
    ----------
    field : str
        The name of the term or column.
    value : object
        What stood there.
    reason : str
        What is wanted instead.
    """

    def __init__(self, field: str, value: object, reason: str):
        self.field, self.value, self.reason = field, value, reason
        super().__init__(f"{field} {reason}, got {_quoted(value)}")

    def __reduce__(self) -> tuple[Any, ...]:
        """For `pickle` and `copy`. A value that cannot be pickled itself becomes its text, so that the error arrives in any case."""
        arguments = (self.field, _portable(self.value), self.reason)
        return _restored, (type(self), str(self), arguments, {**self.__dict__, "value": arguments[1]})


class NotApplicable(TypeError):
    """A method that cannot answer this question; the text names one that can."""


def _portable(value: object) -> object:
    try:
        pickle.loads(pickle.dumps(value))
    except Exception:  # whatever a value's own methods raise
        return _quoted(value)
    return value


def _restored(kind: type[InvalidInput], text: str, arguments: tuple[str, object, str], state: dict[str, Any]) -> InvalidInput:
    """An error as it was, without asking its constructor: a subclass may have another one, and the text must stay."""
    error = kind.__new__(kind, *arguments)
    ValueError.__init__(error, text)
    error.__dict__.update(state)
    return error


_MOST_QUOTED = 200
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = _MOST_QUOTED
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = _REPR.maxset = _REPR.maxfrozenset = 40


def _quoted(value: object) -> str:
    """``value`` as Python writes it, in at most 200 characters; nothing that stands in a cell makes this fail."""
    try:
        found = _REPR.repr(value)
    except Exception:  # an integer of thousands of digits, a class of somebody's own
        found = f"a value of type {type(value).__name__}"
    return found if len(found) <= _MOST_QUOTED else f"{found[: _MOST_QUOTED - 1]}…"


def _number(field: str, value: Any) -> float:
    if isinstance(value, str) or not hasattr(value, "__float__"):
        raise InvalidInput(field, value, "must be a number")
    try:
        return float(value)
    except OverflowError:  # an integer or fraction beyond all floats
        return math.inf
    except (TypeError, ValueError, ArithmeticError):  # an array of several, a signalling NaN
        raise InvalidInput(field, value, "must be a number") from None


def finite(field: str, value: Any) -> float:
    """``value`` as a float, or `InvalidInput` where it is not a finite number."""
    number = _number(field, value)
    if not math.isfinite(number):
        raise InvalidInput(field, value, "must be finite")
    return number


def positive(field: str, value: Any) -> float:
    """``value`` as a float, or `InvalidInput` where it is not a finite number above zero."""
    number = finite(field, value)
    if not number > 0.0:
        raise InvalidInput(field, value, "must be positive")
    return number


def non_negative(field: str, value: Any) -> float:
    """``value`` as a float, or `InvalidInput` where it is not a finite number of at least zero."""
    number = finite(field, value)
    if number < 0.0:
        raise InvalidInput(field, value, "must not be negative")
    return number


def one_of(field: str, value: Any, choices: Iterable[str]) -> str:
    """``value``, or `InvalidInput` where it is not one of ``choices``."""
    names = tuple(choices)
    if not isinstance(value, str) or value not in names:
        raise InvalidInput(field, value, f"must be one of {', '.join(names)}")
    return value


def increasing(field: str, values: Any) -> tuple[float, ...]:
    """``values`` as a tuple of positive, strictly increasing floats, or `InvalidInput`."""
    try:
        numbers = tuple(finite(field, value) for value in values)
    except TypeError:
        raise InvalidInput(field, values, "must be a sequence of dates in years") from None
    if not numbers:
        raise InvalidInput(field, values, "must hold at least one date after the valuation")
    if not numbers[0] > 0.0:
        raise InvalidInput(field, numbers[0], "must lie after the valuation (a fixing of today or before is a past one)")
    for earlier, later in pairwise(numbers):
        if not later > earlier:
            raise InvalidInput(field, later, f"must increase strictly and follows {earlier!r}")
    return numbers
