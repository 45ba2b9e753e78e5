"""What an estimate says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from greeks.expectation.domain import FloatArray

__all__ = ["Estimates", "Gradient", "GradientEstimate", "Hessian", "averaged"]

K = TypeVar("K")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GradientEstimate:
    """A number or array of numbers with standard errors.

    Attributes
    ----------
    value : float or ndarray
        In the shape of what it is the derivative by.
    stderr : float or ndarray
        Standard error of each number.
    """

    value: FloatArray
    stderr: FloatArray

    def __str__(self) -> str:
        if np.ndim(self.value) == 0:
            return f"{self.value:.6g} +- {self.stderr:.2g}"
        pairs = zip(np.ravel(self.value), np.ravel(self.stderr), strict=True)
        shown = np.array([f"{value:.4g} +- {stderr:.2g}" for value, stderr in pairs]).reshape(np.shape(self.value))
        return np.array2string(shown, formatter={"all": str}, separator=", ")


def averaged(numbers: FloatArray) -> GradientEstimate:
    """Mean over samples of numbers [sample, ...], with its standard error."""
    value = numbers.mean(axis=0)
    stderr = numbers.std(axis=0, ddof=1) / np.sqrt(len(numbers))
    return GradientEstimate(value=value, stderr=stderr)


class Estimates(Mapping[K, GradientEstimate], Generic[K]):
    """Estimates by name, and how they came about.

    Attributes
    ----------
    samples : int
        Draws from the distribution.
    mean : GradientEstimate
        Of f itself, on the same draws.
    bias : dict
        For an estimator that is biased, what its bias was measured to be, with the error of that: each name's
        difference to an unbiased estimator on the same draws. Empty for an unbiased one.
    estimator : str
        The method.
    """

    __slots__ = ("_estimates", "bias", "estimator", "mean", "samples")

    def __init__(
        self,
        estimates: Mapping[K, GradientEstimate],
        *,
        samples: int,
        mean: GradientEstimate,
        estimator: str,
        bias: Mapping[K, GradientEstimate],
    ):
        self._estimates = dict(estimates)
        self.samples, self.mean, self.estimator, self.bias = samples, mean, estimator, dict(bias)

    def __getitem__(self, name: K) -> GradientEstimate:
        if name not in self._estimates:
            raise KeyError(f"{name!r} is no parameter; there are {', '.join(map(str, self._estimates))}")
        return self._estimates[name]

    def __iter__(self) -> Iterator[K]:
        return iter(self._estimates)

    def __len__(self) -> int:
        return len(self._estimates)

    def __repr__(self) -> str:
        rows: list[tuple[Any, GradientEstimate]] = [("E[f]", self.mean), *self._estimates.items()]
        lines = [f"{name} = {estimate}" for name, estimate in rows]
        lines += [f"bias of {name} = {estimate}" for name, estimate in self.bias.items()]
        return "\n".join([f"{self.estimator}, {self.samples} samples", *lines])


class Gradient(Estimates[str]):
    """Gradient of E[f(X)], by the parameters' names, each in its parameter's shape; attributes as of `Estimates`."""

    __slots__ = ()


class Hessian(Estimates[tuple[str, str]]):
    """Second derivatives of E[f(X)], by pairs of names, [*shape of the first, *of the second]; attributes as of `Estimates`."""

    __slots__ = ()
