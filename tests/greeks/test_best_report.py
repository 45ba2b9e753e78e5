"""The report's default: the best number, what is held against it, errors that are not known, and what the banner says."""

import datetime as dt
import json
import math
import re
from dataclasses import replace

import books
import numpy as np
import pandas as pd
import pytest

from greeks import Exact, LikelihoodRatio, MarketData, Underlying, risk_report, sensitivities
from greeks.commands.cli import main
from greeks.engine.registry import method
from greeks.estimators.survival import OneStepSurvival
from greeks.greek import STANDARD
from greeks.portfolio.batch import choices
from greeks.portfolio.batch_sums import BatchSums
from greeks.portfolio.desk_units import Desk
from greeks.portfolio.read_trades import read_portfolio
from greeks.portfolio.risk import risk_run
from greeks.portfolio.risk_case import case_of
from greeks.portfolio.totals import Term, totals
from greeks.report.facts import Facts
from greeks.report.judgement import judged
from greeks.report.numerals import measured
from greeks.report.writer import write_report
from pricers import GBM, European, Market, Plan

PLAN = Plan(paths=2**13, seed=3)
ASIAN = books.trade("asian", contract="asian", fixings="weekly", expiry="2024-03-15", quantity=-3.0, book="B")
BARRIER = books.trade("barrier", contract="barrier", barrier=90.0, kind="down-and-out", monitoring="daily", expiry="2024-02-16")
STEEP = books.trade(
    "steep", contract="asian_digital", option="put", strike=60.0, cash=1.0, quantity=1e6, fixings="monthly", expiry="2025-01-03"
)
"""A put on an average, far out of the money: almost no path pays."""

BITS = ("value", "stderr", "bias", "check_value", "z", "lr_value", "lr_stderr", "lr_z")


@pytest.fixture(scope="module")
def run():
    return risk_run(books.book(*books.MIXED, *books.UNDER_HESTON), books.MARKET, plan=PLAN, threads=2)


def _page(run, tmp_path):
    write_report(run, Facts(), tmp_path / "out")
    return (tmp_path / "out" / "risk.html").read_text(encoding="utf-8")


def _score_term(frame):
    """Bits and methods, by trade and Greek."""
    texts = ("estimator", "check", "note")
    rows = frame.to_dict("records")
    return {(row["trade_id"], row["greek"]): (*(float(row[n]).hex() for n in BITS), *(row[n] for n in texts)) for row in rows}


# The best number


def test_a_number_with_a_formula_is_the_formula_s():
    frame = risk_report(books.book(books.trade("1")), books.MARKET, plan=PLAN)
    contract = European(option="call", strike=100.0, expiry=books.MARKET.years(dt.date(2024, 6, 21)))
    exact = sensitivities(contract, GBM(vol=0.2), books.MARKET.underlyings["X"].market, estimator=Exact())
    for row in frame.to_dict("records"):
        assert (row["estimator"], row["paths"], row["stderr"], row["resolved"]) == ("exact", 0, 0.0, True)
        assert row["unit_value"] == exact[row["greek"]].value
        assert row["requested"] == "best"
        assert row["check"] == ("pathwise" if row["greek"] != "price" else "likelihood_ratio")
        assert math.isfinite(row["check_value"])
        assert row["check_value"] != row["unit_value"]


def test_each_number_is_held_against_an_independent_path_method(run):
    chosen = run.frame[run.frame["requested"] == "best"]
    for row in chosen.to_dict("records"):
        if row["greek"] == "price" and row["estimator"] in ("pathwise", "likelihood_ratio", "pathwise with controls"):
            continue
        assert row["check"] not in ("exact", row["estimator"]), row
        assert row["check"] not in row["estimator"].split(), row
        assert row["check"] or row["greek"] == "price", row
    discontinuous = chosen[chosen["contract"] == "digital"]
    assert set(discontinuous["check"]) == {"likelihood_ratio"}


def test_a_barrier_s_formula_is_held_against_survival_on_few_paths_which_can_tell():
    frame = risk_report(books.book(BARRIER), books.MARKET, plan=Plan(paths=2**16, seed=1)).set_index("greek")
    assert set(frame.loc[["delta", "vega", "gamma", "theta"], "check"]) == {OneStepSurvival.name}
    assert frame.loc["rho", "check"] == LikelihoodRatio.name  # few paths do not tell survival's error there
    assert set(frame["verdict"]) == {"agree"}
    assert (frame["lr_verdict"] == "too weak to tell").any()  # what the likelihood ratio alone could not have told


