"""One position on its way through a risk report: what is asked of whom, what came back, and the rows that it makes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from greeks.engine.tasks import GreekResult
from greeks.estimators.auto import Auto, Best, Chosen
from greeks.estimators.base import Estimator, PathEstimator
from greeks.estimators.likelihood_ratio import LikelihoodRatio
from greeks.estimators.natural_size import natural_sizes
from greeks.greek import Greek, greek
from greeks.portfolio.batch import FAILED, OK, Question, described, failure, scenario_of, terms_of
from greeks.portfolio.batch_sums import BatchSums
from greeks.portfolio.cells import excerpt
from greeks.portfolio.columns import blank, columns, filled
from greeks.portfolio.desk_units import desk
from greeks.portfolio.read_trades import Position, Reject
from greeks.portfolio.totals import Term
from greeks.validation.crosscheck import Verdict, most_certain, verdicts
from greeks.validation.reference_method import WITNESSED, check_of, concrete, path_check, path_dependent, witness_of
from pricers.engine.estimate import Estimate
from pricers.engine.plan import Plan
from pricers.errors import InvalidInput

__all__ = ["COLUMNS", "NOT_FINITE", "UNDEFINED", "Case", "ReportRow", "case_of", "few_paths", "rejected_line", "term_of"]

FEWER, FEWEST = 8, 2**12
"""A check on few paths has an eighth of the plan's, but 4,096 at least."""

NOT_FINITE, UNDEFINED = "not finite", "not defined: "
"""Further statuses; "not finite" makes a trade a failed one, as "failed: " does."""

COLUMNS = columns()

