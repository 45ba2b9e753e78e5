"""Where a payoff jumps: a quantity of the path, a threshold for it, and what is paid on either side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pricers.paths.paths import Paths

__all__ = ["Claim", "Discontinuity", "Last", "Level", "Maximum", "Minimum"]

FloatArray = npt.NDArray[np.float64]


class Level(Protocol):
    """A positive quantity of the path that moves smoothly with the spots."""

    def value(self, paths: Paths) -> FloatArray:
        """The quantity, [path]."""

    def slope(self, paths: Paths, parameter: str) -> FloatArray:
        """Its derivative by a parameter along each path, [path]."""


class Claim(Protocol):
    """A payoff without jumps; contracts are such."""

    def payoff(self, paths: Paths) -> FloatArray:
        """What is paid, [path]."""

    def derivative(self, paths: Paths, parameter: str) -> FloatArray:
        """Its derivative, as `pricers.contracts.contract.Contract.derivative`."""


@dataclass(frozen=True, slots=True)
class Last:
    """The spot on the last date."""

    def value(self, paths: Paths) -> FloatArray:
        """See `Level.value`."""
        return paths.last

    def slope(self, paths: Paths, parameter: str) -> FloatArray:
        """See `Level.slope`."""
        return paths.last * paths.slope("log_last", parameter)


@dataclass(frozen=True, slots=True)
class Minimum:
    """The least spot on any date; it moves as the spot of that date does."""

    def value(self, paths: Paths) -> FloatArray:
        """See `Level.value`."""
        return paths.minimum

    def slope(self, paths: Paths, parameter: str) -> FloatArray:
        """See `Level.slope`."""
        return paths.minimum * _at(
            paths.once("place of the minimum", lambda: paths.spot.argmin(axis=0)), paths.law.tangent(parameter)
        )


@dataclass(frozen=True, slots=True)
class Maximum:
    """The greatest spot on any date; it moves as the spot of that date does."""

    def value(self, paths: Paths) -> FloatArray:
        """See `Level.value`."""
        return paths.maximum

    def slope(self, paths: Paths, parameter: str) -> FloatArray:
        """See `Level.slope`."""
        return paths.maximum * _at(
            paths.once("place of the maximum", lambda: paths.spot.argmax(axis=0)), paths.law.tangent(parameter)
        )


def _at(date: npt.NDArray[np.intp], tangent: FloatArray) -> FloatArray:
    path = np.arange(len(date)) if tangent.shape[1] > 1 else 0
    found: FloatArray = tangent[date, path]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Discontinuity:
    """A payoff that is ``above`` where a level is above its threshold, and ``below`` elsewhere.

    Attributes
    ----------
    level : Level
    threshold : float
        Positive.
    above, below : Claim or float
        What is paid: a claim on the same paths, or an amount.
    """

    level: Level
    threshold: float
    above: Claim | float
    below: Claim | float

    def distance(self, paths: Paths) -> FloatArray:
        """Logarithm of the level over its threshold, [path]."""
        return np.log(self.level.value(paths) / self.threshold)

    def distance_slope(self, paths: Paths, parameter: str) -> FloatArray:
        """Its derivative, [path]."""
        return self.level.slope(paths, parameter) / self.level.value(paths)

    def sides(self, paths: Paths) -> tuple[FloatArray | float, FloatArray | float]:
        """What is paid below and above."""
        below, above = (side if isinstance(side, float) else side.payoff(paths) for side in (self.below, self.above))
        return below, above

    def side_slopes(self, paths: Paths, parameter: str) -> tuple[FloatArray | float, FloatArray | float]:
        """The derivatives of what is paid below and above."""
        below, above = (
            0.0 if isinstance(side, float) else side.derivative(paths, parameter) for side in (self.below, self.above)
        )
        return below, above
