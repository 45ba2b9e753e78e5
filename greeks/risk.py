"""From a table of trades to a table of Greeks, each with its error and an independent method's verdict."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from greeks.book_run import (
    FAILED,
    OK,
    TERMS,
    BookRun,
    Clock,
    Progress,
    Question,
    answers,
    check_frame,
    described,
    error_frame,
    failure,
    known_greeks,
    models_of,
    plan_of,
    scene_of,
    table,
    terms_of,
    threads_used,
)
from greeks.cells import excerpt
from greeks.checks import check_of, refusal
from greeks.comparison import most_certain, threshold, verdicts
from greeks.desk import desk
from greeks.estimators.estimator import Estimator
from greeks.greek import Greek, greek
from greeks.limits import LIMITS, Limits, load_of
from greeks.markets import MarketData, Underlying
from greeks.methods import method
from greeks.natural_size import natural_sizes
from greeks.portfolio import Position, Reject, read_portfolio
from greeks.run import Answer
from greeks.totals import Term, totals
from pricers.errors import InvalidInput
from pricers.models.model import Model
from pricers.plan import Plan

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["risk_report", "risk_run"]

FloatArray = npt.NDArray[np.float64]

NOT_FINITE, UNDEFINED = "not finite", "not defined: "
"""Further statuses; "not finite" makes a trade a failed one, as "failed: " does."""

COLUMNS = (
    *(*TERMS, "greek", "value", "stderr", "unit", "unit_value", "unit_stderr"),
    *("desk_greek", "desk_value", "desk_stderr", "desk_unit", "estimator", "model", "vol", "paths"),
    *("check", "check_value", "z", "resolves", "verdict", "status", "note", "terms"),
)


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
    limits: Limits | None = LIMITS,
) -> pd.DataFrame:
    """Greeks of every trade of a portfolio, one row per trade and Greek, in the portfolio's order.

    Trades on one underlying share their paths, and a trade's numbers have the same bits alone, in any book, in any order of
    rows and with any number of threads. A row that cannot be priced appears with the reason as its status and NaN for
    numbers: no row is lost.

    Parameters
    ----------
    portfolio : DataFrame
        See `greeks.portfolio.read_portfolio` for its columns.
    market : MarketData or mapping of str to Underlying
        `MarketData` says its valuation date, from which calendar dates count; a plain mapping is taken to be as of today.
    greeks : sequence of str, optional
        By default price, delta, gamma, vega, rho and theta of every trade, and the Greeks of their own parameters
        (``d_v0`` and so on) of those whose models have any. A Greek that is asked for has a row for every trade, though the
        trade's model may not define it.
    estimator : Estimator or str, optional
        For rows whose column ``estimator`` is empty: one, or the name of one. `LikelihoodRatio` by default: one method for all of a book
        and a time that can be foreseen; "auto" lets a pilot run choose for each trade and Greek.
    plan : Plan, optional
        Paths and seed.
    threads : int, optional
        Does not change the numbers; all processors by default.
    progress : callable, optional
        Called with (paths done, paths in all).
    check : bool
        Whether an independent method is held against each number, on the same paths: the exact formula where there is one,
        else pathwise where the payoff does not jump, else finite differences (the likelihood ratio where the number itself is of
        that method). The price of a path estimator is checked by a formula only: all of them average the same payoffs.
    limits : Limits, optional
        What a run may take; it is estimated before the run. None for no limits.

    Returns
    -------
    DataFrame
        ``value`` and ``stderr`` are the position's (quantity times the contract's), raw derivatives in ``unit``;
        ``unit_value`` and ``unit_stderr`` one contract's. ``desk_value`` and ``desk_stderr`` are the position's in
        ``desk_unit``. ``check`` names the independent method, ``check_value`` its number for one contract, ``z`` the distance
        from it in paired standard errors, ``resolves`` the least difference that would have counted, ``verdict`` says
        "agree", "differ", "not comparable" or "not checked". ``terms`` are the contract's, for people to read. ``status`` is
        "ok", "not finite", "failed: " and why, or "not defined: " where the trade's model has no such Greek. ``attrs`` holds
        ``totals`` (see `greeks.totals.totals`) and ``errors`` as lists of records, and ``valuation`` as text.

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
    limits: Limits | None = LIMITS,
) -> BookRun:
    """What `risk_report` says, with totals, errors and the facts of the run; the parameters are the same."""
    clock, market, plan = Clock(), MarketData.of(market), plan_of(plan)
    asked = method(estimator, default="likelihood_ratio")
    if limits is not None:
        limits.check_table(len(portfolio), threads)
    book = read_portfolio(portfolio, market, estimator=asked)
    wanted = known_greeks(greeks, book)
    if limits is not None:
        limits.check(load_of(book.positions, greeks=len(wanted), plan=plan))
    clock.lap("portfolio")
    cases = [_case(row, tuple(wanted), plan, check) for row in book.positions]
    clock.lap("formulas")
    questions = [(case, question) for case in cases for question in case.questions()]
    found = answers([question for _, question in questions], plan, threads=threads, progress=progress)
    for (case, question), reply in zip(questions, found, strict=True):
        case.file(question, reply)
    clock.lap("simulation")
    limit = threshold(sum(case.compared(name) for case in cases for name in wanted))
    by_row = {case.position.row: case for case in cases}
    kinds = models_of(book)
    lines = (
        _rejected(row, wanted[name]) if isinstance(row, Reject) else by_row[row.row].line(name, limit)
        for row in book.rows
        for name in wanted
        if greeks is not None or _defined(name, kinds.get(row.model) if isinstance(row, Reject) else row.model)
    )
    terms = list[Term]()
    frame = table(_cells_and_terms(lines, wanted, terms), COLUMNS)
    clock.lap("verdicts")
    summed = totals(terms)
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
        checks=check_frame(answered, "check"),
        verdicts=dict(Counter(answered["verdict"])),
        limit=limit,
        ignored=book.ignored,
        seconds=clock.seconds,
        started=clock.started,
        ended=dt.datetime.now(dt.UTC),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """Why a Greek of a trade has no number."""

    status: str
    field: str = ""
    value: str = ""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Line:
    """A row of the report, and what a total needs of it besides."""

    cells: dict[str, Any]
    status: str
    spot: float = math.nan
    batches: tuple[FloatArray, FloatArray] = (np.empty(0), np.empty(0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Case:
    """One position on its way: what is asked of whom, and what came back."""

    position: Position
    greeks: dict[str, Greek] = field(default_factory=dict)
    checks: dict[str, Estimator | None] = field(default_factory=dict)
    failures: dict[str, _Failure] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)
    found: dict[str, Answer] = field(default_factory=dict)
    checked: bool

    def questions(self) -> list[Question]:
        """What to ask: Greeks with the same check together."""
        asked: dict[str, list[str]] = {}
        for name, check in self.checks.items():
            asked.setdefault(check.name if check else "", []).append(name)
        questions = []
        for names in asked.values():
            check = self.checks[names[0]]
            methods = (self.position.estimator, check) if check else (self.position.estimator,)
            greeks = tuple(self.greeks[name] for name in names)
            questions.append(Question(position=self.position, greeks=greeks, estimators=methods))
        return questions

    def file(self, question: Question, reply: Answer | Exception) -> None:
        """Take an answer in, or what stopped it."""
        for name in (g.name for g in question.greeks):
            if isinstance(reply, Exception):
                self.failures[name] = _broken(reply, self.position.estimator)
            else:
                self.found[name] = reply
                if refused := reply.refusals.get((name, self.position.estimator.name)):  # by a pilot, after all
                    self.failures[name] = _refused(self.position.estimator, str(refused))
                elif not self._usable(name, self.position.estimator):
                    self.failures[name] = self._not_finite(name)

    def _not_finite(self, name: str) -> _Failure:
        estimate = self.found[name].estimates.get((name, self.position.estimator.name))
        value = "" if estimate is None else f"{estimate.value:g} +- {estimate.stderr:g}"
        reason = f"the {name} is not finite, for one contract or for the position in its units"
        return _Failure(status=NOT_FINITE, field=name, value=value, reason=reason)

    def _usable(self, name: str, estimator: Estimator | None) -> bool:
        """Whether there is a finite number, for the position as for one contract."""
        estimate = self.found[name].estimates.get((name, estimator.name)) if estimator else None
        if estimate is None:
            return False
        factor = self.position.quantity * desk(self.greeks[name]).factor(self.position.market.spot)
        sizes = (estimate.value, estimate.stderr, self.position.quantity, factor)
        return all(math.isfinite(size * scale) for size in sizes[:2] for scale in (1.0, *sizes[2:]))

    def compared(self, name: str) -> bool:
        """Whether two methods have a number."""
        return name not in self.failures and name in self.found and self._usable(name, self.checks[name])

    def line(self, name: str, limit: float) -> _Line:
        """The report's row."""
        position, cells = self.position, _blank() | terms_of(self.position)
        cells |= {"estimator": position.estimator.name, "model": position.model.kind, "vol": position.model.scale("vol")}
        cells["terms"] = position.terms
        if name in self.undefined:
            return _Line(cells=cells | _units(name, None) | {"status": UNDEFINED + self.undefined[name]}, status=UNDEFINED)
        greek, spot = self.greeks[name], position.market.spot
        cells |= _units(name, greek)
        if name in self.failures:
            status = self.failures[name].status
            return _Line(cells=cells | {"status": status}, status=status)
        answer, method = self.found[name], position.estimator.name
        estimate = answer.estimates[name, method]
        value, stderr = position.quantity * estimate.value, abs(position.quantity) * estimate.stderr
        factor = desk(greek).factor(spot)
        cells |= {"value": value, "stderr": stderr, "unit_value": estimate.value, "unit_stderr": estimate.stderr}
        cells |= {"desk_value": value * factor, "desk_stderr": stderr * factor, "paths": estimate.paths, "status": OK}
        verdict = self._verdict(name, limit)
        cells |= verdict | {"note": "; ".join(note for note in (greek.note, estimate.note, verdict["note"]) if note)}
        return _Line(cells=cells, status=OK, spot=spot, batches=answer.batches(name, method))

    def _verdict(self, name: str, limit: float) -> dict[str, Any]:
        check = self.checks[name]
        if check is None:
            path_price = not self.greeks[name].parameters
            reason = "every path estimator averages the same payoffs" if path_price else "no second method answers"
            return {"verdict": "not comparable" if self.checked else "not checked", "note": reason if self.checked else ""}
        answer, own = self.found[name], self.position.estimator
        judged = verdicts(answer, [name], (own, check), limit, self._sizes())
        mine, its = judged[name, own.name], judged[name, check.name]
        sign, told = (1.0, mine) if mine.verdict != "reference" else (-1.0, its)
        other = answer.estimates.get((name, check.name))
        return {
            "check": check.name,
            "check_value": other.value if other else math.nan,
            "z": sign * told.z,
            "resolves": told.resolves,
            "verdict": told.verdict,
            "note": told.reason,
        }

    def _sizes(self) -> dict[str, float]:
        values = {name: value for answer in self.found.values() for name, value in most_certain(answer).items()}
        return natural_sizes(values, self.greeks.values(), self.position.contract, scene_of(self.position))

    def errors(self) -> list[Reject]:
        """One for each reason why Greeks are lacking."""
        names: dict[tuple[str, str, str], list[str]] = {}
        for name, why in self.failures.items():
            names.setdefault((why.field, why.value, "" if why.field else why.reason), []).append(name)
        told = []
        for (column, value, _), lacking in names.items():
            reason = self.failures[lacking[0]].reason
            which = "" if len(lacking) == len(self.greeks) else f"{', '.join(lacking)}: "
            row, trade_id = self.position.row, self.position.trade_id
            told.append(Reject(row=row, trade_id=trade_id, field=column, value=value, reason=which + reason))
        return told


def _case(position: Position, names: Iterable[str], plan: Plan, check: bool) -> _Case:
    """What to ask of a position: each Greek of its estimator, and of the method that checks it."""
    case, scene, method = _Case(position=position, checked=check), scene_of(position), position.estimator
    for name in names:
        try:
            case.greeks[name] = known = greek(name, position.model)
        except InvalidInput as unknown:
            case.undefined[name] = str(unknown)
            continue
        try:
            reason = refusal(method, known, position.contract, scene, plan)
        except Exception as error:
            case.failures[name] = _broken(error, method)
            continue
        if reason is None:
            case.checks[name] = check_of(method, known, position.contract, scene, plan) if check else None
        else:
            case.failures[name] = _refused(method, reason)
    return case


def _defined(name: str, model: Model | None) -> bool:
    """Whether a model has a Greek; where the model cannot be told, it may have."""
    try:
        return model is None or bool(greek(name, model))
    except InvalidInput:
        return False


def _refused(method: Estimator, reason: str) -> _Failure:
    return _Failure(status=FAILED + reason, field="estimator", value=method.name, reason=reason)


def _broken(error: Exception, method: Estimator) -> _Failure:
    """What stopped a calculation; the field is the input that it names, else the method."""
    if isinstance(error, InvalidInput):
        return _Failure(status=FAILED + described(error), field=error.field, value=excerpt(error.value), reason=error.reason)
    return _Failure(status=FAILED + described(error), field="estimator", value=method.name, reason=described(error))


def _blank() -> dict[str, Any]:
    """A row without anything in it."""
    texts = ("unit", "desk_greek", "desk_unit", "estimator", "model", "check", "verdict", "status", "note", "terms")
    return {column: "" if column in texts else 0 if column == "paths" else math.nan for column in COLUMNS}


def _units(name: str, known: Greek | None) -> dict[str, Any]:
    if known is None:
        return {"greek": name}
    return {"greek": name, "unit": known.unit, "desk_greek": desk(known).name, "desk_unit": desk(known).unit}


def _rejected(row: Reject, known: Greek) -> _Line:
    status = failure(row)
    return _Line(cells=_blank() | terms_of(row) | _units(known.name, known) | {"status": status}, status=status)


def _cells_and_terms(lines: Iterable[_Line], known: Mapping[str, Greek], terms: list[Term]) -> Iterator[Mapping[str, Any]]:
    """The cells of each line, once its part of the totals has been added to ``terms``: no line is kept."""
    for line in lines:
        if not line.status.startswith(UNDEFINED):
            terms.append(_term(line, known[line.cells["greek"]]))
        yield line.cells


def _term(line: _Line, known: Greek) -> Term:
    """A row's part of the totals; without a number where it has none."""
    cells, (batches, counts) = line.cells, line.batches
    return Term(
        book=cells["book"],
        underlying=cells["underlying"],
        greek=known.name,
        unit=known.unit,
        desk=desk(known),
        factor=desk(known).factor(line.spot) if line.status == OK else math.nan,
        value=cells["value"],
        quantity=cells["quantity"],
        batches=batches,
        counts=counts,
    )
