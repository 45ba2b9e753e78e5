"""Did the kernels' loops become vector instructions? Read off the machine code for this processor."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pricers
from benchmarks.kernels import vector_loop
from benchmarks.report import Check, Report, Table
from benchmarks.settings import Settings
from benchmarks.workloads import MARKET, WORKLOADS
from greeks import FiniteDifference, LikelihoodRatio, NotApplicable, OneStepSurvival, Pathwise, sensitivities
from pricers import Plan
from pricers.contracts.contract import Contract
from pricers.models.model import Model
from pricers.numerics.kernel import kernel

TITLE = "Did the kernels' loops become vector instructions?"
SCALAR = ("pricers.exact", *(f"pricers.random_numbers.{name}" for name in ("brownian_bridge", "sobol", "tilted")))
"""Packages whose kernels are run once for a contract or a scramble, not once for a path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Lines of the innermost loop with the most vector registers, by the register that they name; calls are those of its rim."""

    kernel: str
    zmm: int
    ymm: int
    xmm: int
    calls: int
    vector: str


def run(settings: Settings) -> Report:
    """Run every workload a little, so that every kernel has met its types; then compile each anew and read."""
    for workload in WORKLOADS[: settings.count(len(WORKLOADS), least=1)]:
        model = workload.dynamics
        if model is not None:
            _exercise(workload.contract, model)
    known = list(_kernels())
    rows = [_loop(name, function) for name, function in known[: settings.count(len(known), least=3)]]
    rows = [row for row in rows if row is not None]
    left = sum(row.vector == "no" for row in rows)
    checks = [Check(what="kernels over paths without a vector loop", found=float(left), wanted=0.0)] if rows else []
    notes = [] if rows else ["the machine code is read on x86-64 only"]
    return Report(question=TITLE, tables=[Table(title="innermost loops", rows=rows)], checks=checks, notes=notes)


def _exercise(contract: Contract, model: Model) -> None:
    greeks = "delta", "gamma", "vega", "rho", "theta", *(f"d_{name}" for name in model.parameters)
    for estimator in (LikelihoodRatio(), Pathwise(), FiniteDifference(), OneStepSurvival()):
        for greek in greeks:
            try:
                sensitivities(contract, model, MARKET, greeks=greek, estimator=estimator, plan=Plan(paths=256))
            except NotApplicable:
                continue


def _kernels() -> Iterator[tuple[str, Any]]:
    seen = set[int]()
    for package in (pricers, importlib.import_module("greeks")):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.startswith(SCALAR) or module.name.endswith("__main__"):
                continue
            try:
                names = vars(importlib.import_module(module.name))
            except ImportError:
                continue
            for name, function in list(names.items()):
                if getattr(function, "nopython_signatures", None) and id(function) not in seen:
                    seen.add(id(function))
                    if not function.targetoptions.get("forceinline"):
                        yield f"{function.py_func.__module__}.{name}", function


def _loop(name: str, function: Any) -> Loop | None:
    fresh = kernel(sums=bool(function.targetoptions.get("fastmath")), cached=False)(function.py_func)
    fresh.compile(function.signatures[0])  # compiled here: numba does not show the code of what came from the disk
    counts = vector_loop(fresh)
    if not counts:
        return None
    wide = counts["zmm"] + counts["ymm"] > 0
    return Loop(kernel=name, **counts, vector="yes" if wide else "no")