def test_default_errors_are_a_tenth_of_the_likelihood_ratio_s_at_most():
    rows, plan = books.book(*books.MIXED[:7]), Plan(paths=2**14, seed=2)
    best, plain = (risk_run(rows, books.MARKET, plan=plan, estimator=e, check=False).totals for e in (None, "likelihood_ratio"))
    whole = best[best["level"] == "all"].set_index("greek")["desk_stderr"]
    before = plain[plain["level"] == "all"].set_index("greek")["desk_stderr"]
    assert (whole < 0.1 * before).all()
    assert (before > 0.0).all()


# The law: same bits alone, in the book, in any order


def test_a_choice_and_its_numbers_hang_on_no_other_trade(run):
    whole = _score_term(run.frame)
    for row in (ASIAN, *books.UNDER_HESTON[2:]):
        alone = risk_run(books.book(row), books.MARKET, plan=PLAN, threads=1)
        found = _score_term(alone.frame)
        for key, value in found.items():  # a verdict's words hang on how many comparisons there are, the numbers do not
            bits, (estimator, check, note) = value[:-3], value[-3:]
            assert (bits, estimator, check) == (whole[key][:-3], *whole[key][-3:-1]), key
            assert re.sub(r"(; )?differences below.*", "", note) == re.sub(r"(; )?differences below.*", "", whole[key][-1])


@pytest.mark.parametrize("threads", [1, 3])
def test_order_of_rows_and_threads_change_nothing(run, threads):
    shuffled = books.book(*books.MIXED, *books.UNDER_HESTON).sample(frac=1.0, random_state=threads)
    other = risk_run(shuffled, books.MARKET, plan=PLAN, threads=threads)
    assert _score_term(other.frame) == _score_term(run.frame)
    pd.testing.assert_frame_equal(other.totals, run.totals, check_exact=True)


# The likelihood ratio beside


def test_the_likelihood_ratio_stands_beside_path_dependent_trades(run):
    beside = run.frame[run.frame["lr_verdict"] != ""]
    assert set(beside["greek"]) == {"delta", "vega", "rho"}
    several = {row["trade_id"] for row in (*books.MIXED, *books.UNDER_HESTON) if row["contract"] in ("asian", "barrier")}
    assert set(beside["trade_id"]) == several
    plain = risk_run(books.book(*books.MIXED), books.MARKET, plan=PLAN, estimator="likelihood_ratio", check=False).frame
    plain = plain.set_index(["trade_id", "greek"])
    for row in beside[beside["model"] == "gbm"].to_dict("records"):
        key = row["trade_id"], row["greek"]
        if plain.loc[key]["estimator"] == "likelihood_ratio":
            assert row["lr_value"] == plain.loc[key]["unit_value"]  # the very same paths
            assert row["lr_stderr"] == plain.loc[key]["unit_stderr"]
    assert "differ" not in run.witness
    assert sum(run.witness.values()) == len(beside)


def test_where_the_likelihood_ratio_is_the_check_it_is_sampled_once():
    (position,) = _positions(books.trade("in", contract="asian_digital", fixings="weekly", cash=1.0))
    case = case_of(position, STANDARD, check=True)
    choice = case.choice()
    assert choice is not None
    case.settle(choices([choice], PLAN, threads=1)[0], PLAN)
    names = [[e.name for e in question.estimators] for question in case.questions()]
    assert all(found.count(LikelihoodRatio.name) <= 1 for found in names)
    assert not case.witnesses


def _positions(*rows):
    return read_portfolio(books.book(*rows), books.MARKET, estimator=method(None, default="best")).positions


# Errors that are not known


