import datetime as dt
import itertools
import math
from dataclasses import replace

import books
import numpy as np
import pandas as pd
import pytest

from greeks import (
    Controlled,
    Exact,
    FiniteDifference,
    LikelihoodRatio,
    MarketData,
    Pathwise,
    Underlying,
    load_market,
    risk_report,
    sensitivities,
)
from greeks.greek import STANDARD, greek
from greeks.portfolio.crosscheck import crosscheck_run
from greeks.portfolio.read_trades import read_book
from greeks.portfolio.risk import COLUMNS, risk_run
from greeks.validation.reference_method import check_of
from pricers import GBM, Antithetic, Asian, Barrier, Digital, European, InvalidInput, Market, Plan, Sobol
from pricers.models.scenario import Scenario

PLAN = Plan(paths=1000, seed=3)
NUMBERS = ("value", "stderr", "unit_value", "unit_stderr", "desk_value", "desk_stderr", "check_value", "z", "vol", "bias")
NUMBERS = (*NUMBERS, "lr_value", "lr_stderr", "lr_z")


def _numbers(frame):
    """Every number by trade and Greek, bits as they are."""
    return {(row["trade_id"], row["greek"]): [float(row[name]).hex() for name in NUMBERS] for row in frame.to_dict("records")}


@pytest.fixture(scope="module")
def mixed():
    return risk_run(books.book(*books.MIXED), books.MARKET, plan=PLAN, threads=2)


def test_every_trade_has_a_row_for_every_greek_in_the_table_s_order(mixed):
    frame = mixed.frame
    assert tuple(frame.columns) == COLUMNS
    wanted = [(row["trade_id"], name) for row in books.MIXED for name in STANDARD]
    assert list(zip(frame["trade_id"], frame["greek"], strict=True)) == wanted
    assert set(frame["status"]) == {"ok"}
    assert (mixed.rows, mixed.priced, mixed.failed) == (len(books.MIXED), len(books.MIXED), 0)
    assert mixed.errors.empty


def test_a_trade_alone_has_the_bits_it_has_in_the_book(mixed):
    whole = _numbers(mixed.frame)
    for row in books.MIXED:
        alone = _numbers(risk_report(books.book(row), books.MARKET, plan=PLAN, threads=1))
        assert alone == {key: whole[key] for key in alone}, row["trade_id"]


@pytest.mark.parametrize("threads", [1, 3])
def test_order_of_rows_and_threads_leave_every_bit(mixed, threads):
    shuffled = books.book(*books.MIXED).sample(frac=1.0, random_state=threads)
    other = risk_run(shuffled, books.MARKET, plan=PLAN, threads=threads)
    assert _numbers(other.frame) == _numbers(mixed.frame)
    pd.testing.assert_frame_equal(other.totals, mixed.totals, check_exact=True)


def test_a_later_trade_on_the_same_underlying_leaves_every_bit(mixed):
    longer = books.book(*books.MIXED, books.trade("later", expiry="2025-12-19"))
    found = _numbers(risk_report(longer, books.MARKET, plan=PLAN))
    assert {key: found[key] for key in _numbers(mixed.frame)} == _numbers(mixed.frame)


BOTH = (*books.MIXED, *books.UNDER_HESTON)
OWN = ("d_v0", "d_kappa", "d_theta", "d_xi", "d_rho")


@pytest.fixture(scope="module")
def both():
    return risk_run(books.book(*BOTH), books.MARKET, plan=PLAN, threads=2)


def test_a_heston_trade_alone_has_the_bits_it_has_in_the_book(mixed, both):
    whole = _numbers(both.frame)
    for row in books.UNDER_HESTON:
        alone = _numbers(risk_report(books.book(row), books.MARKET, plan=PLAN, threads=1))
        assert alone == {key: whole[key] for key in alone}, row["trade_id"]
        assert {name for _, name in alone} == {*STANDARD, *OWN}
    assert _numbers(mixed.frame) == {key: whole[key] for key in _numbers(mixed.frame)}


