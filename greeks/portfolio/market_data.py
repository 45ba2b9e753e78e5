"""The market of a portfolio: one entry per underlying, read from a TOML file."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import functools
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from greeks.portfolio import cells, inputs
from pricers.errors import InvalidInput, one_of, positive
from pricers.market.market import DAYS_PER_YEAR, ImpliedVolSurface, Market, ZeroCurve
from pricers.models.gbm.gbm import GBM
from pricers.models.model import Model

if TYPE_CHECKING:
    from pricers.models.heston.heston import Heston

__all__ = ["KINDS", "MarketData", "Quoted", "Underlying", "load_market", "load_quoted", "market_files", "read_surface"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Underlying:
    """What the market says of one underlying, and the models it makes of that.

    Attributes
    ----------
    market : Market
    vol : float or ImpliedVolSurface, optional
        Black-Scholes volatility per square root of a year, flat or quoted by expiry and strike; needed for GBM.
    heston : Heston, optional
        One model for all trades, as fitted to the whole surface.
    default_model : {"gbm", "heston"}
        For trades that name no model; by default GBM where there is a volatility, else Heston.
    """

    market: Market
    vol: float | ImpliedVolSurface | None = None
    heston: Heston | None = None
    default_model: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.market, Market):
            raise InvalidInput("market", self.market, "must be a Market")
        if self.vol is None and self.heston is None:
            raise InvalidInput("vol", None, "must be given where there are no parameters of another model")
        if self.vol is not None and not isinstance(self.vol, ImpliedVolSurface):
            object.__setattr__(self, "vol", positive("vol", self.vol))
        if self.heston is not None and getattr(self.heston, "kind", None) != "heston":
            raise InvalidInput("heston", self.heston, "must be a Heston")
        kind = self.default_model or ("heston" if self.vol is None else "gbm")
        object.__setattr__(self, "default_model", one_of("model", kind, _MODELS))
        if (reason := _MODELS[kind].lacks(self)) is not None:
            raise InvalidInput("model", kind, reason)

    def model(self, kind: str | None = None, *, strike: float | None, expiry: float) -> Model:
        """The model called ``kind`` for a trade struck at ``strike`` (units of spot; None: at none) that ends at ``expiry`` (years).

        Raises
        ------
        InvalidInput
            Where there is no such model, no parameters for it, or no volatility for this strike and expiry.
        """
        kind = self.default_model if kind is None else one_of("model", kind, _MODELS)
        if (reason := _MODELS[kind].lacks(self)) is not None:
            raise InvalidInput("model", kind, reason)
        return _MODELS[kind].made(self, strike, expiry)


def _gbm(underlying: Underlying, strike: float | None, expiry: float) -> Model:
    vol = underlying.vol
    if strike is None and isinstance(vol, ImpliedVolSurface):
        reason = (
            "is not known for a contract without a strike on a volatility smile; define its volatility_strike, or use a flat vol"
        )
        raise InvalidInput("strike", None, reason)
    return GBM(vol=vol.vol(strike=strike, expiry=expiry) if isinstance(vol, ImpliedVolSurface) else vol)  # type: ignore[arg-type]


def _heston(parameters: Mapping[str, Any]) -> Model:
    from pricers.models.heston.heston import Heston

    return Heston(**parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """A kind of model.

    Attributes
    ----------
    made : callable
        From an underlying, a trade's strike and its expiry to the model.
    lacks : callable
        Why an underlying has no such model; None where it has.
    read : callable, optional
        From the parameters in the table (or file) of the kind's name to the model that `Underlying` carries under that name.
    parameters : tuple of str
        The table's keys.
    """

    made: Callable[[Underlying, float | None, float], Model]
    lacks: Callable[[Underlying], str | None]
    read: Callable[[Mapping[str, Any]], Model] | None = None
    parameters: tuple[str, ...] = ()


def _carried(name: str, parameters: tuple[str, ...], read: Callable[[Mapping[str, Any]], Model]) -> _Kind:
    """A kind whose model is the same for all trades, its parameters the market's."""
    lacks = f"needs its parameters from the market, as a table [underlyings.NAME.{name}] or a file {name} = {name + '.toml'!r}"
    return _Kind(
        made=lambda underlying, strike, expiry: getattr(underlying, name),
        lacks=lambda underlying: lacks if getattr(underlying, name) is None else None,
        read=read,
        parameters=parameters,
    )


