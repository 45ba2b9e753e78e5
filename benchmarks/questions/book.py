"""A book of trades: seconds, memory, and how both grow."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.report import Check, Report, Table
from benchmarks.settings import Settings
from benchmarks.timing import peak_memory, python, timed
from benchmarks.workloads import heston
from greeks import LikelihoodRatio, MarketData, Underlying, risk_report
from greeks.greek import greek
from greeks.portfolio.batch import Question, answers
from greeks.portfolio.read_trades import read_portfolio
from pricers import Market, Plan

TITLE = "What does a book cost? (price, delta, gamma, vega, rho with errors; up to two years, weekly to daily dates)"
TRADES, PATHS = 1000, 2**16
GREEKS = ("price", "delta", "gamma", "vega", "rho")
VALUATION = dt.date(2026, 1, 2)
UNDERLYINGS = tuple(f"U{k}" for k in range(10))
STOCHASTIC = UNDERLYINGS[5:]
"""Those under Heston, where there is such a model; the others are under GBM, all with one volatility."""

_ROOT = Path(__file__).parents[2]
_SECONDS, _MIB = 30.0, 2048.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A book through one entrance, in a process of its own."""

    entrance: str
    trades: int
    paths: int
    threads: int
    seconds: float
    cpu_s: float
    memory_mib: float
    memory_of_imports_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """The same with more of something; ``power`` is of the count, from the row before: 1 is linear, less where there is a start-up."""

    of: str
    trades: int
    paths: int
    cpu_s: float
    power: float