def test_order_of_rows_and_threads_leave_every_bit_under_heston(both):
    shuffled = books.book(*BOTH).sample(frac=1.0, random_state=4)
    other = risk_run(shuffled, books.MARKET, plan=PLAN, threads=3)
    assert _numbers(other.frame) == _numbers(both.frame)
    pd.testing.assert_frame_equal(other.totals, both.totals, check_exact=True)


def test_a_later_heston_trade_leaves_every_bit(both):
    rows = books.UNDER_HESTON[2], books.trade("later", contract="digital", expiry="2025-02-21", model="heston")
    found = _numbers(risk_report(books.book(*rows), books.MARKET, plan=PLAN))
    whole = _numbers(both.frame)
    common = {key: value for key, value in found.items() if key[0] == rows[0]["trade_id"]}
    assert common == {key: whole[key] for key in common}
    assert len(common) == 11


@pytest.mark.parametrize("sampling", [Antithetic(), Sobol()], ids=repr)
def test_dependent_paths_leave_the_law_under_heston(sampling):
    """A GBM trade with the very dates of a Heston one needs points of fewer dimensions, and keeps its own."""
    plan = Plan(paths=2**11, seed=3, sampling=sampling)
    daily = {"contract": "asian", "fixings": "daily", "expiry": "2024-01-12"}
    rows = books.trade("gbm", **daily), books.trade("heston", **daily, model="heston"), books.UNDER_HESTON[0]
    whole = _numbers(risk_report(books.book(*rows), books.MARKET, plan=plan, threads=2))
    for row in rows:
        alone = _numbers(risk_report(books.book(row), books.MARKET, plan=plan, threads=1))
        assert alone == {key: whole[key] for key in alone}, row["trade_id"]


def test_parameter_greeks_are_reported_for_the_trades_that_have_them(both):
    frame = both.frame
    assert both.greeks == (*STANDARD, *OWN)
    assert set(frame["status"]) == {"ok"}
    for model, part in frame.groupby("model"):
        wanted = [*STANDARD, *OWN] if model == "heston" else [*STANDARD]
        for _, rows in part.groupby("trade_id"):
            assert list(rows["greek"]) == wanted
    totals = both.totals.set_index(["level", "book", "underlying", "greek"])
    whole = totals.loc[("all", "", "", "d_xi")]
    own = frame[frame["greek"] == "d_xi"]
    assert (whole["trades"], whole["missing"]) == (len(books.UNDER_HESTON), 0)
    assert whole["not_resolved"] == (~own["resolved"]).sum()
    assert (whole["status"] == "ok") == own["resolved"].all()
    assert whole["value"] == pytest.approx(frame[frame["greek"] == "d_xi"]["value"].sum(), rel=1e-12)
    assert totals.loc[("all", "", "", "vega")]["trades"] == len(BOTH)
    assert ("underlying", "", "Y", "d_xi") not in totals.index
    row = frame.set_index(["trade_id", "greek"]).loc[("call under heston", "vega")]
    assert "sqrt(v0)" in row["note"]
    assert row["vol"] == pytest.approx(math.sqrt(books.HESTON.v0))
    assert "sqrt(v0)" not in frame.set_index(["trade_id", "greek"]).loc[("call", "vega")]["note"]
    own = frame.set_index(["trade_id", "greek"])["unit_value"]
    chain = 2.0 * math.sqrt(books.HESTON.v0) * own["call under heston", "d_v0"]
    assert own["call under heston", "vega"] == pytest.approx(chain, rel=1e-9)


def test_numbers_under_heston_are_those_of_the_formula():
    plan = Plan(paths=2**15, seed=5)
    run = risk_run(books.book(*books.UNDER_HESTON), books.MARKET, plan=plan, estimator="likelihood_ratio")
    assert set(run.verdicts) == {"agree", "not comparable", "too weak to tell"}
    assert run.verdicts["agree"] >= 28  # elsewhere the bias of the time steps leaves room
    frame = run.frame.set_index(["trade_id", "greek"])
    last = books.MARKET.years(dt.date(2024, 6, 21))
    contract = European(option="call", strike=100.0, expiry=last)
    market = books.MARKET.underlyings["X"].market
    exact = sensitivities(contract, books.HESTON, market, estimator=Exact(), greeks=(*STANDARD, *OWN))
    for name in (*STANDARD, *OWN):
        row = frame.loc[("call under heston", name)]
        assert abs(row["unit_value"] - exact[name].value) < 4.0 * row["unit_stderr"], name
        assert row["value"] == 10.0 * row["unit_value"]
    for name in ("price", "delta", "vega", "d_v0", "d_theta"):
        assert 0.0 < frame.loc[("call under heston", name)]["unit_stderr"] < 0.1 * abs(exact[name].value), name