_NO_SECOND, _SAME_PAYOFFS = "no second method answers", "every path estimator averages the same payoffs"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """Why a Greek of a trade has no number."""

    status: str
    field: str = ""
    value: str = ""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReportRow:
    """A row of the report, and what a total needs of it besides.

    Attributes
    ----------
    cells : dict
        By column.
    status : str
    spot : float
    size : float
        Natural size of the Greek for one contract (see `greeks.estimators.natural_size`), NaN where it is not known.
    sampled : bool
        Whether paths made the number.
    """

    cells: dict[str, Any]
    status: str
    spot: float = math.nan
    size: float = math.nan
    sampled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One position: what is asked of whom, and what came back.

    Attributes
    ----------
    position : Position
    checked : bool
        Whether second methods are held against the numbers.
    greeks : dict
        Those that the position's model defines, by name.
    methods : dict
        What makes each number; a `Chosen` where the position left the choice to us.
    checks : dict
        The independent method of each number that is asked for, or None where there is none.
    witnesses : dict
        The likelihood ratio, for each number that it stands beside without being its check.
    failures, undefined : dict
        Why a Greek has no number; why the model has no such Greek.
    found : dict
        The answer that holds each Greek's number and what is sampled on all paths.
    light : dict
        The answer that holds the check of a Greek by formula, where that check needs few paths (`few_paths`).
    sizes : dict
        Natural size of each Greek, once all answers are there (`measure`).
    notes : list of str
        What a reader should know of all of the trade's numbers.
    """

    position: Position
    checked: bool
    greeks: dict[str, Greek] = field(default_factory=dict)
    methods: dict[str, Estimator] = field(default_factory=dict)
    checks: dict[str, Estimator | None] = field(default_factory=dict)
    witnesses: dict[str, Estimator] = field(default_factory=dict)
    failures: dict[str, _Failure] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)
    found: dict[str, GreekResult] = field(default_factory=dict)
    light: dict[str, GreekResult] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def may_stop(self) -> bool:
        """Whether few paths may be enough: where what makes some number was left open, and is no formula."""
        return any(isinstance(method, Chosen) and not _by_formula(method, name) for name, method in self.methods.items())

    def resolves(self, replies: Iterable[GreekResult | Exception], enough: float) -> bool:
        """Whether by these answers to `questions` every Greek's error is known and below a share of its natural size."""
        estimates, values = dict[str, Estimate](), dict[str, float]()
        for reply in replies:
            if isinstance(reply, Exception):
                return False
            values |= most_certain(reply)
            for name, method in self.methods.items():
                if (name, method.name) in reply.estimates:
                    estimates[name] = reply.estimates[name, method.name]
        sizes = natural_sizes(values, self.greeks.values(), self.position.contract, scenario_of(self.position))
        return estimates.keys() == self.methods.keys() and all(
            e.resolved and math.hypot(e.stderr, e.bias) <= enough * sizes[name] for name, e in estimates.items()
        )

    def stop(self, note: str) -> None:
        """Remember that the trade's paths were stopped."""
        self.notes.append(note)

    def choice(self) -> Question | None:
        """What a pilot has to find out first, where the position does not name its estimator."""
        if not isinstance(self.position.estimator, Auto | Best) or not self.greeks:
            return None
        return Question(position=self.position, greeks=tuple(self.greeks.values()), estimators=(self.position.estimator,))

    def settle(self, choice: Chosen | None, plan: Plan) -> None:
        """Decide what makes each number, and what is held against it."""
        method = choice if choice is not None else self.position.estimator
        contract, scenario = self.position.contract, scenario_of(self.position)
        for name, known in self.greeks.items():
            try:
                reason = None if _by_formula(method, name) else method.refusal(known, contract, scenario, plan)
            except Exception as error:
                self.failures[name] = _broken(error, self.position.estimator)
                continue
            if reason is not None:
                self.failures[name] = _refused(self.position.estimator, reason)
                continue
            self.methods[name] = method
            if not self.checked:
                self.checks[name] = None
                continue
            if choice is None:
                check = check_of(method, known, contract, scenario, plan)
            else:
                check = path_check(concrete(method, name), known, contract, scenario, plan)
            self.checks[name] = check
            witness = witness_of(concrete(method, name), known, contract, scenario, plan)
            if witness is not None and (check is None or check.name != witness.name):
                self.witnesses[name] = witness

    def questions(self) -> list[Question]:
        """What to ask on all paths: Greeks of the same methods together."""
        asked = {name: [other for other in self._others(name) if not self._is_light(name, other)] for name in self.methods}
        return self._asked(asked)

    def light_questions(self) -> list[Question]:
        """What to ask on few paths."""
        asked = {name: [other for other in self._others(name) if self._is_light(name, other)] for name in self.methods}
        return self._asked({name: others for name, others in asked.items() if others})

    def _asked(self, asked: Mapping[str, list[Estimator]]) -> list[Question]:
        alike: dict[tuple[str, ...], list[str]] = {}
        for name, others in asked.items():
            key = concrete(self.methods[name], name).name, *(other.name for other in others)
            alike.setdefault(key, []).append(name)
        return [
            Question(
                position=self.position,
                greeks=tuple(self.greeks[name] for name in names),
                estimators=(self.methods[names[0]], *asked[names[0]]),
            )
            for names in alike.values()
        ]

    def _others(self, name: str) -> list[Estimator]:
        return [other for other in (self.checks[name], self.witnesses.get(name)) if other is not None]

    def _is_light(self, name: str, other: Estimator) -> bool:
        """Whether few paths are enough for a check: of a formula, which needs no paths itself, by a method that integrates part of them."""
        return _by_formula(self.methods[name], name) and isinstance(other, PathEstimator) and other.structural

    def file(self, question: Question, reply: GreekResult | Exception, sums: BatchSums) -> None:
        """Take an answer in, or what stopped it, and add its numbers to the sums that totals need; of its moments no more is kept."""
        for name in (g.name for g in question.greeks):
            if isinstance(reply, Exception):
                self.failures[name] = _broken(reply, self.position.estimator)
                continue
            self.found[name] = reply
            if refused := reply.refusals.get((name, self.methods[name].name)):
                self.failures[name] = _refused(self.position.estimator, str(refused))
            elif not self._usable(name, self.methods[name]):
                self.failures[name] = self._not_finite(name)
            else:
                self._add(name, reply, sums)
        if not isinstance(reply, Exception):
            reply.condense(_pairs(question, reply))

    def _add(self, name: str, reply: GreekResult, sums: BatchSums) -> None:
        """Add a number to the sums, where paths made it and tell its error."""
        position, method = self.position, self.methods[name].name
        estimate = reply.estimates[name, method]
        if estimate.paths and estimate.resolved:
            group, factor = (position.book, position.underlying, name), desk(self.greeks[name]).factor(position.market.spot)
            sums.add(group, *reply.batches(name, method), position.quantity, factor)

    def _not_finite(self, name: str) -> _Failure:
        estimate = self._estimate(name, self.methods[name])
        value = "" if estimate is None else f"{estimate.value:g} +- {estimate.stderr:g}"
        reason = f"the {name} is not finite, for one contract or for the position in its units"
        return _Failure(status=NOT_FINITE, field=name, value=value, reason=reason)

    def file_light(self, question: Question, reply: GreekResult | Exception) -> None:
        """Take in the answer to a question on few paths; a check that breaks down is none, and loses no number."""
        for name in (g.name for g in question.greeks):
            if isinstance(reply, Exception):
                self.checks[name] = None
            else:
                self.light[name] = reply
        if not isinstance(reply, Exception):
            reply.condense(_pairs(question, reply))

    def _answer(self, name: str, other: Estimator | None) -> GreekResult | None:
        """Where a method's number is."""
        return (self.light if other is not None and self._is_light(name, other) else self.found).get(name)

    def _usable(self, name: str, estimator: Estimator | None) -> bool:
        """Whether there is a finite number, for the position as for one contract; its error may be unknown."""
        estimate = self._estimate(name, estimator)
        if estimate is None or math.isinf(estimate.stderr) or not math.isfinite(estimate.value * estimate.value):
            return False  # beyond the root of the greatest float no spread can be told
        factor = self.position.quantity * desk(self.greeks[name]).factor(self.position.market.spot)
        sizes = (estimate.value, estimate.stderr if estimate.resolved else 0.0)
        return all(math.isfinite(size * scale) for size in sizes for scale in (1.0, self.position.quantity, factor))

    def _estimate(self, name: str, estimator: Estimator | None) -> Estimate | None:
        answer = self._answer(name, estimator)
        return answer.estimates.get((name, estimator.name)) if answer is not None and estimator is not None else None

    def measure(self) -> None:
        """Take the natural sizes of the Greeks from all answers, and the likelihood ratio for a check whose few paths tell no error."""
        for name in self.light:
            few, witness = self._estimate(name, self.checks[name]), self.witnesses.get(name)
            beside = self._estimate(name, witness)
            if witness is not None and beside is not None and beside.resolved and not (few is not None and few.resolved):
                self.checks[name] = self.witnesses.pop(name)
        values: dict[str, float] = {}
        for result in dict.fromkeys(self.found.values()):
            values |= most_certain(result)
        self.sizes.update(natural_sizes(values, self.greeks.values(), self.position.contract, scenario_of(self.position)))

    def compared(self, name: str) -> int:
        """How many methods have a number to hold against this Greek's."""
        if name in self.failures or name not in self.found:
            return 0
        return sum(self._usable(name, other) for other in self._others(name))

    def line(self, name: str, limit: float) -> ReportRow:
        """The report's row."""
        position, cells = self.position, blank() | terms_of(self.position)
        cells |= {"requested": position.estimator.name, "estimator": position.estimator.name, "model": position.model.kind}
        cells |= {"vol": position.model.scale("vol"), "terms": position.terms}
        if name in self.undefined:
            return ReportRow(cells=cells | _units(name, None) | {"status": UNDEFINED + self.undefined[name]}, status=UNDEFINED)
        greek, spot = self.greeks[name], position.market.spot
        cells |= _units(name, greek)
        if name in self.failures:
            status = self.failures[name].status
            return ReportRow(cells=cells | {"status": status}, status=status)
        answer, method = self.found[name], self.methods[name].name
        estimate = answer.estimates[name, method]
        factor = desk(greek).factor(spot)
        cells |= dict(filled(position, greek, estimate))
        cells |= {"desk_value": cells["value"] * factor, "desk_stderr": cells["stderr"] * factor, "status": OK}
        cells |= {"estimator": estimate.estimator if isinstance(self.methods[name], Chosen) else method}
        verdict = self._verdict(name, limit)
        cells |= verdict | self._witnessed(name, limit)
        cells["note"] = _joined(greek.note, *self.notes, estimate.note, verdict["note"])
        return ReportRow(cells=cells, status=OK, spot=spot, size=self.sizes.get(name, math.nan), sampled=estimate.paths > 0)

    def _verdict(self, name: str, limit: float) -> dict[str, Any]:
        """What the independent method says of a number."""
        check = self.checks[name]
        if check is None:
            reason = _NO_SECOND if self.greeks[name].parameters else _SAME_PAYOFFS
            return {"verdict": "not comparable" if self.checked else "not checked", "note": reason if self.checked else ""}
        other, judged = self._estimate(name, check), self._held_against(name, check, limit)
        return {
            "check": check.name,
            "check_value": other.value if other else math.nan,
            "z": judged.z,
            "resolves": judged.resolves,
            "verdict": judged.verdict,
            "note": judged.reason,
        }

    def _witnessed(self, name: str, limit: float) -> dict[str, Any]:
        """The likelihood ratio's number beside this one, where it is asked for; sampled once where it is the number or its check."""
        if not self.checked or name not in WITNESSED or not path_dependent(self.position.contract):
            return {}
        sampled = next((other for other in self._others(name) if other.name == LikelihoodRatio.name), None)
        if sampled is not None and (beside := self._estimate(name, sampled)) is not None:
            told = self._held_against(name, sampled, limit)
            return {"lr_value": beside.value, "lr_stderr": beside.stderr, "lr_z": told.z, "lr_verdict": told.verdict}
        estimate = self.found[name].estimates[name, self.methods[name].name]
        if estimate.estimator == LikelihoodRatio.name:
            return {"lr_value": estimate.value, "lr_stderr": estimate.stderr, "lr_verdict": "not comparable"}
        return {}

    def _held_against(self, name: str, other: Estimator, limit: float) -> Verdict:
        """The verdict between the number and another, its distance with the sign of the number less the other."""
        own, answer = self.methods[name], self._answer(name, other)
        assert answer is not None
        judged = verdicts(answer, [name], (own, other), limit, self.sizes)
        mine, its = judged[name, own.name], judged[name, other.name]
        if mine.verdict == "reference":
            return Verdict(z=-its.z, resolves=its.resolves, verdict=its.verdict, reason=its.reason)
        if mine.verdict == "not comparable" and its.verdict == "too weak to tell":  # the other's error is not known
            return Verdict(verdict=its.verdict, reason=f"{other.name}: {its.reason}")
        return mine

    def errors(self) -> list[Reject]:
        """One for each reason why Greeks are lacking."""
        names: dict[tuple[str, str, str], list[str]] = {}
        for name, why in self.failures.items():
            names.setdefault((why.field, why.value, "" if why.field else why.reason), []).append(name)
        found = []
        for (column, value, _), lacking in names.items():
            reason = self.failures[lacking[0]].reason
            which = "" if len(lacking) == len(self.greeks) else f"{', '.join(lacking)}: "
            row, trade_id = self.position.row, self.position.trade_id
            found.append(Reject(row=row, trade_id=trade_id, field=column, value=value, reason=which + reason))
        return found


