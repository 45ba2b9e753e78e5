"""Pilot runs: from `Auto` to the estimators it stands for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from greeks.checks import refusal
from greeks.estimators.auto import Auto, Best, Chosen, Ranked
from greeks.estimators.controlled import Controlled
from greeks.estimators.estimator import PathEstimator
from pricers.errors import NotApplicable
from pricers.estimate import LEAST_EFFECTIVE, Estimate, Statistics
from pricers.exact import exact_greeks
from pricers.plan import Plan
from pricers.sampling.pseudo_random import Automatic, PseudoRandom
from pricers.sampling.sobol import Sobol

if TYPE_CHECKING:
    from greeks.run import Answer, Job

__all__ = ["chosen", "nominal_cost", "sampling"]

Run = Callable[[Sequence["Job"], Plan], Sequence["Answer | Exception"]]
Prepare = Callable[[Sequence["Job"], Plan], Sequence["Job"]]
Rankings = dict[str, tuple[Ranked, ...]]
"""By Greek, best first."""

_FIRST, _SECOND = 0.05, 0.1
"""What a round may cost, as a part of the cheapest run that it may choose: the first, in which all candidates are, and the second, between
those that may be best."""

_BLIND = 0.25
"""What further rounds may cost where no candidate's error is known yet."""

_GROWTH = 4
"""How many times as many paths such a round has."""

_SAMPLING, _MOST_SAMPLING = 1 / 16, 2**14
"""Paths of the pilot that compares samplings: a part of the run's, and at most."""

_FEWEST = 1024
"""Paths of a first round, whatever it costs: with fewer a variance is not known at all."""

_CONTENDS = 4.0
"""How much more than the best of the first round a candidate may cost and still be in the second."""

_ROUND = 1.5e6
"""Nominal nanoseconds of a round of any size."""

_PER_PATH = 15.0
"""Nominal nanoseconds of a path of any model: its moments and its share of what a block takes."""

_SEEN, _CARRIED = 4.0, 60.0
"""How many paths of the pilot, and by that of the run, must carry a number for its error to be known in the end."""

_FEW, _FEWEST_RARE = 300.0, 2**12
"""With fewer paths of the run carrying a Greek a search for a better law is tried; paths of its pilot, and of the smallest such run."""

_UNSEEN = 30.0
"""How much smaller than they are a pilot may take the variances that controls leave of a payoff that jumps: controls explain it except
on the paths that jump, and few of these are in a pilot. (Measured: barriers that one path in a thousand touches.)"""

_ROUNDING = 1e-12
"""What of a number is no error but rounding."""


def chosen(jobs: Sequence[Job], plan: Plan, run: Run, prepare: Prepare) -> list[Job]:
    """The jobs with every `Auto` and `Best` replaced by what was chosen for it.

    ``run`` is how pilots are run, ``prepare`` how estimators are prepared that need it (`PathEstimator.prepared`).
    """
    wanting = [(p, e, _formulas(jobs[p], e)) for p, job in enumerate(jobs) for e in job.estimators if isinstance(e, Auto | Best)]
    left = {p: tuple(g for g in jobs[p].greeks if g.name not in known) for p, _, known in wanting}
    asked = [replace(job, greeks=left.get(p, job.greeks)) for p, job in enumerate(jobs)]
    tried = {p: tuple(c for c in _auto(e).candidates if _answers(c, asked[p], plan)) for p, e, _ in wanting if left[p]}
    rankings: dict[int, Rankings | Exception] = {p: {g.name: () for g in left[p]} for p, able in tried.items() if not able}
    tried = {p: able for p, able in tried.items() if able}
    if tried:
        rankings |= _compared(asked, tried, plan, {p: _auto(e).pilot for p, e, _ in wanting}, run)
        rivals = {p: rival for p, e, _ in wanting if p in tried and (rival := _auto(e).rare) is not None}
        _rare_events(asked, rivals, rankings, plan, run, prepare)
    result = list(jobs)
    for p, estimator, known in wanting:
        found = rankings.get(p, {})
        failed = found if isinstance(found, Exception) else None
        choice = Chosen(estimator.name, {} if isinstance(found, Exception) else found, known, failed)
        result[p] = replace(result[p], estimators=tuple(choice if e is estimator else e for e in result[p].estimators))
    return result


