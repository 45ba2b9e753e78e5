"""The toolkit, measured through its public functions."""

from __future__ import annotations

import math

from benchmarks.merit import Measured
from benchmarks.settings import Settings
from benchmarks.timing import timed
from benchmarks.workloads import MARKET, Workload
from greeks import Sensitivities, sensitivities
from greeks.estimators.estimator import Estimator
from pricers import Plan, PseudoRandom
from pricers.sampling.sampling import Sampling

__all__ = ["measure"]


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
    paths = sampling.fitting(paths)
    plan = Plan(paths=paths, seed=settings.seed, steps_per_year=workload.steps_per_year, sampling=sampling)
    contract, asked = workload.contract, ("price", *workload.greeks)

    def run() -> Sensitivities:
        return sensitivities(contract, model, MARKET, greeks=asked, estimator=estimator, plan=plan, threads=1)

    found = run()
    timing = timed(run, repeats=settings.repeats, warm=False)
    return Measured(
        party="ours",
        setting=setting or estimator.name,
        paths=paths,
        cpu=timing.cpu,
        values={greek: found[greek].value for greek in workload.greeks},
        stderrs={greek: found[greek].stderr for greek in workload.greeks},
        samples=math.inf if sampling.independent else plan.batches,
    )
