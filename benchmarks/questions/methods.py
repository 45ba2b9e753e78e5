"""The same method on the same paths and dates: what one number costs us, and what it costs in JAX and QuantLib."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks import ours
from benchmarks.merit import Measured
from benchmarks.peers import jax_peer, quantlib_peer
from benchmarks.peers.jax_paths import SCHEMES, present_value
from benchmarks.report import Check, Report, Table
from benchmarks.settings import Settings
from benchmarks.workloads import WORKLOADS, Workload
from greeks import FiniteDifference, LikelihoodRatio, NotApplicable, Pathwise
from greeks.estimators.base import Estimator

TITLE = "Method for method, what does a number cost? (cpu seconds x squared error)"
METHODS = ("likelihood ratio", "pathwise", "bumping")
WANTED = {"JAX": 6.0, "QuantLib": 20.0}
QUANTLIB_SCHEMES = ("QuadraticExponentialMartingale", "FullTruncation")
BIASED = (SCHEMES[1], QUANTLIB_SCHEMES[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One party's Greeks of one workload by one method; vega is d/dv0 under Heston."""

    workload: str
    method: str
    party: str
    setting: str
    paths: int
    cpu_s: float
    ns_per_path_step: float
    delta: float
    delta_error: float
    vega: float
    vega_error: float
    rho: float
    rho_error: float
    merit_delta: float
    merit_vega: float
    merit_rho: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A peer's cpu seconds x squared error over ours; ``noise`` is about one standard deviation."""

    workload: str
    method: str
    peer: str
    setting: str
    delta: float
    vega: float
    rho: float
    cpu_per_path: float
    noise: str


def run(settings: Settings) -> Report:
    """Measure."""
    costs: list[Cost] = []
    ratios: list[Ratio] = []
    notes: list[str] = []
    for name, peer in (("JAX", jax_peer), ("QuantLib", quantlib_peer)):
        if settings.peers and not peer.installed():
            notes.append(f"{name} is not installed: nothing to compare with (the extra `bench` brings it)")
    for workload in WORKLOADS:
        if workload.dynamics is None:
            notes.append(f"{workload.name} is left out: there is no such model yet")
            continue
        for method in METHODS:
            paths = settings.paths(workload.paths)
            try:
                mine = ours.measure(workload, _estimator(method, workload), paths=paths, settings=settings)
            except NotApplicable as why:
                notes.append(f"{workload.name}, {method}: {why}")
                continue
            costs.append(cost(workload, method, mine))
            if settings.peers:
                peers = list(_peers(workload, method, settings))
                costs += [cost(workload, method, measured) for measured in peers]
                ratios += [_ratio(workload, method, mine, measured) for measured in peers]
    notes += [
        "all on one thread of ours; JAX's threads are counted as they are used; compile time is not counted",
        "likelihood ratio: ours takes the score as a control, JAX's a leave-one-out mean as a baseline",
        "under Heston each peer has two schemes: quadratic exponential, which is ours too, and Euler with full truncation, "
        "which is cheaper and biased",
        "QuantLib has no engine for digitals (a call spread of 0.1 % stands in) nor for barriers under Heston (a loop in Python over its "
        "paths), no pathwise and no likelihood-ratio Greeks",
    ]
    notes += _biased(ratios)
    return Report(
        question=TITLE,
        tables=[Table(title="costs", rows=costs), Table(title="ratios: the peer's over ours", rows=ratios)],
        checks=list(_checks(ratios)),
        notes=notes,
    )


def _estimator(method: str, workload: Workload) -> Estimator:
    match method:
        case "likelihood ratio":
            return LikelihoodRatio()
        case "pathwise":
            return Pathwise()
    return FiniteDifference(bump=workload.bump)


def _peers(workload: Workload, method: str, settings: Settings) -> Iterator[Measured]:
    paths = settings.paths(workload.paths)
    if jax_peer.installed():
        for scheme in SCHEMES if workload.model == "heston" else ("",):
            value = present_value(workload, scheme)
            match method:
                case "likelihood ratio":
                    estimator = jax_peer.likelihood_ratio(workload, scheme)
                case "pathwise":
                    estimator = jax_peer.pathwise(workload, value)
                case _:
                    estimator = jax_peer.bumping(workload, value)
            yield jax_peer.pseudo(workload, estimator, paths=paths, settings=settings, label=scheme)
    if quantlib_peer.installed() and method == "bumping":
        by_hand = workload.name == "barrier heston"
        for scheme in QUANTLIB_SCHEMES if workload.model == "heston" else ("",):
            price = quantlib_peer.pricer(workload, scheme=scheme)
            fewer = min(paths, settings.paths(2**12 if by_hand else 2**17))
            yield quantlib_peer.bumped(workload, paths=fewer, settings=settings, label=scheme, price=price)


def cost(workload: Workload, method: str, found: Measured) -> Cost:
    """As a row of the table."""
    delta, vega, rho = workload.greeks
    return Cost(
        workload=workload.name,
        method=method,
        party=found.party,
        setting=found.setting,
        paths=found.paths,
        cpu_s=found.cpu,
        ns_per_path_step=found.cpu * 1e9 / (found.paths * workload.steps),
        delta=float(found.values[delta]),
        delta_error=float(found.stderrs[delta]),
        vega=float(found.values[vega]),
        vega_error=float(found.stderrs[vega]),
        rho=float(found.values[rho]),
        rho_error=float(found.stderrs[rho]),
        merit_delta=float(found.merit(delta)),
        merit_vega=float(found.merit(vega)),
        merit_rho=float(found.merit(rho)),
    )


def _ratio(workload: Workload, method: str, mine: Measured, its: Measured) -> Ratio:
    delta, vega, rho = (float(its.merit(greek) / mine.merit(greek)) for greek in workload.greeks)
    return Ratio(
        workload=workload.name,
        method=method,
        peer=its.party,
        setting=its.setting,
        delta=delta,
        vega=vega,
        rho=rho,
        cpu_per_path=(its.cpu / its.paths) / (mine.cpu / mine.paths),
        noise=f"{100.0 * math.sqrt(2.0 / its.samples):.0f} %",
    )


def _checks(ratios: Sequence[Ratio]) -> Iterator[Check]:
    for peer, wanted in WANTED.items():
        found = _least(ratios, peer, biased=False)
        if found is not None:
            what = f"least ratio to {peer}, the same scheme, over workloads, methods and Greeks"
            yield Check(what=what, found=found, wanted=wanted, least=True)


def _biased(ratios: Sequence[Ratio]) -> Iterator[str]:
    for peer in WANTED:
        found = _least(ratios, peer, biased=True)
        if found is not None:
            yield f"least ratio of {peer} by Euler's scheme to ours by another, without what its bias adds to its error: {found:.3g}"


def _least(ratios: Sequence[Ratio], peer: str, *, biased: bool) -> float | None:
    found = [ratio for ratio in ratios if ratio.peer == peer and (ratio.setting in BIASED) == biased]
    return min((min(ratio.delta, ratio.vega, ratio.rho) for ratio in found), default=None)
