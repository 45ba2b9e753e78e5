"""The columns of a risk report, in order: an entry here is a column of every file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from greeks.greek import Greek
from greeks.portfolio.read_trades import Position
from pricers.engine.estimate import Estimate

__all__ = ["Column", "blank", "columns", "filled"]

_EMPTY: dict[str, Any] = {"text": "", "number": math.nan, "count": 0, "flag": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column.

    Attributes
    ----------
    name : str
    kind : {"text", "number", "count", "flag"}
        What stands in it; it is empty (NaN, 0, False) where a row has no number.
    meaning : str
    value : callable, optional
        From the position, the Greek and one contract's estimate to what stands there. Without it `greeks.portfolio.risk_case` fills the
        column, which knows checks and failures too.
    """

    name: str
    kind: str
    meaning: str
    value: Callable[[Position, Greek, Estimate], Any] | None = None


def _text(name: str, meaning: str) -> Column:
    return Column(name=name, kind="text", meaning=meaning)


def _number(name: str, meaning: str, value: Callable[[Position, Greek, Estimate], Any] | None = None) -> Column:
    return Column(name=name, kind="number", meaning=meaning, value=value)


_COLUMNS = {
    column.name: column
    for column in (
        _text("trade_id", "the trade's"),
        _text("book", "the trade's"),
        _text("underlying", "the trade's"),
        _text("contract", "the contract's family"),
        _number("quantity", "how many contracts; negative where short"),
        _text("greek", "the Greek's name"),
        _number("value", "the position's", lambda position, greek, estimate: position.quantity * estimate.value),
        _number("stderr", "its standard error", lambda position, greek, estimate: abs(position.quantity) * estimate.stderr),
        Column(
            name="resolved",
            kind="flag",
            meaning="whether the paths tell the standard error",
            value=lambda position, greek, estimate: estimate.resolved,
        ),
        _number("bias", "the measured bias (its size)", lambda position, greek, estimate: abs(position.quantity) * estimate.bias),
        _number(
            "bias_stderr",
            "the bias's standard error",
            lambda position, greek, estimate: abs(position.quantity) * estimate.bias_stderr,
        ),
        _text("unit", "the unit of value"),
        _number("unit_value", "one contract's", lambda position, greek, estimate: estimate.value),
        _number("unit_stderr", "its standard error", lambda position, greek, estimate: estimate.stderr),
        _text("desk_greek", "the Greek's name on a desk"),
        _number("desk_value", "the position's in the desk's unit"),
        _number("desk_stderr", "its standard error"),
        _text("desk_unit", "the desk's unit"),
        _text("requested", "the estimator that was asked for"),
        _text("estimator", "the one that made the number"),
        _text("model", "the model's kind"),
        _number("vol", "the model's volatility"),
        Column(
            name="paths",
            kind="count",
            meaning="paths behind the number",
            value=lambda position, greek, estimate: estimate.paths,
        ),
        _text("check", "the independent method"),
        _number("check_value", "its number for one contract"),
        _number("z", "the distance from it in paired standard errors"),
        _number("resolves", "the least difference that would have counted"),
        _text("verdict", "what the independent method says"),
        _number("lr_value", "the likelihood ratio's number for one contract"),
        _number("lr_stderr", "its standard error"),
        _number("lr_z", "the distance from it in paired standard errors"),
        _text("lr_verdict", "what the likelihood ratio says"),
        _text("status", '"ok", or why there is no number'),
        _text("note", "what a reader should know of the number"),
        _text("terms", "the contract's, for people to read"),
    )
}


def columns() -> tuple[str, ...]:
    """Their names, in order."""
    return tuple(_COLUMNS)


def blank() -> dict[str, Any]:
    """A row without anything in it."""
    return {name: _EMPTY[column.kind] for name, column in _COLUMNS.items()}


def filled(position: Position, greek: Greek, estimate: Estimate) -> Iterable[tuple[str, Any]]:
    """What the columns that say their value themselves hold."""
    return [(name, column.value(position, greek, estimate)) for name, column in _COLUMNS.items() if column.value is not None]
