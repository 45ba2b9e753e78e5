"""Whether a report fits on the disk, before it is computed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from greeks.report.folder import missing
from pricers.errors import InvalidInput

__all__ = ["check_space", "expected_bytes"]

_BYTES = {"report": 1_500, "crosscheck": 5_000}
"""Of all files together for a trade and Greek. Measured: 445 for a report of 20,000 trades (the page shows 5,000 of them), 960 for the
sample book's, 3,600 for its cross-check, which has a line for each method."""

_USUAL_GREEKS = 6
_LEAST_BYTES = 1_000_000


def check_space(out: Path, command: str, *, rows: int, greeks: int | None) -> None:
    """Refuse a report that will not fit where it is to be written.

    Parameters
    ----------
    out : path
        The folder, which need not be there.
    command : {"report", "crosscheck"}
    rows : int
        Trades.
    greeks : int, optional
        Number of Greeks, where they are named.

    Raises
    ------
    InvalidInput
        Where fewer bytes are free than `expected_bytes`.
    """
    made = missing(out)
    place = made[0].parent if made else Path(os.path.realpath(out))
    try:
        found = shutil.disk_usage(place)
    except OSError:
        return
    needed = expected_bytes(command, rows=rows, greeks=greeks)
    if found.total and found.free < needed:
        reason = f"has {found.free / 1e6:,.1f} MB free, and a report of {rows:,} trades needs about {needed / 1e6:,.1f} MB"
        raise InvalidInput("output folder", str(out), f"{reason}; make room, or name a folder on another disk")


def expected_bytes(command: str, *, rows: int, greeks: int | None = None) -> int:
    """About how many bytes a report has, rather too many than too few."""
    return _LEAST_BYTES + rows * (_USUAL_GREEKS if greeks is None else greeks) * _BYTES[command]
