"""Independent methods side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from greeks.engine.run import answer
from greeks.engine.sensitivity import _names
from greeks.engine.tasks import GreekResult, GreekTask
from greeks.estimators.base import Estimator
from greeks.estimators.exact import Exact
from greeks.estimators.finite_difference import FiniteDifference
from greeks.estimators.likelihood_ratio import LikelihoodRatio
from greeks.estimators.natural_size import natural_sizes
from greeks.estimators.pathwise import Pathwise
from greeks.greek import STANDARD, greek
from pricers.contracts.contract import Contract
from pricers.engine.estimate import Estimate, student, symmetric, why_unknown
from pricers.engine.plan import Plan
from pricers.market.market import Market
from pricers.models.model import Model
from pricers.models.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Verdict", "crosscheck", "most_certain", "pairs", "threshold", "verdicts"]

FAMILYWISE = 0.01
"""Chance that a table of right numbers shows any "differ" at all."""


def threshold(comparisons: int) -> float:
    """How many standard errors a difference must exceed to count, among so many (Bonferroni, two-sided, 1 % for the table)."""
    from scipy.special import ndtri

    return float(-ndtri(FAMILYWISE / (2.0 * max(comparisons, 1))))


TOLERANCE = 0.1
"""A comparison is too weak to tell where a difference of this share of the Greek's natural size would not have counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How one method's number compares with the reference's.

    Attributes
    ----------
    z : float
        Distance to the reference in paired standard errors, corrected for skewed samples, beyond what the methods' biases explain;
        NaN for the reference itself and where nothing can be compared.
    resolves : float
        The least difference that would have counted, in the Greek's unit.
    verdict : str
        "reference", "agree", "differ", "too weak to tell" or "not comparable".
    reason : str
        Why, where it is one of the last two.
    """

    z: float = math.nan
    resolves: float = math.nan
    verdict: str
    reason: str = ""


def verdicts(
    found: GreekResult, names: Sequence[str], estimators: Sequence[Estimator], limit: float, sizes: Mapping[str, float]
) -> dict[tuple[str, str], Verdict]:
    """Each Greek by each estimator against a reference: the unbiased estimate with the least standard error (an exact one has none).

    An estimate whose error is not known is no reference, and neither agrees nor differs: it is too weak to tell. So is one that agrees
    where a difference of a tenth of the Greek's natural size (``sizes``, see `greeks.estimators.natural_size`) would not have counted.
    """
    table = {}
    for name in names:
        present, usable, reference = _ranked(found, name, estimators)
        for estimator in (e.name for e in estimators):
            key = name, estimator
            if estimator not in present:
                table[key] = Verdict(verdict="not comparable", reason=str(found.refusals[key]))
            elif not math.isfinite(present[estimator].value):
                table[key] = Verdict(verdict="not comparable", reason="the estimate is not finite")
            elif estimator not in usable:
                table[key] = Verdict(verdict="too weak to tell", reason=_why_unresolved(present[estimator]))
            elif estimator == reference:
                alone = len(usable) == 1
                reason = "no second method answers with an error that is known" if alone else ""
                table[key] = Verdict(verdict="not comparable" if alone else "reference", reason=reason)
            else:
                assert reference is not None
                table[key] = _compared(found, name, estimator, reference, limit, sizes.get(name, math.nan))
    return table


def _ranked(found: GreekResult, name: str, estimators: Sequence[Estimator]) -> tuple[dict[str, Estimate], list[str], str | None]:
    """Estimates of a Greek by estimator, those that are known with their error, and the reference."""
    biased = {e.name: not e.unbiased for e in estimators}
    present = {e: found.estimates[name, e] for e in biased if (name, e) in found.estimates}
    usable = [e for e, estimate in present.items() if math.isfinite(estimate.value) and estimate.resolved]
    rank = {e: (biased[e], present[e].stderr, present[e].paths) for e in usable}
    return present, usable, min(usable, key=rank.__getitem__, default=None)


def pairs(found: GreekResult, names: Sequence[str], estimators: Sequence[Estimator]) -> list[tuple[str, str, str]]:
    """What `verdicts` asks of `GreekResult.difference`: Greek, estimator and reference."""
    asked = []
    for name in names:
        _, usable, reference = _ranked(found, name, estimators)
        asked += [(name, one, reference) for one in usable if reference is not None and one != reference]
    return asked


def _why_unresolved(estimate: Estimate) -> str:
    start = estimate.note.find("error not known")
    return estimate.note[start:] if start >= 0 else "error not known"


def _compared(found: GreekResult, name: str, estimator: str, reference: str, limit: float, size: float) -> Verdict:
    """A number against the reference, on their common paths.

    Where the paths do not tell the error of the difference, as when both methods pay alike on almost all of them, it is taken to be the sum
    of both errors, which it never exceeds.
    """
    one, other = found.estimates[name, estimator], found.estimates[name, reference]
    if one.estimator == other.estimator:  # a choice may have become the method that it is held against
        return Verdict(verdict="not comparable", reason=f"{one.estimator} makes both numbers")
    gap = found.difference(name, estimator, reference)
    sampled = math.isfinite(one.effective) or math.isfinite(other.effective)
    if sampled and why_unknown(gap, max(one.paths, other.paths)):
        gap = gap._replace(stderr=one.stderr + other.stderr, skewness=0.0)
    spreads = found.spread(name, estimator), found.spread(name, reference)
    rounding = _ROUNDING * max(abs(one.value), abs(other.value), *spreads, 1e-300)
    biases = _biases(found, name, estimator, reference)
    if any(math.isnan(size) for size, _ in biases):
        return Verdict(verdict="too weak to tell", reason="a bias is not known")
    stderr, bias = max(math.hypot(gap.stderr, *(error for _, error in biases)), rounding), _BIAS * sum(size for size, _ in biases)
    beyond = math.copysign(max(abs(gap.value) - bias, 0.0), gap.value)
    z, wanted = symmetric(beyond / stderr, gap.skewness), student(limit, gap.degrees)
    resolves = wanted * stderr + bias
    if abs(z) > wanted:
        return Verdict(z=z, resolves=resolves, verdict="differ")
    if resolves > TOLERANCE * size:
        return Verdict(z=z, resolves=resolves, verdict="too weak to tell", reason=f"differences below {resolves:.2g} do not show")
    return Verdict(z=z, resolves=resolves, verdict="agree")


def _biases(found: GreekResult, name: str, *methods: str) -> list[tuple[float, float]]:
    """The methods' biases with their standard errors, as far as they can make the numbers differ.

    Methods on the same paths have the bias of their model's time steps in common, so that it counts only against a formula.
    """
    estimates = [found.estimates[name, method] for method in methods]
    if not all(estimate.paths for estimate in estimates):
        return [(estimate.bias, estimate.bias_stderr) for estimate in estimates]
    steps = [found.step_biases.get((name, method), (0.0, 0.0)) for method in methods]
    return [
        (estimate.bias - bias, math.sqrt(max(estimate.bias_stderr**2 - error**2, 0.0))) if math.isfinite(bias) else (0.0, 0.0)
        for estimate, (bias, error) in zip(estimates, steps, strict=True)
    ]


_BIAS = 2.0
"""A measured bias is known to about this factor."""

_ROUNDING = 1e-9
"""Difference that two methods may have by rounding or quadrature alone, relative to their values or to what cancels in them."""


def most_certain(found: GreekResult) -> dict[str, float]:
    """For each Greek the estimate of least known error."""
    best: dict[str, Estimate] = {}
    for (name, _), estimate in found.estimates.items():
        if estimate.resolved and (name not in best or estimate.stderr + estimate.bias < best[name].stderr + best[name].bias):
            best[name] = estimate
    return {name: estimate.value for name, estimate in best.items()}


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
    hundred times at most. "Too weak to tell" is an agreement that a difference of a tenth of the Greek's natural size (what it would take
    to move the value as much as the largest Greek of the table does, for usual changes of the parameters) would not have broken, and
    whatever has an error that is not known.

    Parameters
    ----------
    contract, model, market, greeks, plan, threads
        See `sensitivities`.
    estimators : sequence of Estimator, optional
        By default all: likelihood ratio, pathwise, finite difference, exact.

    Returns
    -------
    DataFrame
        greek, estimator, value, stderr, z, verdict ("reference", "agree", "differ", "too weak to tell", "not comparable"), resolves (the
        least difference that would have counted), unit, note (bump of a finite difference; why not comparable).
    """
    import pandas as pd

    methods = tuple(estimators) if estimators is not None else (LikelihoodRatio(), Pathwise(), FiniteDifference(), Exact())
    plan = plan if plan is not None else Plan()
    wanted = tuple(greek(name, model) for name in _names(greeks))
    task = GreekTask(contract=contract, scenario=Scenario(model=model, market=market), greeks=wanted, estimators=methods)
    (found,) = answer([task], plan, threads=threads)
    if isinstance(found, Exception):
        raise found
    names = [g.name for g in wanted]
    comparisons = sum(max(sum((n, m.name) in found.estimates for m in methods) - 1, 0) for n in names)
    sizes = natural_sizes(most_certain(found), wanted, contract, task.scenario)
    judged = verdicts(found, names, methods, threshold(comparisons), sizes)
    rows = []
    for g in wanted:
        for method in methods:
            estimate, verdict = found.estimates.get((g.name, method.name)), judged[g.name, method.name]
            value, stderr, note = (
                (estimate.value, estimate.stderr, estimate.note) if estimate else (float("nan"), float("nan"), "")
            )
            if verdict.reason and verdict.reason not in note:
                note = f"{note}; {verdict.reason}" if note else verdict.reason
            rows.append((g.name, method.name, value, stderr, verdict.z, verdict.verdict, verdict.resolves, g.unit, note))
    columns = ["greek", "estimator", "value", "stderr", "z", "verdict", "resolves", "unit", "note"]
    return pd.DataFrame(rows, columns=columns)