_MODELS: dict[str, _Kind] = {
    "gbm": _Kind(made=_gbm, lacks=lambda u: "needs a volatility from the market, as vol or surface" if u.vol is None else None),
    "heston": _carried("heston", ("v0", "kappa", "theta", "xi", "rho"), _heston),
}
"""Every kind of model. A further one is one more entry, and one more field of `Underlying` where it has parameters to carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """What a model is fitted to.

    Attributes
    ----------
    name : str
        Of the underlying.
    valuation : date
    market : Market
    surface : ImpliedVolSurface
    """

    name: str
    valuation: dt.date
    market: Market
    surface: ImpliedVolSurface


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

    def __reduce__(self) -> tuple[Any, ...]:
        """For `pickle` and `copy`, which a read-only view of a dictionary knows nothing of."""
        return functools.partial(type(self), valuation=self.valuation, underlyings=dict(self.underlyings)), ()

    @classmethod
    def of(cls, market: MarketData | Mapping[str, Underlying]) -> MarketData:
        """``market`` itself; a plain mapping is taken to be as of today, by this computer's calendar."""
        return market if isinstance(market, MarketData) else cls(valuation=dt.date.today(), underlyings=market)

    def years(self, date: dt.date) -> float:
        """Time from the valuation to ``date``: calendar days over 365, a grid point k/365 of the day time grid."""
        return (date - self.valuation).days / DAYS_PER_YEAR


def load_market(path: str | Path, *, allow_outside: bool = False, most_bytes: int | None = inputs.MOST_BYTES) -> MarketData:
    """Read a market from a TOML file.

    .. code-block:: toml

        valuation = 2002-07-05

        [underlyings.DAX]
        spot = 4468.17
        dividend = 0.0
        surface = "dax_2002_07_05_surface.csv"
        heston = "heston.toml"

        [underlyings.FLAT]
        spot = 100.0
        rate = 0.03
        vol = 0.2
        model = "heston"

        [underlyings.FLAT.heston]
        v0 = 0.04
        kappa = 1.5
        theta = 0.04
        xi = 0.5
        rho = -0.7

    An underlying has a ``spot``, a ``dividend`` yield (0 where left out), its volatility as ``vol`` or ``surface``, and its
    zero rates as ``rate``, as ``zero_curve`` (a list of tables with ``date`` and ``rate``) or in the surface's column
    ``zero_rate``. A surface is a CSV file, its place relative to the TOML file, with the columns days_to_expiry, strike,
    implied_vol and, unless the rates stand elsewhere, zero_rate. Rates and yields are continuously compounded, per year.
    ``heston`` holds the parameters of that model, or names a TOML file that does (as ``greeks calibrate`` writes it); with it an
    underlying may do without a volatility. ``model`` is for trades that name none, "gbm" where left out and there is a volatility.

    Parameters
    ----------
    path : path
    allow_outside : bool
        Whether the files that the TOML file names may lie outside its folder. By default they may not: a market file that
        somebody else wrote could otherwise have any file read, and errors would quote from it.
    most_bytes : int, optional
        Bytes that a file may have; None for any number.

    Raises
    ------
    InvalidInput
        Its ``field`` names file, underlying and key.
    OSError
        Where a file cannot be read.
    """
    files = _Files(market=Path(path), allow_outside=allow_outside, most_bytes=most_bytes)
    valuation, entries = _entries(files)
    underlyings = {name: _underlying(files, name, entry, valuation) for name, entry in entries.items()}
    return MarketData(valuation=valuation, underlyings=underlyings)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    """A market's TOML file, and which files it may name."""

    market: Path
    allow_outside: bool = False
    most_bytes: int | None = inputs.MOST_BYTES

    def named(self, where: str, name: str) -> Path:
        """The path of a file that the market names."""
        path = self.market.parent / name
        try:
            if len(name) > _LONGEST_NAME:
                raise ValueError
            inside = path.resolve().is_relative_to(self.market.parent.resolve())
        except (OSError, ValueError, RuntimeError):  # a name that no file can have
            raise InvalidInput(where, name, "must be the name of a file") from None
        if not (inside or self.allow_outside):
            reason = "must lie in the market file's folder, or files outside it must be allowed (--allow-outside)"
            raise InvalidInput(where, name, reason)
        return path


_LONGEST_NAME = 500
"""Characters of a name of a file, folders included: errors of the system quote it whole."""