def test_heston_trade_that_fails_is_missing_from_its_totals_alone():
    rows = (
        books.trade("good", model="heston"),
        books.trade("bad", strike=-1.0, model="heston"),
        books.trade("bad gbm", strike=-1.0),
        books.trade("unreadable", model="sabr"),
        books.trade("without", underlying="Y", model="heston"),
    )
    run = risk_run(books.book(*rows), books.MARKET, plan=PLAN)
    missing = run.totals[run.totals["level"] == "all"].set_index("greek")["missing"]
    assert (missing["d_v0"], missing["delta"]) == (3, 4)
    lines = run.frame.groupby("trade_id")["greek"].count().to_dict()
    assert lines == {"good": 11, "bad": 11, "bad gbm": 6, "unreadable": 11, "without": 11}
    reasons = run.errors.set_index("trade_id")["reason"]
    assert "needs its parameters from the market" in reasons["without"]
    assert "must be one of gbm, heston" in reasons["unreadable"]
    assert list(run.errors["field"]) == ["strike", "strike", "model", "model"]


def test_a_greek_that_is_asked_for_has_a_row_for_every_trade():
    rows = books.trade("g"), books.trade("h", model="heston")
    frame = risk_report(books.book(*rows), books.MARKET, greeks=("delta", "d_xi"), plan=PLAN)
    assert list(frame["status"].str[:11]) == ["ok", "not defined", "ok", "ok"]


@pytest.mark.parametrize("sampling", [Antithetic(), Sobol()], ids=repr)
def test_dependent_paths_leave_the_law_as_it_is(sampling):
    plan = Plan(paths=2**11, seed=3, sampling=sampling)
    whole = _numbers(risk_report(books.book(*books.MIXED), books.MARKET, plan=plan, threads=2))
    for row in books.MIXED[:6]:
        alone = _numbers(risk_report(books.book(row), books.MARKET, plan=plan, threads=1))
        assert alone == {key: whole[key] for key in alone}, row["trade_id"]


def test_a_chosen_number_is_held_against_a_method_that_is_no_part_of_it():
    row = books.trade("1", contract="asian", fixings="monthly", estimator="auto")
    frame = risk_report(books.book(row), books.MARKET, plan=PLAN)
    assert set(frame["requested"]) == {"auto"}
    assert not set(frame["estimator"]) & {"auto", "best"}
    for found in frame.to_dict("records"):
        assert found["check"] not in found["estimator"].split()
        average = found["greek"] == "price" and found["verdict"] == "not comparable"
        assert average or found["check"] in ("pathwise", "likelihood_ratio", "finite_difference")
        assert "chosen" in found["note"]
    again = risk_report(books.book(*books.MIXED, row), books.MARKET, plan=PLAN)
    assert _numbers(frame) == _numbers(again[again["trade_id"] == "1"])


def test_plan_that_asks_for_a_precision_is_refused():
    with pytest.raises(InvalidInput, match="is for one contract"):
        risk_report(books.book(books.trade("1")), books.MARKET, plan=Plan(stderr={"delta": 0.01}))


def test_underlyings_have_streams_of_their_own():
    same = MarketData(valuation=dt.date(2024, 1, 5), underlyings=dict.fromkeys(("X", "Y"), books.MARKET.underlyings["X"]))
    rows = books.trade("on X"), books.trade("on Y", underlying="Y")
    one, two = risk_report(books.book(*rows), same, greeks=("price",), estimator="likelihood_ratio", plan=PLAN)["value"]
    assert one != two


