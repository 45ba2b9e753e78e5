"""A book by default: what it costs beside the plain likelihood ratio, and what its totals' errors are beside the pilot's."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from benchmarks.questions.book import STOCHASTIC, book, markets
from benchmarks.report import Check, Report, Table
from benchmarks.settings import Settings
from benchmarks.timing import python
from benchmarks.workloads import heston
from greeks import MarketData, load_market
from greeks.portfolio.risk import risk_run
from pricers import Plan

TITLE = "What does a book cost by default, all checks on? (cpu seconds beside plain LR's; errors of totals beside auto's)"
TRADES, PATHS = 300, 2**16
WANTED_RATIO, WANTED_ERROR = 4.0, 1.0
ENOUGH = 1e-3

_ROOT = Path(__file__).parents[2]
_NEGLIGIBLE = 1e-9
"""A total's error below this share of its value is rounding, or a formula's none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One book by one thread; the methods take turns, and each time is the least of its turns.

    ``error`` is the largest of the totals' errors over those by ``auto``, and ``total`` says which; ``median_error`` the median.
    The last three are of a run whose resolved trades stop (``enough``): its seconds, their ratio to plain LR's, and the largest error.
    """

    book: str
    trades: int
    paths: int
    likelihood_ratio_s: float
    default_s: float
    auto_s: float
    ratio: float
    error: float
    median_error: float
    total: str
    stopping_s: float
    stopping_ratio: float
    stopping_error: float


def _gbm(trades: int) -> tuple[pd.DataFrame, MarketData]:
    return book(trades), markets()


def _mixed(trades: int) -> tuple[pd.DataFrame, MarketData]:
    plain, model = markets(), heston()
    assert model is not None
    its = {
        name: replace(found, heston=model, default_model="heston") if name in STOCHASTIC else found
        for name, found in plain.underlyings.items()
    }
    return book(trades), replace(plain, underlyings=its)


def _asians(trades: int) -> tuple[pd.DataFrame, MarketData]:
    table = book(8 * trades)
    return table[table["contract"] == "asian"].head(trades), markets()


def _sample(trades: int) -> tuple[pd.DataFrame, MarketData]:
    return pd.read_csv(_ROOT / "data" / "sample_book.csv", dtype=object).head(trades), load_market(_ROOT / "data" / "market.toml")


BOOKS: dict[str, Callable[[int], tuple[pd.DataFrame, MarketData]]] = {
    "GBM": _gbm,
    "GBM and Heston": _mixed,
    "sample book": _sample,
    "GBM, Asians only": _asians,
}
TIMED = ("GBM", "GBM and Heston", "sample book")
"""Books whose ratio is checked; one of Asians only, for none of which there is a formula, is the worst case and is shown."""


def run(settings: Settings) -> Report:
    """Measure."""
    trades, paths = settings.count(TRADES, least=6), settings.paths(PATHS)
    names = [name for name in BOOKS if name != "GBM and Heston" or heston() is not None]
    rows = [_in_child(name, min(trades, 60) if "only" in name else trades, paths, min(settings.repeats, 2)) for name in names]
    checks = []
    for row in rows:
        if row.book in TIMED and settings.scale >= 1.0:
            what = f"{row.book}, {row.trades} trades: default's seconds over plain LR's"
            checks.append(Check(what=what, found=row.ratio, wanted=WANTED_RATIO))
        checks.append(Check(what=f"{row.book}: a total's error over auto's, largest", found=row.error, wanted=WANTED_ERROR))
    notes = ["plain LR: risk_report(estimator='likelihood_ratio'), with its checks; errors are those of all totals at all levels"]
    return Report(
        question=TITLE, tables=[Table(title="one thread, in a process of its own", rows=rows)], checks=checks, notes=notes
    )


def _in_child(name: str, trades: int, paths: int, repeats: int) -> Cost:
    code = f"import sys; sys.path.append({str(_ROOT)!r}); from benchmarks.questions.default_book import alone; "
    facts = python(f"{code}alone({name!r}, trades={trades}, paths={paths}, repeats={repeats})").facts
    return Cost(book=name, **facts)


def alone(book_name: str, *, trades: int, paths: int, repeats: int) -> None:
    """Value a book by each method in turn and print what that took as JSON; for a process of its own."""
    table, market = BOOKS[book_name](trades)
    runs: dict[str, tuple[str | None, float | None]] = {
        "likelihood_ratio": ("likelihood_ratio", None),
        "default": (None, None),
        "stopping": (None, ENOUGH),
        "auto": ("auto", None),
    }
    seconds, totals = dict[str, float](), dict[str, pd.DataFrame]()
    for method, enough in runs.values():  # whatever is compiled gets compiled, and formulas that are kept are there
        risk_run(table, market, estimator=method, enough=enough, plan=Plan(paths=1024, seed=7), threads=1)
    for turn in range(repeats):
        for name, (method, enough) in runs.items():
            if turn == 0 or name != "auto":
                start = time.process_time()
                found = risk_run(table, market, estimator=method, enough=enough, plan=Plan(paths=paths, seed=7), threads=1)
                seconds[name] = min(time.process_time() - start, seconds.get(name, math.inf))
                totals[name] = found.totals
    errors = error_ratios(totals["default"], totals["auto"])
    stopping = error_ratios(totals["stopping"], totals["auto"])["ratio"]
    worst = errors["ratio"].idxmax() if len(errors) else None
    facts = {
        "trades": len(table),
        "paths": paths,
        "likelihood_ratio_s": seconds["likelihood_ratio"],
        "default_s": seconds["default"],
        "auto_s": seconds["auto"],
        "ratio": seconds["default"] / seconds["likelihood_ratio"],
        "error": float(errors["ratio"].max()) if len(errors) else 0.0,
        "median_error": float(errors["ratio"].median()) if len(errors) else 0.0,
        "total": " ".join(filter(None, errors.loc[worst, ["level", "book", "underlying", "greek"]])) if worst is not None else "",
        "stopping_s": seconds["stopping"],
        "stopping_ratio": seconds["stopping"] / seconds["likelihood_ratio"],
        "stopping_error": float(stopping.max()) if len(stopping) else 0.0,
    }
    print(json.dumps(facts))


def error_ratios(ours: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Each total's error over the other run's; 0 where ours is none, totals without a known error in either run left out."""
    keys = ["level", "book", "underlying", "greek"]
    both = ours.merge(others, on=keys, suffixes=("", "_other"), validate="one_to_one")
    nothing = _NEGLIGIBLE * both["desk_value"].abs()
    both["ratio"] = (both["desk_stderr"] / both["desk_stderr_other"]).where(both["desk_stderr"] > nothing, 0.0)
    return both[both["desk_stderr"].notna() & both["desk_stderr_other"].notna()].reset_index(drop=True)
