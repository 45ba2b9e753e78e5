"""What a new process waits for."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import dataclass

from benchmarks.report import Check, Report, Table
from benchmarks.settings import Settings
from benchmarks.timing import Child, python

TITLE = "What does a new process wait for?"
HEAVY = ("numba", "numpy", "pandas", "scipy", "matplotlib", "jinja2", "pyarrow")

_IMPORT = "import greeks, pricers"
_HELP = "import sys; sys.argv = ['greeks', '--help']; from greeks.commands.cli import main; main()"
_FIRST = """
from greeks import LikelihoodRatio, sensitivities
from pricers import GBM, Asian, Market, Plan, schedule
contract = Asian(option="call", strike=100.0, fixings=schedule(52, 1.0))
market = Market(spot=100.0, rate=0.05, dividend=0.02)
sensitivities(contract, GBM(vol=0.2), market, greeks=("delta",), estimator=LikelihoodRatio(), plan=Plan(paths=2**10))
"""
_MODULES = f"""
import sys
before = set(sys.modules)
{_IMPORT}
import json
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Seconds of a process from start to end, least of the repeats."""

    what: str
    wall_s: float
    cpu_s: float
    more_than_python_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import brings along."""

    what: str
    modules: int
    of_ours: int
    heavy: str


def run(settings: Settings) -> Report:
    """Measure."""
    repeats = max(settings.repeats, 1)
    bare = _least("pass", repeats)
    cases = {"python alone": bare, _IMPORT: _least(_IMPORT, repeats), "greeks --help": _least(_HELP, repeats)}
    with tempfile.TemporaryDirectory() as folder:
        environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        if settings.count(2, least=1) > 1:  # a trial does without a cache of its own, which takes long to fill
            environment |= {"XDG_CACHE_HOME": folder, "LOCALAPPDATA": folder, "HOME": folder}
            cases["first Greek, no kernels on disk"] = python(_FIRST, environment=environment)
        cases["first Greek, kernels on disk"] = _least(_FIRST, repeats, environment)
    rows = [
        Start(what=what, wall_s=c.wall, cpu_s=c.cpu, more_than_python_s=max(c.cpu - bare.cpu, 0.0)) for what, c in cases.items()
    ]
    brought = json.loads(python(_MODULES).output.splitlines()[-1])
    heavy = [name for name in HEAVY if name in brought]
    imported = Imported(
        what=_IMPORT,
        modules=len(brought),
        of_ours=sum(name.partition(".")[0] in ("greeks", "pricers") for name in brought),
        heavy=", ".join(heavy) or "none",
    )
    checks = [
        Check(what="heavy packages that `import greeks` brings", found=float(len(heavy)), wanted=0.0),
        Check(what="greeks --help, cpu seconds", found=cases["greeks --help"].cpu, wanted=0.2),
        Check(what="first Greek, kernels on disk, cpu seconds", found=cases["first Greek, kernels on disk"].cpu, wanted=1.0),
    ]
    notes = [f"heavy are {', '.join(HEAVY)}", "checks go by processor seconds, which a busy machine does not change much"]
    tables = [Table(title="processes", rows=rows), Table(title="imports", rows=[imported])]
    return Report(question=TITLE, tables=tables, checks=checks, notes=notes)


def _least(code: str, repeats: int, environment: dict[str, str] | None = None) -> Child:
    runs = [python(code, environment=environment) for _ in range(repeats)]
    wall, cpu = min(r.wall for r in runs), min(r.cpu for r in runs)
    return Child(wall=wall, cpu=cpu, output=runs[-1].output)
