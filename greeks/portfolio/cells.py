"""Cells of a table, typed or text: what stands in them, read as names, numbers, dates and lists."""

from __future__ import annotations

import datetime as dt
import numbers
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import numpy as np

from pricers.errors import InvalidInput, finite

__all__ = [
    "READERS",
    "begins_as_formula",
    "date",
    "excerpt",
    "flag",
    "given",
    "listed",
    "name",
    "number",
    "parts",
    "text",
    "word",
]


LONGEST = 100
"""Characters that a name may have, and that are shown of a cell that is wrong."""


def given(cell: Any) -> Any:
    """The cell, or None where it is empty."""
    if isinstance(cell, str):
        return cell if cell.strip() else None
    if isinstance(cell, (list, tuple, np.ndarray)):
        return list(cell) or None
    if isinstance(cell, np.datetime64):
        return None if np.isnat(cell) else cell.astype("datetime64[us]").item()
    if isinstance(cell, np.generic):
        cell = cell.item()
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return None
    if (isinstance(cell, float) and cell != cell) or (isinstance(cell, Decimal) and cell.is_nan()):
        return None
    return cell


def text(value: Any) -> str:
    """A cell for people to read: numbers and dates as they would stand in a CSV file."""
    if value is None:
        return ""
    if isinstance(value, dt.datetime) and value.time() == dt.time():
        value = value.date()
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, (list, tuple)):
        return ";".join(map(text, value))
    try:
        found = str(value)
    except Exception:  # an integer of thousands of digits, an object of somebody's own
        return f"({type(value).__name__})"
    return found.encode("utf-8", "backslashreplace").decode().strip()  # half a surrogate pair is in no file's encoding


def excerpt(value: Any) -> str:
    """The beginning of a cell's text, enough to find it by."""
    found = text(value)
    return found if len(found) <= LONGEST else found[: LONGEST - 1] + "…"


def listed(names: Iterable[str]) -> str:
    """Names that stand in somebody's file, separated by commas; the first few where they are many."""
    every = list(map(text, names))
    shown, length = list[str](), 0
    for found in every:
        length += len(found) + 2
        if shown and length > 2 * LONGEST:
            break
        shown.append(excerpt(found))
    return ", ".join(shown) + (f" and {len(every) - len(shown)} more" if len(shown) < len(every) else "")


_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for a formula's beginning; the last four are the full-width forms, which some take for the others."""


def begins_as_formula(found: str) -> bool:
    """Whether a spreadsheet may run a text; blanks before it are skipped by some."""
    return found.lstrip().startswith(_FORMULA) or found.startswith(("\t", "\r", "\n"))


def name(field: str, value: Any) -> str:
    """A name that is safe in a web page and in a spreadsheet."""
    found = text(value)
    if not found:
        raise InvalidInput(field, value, "is missing")
    if begins_as_formula(found):
        raise InvalidInput(field, value, f"must not begin with {found[0]}, as a spreadsheet's formula does")
    if "<" in found or ">" in found:
        raise InvalidInput(field, value, "must not hold < or >, as an HTML tag does")
    if not found.isprintable() or (isinstance(value, str) and not value.strip(" ").isprintable()):
        raise InvalidInput(field, value, "must not hold tabs, line breaks or other unprintable characters")
    if len(found) > LONGEST:
        raise InvalidInput(field, value, f"must have at most {LONGEST} characters")
    return found


def word(field: str, value: Any) -> str:
    """A choice, in lower case."""
    if value is None:
        raise InvalidInput(field, None, "is missing")
    if not isinstance(value, str):
        raise InvalidInput(field, value, "must be text")
    return value.strip().lower()


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(inf|infinity|nan)", re.ASCII | re.IGNORECASE)


def number(field: str, value: Any) -> float:
    """A finite number."""
    if value is None:
        raise InvalidInput(field, None, "is missing or NaN")
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value.strip()):
            raise InvalidInput(field, value, "must be a number")
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, Decimal)):
        raise InvalidInput(field, value, "must be a number")
    return finite(field, value)


_FLAGS = {"true": True, "yes": True, "1": True, "1.0": True, "false": False, "no": False, "0": False, "0.0": False}


def flag(field: str, value: Any) -> bool:
    """Yes or no."""
    text = str(value).strip().lower()
    if text not in _FLAGS:
        raise InvalidInput(field, value, "must be true or false")
    return _FLAGS[text]


_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})([ T]00:00(:00(\.0+)?)?)?", re.ASCII)


def date(field: str, value: Any) -> dt.date:
    """A calendar day: a date, a datetime at midnight, or ISO text."""
    if isinstance(value, str) and (day := _DAY.fullmatch(value.strip())):
        try:
            return dt.date.fromisoformat(day[1])
        except ValueError:
            pass
    elif isinstance(value, dt.datetime):
        if value.time() == dt.time():
            return value.date()
    elif isinstance(value, dt.date):
        return value
    raise InvalidInput(field, value, "must be a calendar date such as 2002-12-20")


def parts(field: str, value: Any) -> Iterable[Any]:
    """The members of a list in a cell."""
    if isinstance(value, str):
        value = [part for part in value.split(";") if part.strip()]
    members = [given(member) for member in value] if isinstance(value, list) else [value]
    if not members or None in members:
        raise InvalidInput(field, value, "must be a list separated by semicolons")
    return members


READERS: dict[Any, Callable[[str, Any], Any]] = {
    float: number,
    float | None: number,
    str: word,
    bool: flag,
    tuple[float, ...]: lambda field, value: tuple(number(field, part) for part in parts(field, value)),
}
"""How a cell is read for a contract's field of each type."""
