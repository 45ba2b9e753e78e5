"""Is the pilot's choice as good as the best method and sampling that somebody could have named? A grid of contracts, models and Greeks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.report import Check, Report, Table
from benchmarks.settings import Settings
from benchmarks.timing import timed
from benchmarks.workloads import HESTON, MARKET, VOL
from greeks import Auto, ImportanceSampling, Localised, NotApplicable, sensitivities
from greeks.engine.pilot import nominal_cost
from greeks.engine.run import answer
from greeks.engine.tasks import GreekResult, GreekTask
from greeks.estimators.base import Estimator, PathEstimator
from greeks.greek import greek
from pricers import GBM, Asian, AsianDigital, Barrier, Digital, European, Heston, Plan, PseudoRandom, Sobol, schedule
from pricers.contracts.contract import Contract
from pricers.engine.estimate import Estimate
from pricers.models.model import Model
from pricers.models.scenario import Scenario
from pricers.random_numbers.sampling import Sampling

TITLE = (
    "What does leaving the choice to the pilot cost? (cpu seconds x squared error, its own paths included, over the best rival's)"
)
GREEKS = ("delta", "gamma", "vega", "rho", "theta")
PATHS, PATHS_IN_STEPS = 2**18, 2**16
"""Of a run; of one under a model that takes steps between the dates, whose paths take far longer."""

WORST, SHARE = 1.3, 0.95
"""What a choice may cost, and in how many cells it must not cost more."""

OTHERS = (Localised(),)
"""Unbiased methods that the pilot does not try."""

SAMPLINGS: tuple[Sampling, ...] = (PseudoRandom(), Sobol())

FEWER, CLOSE = 4, 3.0
"""All pairs of method and sampling are ranked on a quarter of the paths by their nominal cost. Those within three times the best run on all
of them."""

SEEDS, REPEATS = 2, 2
"""A variance under Sobol points is known from 32 numbers only: it is the mean over two seeds. Seconds are the least of two runs or more."""

FEW = 300.0
"""Where fewer paths carry the best pair's number, importance sampling is a rival too."""

DAY = 1.0 / 365.0


def _contracts() -> Iterator[tuple[str, Contract]]:
    weekly, monthly = {"fixings": schedule(52, 1.0)}, {"fixings": schedule(12, 1.0)}
    yield "european", European(option="call", strike=100.0, expiry=1.0)
    yield "digital", Digital(option="call", strike=105.0, expiry=0.5)
    yield "asian, 12 dates", Asian(option="put", strike=100.0, **monthly)
    yield "asian, 52 dates", Asian(option="call", strike=100.0, **weekly)
    yield "geometric asian", Asian(option="call", strike=100.0, average="geometric", **weekly)
    yield "digital on an average", AsianDigital(option="call", strike=100.0, **weekly)
    for name, kind, level, dates in (
        ("barrier 85, 4 dates", "down-and-out", 85.0, 4),
        ("barrier 90, 52 dates", "down-and-out", 90.0, 52),
        ("barrier 99, 52 dates", "down-and-out", 99.0, 52),
        ("barrier 120 in, 12 dates", "up-and-in", 120.0, 12),
        ("near barrier 99.8 in, 12 dates", "down-and-in", 99.8, 12),
        ("far barrier 60 in, 12 dates", "down-and-in", 60.0, 12),
    ):
        yield name, Barrier(option="call", strike=100.0, barrier=level, kind=kind, monitoring=schedule(dates, 1.0))
    yield "european, deep in", European(option="call", strike=60.0, expiry=0.5)
    yield "european, deep out", European(option="call", strike=150.0, expiry=0.5)
    yield "digital, deep out", Digital(option="call", strike=140.0, expiry=0.25)
    yield "digital, deep in", Digital(option="call", strike=75.0, expiry=0.25)
    yield "asian, deep out", Asian(option="call", strike=135.0, **monthly)
    yield "digital on an average, deep out", AsianDigital(option="put", strike=75.0, **monthly)
    yield "european, one day", European(option="put", strike=100.0, expiry=DAY)
    yield "digital, one day", Digital(option="call", strike=101.0, expiry=DAY)
    yield "asian, one day", Asian(option="call", strike=100.0, fixings=(DAY / 3.0, DAY / 1.5, DAY))
    yield "barrier, one day", Barrier(option="call", strike=100.0, barrier=99.0, kind="down-and-out", monitoring=(DAY / 2.0, DAY))


MODELS: dict[str, Model] = {
    "gbm 20 %": GBM(vol=VOL),
    "gbm 50 %": GBM(vol=0.5),
    "heston": Heston(**HESTON),
    "heston, mild": Heston(v0=0.04, kappa=3.0, theta=0.05, xi=0.28, rho=-0.5),
}

