"""From a table of trades to positions, and to the reasons why a row is none."""

from __future__ import annotations

import calendar
import datetime as dt
import difflib
import importlib
import itertools
import math
import pkgutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from greeks.engine.registry import classes, estimators
from greeks.estimators.base import Estimator
from greeks.portfolio import cells, inputs
from greeks.portfolio.formats import csv_file
from greeks.portfolio.formats.csv_file import SURPLUS
from greeks.portfolio.market_data import KINDS, MarketData
from pricers.contracts.contract import Contract
from pricers.errors import InvalidInput, one_of
from pricers.market.market import DAYS_PER_YEAR, Market
from pricers.models.model import Model

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Portfolio", "Position", "Reject", "families", "read_book", "read_portfolio"]

REQUIRED = ("trade_id", "book", "underlying", "contract", "quantity")
OPTIONAL = ("expiry", "estimator", "model")
RULES = ("daily", "weekly", "monthly")

MOST_YEARS = 50
"""A date further ahead is taken for a slip of the pen: every day up to the last one costs a random number per path."""

MOST_QUANTITY = 1e15
"""No position is larger, and no sum of such overflows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """So many of one contract, in its market, with the estimator that its row asks for.

    Attributes
    ----------
    row : int
        In the table, from 1.
    trade_id, book, underlying : str
    quantity : float
        Negative where short.
    contract : Contract
    model : Model
    market : Market
    estimator : Estimator
    terms : str
        The contract's, for people to read.
    """

    row: int
    trade_id: str
    book: str
    underlying: str
    quantity: float
    contract: Contract
    model: Model
    market: Market
    estimator: Estimator
    terms: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A row that is no position, or that has no number.

    Attributes
    ----------
    row : int
        In the table, from 1.
    trade_id : str
        As given, whatever it holds.
    book, underlying, contract : str
        Where they can be read, else empty.
    quantity : float
        NaN where it cannot be read.
    model : str
        Its kind where that can be told, else empty.
    field, value, reason : str
        What is wrong: the column, what stands there, and why not.
    """

    row: int
    trade_id: str
    book: str = ""
    underlying: str = ""
    contract: str = ""
    quantity: float = math.nan
    model: str = ""
    field: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Portfolio:
    """Every row of a table, as a position or as a reject, in the table's order.

    Attributes
    ----------
    rows : tuple of Position or Reject
    ignored : tuple of str
        Columns that say nothing here.
    """

    rows: tuple[Position | Reject, ...]
    ignored: tuple[str, ...] = ()

    @property
    def positions(self) -> tuple[Position, ...]:
        """What can be priced."""
        return tuple(row for row in self.rows if isinstance(row, Position))

    @property
    def rejects(self) -> tuple[Reject, ...]:
        """What cannot."""
        return tuple(row for row in self.rows if isinstance(row, Reject))


def read_book(path: str | Path, *, most_bytes: int | None = inputs.MOST_BYTES) -> pd.DataFrame:
    """A file of trades as a table: in the format that its name's suffix says, CSV where no format does (`greeks.portfolio.formats`).

    Parameters
    ----------
    path : path
    most_bytes : int, optional
        Bytes that the file may have; None for any number.

    Raises
    ------
    InvalidInput
        Where it cannot be read in that format, is no plain file, or is larger.
    """
    path = Path(path)
    read: Callable[[Path, int | None], pd.DataFrame] = _formats().get(path.suffix.lower(), csv_file.read)
    return read(path, most_bytes)


@cache
def _formats() -> dict[str, Any]:
    """The functions that read files of trades, by the suffix of their names."""
    package = importlib.import_module("greeks.portfolio.formats")
    modules = [importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)]
    return {suffix: module.read for module in modules for suffix in module.SUFFIXES}


