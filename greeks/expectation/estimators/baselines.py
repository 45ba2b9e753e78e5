"""What is taken off f in front of the score, whose mean is zero."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from greeks.expectation.domain import FloatArray
from greeks.expectation.estimators.estimator import Numbers
from pricers.errors import finite

__all__ = ["Baseline", "Constant", "LeaveOneOut", "Optimal", "weighted"]


class Baseline(ABC):
    r"""A way to choose the number b in :math:`E[(f - b)\,s] = E[f s]`."""

    @abstractmethod
    def numbers(self, values: FloatArray, score: FloatArray) -> Numbers:
        """From f [sample] and a score [sample, *shape] to numbers whose mean is the derivative."""


def weighted(values: FloatArray, score: FloatArray) -> FloatArray:
    """Products of numbers [sample] with scores [sample, *shape]."""
    return values.reshape(-1, *[1] * (score.ndim - 1)) * score


@dataclass(frozen=True, slots=True)
class Constant(Baseline):
    """A number known beforehand, such as a running mean of earlier steps; 0 is no baseline.

    Attributes
    ----------
    value : float
        b.
    """

    value: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", finite("value", self.value))

    def numbers(self, values: FloatArray, score: FloatArray) -> Numbers:
        """See `Baseline.numbers`."""
        return Numbers(weighted(values - self.value, score))


@dataclass(frozen=True, slots=True)
class LeaveOneOut(Baseline):
    r"""For each sample the mean of f over the others (Kool, van Hoof and Welling 2019): unbiased, as that is independent of it.

    The estimate is the samples' covariance of f and score, a U-statistic. What is given for each sample is its
    jackknife pseudo-value (Efron and Stein 1981): their mean is the estimate, and their spread gives its error, the
    dependence by way of the common mean included.
    """

    def numbers(self, values: FloatArray, score: FloatArray) -> Numbers:
        """See `Baseline.numbers`."""
        count = len(values)
        products = weighted(values - values.mean(), score - score.mean(axis=0))
        mean = products.mean(axis=0)
        return Numbers(mean * count / (count - 1) + (products - mean) * count / (count - 2))


@dataclass(frozen=True, slots=True)
class Optimal(Baseline):
    r"""For each number of the score s its own :math:`b^* = E[f s^2]/E[s^2]`, which minimises the variance (Weaver and Tao 2001).

    Fitted by regression of fs on s, for each sample on the others: unbiased too.
    """

    def numbers(self, values: FloatArray, score: FloatArray) -> Numbers:
        """See `Baseline.numbers`."""
        return Numbers(weighted(values, score), (np.asarray(score),))
