"""How large a run is."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Settings"]

_LEAST = 2**10


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Sizes of everything that is measured.

    Attributes
    ----------
    scale : float
        Factor on every number of paths; 1 for figures to be quoted. What depends on the number of paths only through noise
        (cpu seconds times squared error) may be read off smaller runs.
    repeats : int
        Of every timing; the least is taken.
    peers : bool
        Whether other libraries are measured too.
    seed : int
    """

    scale: float = 1.0
    repeats: int = 5
    peers: bool = True
    seed: int = 7

    def paths(self, full: int) -> int:
        """A power of two near ``full`` times the scale, at least 1024."""
        return max(_LEAST, 2 ** round(math.log2(full * self.scale)))

    def count(self, full: int, *, least: int) -> int:
        """``full`` independent repetitions of something, but only ``least`` where a run is so small that it is a mere trial."""
        return full if self.scale >= 2.0**-6 else least
