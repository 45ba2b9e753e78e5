import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

import books
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greeks import LikelihoodRatio, Pathwise, load_market
from greeks.engine.registry import estimators
from greeks.portfolio import read_trades
from greeks.portfolio.read_trades import Position, Reject, families, read_book, read_portfolio
from pricers import GBM, Asian, AsianDigital, Barrier, Digital, European, InvalidInput
from pricers.contracts.contract import Contract, dates

LR = LikelihoodRatio()
DAX = load_market(books.DATA / "market.toml")


def _read(*rows, market=books.MARKET):
    return read_portfolio(books.book(*rows), market, estimator=LR).rows


def _only(row, market=books.MARKET):
    (found,) = _read(row, market=market)
    return found


REASONS = {
    "B-01": ("contract", "must be one of asian, asian_digital, barrier, digital, european"),
    "B-02": ("strike", "is missing"),
    "B-03": ("strike", "must be positive"),
    "B-04": ("strike", "must be a number"),
    "B-05": ("strike", "must be a number"),
    "B-06": ("expiry", "has expired"),
    "B-07": ("expiry", "has expired"),
    "B-08": ("expiry", "must be a calendar date"),
    "B-09": ("expiry", "must be a calendar date"),
    "B-10": ("trade_id", "is a duplicate"),
    "B-12": ("underlying", "has no market data; there is DAX"),
    "B-13": ("strike", "lies outside the volatility surface"),
    "B-14": ("expiry", "lies beyond the volatility surface"),
    "B-15": ("fixings", "fixings past expiry"),
    "B-16": ("fixings", "must lie after the valuation"),
    "B-17": ("fixings", "must increase"),
    "B-18": ("fixings", "must end at the expiry"),
    "B-19": ("past_fixings", "must be a number"),
    "B-20": ("fixings", "must be a calendar date"),
    "B-21": ("average", "must be one of arithmetic, geometric"),
    "B-22": ("quantity", "must be finite"),
    "B-23": ("quantity", "is missing or NaN"),
    "B-24": ("quantity", "must be a number"),
    "B-25": ("quantity", "must be finite"),
    "B-26": ("option", "must be one of call, put"),
    "B-27": ("barrier", "does not belong to european contracts"),
    "B-28": ("barrier", "is missing"),
    "B-29": ("kind", "must be one of down-and-out"),
    "B-30": ("rebate", "must not be negative"),
    "B-31": ("touched", "must be true or false"),
    "B-34": ("estimator", "must be one of"),
    "B-35": ("model", "must be one of gbm"),
    "": ("trade_id", "is missing"),
    "<script>alert(1)</script>": ("trade_id", "HTML"),
    '=HYPERLINK("http://example.com")': ("trade_id", "formula"),
    "+1": ("trade_id", "formula"),
    "-1": ("trade_id", "formula"),
    "@SUM(A1)": ("trade_id", "formula"),
    "=1+1": ("trade_id", "formula"),
    "B-43": ("book", "HTML"),
    "B-44": ("book", "formula"),
    "B-45": ("underlying", "HTML"),
    "B-46": ("book", "is missing"),
    "B-47": ("row", "more cells"),
}
"""What is wrong with each row of data/bad_book.csv, but those that only an estimator can refuse (B-32, B-33)."""


def test_every_kind_of_bad_row_has_its_field_and_reason():
    frame = read_book(books.DATA / "bad_book.csv")
    found = read_portfolio(frame, DAX, estimator=LR)
    assert len(found.rows) == len(frame) == len(found.positions) + len(found.rejects)
    rejected = {reject.trade_id: reject for reject in found.rejects}
    assert set(rejected) == set(REASONS)
    for trade_id, (field, reason) in REASONS.items():
        assert rejected[trade_id].field == field, trade_id
        assert reason in rejected[trade_id].reason, trade_id
    assert [p.trade_id for p in found.positions if p.trade_id.startswith("GOOD")] == ["GOOD-1", "GOOD-2", "GOOD-3", "GOOD-4"]
    assert rejected["B-03"].value == "-4400"
    assert [row.row for row in found.rows] == list(range(1, len(frame) + 1))