def sampling(job: Job, plan: Plan, run: Run) -> Plan:
    """The plan with scrambled Sobol points, where it leaves the sampling open and a pilot finds that they are worth it.

    For every Greek that the job's `Chosen` estimator samples, the pilot runs the chosen method on as many paths of either kind. Sobol
    points are taken where the variance is less than 0.6 times on (geometric) average and nowhere much larger, with an error that is known.
    """
    (chosen,), rivals = job.estimators, Sobol()
    if not (isinstance(plan.sampling, Automatic) and isinstance(chosen, Chosen)):
        return plan
    greeks = tuple(g for g in job.greeks if chosen.ranking.get(g.name))
    size = rivals.fitting(min(max(round(_SAMPLING * plan.paths), 1), _MOST_SAMPLING))
    if not greeks or size > plan.paths / 8 or rivals.fitting(plan.paths) != plan.paths:
        return plan
    pilot = [replace(job, greeks=greeks, stream=f"pilot {job.stream}")]
    found = [run(pilot, replace(plan, paths=size, stderr=None, sampling=way))[0] for way in (PseudoRandom(), rivals)]
    ratios = [_gain(g.name, chosen.name, *found) for g in greeks]
    gained = math.exp(sum(map(math.log, ratios)) / len(ratios)) if min(ratios) > 0.0 else 0.0
    return replace(plan, sampling=rivals) if gained < 0.6 and max(ratios) < 1.5 else plan


def _gain(greek: str, estimator: str, independent: Answer | Exception, even: Answer | Exception) -> float:
    """Variance under evenly spread points over that under independent ones; infinite where either is not known."""
    if isinstance(independent, Exception) or isinstance(even, Exception):
        return math.inf
    one, other = independent.estimates.get((greek, estimator)), even.estimates.get((greek, estimator))
    if one is None or other is None or not (one.resolved and other.resolved):
        return math.inf
    rounding = _ROUNDING * max(abs(one.value), abs(other.value))
    return (max(other.stderr, rounding) / max(one.stderr, rounding, 1e-300)) ** 2


def _auto(estimator: Auto | Best) -> Auto:
    return estimator.auto if isinstance(estimator, Best) else estimator


def _formulas(job: Job, estimator: Auto | Best) -> dict[str, float]:
    """The Greeks that have a formula, where it may be taken; one that breaks down is none."""
    if isinstance(estimator, Auto):
        return {}
    try:
        found = exact_greeks(job.contract, job.scene.model, job.scene.market)
    except (NotApplicable, ArithmeticError, ValueError):
        return {}
    return {g.name: found[g.name] for g in job.greeks if math.isfinite(found.get(g.name, math.nan))}


def _compared(
    jobs: Sequence[Job], tried: dict[int, tuple[PathEstimator, ...]], plan: Plan, most: Mapping[int, int], run: Run
) -> dict[int, Rankings | Exception]:
    """Rankings after a round of pilots, a second between those near the best, and more where no error is known yet.

    How many paths a job's rounds have is for that job alone to say: another job beside it changes neither its pilots nor its choice.
    """
    sizes = {p: _rounded(min(max(_affordable(jobs[p], able, plan), _FEWEST), most[p])) for p, able in tried.items()}
    rankings = _piloted(jobs, tried, plan, sizes, run)
    close = {p: _contenders(found, tried[p]) for p, found in rankings.items() if not isinstance(found, Exception)}
    decisive = {p: _rounded(min(_decisive(jobs[p], near, plan), most[p])) for p, near in close.items() if len(near) > 1}
    second = {p: size for p, size in decisive.items() if size >= 1.5 * sizes[p]}  # with fewer paths it would know no better
    if second:
        _update(rankings, _piloted(jobs, {p: close[p] for p in second}, plan, second, run))
    sizes = {p: size * _GROWTH for p, size in (sizes | second).items()}
    while blind := {p: tried[p] for p, found in rankings.items() if sizes[p] <= _BLIND * plan.paths and _blind(found)}:
        _update(rankings, _piloted(jobs, blind, plan, sizes, run))
        sizes |= {p: sizes[p] * _GROWTH for p in blind}
    return rankings


