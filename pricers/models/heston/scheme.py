"""What every scheme for Heston's variance can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pricers.models.heston.conditional_normal import ConditionalNormal, VariancePath
from pricers.models.heston.one_pass import Program
from pricers.models.heston.parameters import HestonParameters
from pricers.paths.paths import Law

__all__ = ["Drivers", "Scheme"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drivers:
    """What drives variance paths, and where they are wanted.

    Attributes
    ----------
    time_grid : tuple of float
        Where steps end, years.
    time_scale : float
        What those times are multiplied by.
    noise : tuple of ndarray [grid point, path]
        Normals: the first drive what the spot has of its own, the second the variance.
    grid_points : ndarray
        Of the time grid, those whose paths are kept.
    """

    time_grid: tuple[float, ...]
    time_scale: float
    noise: tuple[FloatArray, FloatArray]
    grid_points: IntArray

    @property
    def n_paths(self) -> int:
        """Paths."""
        return self.noise[0].shape[1]

    def until(self, last: int) -> Drivers:
        """The same up to a grid point."""
        own, variance = self.noise
        grid_points = self.grid_points[self.grid_points <= last]
        return replace(
            self, time_grid=self.time_grid[: last + 1], noise=(own[: last + 1], variance[: last + 1]), grid_points=grid_points
        )


class Scheme(ABC):
    """A discretisation of Heston's variance and of what it does to the spot; it knows no market. Frozen."""

    @abstractmethod
    def evolve(self, model: HestonParameters, drivers: Drivers, *, parameters: tuple[str, ...], slopes: bool) -> VariancePath:
        """Variance paths at the drivers' grid points.

        ``parameters``, some of `SLOPES`, are those to differentiate by; either slopes are kept, or scores made of them on the way.
        """

    def summarise(self, model: HestonParameters, drivers: Drivers, program: Program) -> FloatArray:
        """A program's rows, [row, path], of paths that are used for nothing else; the numbers are those of the paths from `evolve`."""
        path = self.evolve(model, drivers, parameters=(), slopes=False)
        return program.made(1.0 - model.rho**2, path.walk, path.integral, path.drift)

    def law(self, given: ConditionalNormal, model: HestonParameters, drivers: Drivers) -> Law:
        """How a contract's spots move, whose last date ends the time grid: the law given the variance path, or one of the scheme's own."""
        return given

    def require_score(self, parameters: tuple[str, ...]) -> None:  # noqa: B027
        """See `Model.require_score`."""

    def require_slope_by_xi(self, model: HestonParameters) -> None:  # noqa: B027
        """Raise `NotApplicable` where xi is so small that rounding drowns the derivative by it; no scheme need define it."""
