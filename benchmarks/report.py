"""What a question's answer looks like: tables of dataclasses, wishes met or not, remarks; as text and as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Check", "Report", "Table", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of one dataclass, whose fields are the columns.

    Attributes
    ----------
    title : str
    rows : sequence of dataclass instances
    """

    title: str
    rows: Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A wish and what was found.

    Attributes
    ----------
    what : str
    found : float
    wanted : float
    least : bool
        Whether ``wanted`` is a lower bound; otherwise it is an upper one.
    """

    what: str
    found: float
    wanted: float
    least: bool = False

    @property
    def met(self) -> bool:
        """Whether it holds; never of a number that is none."""
        return self.found >= self.wanted if self.least else self.found <= self.wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The answer to one question."""

    question: str
    tables: Sequence[Table] = ()
    checks: Sequence[Check] = ()
    notes: Sequence[str] = field(default_factory=list)

    def json(self) -> dict[str, Any]:
        """All of it, in plain types; numbers that are none become null."""
        plain = dataclasses.asdict(self)
        for check, printed in zip(self.checks, plain["checks"], strict=True):
            printed["met"] = check.met
        return _plain(plain)


def text(report: Report) -> str:
    """The report for people to read."""
    parts = [f"## {report.question}"]
    parts += [f"{table.title}\n{_grid(table.rows)}" for table in report.tables if table.rows]
    if report.checks:
        parts.append("\n".join(_told(check) for check in report.checks))
    if report.notes:
        parts.append("\n".join(f"- {note}" for note in report.notes))
    return "\n\n".join(parts) + "\n"


def _told(check: Check) -> str:
    verdict = "met" if check.met else "NOT MET"
    return f"{verdict:>7}  {check.what}: {number(check.found)}, wanted {'>=' if check.least else '<='} {number(check.wanted)}"


def number(value: float) -> str:
    """Three digits, or as many as a whole number has."""
    if isinstance(value, int):
        return f"{value:,}"
    if math.isnan(value):
        return "-"
    if value == 0.0 or 1e-2 <= abs(value) < 1e5:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:.1e}"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(value)
    return str(value)


def _grid(rows: Sequence[Any]) -> str:
    names = [item.name for item in dataclasses.fields(rows[0])]
    cells = [[name.replace("_", " ") for name in names]]
    cells += [[_cell(getattr(row, name)) for name in names] for row in rows]
    words = [all(isinstance(getattr(row, name), (str, type(None))) for row in rows) for name in names]
    widths = [max(len(line[k]) for line in cells) for k in range(len(names))]
    lines = [_line(line, widths, words) for line in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _line(cells: Iterable[str], widths: Sequence[int], words: Sequence[bool]) -> str:
    padded = (cell.ljust(width) if word else cell.rjust(width) for cell, width, word in zip(cells, widths, words, strict=True))
    return "  ".join(padded).rstrip()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (str, bool, int, type(None))):
        return value
    found = float(value)
    return found if math.isfinite(found) else None