def test_numbers_are_those_of_sensitivities_in_law():
    """The book's paths are others than a single contract's, the numbers the same within their errors."""
    plan = Plan(paths=2**15, seed=5)
    found = risk_report(books.book(*books.MIXED), books.MARKET, plan=plan, estimator="likelihood_ratio")
    frame = found.set_index(["trade_id", "greek"])
    last = books.MARKET.years(dt.date(2024, 6, 21))
    contract = European(option="put", strike=95.0, expiry=last)
    alone = sensitivities(contract, GBM(vol=0.2), books.MARKET.underlyings["X"].market, estimator=Exact())
    for name in STANDARD:
        row = frame.loc[("put", name)]
        assert abs(row["unit_value"] - alone[name].value) < 4.0 * row["unit_stderr"]
        assert row["value"] == -20.0 * row["unit_value"]
        assert row["stderr"] == 20.0 * row["unit_stderr"]
        assert 0.0 < row["unit_stderr"] < 0.1 * abs(alone[name].value)


def test_desk_units_are_the_raw_ones_scaled(mixed):
    row = mixed.frame.set_index(["trade_id", "greek"])
    for trade_id, spot in (("asian", 100.0), ("other", 50.0)):
        factors = {"price": 1.0, "delta": spot, "gamma": spot**2 / 100, "vega": 0.01, "rho": 1e-4, "theta": 1 / 365}
        for name, factor in factors.items():
            found = row.loc[(trade_id, name)]
            assert found["desk_value"] == pytest.approx(found["value"] * factor, rel=1e-14)
            assert found["desk_stderr"] == pytest.approx(found["stderr"] * factor, rel=1e-14)
    assert list(mixed.frame["desk_greek"][:6]) == ["price", "delta_cash", "gamma_1pct", "vega_1vol", "rho_1bp", "theta_1d"]


# Totals


OPPOSITE = (
    books.trade("long"),
    books.trade("short", quantity=-10.0),
    books.trade("asian", contract="asian", fixings="weekly", book="B"),
    books.trade("sold asian", contract="asian", fixings="weekly", quantity=-10.0, book="B"),
)


def test_opposite_positions_leave_exactly_nothing():
    totals = risk_run(books.book(*OPPOSITE), books.MARKET, plan=PLAN).totals
    for column in ("value", "stderr", "desk_value", "desk_stderr"):
        assert list(totals[column]) == [0.0] * len(totals)


def test_errors_of_correlated_positions_are_not_added_in_squares():
    spread = books.book(books.trade("long"), books.trade("short", strike=102.0, quantity=-10.0))
    run = risk_run(spread, books.MARKET, plan=Plan(paths=2**13, seed=1), estimator="likelihood_ratio")
    total = run.totals[run.totals["level"] == "all"].set_index("greek")["stderr"]
    squares = run.frame.groupby("greek")["stderr"].apply(lambda errors: math.sqrt((errors**2).sum()))
    for name in ("price", "delta"):
        assert total[name] < 0.5 * squares[name]


def test_error_of_a_total_is_the_spread_over_seeds():
    """Batch means against what the totals do: 80 seeds know a variance to 16 %."""
    rows = (
        books.trade("1"),
        books.trade("2", strike=104.0, quantity=-7.0),
        books.trade("3", contract="digital", cash=20.0, quantity=-4.0, book="B"),
        books.trade("4", contract="asian", fixings="monthly", option="put", book="B"),
        books.trade("5", underlying="Y", strike=50.0, estimator="pathwise"),
    )
    names = ("price", "delta", "rho")  # whose errors 4,400 paths tell at every seed
    runs = [
        risk_run(
            books.book(*rows),
            books.MARKET,
            greeks=names,
            estimator="likelihood_ratio",
            plan=Plan(paths=4400, seed=seed),
            check=False,
        ).totals
        for seed in range(80)
    ]
    values, errors = (np.array([run[column] for run in runs]) for column in ("desk_value", "desk_stderr"))
    ratio = (errors**2).mean(axis=0) / values.var(axis=0, ddof=1)
    assert ((ratio > 0.6) & (ratio < 1.7)).all(), ratio
    squares = np.array([run[run["level"] == "book"].groupby("greek")["desk_stderr"].agg(lambda e: (e**2).sum()) for run in runs])
    total = errors[:, [list(names).index(name) for name in sorted(names)]] ** 2
    assert (np.abs(np.log(squares.mean(axis=0) / total.mean(axis=0))) > 0.2).any()


