"""``python -m benchmarks``: all questions or some, as tables and as JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import questions
from benchmarks.machine import machine
from benchmarks.report import text
from benchmarks.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask, print, write; 0 even where a wish is not met, because a slow machine is not an error."""
    known = sorted(module.name for module in pkgutil.iter_modules(questions.__path__))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=f"some of {', '.join(known)}; all by default")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on numbers of paths (1 takes half an hour)")
    parser.add_argument("--repeats", type=int, default=7, help="of every timing, of which the least counts")
    parser.add_argument("--no-peers", action="store_true", help="leave JAX and QuantLib out")
    parser.add_argument("--json", type=Path, default=Path("build/benchmarks.json"), help="where to write the results")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.questions) - set(known))
    if unknown:
        parser.error(f"there is no question {', '.join(unknown)}; there are {', '.join(known)}")
    settings = Settings(scale=given.scale, repeats=given.repeats, peers=not given.no_peers)
    here, answers = machine(), {}
    facts = f"{here.processor}, {here.cores} cores, load {here.load:.1f}; Python {here.python}"
    print(f"{facts}, {', '.join(f'{name} {version}' for name, version in here.versions.items())}\n")
    for name in given.questions or known:
        start = time.perf_counter()
        report = importlib.import_module(f"benchmarks.questions.{name}").run(settings)
        answers[name] = {**report.json(), "seconds": time.perf_counter() - start}
        print(text(report), flush=True)
        given.json.parent.mkdir(parents=True, exist_ok=True)
        whole = {"machine": asdict(here), "settings": asdict(settings), "questions": answers}
        given.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    print(f"written to {given.json}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
