"""What every estimator can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from greeks.expectation.domain import FloatArray
from greeks.expectation.integrand import Draws
from greeks.expectation.regression import regressed

__all__ = ["Estimator", "Numbers"]


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Numbers whose mean is a derivative.

    Attributes
    ----------
    target : ndarray [sample, ...]
        Their mean is the estimate, and their standard error, as if they were independent, its honest error.
    controls : tuple of ndarray [sample, ...]
        Numbers of mean zero on the same samples, for the variance to be reduced by.
    """

    target: FloatArray
    controls: tuple[FloatArray, ...] = ()

    def adjusted(self) -> FloatArray:
        """The target less its regression on the controls, see `regressed`."""
        return regressed(self.target, self.controls)


class Estimator(ABC):
    """A way to the gradient of an expectation. Frozen; its name says the method.

    It gives one number for each sample and never averages: controls and standard errors are made once, for all of them.
    """

    name: ClassVar[str]

    @abstractmethod
    def numbers(self, draws: Draws) -> dict[str, Numbers]:
        """Numbers for each parameter.

        Raises
        ------
        NotApplicable
            Where this method would be wrong or cannot answer; the text names one that can.
        """

    def reference(self, draws: Draws) -> dict[str, Numbers]:
        """Numbers of an unbiased method on the same draws, to measure a bias by; none for a method that has no bias."""
        return {}