def test_totals_are_sums_and_spot_greeks_add_over_underlyings_in_cash_only(mixed):
    totals = mixed.totals.set_index(["level", "book", "underlying", "greek"])
    frame = mixed.frame
    for name in STANDARD:
        part = frame[frame["greek"] == name]
        whole = totals.loc[("all", "", "", name)]
        assert whole["desk_value"] == pytest.approx(part["desk_value"].sum(), rel=1e-12)
        assert whole["trades"] == len(books.MIXED)
        on_y = totals.loc[("book x underlying", "B", "Y", name)]
        assert on_y["value"] == pytest.approx(part[(part["book"] == "B") & (part["underlying"] == "Y")]["value"].sum())
        if name in ("delta", "gamma"):
            assert math.isnan(whole["value"])
            assert whole["unit"] == ""
        else:
            assert whole["value"] == pytest.approx(part["value"].sum(), rel=1e-12)
    assert set(totals.index.get_level_values("level")) == {"book x underlying", "book", "underlying", "all"}


def test_exact_positions_total_without_error():
    rows = books.trade("1", estimator="exact"), books.trade("2", option="put", estimator="exact", book="B")
    run = risk_run(books.book(*rows), books.MARKET, plan=PLAN)
    assert set(run.totals["stderr"]) == {0.0}
    assert set(run.frame["paths"]) == {0}


# What fails


def test_failed_trades_stay_in_the_frame_and_are_missing_from_the_totals():
    rows = (
        books.trade("good"),
        books.trade("bad", strike=-1.0),
        books.trade("lost", underlying="Z", book="C"),
        books.trade("", book="=1"),
    )
    run = risk_run(books.book(*rows), books.MARKET, plan=PLAN)
    assert (run.rows, run.priced, run.failed) == (4, 1, 3)
    assert len(run.frame) == 4 * len(STANDARD)
    bad = run.frame[run.frame["trade_id"] == "bad"]
    assert set(bad["status"]) == {"failed: strike must be positive"}
    assert bad[["value", "stderr", "unit_value", "desk_value", "check_value", "z"]].isna().all(axis=None)
    totals = run.totals.set_index(["level", "book", "underlying", "greek"])
    whole = totals.loc[("all", "", "", "delta")]
    assert (whole["trades"], whole["missing"], whole["status"]) == (1, 3, "lacks 3 of 4 trades")
    good = run.frame[(run.frame["trade_id"] == "good") & (run.frame["greek"] == "delta")].iloc[0]
    assert whole["desk_value"] == good["desk_value"]
    nothing = totals.loc[("book", "C", "", "delta")]
    assert (nothing["trades"], nothing["missing"]) == (0, 1)
    assert math.isnan(nothing["desk_value"])
    assert math.isnan(nothing["desk_stderr"])
    assert ("book", "(unreadable)", "", "price") in totals.index
    assert list(run.errors["row"]) == [2, 3, 4]


def test_a_book_without_one_good_row_is_a_report_all_the_same():
    run = risk_run(books.book(books.trade("bad", strike=-1.0)), books.MARKET, plan=PLAN)
    assert (run.priced, run.failed) == (0, 1)
    assert run.totals["desk_value"].isna().all()


def test_estimator_that_refuses_is_a_reason():
    rows = (
        books.trade("jumps", contract="digital", estimator="pathwise"),
        books.trade("no formula", contract="asian", fixings="weekly", estimator="exact"),
        books.trade("good"),
    )
    run = risk_run(books.book(*rows), books.MARKET, plan=PLAN)
    assert list(run.errors["trade_id"]) == ["jumps", "no formula"]
    assert set(run.errors["field"]) == {"estimator"}
    assert "use LikelihoodRatio()" in run.errors["reason"].iloc[0]
    assert run.priced == 1


