"""From a table of trades to a table of Greeks, each with its error and an independent method's verdict."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from greeks.engine.registry import method
from greeks.estimators.base import Estimator
from greeks.greek import Greek, greek
from greeks.portfolio.batch import (
    OK,
    BookRun,
    Clock,
    Progress,
    answers,
    check_frame,
    choices,
    each_answer,
    error_frame,
    known_greeks,
    models_of,
    plan_of,
    table,
    threads_used,
)
from greeks.portfolio.batch_sums import BatchSums
from greeks.portfolio.columns import columns
from greeks.portfolio.limits import LIMITS, Limits, load_of
from greeks.portfolio.market_data import MarketData, Underlying
from greeks.portfolio.read_trades import Reject, read_portfolio
from greeks.portfolio.risk_case import COLUMNS, UNDEFINED, Case, ReportRow, case_of, few_paths, rejected_line, term_of
from greeks.portfolio.totals import Term, totals
from greeks.validation.crosscheck import threshold
from pricers.engine.plan import Plan
from pricers.errors import InvalidInput, positive
from pricers.models.model import Model

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "risk_report", "risk_run"]


def risk_report(
    portfolio: pd.DataFrame,
    market: MarketData | Mapping[str, Underlying],
    *,
    greeks: Sequence[str] | None = None,
    estimator: Estimator | str | None = None,
    plan: Plan | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    check: bool = True,
    enough: float | None = None,
    limits: Limits | None = LIMITS,
) -> pd.DataFrame:
    """Greeks of every trade of a portfolio, one row per trade and Greek, in the portfolio's order.

    Trades on one underlying share their paths, and a trade's numbers have the same bits alone, in any book, in any order of
    rows and with any number of threads. A row that cannot be priced appears with the reason as its status and NaN for
    numbers: no row is lost.

    Parameters
    ----------
    portfolio : DataFrame
        See `greeks.portfolio.read_trades.read_portfolio` for its columns.
    market : MarketData or mapping of str to Underlying
        `MarketData` says its valuation date, from which calendar dates count; a plain mapping is taken to be as of today.
    greeks : sequence of str, optional
        By default price, delta, gamma, vega, rho and theta of every trade, and the Greeks of their own parameters
        (``d_v0`` and so on) of those whose models have any. A Greek that is asked for has a row for every trade, though the
        trade's model may not define it.
    estimator : Estimator or str, optional
        For rows whose column ``estimator`` is empty: one, or the name of one. By default "best": the formula where there is one, else
        what a pilot run chooses for each trade and Greek (`Auto`). The choice for a trade depends on no other trade.
    plan : Plan, optional
        Paths and seed.
    threads : int, optional
        Does not change the numbers; all processors by default.
    progress : callable, optional
        Called with (paths done, paths in all).
    check : bool
        Whether an independent method is held against each number, on the same paths. A number by formula, or of a pilot's choice, is
        held against a path method: pathwise where the payoff does not jump and pathwise is no part of the number, else the likelihood
        ratio, else finite differences; its price, where it is no plain average of the payoffs, against that average. A
        number by an estimator that the row or the caller names is held against the exact formula where there is one, else pathwise
        where the payoff does not jump, else finite differences (the likelihood ratio where the number itself is of that method).
        Beside delta, vega and rho of every trade that looks at more than one date stands the likelihood ratio's number too.
    enough : float, optional
        Stop the paths of a resolved trade: with an eighth of the plan's paths (4,096 at least) every Greek of every trade is looked at
        whose estimator was left open and that no formula answers. Where all of a trade's errors are known, and below this share of the
        Greek's natural size (`greeks.estimators.natural_size`), the trade stops there, its checks with it, and its ``note`` and ``paths``
        say so; the others start again with all paths. Whether a trade stops depends on no other trade. By default none stops: no rule for
        a trade alone can know that it does not make up most of some total's error. Ignored where paths are not independent (Sobol).
    limits : Limits, optional
        What a run may take; it is estimated before the run. None for no limits.

    Returns
    -------
    DataFrame
        ``value`` and ``stderr`` are the position's (quantity times the contract's), raw derivatives in ``unit``;
        ``unit_value`` and ``unit_stderr`` one contract's. ``stderr`` is NaN where the paths do not tell the error: then
        ``resolved`` is False, the verdict "too weak to tell", and ``note`` says why. ``bias`` and ``bias_stderr`` are the position's
        measured bias (its size) and the standard error of that. ``desk_value`` and ``desk_stderr`` are the position's in
        ``desk_unit``. ``requested`` is the estimator that was asked for, ``estimator`` the one that made the number, "exact" for a
        formula. ``check`` names the independent method, ``check_value`` its number for one contract, ``z`` the distance
        from it in paired standard errors, ``resolves`` the least difference that would have counted, ``verdict`` says
        "agree", "differ", "too weak to tell", "not comparable" or "not checked". ``lr_value``, ``lr_stderr``, ``lr_z`` and
        ``lr_verdict`` are the likelihood ratio's number for one contract, its distance and its verdict ("not comparable" where the number
        itself is the likelihood ratio's). ``terms`` are the contract's, for people to read. ``status`` is
        "ok", "not finite", "failed: " and why, or "not defined: " where the trade's model has no such Greek. ``attrs`` holds
        ``totals`` (see `greeks.portfolio.totals.totals`) and ``errors`` as lists of records, and ``valuation`` as text.

    Raises
    ------
    InvalidInput
        Where the table as a whole cannot be read, no model has a Greek that is asked for, or the run would exceed the limits.
    """
    run = risk_run(
        portfolio,
        market,
        greeks=greeks,
        estimator=estimator,
        plan=plan,
        threads=threads,
        progress=progress,
        check=check,
        enough=enough,
        limits=limits,
    )
    records = {"totals": run.totals.to_dict("records"), "errors": run.errors.to_dict("records")}
    run.frame.attrs.update(records, valuation=run.valuation.isoformat())
    return run.frame


@np.errstate(all="ignore")  # what is not finite is reported as such, in its row
def risk_run(
    portfolio: pd.DataFrame,
    market: MarketData | Mapping[str, Underlying],
    *,
    greeks: Sequence[str] | None = None,
    estimator: Estimator | str | None = None,
    plan: Plan | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    check: bool = True,
    enough: float | None = None,
    limits: Limits | None = LIMITS,
) -> BookRun:
    """What `risk_report` says, with totals, errors and the facts of the run; the parameters are the same."""
    clock, market, plan = Clock(), MarketData.of(market), plan_of(plan)
    enough = positive("enough", enough) if enough is not None else None
    asked = method(estimator, default="best")
    if limits is not None:
        limits.check_table(len(portfolio), threads)
    book = read_portfolio(portfolio, market, estimator=asked)
    wanted = known_greeks(greeks, book)
    if limits is not None:
        limits.check(load_of(book.positions, greeks=len(wanted), plan=plan))
    clock.lap("portfolio")
    cases = [case_of(row, tuple(wanted), check) for row in book.positions]
    _settled(cases, plan, threads)
    clock.lap("formulas and pilots")
    sums = BatchSums()
    stopped = _stopped(cases, plan, enough, threads, sums) if enough is not None and plan.sampling.independent else set()
    _filled([case for case in cases if case.position.row not in stopped], plan, threads, progress, sums)
    _completed(cases, plan, threads)
    clock.lap("simulation")
    limit = threshold(sum(case.compared(name) for case in cases for name in wanted))
    by_row = {case.position.row: case for case in cases}
    kinds = models_of(book)
    lines = (
        rejected_line(row, wanted[name]) if isinstance(row, Reject) else by_row[row.row].line(name, limit)
        for row in book.rows
        for name in wanted
        if greeks is not None or _defined(name, kinds.get(row.model) if isinstance(row, Reject) else row.model)
    )
    terms = list[Term]()
    frame = table(_cells_and_terms(lines, wanted, terms), columns())
    clock.lap("verdicts")
    summed = totals(terms, sums)
    clock.lap("totals")
    reasons = [row if isinstance(row, Reject) else by_row[row.row] for row in book.rows]
    errors = [error for r in reasons for error in ([r] if isinstance(r, Reject) else r.errors())]
    failed = len({error.row for error in errors})
    answered = frame[frame["status"] == OK]
    return BookRun(
        kind="risk",
        frame=frame,
        totals=summed,
        errors=error_frame(errors),
        valuation=market.valuation,
        plan=plan,
        estimator=asked.name,
        greeks=tuple(wanted),
        threads=threads_used(threads),
        rows=len(book.rows),
        priced=len(book.rows) - failed,
        failed=failed,
        estimators={name: dict(Counter(answered.loc[answered["greek"] == name, "estimator"])) for name in wanted},
        checks=check_frame(_comparisons(answered), "check"),
        verdicts=dict(Counter(answered["verdict"])),
        witness=dict(Counter(answered.loc[answered["lr_verdict"] != "", "lr_verdict"])),
        unresolved=int((~answered["resolved"]).sum()),
        limit=limit,
        enough=enough,
        ignored=book.ignored,
        seconds=clock.seconds,
        started=clock.started,
        ended=dt.datetime.now(dt.UTC),
    )


def _cells_and_terms(lines: Iterable[ReportRow], known: Mapping[str, Greek], terms: list[Term]) -> Iterator[Mapping[str, Any]]:
    """The cells of each line, once its part of the totals has been added to ``terms``: no line is kept."""
    for line in lines:
        if not line.status.startswith(UNDEFINED):
            terms.append(term_of(line, known[line.cells["greek"]]))
        yield line.cells


def _settled(cases: Sequence[Case], plan: Plan, threads: int | None) -> None:
    """Run the pilots that the positions need, and decide what makes and what checks each number."""
    asked = {place: question for place, case in enumerate(cases) if (question := case.choice()) is not None}
    chosen = dict(zip(asked, choices(list(asked.values()), plan, threads=threads), strict=True)) if asked else {}
    for place, case in enumerate(cases):
        case.settle(chosen.get(place), plan)


def _filled(cases: Sequence[Case], plan: Plan, threads: int | None, progress: Progress | None, sums: BatchSums) -> None:
    """Run what the cases ask, and give each what came back; ``sums`` takes in what totals need of it."""
    questions = [(case, question) for case in cases for question in case.questions()]
    for place, reply in each_answer([question for _, question in questions], plan, threads=threads, progress=progress):
        case, question = questions[place]
        case.file(question, reply, sums)


def _completed(cases: Sequence[Case], plan: Plan, threads: int | None) -> None:
    """Run the checks that need few paths, and give each case what came back; then all answers are there."""
    light = [(case, question) for case in cases for question in case.light_questions()]
    for place, reply in each_answer([question for _, question in light], few_paths(plan), threads=threads, progress=None):
        case, question = light[place]
        case.file_light(question, reply)
    for case in cases:
        case.measure()


def _stopped(cases: Sequence[Case], plan: Plan, enough: float, threads: int | None, sums: BatchSums) -> set[int]:
    """The rows of trades that few paths resolve, which have their answers then."""
    few, stopped = few_paths(plan), set[int]()
    if few.paths == plan.paths:
        return stopped
    able = [case for case in cases if case.may_stop]
    for part in range(0, len(able), _TRIED):
        stopped |= _stopped_part(able[part : part + _TRIED], plan, few, enough, threads, sums)
    return stopped


_TRIED = 512
"""Trades that are tried together: their moments are in memory at once."""


def _stopped_part(cases: Sequence[Case], plan: Plan, few: Plan, enough: float, threads: int | None, sums: BatchSums) -> set[int]:
    asked, stopped = [(case, case.questions()) for case in cases], set[int]()
    found = iter(answers([q for _, questions in asked for q in questions], few, threads=threads, progress=None))
    for case, questions in asked:
        replies = [next(found) for _ in questions]
        if case.resolves(replies, enough):
            for question, reply in zip(questions, replies, strict=True):
                case.file(question, reply, sums)
            case.stop(
                f"stopped at {few.paths:,} of {plan.paths:,} paths: every error is below {enough:g} of the Greek's natural size"
            )
            stopped.add(case.position.row)
    return stopped


def _comparisons(answered: pd.DataFrame) -> pd.DataFrame:
    """Every number with its check, and with the likelihood ratio beside it where that is another method."""
    import pandas as pd

    beside = answered[(answered["lr_verdict"] != "") & ~answered["check"].eq("likelihood_ratio")]
    beside = beside[~beside["estimator"].eq("likelihood_ratio")]
    seen = beside.assign(check="likelihood_ratio", verdict=beside["lr_verdict"], z=beside["lr_z"])
    return pd.concat([answered, seen]) if len(seen) else answered


def _defined(name: str, model: Model | None) -> bool:
    """Whether a model has a Greek; where the model cannot be told, it may have."""
    try:
        return model is None or bool(greek(name, model))
    except InvalidInput:
        return False