Pair = tuple[str, str]
"""The names of a method and of a sampling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One Greek of one contract under one model: what was chosen, what was best, and how much more the choice cost.

    Attributes
    ----------
    contract, model, greek : str
    chosen, best : str
        Method and sampling; of the choice that of each seed, where they differ.
    merit : float
        Seconds times squared error of the best pair.
    ratio : float
        Seconds times squared error of the choice over that of the best pair; 1 where neither leaves an error, NaN where no pair's error is
        known.
    lost : int
        Seeds for which the choice ended without a known error while a rival's was known.
    """

    contract: str
    model: str
    greek: str
    chosen: str
    best: str
    merit: float
    ratio: float
    lost: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A contract under a model, and what the rivals do there."""

    name: str
    contract: Contract
    kind: str
    model: Model
    settings: Settings
    rivals: Mapping[str, PathEstimator]

    def plan(self, seed: int, sampling: Sampling | None = None, fewer: int = 1) -> Plan:
        """That of a run with such a seed; without a sampling it is the pilot's to choose."""
        paths = self.settings.paths(PATHS_IN_STEPS if self.model.discretised else PATHS) // fewer
        fitting = max(Sobol().fitting(paths), 2**11)
        plan = Plan(paths=fitting, seed=self.settings.seed + seed)
        return plan if sampling is None else replace(plan, sampling=sampling)

    def task(self, names: Sequence[str], greeks: Sequence[str]) -> GreekTask:
        """The rivals of these names on the same paths."""
        return GreekTask(
            contract=self.contract,
            scenario=Scenario(model=self.model, market=MARKET),
            greeks=tuple(greek(name, self.model) for name in greeks),
            estimators=tuple(self.rivals[name] for name in names),
        )


