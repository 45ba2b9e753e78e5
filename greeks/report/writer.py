"""From a run to a folder of files."""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from greeks.report import manifest
from greeks.report.facts import Facts
from greeks.report.folder import replaced

if TYPE_CHECKING:
    from greeks.portfolio.batch import BookRun

__all__ = ["write_report"]

Format = Callable[["BookRun", Facts, Path], None]


def write_report(run: BookRun, facts: Facts, out: str | Path) -> None:
    """Every format's files in ``out``, in the place of an older report there, as a whole or not at all.

    Raises
    ------
    InvalidInput
        Where ``out`` holds anything but a report.
    OSError
        Where it cannot be written.
    """
    facts.seconds.update(run.seconds)
    with replaced(Path(out)) as folder:
        for name, write in _formats().items():
            start = time.perf_counter()
            write(run, facts, folder)
            facts.seconds[f"write {name}"] = time.perf_counter() - start
        manifest.write(run, facts, folder)


@cache
def _formats() -> dict[str, Format]:
    """The formats of this package, by name; the manifest, which lists the others' files, is not among them."""
    package = importlib.import_module("greeks.report")
    modules = {m.name: importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)}
    return {name: module.write for name, module in modules.items() if hasattr(module, "write") and module is not manifest}
