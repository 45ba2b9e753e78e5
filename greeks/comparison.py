"""Independent methods side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from greeks.estimators.estimator import Estimator, Scene
from greeks.estimators.exact import Exact
from greeks.estimators.finite_difference import FiniteDifference
from greeks.estimators.likelihood_ratio import LikelihoodRatio
from greeks.estimators.pathwise import Pathwise
from greeks.greek import STANDARD, greek
from greeks.run import Answer, Job, answer
from greeks.sensitivity import _names
from pricers.contracts.contract import Contract
from pricers.market import Market
from pricers.models.model import Model
from pricers.plan import Plan

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Verdict", "crosscheck", "threshold", "verdicts"]

FAMILYWISE = 0.01
"""Chance that a table of right numbers shows any "differ" at all."""


def threshold(comparisons: int) -> float:
    """How many standard errors a difference must exceed to count, among so many (Bonferroni, two-sided, 1 % for the table)."""
    from scipy.special import ndtri

    return float(-ndtri(FAMILYWISE / (2.0 * max(comparisons, 1))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one method's number is worth beside the reference's.

    Attributes
    ----------
    z : float
        Distance to the reference in paired standard errors (or in the order of a finite difference's bias, where that is
        larger); NaN for the reference itself and where nothing can be compared.
    resolves : float
        The least difference that would have been called one, in the Greek's unit.
    verdict : str
        "reference", "agree", "differ" or "not comparable".
    reason : str
        Why, where not comparable.
    """

    z: float = float("nan")
    resolves: float = float("nan")
    verdict: str
    reason: str = ""


def verdicts(
    found: Answer, names: Sequence[str], estimators: Sequence[Estimator], limit: float
) -> dict[tuple[str, str], Verdict]:
    """Each Greek by each estimator against a reference: the unbiased estimate with the least standard error (an exact one has none)."""
    biased = {e.name: not e.unbiased for e in estimators}
    table = {}
    for name in names:
        present = [e for e in biased if (name, e) in found.estimates]
        usable = [e for e in present if math.isfinite(found.estimates[name, e].value + found.estimates[name, e].stderr)]
        rank = {e: (biased[e], found.estimates[name, e].stderr, found.estimates[name, e].paths) for e in usable}
        reference = min(usable, key=rank.__getitem__, default=None)
        for estimator in biased:
            key = name, estimator
            if estimator not in present:
                table[key] = Verdict(verdict="not comparable", reason=str(found.refusals[key]))
            elif estimator not in usable or reference is None:
                table[key] = Verdict(verdict="not comparable", reason="the estimate is not finite")
            elif estimator == reference:
                alone = len(usable) == 1
                reason = "no second method answers" if alone else ""
                table[key] = Verdict(verdict="not comparable" if alone else "reference", reason=reason)
            else:
                table[key] = _compared(found, name, estimator, reference, limit)
    return table


def _compared(found: Answer, name: str, estimator: str, reference: str, limit: float) -> Verdict:
    gap, stderr = found.difference(name, estimator, reference)
    one, other = found.estimates[name, estimator], found.estimates[name, reference]
    spreads = found.spread(name, estimator), found.spread(name, reference)
    rounding = _ROUNDING * max(abs(one.value), abs(other.value), *spreads, 1e-300)
    stderr = max(stderr, rounding, one.bias, other.bias)
    agree = abs(gap) <= limit * stderr
    if not agree and any(_rests_on_few(found, name, method) for method in (estimator, reference)):
        return Verdict(verdict="not comparable", reason="too few paths carry the number for its error to be known")
    return Verdict(z=gap / stderr, resolves=limit * stderr, verdict="agree" if agree else "differ")


def _rests_on_few(found: Answer, name: str, estimator: str) -> bool:
    """Whether a handful of paths, or none, makes an estimate: then its standard error says nothing, and no difference is shown.

    Seen in the batch means: all alike, or one that has most of their variance or lies beyond 5.5 of their deviations.
    """
    means, counts = found.batches(name, estimator)
    if not len(means):
        return False
    squares = counts * (means - np.average(means, weights=counts)) ** 2
    total, worst = squares.sum(), squares.max()
    alike = total <= counts.sum() * (1e-12 * np.abs(means).max()) ** 2
    return bool(alike or worst > min(0.5, 30.0 / len(means)) * total)


_ROUNDING = 1e-9
"""Difference that two methods may have by rounding or quadrature alone, relative to their values or to what cancels in them."""


def crosscheck(
    contract: Contract,
    model: Model,
    market: Market,
    *,
    greeks: Sequence[str] = STANDARD,
    estimators: Sequence[Estimator] | None = None,
    plan: Plan | None = None,
    threads: int | None = None,
) -> pd.DataFrame:
    """Every Greek by every method that applies, all on the same paths.

    Differences are measured in units of their *paired* standard error (the methods share paths, so their errors are correlated)
    against a reference: the exact value where there is one, or else the unbiased estimate with the least standard error. A
    "differ" needs more standard errors the more comparisons the table makes, so that a table of right numbers shows one in a
    hundred times at most.

    Parameters
    ----------
    contract, model, market, greeks, plan, threads
        See `sensitivities`.
    estimators : sequence of Estimator, optional
        By default all: likelihood ratio, pathwise, finite difference, exact.

    Returns
    -------
    DataFrame
        greek, estimator, value, stderr, z, verdict ("reference", "agree", "differ", "not comparable"), resolves (the least
        difference that would have been called one), unit, note (bump of a finite difference; why not comparable).
    """
    import pandas as pd

    methods = tuple(estimators) if estimators is not None else (LikelihoodRatio(), Pathwise(), FiniteDifference(), Exact())
    plan = plan if plan is not None else Plan()
    wanted = tuple(greek(name, model) for name in _names(greeks))
    job = Job(contract=contract, scene=Scene(model=model, market=market), greeks=wanted, estimators=methods)
    (found,) = answer([job], plan, threads=threads)
    if isinstance(found, Exception):
        raise found
    names = [g.name for g in wanted]
    comparisons = sum(max(sum((n, m.name) in found.estimates for m in methods) - 1, 0) for n in names)
    judged = verdicts(found, names, methods, threshold(comparisons))
    rows = []
    for g in wanted:
        for method in methods:
            estimate, verdict = found.estimates.get((g.name, method.name)), judged[g.name, method.name]
            value, stderr, note = (
                (estimate.value, estimate.stderr, estimate.note) if estimate else (float("nan"), float("nan"), "")
            )
            rows.append(
                (g.name, method.name, value, stderr, verdict.z, verdict.verdict, verdict.resolves, g.unit, note or verdict.reason)
            )
    columns = ["greek", "estimator", "value", "stderr", "z", "verdict", "resolves", "unit", "note"]
    return pd.DataFrame(rows, columns=columns)
