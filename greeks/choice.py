"""Pilot runs: from `Auto` to the estimators it stands for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from greeks.estimators.auto import Auto, Chosen, Ranked
from greeks.estimators.estimator import PathEstimator
from pricers.plan import Plan

if TYPE_CHECKING:
    from greeks.run import Answer, Job

__all__ = ["chosen"]

Run = Callable[[Sequence["Job"], Plan], Sequence["Answer | Exception"]]
Rankings = dict[str, tuple[Ranked, ...]]

_FIRST, _SECOND = 64, 16
"""A pilot takes one of so many of the plan's paths: at first of every candidate, then of those that may be best."""

_FEWEST = 512, 1024
_CONTENDS = 3.0
"""How much more than the best of the first round a candidate may cost and still be in the second."""

_PER_PATH = 40.0
"""Nominal nanoseconds of a path of any model: its moments and its share of what a block takes."""


def chosen(jobs: Sequence[Job], plan: Plan, run: Run) -> list[Job]:
    """The jobs with every `Auto` replaced by what its pilot chose; ``run`` is how pilots are run."""
    wanting = [(p, auto) for p, job in enumerate(jobs) for auto in job.estimators if isinstance(auto, Auto)]
    if not wanting:
        return list(jobs)
    most = max(auto.pilot for _, auto in wanting)
    sizes = [min(max(plan.paths // share, least), most) for share, least in zip((_FIRST, _SECOND), _FEWEST, strict=True)]
    tried = {p: auto.candidates for p, auto in wanting}
    rankings: dict[int, Rankings] = {p: {} for p in tried}
    for size in sizes:
        for p, found in _piloted(jobs, tried, replace(plan, paths=_fitting(plan, size), stderr=None), run).items():
            rankings[p] = {name: _behind(ranking, rankings[p].get(name, ())) for name, ranking in found.items()}
        tried = {p: close for p in tried if len(close := _contenders(rankings[p], tried[p])) > 1}
        if not tried:
            break
    result = list(jobs)
    for p, auto in wanting:
        choice = Chosen({g.name: rankings[p].get(g.name, ()) for g in jobs[p].greeks})
        result[p] = replace(result[p], estimators=tuple(choice if e is auto else e for e in result[p].estimators))
    return result


def _behind(ranking: tuple[Ranked, ...], before: tuple[Ranked, ...]) -> tuple[Ranked, ...]:
    """A round's ranking, and behind it those that were not in it any more."""
    names = {ranked.estimator.name for ranked in ranking}
    return ranking + tuple(ranked for ranked in before if ranked.estimator.name not in names)


def _fitting(plan: Plan, size: int) -> int:
    return min(plan.sampling.fitting(size), plan.paths)


def _piloted(jobs: Sequence[Job], tried: dict[int, tuple[PathEstimator, ...]], plan: Plan, run: Run) -> dict[int, Rankings]:
    pilots = [replace(jobs[p], estimators=candidates, stream=f"pilot {jobs[p].stream}") for p, candidates in tried.items()]
    return {
        p: {}
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


def _ranked(job: Job, candidates: tuple[PathEstimator, ...], greek: str, found: Answer, plan: Plan) -> tuple[Ranked, ...]:
    by_node, by_date = job.scene.model.work
    times = job.contract.times
    paths = _PER_PATH + by_node * len(job.scene.model.lattice(times, plan.steps_per_year)) + by_date * len(times)
    scored = []
    for candidate in candidates:
        estimate = found.estimates.get((greek, candidate.name))
        if estimate is not None:
            score = estimate.stderr**2 * estimate.paths * (paths + candidate.work(job.contract))
            scored.append(Ranked(candidate, score if math.isfinite(score) else math.inf))
    return tuple(sorted(scored, key=lambda ranked: ranked.score))