def _entries(files: _Files) -> tuple[dt.date, dict[str, Any]]:
    """The valuation date and what stands under each underlying's name."""
    path = files.market
    table, where = inputs.toml(path, files.most_bytes), f"{path}:"
    _only(where, table, ("valuation", "underlyings"))
    if "valuation" not in table:
        raise InvalidInput(f"{where} valuation", None, "is missing: say valuation = 2002-07-05")
    valuation = cells.date(f"{where} valuation", table["valuation"])
    entries = table.get("underlyings")
    if not isinstance(entries, dict) or not entries:
        raise InvalidInput(f"{where} underlyings", entries, "must hold at least one table [underlyings.NAME]")
    return valuation, entries


def market_files(path: str | Path, *, most_bytes: int | None = inputs.MOST_BYTES) -> tuple[Path, ...]:
    """The files that `load_market` reads: the TOML file, the surfaces and the files of parameters that it names."""
    path = Path(path)
    entries = inputs.toml(path, most_bytes)["underlyings"].values()
    named = (entry.get(key) for entry in entries for key in ("surface", *_PARAMETRIC))
    return path, *dict.fromkeys(path.parent / name for name in named if isinstance(name, str))


def load_quoted(
    path: str | Path,
    surface: str | Path,
    name: str | None = None,
    *,
    allow_outside: bool = False,
    most_bytes: int | None = inputs.MOST_BYTES,
) -> Quoted:
    """What a model is fitted to: the quotes of a surface's CSV file, in the market of one underlying of a TOML file.

    Parameters
    ----------
    path : path
        The market's TOML file; a model's parameters that it holds or names are not looked at.
    surface : path
        Its column ``zero_rate`` is the zero curve where the market has no rates.
    name : str, optional
        Of the underlying; the only one by default.
    allow_outside, most_bytes
        See `load_market`.

    Raises
    ------
    InvalidInput
        Its ``field`` is "underlying" where there is none of that name, or several and no name.
    """
    files = _Files(market=Path(path), allow_outside=allow_outside, most_bytes=most_bytes)
    valuation, entries = _entries(files)
    name = next(iter(entries)) if name is None and len(entries) == 1 else name
    if name not in entries:
        raise InvalidInput("underlying", name, f"must be one of {cells.listed(entries)}")
    quotes, curve = read_surface(surface, most_bytes=most_bytes)
    where, entry = _entry(files.market, name, entries[name])
    own = _surface(files, where, entry["surface"])[1] if "surface" in entry else None
    rates = [key for key in ("rate", "zero_curve") if key in entry]
    return Quoted(
        name=name,
        valuation=valuation,
        market=_market(where, entry, valuation, own if own or rates else curve),
        surface=quotes,
    )


KINDS = tuple(_MODELS)
_PARAMETRIC = tuple(name for name, kind in _MODELS.items() if kind.read)
_KEYS = ("spot", "dividend", "rate", "zero_curve", "vol", "surface", "model", *_PARAMETRIC)


def _entry(path: Path, name: str, entry: Any) -> tuple[str, dict[str, Any]]:
    """Where an underlying stands, for errors to say, and its keys."""
    where = f"{path}: underlyings.{cells.excerpt(name)}"
    if not isinstance(entry, dict):
        raise InvalidInput(where, entry, "must be a table")
    _only(where, entry, _KEYS)
    if "spot" not in entry:
        raise InvalidInput(f"{where} spot", None, "is missing")
    return where, entry


def _underlying(files: _Files, name: str, entry: Any, valuation: dt.date) -> Underlying:
    where, entry = _entry(files.market, name, entry)
    given = [key for key in ("vol", "surface") if key in entry]
    carried: dict[str, Any] = {kind: _parameters(files, where, kind, entry[kind]) for kind in _PARAMETRIC if kind in entry}
    if len(given) > 1 or not (given or carried):
        raise InvalidInput(f"{where} vol", entry.get("vol"), "or surface must be given, one of the two")
    surface, curve = _surface(files, where, entry["surface"]) if "surface" in entry else (None, None)
    market = _market(where, entry, valuation, curve)
    with _placed(where):
        kind = cells.word("model", entry["model"]) if "model" in entry else ""
        return Underlying(market=market, vol=surface or entry.get("vol"), default_model=kind, **carried)


def _market(where: str, entry: Mapping[str, Any], valuation: dt.date, curve: ZeroCurve | None) -> Market:
    rates = [key for key in ("rate", "zero_curve") if key in entry] + (["the surface's zero_rate"] if curve else [])
    if len(rates) != 1:
        text = " and ".join(rates) or None
        raise InvalidInput(f"{where} rate", text, "must be given once, as rate, zero_curve or the surface's column zero_rate")
    with _placed(where):
        rate = curve or (_zero_curve(entry["zero_curve"], valuation) if "zero_curve" in entry else entry["rate"])
        return Market(spot=entry["spot"], rate=rate, dividend=entry.get("dividend", 0.0))