def read_portfolio(frame: pd.DataFrame, market: MarketData, *, estimator: Estimator) -> Portfolio:
    """Positions and rejects of a table of trades: every row becomes one of the two.

    Columns are ``trade_id``, ``book``, ``underlying``, ``contract`` (a family's name), ``quantity``, the fields of the
    families by their names, and where wanted ``estimator`` and ``model``. Cells may be typed or text. Empty cells, None and
    NaN mean "not given". A field that the family does not have must not be given (False and 0 may, where they are the field's
    default). Columns of other names are ignored, unless the name looks misspelt.

    Dates are calendar days (2002-12-20, or a date or Timestamp without a time of day); a list of dates is separated by
    semicolons, or is a rule that counts back from the column ``expiry`` to the valuation, which is left out: ``daily``
    (Monday to Friday), ``weekly`` (every seventh day), ``monthly`` (the same day of the month, or its last); the expiry
    itself always belongs. Where dates are listed and an ``expiry`` is given too, it must be the last of them.

    Where several rows have one ``trade_id``, all of them are rejected: which is right cannot be told, and the order of rows must
    not decide.

    Parameters
    ----------
    frame : DataFrame
        Is not changed; its index is not looked at.
    market : MarketData
    estimator : Estimator
        For rows that name none.

    Raises
    ------
    InvalidInput
        Where the table as a whole cannot be read.
    """
    columns, ignored = _columns(frame)
    values = {name: frame.iloc[:, place].tolist() for name, place in columns.items()}
    rows = [{name: cells.given(column[i]) for name, column in values.items()} for i in range(len(frame))]
    counts = Counter(cells.text(row["trade_id"]) for row in rows)
    return Portfolio(
        rows=tuple(_row(number, row, counts, market, estimator) for number, row in enumerate(rows, start=1)), ignored=ignored
    )


def _columns(frame: pd.DataFrame) -> tuple[dict[str, int], tuple[str, ...]]:
    """Where each known column stands, and the names of the others."""
    names = [cells.text(name).lower() for name in frame.columns]
    known = {*REQUIRED, *OPTIONAL, SURPLUS, *(field.name for family in families().values() for field in _fields(family))}
    if twice := sorted(name for name, count in Counter(names).items() if count > 1 and name in known):
        raise InvalidInput("columns", ", ".join(twice), "must stand in the table once each")
    if missing := [name for name in REQUIRED if name not in names]:
        raise InvalidInput("columns", cells.listed(names), f"must include {', '.join(missing)}")
    ignored = tuple(cells.excerpt(name) for name in names if name not in known)
    for name in ignored:
        if close := difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.85):
            raise InvalidInput("columns", name, f"must be spelt right: is {close[0]} meant?")
    if not len(frame):
        raise InvalidInput("portfolio", "no rows", "must hold at least one trade")
    return {name: place for place, name in enumerate(names) if name in known}, ignored


Row = Mapping[str, Any]


def _row(number: int, row: Row, counts: Counter[str], market: MarketData, default: Estimator) -> Position | Reject:
    try:
        return _position(number, row, counts, market, default)
    except Exception as reason:  # whatever a cell holds, it is a reason and stops no other row
        error = reason if isinstance(reason, InvalidInput) else InvalidInput("row", "", _unreadable(reason))
        given = row.get(error.field)
        return Reject(
            row=number,
            trade_id=cells.excerpt(row["trade_id"]),
            book=_value_or("", lambda: cells.name("book", row["book"])),
            underlying=_value_or("", lambda: cells.name("underlying", row["underlying"])),
            contract=_value_or("", lambda: one_of("contract", cells.word("contract", row["contract"]), families())),
            quantity=_value_or(math.nan, lambda: cells.number("quantity", row["quantity"])),
            model=_value_or("", lambda: _kind(row, market)),
            field=error.field if error.field != SURPLUS else "row",
            value=cells.excerpt(error.value if given is None else given),
            reason=error.reason,
        )


def _unreadable(error: Exception) -> str:
    return " ".join(f"cannot be read: {type(error).__name__}: {cells.excerpt(str(error))}".split())


