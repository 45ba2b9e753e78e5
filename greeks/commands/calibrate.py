"""From the quotes of a surface to a file of Heston's parameters: what ``greeks calibrate`` does."""

from __future__ import annotations

import datetime as dt
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from greeks.portfolio import inputs
from greeks.portfolio.market_data import Quoted, load_quoted
from greeks.report import marks
from greeks.report.folder import missing, tidy
from greeks.report.manifest import PROGRAM, digest
from greeks.report.stopping import uninterrupted
from pricers.calibration.heston import HestonFit, fit_heston
from pricers.errors import InvalidInput
from pricers.market.market import DAYS_PER_YEAR
from pricers.version import __version__

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Calibration", "calibrate", "prepare", "quotes_file"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """A fit and what it was made from.

    Attributes
    ----------
    fit : HestonFit
    underlying : str
    valuation : date
    surface, market : str
        Names of the files.
    digest : str
        The surface's SHA-256.
    days : ndarray [quote]
        Calendar days to the expiry, as quoted.
    skip_days : int
        Expiries up to so many days were left out.
    left_out : int
        Quotes that this left out.
    whole_weeks : bool
        Whether maturities were rounded to whole weeks.
    """

    fit: HestonFit
    underlying: str
    valuation: dt.date
    surface: str
    market: str
    digest: str
    days: FloatArray
    skip_days: int
    left_out: int
    whole_weeks: bool

    def by_expiry(self) -> pd.DataFrame:
        """One row for each expiry: days, quotes, rmse, mean and worst error (model less quote, volatility points), the worst's strike."""
        import pandas as pd

        rows = []
        for days in np.unique(self.days):
            own = self.days == days
            error, strike = self.fit.error[own], self.fit.strike[own]
            worst = int(np.argmax(np.abs(error)))
            rmse = float(np.sqrt(np.mean(error**2)))
            rows.append((int(days), len(error), rmse, float(error.mean()), float(error[worst]), float(strike[worst])))
        return pd.DataFrame(rows, columns=["days", "quotes", "rmse", "mean", "worst", "at_strike"])

    def toml(self) -> str:
        """The parameters as a market reads them, and in the table ``fit``, which it skips, where they come from."""
        fit = self.fit
        parameters = "\n".join(f"{name} = {value!r}" for name, value in fit.parameters.items())
        facts: dict[str, object] = {
            "program": PROGRAM,
            "version": __version__,
            "underlying": self.underlying,
            "valuation": self.valuation,
            "surface": self.surface,
            "surface_sha256": self.digest,
            "market": self.market,
            "quotes": len(fit.error),
            "skip_days": self.skip_days,
            "whole_weeks": self.whole_weeks,
            "rmse": fit.rmse,
            "sum_squared_error": fit.sum_squared_error,
            "warning": fit.warning,
            "stderr_note": fit.stderr_note,
        }
        errors = "".join(f"{name} = {value!r}\n" for name, value in fit.stderr.items())
        rows = zip(fit.stderr, fit.correlation.tolist(), strict=True)
        correlation = "".join(f"{name} = {row!r}\n" for name, row in rows)
        return (
            f"# Heston's parameters for {_comment(self.underlying)} on {self.valuation}, "
            f"fitted to {len(fit.error)} quotes of {_comment(self.surface)}.\n"
            f"# Errors are in volatility points; quote by quote they stand in the file with .quotes.csv at its end.\n\n"
            f"{parameters}\n\n[fit]\n"
            + "".join(f"{name} = {_toml(value)}\n" for name, value in facts.items())
            + "\n# Standard errors, in the parameters' own units: how far each moves if the quotes scatter around the model\n"
            "# once more, each on its own and as widely as here. What the model cannot fit is no such noise: the errors are then\n"
            "# sensitivities to the quotes, not distances to a truth.\n"
            f"[fit.stderr]\n{errors}\n# Correlation of these errors, columns in the order of the rows.\n[fit.correlation]\n{correlation}"
        )

    def write(self, out: Path) -> None:
        """Both files, each as a whole or not at all, the parameters last."""
        frame = self.fit.frame()
        frame.insert(0, "days", self.days.astype(int))
        text = io.StringIO()
        frame.to_csv(text, index=False, lineterminator="\n")
        out.parent.mkdir(parents=True, exist_ok=True)
        with uninterrupted():
            _replace(quotes_file(out), text.getvalue())
            _replace(out, self.toml())