def test_rows_become_the_contracts_that_they_say():
    years = books.MARKET.years
    last = years(dt.date(2024, 3, 15))
    european, digital, asian, barrier, asian_digital = _read(
        books.trade("1", expiry="2024-03-15", option=" CALL "),
        books.trade("2", contract="Digital", option="put", expiry="2024-03-15"),
        books.trade(
            "3",
            contract="asian",
            expiry="2024-03-15",
            fixings="2024-02-15; 2024-03-15",
            average="Geometric",
            past_fixings="99;101.5",
        ),
        books.trade(
            "4",
            contract="barrier",
            barrier=90,
            kind="Down-And-In",
            expiry=None,
            monitoring="2024-03-15",
            touched="yes",
            estimator="PATHWISE",
        ),
        books.trade(
            "5",
            contract="asian_digital",
            option="put",
            expiry="2024-03-15",
            fixings="2024-02-15;2024-03-15",
            cash=7,
            past_fixings="99",
        ),
    )
    assert european.contract == European(option="call", strike=100.0, expiry=last)
    assert digital.contract == Digital(option="put", strike=100.0, expiry=last, cash=1.0)
    fixings = (years(dt.date(2024, 2, 15)), last)
    assert asian.contract == Asian(option="call", strike=100.0, fixings=fixings, average="geometric", past_fixings=(99.0, 101.5))
    assert asian_digital.contract == AsianDigital(option="put", strike=100.0, fixings=fixings, past_fixings=(99.0,), cash=7.0)
    down_and_in = Barrier(option="call", strike=100.0, barrier=90.0, kind="down-and-in", monitoring=(last,), touched=True)
    assert (barrier.contract, barrier.estimator) == (down_and_in, Pathwise())
    assert european.estimator is LR
    assert european.model == GBM(vol=0.2)
    assert asian_digital.terms == "put, strike 100, 2 fixings to 2024-03-15, arithmetic, 1 past fixings, cash 7"
    assert asian.terms == "call, strike 100, 2 fixings to 2024-03-15, geometric, 2 past fixings"


def test_volatility_is_the_surface_s_at_strike_and_expiry():
    row = {"trade_id": "1", "book": "b", "underlying": "DAX", "contract": "european", "quantity": 1}
    found = _only(row | {"option": "put", "strike": 4600, "expiry": "2002-12-17"}, market=DAX)
    assert found.model == DAX.underlyings["DAX"].model("gbm", strike=4600.0, expiry=165 / 365)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range(Contract):
    """The greatest less the least spot: a contract without a strike."""

    family: ClassVar[str] = "range"
    monitoring: tuple[float, ...] = dates()
    discontinuous: ClassVar[bool] = False

    @property
    def times(self):
        return self.monitoring

    def payoff(self, paths):
        return paths.maximum - paths.minimum


def test_contract_without_a_strike_is_not_valued_at_the_money_of_a_smile(monkeypatch):
    monkeypatch.setattr(read_trades, "families", lambda: {"range": Range})
    row = {"trade_id": "1", "book": "b", "contract": "range", "quantity": 1, "expiry": "2002-12-17", "monitoring": "weekly"}
    rejected = _only(row | {"underlying": "DAX"}, market=DAX)
    assert isinstance(rejected, Reject)
    assert (rejected.field, rejected.reason) == (
        "strike",
        "is not known for a contract without a strike on a volatility smile; define its volatility_strike, or use a flat vol",
    )
    monkeypatch.setattr(Range, "volatility_strike", 4600.0)
    found = _only(row | {"underlying": "DAX"}, market=DAX)
    assert found.model == DAX.underlyings["DAX"].model("gbm", strike=4600.0, expiry=found.contract.times[-1])


@pytest.mark.parametrize(
    ("rule", "expiry", "days"),
    [
        ("daily", "2024-01-10", ["2024-01-08", "2024-01-09", "2024-01-10"]),
        ("daily", "2024-01-14", ["2024-01-08", "2024-01-09", "2024-01-10", "2024-01-11", "2024-01-12", "2024-01-14"]),
        ("weekly", "2024-01-26", ["2024-01-12", "2024-01-19", "2024-01-26"]),
        ("Weekly", "2024-01-27", ["2024-01-06", "2024-01-13", "2024-01-20", "2024-01-27"]),
        ("monthly", "2024-03-31", ["2024-01-31", "2024-02-29", "2024-03-31"]),
        ("monthly", "2024-02-05", ["2024-02-05"]),
        ("daily", "2024-01-06", ["2024-01-06"]),
    ],
)
def test_rule_counts_back_from_the_expiry_to_the_valuation(rule, expiry, days):
    found = _only(books.trade("1", contract="asian", fixings=rule, expiry=expiry))
    assert found.contract.fixings == tuple((dt.date.fromisoformat(day) - dt.date(2024, 1, 5)).days / 365.0 for day in days)


