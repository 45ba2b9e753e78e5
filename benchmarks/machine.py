"""What the figures were taken on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Machine", "machine"]

_PACKAGES = ("scoregreeks", "numba", "llvmlite", "numpy", "scipy", "pandas", "jax", "jaxlib", "QuantLib")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Processor, versions, and how busy it was.

    Attributes
    ----------
    processor, system, python : str
    cores : int
    load : float
        Average number of running processes over the last minute, before the run: above a few tenths, wall seconds say little.
    versions : dict
    """

    processor: str
    system: str
    python: str
    cores: int
    load: float
    versions: dict[str, str]


def machine() -> Machine:
    """This one, now."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return Machine(
        processor=_processor(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        cores=os.cpu_count() or 1,
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan"),
        versions=versions,
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
