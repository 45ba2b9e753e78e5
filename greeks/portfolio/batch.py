"""What every run over a portfolio shares: the tasks on common paths, the facts that a manifest states, the failures."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from greeks.engine.pilot import chosen
from greeks.engine.run import answer
from greeks.engine.sensitivity import _names
from greeks.engine.tasks import GreekResult, GreekTask
from greeks.estimators.auto import Auto, Best, Chosen
from greeks.estimators.base import Estimator
from greeks.greek import STANDARD, Greek, greek
from greeks.portfolio.read_trades import Portfolio, Position, Reject
from pricers.engine.plan import Plan
from pricers.errors import InvalidInput
from pricers.market.market import DAYS_PER_YEAR
from pricers.models.gbm.gbm import GBM
from pricers.models.model import Model
from pricers.models.scenario import Scenario
from pricers.numerics.kernel import instruction_set

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "TERMS",
    "BookRun",
    "Clock",
    "Question",
    "answers",
    "check_frame",
    "choices",
    "described",
    "each_answer",
    "error_frame",
    "failure",
    "known_greeks",
    "models_of",
    "plan_of",
    "scenario_of",
    "table",
    "terms_of",
    "threads_used",
]

Progress = Callable[[int, int], None]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BookRun:
    """All that a run over a portfolio says.

    Attributes
    ----------
    kind : {"risk", "crosscheck"}
    frame : DataFrame
        One row per trade and Greek (and estimator, of a cross-check), in the order of the table that came in.
    totals : DataFrame
        See `greeks.portfolio.totals.totals`; empty for a cross-check.
    errors : DataFrame
        One row per reason why a trade lacks a number: trade_id, row, field, value, reason.
    valuation : date
    plan : Plan
    estimator : str
        The run's, for rows that name none.
    greeks : tuple of str
    threads : int
    rows, priced, failed : int
        Trades: rows = priced + failed, and a trade is priced where all of its Greeks have a number.
    estimators : dict
        For each Greek, how many trades each estimator answered.
    checks : DataFrame
        How each Greek's numbers compare, by the method they are held against: greek, check, reference, agree, differ,
        too_weak (to tell), not_comparable, not_resolved (numbers whose own error is not known, which are among the former), worst_z (the
        greatest distance in paired standard errors) and worst_trade.
    verdicts : dict
        How many numbers agree, differ, are too weak to tell, not comparable.
    witness : dict
        The same of the likelihood ratio's numbers that stand beside others.
    unresolved : int
        Numbers whose error is not known.
    limit : float
        Standard errors from which a difference counts.
    enough : float, optional
        Share of a Greek's natural size below which its error may stop a trade's paths.
    ignored : tuple of str
        Columns of the table that say nothing here.
    seconds : dict
        Wall time by stage.
    started, ended : datetime
        UTC.
    instructions : dict
        Of the processor: with others the last bits differ.
    """

    kind: str
    frame: pd.DataFrame
    totals: pd.DataFrame
    errors: pd.DataFrame
    valuation: dt.date
    plan: Plan
    estimator: str
    greeks: tuple[str, ...]
    threads: int
    rows: int
    priced: int
    failed: int
    estimators: Mapping[str, Mapping[str, int]]
    checks: pd.DataFrame
    verdicts: Mapping[str, int]
    witness: Mapping[str, int] = field(default_factory=dict)
    unresolved: int = 0
    limit: float
    enough: float | None = None
    ignored: tuple[str, ...]
    seconds: Mapping[str, float]
    started: dt.datetime
    ended: dt.datetime
    instructions: Mapping[str, Any] = field(default_factory=instruction_set)


TERMS = ("trade_id", "book", "underlying", "contract", "quantity")
"""What every row of a report begins with."""

OK, FAILED = "ok", "failed: "


class Clock:
    """Wall time by stage."""

    def __init__(self) -> None:
        self.started, self.seconds = dt.datetime.now(dt.UTC), dict[str, float]()
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.seconds[stage], self._last = now - self._last, now


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Some Greeks of a position by some estimators."""

    position: Position
    greeks: tuple[Greek, ...]
    estimators: tuple[Estimator, ...]


def answers(
    questions: Sequence[Question], plan: Plan, *, threads: int | None, progress: Progress | None
) -> list[GreekResult | Exception]:
    """An answer, or what stopped it, for each question; positions on one underlying under one kind of model share their paths."""
    found = dict(each_answer(questions, plan, threads=threads, progress=progress))
    return [found[place] for place in range(len(questions))]


