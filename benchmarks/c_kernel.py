"""The C kernel beside this file: compiled for this processor where there is a compiler, and run."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.timing import child

__all__ = ["CResult", "Unavailable", "run"]

SOURCE = Path(__file__).with_name("gbm_asian_lr.c")
FLAGS = ("-O3", "-march=native", "-mprefer-vector-width=512", "-ffast-math", "-fopenmp-simd")
"""Those of a build for one machine, with all that the standard's arithmetic would forbid allowed."""


class Unavailable(Exception):
    """Why something cannot be measured here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CResult:
    """What the kernel printed.

    Attributes
    ----------
    cpu : float
        Seconds of the simulation alone, the least of the repeats.
    estimates : dict
        (value, standard error) by Greek.
    """

    cpu: float
    estimates: dict[str, tuple[float, float]]


def run(*, paths: int, dates: int, repeats: int) -> CResult:
    """Compile and run.

    Raises
    ------
    Unavailable
        Where it cannot be compiled.
    """
    compiler = shutil.which("gcc")
    if compiler is None:
        raise Unavailable("there is no gcc")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / SOURCE.stem
        command = [compiler, *FLAGS, str(SOURCE), "-lmvec", "-lm", "-o", str(program)]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        if built.returncode:
            raise Unavailable(f"gcc does not compile it: {built.stderr.strip().splitlines()[-1]}")
        facts = child([str(program), str(paths), str(dates), str(repeats)]).facts
    return CResult(
        cpu=facts["seconds"],
        estimates={name: (facts[name][0], facts[name][1]) for name in ("price", "delta", "vega", "rho")},
    )
