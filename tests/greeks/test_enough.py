"""Paths of resolved trades that stop early: by a rule of the trade alone, without a bias, and said in the report."""

import datetime as dt
import json
import math

import books
import pytest

from greeks import MarketData, Underlying, risk_report
from greeks.commands.cli import main
from greeks.portfolio.risk import risk_run
from pricers import Market, Plan, Sobol
from pricers.errors import InvalidInput

PLAN = Plan(paths=2**15, seed=11)
ENOUGH = 0.01
GREEKS = ("price", "delta", "vega")
ROWS = (
    books.trade("call"),
    books.trade("asian", contract="asian", fixings="weekly", expiry="2024-03-15", quantity=-3.0, book="B"),
    books.trade("asian of y", contract="asian", fixings="weekly", underlying="Y", strike=50.0),
    books.trade("barrier", contract="barrier", barrier=90.0, kind="down-and-in", monitoring="daily", model="heston"),
    books.trade("named", contract="asian", fixings="monthly", estimator="preintegrated"),
)
BITS = ("value", "stderr", "check_value", "z", "lr_value", "lr_stderr", "paths")


def _run(*rows, enough=ENOUGH, **options):
    return risk_run(books.book(*rows), books.MARKET, greeks=GREEKS, enough=enough, **({"plan": PLAN} | options))


def _bits(run):
    rows = run.frame.to_dict("records")
    return {
        (row["trade_id"], row["greek"]): (*(float(row[name]).hex() for name in BITS), "stopped" in row["note"]) for row in rows
    }


@pytest.fixture(scope="module")
def run():
    return _run(*ROWS)


def test_a_resolved_trade_stops_and_says_so_and_the_others_do_not(run):
    paths = {name: set(part) for name, part in run.frame.groupby("trade_id")["paths"]}
    assert paths == {"call": {0}, "asian": {2**12}, "asian of y": {2**12}, "barrier": {2**15}, "named": {2**15}}
    for row in run.frame.to_dict("records"):
        stopped = "stopped at 4,096 of 32,768 paths: every error is below 0.01 of the Greek's natural size" in row["note"]
        assert stopped == (row["paths"] == 2**12)
    asian = run.frame[run.frame["trade_id"] == "asian"]
    assert (asian["unit_stderr"] > 0.0).all()
    assert (asian["unit_stderr"] < ENOUGH * asian["unit_value"].abs()).all()  # none of them is small beside the others
    assert not _run(*ROWS, enough=1e-9).frame["paths"].eq(2**12).any()


def test_whether_a_trade_stops_hangs_on_no_other_trade_and_no_order(run):
    whole = _bits(run)
    assert _bits(_run(*reversed(ROWS), threads=1)) == whole
    for row in ROWS:
        alone = _bits(_run(row))
        assert alone == {key: whole[key] for key in alone}


def test_without_it_and_under_sobol_all_paths_run():
    plain = _run(*ROWS[:2], enough=None)
    assert set(plain.frame["paths"]) == {0, 2**15}
    assert set(_run(*ROWS[:2], plan=Plan(paths=2**14, seed=1, sampling=Sobol())).frame["paths"]) == {0, 2**14}


def test_errors_of_parts_with_other_paths_add_up_to_the_total_s(run):
    def stderr(found, name):
        totals = found.totals
        return float(
            totals.loc[
                (totals["level"] == "underlying") & (totals["underlying"] == "X") & (totals["greek"] == name)
            ].desk_stderr.iloc[0]
        )

    stopped, going = _run(ROWS[1]), _run(ROWS[3], ROWS[4])
    for name in GREEKS:
        parts = stderr(stopped, name), stderr(going, name)
        assert min(parts) > 0.0
        assert stderr(run, name) == pytest.approx(sum(parts), rel=1e-12)


def test_intervals_of_trades_that_stopped_cover_the_truth():
    """The limit lies in the middle of the errors, so that it is the sample itself that says which trades stop."""
    names = [f"U{k}" for k in range(60)]
    market = MarketData(
        valuation=dt.date(2024, 1, 5),
        underlyings={name: Underlying(market=Market(spot=100.0, rate=0.03), vol=0.25) for name in names},
    )
    terms = {"contract": "barrier", "barrier": 85.0, "kind": "down-and-out", "monitoring": "monthly", "quantity": 1.0}
    table = books.book(*(books.trade(name, underlying=name, **terms) for name in names))
    plan, greeks = Plan(paths=2**14, seed=2), ("price", "delta")

    def found(enough, **options):
        return risk_run(table, market, greeks=greeks, plan=plan, enough=enough, check=False, **options).frame

    few = found(1e9, estimator="auto")
    few = few[few["paths"].eq(2**12)]  # the others' errors are not known from so few
    assert len(few) > 80
    truth = found(None, estimator="exact")["value"]
    moves = few["greek"].map({"price": 1.0, "delta": 100.0 * 0.25 * math.sqrt(168 / 365)})
    amounts, errors = (few[column].abs() * moves for column in ("value", "stderr"))
    trades = few["trade_id"]
    middle = float((errors.groupby(trades).max() / amounts.groupby(trades).max()).median())
    frame = found(middle, estimator="auto")
    stopped = frame["paths"].eq(2**12)
    share = stopped.mean()
    assert 0.2 < share < 0.8
    z = ((frame["value"] - truth) / frame["stderr"])[stopped]
    assert (frame["stderr"] < 0.01 * truth.abs()).all()
    within = float(z.abs().lt(1.96).mean())
    assert within > 0.95 - 3.0 * math.sqrt(0.05 * 0.95 / (len(z) / 2))  # price and delta of a trade go together
    assert abs(z.mean()) < 3.0 / math.sqrt(len(z) / 2)


@pytest.mark.parametrize("enough", [0.0, -1.0, math.nan, math.inf, "much"])
def test_a_share_that_is_none_is_refused(enough):
    with pytest.raises(InvalidInput) as refused:
        risk_report(books.book(ROWS[0]), books.MARKET, enough=enough)
    assert refused.value.field == "enough"


def test_the_command_takes_it_and_the_manifest_says_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    books.book(ROWS[1]).to_csv("book.csv", index=False)
    (tmp_path / "market.toml").write_text("valuation = 2024-01-05\n[underlyings.X]\nspot = 100.0\nrate = 0.03\nvol = 0.2\n")
    common = ["report", "book.csv", "--market", "market.toml", "--paths", "16384", "--out", "out"]
    assert main([*common, "--enough", "0.01"]) == 0
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["plan"]["enough"] == 0.01
