"""Rows and files that nobody would write: each row ends in results or in an error that names its field, each file in an exit code."""

import contextlib
import datetime as dt
import faulthandler
import io
import os
import random
import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path

import books
import numpy as np
import output
import pandas as pd
import pytest
from campaign import budget
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from greeks.commands.cli import main
from greeks.portfolio.crosscheck import crosscheck_run
from greeks.portfolio.read_trades import families
from greeks.portfolio.risk import risk_run
from greeks.report import folder, marks
from greeks.report.facts import Facts
from greeks.report.writer import write_report
from pricers import Plan

ROWS = 20
"""Rows of a fuzzed book."""

PAGES = 4
"""In the slow suite one book in so many is also written as a report, which takes as long as computing three; in the fast one each is."""

HANGS = 240
"""Seconds after which a run is taken to hang; the process then ends with the place where it stands."""

COLUMNS = sorted(
    {name for row in (*books.MIXED, *books.UNDER_HESTON) for name in row} | {"cash", "touched", "past_fixings", "model"}
)

NASTY = (
    *(
        "",
        " ",
        "nan",
        "NaN",
        "inf",
        "-inf",
        "1e400",
        "-1e400",
        "1e-400",
        "0",
        "-0.0",
        "-1",
        "1e300",
        "1e15",
        "1e16",
        "5e-324",
        "٣",
    ),
    *(
        "=1+1",
        "＝1+1",
        "@A",
        "<script>",
        "&amp;",
        "\x00",
        "\ufeff",
        "\u202e",
        "a\nb",
        "a\tb",
        "'",
        '"',
        ";",
        ";;",
        ",",
        "x" * 300,
    ),
    *(
        "2024-01-05",
        "2024-01-06",
        "2024-02-30",
        "9999-12-31",
        "0001-01-01",
        "2073-12-01",
        "2024-06-21T00:00:00",
        "2024-06-21 09:00",
    ),
    *(
        "daily",
        "weekly",
        "monthly",
        "call",
        "put",
        "exact",
        "auto",
        "pathwise",
        "gbm",
        "heston",
        "european",
        "barrier",
        "asian_digital",
    ),
    *("2024-02-01;2024-03-01", "2024-03-01;2024-02-01", "101;99", "true", "no", "1", "true;false", "down-and-out", "geometric"),
)
OBJECTS = (
    *(None, True, 0, -1, 10**400, 10**5000, 1e308, -1e-308, float("nan"), float("inf"), 1j, b"\xff", "\ud800", "a\udfff"),
    *(Decimal("sNaN"), Decimal("1e9999"), Decimal("NaN"), [], [1.0, None], (100.0,), {"a": 1}, {1, 2}, object(), int),
    *(dt.date(2024, 6, 21), dt.datetime(2024, 6, 21, 3), dt.date.max, pd.NaT, pd.NA, pd.Timestamp("2024-06-21"), pd.Timedelta(1)),
    *(np.float32(100.0), np.int8(-3), np.array([1.0, 2.0]), np.datetime64("NaT"), np.datetime64("20240-01-01"), np.str_("call")),
)

texts = st.one_of(
    st.sampled_from(NASTY),
    st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=20),
    st.text(alphabet="0123456789-;.,eE+ ", max_size=24),
    st.floats().map(repr),
    st.dates(dt.date(2024, 1, 1), dt.date(2027, 1, 1)).map(str),
)
cells = st.one_of(texts, st.sampled_from(OBJECTS), st.floats(), st.integers(), st.lists(st.floats(), max_size=3), st.datetimes())


@st.composite
def tables(draw, cell):
    """Books of rows that are right but for a few cells."""
    rows = []
    for number in range(ROWS):
        row = dict(draw(st.sampled_from((*books.MIXED, *books.UNDER_HESTON)))) | {"trade_id": f"T{number}"}
        for _ in range(draw(st.sampled_from((0, 0, 0, 1, 1, 2)))):
            row[draw(st.sampled_from(COLUMNS))] = draw(cell)
        if draw(st.integers(0, 9)) == 0:
            row["contract"] = draw(st.sampled_from(sorted(families())))
        rows.append(row)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=object) for name in columns})