def calibrate(
    surface: Path,
    market: Path,
    *,
    underlying: str | None = None,
    skip_days: int = 0,
    whole_weeks: bool = False,
    allow_outside: bool = False,
    most_bytes: int | None = inputs.MOST_BYTES,
) -> Calibration:
    """Fit Heston to a surface of quotes.

    Parameters
    ----------
    surface, market : path
        See `greeks.portfolio.market_data.load_quoted`.
    underlying : str, optional
    skip_days : int
        Leaves out expiries of up to so many days.
    whole_weeks : bool
        Whether maturities are rounded to whole weeks (at least one), as in published fits.
    allow_outside, most_bytes
        See `greeks.portfolio.market_data.load_market`.

    Raises
    ------
    InvalidInput
        Where quotes or market cannot be read, or too few quotes are left.
    """
    quoted = load_quoted(market, surface, underlying, allow_outside=allow_outside, most_bytes=most_bytes)
    expiry, strike, vol = _quotes(quoted)
    kept = np.rint(expiry * DAYS_PER_YEAR) > skip_days
    if not kept.any():
        raise InvalidInput("skip-days", skip_days, f"leaves no expiry; the last is of {round(expiry.max() * DAYS_PER_YEAR)} days")
    expiry, strike, vol, left_out = expiry[kept], strike[kept], vol[kept], int((~kept).sum())
    days, last = np.rint(expiry * DAYS_PER_YEAR), expiry.max()
    if whole_weeks:
        expiry = 7.0 * np.maximum(np.floor((days + 3.0) / 7.0), 1.0) / DAYS_PER_YEAR
    known = np.minimum(expiry, last)  # a curve need not reach beyond the last quote
    growth = quoted.market.log_growth(known) * expiry / known
    fit = fit_heston(spot=quoted.market.spot, expiry=expiry, strike=strike, implied_vol=vol, log_growth=growth)
    return Calibration(
        fit=fit,
        underlying=quoted.name,
        valuation=quoted.valuation,
        surface=surface.name,
        market=market.name,
        digest=digest(surface),
        days=days,
        skip_days=skip_days,
        left_out=left_out,
        whole_weeks=whole_weeks,
    )


def _quotes(quoted: Quoted) -> tuple[FloatArray, FloatArray, FloatArray]:
    smiles = zip(quoted.surface.times, quoted.surface.strikes, quoted.surface.vols, strict=True)
    rows = [(time, strike, vol) for time, strikes, vols in smiles for strike, vol in zip(strikes, vols, strict=True)]
    expiry, strike, vol = np.array(rows).T
    return expiry, strike, vol


def quotes_file(out: Path) -> Path:
    """Where the errors by quote stand: HESTON.quotes.csv beside HESTON.toml."""
    return out.with_name(f"{out.stem}.quotes.csv")


def prepare(out: Path) -> None:
    """See that nothing is lost by writing ``out``, and that it can be written.

    Raises
    ------
    InvalidInput
        Where something stands there that this command did not write.
    """
    if out.suffix != ".toml":
        raise InvalidInput("output file", str(out), "must have a name that ends in .toml")
    if out.is_dir():
        raise InvalidInput("output file", str(out), "is a folder")
    made = missing(out.parent)
    if out.exists():
        try:
            found = inputs.toml(out).get("fit")
        except InvalidInput:
            found = None
        if not isinstance(found, dict) or found.get("program") != PROGRAM:
            raise InvalidInput("output file", str(out), "holds other things than a fit of this command; name a new file")
    beside = quotes_file(out)
    if beside.exists() and not inputs.content(beside).startswith(_HEAD):
        raise InvalidInput("output file", str(beside), "holds other things than a fit's errors; name a new file")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        marks.clean(out.parent)
        with marks.temporary_file(out.parent) as file:
            file.write_bytes(bytes(4096))
    except OSError as error:
        raise InvalidInput("output file", str(out), f"cannot be written: {error.strerror or error}") from None
    finally:
        tidy(out.parent, made)


_HEAD = b"days,expiry,strike,"


def _replace(path: Path, text: str) -> None:
    """``text`` in the place of what ``path`` holds, in one step."""
    with marks.temporary_file(path.parent) as new:
        with new.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quoted(value) if isinstance(value, str) else str(value) if isinstance(value, dt.date) else repr(value)


def _quoted(text: str) -> str:
    """A basic string."""
    text = text.encode("utf-8", "backslashreplace").decode()  # a file's name may hold any bytes
    marks = {"\\": "\\\\", '"': '\\"'}
    return '"' + "".join(marks.get(c, c if c.isprintable() else f"\\u{ord(c):04x}") for c in text if ord(c) < 0x10000) + '"'


def _comment(text: str) -> str:
    return "".join(c for c in text if c.isprintable())