def run(settings: Settings) -> Report:
    """Measure."""
    kinds = list(MODELS.items())[: settings.count(len(MODELS), least=1)]
    places = [(*named, *kind) for named in list(_contracts())[: settings.count(99, least=2)] for kind in kinds]
    cells = [cell for place in places for cell in cells_of(*place, settings)]
    known = sorted(cell.ratio for cell in cells if not math.isnan(cell.ratio))
    lost = sum(cell.lost > 0 for cell in cells)
    what = f"share of cells in which the choice costs at most {WORST} times the best, of {len(known)}"
    checks = [
        Check(what=what, found=sum(ratio <= WORST for ratio in known) / max(len(known), 1), wanted=SHARE, least=True),
        Check(what="cells in which the choice's error is unknown while a rival's is known", found=lost, wanted=0),
        Check(what="the median cell's ratio", found=known[len(known) // 2] if known else math.nan, wanted=WORST),
    ]
    worst = sorted((c for c in cells if c.ratio > WORST or c.lost), key=lambda c: -math.inf if c.lost else -c.ratio)
    notes = [
        f"one thread, one Greek a run, {settings.paths(PATHS):,} paths ({settings.paths(PATHS_IN_STEPS):,} in steps between dates)",
        f"rivals: {len(Auto().candidates) + len(OTHERS)} methods on independent paths and on Sobol points, and importance sampling "
        f"where fewer than {FEW:.0f} paths carry the best one's number",
        "a cell above the limit was timed twice more, and the least seconds count: what chooses is no clock, so that only they can differ",
        "numbers without an error (a formula given the path, under GBM) count as equal",
        f"{len(cells) - len(known)} cells, in which nobody's error is known, have no ratio",
    ]
    tables = [Table(title="above the limit, or lost", rows=worst), Table(title="cells", rows=cells)]
    return Report(question=TITLE, tables=tables, checks=checks, notes=notes)


def cells_of(name: str, contract: Contract, kind: str, model: Model, settings: Settings) -> list[Cell]:
    """A cell for each Greek of a contract under a model."""
    rivals = {rival.name: rival for rival in (*Auto().candidates, *OTHERS)}
    place = _Place(name=name, contract=contract, kind=kind, model=model, settings=settings, rivals=rivals)
    few = {way.__class__.__name__: _sampled(place, place.plan(0, way, FEWER), list(rivals), GREEKS) for way in SAMPLINGS}
    contend = {name: _contenders(place, name, few) for name in GREEKS}
    found: list[dict[str, GreekResult | None]] = []
    for seed in range(SEEDS):
        found.append({})
        for way in SAMPLINGS:
            kind_of = way.__class__.__name__
            names = list(dict.fromkeys(method for pairs in contend.values() for method, sampling in pairs if sampling == kind_of))
            wanted = [name for name in GREEKS if any(sampling == kind_of for _, sampling in contend[name])]
            found[seed][kind_of] = _sampled(place, place.plan(seed, way), names, wanted) if names else None
    return [_cell(place, name, contend[name], found) for name in GREEKS]


def _sampled(place: _Place, plan: Plan, names: Sequence[str], greeks: Sequence[str]) -> GreekResult:
    (result,) = answer([place.task(names, greeks)], plan, threads=1)
    if isinstance(result, Exception):
        raise result
    return result


def _contenders(place: _Place, name: str, found: Mapping[str, GreekResult]) -> list[Pair]:
    """The pairs that may be the best by what fewer paths say: all that answer, where none knows its error."""
    scores: dict[Pair, float] = {}
    for way, result in found.items():
        for (greek_name, method), estimate in result.estimates.items():
            if greek_name == name:
                cost = nominal_cost(place.task([method], [name]), place.rivals[method], place.plan(0))
                scores[method, way] = cost * estimate.stderr**2 if estimate.resolved else math.inf
    best = min(scores.values(), default=math.inf)
    return [pair for pair, score in scores.items() if score <= CLOSE * best]


def _cell(place: _Place, name: str, pairs: Sequence[Pair], found: Sequence[Mapping[str, GreekResult | None]]) -> Cell:
    runs = [[_estimate(result[way], name, method) for result in found] for method, way in pairs]
    variances = {pair: _variance(row) for pair, row in zip(pairs, runs, strict=True)}
    at_hand = [any(row[seed] is not None and row[seed].resolved for row in runs) for seed in range(SEEDS)]  # type: ignore[union-attr]
    seconds = {
        pair: _seconds(place, name, place.rivals[pair[0]], _way(pair[1])) for pair in pairs if math.isfinite(variances[pair])
    }
    merits = {pair: seconds[pair] * variances[pair] for pair in seconds}
    if _few(runs):
        merits |= _searched(place, name)
    chosen = [_chosen(place, name, seed) for seed in range(SEEDS)]
    lost = sum(known and not estimate.resolved for known, (estimate, _) in zip(at_hand, chosen, strict=True))
    labels = " / ".join(dict.fromkeys(" ".join(pair) for _, pair in chosen))
    best = min(merits, key=merits.__getitem__, default=None)
    cell = Cell(
        contract=place.name,
        model=place.kind,
        greek=name,
        chosen=labels,
        best=" ".join(best) if best else "-",
        merit=merits[best] if best else math.nan,
        ratio=math.nan,
        lost=lost,
    )
    if best is None:
        return cell
    if all(_without_error(estimate) for estimate, _ in chosen):
        return replace(cell, ratio=1.0)
    squares = [variances.get(pair, math.inf) for _, pair in chosen]
    squares = [own if math.isfinite(own) else estimate.stderr**2 for own, (estimate, _) in zip(squares, chosen, strict=True)]
    error, seed = sum(squares) / SEEDS, range(SEEDS)
    took = sum(_seconds(place, name, Auto(), None, s) for s in seed) / SEEDS
    if took * error > WORST * merits[best]:
        took = min(took, sum(_seconds(place, name, Auto(), None, s) for s in seed) / SEEDS)
        if best in seconds:
            merits[best] = min(merits[best], variances[best] * _seconds(place, name, place.rivals[best[0]], _way(best[1])))
    return replace(cell, ratio=took * error / merits[best])


def _estimate(result: GreekResult | None, name: str, method: str) -> Estimate | None:
    return result.estimates.get((name, method)) if result is not None else None


def _variance(row: Sequence[Estimate | None]) -> float:
    """Squared error, the mean over seeds; infinite where it is not known for one."""
    if any(estimate is None or not estimate.resolved for estimate in row):
        return math.inf
    return sum(estimate.stderr**2 for estimate in row if estimate is not None) / len(row)


def _few(runs: Sequence[Sequence[Estimate | None]]) -> bool:
    """Whether few paths carry all the numbers whose paths are independent, or nobody's error is known."""
    counts = [e.effective for row in runs for e in row if e is not None and e.resolved and math.isinf(e.degrees)]
    return max(counts, default=0.0) < FEW


def _searched(place: _Place, name: str) -> dict[Pair, float]:
    """The merit of importance sampling, where its error is known for all seeds."""
    try:
        runs = [_run(place, name, ImportanceSampling(), PseudoRandom(), seed) for seed in range(SEEDS)]
    except NotApplicable:
        return {}
    variance = _variance(runs)
    if not math.isfinite(variance):
        return {}
    way = ImportanceSampling()
    return {(way.name, PseudoRandom.__name__): variance * _seconds(place, name, way, PseudoRandom())}


def _chosen(place: _Place, name: str, seed: int) -> tuple[Estimate, Pair]:
    """What was chosen for a seed. The degrees of freedom of an error tell the sampling: those of independent paths are infinite."""
    estimate = _run(place, name, Auto(), None, seed)
    way = PseudoRandom if math.isinf(estimate.degrees) else Sobol
    return estimate, (estimate.estimator, way.__name__)


def _run(place: _Place, name: str, estimator: Estimator, way: Sampling | None, seed: int) -> Estimate:
    plan = place.plan(seed, way)
    return sensitivities(place.contract, place.model, MARKET, greeks=(name,), estimator=estimator, plan=plan, threads=1)[name]


def _seconds(place: _Place, name: str, estimator: Estimator, way: Sampling | None, seed: int = 0) -> float:
    return timed(
        lambda: _run(place, name, estimator, way, seed), repeats=max(min(place.settings.repeats, REPEATS), 1), warm=False
    ).cpu


def _way(name: str) -> Sampling:
    return next(way for way in SAMPLINGS if way.__class__.__name__ == name)


def _without_error(estimate: Estimate) -> bool:
    return estimate.resolved and estimate.stderr <= 1e-10 * max(abs(estimate.value), 1e-3)
