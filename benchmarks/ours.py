"""The toolkit, measured through its public functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.merit import Measured
from benchmarks.settings import Settings
from benchmarks.timing import timed
from benchmarks.workloads import MARKET, Workload
from greeks import Sensitivities, sensitivities
from greeks.estimators.base import Estimator
from pricers import Plan, PseudoRandom
from pricers.contracts.contract import Contract
from pricers.models.model import Model
from pricers.random_numbers.sampling import Sampling

__all__ = ["measure", "measure_contract"]


def measure(
    workload: Workload,
    estimator: Estimator,
    *,
    paths: int,
    settings: Settings,
    setting: str = "",
    sampling: Sampling = PseudoRandom(),  # noqa: B008
) -> Measured:
    """Price and the workload's Greeks on one thread."""
    model = workload.dynamics
    assert model is not None
    plan = Plan(paths=sampling.fitting(paths), seed=settings.seed, steps_per_year=workload.steps_per_year, sampling=sampling)
    found = measure_contract(workload.contract, model, workload.greeks, estimator, plan=plan, repeats=settings.repeats)
    return replace(found, setting=setting or estimator.name)


def measure_contract(
    contract: Contract,
    model: Model,
    greeks: Sequence[str],
    estimator: Estimator,
    *,
    plan: Plan,
    repeats: int,
    price: bool = True,
) -> Measured:
    """Some Greeks of one contract on one thread, with the price or without."""
    asked = ("price", *greeks) if price else tuple(greeks)

    def run() -> Sensitivities:
        return sensitivities(contract, model, MARKET, greeks=asked, estimator=estimator, plan=plan, threads=1)

    found = run()
    timing = timed(run, repeats=repeats, warm=False)
    return Measured(
        party="ours",
        setting=estimator.name,
        paths=plan.paths,
        cpu=timing.cpu,
        values={greek: found[greek].value for greek in greeks},
        stderrs={greek: found[greek].stderr for greek in greeks},
        notes={greek: found[greek].note for greek in greeks},
        samples=math.inf if plan.sampling.independent else plan.batches,
    )
