"""What a number costs: processor seconds times squared error, which no number of paths changes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["Measured", "best"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One party's Greeks of one workload by one method.

    Attributes
    ----------
    party : str
        Whose code.
    setting : str
        What of it was used.
    paths : int
    cpu : float
        Processor seconds for one set of Greeks on that many paths.
    values, stderrs : mapping of str to float
        By Greek; ``stderrs`` for that many paths.
    notes : mapping of str to str
        What the party says of each Greek.
    samples : float
        Independent numbers that a standard error was estimated from: it is known to one over the root of twice as many.
    """

    party: str
    setting: str
    paths: int
    cpu: float
    values: Mapping[str, float]
    stderrs: Mapping[str, float]
    samples: float = math.inf
    notes: Mapping[str, str] = field(default_factory=dict)

    def merit(self, greek: str) -> float:
        """Seconds times squared error: the seconds that an error of 1 takes."""
        return self.cpu * self.stderrs[greek] ** 2 if greek in self.stderrs else math.nan


def best(found: Iterable[Measured], greek: str) -> Measured | None:
    """That of least merit for one Greek; None where nobody has it."""
    able = [measured for measured in found if not math.isnan(measured.merit(greek))]
    return min(able, key=lambda measured: measured.merit(greek), default=None)
