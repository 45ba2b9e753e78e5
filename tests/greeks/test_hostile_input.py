"""One cell never stops a book, one file never stops a process, and messages quote little."""

import datetime as dt
import os
import subprocess
import sys
import threading
import warnings
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import books
import numpy as np
import pandas as pd
import pytest

from greeks import LikelihoodRatio, MarketData, Underlying, load_market
from greeks.commands.cli import main
from greeks.portfolio import cells, inputs
from greeks.portfolio.crosscheck import crosscheck_run
from greeks.portfolio.market_data import load_quoted, read_surface
from greeks.portfolio.read_trades import Position, Reject, read_book, read_portfolio
from greeks.portfolio.risk import risk_run
from greeks.report.facts import Facts
from greeks.report.writer import write_report
from pricers import ImpliedVolSurface, InvalidInput, Market, Plan

PLAN = Plan(paths=200)
MARKET = "valuation = 2024-01-05\n[underlyings.X]\nspot = 100.0\nrate = 0.03\nvol = 0.2\n"
PASSWORD = "hunter2-is-secret"


@pytest.fixture
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("market.toml").write_text(MARKET, encoding="utf-8")
    books.book(books.trade("1")).to_csv("book.csv", index=False)
    return tmp_path


def _report(*more):
    return main(["report", "book.csv", "--market", "market.toml", "--out", "out", "--paths", "200", "--threads", "1", *more])


def _frame(*rows):
    """A table of rows whose cells stay the objects that they are."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=object) for name in columns})


class Rude:  # noqa: PLW1641
    """An object that answers nothing."""

    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __float__ = __hash__ = __str__

    def __eq__(self, other):
        raise RuntimeError("no")


HOSTILE = {
    "signalling NaN": Decimal("sNaN"),
    "NaN with a payload": Decimal("NaN123"),
    "infinite decimal": Decimal("-Infinity"),
    "huge decimal": Decimal("1e999999"),
    "integer beyond floats": 10**400,
    "integer beyond text": 10**5000,
    "huge fraction": Fraction(10**400, 3),
    "half a surrogate pair": "\ud800",
    "surrogate inside": "a\udfffb",
    "long text": "x" * 1_000_000,
    "bytes": b"\xff",
    "complex": 1j,
    "array of arrays": np.ones((2, 2)),
    "list of lists": [[1.0], [2.0]],
    "nested lists": [[[[[[[[[[]]]]]]]]]],
    "mapping": {"a": 1},
    "far date": dt.date(9999, 12, 31),
    "time of day": dt.datetime(2024, 6, 21, 12),
    "time without date": dt.time(12),
    "duration": pd.Timedelta(days=3),
    "far datetime64": np.datetime64("20240-01-01"),
    "type": int,
    "rude object": Rude(),
    "full-width formula": "＝1+1",
}


@pytest.mark.parametrize(
    "column", ["trade_id", "book", "underlying", "contract", "quantity", "strike", "expiry", "option", "estimator", "model"]
)
@pytest.mark.parametrize("what", HOSTILE)
def test_any_cell_anywhere_is_a_position_or_a_reason_with_its_field(column, what):
    rows = _frame(
        books.trade("good"), books.trade("bad", **{column: HOSTILE[what]}) if column != "trade_id" else books.trade(HOSTILE[what])
    )
    good, bad = read_portfolio(rows, books.MARKET, estimator=LikelihoodRatio()).rows
    assert isinstance(good, Position)
    if isinstance(bad, Reject):
        assert bad.field == column
        for text in (bad.trade_id, bad.value, bad.reason):
            text.encode()
            assert len(text) <= 400


@pytest.mark.parametrize("what", HOSTILE)
def test_book_with_a_hostile_cell_becomes_a_report(what, tmp_path):
    rows = [books.trade("good")]
    rows += [books.trade(f"bad {column}", **{column: HOSTILE[what]}) for column in ("book", "quantity", "strike", "expiry")]
    run = risk_run(_frame(*rows), books.MARKET, plan=PLAN, greeks=("price", "delta"))
    write_report(run, Facts(), tmp_path / "out")
    errors = pd.read_csv(tmp_path / "out" / "errors.csv", keep_default_na=False, dtype=str)
    assert run.rows == 5
    assert run.frame["status"].iloc[0] == "ok"
    assert (errors["field"] != "").all()
    assert (errors["value"].str.len() <= 101).all()


def test_not_a_signalling_number_of_a_family_s_own_term_is_a_reason():
    row = books.trade("1", contract="asian", fixings="monthly", past_fixings=[Decimal("sNaN"), 100.0])
    (found,) = read_portfolio(_frame(row), books.MARKET, estimator=LikelihoodRatio()).rows
    assert (found.field, found.reason) == ("past_fixings", "must be a list separated by semicolons")


@pytest.mark.parametrize("spot", [1e300, 1e-300, 1.7e308, 5e-324])
@pytest.mark.parametrize("run", [risk_run, crosscheck_run])
def test_spot_at_the_end_of_all_floats_is_a_number_or_a_reason(spot, run):
    market = MarketData(
        valuation=dt.date(2024, 1, 5),
        underlyings={"X": Underlying(market=Market(spot=spot, rate=0.03), vol=0.2), "Y": books.MARKET.underlyings["X"]},
    )
    rows = [
        books.trade("far", strike=spot),
        books.trade("digital", contract="digital", strike=spot),
        books.trade("near", underlying="Y"),
    ]
    rows.append(books.trade("asian", contract="asian", fixings="monthly", strike=spot))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        found = run(books.book(*rows), market, plan=PLAN)
    assert [str(warning.message) for warning in heard] == []
    near = found.frame[found.frame["trade_id"] == "near"]
    assert set(near["status"]) <= {"ok", "failed: "} or (near["status"] == "ok").all()
    assert (found.errors["field"] != "").all()
    if run is risk_run:
        assert (near["status"] == "ok").all()
        bad = found.frame[found.frame["status"] == "not finite"]
        for trade, greek in zip(bad["trade_id"], bad["greek"], strict=True):
            named = found.errors[(found.errors["trade_id"] == trade) & (found.errors["field"] == greek)]
            assert len(named) == 1
            assert f"the {greek} is not finite" in named["reason"].iloc[0]
        assert found.failed == len(set(found.errors["row"]))


def test_estimate_that_is_not_finite_names_its_field():
    """The gamma of one contract is a number; ten thousand times 1.2e154 squared is none, and so there is none in the desk's unit."""
    market = MarketData(valuation=dt.date(2024, 1, 5), underlyings={"X": Underlying(market=Market(spot=1.2e154), vol=0.2)})
    rows = books.book(books.trade("far", strike=1.2e154, quantity=1e4, estimator="exact"))
    found = risk_run(rows, market, plan=PLAN, greeks=("delta", "gamma"), check=False)
    assert list(found.frame["status"]) == ["ok", "not finite"]
    (error,) = found.errors.to_dict("records")
    assert (error["trade_id"], error["field"]) == ("far", "gamma")
    assert error["value"].endswith(" +- 0")
    assert "the gamma is not finite, for one contract or for the position in its units" in error["reason"]


