"""What a path-step costs, stage by stage and in all, beside a kernel written in C for this one contract."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

import greeks.engine.sampler
import pricers.engine.simulation
import pricers.models.gbm.gbm
from benchmarks import c_kernel
from benchmarks.report import Check, Report, Table
from benchmarks.settings import Settings
from benchmarks.stopwatch import stopwatch
from benchmarks.timing import timed
from benchmarks.workloads import MARKET, STRIKE, VOL, heston
from greeks import LikelihoodRatio, Sensitivities, sensitivities
from pricers import GBM, Asian, Plan, schedule
from pricers.models.heston.conditional_normal import ConditionalNormal
from pricers.models.model import Model
from pricers.random_numbers.path_block import Block
from pricers.random_numbers.philox import normals

TITLE = "What does a path-step cost? (Asian call, 52 dates, price and likelihood-ratio delta, vega, rho with errors)"
DATES, PATHS = 52, 2**19
GREEKS = ("price", "delta", "vega", "rho")
HESTON_GREEKS = ("price", "delta", "rho", "d_v0", "d_kappa", "d_theta", "d_xi", "d_rho")
CONTRACT = Asian(option="call", strike=STRIKE, fixings=schedule(DATES, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of a run, without the stages that it calls."""

    stage: str
    ns_per_path_step: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """One way to the same four numbers."""

    what: str
    threads: int
    cpu_ns_per_path_step: float
    wall_ns_per_path_step: float
    ratio_to_c: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """The same Greek twice, from independent paths."""

    greek: str
    ours: float
    c: float
    distance_in_errors: float


def run(settings: Settings) -> Report:
    """Measure."""
    paths = settings.paths(PATHS)
    model, per_step = GBM(vol=VOL), 1e9 / (paths * DATES)
    plan = Plan(paths=paths, seed=settings.seed)

    def whole(threads: int) -> Sensitivities:
        return _greeks(model, GREEKS, plan, threads)

    found = whole(1)
    times = {threads: timed(partial(whole, threads), repeats=settings.repeats) for threads in (1, 2)}
    notes, checks, agreements, c_cpu = [], [], [], math.nan
    try:
        c = c_kernel.run(paths=paths, dates=DATES, repeats=settings.repeats)
    except c_kernel.Unavailable as why:
        notes.append(f"no C kernel: {why}")
    else:
        c_cpu = c.cpu
        agreements = [_agreement(name, found[name].value, found[name].stderr, *c.estimates[name]) for name in GREEKS]
        worst = max(abs(agreement.distance_in_errors) for agreement in agreements)
        checks.append(Check(what="greatest distance from the C kernel's numbers, in standard errors", found=worst, wanted=4.0))
        checks.append(Check(what="time against the C kernel's, one thread", found=times[1].cpu / c_cpu, wanted=0.7))
    speedup = times[1].wall / times[2].wall
    checks.append(Check(what="two threads against one, wall time", found=speedup, wanted=1.85, least=True))
    wholes = [
        Whole(
            what="ours",
            threads=threads,
            cpu_ns_per_path_step=time.cpu * per_step,
            wall_ns_per_path_step=time.wall * per_step,
            ratio_to_c=time.cpu / c_cpu,
        )
        for threads, time in times.items()
    ]
    if agreements:
        ns = c_cpu * per_step
        wholes.append(Whole(what="C", threads=1, cpu_ns_per_path_step=ns, wall_ns_per_path_step=math.nan, ratio_to_c=1.0))
    tables = [
        Table(title="by stage, one thread, GBM", rows=_stages(partial(whole, 1), model, paths * DATES, DATES, settings)),
        Table(title=f"in all, {paths} paths", rows=wholes),
        Table(title="agreement", rows=agreements),
    ]
    other = heston()
    if other is None:
        notes.append("no Heston model to measure")
    else:
        rows, ratio = _heston_costs(other, times[1].cpu * per_step, settings)
        tables.append(Table(title="by stage, one thread, Heston with all parameter tangents", rows=rows))
        checks.append(Check(what="Heston's path-step (of its own steps) against GBM's", found=ratio, wanted=6.0))
    return Report(question=TITLE, tables=tables, checks=checks, notes=notes)


def _agreement(name: str, value: float, stderr: float, other: float, its: float) -> Agreement:
    return Agreement(greek=name, ours=value, c=other, distance_in_errors=(value - other) / math.hypot(stderr, its))


def _heston_costs(model: Model, gbm: float, settings: Settings) -> tuple[list[Stage], float]:
    plan = Plan(paths=settings.paths(2**16), seed=settings.seed, steps_per_year=DATES * 5)
    steps = len(model.time_grid(CONTRACT.times, plan.steps_per_year))
    rows = _stages(lambda: _greeks(model, HESTON_GREEKS, plan, 1), model, plan.paths * steps, steps, settings)
    cost = rows[-2].ns_per_path_step
    return rows, cost / gbm


def _greeks(model: Model, names: tuple[str, ...], plan: Plan, threads: int) -> Sensitivities:
    return sensitivities(CONTRACT, model, MARKET, greeks=names, estimator=LikelihoodRatio(), plan=plan, threads=threads)


def _stages(run: Callable[[], object], model: Model, path_steps: int, steps: int, settings: Settings) -> list[Stage]:
    """One run taken apart; the last row is that of the normals alone, which a model may draw as it goes."""
    places = (
        (Block, "normals", "normals"),
        (type(model), "paths", "paths, with what scores need"),
        (pricers.models.gbm.gbm._LogNormal, "score", "scores"),
        (ConditionalNormal, "score", "scores"),
        (Asian, "payoff", "payoff"),
        (greeks.engine.sampler.GreekSampler, "sample", "payoff x score"),
        (pricers.engine.simulation, "comoments", "moments"),
        (pricers.engine.simulation, "pool", "moments"),
    )
    rounds = []
    run()
    whole = timed(run, repeats=settings.repeats, warm=False).cpu
    for _ in range(settings.repeats):
        with stopwatch(places) as seconds:
            run()
        rounds.append(seconds)
    least = {name: min(seconds[name] for seconds in rounds) for name in rounds[0]}
    least["the rest"] = whole - sum(least.values())
    found = [Stage(stage=name, ns_per_path_step=1e9 * s / path_steps, share=s / whole) for name, s in least.items()]
    alone = _normals_alone(steps, settings) * (2 if model.kind == "heston" else 1)
    ns = 1e9 * whole / path_steps
    return [
        *found,
        Stage(stage="in all", ns_per_path_step=ns, share=1.0),
        Stage(stage="(normals alone)", ns_per_path_step=alone, share=alone / ns),
    ]


def _normals_alone(steps: int, settings: Settings) -> float:
    """Nanoseconds of one normal, in blocks as large as a run's."""
    out = np.empty((steps, max(2**16 // steps, 256) // 64 * 64))
    seconds = timed(lambda: normals(out, 1, 2, 0, 0, 0), repeats=20 * settings.repeats).cpu
    return 1e9 * seconds / out.size
