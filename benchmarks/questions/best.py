"""Each side's best unbiased setting: what one number costs whoever knows the tool well."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks import ours
from benchmarks.merit import Measured, best
from benchmarks.peers import jax_peer, quantlib_peer
from benchmarks.peers.jax_paths import SCHEMES, present_value, survival
from benchmarks.questions.methods import Cost, cost
from benchmarks.report import Check, Report, Table
from benchmarks.settings import Settings
from benchmarks.workloads import MARKET, WORKLOADS, Workload
from greeks import Auto, Combined, Exact, LikelihoodRatio, NotApplicable, Pathwise
from greeks.engine.run import answer
from greeks.engine.tasks import GreekTask
from greeks.estimators.base import Estimator
from greeks.greek import greek
from pricers import Plan, PseudoRandom, Sobol
from pricers.models.scenario import Scenario

TITLE = "At each side's best unbiased setting, what does a number cost? (cpu seconds x squared error)"
WANTED = 10.0
QE = "QuadraticExponentialMartingale"


def candidates() -> tuple[Estimator, ...]:
    """What the toolkit has; `Exact` does not count, where it is."""
    return *Auto().candidates, Combined(LikelihoodRatio(), Pathwise())


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best of a peer over the best of ours, for one Greek; ``noise`` is about one standard deviation."""

    workload: str
    greek: str
    peer: str
    its_setting: str
    its_merit: float
    our_setting: str
    our_merit: float
    ratio: float
    noise: str


def run(settings: Settings) -> Report:
    """Measure."""
    costs: list[Cost] = []
    ratios: list[Best] = []
    notes: list[str] = []
    workloads = [workload for workload in WORKLOADS if workload.payoff != "digital"]
    for workload in workloads[: settings.count(len(workloads), least=1)]:
        if workload.dynamics is None:
            notes.append(f"{workload.name} is left out: there is no such model yet")
            continue
        mine = list(_ours(workload, settings))
        peers = [*_jax(workload, settings), *_quantlib(workload, settings)] if settings.peers else []
        costs += [cost(workload, "best", measured) for measured in (*mine, *peers)]
        ratios += _ratios(workload, mine, peers)
    notes += [
        "a European digital under GBM has a closed form and is left out",
        "errors of Sobol points: of scrambled ones from independent scrambles; of QuantLib's, which no seed scrambles, from eight spots, "
        "against values that are exact or far more precise",
    ]
    checks = [
        Check(what=f"least ratio to {peer}, over workloads and Greeks", found=min(found), wanted=WANTED, least=True)
        for peer in ("JAX", "QuantLib")
        if (found := [ratio.ratio for ratio in ratios if ratio.peer == peer])
    ]
    tables = [Table(title="costs", rows=costs), Table(title="ratios: the peer's best over ours", rows=ratios)]
    return Report(question=TITLE, tables=tables, checks=checks, notes=notes)


def _ours(workload: Workload, settings: Settings) -> Iterator[Measured]:
    paths = settings.paths(workload.paths)
    for sampling, name in ((PseudoRandom(), "pseudo-random"), (Sobol(), "scrambled Sobol")):
        for estimator in candidates():
            setting = f"{estimator.name}, {name}"
            try:
                yield ours.measure(workload, estimator, paths=paths, settings=settings, setting=setting, sampling=sampling)
            except NotApplicable:
                continue


def _jax(workload: Workload, settings: Settings) -> Iterator[Measured]:
    if not jax_peer.installed():
        return
    scheme = SCHEMES[0] if workload.model == "heston" else ""
    barrier = workload.payoff == "barrier"
    name = "one-step survival, grad" if barrier else "grad"
    paths, points = settings.paths(workload.paths), settings.paths(2**14 if workload.steps <= 52 else 2**13)

    def estimator(uniforms: bool) -> jax_peer.Estimator:
        value = survival(workload, scheme, uniforms=uniforms) if barrier else present_value(workload, scheme)
        return jax_peer.pathwise(workload, value)

    chunk = jax_peer.CHUNK // 4 if barrier else jax_peer.CHUNK
    yield jax_peer.pseudo(
        workload,
        estimator(barrier),
        paths=paths,
        settings=settings,
        label=f"{name}, pseudo-random",
        uniforms=barrier,
        chunk_numbers=chunk,
    )
    for order, bridge in (("bridge", True), ("time order", False)):
        yield jax_peer.quasi(
            workload,
            estimator(barrier and not bridge),
            paths=points,
            settings=settings,
            label=f"{name}, scrambled Sobol, {order}",
            bridge=bridge,
            uniforms=barrier and not bridge,
            chunk_numbers=chunk,
        )


def _quantlib(workload: Workload, settings: Settings) -> Iterator[Measured]:
    if not quantlib_peer.installed():
        return
    control, by_hand = workload.payoff == "asian", workload.name == "barrier heston"
    name = "geometric control" if control else "no control"
    paths = settings.paths(2**12 if by_hand else 2**15)
    points = settings.paths(2**9 if by_hand else 2**12)
    pseudo = quantlib_peer.pricer(workload, control=control, scheme=QE)
    sobol = quantlib_peer.pricer(workload, quasi=True, control=control, scheme=QE)
    yield quantlib_peer.bumped(workload, paths=paths, settings=settings, label=f"pseudo-random, {name}", price=pseudo)
    order = "bridge" if workload.model == "gbm" else "time order"
    yield quantlib_peer.quasi(
        workload,
        paths=points,
        settings=settings,
        label=f"Sobol, {order}, {name}",
        price=sobol,
        truths=partial(_truths, workload, settings),
    )


def _truths(workload: Workload, settings: Settings, spots: Sequence[float]) -> list[list[float]]:
    """The Greeks at each spot: exact where there is a formula, else the most precise of ours on many paths."""
    model = workload.dynamics
    assert model is not None
    markets = [MARKET.bumped("spot", spot - MARKET.spot) for spot in spots]
    asked = tuple(greek(name, model) for name in workload.greeks)
    scenarios = [Scenario(model=model, market=market) for market in markets]
    try:
        return [[Exact().value(each, workload.contract, scenario) for each in asked] for scenario in scenarios]
    except NotApplicable:
        pass
    tasks = [
        GreekTask(
            contract=workload.contract, scenario=Scenario(model=model, market=market), greeks=asked, estimators=candidates()
        )
        for market in markets
    ]
    paths = settings.paths(2**21 if workload.model == "gbm" else 2**19)
    plan = Plan(paths=paths, seed=settings.seed, steps_per_year=workload.steps_per_year)
    found = []
    for result in answer(tasks, plan):
        if isinstance(result, Exception):
            raise result
        row = []
        for name in workload.greeks:
            estimates = [estimate for (known, _), estimate in result.estimates.items() if known == name]
            row.append(min(estimates, key=lambda estimate: estimate.stderr).value)
        found.append(row)
    return found


def _ratios(workload: Workload, mine: Sequence[Measured], peers: Sequence[Measured]) -> Iterator[Best]:
    for name in workload.greeks:
        our = best(mine, name)
        for peer in dict.fromkeys(measured.party for measured in peers):
            its = best([measured for measured in peers if measured.party == peer], name)
            if our is None or its is None:
                continue
            yield Best(
                workload=workload.name,
                greek=name,
                peer=peer,
                its_setting=its.setting,
                its_merit=float(its.merit(name)),
                our_setting=our.setting,
                our_merit=float(our.merit(name)),
                ratio=float(its.merit(name) / our.merit(name)),
                noise=f"{100.0 * math.sqrt(2.0 / its.samples + 2.0 / our.samples):.0f} %",
            )