def test_command_with_a_spot_at_the_end_of_all_floats_says_nothing_of_numpy_s(there):
    Path("market.toml").write_text(MARKET.replace("100.0", "1e300"), encoding="utf-8")
    books.book(books.trade("1", strike=1e300), books.trade("2", contract="asian", fixings="monthly", strike=1e300)).to_csv(
        "book.csv", index=False
    )
    command = [sys.executable, "-m", "greeks", "report", "book.csv", "--market", "market.toml", "--out", "out", "--paths", "200"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3
    assert [line for line in done.stderr.splitlines() if not line.startswith("greeks: ")] == []


def test_thousands_of_listed_dates_in_one_cell_are_valid(there):
    days = ";".join((dt.date(2024, 1, 6) + dt.timedelta(days=n)).isoformat() for n in range(13_999))
    assert len(days) > 131_072
    rows = books.book(books.trade("long", contract="asian", fixings=days, expiry=""), books.trade("short"))
    rows.to_csv("book.csv", index=False)
    found = read_portfolio(read_book("book.csv"), books.MARKET, estimator=LikelihoodRatio()).rows
    assert len(found[0].contract.fixings) == 13_999
    assert _report("--greeks", "delta", "--no-check") == 0


@pytest.mark.parametrize("sign", "=+-@＝＋－＠")
@pytest.mark.parametrize("before", ["", " ", "\u00a0", "\u3000", "\t"])
def test_no_text_of_a_csv_file_begins_as_a_formula(sign, before, tmp_path):
    text = f"{before}{sign}cmd|' /C calc'!A0"
    rows = _frame(books.trade(text), books.trade("1", book=text), books.trade("2", strike=text), books.trade("3"))
    run = risk_run(rows, books.MARKET, plan=PLAN, greeks=("delta",))
    assert run.failed == 3
    write_report(run, Facts(), tmp_path / "out")
    for name in ("risk.csv", "errors.csv", "totals.csv"):
        frame = pd.read_csv(tmp_path / "out" / name, dtype=str, keep_default_na=False)
        for column in frame.columns[frame.map(lambda cell: sign in cell).any()]:
            if not pd.to_numeric(frame[column], errors="coerce").notna().any():
                assert not frame[column].str.strip().str.startswith(tuple("=+-@＝＋－＠")).any(), (name, column)


# Files


@pytest.mark.parametrize(
    "nested", ["a = " + "[" * 5_000, "a = " + "[" * 5_000 + "]" * 5_000, "a = " + "{a = " * 3_000, "[" + "a." * 20_000 + "a]\n"]
)
@pytest.mark.parametrize("where", ["market.toml", "heston.toml", "fit.toml"])
def test_nested_toml_is_an_error_and_no_more(there, nested, where, capsys):
    Path(where).write_text(nested, encoding="utf-8")
    if where == "heston.toml":
        Path("market.toml").write_text(MARKET + 'heston = "heston.toml"\n', encoding="utf-8")
    if where == "fit.toml":
        Path("s.csv").write_text("days_to_expiry,strike,implied_vol\n30,90,0.2\n")
        assert main(["calibrate", "s.csv", "--market", "market.toml", "--out", "fit.toml"]) == 1
    else:
        assert _report() == 1
    printed = capsys.readouterr().err
    assert printed.startswith("greeks: ")
    assert "RecursionError" not in printed
    assert len(printed) < 1000
    with pytest.raises(InvalidInput):
        load_market("market.toml" if where != "fit.toml" else "fit.toml")


def _within(seconds, call):
    """The error of a call that must not wait."""
    found = []

    def run():
        try:
            call()
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it waits"
    return found[0]


PIPED = {
    "book": read_book,
    "market": load_market,
    "surface": read_surface,
    "quotes": lambda path: load_quoted("market.toml", path),
}


@pytest.mark.parametrize("what", PIPED)
@pytest.mark.parametrize("path", ["pipe", "/dev/zero", "/dev/tty", "folder"])
def test_pipe_device_or_folder_in_a_file_s_place_is_refused_and_never_waited_for(there, what, path):
    os.mkfifo("pipe")
    Path("folder").mkdir()
    error = _within(20, lambda: PIPED[what](path))
    assert isinstance(error, (InvalidInput, OSError))
    if path in ("pipe", "folder", "/dev/zero"):
        assert "must be a plain file, not a pipe, a device or a folder" in str(error)


@pytest.mark.parametrize("place", ["book.csv", "market.toml", "surface.csv", "heston.toml"])
def test_command_does_not_wait_for_a_pipe(there, place):
    Path("surface.csv").write_text("days_to_expiry,strike,implied_vol\n30,90,0.2\n30,110,0.2\n")
    Path("heston.toml").write_text("v0 = 0.04\nkappa = 1.5\ntheta = 0.04\nxi = 0.5\nrho = -0.7\n")
    Path("market.toml").write_text(MARKET.replace("vol = 0.2\n", 'surface = "surface.csv"\nheston = "heston.toml"\n'))
    Path(place).unlink()
    os.mkfifo(place)
    command = [sys.executable, "-m", "greeks", "report", "book.csv", "--market", "market.toml", "--out", "out", "--paths", "200"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "must be a plain file" in done.stderr
    assert place in done.stderr


# What messages quote


LONG = {
    "text": "x" * 100_000,
    "integer": 10**5000,
    "list": ["x" * 50] * 50,
    "mapping": {"a": {"b": "x" * 1000}},
    "array": np.arange(10_000.0),
    "rude": Rude(),
    "surrogate": "\ud800",
}


@pytest.mark.parametrize("what", LONG)
def test_message_quotes_at_most_200_characters_whatever_the_value(what):
    value = LONG[what]
    error = InvalidInput("strike", value, "must be a number")
    assert str(error).startswith("strike must be a number, got ")
    assert len(str(error)) <= len("strike must be a number, got ") + 200
    str(error).encode()
    assert error.value is value


def test_message_quotes_short_values_whole():
    for value in ("abc", 3, None, 0.1, ("a", 1), ["x"], Decimal("1.5")):
        assert str(InvalidInput("f", value, "r")) == f"f r, got {value!r}"


def test_lists_of_somebody_s_names_are_cut():
    assert cells.listed(["A", "B"]) == "A, B"
    long = cells.listed([f"underlying {n}" for n in range(10_000)])
    assert len(long) < 230
    assert long.endswith("more")
    market = MarketData(valuation=dt.date(2024, 1, 5), underlyings={f"U{n}": books.MARKET.underlyings["X"] for n in range(5_000)})
    (found,) = read_portfolio(books.book(books.trade("1")), market, estimator=LikelihoodRatio()).rows
    assert len(found.reason) < 300


SECRET = f'password = "{PASSWORD}"\n[server]\nkey = "{PASSWORD}"\n'


@pytest.mark.parametrize(
    ("key", "content"),
    [
        ("heston", SECRET),
        ("heston", f'v0 = ["{PASSWORD}"]\n' + SECRET),
        ("heston", f'v0 = {{a = "{PASSWORD}"}}\nkappa = 1.0\ntheta = 0.04\nxi = 0.5\nrho = 0.1\n'),
        ("heston", f"{PASSWORD}\n"),
        ("surface", f"root:{PASSWORD}:0:0\n"),
        ("surface", SECRET),
    ],
)
@pytest.mark.parametrize("allowed", [False, True])
def test_nothing_of_a_foreign_file_is_quoted(there, capsys, key, content, allowed):
    (there / "private").mkdir()
    (there / "private" / "foreign").write_text(content, encoding="utf-8")
    (there / "market").mkdir()
    text = MARKET.replace("vol = 0.2\n", "") + f'{key} = "../private/foreign"\n'
    (there / "market" / "market.toml").write_text(text, encoding="utf-8")
    more = ["--allow-outside"] if allowed else []
    assert main(["report", "book.csv", "--market", "market/market.toml", "--out", "out", *more]) == 1
    printed = capsys.readouterr()
    assert PASSWORD not in printed.err + printed.out
    assert ("must lie in the market file's folder" in printed.err) == (not allowed)
    assert "--allow-outside" in printed.err or allowed


@pytest.mark.parametrize("name", ["../s.csv", "/etc/passwd", "sub/../../s.csv", "link.csv", "linked/s.csv"])
def test_files_outside_the_market_s_folder_need_a_switch(there, name):
    Path("s.csv").write_text("days_to_expiry,strike,implied_vol\n30,90,0.2\n30,110,0.2\n")
    for folder in ("market", "market/sub", "elsewhere"):
        Path(folder).mkdir()
    Path("elsewhere/s.csv").write_bytes(Path("s.csv").read_bytes())
    Path("market/link.csv").symlink_to("../s.csv")
    Path("market/linked").symlink_to("../elsewhere")
    Path("market/m.toml").write_text(MARKET.replace("vol = 0.2", f'surface = "{name}"'))
    with pytest.raises(InvalidInput, match="must lie in the market file's folder"):
        load_market("market/m.toml")
    if name != "/etc/passwd":
        assert load_market("market/m.toml", allow_outside=True).underlyings["X"].vol is not None


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000, "a/" * 3000, "\\u0000", "x\\u0000y"])
def test_name_that_no_file_can_have_is_an_error_that_quotes_little(there, name, capsys):
    Path("market.toml").write_text(MARKET.replace("vol = 0.2", f'surface = "{name}"'))
    assert _report() == 1
    assert len(capsys.readouterr().err) < 700
    with pytest.raises(InvalidInput):
        load_market("market.toml")