def run(settings: Settings) -> Report:
    """Measure."""
    trades, paths = settings.count(TRADES, least=20), settings.paths(PATHS)
    entrances = {"risk_report, GBM": "report"}
    notes = []
    if heston() is None:
        notes.append("there is no Heston model yet: all of the book is under GBM")
    else:
        entrances["tasks, GBM and Heston"] = "jobs"
    counts = (1, 2)[: settings.count(2, least=1)]
    runs = [_in_child(name, kind, trades, paths, threads) for name, kind in entrances.items() for threads in counts]
    checks = []
    for found in runs:
        if found.threads == 2 and settings.scale >= 1.0:
            checks += [
                Check(what=f"{found.entrance}: seconds", found=found.seconds, wanted=_SECONDS),
                Check(what=f"{found.entrance}: MiB", found=found.memory_mib, wanted=_MIB),
            ]
    kind = list(entrances.values())[-1]
    by_trades = _growth("trades", kind, [(max(trades * k // 8, 5), max(paths // 8, 1024)) for k in (1, 2, 4, 8)])
    by_paths = _growth("paths", kind, [(max(trades // 8, 5), max(paths * k // 8, 1024)) for k in (1, 2, 4, 8)])
    for rows in (by_trades, by_paths):
        what = f"power of the growth of time with {rows[0].of}, from half to all"
        checks.append(Check(what=what, found=rows[-1].power, wanted=1.1))
    tables = [Table(title="in a process of its own", rows=runs), Table(title="growth, one thread", rows=[*by_trades, *by_paths])]
    notes.append("seconds are those of the call, wall time; memory is the most the process ever held, and what it held before")
    return Report(question=TITLE, tables=tables, checks=checks, notes=notes)


def _in_child(name: str, kind: str, trades: int, paths: int, threads: int) -> Run:
    code = f"import sys; sys.path.append({str(_ROOT)!r}); from benchmarks.questions.book import alone; "
    facts = python(f"{code}alone({kind!r}, trades={trades}, paths={paths}, threads={threads})").facts
    return Run(entrance=name, trades=trades, paths=paths, threads=threads, **facts)


def alone(kind: str, *, trades: int, paths: int, threads: int) -> None:
    """Value a book and print what it took as JSON; for a process of its own."""
    table, market = book(trades), markets()
    value(kind, table.head(20), market, paths=64, threads=1)
    before = peak_memory()
    timing = timed(lambda: value(kind, table, market, paths=paths, threads=threads), repeats=1, warm=False)
    facts = {"seconds": timing.wall, "cpu_s": timing.cpu, "memory_mib": peak_memory(), "memory_of_imports_mib": before}
    print(json.dumps(facts))


def _growth(of: str, kind: str, sizes: Sequence[tuple[int, int]]) -> list[Growth]:
    market, rows = markets(), list[Growth]()
    for trades, paths in sizes:
        table = book(trades)
        cpu = timed(lambda: value(kind, table, market, paths=paths, threads=1), repeats=1, warm=not rows).cpu  # noqa: B023
        power = math.nan
        if rows:
            more = trades / rows[-1].trades if of == "trades" else paths / rows[-1].paths
            power = math.log(cpu / rows[-1].cpu_s) / math.log(more) if more > 1.0 else math.nan
        rows.append(Growth(of=of, trades=trades, paths=paths, cpu_s=cpu, power=power))
    return rows


def value(kind: str, table: pd.DataFrame, market: MarketData, *, paths: int, threads: int) -> None:
    """All Greeks of all trades, through the report or through the tasks behind it.

    Raises
    ------
    RuntimeError
        Where a trade has no number.
    """
    plan = Plan(paths=paths, seed=7)
    if kind == "report":
        found = risk_report(table, market, greeks=GREEKS, estimator="likelihood_ratio", plan=plan, threads=threads, check=False)
        if len(found) != len(table) * len(GREEKS) or not (found["status"] == "ok").all():
            raise RuntimeError(f"trades without numbers: {found.loc[found['status'] != 'ok', 'status'].unique()}")
        return
    method, other, questions = LikelihoodRatio(), heston(), []
    for position in read_portfolio(table, market, estimator=method).positions:
        its = replace(position, model=other) if position.underlying in STOCHASTIC and other is not None else position
        greeks = tuple(greek(name, its.model) for name in GREEKS)
        questions.append(Question(position=its, greeks=greeks, estimators=(method,)))
    for answer in answers(questions, plan, threads=threads, progress=None):
        if isinstance(answer, Exception):
            raise RuntimeError("a trade without numbers") from answer


def markets() -> MarketData:
    """Ten underlyings."""
    return MarketData(
        valuation=VALUATION,
        underlyings={
            name: Underlying(market=Market(spot=100.0, rate=0.03 + 0.002 * k, dividend=0.01), vol=0.15 + 0.02 * k)
            for k, name in enumerate(UNDERLYINGS)
        },
    )


def book(trades: int) -> pd.DataFrame:
    """A table of that many trades, the first ones of a larger book."""
    rng, rows = np.random.default_rng(2026), []
    for number in range(trades):
        family = ("european", "digital", "asian", "barrier")[int(rng.integers(4))]
        option, rule = ("call", "put")[int(rng.integers(2))], ("weekly", "daily")[int(rng.integers(2))]
        strike = float(np.round(rng.uniform(85.0, 115.0), 1))
        days, up, kind = int(rng.integers(30, 731)), bool(rng.integers(2)), ("out", "in")[int(rng.integers(2))]
        row = {
            "trade_id": f"T{number:05d}",
            "book": f"B{number % 4}",
            "underlying": UNDERLYINGS[number % len(UNDERLYINGS)],
            "contract": family,
            "quantity": 1.0,
            "option": option,
            "strike": strike,
            "expiry": (VALUATION + dt.timedelta(days=days)).isoformat(),
        }
        match family:
            case "digital":
                row |= {"cash": 10.0}
            case "asian":
                row |= {"average": "arithmetic", "fixings": rule}
            case "barrier":
                row |= {"barrier": 130.0 if up else 75.0, "kind": f"{'up' if up else 'down'}-and-{kind}", "monitoring": rule}
        rows.append(row)
    return pd.DataFrame(rows).astype(object).where(lambda table: table.notna(), None)
