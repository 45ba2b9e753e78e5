"""A second pass for numbers whose error the chosen method did not tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from greeks.engine.tasks import GreekResult, GreekTask
from greeks.estimators.auto import Chosen
from greeks.estimators.base import Estimator, PathEstimator

__all__ = ["fall_back"]


def fall_back(
    tasks: Sequence[GreekTask],
    answers: Sequence[GreekResult | Exception],
    run: Callable[[Sequence[GreekTask]], Sequence[GreekResult | Exception]],
) -> None:
    """Where a chosen method ended without a known error, the first in the pilot's ranking whose error the same paths do tell.

    A pilot foresees whether a run will know an error, and may be wrong: of heavy tails it sees little, and controls that explain a
    pilot may leave what a few paths of the run carry. Then the candidates behind the chosen one run on the same paths. In which order
    they are asked is the pilot's, on paths of its own. The paths of the run decide only whether an error is known, as they do for
    every number, and not by its value or size. Where none is known, the first number stays, without an error.

    Parameters
    ----------
    tasks : sequence of GreekTask
    answers : sequence of GreekResult or Exception
        One for each task; numbers are replaced in place.
    run : callable
        Answers tasks on the paths of the run.
    """
    wanting = [
        (task, answer, estimator, spares)
        for task, answer in zip(tasks, answers, strict=True)
        if not isinstance(answer, Exception)
        for estimator in task.estimators
        if isinstance(estimator, Chosen) and (spares := _spares(task, answer, estimator))
    ]
    asked = [_asked(task, estimator, spares) for task, _, estimator, spares in wanting]
    for (_, answer, estimator, spares), found in zip(wanting, run(asked) if asked else (), strict=True):
        if isinstance(found, Exception):  # what breaks a spare takes nothing from the number that is there
            continue
        for greek, tried in spares.items():
            _take(answer, found, greek, estimator.name, tried)


def _asked(task: GreekTask, estimator: Chosen, spares: Mapping[str, Sequence[PathEstimator]]) -> GreekTask:
    """The spares with all that stands beside the number in the task, so that they can be compared."""
    methods: dict[str, Estimator] = {spare.name: spare for tried in spares.values() for spare in tried}
    methods |= {other.name: other for other in task.estimators if other is not estimator}
    greeks = tuple(greek for greek in task.greeks if greek.name in spares)
    return replace(task, greeks=greeks, estimators=tuple(methods.values()))


def _spares(task: GreekTask, answer: GreekResult, estimator: Chosen) -> dict[str, tuple[PathEstimator, ...]]:
    """For each Greek whose error is not known, the other candidates that may know theirs, in the pilot's order."""
    result = {}
    for greek in task.greeks:
        estimate = answer.estimates.get((greek.name, estimator.name))
        if estimate is None or estimate.resolved or not math.isfinite(estimate.value):
            continue
        others = tuple(
            ranked.estimator
            for ranked in estimator.ranking.get(greek.name, ())[1:]
            if not math.isnan(ranked.effective) and not ranked.estimator.prepares  # NaN: the pilot saw no path that carries it
        )
        if others:
            result[greek.name] = others
    return result


def _take(answer: GreekResult, found: GreekResult, greek: str, name: str, tried: Sequence[PathEstimator]) -> None:
    """The first spare whose error is known makes the number."""
    first = answer.estimates[greek, name]
    for spare in tried:
        estimate = found.estimates.get((greek, spare.name))
        if estimate is not None and estimate.resolved:
            note = (
                f"{first.estimator} was chosen, but the run did not tell its error; {spare.name} on the same paths tells its own"
            )
            answer.adopt(greek, name, found, spare.name, note)
            return
