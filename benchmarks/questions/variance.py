"""What each technique takes off the noise: cpu seconds x squared error against the plain likelihood ratio, in one run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.merit import Measured, best
from benchmarks.ours import measure_contract
from benchmarks.report import Check, Report, Table
from benchmarks.settings import Settings
from benchmarks.workloads import HESTON, VOL
from greeks import LikelihoodRatio, NotApplicable
from greeks.engine.registry import estimators
from greeks.estimators.auto import Auto
from greeks.estimators.base import PathEstimator
from pricers import GBM, Antithetic, Asian, AsianDigital, Barrier, Heston, Plan, PseudoRandom, Sobol, schedule
from pricers.contracts.contract import Contract
from pricers.models.model import Model

TITLE = "How much cheaper is a number than by the plain likelihood ratio? (its cpu seconds x squared error over each technique's)"
STEPS = 252


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A contract under a model, and how many times cheaper than by the plain likelihood ratio each Greek is wanted."""

    name: str
    contract: Contract
    model: Model
    paths: int
    wanted: Mapping[str, float]


def _cases() -> Iterator[Case]:
    gbm, heston = GBM(vol=VOL), Heston(**HESTON)
    weekly, daily = schedule(52, 1.0), schedule(252, 1.0)
    asian = Asian(option="call", strike=100.0, fixings=weekly)
    digital = AsianDigital(option="call", strike=100.0, fixings=weekly)
    barrier, near = (
        Barrier(option="call", strike=100.0, barrier=level, kind="down-and-out", monitoring=daily) for level in (90.0, 99.0)
    )
    yield Case(name="asian gbm", contract=asian, model=gbm, paths=2**17, wanted={"delta": 1500.0, "vega": 1500.0, "rho": 1500.0})
    yield Case(name="asian heston", contract=asian, model=heston, paths=2**15, wanted={"delta": 30.0, "d_v0": 30.0, "rho": 30.0})
    yield Case(name="barrier gbm", contract=barrier, model=gbm, paths=2**16, wanted={"delta": 60.0, "vega": 300.0, "rho": 8.0})
    yield Case(
        name="barrier gbm, near the spot", contract=near, model=gbm, paths=2**16, wanted={"delta": 1.0, "vega": 1.0, "rho": 1.0}
    )
    yield Case(name="barrier heston", contract=barrier, model=heston, paths=2**15, wanted={"delta": 30.0, "d_v0": 100.0})
    yield Case(name="digital on an average", contract=digital, model=gbm, paths=2**17, wanted={"delta": 20.0, "vega": 50.0})


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """One technique; the columns are the plain likelihood ratio's cpu seconds x squared error over its own."""

    case: str
    technique: str
    paths: int
    ns_per_path: float
    delta: float
    vega: float
    rho: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best technique for one Greek, and its cpu seconds x squared error."""

    case: str
    greek: str
    technique: str
    merit: float
    gain: float
    noise: str


def run(settings: Settings) -> Report:
    """Measure."""
    gains: list[Gain] = []
    bests: list[Best] = []
    checks: list[Check] = []
    cases = list(_cases())
    for case in cases[: settings.count(len(cases), least=1)]:
        plain = _measured(case, LikelihoodRatio(), PseudoRandom(), settings)
        assert plain is not None
        found = [plain, *_techniques(case, settings)]
        gains += [_gain(case, plain, measured) for measured in found]
        for greek, wanted in case.wanted.items():
            winner = best(found, greek)
            assert winner is not None
            gain = plain.merit(greek) / winner.merit(greek)
            noise = f"{100.0 * math.sqrt(2.0 / winner.samples):.0f} %" if math.isfinite(winner.samples) else "3 %"
            bests.append(
                Best(
                    case=case.name,
                    greek=greek,
                    technique=winner.setting,
                    merit=winner.merit(greek),
                    gain=gain,
                    noise=noise,
                )
            )
            checks.append(Check(what=f"{case.name}: {greek}", found=gain, wanted=wanted, least=True))
    notes = [
        "all on one thread, each estimator with price, delta, vega (under Heston d_v0) and rho in one run",
        f"Sobol: {Sobol().scrambles} scrambles; an error from so few numbers is known to an eighth, its square to a quarter",
    ]
    tables = [Table(title="gains", rows=gains), Table(title="the best for each Greek", rows=bests)]
    return Report(question=TITLE, tables=tables, checks=checks, notes=notes)


def _techniques(case: Case, settings: Settings) -> Iterator[Measured]:
    candidates = {c.name: c for c in (*Auto().candidates, *estimators().values()) if isinstance(c, PathEstimator) and c.unbiased}
    for sampling in (PseudoRandom(), Antithetic(), Sobol()):
        for estimator in candidates.values():
            plain = estimator == LikelihoodRatio() and sampling == PseudoRandom()
            measured = None if plain else _measured(case, estimator, sampling, settings)
            if measured is not None:
                yield measured


def _measured(
    case: Case, estimator: PathEstimator, sampling: PseudoRandom | Antithetic | Sobol, settings: Settings
) -> Measured | None:
    plan = Plan(paths=sampling.fitting(settings.paths(case.paths)), seed=settings.seed, steps_per_year=STEPS, sampling=sampling)
    vega = "d_v0" if case.model.parameters else "vega"
    try:
        found = measure_contract(
            case.contract, case.model, ("delta", vega, "rho"), estimator, plan=plan, repeats=min(settings.repeats, 3)
        )
    except NotApplicable:
        return None
    name = {"PseudoRandom": "", "Antithetic": ", antithetic", "Sobol": ", scrambled Sobol"}[type(sampling).__name__]
    return Measured(
        party=found.party,
        setting=estimator.name + name,
        paths=found.paths,
        cpu=found.cpu,
        values=found.values,
        stderrs=found.stderrs,
        samples=found.samples,
    )


def _gain(case: Case, plain: Measured, measured: Measured) -> Gain:
    delta, vega, rho = (plain.merit(greek) / measured.merit(greek) for greek in plain.stderrs)
    return Gain(
        case=case.name,
        technique=measured.setting,
        paths=measured.paths,
        ns_per_path=1e9 * measured.cpu / measured.paths,
        delta=delta,
        vega=vega,
        rho=rho,
    )
