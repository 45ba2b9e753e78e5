"""What a run as a whole amounts to, in plain words: whether anything differs, fails, is too noisy to tell or has no known error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from greeks.portfolio.totals import NOISE
from greeks.report.numerals import measured

if TYPE_CHECKING:
    from greeks.portfolio.batch import BookRun

__all__ = ["NEARLY_NOTHING", "Judgement", "judged"]

NEARLY_NOTHING = 0.05
"""Up to this share of comparisons may be too weak to tell in a run that is called good."""

_MOST_NAMED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How a run turned out.

    Attributes
    ----------
    level : {"good", "mild", "bad"}
        Bad where numbers differ, mild where anything else is wrong.
    sentences : tuple of str
        What is wrong, or that nothing is.
    noisy : tuple of str
        Totals whose error is large beside what they amount to, each with its error.
    """

    level: str
    sentences: tuple[str, ...]
    noisy: tuple[str, ...] = ()


def judged(run: BookRun) -> Judgement:
    """The verdict on a run: good only where nothing differs, nearly all comparisons can tell, and every number and error is there.

    It is bad where a number differs from its check, or from the likelihood ratio beside it. It is mild where a trade has no number, where
    a number's error is not known, where more than 5 % of the comparisons are too weak to tell (`NEARLY_NOTHING`), where a total's error
    is over a tenth of its size (`greeks.portfolio.totals.NOISE`), or where nothing was compared.
    """
    bad, noisy = _differences(run), _noisy(run)
    mild = [*_gaps(run), *_weakness(run)]
    if noisy:
        more = f" and {len(noisy) - _MOST_NAMED} more" if len(noisy) > _MOST_NAMED else ""
        named = "; ".join(noisy[:_MOST_NAMED]) + more
        mild.append(
            f"{_counted(len(noisy), 'total is', 'totals are')} noisy, with an error over {100.0 * NOISE:g} % of their size: {named}."
        )
    if bad or mild:
        return Judgement(level="bad" if bad else "mild", sentences=(*bad, *mild), noisy=noisy)
    return Judgement(level="good", sentences=(_praise(run),))


def _differences(run: BookRun) -> list[str]:
    differ, told = run.verdicts.get("differ", 0), run.verdicts.get("agree", 0) + run.verdicts.get("differ", 0)
    text = []
    if differ:
        text.append(f"{differ:,} of {told:,} comparisons differ by more than {run.limit:.2f} paired standard errors.")
    if beside := run.witness.get("differ", 0):
        text.append(
            f"The likelihood ratio's number differs from the one it stands beside in {_counted(beside, 'case', 'cases')}."
        )
    return text


def _gaps(run: BookRun) -> list[str]:
    text = []
    if run.failed:
        text.append(f"{run.failed:,} of {run.rows:,} trades have no number.")
    if run.unresolved:
        text.append(
            f"{_counted(run.unresolved, 'number has', 'numbers have')} no known error; the errors of totals are without them."
        )
    return text


def _weakness(run: BookRun) -> list[str]:
    weak, agree = run.verdicts.get("too weak to tell", 0), run.verdicts.get("agree", 0)
    compared = weak + agree + run.verdicts.get("differ", 0)
    if not compared:
        return ["No number was held against a second method."] if run.priced else []
    if weak <= NEARLY_NOTHING * compared:
        return []
    return [
        f"{weak:,} of {compared:,} comparisons are too weak to tell: a difference of a tenth of the Greek's size would not show."
    ]


def _praise(run: BookRun) -> str:
    weak, agree = run.verdicts.get("too weak to tell", 0), run.verdicts.get("agree", 0)
    if not agree:
        return "There is nothing to compare."
    against = "the reference" if run.kind == "crosscheck" else "an independent method"
    told = f"{agree:,} comparisons with {against} agree within {run.limit:.2f} paired standard errors, none differs"
    rest = f"; {_counted(weak, 'further one is', 'further ones are')} too weak to tell" if weak else ""
    return f"{told}{rest}. Every trade has its numbers, and every number its error."


def _noisy(run: BookRun) -> tuple[str, ...]:
    """The totals by book and of all whose errors are large, the whole first; by underlying where there are several."""
    totals = run.totals
    if not len(totals):
        return ()
    several = totals.loc[totals["level"] == "underlying", "underlying"].nunique() > 1
    levels = ("all", "book", "underlying") if several else ("all", "book")
    found = []
    for level in levels:
        rows = totals[(totals["level"] == level) & totals["noisy"].astype(bool)]
        for row in rows.to_dict("records"):
            of = row["book"] or row["underlying"] or "all"
            value, stderr = measured(row["desk_value"], row["desk_stderr"])
            found.append(f"{row['desk_greek']} of {of} {value} ± {stderr}")
    return tuple(found)


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
