"""Pilot runs: from `Auto` to the estimators it stands for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from greeks.checks import refusal
from greeks.estimators.auto import Auto, Chosen, Ranked
from greeks.estimators.estimator import PathEstimator
from pricers.plan import Plan

if TYPE_CHECKING:
    from greeks.run import Answer, Job

__all__ = ["chosen"]

Run = Callable[[Sequence["Job"], Plan], Sequence["Answer | Exception"]]
Rankings = dict[str, tuple[Ranked, ...]]
"""By Greek, best first."""

_FIRST, _SECOND = 0.05, 0.1
"""What a round may cost, as a part of the cheapest run that it may choose: the first, in which all candidates are, and the second, between
those that may be best."""

_FEWEST = 1024
"""Paths of a first round, whatever it costs: with fewer a variance is not known at all."""

_CONTENDS = 4.0
"""How much more than the best of the first round a candidate may cost and still be in the second."""

_ROUND = 1.5e6
"""Nominal nanoseconds of a round of any size."""

_PER_PATH = 15.0
"""Nominal nanoseconds of a path of any model: its moments and its share of what a block takes."""

_ROUNDING = 1e-12
"""What of a number is no error but rounding."""


def chosen(jobs: Sequence[Job], plan: Plan, run: Run) -> list[Job]:
    """The jobs with every `Auto` replaced by what its pilot chose; ``run`` is how pilots are run."""
    wanting = [(p, auto) for p, job in enumerate(jobs) for auto in job.estimators if isinstance(auto, Auto)]
    if not wanting:
        return list(jobs)
    tried = {p: tuple(c for c in auto.candidates if _answers(c, jobs[p], plan)) for p, auto in wanting}
    rankings: dict[int, Rankings | Exception] = {
        p: {g.name: tuple(Ranked(c, 0.0) for c in able) for g in jobs[p].greeks} for p, able in tried.items() if len(able) < 2
    }
    tried = {p: able for p, able in tried.items() if p not in rankings}  # elsewhere there is nothing to choose
    if tried:
        rankings |= _compared(jobs, tried, plan, max(auto.pilot for _, auto in wanting), run)
    result = list(jobs)
    for p, auto in wanting:
        found = rankings[p]
        choice = Chosen({}, failed=found) if isinstance(found, Exception) else Chosen(found)
        result[p] = replace(result[p], estimators=tuple(choice if e is auto else e for e in result[p].estimators))
    return result


def _compared(
    jobs: Sequence[Job], tried: dict[int, tuple[PathEstimator, ...]], plan: Plan, most: int, run: Run
) -> dict[int, Rankings | Exception]:
    """Rankings after one round of pilots or two, of at most so many paths."""
    first = min(max(min(_affordable(jobs[p], candidates, plan) for p, candidates in tried.items()), _FEWEST), most)
    rankings = _piloted(jobs, tried, replace(plan, paths=_fitting(plan, first), stderr=None), run)
    close = {p: _contenders(found, tried[p]) for p, found in rankings.items() if not isinstance(found, Exception)}
    sizes = {p: min(_decisive(jobs[p], near, plan), most) for p, near in close.items() if len(near) > 1}
    tried = {p: close[p] for p, size in sizes.items() if size >= 1.5 * first}  # with fewer paths it would know no better
    if tried:
        second = _fitting(plan, min(sizes[p] for p in tried))
        for p, found in _piloted(jobs, tried, replace(plan, paths=second, stderr=None), run).items():
            rankings[p] = found if isinstance(found, Exception) else _behind(found, rankings[p])
    return rankings


def _answers(candidate: PathEstimator, job: Job, plan: Plan) -> bool:
    try:
        return any(refusal(candidate, greek, job.contract, job.scene, plan) is None for greek in job.greeks)
    except Exception:  # what is wrong with the job is for its own run to say
        return True


def _behind(found: Rankings, before: Rankings | Exception) -> Rankings:
    """A round's rankings, and behind them those that were not in it any more."""
    assert not isinstance(before, Exception)
    result = {}
    for greek, ranking in found.items():
        names = {ranked.estimator.name for ranked in ranking}
        result[greek] = ranking + tuple(ranked for ranked in before[greek] if ranked.estimator.name not in names)
    return result


def _fitting(plan: Plan, size: int) -> int:
    return min(plan.sampling.fitting(size), plan.paths)


def _piloted(
    jobs: Sequence[Job], tried: dict[int, tuple[PathEstimator, ...]], plan: Plan, run: Run
) -> dict[int, Rankings | Exception]:
    pilots = [replace(jobs[p], estimators=candidates, stream=f"pilot {jobs[p].stream}") for p, candidates in tried.items()]
    return {
        p: found
        if isinstance(found, Exception)
        else {g.name: _ranked(jobs[p], candidates, g.name, found, plan) for g in jobs[p].greeks}
        for (p, candidates), found in zip(tried.items(), run(pilots, plan), strict=True)
    }


def _contenders(rankings: Rankings, candidates: tuple[PathEstimator, ...]) -> tuple[PathEstimator, ...]:
    """Those that are near the best for some Greek."""
    close = {
        ranked.estimator.name
        for ranking in rankings.values()
        for ranked in ranking
        if ranked.score <= _CONTENDS * ranking[0].score
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


def _simulated(job: Job, plan: Plan) -> float:
    """Nominal nanoseconds of a path itself."""
    by_node, by_date = job.scene.model.work
    times = job.contract.times
    return _PER_PATH + by_node * len(job.scene.model.lattice(times, *plan.steps)) + by_date * len(times)


def _ranked(job: Job, candidates: tuple[PathEstimator, ...], greek: str, found: Answer, plan: Plan) -> tuple[Ranked, ...]:
    paths = _simulated(job, plan)
    scored = []
    for candidate in candidates:
        estimate = found.estimates.get((greek, candidate.name))
        if estimate is not None:
            stderr = max(estimate.stderr, _ROUNDING * abs(estimate.value))  # where there is none, what takes least is best
            score = stderr**2 * estimate.paths * (paths + candidate.work(job.contract))
            scored.append(Ranked(candidate, score if math.isfinite(score) else math.inf))
    return tuple(sorted(scored, key=lambda ranked: ranked.score))