def _value_or(otherwise: Any, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Exception:  # a reason of its own, where it is one
        return otherwise


def _kind(row: Row, market: MarketData) -> str:
    """The kind of model that a row asks for, or its underlying's default."""
    if row.get("model") is not None:
        return one_of("model", cells.word("model", row["model"]), KINDS)
    return market.underlyings[one_of("underlying", cells.name("underlying", row["underlying"]), market.underlyings)].default_model


def _position(number: int, row: Row, counts: Counter[str], market: MarketData, default: Estimator) -> Position:
    if row.get(SURPLUS) is not None:
        raise InvalidInput(SURPLUS, row[SURPLUS], "has more cells than the table has columns")
    trade_id, book, underlying = (cells.name(field, row[field]) for field in ("trade_id", "book", "underlying"))
    if counts[cells.text(row["trade_id"])] > 1:
        raise InvalidInput("trade_id", trade_id, "is a duplicate: all rows of this id are left out")
    family = families()[one_of("contract", cells.word("contract", row["contract"]), families())]
    quantity = cells.number("quantity", row["quantity"])
    if abs(quantity) > MOST_QUANTITY:
        raise InvalidInput("quantity", quantity, f"must be at most {MOST_QUANTITY:g} in size")
    if underlying not in market.underlyings:
        raise InvalidInput("underlying", underlying, f"has no market data; there is {cells.listed(market.underlyings)}")
    its = market.underlyings[underlying]
    method = default
    if row.get("estimator") is not None:
        method = estimators()[one_of("estimator", cells.word("estimator", row["estimator"]), estimators())]
    kind = _kind(row, market)
    contract = family(**_terms(family, row, market))
    model = its.model(kind, strike=contract.volatility_strike, expiry=contract.times[-1])
    its.market.log_discount(contract.times[-1])
    return Position(
        row=number,
        trade_id=trade_id,
        book=book,
        underlying=underlying,
        quantity=quantity,
        contract=contract,
        model=model,
        market=its.market,
        estimator=method,
        terms=_described(contract, market),
    )


def _terms(family: type[Contract], row: Row, market: MarketData) -> dict[str, Any]:
    """A contract's terms from the cells of its row."""
    own = {field.name: field for field in _fields(family)}
    hints = get_type_hints(family)
    lists_dates = any(field.metadata.get("dates") and hints[name] is not float for name, field in own.items())
    for name, value in row.items():
        if value is not None and name not in own and name not in REQUIRED and name not in ("estimator", "model", SURPLUS):
            if (name == "expiry" and lists_dates) or _is_explicit_default(name, value):
                continue
            raise InvalidInput(name, value, f"does not belong to {family.family} contracts")
    terms = {}
    for name, field in own.items():
        value = row.get(name)
        if value is None:
            if field.default is MISSING and field.default_factory is MISSING:
                raise InvalidInput(name, None, "is missing")
        elif field.metadata.get("dates"):
            one = hints[name] is float
            terms[name] = _expiry(name, value, market) if one else _schedule(family, name, value, row.get("expiry"), market)
        else:
            terms[name] = cells.READERS[hints[name]](name, value)
    return terms


def _described(contract: Contract, market: MarketData) -> str:
    """Terms in words: "call, strike 4400, 24 fixings to 2002-12-20, average arithmetic"."""
    words = []
    for field in _fields(contract):
        value = getattr(contract, field.name)
        if field.metadata.get("dates"):
            days = value if isinstance(value, tuple) else (value,)
            last = market.valuation + dt.timedelta(days=round(days[-1] * DAYS_PER_YEAR))
            what = field.name if field.name.endswith("s") else f"{field.name} dates"
            words.append(f"{len(days)} {what} to {last}" if isinstance(value, tuple) else f"{field.name} {last}")
        elif isinstance(value, tuple):
            words += [f"{len(value)} {field.name.replace('_', ' ')}"] if value else []
        elif isinstance(value, bool):
            words += [field.name] if value else []
        elif isinstance(value, str):
            words.append(value)
        elif field.default != value:
            words.append(f"{field.name} {value:g}")
    return ", ".join(words)


def _is_explicit_default(name: str, value: Any) -> bool:
    """Whether a term is False or 0 and that is its family's default: typed columns have no way to leave it out."""
    for family in families().values():
        for field in _fields(family):
            if field.name == name and field.default in (False, 0.0):
                read = cells.READERS[get_type_hints(family)[name]]
                return bool(_value_or(None, partial(read, name, value)) == field.default)
    return False


def _expiry(field: str, value: Any, market: MarketData) -> float:
    return market.years(_ahead(field, cells.date(field, value), market))


def _schedule(family: type[Contract], field: str, value: Any, expiry: Any, market: MarketData) -> tuple[float, ...]:
    last = None if expiry is None else _ahead("expiry", cells.date("expiry", expiry), market)
    rule = value.strip().lower() if isinstance(value, str) else None
    if rule in RULES:
        if last is None:
            raise InvalidInput("expiry", None, f"is missing, from which {rule} {field} are counted back")
        return _years_counted_back(rule, last, market.valuation)
    days = [cells.date(field, part) for part in cells.parts(field, value)]
    if last is not None and max(days) > last:
        raise InvalidInput(field, max(days), f"must not hold {field} past expiry, and {max(days)} is after {last}")
    for day in days:
        _ahead(field, day, market)
    for earlier, later in itertools.pairwise(days):
        if not later > earlier:
            raise InvalidInput(field, later, f"must increase, and {later} follows {earlier}")
    if last is not None and days[-1] != last:
        reason = f"must end at the expiry {last}, and ends on {days[-1]}: {family.family} contracts pay at the last date"
        raise InvalidInput(field, days[-1], reason)
    return tuple(_years((day - market.valuation).days) for day in days)


@lru_cache(maxsize=2**15)
def _years(days: int) -> float:
    """One object for each day: books have millions of dates, on a few thousand days."""
    return days / DAYS_PER_YEAR


@lru_cache(maxsize=2**12)
def _years_counted_back(rule: str, last: dt.date, valuation: dt.date) -> tuple[float, ...]:
    """One tuple for all trades with the same schedule."""
    return tuple(_years((day - valuation).days) for day in _counted_back(rule, last, valuation))


def _ahead(field: str, day: dt.date, market: MarketData) -> dt.date:
    if day <= market.valuation:
        if field == "expiry":
            raise InvalidInput(field, day, f"has expired: {day} is not after the valuation {market.valuation}")
        past = "what was fixed or watched by then is a past term"
        raise InvalidInput(field, day, f"must lie after the valuation {market.valuation}, and {day} does not: {past}")
    if day.year - market.valuation.year > MOST_YEARS:
        raise InvalidInput(field, day, f"must lie within {MOST_YEARS} years, and {day} does not")
    return day


def _counted_back(rule: str, last: dt.date, valuation: dt.date) -> list[dt.date]:
    """The dates of a rule, from the first after the valuation to ``last``."""
    if rule == "monthly":
        months = (last.year - valuation.year) * 12 + last.month - valuation.month
        days = [_months_before(last, back) for back in range(months + 1)]
    else:
        step = 7 if rule == "weekly" else 1
        days = [last - dt.timedelta(days=back) for back in range(0, (last - valuation).days, step)]
        if rule == "daily":
            days = [day for day in days if day == last or day.weekday() < calendar.SATURDAY]
    return [day for day in reversed(days) if day > valuation]


def _months_before(day: dt.date, months: int) -> dt.date:
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return dt.date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def _fields(family: Any) -> tuple[Field[Any], ...]:
    """The terms of a family, or of a contract."""
    return fields(family)


@cache
def families() -> dict[str, type[Contract]]:
    """Contract families whose terms are plain fields, by name."""
    found: list[type[Contract]] = classes("pricers.contracts", Contract)
    return {kind.family: kind for kind in found if is_dataclass(kind)}