def test_a_simulated_zero_without_error_is_not_called_exact(tmp_path):
    """Seed 2: no path pays, so every number is zero on all paths, and the truth is not."""
    market = MarketData(
        valuation=books.MARKET.valuation,
        underlyings={"X": Underlying(market=Market(spot=100.0, rate=0.05, dividend=0.02), vol=0.2)},
    )
    found = risk_run(books.book(STEEP), market, estimator="likelihood_ratio", plan=Plan(paths=2**12, seed=2))
    vega = found.frame.set_index("greek").loc["vega"]
    assert math.isnan(vega["stderr"])
    assert (vega["status"], vega["verdict"], vega["resolved"]) == ("ok", "too weak to tell", False)
    assert "error not known" in vega["note"]
    page = _page(found, tmp_path)
    assert ">exact<" not in page
    assert "error not known" in page
    assert found.unresolved == len(found.frame)
    best = risk_run(books.book(STEEP), market, plan=Plan(paths=2**14, seed=2)).frame.set_index("greek").loc["vega"]
    assert best["estimator"].startswith("preintegrated")
    assert best["resolved"]
    assert 0.0 < best["stderr"] < 0.1 * best["value"]


def test_unresolved_trades_are_in_the_value_and_named_in_the_error():
    rows = (
        STEEP | {"estimator": "likelihood_ratio"},
        books.trade("call", estimator="likelihood_ratio"),
        books.trade("put", option="put"),
    )
    found = risk_run(books.book(*rows), books.MARKET, plan=Plan(paths=2**12, seed=2))
    whole = found.totals[found.totals["level"] == "all"].set_index("greek").loc["delta"]
    frame = found.frame[found.frame["greek"] == "delta"].set_index("trade_id")
    assert whole["value"] == math.fsum(frame["value"])
    assert whole["stderr"] == pytest.approx(frame.loc["call", "stderr"], rel=0.2)  # by batches
    assert (whole["trades"], whole["missing"], whole["not_resolved"], whole["by_formula"]) == (3, 0, 1, 1)
    assert whole["status"] == "error without 1 of 3 trades: not resolved"
    alone = risk_run(books.book(rows[0]), books.MARKET, plan=Plan(paths=2**12, seed=2)).totals
    assert alone["stderr"].isna().all()
    assert alone["value"].notna().all()


def test_a_total_is_called_exact_only_where_all_is_by_formula(tmp_path):
    opposite = ASIAN | {"estimator": "pathwise"}, ASIAN | {"trade_id": "sold", "quantity": 3.0, "estimator": "pathwise"}
    found = risk_run(books.book(*opposite), books.MARKET, greeks=("delta",), plan=PLAN)
    assert set(found.totals["stderr"]) == {0.0}
    assert set(found.totals["by_formula"]) == {0}
    assert ">exact<" not in _page(found, tmp_path)
    formula = risk_run(books.book(books.trade("1")), books.MARKET, greeks=("delta",), plan=PLAN)
    assert _page(formula, tmp_path / "formula").count(">exact<") >= 2


def test_no_bias_is_lost_between_trades_and_totals():
    rows = books.book(
        books.trade("1", estimator="finite_difference"), books.trade("2", estimator="finite_difference", quantity=-5.0)
    )
    found = risk_run(rows, books.MARKET, greeks=("delta",), plan=PLAN)
    assert (found.frame["bias"] > 0.0).all()
    assert found.totals["bias"].iloc[0] == pytest.approx(found.frame["bias"].sum(), rel=1e-12)


def test_an_error_of_rounding_does_not_print_all_digits():
    assert measured(102976.5470911, 1.4e-12) == ("102,977", "0")
    assert measured(102976.5470911, 1.4e-8) == ("102,977", "1.4e-08")
    assert measured(102976.5470911, 1.4e-3) == ("102,976.5471", "0.0014")


# What the banner says


def test_a_run_of_few_paths_is_not_called_good(tmp_path):
    rows = books.book(ASIAN | {"estimator": "likelihood_ratio"}, books.trade("call", estimator="likelihood_ratio"))
    found = risk_run(rows, books.MARKET, plan=Plan(paths=64, seed=1))
    judgement = judged(found)
    assert judgement.level == "mild"
    assert any("too weak to tell" in sentence for sentence in judgement.sentences)
    page = _page(found, tmp_path)
    assert 'class="say mild"' in page
    assert 'class="say good"' not in page
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["judgement"]["level"] == "mild"


