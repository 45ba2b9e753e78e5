"""``manifest.json``: what was run, on what, by what, and what came out."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greeks.portfolio import inputs
from greeks.report.facts import Facts
from greeks.report.judgement import judged
from pricers.version import __version__

if TYPE_CHECKING:
    from greeks.portfolio.batch import BookRun

__all__ = ["NAME", "PROGRAM", "digest", "listed", "read", "write"]

NAME = "manifest.json"
PROGRAM = "scoregreeks"


def write(run: BookRun, facts: Facts, folder: Path) -> None:
    """Write the manifest, last of all: it lists the other files."""
    told = judged(run)
    content = {
        "program": PROGRAM,
        "version": __version__,
        "kind": run.kind,
        "started": run.started.isoformat(timespec="milliseconds"),
        "ended": run.ended.isoformat(timespec="milliseconds"),
        "command": list(facts.command),
        "valuation": run.valuation.isoformat(),
        "inputs": dict(facts.inputs),
        "plan": {
            "paths": run.plan.paths,
            "seed": run.plan.seed,
            "steps_per_year": run.plan.steps_per_year,
            "refinement": run.plan.refinement,
            "sampling": repr(run.plan.sampling),
            "enough": run.enough,
        },
        "threads": run.threads,
        "estimator": run.estimator,
        "estimators": {name: dict(counts) for name, counts in run.estimators.items()},
        "rows": {"in": run.rows, "priced": run.priced, "failed": run.failed},
        "verdicts": dict(run.verdicts),
        "likelihood_ratio_beside": dict(run.witness),
        "numbers_without_known_error": run.unresolved,
        "judgement": {"level": told.level, "says": list(told.sentences), "noisy_totals": list(told.noisy)},
        "threshold": run.limit if math.isfinite(run.limit) else None,
        "ignored_columns": list(run.ignored),
        "seconds": {stage: round(seconds, 4) for stage, seconds in facts.seconds.items()},
        "software": versions(),
        "instructions": run.instructions,
        "files": {path.name: digest(path) for path in sorted(folder.iterdir())},
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    (folder / NAME).write_text(text, encoding="utf-8", errors="backslashreplace")  # names of files may hold any bytes


def read(folder: Path) -> dict[str, Any] | None:
    """The manifest of a report of ours, or None where there is none."""
    try:
        content = json.loads(inputs.text(folder / NAME))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and content.get("program") == PROGRAM else None


def listed(content: Mapping[str, Any]) -> dict[str, str]:
    """The digests of the files that a manifest lists, by name; entries that no report writes, such as paths, are left out."""
    files = content.get("files")
    return {
        name: value
        for name, value in (files.items() if isinstance(files, dict) else ())
        if isinstance(value, str) and not name.startswith(".") and not {"/", "\\", "\0"} & set(name) and name not in ("", NAME)
    }


def digest(path: Path) -> str:
    """SHA-256 of a plain file, in hexadecimal."""
    with inputs.opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """What the numbers were computed with."""
    packages = ("numpy", "numba", "scipy", "pandas")
    return {
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
        "platform": f"{platform.system()} {platform.machine()}",
    }
