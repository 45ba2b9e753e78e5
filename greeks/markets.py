"""The market of a portfolio: one entry per underlying, read from a TOML file."""

from __future__ import annotations

import csv
import datetime as dt
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from greeks import cells
from pricers.errors import InvalidInput, one_of, positive
from pricers.market import DAYS_PER_YEAR, ImpliedVolSurface, Market, ZeroCurve
from pricers.models.gbm import GBM
from pricers.models.model import Model

__all__ = ["MarketData", "Underlying", "load_market", "market_files"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Underlying:
    """What the market says of one underlying, and the models it makes of that.

    Attributes
    ----------
    market : Market
    vol : float or ImpliedVolSurface
        Black-Scholes volatility per square root of a year, flat or quoted by expiry and strike.
    """

    market: Market
    vol: float | ImpliedVolSurface

    def __post_init__(self) -> None:
        if not isinstance(self.market, Market):
            raise InvalidInput("market", self.market, "must be a Market")
        if not isinstance(self.vol, ImpliedVolSurface):
            object.__setattr__(self, "vol", positive("vol", self.vol))

    def model(self, kind: str = "gbm", *, strike: float, expiry: float) -> Model:
        """The model called ``kind`` for a trade struck at ``strike`` (units of spot) that ends at ``expiry`` (years).

        Raises
        ------
        InvalidInput
            Where there is no such model, or no volatility for this strike and expiry.
        """
        return _MODELS[one_of("model", kind, _MODELS)](self, strike, expiry)


def _gbm(underlying: Underlying, strike: float, expiry: float) -> Model:
    vol = underlying.vol
    return GBM(vol=vol.vol(strike=strike, expiry=expiry) if isinstance(vol, ImpliedVolSurface) else vol)


_MODELS: dict[str, Callable[[Underlying, float, float], Model]] = {"gbm": _gbm}
"""How each kind of model is made for a trade. A further kind is one more line, and its parameters one more key of the TOML."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketData:
    """Every underlying's market on one day.

    Attributes
    ----------
    valuation : date
        Calendar dates become years from here, calendar days over 365.
    underlyings : mapping of str to Underlying
    """

    valuation: dt.date
    underlyings: Mapping[str, Underlying]

    def __post_init__(self) -> None:
        object.__setattr__(self, "valuation", cells.date("valuation", self.valuation))
        if not isinstance(self.underlyings, Mapping) or not self.underlyings:
            raise InvalidInput("underlyings", self.underlyings, "must map at least one name to an Underlying")
        for name, underlying in self.underlyings.items():
            if not isinstance(name, str) or not name.strip():
                raise InvalidInput("underlyings", name, "must have names that are text")
            if not isinstance(underlying, Underlying):
                raise InvalidInput(f"underlyings.{name}", underlying, "must be an Underlying")
        object.__setattr__(self, "underlyings", MappingProxyType(dict(self.underlyings)))

    @classmethod
    def of(cls, market: MarketData | Mapping[str, Underlying]) -> MarketData:
        """``market`` itself; a plain mapping is taken to be as of today, by this computer's calendar."""
        return market if isinstance(market, MarketData) else cls(valuation=dt.date.today(), underlyings=market)

    def years(self, date: dt.date) -> float:
        """Time from the valuation to ``date``: calendar days over 365, a node k/365 of the day lattice."""
        return (date - self.valuation).days / DAYS_PER_YEAR


def load_market(path: str | Path) -> MarketData:
    """Read a market from a TOML file.

    .. code-block:: toml

        valuation = 2002-07-05

        [underlyings.DAX]
        spot = 4468.17
        dividend = 0.0
        surface = "dax_2002_07_05_surface.csv"

        [underlyings.FLAT]
        spot = 100.0
        rate = 0.03
        vol = 0.2

    An underlying has a ``spot``, a ``dividend`` yield (0 where left out), its volatility as ``vol`` or ``surface``, and its
    zero rates as ``rate``, as ``zero_curve`` (a list of tables with ``date`` and ``rate``) or in the surface's column
    ``zero_rate``. A surface is a CSV file, its place relative to the TOML file, with the columns days_to_expiry, strike,
    implied_vol and, unless the rates stand elsewhere, zero_rate. Rates and yields are continuously compounded, per year.

    Raises
    ------
    InvalidInput
        Its ``field`` names file, underlying and key.
    OSError
        Where a file cannot be read.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(str(path), str(error), "must be a TOML file in UTF-8") from None
    where = f"{path}:"
    _only(where, table, ("valuation", "underlyings"))
    if "valuation" not in table:
        raise InvalidInput(f"{where} valuation", None, "is missing: say valuation = 2002-07-05")
    valuation = cells.date(f"{where} valuation", table["valuation"])
    entries = table.get("underlyings")
    if not isinstance(entries, dict) or not entries:
        raise InvalidInput(f"{where} underlyings", entries, "must hold at least one table [underlyings.NAME]")
    underlyings = {name: _underlying(path, name, entry, valuation) for name, entry in entries.items()}
    return MarketData(valuation=valuation, underlyings=underlyings)


def market_files(path: str | Path) -> tuple[Path, ...]:
    """The files that `load_market` reads: the TOML file and the surfaces that it names."""
    path = Path(path)
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["underlyings"].values()
    return path, *dict.fromkeys(path.parent / entry["surface"] for entry in entries if "surface" in entry)


_KEYS = ("spot", "dividend", "rate", "zero_curve", "vol", "surface")


def _underlying(path: Path, name: str, entry: Any, valuation: dt.date) -> Underlying:
    where = f"{path}: underlyings.{name}"
    if not isinstance(entry, dict):
        raise InvalidInput(where, entry, "must be a table")
    _only(where, entry, _KEYS)
    if "spot" not in entry:
        raise InvalidInput(f"{where} spot", None, "is missing")
    if ("vol" in entry) == ("surface" in entry):
        raise InvalidInput(f"{where} vol", entry.get("vol"), "or surface must be given, one of the two")
    surface, curve = _surface(path.parent, where, entry["surface"]) if "surface" in entry else (None, None)
    rates = [key for key in ("rate", "zero_curve") if key in entry] + (["the surface's zero_rate"] if curve else [])
    if len(rates) != 1:
        said = " and ".join(rates) or None
        raise InvalidInput(f"{where} rate", said, "must be given once, as rate, zero_curve or the surface's column zero_rate")
    try:
        rate = curve or (_zero_curve(entry["zero_curve"], valuation) if "zero_curve" in entry else entry["rate"])
        market = Market(spot=entry["spot"], rate=rate, dividend=entry.get("dividend", 0.0))
        return Underlying(market=market, vol=surface or entry["vol"])
    except InvalidInput as error:
        raise InvalidInput(f"{where} {error.field}", error.value, error.reason) from None


def _zero_curve(entries: Any, valuation: dt.date) -> ZeroCurve:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidInput("zero_curve", entries, "must be a list of tables with date and rate")
    for entry in entries:
        if set(entry) != {"date", "rate"}:
            raise InvalidInput("zero_curve", entry, "must have exactly the keys date and rate")
    dates = [cells.date("zero_curve date", entry["date"]) for entry in entries]
    return ZeroCurve.from_dates(valuation=valuation, dates=dates, rates=[entry["rate"] for entry in entries])


_SURFACE = ("days_to_expiry", "strike", "implied_vol")


def _surface(folder: Path, where: str, name: Any) -> tuple[ImpliedVolSurface, ZeroCurve | None]:
    if not isinstance(name, str):
        raise InvalidInput(f"{where} surface", name, "must be the name of a CSV file")
    path = folder / name
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        columns = tuple(column.strip() for column in reader.fieldnames or ())
        reader.fieldnames = columns
        if missing := [column for column in _SURFACE if column not in columns]:
            raise InvalidInput(f"{path}: columns", ", ".join(columns), f"must include {', '.join(missing)}")
        with_rates = "zero_rate" in columns
        wanted = (*_SURFACE, "zero_rate") if with_rates else _SURFACE
        quotes = [tuple(_quoted(path, reader.line_num, column, row[column]) for column in wanted) for row in reader]
    smiles: dict[float, dict[float, float]] = {}
    zero: dict[float, float] = {}
    for days, strike, vol, *rate in quotes:
        at = f"{path}: {days:g} days"
        if strike in smiles.setdefault(days, {}):
            raise InvalidInput(f"{at}, strike", strike, "must be quoted once")
        smiles[days][strike] = vol
        if rate and zero.setdefault(days, rate[0]) != rate[0]:
            raise InvalidInput(f"{at}, zero_rate", rate[0], f"must be one for an expiry, and was {zero[days]:g}")
    expiries = sorted(smiles)
    times = tuple(days / DAYS_PER_YEAR for days in expiries)
    try:
        surface = ImpliedVolSurface(
            times=times,
            strikes=tuple(tuple(sorted(smiles[days])) for days in expiries),
            vols=tuple(tuple(smiles[days][strike] for strike in sorted(smiles[days])) for days in expiries),
        )
        return surface, ZeroCurve(times=times, rates=tuple(zero[days] for days in expiries)) if with_rates else None
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error.field}", error.value, error.reason) from None


def _quoted(path: Path, line: int, column: str, text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise InvalidInput(f"{path}: line {line}, {column}", text, "must be a number") from None


def _only(where: str, table: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key, value in table.items():
        if key not in keys:
            raise InvalidInput(f"{where} {key}", value, f"is not a key here; there are {', '.join(keys)}")
