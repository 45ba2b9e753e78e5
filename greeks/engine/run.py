"""From tasks to answers: what to sample for each contract, and what its moments say."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from greeks.engine.discretisation import add_biases
from greeks.engine.fallback import fall_back
from greeks.engine.pilot import chosen
from greeks.engine.resolution import resolve
from greeks.engine.sampler import GreekSampler, Shared
from greeks.engine.tasks import GreekResult, GreekTask
from greeks.estimators.auto import Chosen
from greeks.estimators.base import Estimator, PathEstimator, SampleSpec
from greeks.estimators.exact import Exact
from greeks.greek import Greek
from pricers.engine.estimate import Estimate, Moments
from pricers.engine.plan import Plan
from pricers.engine.simulation import simulate
from pricers.errors import NotApplicable

__all__ = ["answer", "prepared"]

FloatArray = npt.NDArray[np.float64]


def answer(
    tasks: Sequence[GreekTask],
    plan: Plan,
    *,
    threads: int | None = None,
    keep_going: bool = False,
    progress: Callable[[int, int], None] | None = None,
    pilot: bool = False,
) -> list[GreekResult | Exception]:
    """Every Greek of every task by each of its estimators, on shared paths.

    Parameters
    ----------
    tasks : sequence of GreekTask
    plan : Plan
    threads, keep_going, progress
        See `pricers.engine.simulation.simulate`.
    pilot : bool
        Whether the run is there to choose estimators (see `greeks.engine.resolution.resolve`); the bias of a model's time steps is not
        measured.

    Returns
    -------
    list
        A `GreekResult` for each task, or the exception that stopped it (where ``keep_going``).
    """

    def run(pilots: Sequence[GreekTask], small: Plan) -> list[GreekResult | Exception]:
        return answer(pilots, small, threads=threads, keep_going=True, pilot=True)

    tasks = chosen(tasks, plan, run, partial(prepared, threads=threads))
    tasks = prepared(tasks, plan, threads=threads)
    shared = Shared()
    samplers = [_sampler(task, plan, shared, keep_going) for task in tasks]
    sampled = {p: sampler for p, sampler in enumerate(samplers) if isinstance(sampler, GreekSampler) and sampler.sample_specs}
    simulated = simulate(list(sampled.values()), plan, threads=threads, keep_going=keep_going, progress=progress)
    moments = dict(zip(sampled, simulated, strict=True))
    answers: list[GreekResult | Exception] = []
    for position, (task, sampler) in enumerate(zip(tasks, samplers, strict=True)):
        if isinstance(sampler, Exception):
            answers.append(sampler)
            continue
        found = moments.get(position, [])
        if isinstance(found, Exception):
            answers.append(found)
            continue
        try:
            answers.append(_answer(task, sampler, found, plan, pilot))
        except Exception as error:
            if not keep_going:
                raise
            answers.append(error)
    if not pilot:
        add_biases(list(zip(tasks, samplers, answers, strict=True)), plan, threads=threads)
        fall_back(tasks, answers, lambda spares: answer(spares, plan, threads=threads, keep_going=True))
    return answers


def prepared(tasks: Sequence[GreekTask], plan: Plan, *, threads: int | None = None) -> list[GreekTask]:
    """The tasks with every estimator after what it has to find out before a run: see `PathEstimator.prepared`."""

    def ready(task: GreekTask) -> GreekTask:
        return replace(task, estimators=tuple(_ready(estimator, task, plan) for estimator in task.estimators))

    waiting = [p for p, task in enumerate(tasks) if any(isinstance(e, PathEstimator) and e.prepares for e in task.estimators)]
    result, workers = list(tasks), min(threads if threads is not None else os.cpu_count() or 1, len(waiting))
    if workers > 1:
        with ThreadPoolExecutor(workers, thread_name_prefix="greeks") as pool:
            found = list(pool.map(ready, (tasks[p] for p in waiting)))
    else:
        found = [ready(tasks[p]) for p in waiting]
    for p, task in zip(waiting, found, strict=True):
        result[p] = task
    return result


def _ready(estimator: Estimator, task: GreekTask, plan: Plan) -> Estimator:
    if not isinstance(estimator, PathEstimator) or not estimator.prepares:
        return estimator
    return estimator.prepared(task.contract, task.scenario, plan, stream=task.stream, time_grid=task.grid(plan))


def _sampler(task: GreekTask, plan: Plan, shared: Shared, keep_going: bool) -> GreekSampler | Exception:
    try:
        return GreekSampler(task, plan, shared)
    except Exception as error:
        if not keep_going:
            raise
        return error


def _answer(task: GreekTask, sampler: GreekSampler, moments: list[Moments], plan: Plan, pilot: bool) -> GreekResult:
    result = GreekResult(refusals=dict(sampler.refusals))
    by_name = dict(zip(sampler.greeks, moments, strict=False))
    result._moments.update(by_name)
    for greek in task.greeks:
        for estimator in task.estimators:
            key = greek.name, estimator.name
            if isinstance(estimator, Exact):
                try:
                    value = estimator.value(greek, task.contract, task.scenario)
                except NotApplicable as refusal:
                    result.refusals[key] = refusal
                else:
                    result.estimates[key] = by_formula(greek, value)
            elif isinstance(estimator, Chosen) and greek.name in estimator.formulas:
                result.estimates[key] = by_formula(greek, estimator.formulas[greek.name])
            elif key in sampler.sample_specs:
                result._weights[key], result.estimates[key] = _sampled(
                    task, greek, estimator, sampler, by_name[greek.name], plan, pilot
                )
    return result


def _sampled(
    task: GreekTask, greek: Greek, estimator: Estimator, sampler: GreekSampler, moments: Moments, plan: Plan, pilot: bool
) -> tuple[FloatArray, Estimate]:
    """What the rows of an estimator say, and how they are weighted."""
    sample_spec, row = sampler.sample_specs[greek.name, estimator.name], sampler.rows[estimator.name]
    method = estimator.method(greek.name) if isinstance(estimator, Chosen) else estimator
    found = resolve(moments, row, sample_spec, greek, task.contract, task.scenario, plan.paths, pilot=pilot)
    statistics, doubt = found.statistics, _doubt(moments, row, sample_spec)
    if doubt:
        statistics = statistics._replace(stderr=math.nan)
    bias, bias_stderr = _bias(moments, row + 1 + sample_spec.controls, sample_spec, statistics.value)
    return found.weights, Estimate(
        greek=greek.name,
        value=statistics.value,
        stderr=statistics.stderr,
        paths=plan.paths,
        unit=greek.unit,
        estimator=(method or estimator).name,
        note="; ".join(note for note in (sample_spec.note, doubt, found.note) if note),
        bias=bias,
        bias_stderr=bias_stderr,
        skewness=statistics.skewness,
        degrees=statistics.degrees,
        effective=statistics.effective,
    )


def _doubt(group: Moments, row: int, sample_spec: SampleSpec) -> str:
    """Why the error of a reweighted estimate is not known; "" where it is."""
    if sample_spec.reweighting is None:
        return ""
    return sample_spec.reweighting.verdict(group, row + sample_spec.rows - sample_spec.reweighting.rows)


def _bias(group: Moments, row: int, sample_spec: SampleSpec, value: float) -> tuple[float, float]:
    """Size of the bias, by the rows that measure it from ``row`` on, and its standard error."""
    size, variance = sample_spec.relative_bias * abs(value), 0.0
    for count in sample_spec.bias_rows:
        alone = [group.only(r) for r in range(row, row + count)]
        means = [abs(group.value(weights)) for weights in alone]
        largest = max(range(count), key=means.__getitem__)
        size, variance, row = size + means[largest], variance + group.stderr(alone[largest]) ** 2, row + count
    return size, math.sqrt(variance)


def by_formula(greek: Greek, value: float) -> Estimate:
    """A formula's number as an estimate."""
    return Estimate(greek=greek.name, value=value, stderr=0.0, paths=0, unit=greek.unit, estimator=Exact.name)
