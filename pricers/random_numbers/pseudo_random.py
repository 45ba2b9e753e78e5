"""Independent normals by counter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from pricers.errors import InvalidInput
from pricers.random_numbers.philox import normals
from pricers.random_numbers.sampling import Address, Sampling

__all__ = ["Antithetic", "Automatic", "PseudoRandom"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PseudoRandom(Sampling):
    """Philox4x32-10 and Box-Muller: every grid point of every path has a normal of its own address."""

    def normals(self, address: Address, out: FloatArray) -> None:
        """See `Sampling.normals`."""
        normals(out, *address.key, address.first, 0, address.factor)


@dataclass(frozen=True, slots=True)
class Automatic(PseudoRandom):
    """`PseudoRandom`, or scrambled `Sobol` points where a pilot finds that they leave less error for the same time.

    What a plan has where none is named. Only `greeks.sensitivities` runs such a pilot; trades of a book share independent paths.
    """


@dataclass(frozen=True, slots=True)
class Antithetic(Sampling):
    """Pairs of paths with opposite normals; the mean of a pair counts as one number.

    It takes out what is odd in the normals: good for delta, of no use or harmful for gamma and vega, whose scores are even.
    """

    group: ClassVar[int] = 2

    def check(self, paths: int) -> None:
        """An even number of paths."""
        if paths % 2:
            raise InvalidInput("paths", paths, "must be even for antithetic pairs")

    def fitting(self, paths: int) -> int:
        """See `Sampling.fitting`."""
        return paths + paths % 2

    def normals(self, address: Address, out: FloatArray) -> None:
        """See `Sampling.normals`; the second half of the paths mirrors the first."""
        half = address.n_paths // 2
        drawn = np.empty((out.shape[0], half))
        normals(drawn, *address.key, address.first, 0, address.factor)
        out[:, :half] = drawn
        np.negative(drawn, out=out[:, half:])