def case_of(position: Position, names: Iterable[str], check: bool) -> Case:
    """A position with the Greeks that its model defines."""
    case = Case(position=position, checked=check)
    for name in names:
        try:
            case.greeks[name] = greek(name, position.model)
        except InvalidInput as unknown:
            case.undefined[name] = str(unknown)
    return case


def _pairs(question: Question, reply: GreekResult) -> list[tuple[str, str, str]]:
    """Each Greek's number with each other method's that is held against it."""
    own, *others = (method.name for method in question.estimators)
    names = [g.name for g in question.greeks if (g.name, own) in reply.estimates]
    return [(name, own, other) for name in names for other in others if (name, other) in reply.estimates]


def few_paths(plan: Plan) -> Plan:
    """The plan of checks that need few paths: the run's with `FEWER` times fewer of them."""
    return replace(plan, paths=min(plan.sampling.fitting(max(plan.paths // FEWER, FEWEST)), plan.paths))


def _by_formula(method: Estimator, greek: str) -> bool:
    return isinstance(method, Chosen) and greek in method.formulas


def rejected_line(row: Reject, known: Greek) -> ReportRow:
    """The row of a trade that could not be read."""
    status = failure(row)
    return ReportRow(cells=blank() | terms_of(row) | _units(known.name, known) | {"status": status}, status=status)


def term_of(line: ReportRow, known: Greek) -> Term:
    """A row's part of the totals; without a number where it has none."""
    cells, answered = line.cells, line.status == OK
    return Term(
        book=cells["book"],
        underlying=cells["underlying"],
        greek=known.name,
        unit=known.unit,
        desk=desk(known),
        factor=desk(known).factor(line.spot) if answered else math.nan,
        value=cells["value"],
        quantity=cells["quantity"],
        bias=cells["bias"],
        size=abs(cells["quantity"]) * line.size if answered else math.nan,
        resolved=bool(cells["resolved"]),
        sampled=line.sampled,
    )


def _refused(method: Estimator, reason: str) -> _Failure:
    return _Failure(status=FAILED + reason, field="estimator", value=method.name, reason=reason)


def _broken(error: Exception, method: Estimator) -> _Failure:
    """What stopped a calculation; the field is the input that it names, else the method."""
    if isinstance(error, InvalidInput):
        return _Failure(status=FAILED + described(error), field=error.field, value=excerpt(error.value), reason=error.reason)
    return _Failure(status=FAILED + described(error), field="estimator", value=method.name, reason=described(error))


def _joined(*notes: str) -> str:
    """Notes, each once: what is a part of one before it is left out."""
    kept: list[str] = []
    for note in notes:
        if note and not any(note in before for before in kept):
            kept.append(note)
    return "; ".join(kept)


def _units(name: str, known: Greek | None) -> dict[str, Any]:
    if known is None:
        return {"greek": name}
    return {"greek": name, "unit": known.unit, "desk_greek": desk(known).name, "desk_unit": desk(known).unit}