def test_a_noisy_total_is_named(tmp_path):
    """A hedged book: vega nets to little, and its error is most of it."""
    rows = (
        books.trade("long", contract="asian", fixings="weekly", quantity=100.0, estimator="likelihood_ratio"),
        books.trade("short", contract="asian", fixings="monthly", quantity=-101.0, estimator="likelihood_ratio"),
    )
    found = risk_run(books.book(*rows), books.MARKET, plan=Plan(paths=2**13, seed=1))
    vega = found.totals[(found.totals["level"] == "all") & (found.totals["greek"] == "vega")].iloc[0]
    assert vega["desk_stderr"] > 0.1 * abs(vega["desk_value"])
    assert vega["noisy"]
    judgement = judged(found)
    assert judgement.level != "good"
    assert any(name.startswith("vega_1vol of all") for name in judgement.noisy)
    assert 'class="noisy"' in _page(found, tmp_path)


def test_only_a_run_in_which_nothing_is_wrong_is_good(run):
    good = replace(
        run, failed=0, unresolved=0, verdicts={"agree": 99, "too weak to tell": 2}, witness={"agree": 3, "too weak to tell": 40}
    )
    good = replace(good, totals=good.totals.assign(noisy=False))
    assert judged(good).level == "good"
    wrong = {
        "differ": ({"verdicts": {"agree": 99, "differ": 1}}, "bad", "1 of 100 comparisons differ"),
        "beside": ({"witness": {"agree": 3, "differ": 1}}, "bad", "likelihood ratio's number differs"),
        "failed": ({"failed": 2, "rows": 30}, "mild", "2 of 30 trades have no number"),
        "unknown": ({"unresolved": 4}, "mild", "4 numbers have no known error"),
        "weak": ({"verdicts": {"agree": 80, "too weak to tell": 20}}, "mild", "20 of 100 comparisons are too weak to tell"),
        "nothing": ({"verdicts": {"not checked": 60}}, "mild", "No number was held against a second method"),
        "noisy": ({"totals": run.totals.assign(noisy=True)}, "mild", "totals are noisy"),
    }
    for name, (changed, level, words) in wrong.items():
        judgement = judged(replace(good, **changed))
        assert judgement.level == level, name
        assert any(words in sentence for sentence in judgement.sentences), (name, judgement)


def test_the_check_table_counts_what_cannot_tell(run):
    counts = run.checks[["agree", "differ", "too_weak", "not_comparable"]].to_numpy().sum()
    beside = run.frame[(run.frame["lr_verdict"] != "") & (run.frame["check"] != "likelihood_ratio")]
    beside = beside[beside["estimator"] != "likelihood_ratio"]
    assert counts == sum(run.verdicts.values()) + len(beside)
    assert run.checks["not_resolved"].sum() >= run.unresolved


def test_the_command_says_it_in_words(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "market.toml").write_text("valuation = 2024-01-05\n[underlyings.X]\nspot = 100.0\nrate = 0.03\nvol = 0.2\n")
    books.book(ASIAN).to_csv("book.csv", index=False)
    assert main(["report", "book.csv", "--market", "market.toml", "--out", "few", "--paths", "64", "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    assert "with care: " in printed
    assert "too weak to tell" in printed
    assert main(["report", "book.csv", "--market", "market.toml", "--out", "many", "--paths", "65536", "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    assert "good: " in printed


# Totals by themselves


def test_totals_count_what_is_not_resolved():
    desk = Desk(name="rho_1bp", unit="currency")
    common = {"book": "A", "underlying": "X", "greek": "rho", "unit": "", "desk": desk, "factor": 1.0, "quantity": 1.0}
    rng = np.random.default_rng(1)
    batches, counts = rng.normal(size=64), np.full(64, 10.0)
    sums = BatchSums()
    sums.add(("A", "X", "rho"), batches, counts, quantity=1.0, factor=1.0)
    known = Term(**common, value=5.0, size=5.0, sampled=True)
    unknown = Term(**common, value=7.0, size=7.0, resolved=False, sampled=True)
    lost = Term(**(common | {"factor": math.nan}), resolved=False)
    row = totals([known, unknown, lost], sums).iloc[-1]
    assert (row["value"], row["trades"], row["missing"], row["not_resolved"]) == (12.0, 2, 1, 1)
    assert row["status"] == "lacks 1 of 3 trades; error without 1 of 3 trades: not resolved"
    assert row["stderr"] == totals([known], sums).iloc[-1]["stderr"] == pytest.approx(batches.std(ddof=1) / 8.0)
    assert row["noisy"] == (row["stderr"] > 0.1 * 12.0)
    only = totals([unknown], BatchSums()).iloc[-1]
    assert only["value"] == 7.0
    assert math.isnan(only["stderr"])
    assert not only["noisy"]