def _parameters(files: _Files, where: str, kind: str, given: Any) -> Model:
    """The model whose parameters stand in a table, or in a file of which the table ``fit`` only says where they come from.

    Of a file that holds other things, errors name a key and quote no value: it may be one that is nobody's business here.
    """
    where, names, read = f"{where}.{kind}", _MODELS[kind].parameters, _MODELS[kind].read
    if isinstance(given, str):
        path = files.named(where, given)
        given, where = inputs.toml(path, files.most_bytes), f"{path}:"
        given.pop("fit", None)
        given = {key: value if key in names and _is_scalar(value) else f"({key})" for key, value in given.items()}
    if not isinstance(given, dict) or read is None:
        raise InvalidInput(where, given, f"must be a table with {', '.join(names)}, or the name of a TOML file with them")
    _only(where, given, names)
    if missing := [name for name in names if name not in given]:
        raise InvalidInput(f"{where} {missing[0]}", None, "is missing")
    with _placed(where):
        return read(given)


@contextlib.contextmanager
def _placed(where: str) -> Iterator[None]:
    """Errors that say where what is wrong stands."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(f"{where} {error.field}", error.value, error.reason) from None


def _is_scalar(value: Any) -> bool:
    return not isinstance(value, (dict, list))


def _zero_curve(entries: Any, valuation: dt.date) -> ZeroCurve:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidInput("zero_curve", entries, "must be a list of tables with date and rate")
    for entry in entries:
        if set(entry) != {"date", "rate"}:
            raise InvalidInput("zero_curve", entry, "must have exactly the keys date and rate")
    dates = [cells.date("zero_curve date", entry["date"]) for entry in entries]
    return ZeroCurve.from_dates(valuation=valuation, dates=dates, rates=[entry["rate"] for entry in entries])


_SURFACE = ("days_to_expiry", "strike", "implied_vol")


def _surface(files: _Files, where: str, name: Any) -> tuple[ImpliedVolSurface, ZeroCurve | None]:
    if not isinstance(name, str):
        raise InvalidInput(f"{where} surface", name, "must be the name of a CSV file")
    return read_surface(files.named(f"{where} surface", name), most_bytes=files.most_bytes)


def read_surface(path: str | Path, *, most_bytes: int | None = inputs.MOST_BYTES) -> tuple[ImpliedVolSurface, ZeroCurve | None]:
    """The quotes of a CSV file with the columns days_to_expiry, strike, implied_vol, and its zero curve where it has a column zero_rate.

    Raises
    ------
    InvalidInput
        Its ``field`` names file, line or expiry, and column.
    """
    path = Path(path)
    try:
        reader = csv.DictReader(io.StringIO(inputs.text(path, most_bytes), newline=""))
        columns = tuple(column.strip() for column in reader.fieldnames or ())
        reader.fieldnames = columns
        if missing := [column for column in _SURFACE if column not in columns]:
            raise InvalidInput(f"{path}: columns", f"{len(columns)} columns", f"must include {', '.join(missing)}")
        with_rates = "zero_rate" in columns
        wanted = (*_SURFACE, "zero_rate") if with_rates else _SURFACE
        quotes = [tuple(_quoted(path, reader.line_num, column, row[column]) for column in wanted) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(str(path), str(error), "must be a CSV file in UTF-8") from None
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
    with _placed(f"{path}:"):
        surface = ImpliedVolSurface(
            times=times,
            strikes=tuple(tuple(sorted(smiles[days])) for days in expiries),
            vols=tuple(tuple(smiles[days][strike] for strike in sorted(smiles[days])) for days in expiries),
        )
        return surface, ZeroCurve(times=times, rates=tuple(zero[days] for days in expiries)) if with_rates else None


def _quoted(path: Path, line: int, column: str, text: str | None) -> float:
    try:
        found = float(text or "")
    except ValueError:
        raise InvalidInput(f"{path}: line {line}, {column}", text, "must be a number") from None
    if column == "strike" and not found > 0.0:
        raise InvalidInput(f"{path}: line {line}, {column}", text, "must be positive")
    return found


def _only(where: str, table: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key, value in table.items():
        if key not in keys:
            raise InvalidInput(f"{where} {cells.excerpt(key)}", value, f"is not a key here; there are {', '.join(keys)}")
