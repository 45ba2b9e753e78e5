"""What happens with more threads and more paths: time, and memory."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import numpy as np

from benchmarks.report import Check, Report, Table
from benchmarks.settings import Settings
from benchmarks.timing import Timing, peak_memory, python, timed
from benchmarks.workloads import MARKET, VOL
from greeks import LikelihoodRatio, sensitivities
from pricers import GBM, Asian, Plan, schedule
from pricers.random_numbers.philox import normals

TITLE = "What happens with more threads and more paths? (Asian call under GBM, price and likelihood-ratio delta, vega, rho)"
GREEKS = ("price", "delta", "vega", "rho")
_ROOT = Path(__file__).parents[2]
_CALLS = 40_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Threads:
    """The same run on more threads; the numbers have the same bits.

    ``machine`` is the speedup of a bare kernel, which draws normals over and over in a few kilobytes and asks Python for nothing: what
    the machine has to give while it is measured.
    """

    threads: int
    wall_s: float
    cpu_s: float
    speedup: float
    machine: float
    same_bits: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The same run with more paths, each in a process of its own; ``power`` as in a book's growth, 1 for linear."""

    paths: int
    cpu_s: float
    ns_per_path: float
    power: float
    memory_mib: float
    memory_of_imports_mib: float


def run(settings: Settings) -> Report:
    """Measure."""
    threads, differ = _threads(settings)
    fewest = max(2**10, round(10**6 * min(settings.scale, 1.0)))
    paths = _paths([fewest, 10 * fewest, 100 * fewest])
    most, least = paths[-1], paths[0]
    checks = [
        Check(what="results that differ between numbers of threads", found=differ, wanted=0.0),
        Check(what="two threads against one, wall time", found=threads[1].speedup, wanted=1.85, least=True),
        Check(what="the same over a bare kernel's", found=threads[1].speedup / threads[1].machine, wanted=0.95, least=True),
        Check(
            what=f"MiB more at {most.paths} paths than at {least.paths}", found=most.memory_mib - least.memory_mib, wanted=16.0
        ),
        Check(what="power of the growth of time with paths", found=most.power, wanted=1.05),
    ]
    notes = [
        "a run holds the blocks in flight, the moments of each Greek and 256 batch means, whatever the paths; a path's address has "
        "64 bits, so that 1e9 paths and more take the same memory, and time in proportion",
    ]
    tables = [Table(title="threads, 52 dates", rows=threads), Table(title="paths, 4 dates, one thread", rows=paths)]
    return Report(question=TITLE, tables=tables, checks=checks, notes=notes)


def _greeks(dates: int, paths: int, threads: int) -> list[tuple[float, float]]:
    contract = Asian(option="call", strike=100.0, fixings=schedule(dates, 1.0))
    plan = Plan(paths=paths, seed=7)
    found = sensitivities(contract, GBM(vol=VOL), MARKET, greeks=GREEKS, estimator=LikelihoodRatio(), plan=plan, threads=threads)
    return [(found[name].value, found[name].stderr) for name in GREEKS]


def _threads(settings: Settings) -> tuple[list[Threads], int]:
    paths = settings.paths(2**19)
    counts = sorted({1, 2, os.cpu_count() or 1})
    times, bare = _in_turn(lambda count: _greeks(52, paths, count), counts, settings), _in_turn(_drawn, counts, settings)
    numbers = {count: _greeks(52, paths, count) for count in counts}
    rows = [
        Threads(
            threads=count,
            wall_s=time.wall,
            cpu_s=time.cpu,
            speedup=times[1].wall / time.wall,
            machine=bare[1].wall / bare[count].wall,
            same_bits="yes" if numbers[count] == numbers[1] else "no",
        )
        for count, time in times.items()
    ]
    return rows, sum(found != numbers[1] for found in numbers.values())


def _in_turn(run: Callable[[int], object], counts: Sequence[int], settings: Settings) -> dict[int, Timing]:
    """The least of several runs on each number of threads, one after the other, so that a busy hour is everybody's."""
    found = {count: timed(lambda: run(count), repeats=1) for count in counts}  # noqa: B023
    for _ in range(4 * settings.repeats):
        for count, before in found.items():
            now = timed(lambda: run(count), repeats=1, warm=False)  # noqa: B023
            found[count] = Timing(cpu=min(before.cpu, now.cpu), wall=min(before.wall, now.wall))
    return found


def _drawn(threads: int) -> None:
    """Some fifty milliseconds of normals, shared out among threads."""

    def cost_ns() -> None:
        out = np.empty((4, 256))
        for k in range(_CALLS // threads):
            normals(out, 7, 0, 256 * k, 0, 0)

    several = [Thread(target=cost_ns) for _ in range(threads)]
    for thread in several:
        thread.start()
    for thread in several:
        thread.join()


def _paths(counts: list[int]) -> list[Paths]:
    rows: list[Paths] = []
    for count in counts:
        code = f"import sys; sys.path.append({str(_ROOT)!r}); from benchmarks.questions.scaling import alone; alone({count})"
        facts = python(code).facts
        power = math.nan
        if rows:
            power = math.log(facts["cpu_s"] / rows[-1].cpu_s) / math.log(count / rows[-1].paths)
        rows.append(Paths(paths=count, ns_per_path=1e9 * facts["cpu_s"] / count, power=power, **facts))
    return rows


def alone(paths: int) -> None:
    """One run, and what it took as JSON; for a process of its own."""
    _greeks(4, 2**14, 1)
    before = peak_memory()
    cpu = timed(lambda: _greeks(4, paths, 1), repeats=2, warm=False).cpu
    print(json.dumps({"cpu_s": cpu, "memory_mib": peak_memory(), "memory_of_imports_mib": before}))
