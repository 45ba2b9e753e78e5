"""What every way of sampling can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

__all__ = ["ATOM", "Address", "Sampling"]

FloatArray = npt.NDArray[np.float64]

ATOM = 64
"""Paths whose moments are taken together. It fixes the order of every sum, so that no block size or thread count can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Which normals are wanted.

    Attributes
    ----------
    key : tuple of int
        Of the seed and the stream (`pricers.random_numbers.philox.stream_key`).
    time_grid : tuple of float
        Times of the grid points, years.
    factor, factors : int
        Which driver of the model, and how many it has.
    first, n_paths : int
        First path of the block, and how many follow.
    paths : int
        Paths of the whole plan.
    """

    key: tuple[int, int]
    time_grid: tuple[float, ...]
    factor: int
    factors: int
    first: int
    n_paths: int
    paths: int

    def of(self, factor: int) -> Address:
        """The same paths' address for another driver."""
        return self if factor == self.factor else replace(self, factor=factor)


class Sampling(ABC):
    """A way to turn addresses into normals. Frozen."""

    group: ClassVar[int] = 1
    """Paths that depend on each other, in a run of paths: they are averaged before anything else."""
    independent: ClassVar[bool] = True
    """Whether (groups of) paths are independent, so that errors follow from their spread; otherwise only batches are."""

    @abstractmethod
    def normals(self, address: Address, out: FloatArray) -> None:
        """Fill ``out[grid_point, path]`` with standard normals: scaled increments of Brownian motion."""

    @property
    def greatest(self) -> float:
        """No root mean square of a path's normals is beyond it. Philox gives normals up to 7.6, Sobol points up to 8.3."""
        return 8.5

    def check(self, paths: int) -> None:  # noqa: B027
        """Raise `InvalidInput` where the number of paths does not fit."""

    def batch(self, paths: int) -> int | None:
        """Paths in a batch, where the sampling decides; None where it does not matter."""
        return None

    def fitting(self, paths: int) -> int:
        """A number of paths that fits, about as many as ``paths``."""
        return paths

    def n_paths(self, wanted: int, paths: int) -> int:
        """Paths of a block, near ``wanted``."""
        return wanted