def test_files_inside_the_market_s_folder_need_none(there):
    Path("sub").mkdir()
    Path("..data").mkdir()  # as volumes of configuration are made: links to a folder beside them
    Path("..data/s.csv").write_text("days_to_expiry,strike,implied_vol\n30,90,0.2\n30,110,0.2\n")
    Path("sub/s.csv").symlink_to("../..data/s.csv")
    Path("market.toml").write_text(MARKET.replace("vol = 0.2", 'surface = "sub/s.csv"'))
    assert load_market("market.toml").underlyings["X"].vol is not None


# Surfaces


@pytest.mark.parametrize("strike", ["0", "-90", "-0.0", "nan"])
def test_strike_of_zero_is_told_what_is_wrong_with_it(there, strike):
    Path("s.csv").write_text(f"days_to_expiry,strike,implied_vol\n30,{strike},0.2\n30,110,0.2\n")
    with pytest.raises(InvalidInput, match=r"s\.csv: line 2, strike must be positive, got"):
        read_surface("s.csv")


@pytest.mark.parametrize("strike", [0.0, -1.0])
def test_strike_of_zero_is_told_what_is_wrong_with_it_in_python(strike):
    with pytest.raises(InvalidInput, match="strikes must be positive") as error:
        ImpliedVolSurface(times=(1.0,), strikes=((strike, 100.0),), vols=((0.2, 0.2),))
    assert "valuation" not in str(error.value)


def test_surface_with_a_cell_of_any_length_is_an_error(there):
    Path("s.csv").write_text(f"days_to_expiry,strike,implied_vol\n30,{'9' * 200_000},0.2\n")
    with pytest.raises(InvalidInput) as error:
        read_surface("s.csv")
    assert len(str(error.value)) < 400
    Path("s.csv").write_bytes(b"days_to_expiry,strike,implied_vol\n30,\xff,0.2\n")
    with pytest.raises(InvalidInput, match="UTF-8"):
        read_surface("s.csv")


def test_plain_files_are_read_as_they_are(there):
    Path("f").write_bytes("\ufeffgrün\r\n".encode())
    assert inputs.text(Path("f")) == "grün\r\n"
    with pytest.raises(FileNotFoundError):
        inputs.content(Path("gone"))
