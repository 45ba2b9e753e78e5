"""What a run will take is estimated before it starts, and refused with the number and the way out."""

import itertools
import subprocess
import sys
import tracemalloc
from pathlib import Path

import books
import numpy as np
import pandas as pd
import pytest

from greeks import LikelihoodRatio
from greeks.commands.cli import main
from greeks.portfolio import inputs
from greeks.portfolio.batch import table
from greeks.portfolio.crosscheck import crosscheck_run
from greeks.portfolio.limits import LIMITS, Limits, available_bytes, load_of
from greeks.portfolio.read_trades import read_portfolio
from greeks.portfolio.risk import risk_report, risk_run
from pricers import InvalidInput, Plan
from pricers.engine.simulation import _MANY, _blocks
from pricers.random_numbers.sampling import ATOM

MARKET = "valuation = 2024-01-05\n[underlyings.X]\nspot = 100.0\nrate = 0.03\nvol = 0.2\n"


@pytest.fixture
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("market.toml").write_text(MARKET, encoding="utf-8")
    books.book(books.trade("1")).to_csv("book.csv", index=False)
    return tmp_path


def _report(*more):
    return main(["report", "book.csv", "--market", "market.toml", "--out", "out", *more])


def _blocks_of_before(samples, n_paths, workers):
    """The list that was built before blocks were generated."""
    blocks = [(first, n_paths) for first in range(0, samples, n_paths)]
    if workers == 1 or len(blocks) < _MANY * workers or n_paths % (4 * ATOM):
        return blocks
    start, quarter = blocks[-workers][0], n_paths // 4
    return blocks[:-workers] + [(first, quarter) for first in range(start, samples, quarter)]


@pytest.mark.parametrize("samples", [1, 63, 64, 65, 1024, 50_001, 2**19, 2**19 - 1])
@pytest.mark.parametrize("n_paths", [64, 192, 256, 1024, 16_384])
@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_blocks_are_those_of_before(samples, n_paths, workers):
    assert list(_blocks(samples, n_paths, workers)) == _blocks_of_before(samples, n_paths, workers)


def test_blocks_of_any_number_of_paths_take_no_memory():
    tracemalloc.start()
    try:
        first = list(itertools.islice(_blocks(10**12, 16_384, 2), 1000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert first[-1] == (999 * 16_384, 16_384)
    assert peak < 1e6


@pytest.mark.parametrize("more", [[], ["--threads", "1"], ["--estimator", "auto"]])
def test_paths_beyond_a_life_time_are_refused_at_once_with_the_number_and_the_way_out(there, capsys, more):
    assert _report("--paths", "1000000000000000", *more) == 1
    printed = capsys.readouterr().err
    for words in ("paths must be at most", "1,000,000,000,000,000 paths over 1 dates", "days", "--no-limits", "ask for fewer"):
        assert words in printed
    assert printed.count("\n") == 1
    assert not Path("out").exists()


def test_paths_that_were_listed_block_by_block_need_no_memory_and_end_when_asked_to(there):
    """A run of 10**12 paths took 5.3 GB for its list of blocks before it started; now it runs until it is stopped."""
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30,) * 2); from greeks.commands import cli; cli.main()"
    command = [sys.executable, "-c", limited, "report", "book.csv", "--market", "market.toml", "--out", "out"]
    process = subprocess.Popen([*command, "--paths", str(10**12), "--no-limits"], stderr=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=15)
    resident = [line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    process.terminate()
    _, error = process.communicate(timeout=60)
    assert error == "greeks: terminated; what was in out is as it was\n"
    assert int(resident[0].split()[1]) < 1_000_000


def test_limits_count_what_they_say():
    positions = read_portfolio(books.book(*books.MIXED, *books.UNDER_HESTON), books.MARKET, estimator=LikelihoodRatio()).positions
    plan = Plan(paths=1000, steps_per_year=64)
    load = load_of(positions, greeks=6, plan=plan)
    own = [p for p in positions if p.model.factors == 1]
    assert load_of(own, greeks=6, plan=plan).dates == sum(len(p.contract.times) for p in own)
    assert load.dates > sum(len(p.contract.times) for p in positions)
    assert (load.trades, load.paths, load.path_dates) == (len(positions), 1000, 1000 * load.dates)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(trades=9), ["portfolio", "at most 9 trades, and holds 10", "split it"]),
        (Limits(dates=9), ["dates", "at most 9 over all trades", "split the book"]),
        (Limits(path_dates=1e4), ["paths must be at most", "for this book", "ask for fewer"]),
        (Limits(memory=10**8), ["memory", "0.1 GB that are available", "10 trades with 6 Greeks need about", "split the book"]),
        (Limits(threads=2), ["threads", "at most 2"]),
    ],
)
def test_each_limit_names_number_and_way_out(limits, words):
    with pytest.raises(InvalidInput) as error:
        risk_run(books.book(*books.MIXED), books.MARKET, plan=Plan(paths=2000), threads=3, limits=limits)
    for word in words:
        assert word in str(error.value)
    with pytest.raises(InvalidInput):
        crosscheck_run(books.book(*books.MIXED), books.MARKET, plan=Plan(paths=2000), threads=3, limits=limits)


