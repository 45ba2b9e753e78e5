"""What a run over a book will take, estimated before it starts, and refused where that is more than anyone can mean."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from greeks.portfolio.batch import _JOBS
from greeks.portfolio.read_trades import Position
from pricers.engine.plan import Plan
from pricers.errors import InvalidInput
from pricers.market.market import DAYS_PER_YEAR

__all__ = ["LIMITS", "Limits", "Load", "available_bytes", "load_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a run will take.

    Attributes
    ----------
    trades, greeks, paths : int
    dates : int
        Of all trades together, steps between dates (Heston's) included.
    path_dates : int
        Paths times dates: what the seconds are proportional to.
    seconds : float
        On one thread; within a factor of four or so.
    bytes : int
        Of memory for results and blocks of paths.
    """

    trades: int
    greeks: int
    paths: int
    dates: int
    path_dates: int
    seconds: float
    bytes: int


_SECONDS = 10e-9
"""For a path and date, all usual Greeks with their checks: 5 to 14 ns in the benchmarks' books."""

_BYTES_PER_LINE, _ROWS = 8_000, 16
"""For a trade and Greek: the line of the table and what is kept for it, of which 20,000 trades on 1,000 paths took 4,300 and 5,000
trades on 65,536 paths 5,000; and the rows of moments of those that are simulated together, more than most methods have. (The book of
5,000 took 1.10 GB at most, and 1.14 are foreseen.)"""

_BASE_BYTES = 400_000_000
"""Of the libraries and of the blocks in flight."""


def load_of(positions: Sequence[Position], *, greeks: int, plan: Plan) -> Load:
    """The estimate for these positions.

    Parameters
    ----------
    positions : sequence of Position
    greeks : int
        Greeks of each.
    plan : Plan
    """
    dates = sum(_steps(position, plan) for position in positions)
    lines = len(positions) * greeks
    moments = min(lines, _JOBS * greeks) * 8 * _ROWS * (plan.batches + _ROWS * plan.sections)
    return Load(
        trades=len(positions),
        greeks=greeks,
        paths=plan.paths,
        dates=dates,
        path_dates=plan.paths * dates,
        seconds=plan.paths * dates * _SECONDS,
        bytes=_BASE_BYTES + lines * _BYTES_PER_LINE + moments,
    )


def _steps(position: Position, plan: Plan) -> int:
    dates = len(position.contract.times)
    if position.model.factors == 1:
        return dates
    return dates + int(position.contract.times[-1] * (plan.steps_per_year or DAYS_PER_YEAR)) * plan.refinement


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a run may take.

    Attributes
    ----------
    trades : int
        Rows of the table.
    threads : int
    path_dates : float
        Paths times dates of all trades; 1e14 are days on a usual machine.
    dates : int
        Of all trades together.
    memory : int, optional
        Bytes; by default what the machine (or the container) has available.
    """

    trades: int = 1_000_000
    threads: int = 1024
    path_dates: float = 1e14
    dates: int = 200_000_000
    memory: int | None = None

    def check_table(self, trades: int, threads: int | None) -> None:
        """Refuse a table that is too long, before its rows are read.

        Raises
        ------
        InvalidInput
            Its text names the number, the limit, and the way out.
        """
        if trades > self.trades:
            reason = f"must hold at most {self.trades:,} trades, and holds {trades:,}: split it, or lift the limits (--no-limits)"
            raise InvalidInput("portfolio", trades, reason)
        if isinstance(threads, int) and threads > self.threads:
            raise InvalidInput(
                "threads", threads, f"must be at most {self.threads:,}; more than there are processors gain nothing"
            )

    def check(self, load: Load) -> None:
        """Refuse a run that takes too long, or more memory than there is.

        Raises
        ------
        InvalidInput
            Its text names the number, the limit, and the way out.
        """
        if load.dates > self.dates:
            reason = f"must be at most {self.dates:,} over all trades, and are {load.dates:,}: split the book"
            raise InvalidInput("dates", load.dates, f"{reason}, or lift the limits (--no-limits)")
        if load.path_dates > self.path_dates:
            most = max(int(self.path_dates / max(load.dates, 1)), 2)
            taken = (
                f"{load.paths:,} paths over {load.dates:,} dates of {load.trades:,} trades take about {_duration(load.seconds)}"
            )
            reason = f"must be at most {most:,} for this book ({taken} of one processor): ask for fewer"
            raise InvalidInput("paths", load.paths, f"{reason}, or lift the limits (--no-limits)")
        memory = available_bytes() if self.memory is None else self.memory
        if memory is not None and load.bytes > memory:
            needed = f"{load.trades:,} trades with {load.greeks} Greeks need about {load.bytes / 1e9:,.1f} GB"
            reason = (
                f"must fit into the {memory / 1e9:,.1f} GB that are available ({needed}): split the book, ask for fewer Greeks"
            )
            raise InvalidInput("memory", load.bytes, f"{reason}, or lift the limits (--no-limits)")


LIMITS = Limits()


def _duration(seconds: float) -> str:
    for size, name in ((365.0 * 86400.0, "years"), (86400.0, "days"), (3600.0, "hours")):
        if seconds >= 2.0 * size:
            return f"{seconds / size:,.0f} {name}"
    return f"{seconds:,.0f} seconds"


def available_bytes() -> int | None:
    """Memory that can be had without swapping: the machine's, or the container's where that is less; None where neither says."""
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found.append(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")))
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current"))
        found.append(max(limit - used, 0))
    if not found:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(found, default=None)
