"""Seconds, in this process and in others."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Child", "Timing", "child", "peak_memory", "python", "timed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The least of several runs, each kind of second by itself.

    Attributes
    ----------
    cpu : float
        Processor seconds of the process, all of its threads together: what is compared, since waiting for a busy machine is not in it.
    wall : float
    """

    cpu: float
    wall: float


def timed(run: Callable[[], object], *, repeats: int, warm: bool = True) -> Timing:
    """``run()`` timed ``repeats`` times, after once untimed (where ``warm``) in which whatever is compiled gets compiled."""
    if warm:
        run()
    cpu, wall = [], []
    for _ in range(repeats):
        wall_0, cpu_0 = time.perf_counter(), time.process_time()
        run()
        cpu.append(time.process_time() - cpu_0)
        wall.append(time.perf_counter() - wall_0)
    return Timing(cpu=min(cpu), wall=min(wall))


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """What a process of its own took.

    Attributes
    ----------
    cpu, wall : float
        Seconds from its start to its end.
    output : str
    """

    cpu: float
    wall: float
    output: str

    @property
    def facts(self) -> Any:
        """Its last line, as JSON."""
        return json.loads(self.output.splitlines()[-1])


def child(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Child:
    """Run a command to its end.

    Raises
    ------
    RuntimeError
        Where it fails; with what it said.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=None if environment is None else {**os.environ, **environment},
    )
    assert process.stdout is not None
    with process.stdout:
        output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {output[-2000:]}")
    return Child(cpu=usage.ru_utime + usage.ru_stime, wall=wall, output=output)


def python(code: str, *options: str, environment: Mapping[str, str] | None = None) -> Child:
    """Run a piece of Python in a process of its own."""
    return child([sys.executable, *options, "-c", code], environment=environment)


def peak_memory() -> float:
    """MiB, the most that this process held at once."""
    status = Path("/proc/self/status")
    if status.exists():  # the resource usage of a child begins with what its parent held
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
