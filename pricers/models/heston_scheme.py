"""What every scheme for Heston's variance can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pricers.models.conditional import ConditionalNormal, VariancePath
from pricers.models.conditional_summaries import Program
from pricers.paths import Law

if TYPE_CHECKING:
    from pricers.models.heston import Heston

__all__ = ["SLOPES", "Scheme"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SLOPES = ("v0", "kappa", "theta", "xi", "rho", "time")
"""What a variance path can be differentiated by; the slope of time is by the logarithm of the last date, all dates in proportion."""


class Scheme(ABC):
    """A discretisation of Heston's variance and of what it does to the spot; it knows no market. Frozen."""

    @abstractmethod
    def evolve(
        self,
        model: Heston,
        *,
        lattice: tuple[float, ...],
        nodes: IntArray,
        stretch: float,
        noise: tuple[FloatArray, FloatArray],
        parameters: tuple[str, ...],
        slopes: bool,
    ) -> VariancePath:
        """Variance paths at some nodes of the lattice, whose times are multiplied by ``stretch``.

        Of the ``noise``, normals [node, lane], the first drives what the spot has of its own and the second the variance.
        ``parameters``, some of `SLOPES`, are those to differentiate by; either slopes are kept, or scores made of them on the way.
        """

    def summarise(
        self,
        model: Heston,
        *,
        lattice: tuple[float, ...],
        nodes: IntArray,
        stretch: float,
        noise: tuple[FloatArray, FloatArray],
        program: Program,
    ) -> FloatArray:
        """A program's rows, [row, lane], of paths that nobody else wants; the numbers are those of the paths from `evolve`."""
        path = self.evolve(model, lattice=lattice, nodes=nodes, stretch=stretch, noise=noise, parameters=(), slopes=False)
        return program.made(1.0 - model.rho**2, path.walk, path.integral, path.drift)

    def law(
        self,
        given: ConditionalNormal,
        model: Heston,
        *,
        lattice: tuple[float, ...],
        stretch: float,
        noise: tuple[FloatArray, FloatArray],
    ) -> Law:
        """How a contract's spots move, whose last date ends the lattice: the law given the variance path, or one of the scheme's own."""
        return given

    def require_score(self, parameters: tuple[str, ...]) -> None:  # noqa: B027
        """See `Model.require_score`."""