def test_estimator_that_refuses_one_greek_fails_that_one():
    run = risk_run(books.book(books.trade("1", estimator="pathwise")), books.MARKET, greeks=("delta", "volga"), plan=PLAN)
    assert [status[:7] for status in run.frame["status"]] == ["ok", "failed:"]
    assert run.errors["reason"].iloc[0].startswith("volga: ")
    assert run.failed == 1


def test_calculation_that_breaks_down_fails_its_own_trade(monkeypatch):
    def broken(self, paths):
        raise RuntimeError("out of\nluck")

    monkeypatch.setattr(Digital, "payoff", broken)
    rows = books.trade("good"), books.trade("breaks", contract="digital")
    run = risk_run(books.book(*rows), books.MARKET, plan=PLAN, threads=2)
    assert list(run.frame["status"]) == ["ok"] * 6 + ["failed: RuntimeError: out of luck"] * 6
    assert list(run.errors["reason"]) == ["RuntimeError: out of luck"]
    monkeypatch.undo()
    untouched = risk_run(books.book(*rows), books.MARKET, plan=PLAN)
    assert _numbers(run.frame[:6]) == _numbers(untouched.frame[:6])


def test_formula_that_breaks_down_is_no_check_and_loses_no_number(monkeypatch):
    def broken(self, greek, contract, scenario):
        raise ZeroDivisionError

    monkeypatch.setattr(Exact, "value", broken)
    run = risk_run(books.book(books.trade("1")), books.MARKET, plan=PLAN, estimator="likelihood_ratio")
    assert set(run.frame["status"]) == {"ok"}
    assert list(run.frame["check"]) == ["", *["pathwise"] * 5]


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_number_without_bounds_is_not_finite_and_never_zero():
    rows = books.trade("vast", option="put", strike=1e200, estimator="likelihood_ratio"), books.trade("good")
    run = risk_run(books.book(*rows), books.MARKET, plan=PLAN)
    assert set(run.frame["status"][:6]) == {"not finite"}
    assert run.frame["value"][:6].isna().all()
    assert set(run.totals["missing"]) == {1}
    assert np.isfinite(run.totals["desk_value"]).all()
    assert run.failed == 1


# Checks


def _check(contract, estimator, name="delta"):
    scenario = Scenario(model=GBM(vol=0.2), market=books.MARKET.underlyings["X"].market)
    found = check_of(estimator, greek(name, scenario.model), contract, scenario, PLAN)
    return found.name if found else None


def test_check_is_the_most_trustworthy_other_method():
    european = European(option="call", strike=100.0, expiry=0.5)
    asian = Asian(option="call", strike=100.0, fixings=(0.25, 0.5))
    barrier = Barrier(option="call", strike=100.0, barrier=90.0, kind="down-and-out", monitoring=(0.25, 0.5))
    for contract in (european, barrier):
        for estimator in (LikelihoodRatio(), FiniteDifference(), Controlled(LikelihoodRatio())):
            assert _check(contract, estimator) == "exact"
        assert _check(contract, Exact()) == "likelihood_ratio"
    assert _check(asian, LikelihoodRatio()) == "pathwise"
    assert _check(asian, FiniteDifference()) == "pathwise"
    assert _check(asian, Pathwise()) == _check(asian, Controlled(Pathwise())) == "likelihood_ratio"
    assert _check(asian, LikelihoodRatio(), "volga") == "finite_difference"
    assert _check(european, LikelihoodRatio(), "price") == "exact"
    assert _check(asian, LikelihoodRatio(), "price") is None


def test_right_numbers_agree_and_the_threshold_knows_the_number_of_comparisons():
    run = risk_run(books.book(*books.MIXED), books.MARKET, plan=Plan(paths=2**16, seed=3))
    assert set(run.verdicts) <= {"agree", "too weak to tell", "not comparable"}
    assert run.verdicts["agree"] >= 56
    assert run.verdicts["not comparable"] == 1
    uncompared = run.frame[run.frame["verdict"] == "not comparable"]
    assert (list(uncompared["trade_id"]), list(uncompared["greek"])) == (["two days"], ["price"])
    assert run.limit == pytest.approx(3.8, abs=0.06)
    told = run.frame[run.frame["verdict"] == "agree"]
    assert (told["z"].abs() < run.limit).all()
    assert (told["resolves"] > 0.0).all()