def each_answer(
    questions: Sequence[Question], plan: Plan, *, threads: int | None, progress: Progress | None
) -> Iterator[tuple[int, GreekResult | Exception]]:
    """Each question's place, and its answer or what stopped it, as soon as it is known and not in the order of the questions.

    An answer's moments take far more memory than a row of the report: see `GreekResult.condense`.
    """
    tasks, order = _tasks(questions, plan)
    for part in range(0, len(tasks), _JOBS):
        told = _share(progress, part // _JOBS, -(-len(tasks) // _JOBS))
        found = answer(tasks[part : part + _JOBS], plan, threads=threads, keep_going=True, progress=told)
        yield from zip(order[part : part + _JOBS], found, strict=True)


def choices(questions: Sequence[Question], plan: Plan, *, threads: int | None) -> list[Chosen]:
    """What `Auto` or `Best`, the only estimator of each question, stands for: pilots on the streams and grids of the run to come.

    Importance sampling is left out: a search for each rare trade takes longer than a book may. A row may name it.
    """
    tasks, order = _tasks(questions, plan)
    tasks = [replace(task, estimators=tuple(map(_without_search, task.estimators))) for task in tasks]
    run = partial(answer, threads=threads, keep_going=True, pilot=True)
    settled = list[GreekTask]()
    for part in range(0, len(tasks), _PILOTS):
        settled += chosen(tasks[part : part + _PILOTS], plan, run, lambda tasks, _: list(tasks))
    return _in_turn([estimator for task in settled for estimator in task.estimators if isinstance(estimator, Chosen)], order)


def _without_search(estimator: Estimator) -> Estimator:
    if isinstance(estimator, Best):
        return replace(estimator, auto=replace(estimator.auto, rare=None))
    return replace(estimator, rare=None) if isinstance(estimator, Auto) else estimator


def _tasks(questions: Sequence[Question], plan: Plan) -> tuple[list[GreekTask], list[int]]:
    """The tasks of a run in an order that brings together what shares paths, and the place of each one's question.

    Random numbers are keyed by the underlying's name and live on the calendar days from the valuation, so that neither the
    order of rows nor the other positions can change a number. The days go one beyond the last date: the increments of dates
    that are a whole time grid are its normals themselves, those of others are differences of its walk, equal but for the last
    bits. A model has a time grid of its own, which ends after the last date of its kind, with steps between the days where the
    model or the plan wants them (a point depends on no later one). Points that are not independent (Sobol) are spread over each
    contract's own dates: theirs depend on the time grid.
    """
    last: dict[tuple[str, str], int] = {}
    for question in questions:
        world, end = _scenario(question.position), round(question.position.contract.times[-1] * DAYS_PER_YEAR)
        last[world] = max(last.get(world, 0), end)
    time_grids: dict[tuple[object, ...], tuple[float, ...]] = {}
    for question in questions:
        key, end = _grid(question.position), last[_scenario(question.position)]
        if key not in time_grids:
            days = tuple(day / DAYS_PER_YEAR for day in range(1, end + 2))
            time_grids[key] = question.position.model.time_grid(days, *plan.steps)
    order = sorted(range(len(questions)), key=lambda i: _neighbours(questions[i].position))
    tasks = [
        GreekTask(
            contract=question.position.contract,
            scenario=scenario_of(question.position),
            greeks=question.greeks,
            estimators=question.estimators,
            stream=question.position.underlying,
            time_grid=time_grids[_grid(question.position)] if plan.sampling.independent else None,
        )
        for question in (questions[i] for i in order)
    ]
    return tasks, order


def _in_turn(found: Sequence[_T], order: Sequence[int]) -> list[_T]:
    """What was found in another order, in the order of the questions."""
    by_question = dict(zip(order, found, strict=True))
    return [by_question[i] for i in range(len(order))]


_JOBS, _PILOTS = 512, 128
"""Jobs that are simulated together, and pilots: the moments of each and of a block of each are in memory at once, some 0.3 MB for a task,
and 5 MB for a pilot of many candidates (measured: 20,000 trades on 1,000 paths in one take 1.2 GB, pilots of 5,000 trades 5.6 GB). Paths
are drawn anew for each part, which is little beside what is done with them."""


def _share(progress: Progress | None, part: int, parts: int) -> Progress | None:
    """The progress of a part as that of the whole."""
    if progress is None or parts == 1:
        return progress
    return lambda done, paths: progress((part * paths + done) // parts, paths)


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """A table of rows, built in parts: a row as a mapping takes ten times the memory of one in a table.

    Parameters
    ----------
    rows : iterable of mapping
        Each has all columns.
    columns : sequence of str
    """
    import pandas as pd

    names, left = list(columns), iter(rows)
    parts = []
    while part := [tuple(row[name] for name in names) for row in itertools.islice(left, _ROWS)]:
        parts.append(pd.DataFrame(part, columns=names))
    return pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0] if parts else pd.DataFrame(columns=names)


_ROWS = 4096


def _scenario(position: Position) -> tuple[str, str]:
    """What shares random numbers."""
    return position.underlying, position.model.kind


def _grid(position: Position) -> tuple[object, ...]:
    """What shares a time grid besides: a model's steps may depend on its parameters."""
    return *_scenario(position), position.model if position.model.discretised else None


def _neighbours(position: Position) -> tuple[object, ...]:
    """A key that brings together what shares paths: a block keeps what was last asked for."""
    return *_scenario(position), len(position.contract.times), position.contract.times, repr(position.model)


def scenario_of(position: Position) -> Scenario:
    """The scenario that a position is valued in."""
    return Scenario(model=position.model, market=position.market)


def terms_of(row: Position | Reject) -> dict[str, Any]:
    """What a report says first of a row."""
    contract = row.contract if isinstance(row, Reject) else row.contract.family
    return dict(zip(TERMS, (row.trade_id, row.book, row.underlying, contract, row.quantity), strict=True))


def described(error: Exception) -> str:
    """What stopped a calculation, in one line."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= _MOST_DESCRIBED else f"{text[: _MOST_DESCRIBED - 1]}…"


_MOST_DESCRIBED = 400


def failure(reject: Reject) -> str:
    """The status of a row that was rejected."""
    return FAILED + " ".join(part for part in (reject.field, reject.reason) if part)


def plan_of(plan: Plan | None) -> Plan:
    """The plan of a run, `Plan` by default.

    Raises
    ------
    InvalidInput
        Where it asks for a precision, which is one contract's to have.
    """
    if plan is not None and plan.stderr:
        raise InvalidInput("plan.stderr", dict(plan.stderr), "is for one contract; give a portfolio's plan its number of paths")
    return plan if plan is not None else Plan()


def known_greeks(names: Sequence[str] | None, portfolio: Portfolio) -> dict[str, Greek]:
    """The Greeks of these names, each as a model of the portfolio (or GBM) defines it.

    Without names they are the standard ones and those of the parameters of the models that the portfolio has.

    Raises
    ------
    InvalidInput
        Where none does.
    """
    kinds = models_of(portfolio)
    models = [kinds[kind] for kind in sorted(kinds)]
    found = dict[str, Greek]()
    own = (f"d_{parameter}" for model in models for parameter in model.parameters)
    for name in _names(names) if names is not None else (*STANDARD, *own):
        for model in models:
            try:
                found.setdefault(name, greek(name, model))
            except InvalidInput as error:
                unknown = error
        if name not in found:
            raise InvalidInput("greeks", unknown.value, unknown.reason)
    return found


def models_of(portfolio: Portfolio) -> dict[str, Model]:
    """A model of each kind that the portfolio has, and GBM."""
    return {GBM.kind: GBM(vol=1.0)} | {position.model.kind: position.model for position in portfolio.positions}


def threads_used(threads: int | None) -> int:
    """What `pricers.engine.simulation.simulate` takes for its default."""
    return threads if threads is not None else os.cpu_count() or 1


def check_frame(frame: pd.DataFrame, method: str) -> pd.DataFrame:
    """Verdicts by Greek and by what stands in the column ``method``; see `BookRun.checks`."""
    import pandas as pd

    rows = []
    for (name, check), part in frame.groupby(["greek", method], sort=False):
        counts = Counter(part["verdict"])
        distances = [(abs(z), trade) for z, trade in zip(part["z"], part["trade_id"], strict=True) if math.isfinite(z)]
        worst = max(distances, default=(math.nan, ""))
        told = (counts[verdict] for verdict in ("reference", "agree", "differ", "too weak to tell", "not comparable"))
        rows.append((name, check, *told, int((~part["resolved"]).sum()), *worst))
    columns = ("greek", "check", "reference", "agree", "differ", "too_weak", "not_comparable", "not_resolved")
    return pd.DataFrame(rows, columns=[*columns, "worst_z", "worst_trade"])


def error_frame(rejects: Iterable[Reject]) -> pd.DataFrame:
    """Rejects as a table."""
    import pandas as pd

    columns = ["trade_id", "row", "field", "value", "reason"]
    return pd.DataFrame([[getattr(reject, column) for column in columns] for reject in rejects], columns=columns)
