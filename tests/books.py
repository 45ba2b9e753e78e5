"""A small book and its market, for tests from a table to files."""

import datetime as dt
from pathlib import Path

import pandas as pd

from greeks import MarketData, Underlying
from pricers import Heston, Market

DATA = Path(__file__).parents[1] / "data"

HESTON = Heston(v0=0.05, kappa=2.0, theta=0.04, xi=0.6, rho=-0.7)

MARKET = MarketData(
    valuation=dt.date(2024, 1, 5),
    underlyings={
        "X": Underlying(market=Market(spot=100.0, rate=0.03, dividend=0.01), vol=0.2, heston=HESTON),
        "Y": Underlying(market=Market(spot=50.0, rate=0.02), vol=0.3),
    },
)

COMMON = {"book": "A", "underlying": "X", "contract": "european", "quantity": 10.0, "option": "call", "strike": 100.0}


def trade(trade_id, **terms):
    """A row; a European call on X to June 2024 but for what is said."""
    return COMMON | {"trade_id": trade_id, "expiry": "2024-06-21"} | terms


def book(*rows):
    """A table of rows."""
    return pd.DataFrame(list(rows))


MIXED = (
    trade("call"),
    trade("tomorrow", expiry="2024-01-06", strike=99.0),
    trade("put", option="put", strike=95.0, quantity=-20.0, book="B"),
    trade("digital", contract="digital", cash=5.0, expiry="2024-03-15"),
    trade("asian", contract="asian", fixings="weekly", expiry="2024-03-15", quantity=-3.0, book="B"),
    trade("geometric", contract="asian", fixings="monthly", average="geometric", expiry="2024-12-20", past_fixings="101.5;99"),
    trade("barrier", contract="barrier", barrier=90.0, kind="down-and-out", monitoring="daily", expiry="2024-02-16", rebate=2.0),
    trade("two days", contract="asian", expiry="", fixings="2024-01-06;2024-01-07", estimator="pathwise"),
    trade("other", underlying="Y", strike=52.0, option="put", estimator="finite_difference"),
    trade("other digital", underlying="Y", contract="digital", strike=48.0, estimator="exact", book="B"),
)

UNDER_HESTON = (
    trade("call under heston", model="heston"),
    trade("digital under heston", contract="digital", cash=5.0, expiry="2024-03-15", quantity=-4.0, model="heston"),
    trade("asian under heston", contract="asian", fixings="weekly", expiry="2024-03-15", book="B", model="heston"),
    trade("pathwise", contract="asian", fixings="monthly", estimator="pathwise", quantity=-2.0, model="heston"),
    trade("in", contract="barrier", barrier=90.0, kind="down-and-in", monitoring="daily", expiry="2024-02-09", model="heston"),
    trade("out", contract="barrier", barrier=120.0, kind="up-and-out", monitoring="monthly", quantity=-3.0, model="heston"),
)
