"""What the market says today: spot, zero rates, dividend yield, implied volatilities."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pricers.errors import InvalidInput, finite, increasing, positive

__all__ = ["DAYS_PER_YEAR", "ImpliedVolSurface", "Market", "ZeroCurve"]

FloatArray = npt.NDArray[np.float64]

DAYS_PER_YEAR = 365.0
"""ACT/365F throughout: a time is a number of calendar days over this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroCurve:
    r"""Continuously compounded zero rates; :math:`z(t)\,t` is linear between the dates (piecewise flat forwards).

    Before the first date the first zero rate holds; beyond the last date there is no rate and asking is an error.

    Attributes
    ----------
    times : tuple of float
        Years from the valuation, increasing.
    rates : tuple of float
        Zero rates, one for each time.
    """

    times: tuple[float, ...]
    rates: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", increasing("times", self.times))
        object.__setattr__(self, "rates", tuple(finite("rates", rate) for rate in self.rates))
        if len(self.rates) != len(self.times):
            raise InvalidInput("rates", len(self.rates), f"must be as many as the {len(self.times)} times")

    @classmethod
    def from_dates(cls, *, valuation: dt.date, dates: Sequence[dt.date], rates: Sequence[float]) -> ZeroCurve:
        """A curve quoted at calendar dates, ACT/365F from ``valuation``."""
        return cls(times=tuple((date - valuation).days / DAYS_PER_YEAR for date in dates), rates=tuple(rates))

    def shifted(self, by: float) -> ZeroCurve:
        """The same curve, every zero rate higher by ``by``."""
        return replace(self, rates=tuple(rate + by for rate in self.rates))

    def log_discount(self, times: npt.ArrayLike) -> FloatArray:
        r""":math:`-z(t)\,t` at ``times`` (years, any shape)."""
        wanted = np.asarray(times, dtype=float)
        if wanted.size and wanted.max() > self.times[-1] * (1.0 + 1e-12):
            raise InvalidInput(
                "zero curve", float(wanted.max()), f"ends at {self.times[-1]:g} years and needs a rate for every date"
            )
        knots = np.concatenate([[0.0], self.times])
        accrued = np.concatenate([[0.0], np.multiply(self.times, self.rates)])
        return -np.interp(wanted, knots, accrued)


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    r"""One underlying's market: :math:`F(t) = S\,e^{(z(t) - q)\,t}`, discount factor :math:`e^{-z(t)\,t}`.

    Attributes
    ----------
    spot : float
        Today's price, positive.
    rate : float or ZeroCurve
        Zero rate, continuously compounded, per year; a number is a flat curve.
    dividend : float
        Continuous dividend yield (or foreign rate, or repo), per year.
    """

    spot: float
    rate: float | ZeroCurve = 0.0
    dividend: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "spot", positive("spot", self.spot))
        object.__setattr__(self, "dividend", finite("dividend", self.dividend))
        if not isinstance(self.rate, ZeroCurve):
            object.__setattr__(self, "rate", finite("rate", self.rate))

    def log_discount(self, times: npt.ArrayLike) -> FloatArray:
        """Logarithm of the discount factor at ``times`` (years, any shape)."""
        if isinstance(self.rate, ZeroCurve):
            return self.rate.log_discount(times)
        return -self.rate * np.asarray(times, dtype=float)

    def log_growth(self, times: npt.ArrayLike) -> FloatArray:
        r""":math:`\ln F(t)/S = (z(t) - q)\,t` at ``times`` (years, any shape)."""
        return -self.log_discount(times) - self.dividend * np.asarray(times, dtype=float)

    def bumped(self, parameter: str, by: float) -> Market:
        """This market with ``spot``, ``rate`` (a parallel shift) or ``dividend`` moved by ``by``."""
        value = getattr(self, parameter)
        moved: Any = value.shifted(by) if isinstance(value, ZeroCurve) else value + by
        return replace(self, **{parameter: moved})


def _strikes(row: Any) -> tuple[float, ...]:
    """The quoted strikes of an expiry: positive, increasing."""
    for strike in row:
        positive("strikes", strike)
    return increasing("strikes", row)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpliedVolSurface:
    r"""Black-Scholes implied volatilities on a grid of expiries and strikes.

    Total variance :math:`\sigma^2 t` is linear in time between expiries, at fixed strike, and from zero to the first
    expiry (so that the first smile holds before it); volatility is linear in the strike between quotes. Outside the strikes
    and beyond the last expiry there is no volatility and asking is an error: nothing is extrapolated.

    Attributes
    ----------
    times : tuple of float
        Expiries, years, increasing.
    strikes : tuple of tuple of float
        For each expiry, its quoted strikes, increasing.
    vols : tuple of tuple of float
        For each expiry, the volatilities at its strikes, per year.
    """

    times: tuple[float, ...]
    strikes: tuple[tuple[float, ...], ...]
    vols: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", increasing("times", self.times))
        object.__setattr__(self, "strikes", tuple(_strikes(row) for row in self.strikes))
        object.__setattr__(self, "vols", tuple(tuple(positive("vols", vol) for vol in row) for row in self.vols))
        if not len(self.times) == len(self.strikes) == len(self.vols):
            raise InvalidInput("vols", len(self.vols), f"must have one row for each of the {len(self.times)} expiries")
        for strikes, vols in zip(self.strikes, self.vols, strict=True):
            if len(strikes) != len(vols):
                raise InvalidInput("vols", len(vols), f"must be as many as the {len(strikes)} strikes of their expiry")

    def vol(self, *, strike: float, expiry: float) -> float:
        """The volatility at ``strike`` (spot units) and ``expiry`` (years).

        Raises
        ------
        InvalidInput
            Where the surface has no quotes around the point.
        """
        if not expiry <= self.times[-1] * (1.0 + 1e-12):
            raise InvalidInput(
                "expiry", expiry, f"lies beyond the volatility surface, whose last expiry is {self.times[-1]:g} years"
            )
        after = min(int(np.searchsorted(self.times, expiry)), len(self.times) - 1)
        later = self._smile(after, strike)
        if after == 0 or expiry >= self.times[after]:
            return later
        before = self._smile(after - 1, strike)
        t0, t1 = self.times[after - 1], self.times[after]
        weight = (expiry - t0) / (t1 - t0)
        return float(np.sqrt(((1.0 - weight) * before**2 * t0 + weight * later**2 * t1) / expiry))

    def _smile(self, row: int, strike: float) -> float:
        strikes = self.strikes[row]
        if not strikes[0] <= strike <= strikes[-1]:
            raise InvalidInput(
                "strike",
                strike,
                f"lies outside the volatility surface, {strikes[0]:g} to {strikes[-1]:g} at {self.times[row]:g} years",
            )
        return float(np.interp(strike, strikes, self.vols[row]))