def test_distance_from_a_formula_is_in_errors_of_the_number():
    run = risk_run(books.book(*books.MIXED), books.MARKET, plan=Plan(paths=2**16, seed=3), estimator="likelihood_ratio")
    by_hand = run.frame[(run.frame["check"] == "exact") & (run.frame["verdict"] == "agree") & (run.frame["paths"] > 0)]
    assert len(by_hand) > 20
    z = (by_hand["unit_value"] - by_hand["check_value"]) / by_hand["unit_stderr"]
    np.testing.assert_allclose(by_hand["z"], z, atol=0.25)  # z is corrected for skewness


def test_wrong_number_differs(monkeypatch):
    sample_spec = LikelihoodRatio.sample_spec

    def shifted(self, greek, contract, scenario, plan):
        made = sample_spec(self, greek, contract, scenario, plan)

        def samples(paths, out):
            made.samples(paths, out)
            out[0] += 0.2 * abs(out[0]).mean()

        return replace(made, samples=samples)

    monkeypatch.setattr(LikelihoodRatio, "sample_spec", shifted)
    plan = Plan(paths=2**14)
    run = risk_run(books.book(books.trade("1")), books.MARKET, greeks=("delta",), plan=plan, estimator="likelihood_ratio")
    assert run.verdicts == {"differ": 1}
    assert run.failed == 0
    assert run.frame["z"].iloc[0] > run.limit


def test_z_has_the_sign_of_the_number_less_its_check():
    rows = (
        books.trade("lr", contract="asian", fixings="monthly", estimator="likelihood_ratio"),
        books.trade("pw", contract="asian", fixings="monthly", estimator="pathwise"),
    )
    frame = risk_report(books.book(*rows), books.MARKET, greeks=("delta", "vega"), plan=PLAN)
    assert (np.sign(frame["z"]) == np.sign(frame["unit_value"] - frame["check_value"])).all()
    np.testing.assert_allclose(frame["z"][:2].to_numpy(), -frame["z"][2:].to_numpy())


def test_without_checks_the_numbers_are_the_same(mixed):
    frame = risk_report(books.book(*books.MIXED), books.MARKET, plan=PLAN, check=False)
    assert set(frame["verdict"]) == {"not checked"}
    assert (frame["check"] == "").all()
    np.testing.assert_allclose(frame["value"], mixed.frame["value"], rtol=1e-12)


# The front door


def test_attrs_hold_totals_errors_and_the_valuation():
    frame = risk_report(books.book(books.trade("1"), books.trade("2", strike=-1.0)), books.MARKET, greeks=("delta",), plan=PLAN)
    assert frame.attrs["valuation"] == "2024-01-05"
    assert frame.attrs["errors"][0]["trade_id"] == "2"
    assert frame.attrs["totals"][0]["missing"] == 1
    assert pd.concat([frame, frame]).shape[0] == 4


def test_plain_mapping_of_underlyings_is_as_of_today():
    soon = dt.date.today() + dt.timedelta(days=30)
    frame = risk_report(books.book(books.trade("1", expiry=soon)), dict(books.MARKET.underlyings), greeks=("price",), plan=PLAN)
    assert list(frame["status"]) == ["ok"]
    assert frame.attrs["valuation"] <= dt.date.today().isoformat()


def test_unknown_greek_or_estimator_is_an_error():
    with pytest.raises(InvalidInput, match="greeks must be one of price, delta"):
        risk_report(books.book(books.trade("1")), books.MARKET, greeks=("detla",), plan=PLAN)
    with pytest.raises(InvalidInput, match="estimator"):
        risk_report(books.book(books.trade("1")), books.MARKET, estimator="pathways", plan=PLAN)