def test_number_of_paths_that_is_named_as_the_most_is_accepted():
    book = books.book(*books.MIXED)
    with pytest.raises(InvalidInput) as error:
        risk_run(book, books.MARKET, plan=Plan(paths=2000), limits=Limits(path_dates=1e5))
    most = int(error.value.reason.split("at most ")[1].split(" ")[0].replace(",", ""))
    assert 2 <= most < 2000
    assert risk_run(book, books.MARKET, plan=Plan(paths=most), limits=Limits(path_dates=1e5)).failed == 0


def test_usual_books_are_far_within_the_limits():
    assert available_bytes() > 0
    book = books.book(*books.MIXED)
    assert len(risk_report(book, books.MARKET, plan=Plan(paths=100), limits=None)) == len(book) * 6
    positions = read_portfolio(book, books.MARKET, estimator=LikelihoodRatio()).positions
    load = load_of(positions * 100, greeks=6, plan=Plan(paths=2**20))
    assert load.path_dates < LIMITS.path_dates / 100
    assert load.bytes < 2e9
    assert load_of(positions * 2000, greeks=6, plan=Plan()).bytes < 2.5e9  # 20,000 trades: their moments are not all kept


# Files


def test_huge_file_is_refused_by_its_size_unless_allowed(there, capsys):
    with Path("book.csv").open("ab") as file:
        file.truncate(inputs.MOST_BYTES + 1)  # sparse
    assert _report("--paths", "100") == 1
    printed = capsys.readouterr().err
    assert "has 268 MB, and at most 268 MB are read" in printed
    assert "--allow-large-files" in printed
    books.book(books.trade("1")).to_csv("book.csv", index=False)
    with pytest.raises(InvalidInput, match="at most 0 MB are read"):
        inputs.content(Path("book.csv"), 10)
    assert inputs.content(Path("book.csv"), None) == Path("book.csv").read_bytes()
    assert _report("--paths", "100", "--allow-large-files") == 0


# The table of results in parts


def test_table_in_parts_is_the_table_of_all_rows(monkeypatch):
    import greeks.portfolio.batch

    whole = risk_run(
        books.book(*books.MIXED, *books.UNDER_HESTON, books.trade("bad", strike=-1)), books.MARKET, plan=Plan(paths=500)
    )
    rows = whole.frame.to_dict("records")
    monkeypatch.setattr(greeks.portfolio.batch, "_ROWS", 7)
    columns = list(whole.frame.columns)
    pd.testing.assert_frame_equal(table(iter(rows), columns), pd.DataFrame(rows, columns=columns))
    pd.testing.assert_frame_equal(table(iter(()), columns), pd.DataFrame([], columns=columns))
    monkeypatch.setattr(greeks.portfolio.batch, "_JOBS", 3)
    monkeypatch.setattr(greeks.portfolio.batch, "_PILOTS", 2)
    again = risk_run(
        books.book(*books.MIXED, *books.UNDER_HESTON, books.trade("bad", strike=-1)), books.MARKET, plan=Plan(paths=500)
    )
    pd.testing.assert_frame_equal(again.frame, whole.frame)
    pd.testing.assert_frame_equal(again.totals, whole.totals)


def test_progress_of_a_book_in_parts_grows_to_the_whole(monkeypatch):
    import greeks.portfolio.batch

    monkeypatch.setattr(greeks.portfolio.batch, "_JOBS", 3)
    told = []
    risk_run(books.book(*books.MIXED), books.MARKET, plan=Plan(paths=500), progress=lambda *now: told.append(now))
    assert told == sorted(told)
    assert told[-1] == (500, 500)
    assert len(told) > 2


@pytest.mark.slow
def test_memory_of_a_large_book_is_that_of_its_results():
    """Of 4,000 trades: less than 8 kB for each number above a small book's, and less than the estimate before the run."""
    rows = [books.trade(f"{n}", strike=80.0 + n % 400 / 10) for n in range(4000)]
    program = (
        "import resource, sys; sys.path.insert(0, 'tests'); import books\n"
        "from greeks.portfolio.risk import risk_run; from pricers import Plan\n"
        "rows = [books.trade(str(n), strike=80.0 + n % 400 / 10) for n in range(int(sys.argv[1]))]\n"
        "risk_run(books.book(*rows), books.MARKET, plan=Plan(paths=1000), threads=2)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )

    def megabytes(trades):
        command = [sys.executable, "-c", program, str(trades)]
        root = Path(__file__).parents[2]
        return int(subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, timeout=600).stdout)

    small, large = megabytes(10), megabytes(len(rows))
    load = load_of(
        read_portfolio(books.book(*rows[:10]), books.MARKET, estimator=LikelihoodRatio()).positions * 400,
        greeks=6,
        plan=Plan(paths=1000),
    )
    assert large < load.bytes / 2**20
    assert np.isfinite(large)
    assert (large - small) * 1e6 / (4000 * 6) < 8_000
