"""From a table of trades to every Greek by every method."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from greeks.engine.registry import estimators
from greeks.engine.tasks import GreekResult
from greeks.estimators.base import Estimator, PathEstimator
from greeks.estimators.exact import Exact
from greeks.estimators.likelihood_ratio import LikelihoodRatio
from greeks.estimators.natural_size import natural_sizes
from greeks.greek import greek
from greeks.portfolio.batch import (
    FAILED,
    OK,
    TERMS,
    BookRun,
    Clock,
    Progress,
    Question,
    check_frame,
    described,
    each_answer,
    error_frame,
    failure,
    known_greeks,
    plan_of,
    scenario_of,
    table,
    terms_of,
    threads_used,
)
from greeks.portfolio.batch_sums import BatchSums
from greeks.portfolio.limits import LIMITS, Limits, load_of
from greeks.portfolio.market_data import MarketData, Underlying
from greeks.portfolio.read_trades import Position, Reject, read_portfolio
from greeks.portfolio.totals import totals
from greeks.validation.crosscheck import most_certain, pairs, threshold, verdicts
from pricers.engine.plan import Plan
from pricers.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["crosscheck_run"]

COLUMNS = (
    *TERMS,
    "greek",
    "estimator",
    "value",
    "stderr",
    "resolved",
    "bias",
    "z",
    "verdict",
    "resolves",
    "unit",
    "status",
    "note",
)


@np.errstate(all="ignore")  # what is not finite is reported as such, in its row
def crosscheck_run(
    portfolio: pd.DataFrame,
    market: MarketData | Mapping[str, Underlying],
    *,
    greeks: Sequence[str] | None = None,
    plan: Plan | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    limits: Limits | None = LIMITS,
) -> BookRun:
    """Every Greek of every trade by every method, for one contract each, on the very paths that `risk_report` takes.

    The frame has one row per trade, Greek and estimator, with verdicts as in `greeks.validation.crosscheck.crosscheck` and the threshold
    that the whole table's number of comparisons asks for. The portfolio's column ``estimator`` has no say here.

    Parameters
    ----------
    portfolio, market, greeks, plan, threads, progress, limits
        See `greeks.portfolio.risk.risk_report`.
    """
    clock, market, plan = Clock(), MarketData.of(market), plan_of(plan)
    if limits is not None:
        limits.check_table(len(portfolio), threads)
    book = read_portfolio(portfolio, market, estimator=LikelihoodRatio())
    wanted = tuple(known_greeks(greeks, book))
    if limits is not None:
        limits.check(load_of(book.positions, greeks=len(wanted) * len(_methods()), plan=plan))
    clock.lap("portfolio")
    cases = {position.row: _case(position, wanted, plan) for position in book.positions}
    clock.lap("formulas")
    asked, replies = [case.question for case in cases.values()], dict[int, GreekResult | Exception]()
    for place, found in each_answer(asked, plan, threads=threads, progress=progress):
        if isinstance(found, GreekResult):
            found.condense(pairs(found, [g.name for g in asked[place].greeks], asked[place].estimators))
        replies[asked[place].position.row] = found
    clock.lap("simulation")
    limit = threshold(sum(cases[row].comparisons(found) for row, found in replies.items() if isinstance(found, GreekResult)))
    lines, errors = list[dict[str, Any]](), list[Reject]()
    for row in book.rows:
        reply: Any = row if isinstance(row, Reject) else replies[row.row]
        if isinstance(reply, Exception):
            reply = Reject(row=row.row, trade_id=row.trade_id, field="estimator", value="all", reason=described(reply))
        if isinstance(reply, Reject):
            errors.append(reply)
            lines.append(_cells(row, status=failure(reply)))
        else:
            lines.extend(cases[row.row].lines(reply, limit))
    clock.lap("verdicts")
    frame = table(lines, COLUMNS)
    answered = frame[frame["value"].notna()]
    return BookRun(
        kind="crosscheck",
        frame=frame,
        totals=totals([], BatchSums()),
        errors=error_frame(errors),
        valuation=market.valuation,
        plan=plan,
        estimator="all",
        greeks=wanted,
        threads=threads_used(threads),
        rows=len(book.rows),
        priced=len(book.rows) - len(errors),
        failed=len(errors),
        estimators={name: dict(Counter(answered.loc[answered["greek"] == name, "estimator"])) for name in wanted},
        checks=check_frame(frame[frame["estimator"] != ""], "estimator"),
        verdicts=dict(Counter(answered["verdict"])),
        unresolved=int((~answered["resolved"].astype(bool)).sum()),
        limit=limit,
        ignored=book.ignored,
        seconds=clock.seconds,
        started=clock.started,
        ended=dt.datetime.now(dt.UTC),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A position, what is asked of whom, and which methods broke down."""

    question: Question
    broken: Mapping[str, str]

    def comparisons(self, reply: GreekResult) -> int:
        """How many numbers are held against another."""
        names, methods = (g.name for g in self.question.greeks), self.question.estimators
        return sum(max(sum((name, method.name) in reply.estimates for method in methods) - 1, 0) for name in names)

    def lines(self, reply: GreekResult, limit: float) -> Iterable[dict[str, Any]]:
        """The table's rows."""
        methods = self.question.estimators
        position, greeks = self.question.position, self.question.greeks
        sizes = natural_sizes(most_certain(reply), greeks, position.contract, scenario_of(position))
        judged = verdicts(reply, [g.name for g in greeks], methods, limit, sizes)
        for known in self.question.greeks:
            for method in methods:
                cells = _cells(self.question.position, greek=known.name, unit=known.unit, estimator=method.name, status=OK)
                estimate, verdict = reply.estimates.get((known.name, method.name)), judged[known.name, method.name]
                cells |= {"z": verdict.z, "verdict": verdict.verdict, "resolves": verdict.resolves, "note": verdict.reason}
                if estimate is not None:
                    told = dict.fromkeys(note for note in (estimate.note, verdict.reason) if note)
                    cells |= {"value": estimate.value, "stderr": estimate.stderr, "note": "; ".join(told)}
                    cells |= {"resolved": estimate.resolved, "bias": estimate.bias}
                yield cells
            for name, reason in self.broken.items():
                cells = {"greek": known.name, "unit": known.unit, "estimator": name, "verdict": "not comparable"}
                yield _cells(self.question.position, **cells, status=FAILED + reason)


def _case(position: Position, names: Iterable[str], plan: Plan) -> _Case:
    """All Greeks that the model has, by all methods that do not break down."""
    known = []
    for name in names:
        try:
            known.append(greek(name, position.model))
        except InvalidInput:  # the model has no such Greek
            continue
    broken, methods = dict[str, str](), list[Estimator]()
    for method in _methods():
        try:
            for wanted in known:
                method.refusal(wanted, position.contract, scenario_of(position), plan)
        except Exception as error:
            broken[method.name] = described(error)
        else:
            methods.append(method)
    return _Case(
        question=Question(position=position, greeks=tuple(known), estimators=tuple(methods)),
        broken=broken,
    )


def _methods() -> list[Estimator]:
    """Every method by itself: neither what wraps another nor what chooses one."""
    alone = (method for method in estimators().values() if isinstance(method, (PathEstimator, Exact)))
    return [method for method in alone if isinstance(vars(type(method)).get("name"), str)]


def _cells(row: Position | Reject, **given: Any) -> dict[str, Any]:
    texts = ("greek", "estimator", "verdict", "unit", "note")
    blank = {column: "" if column in texts else math.nan for column in COLUMNS} | {"resolved": False}
    return blank | terms_of(row) | given