def _campaign(test, examples, *, fixed):
    """Run a property so many times; the fast suite always on the same examples."""
    checks = list(HealthCheck)
    options = settings(max_examples=examples, deadline=None, database=None, derandomize=fixed, suppress_health_check=checks)
    options(test if fixed else seed(random.SystemRandom().randrange(2**32))(test))()


@contextlib.contextmanager
def _no_hang():
    faulthandler.dump_traceback_later(HANGS, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _failed(rows, errors):
    """The rows with errors, each with a field and a reason."""
    assert (errors["field"].astype(str).str.len() > 0).all(), errors.to_dict("records")
    assert (errors["reason"].astype(str).str.len() > 0).all()
    assert (errors["value"].astype(str).str.len() <= 200).all()
    named = set(errors["row"])
    assert named <= set(range(1, rows + 1))
    return named


def _assert_complete(frame, greeks, rows, failed):
    """Each row has a line for each Greek, in the order of the table; those without a number are those with an error."""
    assert len(frame) == rows * len(greeks)
    good = frame["status"].eq("ok").to_numpy().reshape(rows, len(greeks))
    known = np.isfinite(frame["stderr"].to_numpy(dtype=float)) == frame["resolved"].to_numpy(dtype=bool)
    numbers = (np.isfinite(frame["value"].to_numpy(dtype=float)) & known).reshape(rows, len(greeks))
    assert (numbers == good).all()
    undefined = frame["status"].str.startswith("not defined: ").to_numpy().reshape(rows, len(greeks))
    assert failed == {int(row) + 1 for row in np.flatnonzero(~(good | undefined).all(axis=1))}


@pytest.mark.parametrize("examples", budget.sizes("GREEKS_CAMPAIGN_BOOKS", fast=6, slow=500))
def test_every_row_of_any_typed_table_ends_in_results_or_an_error_with_a_field(examples, request):
    fast, counts = "fast" in request.node.name, Counter()

    @given(table=tables(cells), data=st.data())
    def fuzz(table, data):
        run = data.draw(st.sampled_from((risk_run, risk_run, risk_run, crosscheck_run)))
        greeks = data.draw(st.sampled_from((("price", "delta"), ("delta", "gamma", "vega"), ("theta", "rho"), None)))
        with _no_hang():
            found = run(table, books.MARKET, greeks=greeks, plan=Plan(paths=64), threads=1)
        failed = _failed(len(table), found.errors)
        assert (found.rows, found.failed, found.priced) == (len(table), len(failed), len(table) - len(failed))
        if run is risk_run and greeks is not None:
            _assert_complete(found.frame, greeks, len(table), failed)
        if written := fast or data.draw(st.integers(1, PAGES)) == 1:
            with tempfile.TemporaryDirectory() as place:
                write_report(found, Facts(), Path(place) / "out")
                assert output.names(place) == ["out"]
        counts.update(rows=len(table), failed=len(failed), reports=written)

    _campaign(fuzz, examples, fixed=fast)
    print(dict(counts))
    assert counts["failed"] > 0.2 * counts["rows"]
    assert counts["failed"] < 0.9 * counts["rows"]


MARKET = """
valuation = 2024-01-05
[underlyings.X]
spot = 100.0
dividend = 0.01
surface = "surface.csv"
heston = "heston.toml"
[underlyings.Y]
spot = 50.0
zero_curve = [{date = 2024-07-01, rate = 0.02}, {date = 2026-01-05, rate = 0.03}]
vol = 0.3
"""
SURFACE = "days_to_expiry,strike,implied_vol,zero_rate\n" + "".join(
    f"{days},{strike},{0.2 + (100 - strike) / 1000 + days / 1e4},{0.01 + days / 1e5}\n"
    for days in (30, 90, 200, 400)
    for strike in (50, 90, 100, 110, 150)
)
HESTON = "v0 = 0.05\nkappa = 2.0\ntheta = 0.04\nxi = 0.6\nrho = -0.7\n[fit]\nprogram = 'scoregreeks'\n"
SPLICES = (
    *(
        b"\x00",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\r",
        b"\n",
        b'"',
        b"'",
        b",",
        b";",
        b"=",
        b"[",
        b"]",
        b"{",
        b"}",
        b"#",
    ),
    *(
        b"nan",
        b"inf",
        b"1e400",
        b"-1",
        b"0",
        b"1e300",
        b"[" * 3000,
        b"a." * 3000,
        b"9" * 5000,
        b"x" * 140_000,
        b"../",
        b"/etc/passwd",
    ),
    *("＝1".encode(), b"true", b"1979-05-27", b"\\u0000", b"\\ud800", b"[[", b"]]", b"underlyings", b"\x1a", b"\xe2\x80\xae"),
)


def _mutated(content, chance):
    """A file with some of its bytes flipped, cut, doubled, moved or replaced."""
    for _ in range(chance.choice((1, 1, 1, 2, 4, 10))):
        place, length = chance.randrange(len(content) + 1), min(chance.choice((1, 1, 2, 5, 20, 200)), len(content))
        kind = chance.randrange(6)
        if kind == 0 and place < len(content):
            content = content[:place] + bytes([content[place] ^ (1 << chance.randrange(8))]) + content[place + 1 :]
        elif kind == 1:
            content = content[:place] + content[place + length :]
        elif kind == 2:
            content = content[:place] + content[place : place + length] * 2 + content[place + length :]
        elif kind == 3:
            content = content[:place] + chance.choice(SPLICES) + content[place + chance.choice((0, 0, 1, 5)) :]
        elif kind == 4:
            other = chance.randrange(len(content) + 1)
            content = content[:place] + content[other : other + length] + content[place:]
        elif chance.random() < 0.2:
            content = content[:place]
    return content


def _files(text):
    return {"book.csv": text, "market.toml": MARKET, "surface.csv": SURFACE, "heston.toml": HESTON}


@pytest.mark.parametrize("examples", budget.sizes("GREEKS_CAMPAIGN_FILES", fast=40, slow=2000))
def test_any_mutated_file_ends_in_an_exit_code_and_touches_nothing_else(examples, request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folder, "_GRACE", 0.0)  # nobody reads meanwhile
    counts, good = Counter(), books.book(*books.MIXED, *books.UNDER_HESTON).to_csv(index=False)
    originals = {name: text.encode() for name, text in _files(good).items()}
    (tmp_path / "sibling").mkdir()
    (tmp_path / ".out.old-mine").mkdir()

    @given(number=st.integers(0, 2**64 - 1))
    def fuzz(number):
        chance = random.Random(number)
        which = chance.choice(sorted(originals))
        for name, content in originals.items():
            (tmp_path / name).write_bytes(_mutated(content, chance) if name == which else content)
        before = output.snapshot(tmp_path, without=("out",))
        heard, printed = io.StringIO(), io.StringIO()
        command = [chance.choice(("report", "report", "crosscheck")), "book.csv", "--market", "market.toml", "--out", "out"]
        options = ["--paths", "32", "--threads", "1", "--greeks", chance.choice(("delta", "price,vega"))]
        with _no_hang(), contextlib.redirect_stderr(heard), contextlib.redirect_stdout(printed):
            code = main([*command, *options])
        note = (number, which, code, heard.getvalue()[:2000])
        assert code in (0, 1, 3), note
        assert "Traceback" not in heard.getvalue(), note
        assert "Warning" not in heard.getvalue(), note
        assert "Error:" not in heard.getvalue(), note
        assert all(len(line) < 1500 for line in heard.getvalue().splitlines()), note
        assert all(line.startswith("greeks: ") for line in heard.getvalue().splitlines()), note
        assert output.snapshot(tmp_path, without=("out",)) == before, note
        if code != 1:
            assert output.whole("out") is not None, note
            errors = pd.read_csv("out/errors.csv", dtype=str, keep_default_na=False)
            assert (errors["field"] != "").all(), note
            assert (len(errors) > 0) == (code == 3), note
        if os.path.lexists("out"):
            assert not any(marks.is_ours(name) for name in output.names("out")), note
        counts[which, code] += 1

    _campaign(fuzz, examples, fixed="fast" in request.node.name)
    print(dict(counts))
    assert {code for _, code in counts} >= {1, 3}