def test_rule_needs_an_expiry():
    found = _only(books.trade("1", contract="asian", fixings="weekly", expiry=None))
    assert (found.field, "weekly fixings are counted back" in found.reason) == ("expiry", True)


TEXT = [
    books.trade("001", quantity="10.0", strike="100.5"),
    books.trade("7", contract="digital", strike="100.0", cash="2.5", quantity="-3.0"),
    books.trade("9", contract="barrier", strike="100.0", barrier="90.0", kind="up-and-out", monitoring="weekly", rebate="1.0"),
    books.trade("11", contract="asian", strike="100.0", fixings="monthly", quantity="0.1", past_fixings="99.5;100"),
    books.trade("bad strike", strike="-1"),
    books.trade("no quantity", quantity=""),
    books.trade("expired", expiry="2024-01-05"),
]


def _as_text():
    return pd.DataFrame(TEXT).fillna("").astype(str).assign(touched=["", "", "False", "", "", "", ""])


def _typed():
    frame = _as_text().replace("", None)
    numbers = {name: pd.to_numeric(frame[name]) for name in ("strike", "cash", "barrier", "rebate", "quantity")}
    frame = frame.assign(**numbers, expiry=pd.to_datetime(frame["expiry"]), touched=False)
    frame["book"] = frame["book"].astype("category")
    frame["option"] = frame["option"].astype("string")
    frame["strike"] = frame["strike"].astype("Float64")
    return frame.set_index(pd.Index([5, 5, 3, 2, 1, 0, -1]))[frame.columns[::-1]]


def _objects():
    frame = _typed()
    frame["expiry"] = pd.Series([dt.date.fromisoformat(row["expiry"]) for row in TEXT], index=frame.index, dtype=object)
    frame["strike"] = pd.Series([Decimal(row["strike"]) for row in TEXT], index=frame.index, dtype=object)
    frame["rebate"] = frame["rebate"].fillna(0.0)
    return frame


def _read_only():
    frame = _typed()
    for name in ("quantity", "barrier"):
        values = frame[name].to_numpy(copy=True)
        values.flags.writeable = False
        frame[name] = pd.Series(values, index=frame.index, copy=False)
    return frame


@pytest.mark.parametrize("typed", [_typed, _objects, _read_only])
def test_typed_table_says_the_same_as_its_text(typed):
    text, other = (read_portfolio(frame, books.MARKET, estimator=LR).rows for frame in (_as_text(), typed()))
    assert [type(row) for row in text] == [Position] * 4 + [Reject] * 3
    for one, two in zip(text, other, strict=True):
        if isinstance(one, Position):
            assert one == two
        else:
            assert (one.trade_id, one.field, one.value, one.reason) == (two.trade_id, two.field, two.value, two.reason)


def test_reading_leaves_the_table_as_it_was():
    frame = _typed()
    before = frame.copy(deep=True)
    read_portfolio(frame, books.MARKET, estimator=LR)
    pd.testing.assert_frame_equal(frame, before)


def test_lists_may_be_lists():
    days = [dt.date(2024, 2, 15), pd.Timestamp("2024-03-15")]
    found = _only(books.trade("1", contract="asian", expiry="", fixings=days, past_fixings=np.array([99.0, 101.0])))
    assert found.contract.fixings == (41 / 365, 70 / 365)
    assert found.contract.past_fixings == (99.0, 101.0)