def test_progress_is_told_up_to_the_last_path():
    told = []
    risk_report(books.book(books.trade("1")), books.MARKET, plan=PLAN, progress=lambda *done: told.append(done))
    assert told[-1] == (1000, 1000)
    assert told == sorted(told)


def test_crosscheck_of_a_book_holds_every_method_against_the_reference():
    rows = books.trade("1"), books.trade("2", contract="digital"), books.trade("3", strike=-1.0)
    run = crosscheck_run(books.book(*rows), books.MARKET, greeks=("delta", "vega"), plan=Plan(paths=2**16))
    assert (run.rows, run.priced, run.failed) == (3, 2, 1)
    verdicts = run.frame.set_index(["trade_id", "greek", "estimator"])["verdict"]
    assert verdicts["1", "delta", "exact"] == "reference"
    for name, method in itertools.product(("delta", "vega"), ("likelihood_ratio", "finite_difference")):
        assert verdicts["2", name, method] == "agree"
        assert verdicts["1", name, method] == "agree"
    assert verdicts["1", "delta", "pathwise"] == "agree"
    assert verdicts["2", "delta", "pathwise"] == "not comparable"
    assert run.frame["status"].iloc[-1].startswith("failed: strike")


def test_sample_book_prices_without_failure_and_its_checks_agree():
    frame = read_book(books.DATA / "sample_book.csv")
    run = risk_run(frame, load_market(books.DATA / "market.toml"), plan=Plan(paths=2**12, seed=11))
    assert run.rows >= 60
    assert run.failed == 0
    assert set(run.verdicts) == {"agree", "not comparable", "too weak to tell"}
    assert run.verdicts["agree"] > 300
    assert len(set(frame["book"])) == 3
    kinds = set(frame["kind"]) - {""}
    assert kinds == {"down-and-out", "down-and-in", "up-and-out", "up-and-in"}
    for model in ("", "heston"):
        assert {"european", "digital", "asian", "barrier"} == set(frame.loc[frame["model"] == model, "contract"])
    assert (frame["model"] == "heston").sum() >= 6
    assert set(run.frame.loc[run.frame["greek"] == "d_rho", "model"]) == {"heston"}
    assert (frame["past_fixings"] != "").sum() >= 1
    quantities = frame["quantity"].astype(float)
    assert (quantities > 0).any()
    assert (quantities < 0).any()


@pytest.mark.parametrize("barrier", [40.0, 73.0])
def test_event_that_hardly_a_path_sees_is_not_called_a_difference(barrier):
    """No path, or a few, touches the barrier; the formula knows that some would."""
    far = books.trade("far", contract="barrier", barrier=barrier, kind="down-and-in", monitoring="weekly", expiry="2024-03-15")
    rows, plan = books.book(far, books.trade("near")), Plan(paths=2**12, seed=2)
    run = risk_run(rows, books.MARKET, plan=plan, estimator="likelihood_ratio")
    found = run.frame[run.frame["trade_id"] == "far"]
    assert (found["check_value"].abs() < 1e-3).all()
    assert barrier == 40.0 or (found["check_value"] != 0.0).all()
    assert set(found["verdict"]) == {"too weak to tell"}
    assert not found["resolved"].any()
    assert found["stderr"].isna().all()
    assert found["note"].str.contains("error not known").all()
    assert "differ" not in set(run.frame[run.frame["trade_id"] == "near"]["verdict"])
    assert run.unresolved >= len(found)


@pytest.mark.parametrize("rebate", [0.0, 5.0])
def test_dead_barrier_is_value_its_rebate_and_agrees(rebate):
    dead = books.trade(
        "1", contract="barrier", barrier=120.0, kind="up-and-out", monitoring="monthly", rebate=rebate, touched=True
    )
    run = risk_run(books.book(dead), books.MARKET, plan=PLAN)
    assert set(run.frame["status"]) == {"ok"}
    assert "differ" not in run.verdicts
    market = Underlying(market=Market(spot=100.0, rate=0.03), vol=0.2).market
    discount = math.exp(market.log_discount(books.MARKET.years(dt.date(2024, 6, 21))))
    assert run.frame["unit_value"].iloc[0] == pytest.approx(rebate * discount, rel=1e-12)