def _rare_events(
    jobs: Sequence[Job],
    rivals: dict[int, PathEstimator],
    rankings: dict[int, Rankings | Exception],
    plan: Plan,
    run: Run,
    prepare: Prepare,
) -> None:
    """Rank the rivals, which are prepared for it, among the candidates of jobs that rest on few paths."""
    rare = [p for p in rivals if plan.paths >= _FEWEST_RARE and _rests_on_few(rankings[p])]
    ready = prepare([replace(jobs[p], estimators=(rivals[p],)) for p in rare], plan) if rare else []
    tried = {p: tuple(e for e in job.estimators if isinstance(e, PathEstimator)) for p, job in zip(rare, ready, strict=True)}
    for p, found in _piloted(jobs, tried, plan, dict.fromkeys(tried, _FEWEST_RARE), run).items():
        before = rankings[p]
        if not isinstance(found, Exception) and not isinstance(before, Exception):  # a search that fails leaves what there was
            rankings[p] = {g: tuple(sorted((*found.get(g, ()), *ranking), key=_rank)) for g, ranking in before.items()}


def _rests_on_few(found: Rankings | Exception) -> bool:
    """Whether by the best candidate few paths, or nobody knows how many, carry some Greek."""
    return not isinstance(found, Exception) and any(
        ranking and not (ranking[0].known and ranking[0].effective >= _FEW) for ranking in found.values()
    )


def _rounded(size: int) -> int:
    """Down to a power of two, so that jobs of about the same size share a run."""
    return 1 << (max(size, 1).bit_length() - 1)


def _blind(found: Rankings | Exception) -> bool:
    """Whether of some Greek no candidate's error is known."""
    return not isinstance(found, Exception) and any(
        ranking and not any(ranked.known for ranked in ranking) for ranking in found.values()
    )


def _update(rankings: dict[int, Rankings | Exception], found: dict[int, Rankings | Exception]) -> None:
    """Rankings of a further round take the place of those before; candidates that were not in it any more come behind."""
    for p, latest in found.items():
        before = rankings[p]
        assert not isinstance(before, Exception)
        rankings[p] = latest if isinstance(latest, Exception) else _behind(latest, before)


def _answers(candidate: PathEstimator, job: Job, plan: Plan) -> bool:
    try:
        return any(refusal(candidate, greek, job.contract, job.scene, plan) is None for greek in job.greeks)
    except Exception:  # what is wrong with the job is for its own run to say
        return True


def _behind(found: Rankings, before: Rankings) -> Rankings:
    result = {}
    for greek, ranking in found.items():
        names = {ranked.estimator.name for ranked in ranking}
        result[greek] = ranking + tuple(ranked for ranked in before[greek] if ranked.estimator.name not in names)
    return result