def test_all_rows_of_a_duplicate_id_are_left_out_in_any_order():
    rows = [
        books.trade("a"),
        books.trade(" b "),
        books.trade("a", strike=-1.0),
        books.trade("c"),
        books.trade(7),
        books.trade("7"),
    ]
    for order in (rows, rows[::-1], rows[3:] + rows[:3]):
        found = _read(*order)
        assert sorted(row.trade_id for row in found if isinstance(row, Position)) == ["b", "c"]
        assert all(row.field == "trade_id" for row in found if isinstance(row, Reject))


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"quantity": True}, "quantity"),
        ({"quantity": "1_000"}, "quantity"),
        ({"quantity": "0x10"}, "quantity"),
        ({"quantity": 1e16}, "quantity"),
        ({"quantity": 1j}, "quantity"),
        ({"strike": [1.0, 2.0]}, "strike"),
        ({"expiry": 45000}, "expiry"),
        ({"expiry": pd.Timestamp("2024-06-21 12:00")}, "expiry"),
        ({"expiry": "2024-6-21"}, "expiry"),
        ({"expiry": "2099-06-21"}, "expiry"),
        ({"option": 3}, "option"),
        ({"book": "a\tb"}, "book"),
        ({"book": "\tb"}, "book"),
        ({"book": "a\u202eb"}, "book"),
        ({"book": "b" * 101}, "book"),
        ({"trade_id": "t" * 1000}, "trade_id"),
        ({"cash": 2.0}, "cash"),
        ({"fixings": "weekly"}, "fixings"),
        ({"touched": True}, "touched"),
    ],
)
def test_odd_cell_is_a_reason(terms, field):
    found = _only(books.trade("1") | terms)
    assert isinstance(found, Reject)
    assert found.field == field
    assert len(found.trade_id) <= 100
    assert len(found.value) <= 100


def test_zero_and_false_say_nothing_where_they_are_another_family_s_default():
    assert isinstance(_only(books.trade("1", rebate=0.0, touched=False)), Position)
    assert isinstance(_only(books.trade("1", quantity=0.0)), Position)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_whatever_stands_in_a_cell_the_row_is_a_position_or_a_reject(data):
    row = dict(data.draw(st.sampled_from(books.MIXED)))
    column = data.draw(st.sampled_from(sorted({name for other in books.MIXED for name in other})))
    texts = st.one_of(st.text(max_size=12), st.text(alphabet="0123456789-;.,eE+ ", max_size=14))
    values = st.one_of(
        texts, st.floats(), st.integers(), st.booleans(), st.dates(), st.datetimes(), st.none(), st.lists(st.floats())
    )
    row[column] = data.draw(values)
    found = _only(row)
    assert isinstance(found, (Position, Reject))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pd.DataFrame(), "must include trade_id, book"),
        (books.book(books.trade("1")).drop(columns="quantity"), "must include quantity"),
        (books.book(books.trade("1")).iloc[:0], "at least one trade"),
        (books.book(books.trade("1")).rename(columns={"option": "strike"}), "once each, got 'strike'"),
        (books.book(books.trade("1", rebte=1.0)), "is rebate meant?"),
    ],
)
def test_table_that_cannot_be_read_is_fatal(frame, words):
    with pytest.raises(InvalidInput) as error:
        read_portfolio(frame, books.MARKET, estimator=LR)
    assert words in str(error.value)


def test_other_columns_are_ignored_and_named():
    found = read_portfolio(books.book(books.trade("1", trader="Ann", Desk=3)), books.MARKET, estimator=LR)
    assert found.ignored == ("trader", "desk")
    assert len(found.positions) == 1


def test_book_file_is_read_as_text(tmp_path):
    path = tmp_path / "book.csv"
    path.write_text('\ufefftrade_id, Book,quantity\nNA,"a,b",007\n\n1,x\n2,y,3,4\n', encoding="utf-8")
    frame = read_book(path)
    assert frame.iloc[:, :3].to_numpy().tolist() == [["NA", "a,b", "007"], ["1", "x", ""], ["2", "y", "3"]]
    path.write_bytes(b"trade_id\n\xff\xfe")
    with pytest.raises(InvalidInput, match="UTF-8"):
        read_book(path)
    path.write_text("")
    with pytest.raises(InvalidInput, match="empty"):
        read_book(path)


def test_families_and_estimators_are_found_by_name():
    assert families() == {
        "asian": Asian,
        "asian_digital": AsianDigital,
        "barrier": Barrier,
        "digital": Digital,
        "european": European,
    }
    assert {"likelihood_ratio", "pathwise", "finite_difference", "exact"} <= set(estimators())
