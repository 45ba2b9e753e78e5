"""Pilot runs: from `Auto` to the estimators it stands for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from greeks.estimators.auto import Auto, Chosen, Ranked
from pricers.plan import Plan

if TYPE_CHECKING:
    from greeks.run import Answer, Job

__all__ = ["chosen"]

Run = Callable[[Sequence["Job"], Plan], Sequence["Answer | Exception"]]


def chosen(jobs: Sequence[Job], plan: Plan, run: Run) -> list[Job]:
    """The jobs with every `Auto` replaced by what its pilot chose; ``run`` is how pilots are run."""
    wanting = [(p, auto) for p, job in enumerate(jobs) for auto in job.estimators if isinstance(auto, Auto)]
    if not wanting:
        return list(jobs)
    pilots = [replace(jobs[p], estimators=auto.candidates, stream=f"pilot {jobs[p].stream}") for p, auto in wanting]
    paths = max(auto.pilot for _, auto in wanting)
    small = replace(plan, paths=min(plan.sampling.fitting(paths), plan.paths), stderr=None)
    result = list(jobs)
    for (p, auto), found in zip(wanting, run(pilots, small), strict=True):
        ranking = {} if isinstance(found, Exception) else {g.name: _ranked(auto, g.name, found) for g in jobs[p].greeks}
        choice = Chosen({g.name: ranking.get(g.name, ()) for g in jobs[p].greeks})
        result[p] = replace(result[p], estimators=tuple(choice if e is auto else e for e in result[p].estimators))
    return result


def _ranked(auto: Auto, greek: str, found: Answer) -> tuple[Ranked, ...]:
    scored = []
    for candidate in auto.candidates:
        estimate = found.estimates.get((greek, candidate.name))
        if estimate is not None:
            score = estimate.stderr**2 * estimate.paths * candidate.cost
            scored.append(Ranked(candidate, score if math.isfinite(score) else math.inf))
    return tuple(sorted(scored, key=lambda ranked: ranked.score))