def _piloted(
    jobs: Sequence[Job], tried: dict[int, tuple[PathEstimator, ...]], plan: Plan, sizes: Mapping[int, int], run: Run
) -> dict[int, Rankings | Exception]:
    """Rankings by pilots of each job's number of paths, for a run of the plan; jobs with the same number share a run."""
    rankings: dict[int, Rankings | Exception] = {}
    for size in sorted({sizes[p] for p in tried}):
        alike = {p: candidates for p, candidates in tried.items() if sizes[p] == size}
        pilots = [replace(jobs[p], estimators=able, stream=f"pilot {jobs[p].stream}") for p, able in alike.items()]
        small = replace(plan, paths=min(plan.sampling.fitting(size), plan.paths), stderr=None)
        for (p, candidates), found in zip(alike.items(), run(pilots, small), strict=True):
            if isinstance(found, Exception):
                rankings[p] = found
            else:
                rankings[p] = {g.name: _ranked(jobs[p], candidates, g.name, found, plan) for g in jobs[p].greeks}
    return rankings


def _contenders(rankings: Rankings, candidates: tuple[PathEstimator, ...]) -> tuple[PathEstimator, ...]:
    """Those that are near the best for some Greek, or of which nothing is known yet."""
    close = {
        ranked.estimator.name
        for ranking in rankings.values()
        for ranked in ranking
        if not ranked.known or ranked.score <= _CONTENDS * ranking[0].score
    }
    return tuple(candidate for candidate in candidates if candidate.name in close)


def _affordable(job: Job, candidates: tuple[PathEstimator, ...], plan: Plan) -> int:
    """Paths of a first round."""
    simulated = _simulated(job, plan)
    return round(_FIRST * plan.paths * simulated / (simulated + sum(c.work(job.contract) for c in candidates)))


def _decisive(job: Job, candidates: tuple[PathEstimator, ...], plan: Plan) -> int:
    """Paths of a second round."""
    simulated, works = _simulated(job, plan), [c.work(job.contract) for c in candidates]
    return round((_SECOND * plan.paths * (simulated + min(works)) - _ROUND) / (simulated + sum(works)))


def nominal_cost(job: Job, candidate: PathEstimator, plan: Plan) -> float:
    """Nominal nanoseconds of a path of a job by one method, its simulation included."""
    return _simulated(job, plan) + candidate.work(job.contract)


def _simulated(job: Job, plan: Plan) -> float:
    """Nominal nanoseconds of a path itself."""
    by_node, by_date = job.scene.model.work
    times = job.contract.times
    return _PER_PATH + by_node * len(job.scene.model.lattice(times, *plan.steps)) + by_date * len(times)


def _ranked(job: Job, candidates: tuple[PathEstimator, ...], greek: str, found: Answer, plan: Plan) -> tuple[Ranked, ...]:
    """Best first: by variance times cost those whose error the run will know, then the others, structural ones first."""
    simulated = _simulated(job, plan)
    scored = []
    for candidate in candidates:
        estimate = found.estimates.get((greek, candidate.name))
        if estimate is not None:
            known = estimate.resolved or _foreseen(estimate, plan.paths)
            score = _variance(found.statistics(greek, candidate.name), estimate) * (simulated + candidate.work(job.contract))
            if job.contract.jumps and isinstance(candidate, Controlled) and not candidate.structural:
                score *= _UNSEEN
            effective = estimate.effective * plan.paths / estimate.paths
            scored.append(Ranked(candidate, score if math.isfinite(score) else math.inf, known, effective))
    return tuple(sorted(scored, key=_rank))


def _foreseen(estimate: Estimate, paths: int) -> bool:
    """Whether a run of so many paths will know the error, by what a pilot saw."""
    return estimate.effective >= _SEEN and estimate.effective * paths / estimate.paths >= _CARRIED


def _variance(found: Statistics, estimate: Estimate) -> float:
    """Of a path's number; where few paths carry it, it may well be larger than they say."""
    doubt = 1.0 if estimate.resolved else max(LEAST_EFFECTIVE / found.effective, 1.0)
    return (
        max(doubt * found.stderr, _ROUNDING * abs(found.value)) ** 2 * estimate.paths
    )  # without an error, what takes least is best


def _rank(ranked: Ranked) -> tuple[bool, bool, float]:
    return not ranked.known, not ranked.known and not ranked.estimator.structural, ranked.score
