"""The binomial distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import gammaln

from greeks.expectation.distributions.elementwise import Elementwise, Triple, Values
from greeks.expectation.domain import FloatArray, inside_unit, whole

__all__ = ["Binomial"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Binomial(Elementwise):
    r"""Successes in n trials, probabilities :math:`\binom nx p^x (1-p)^{n-x}`.

    Weak derivative: n times y + 1 less y, y the successes in n - 1 trials: x with one trial, taken at random, left out.

    Attributes
    ----------
    trials : int
        n, at least 1; not differentiated by.
    probability : float or ndarray
        p, strictly between 0 and 1.
    """

    domains: ClassVar = {"probability": inside_unit}
    trials: int
    probability: Any = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "trials", whole("trials", self.trials, least=1))
        super().__post_init__()

    def _support(self, x: FloatArray) -> Any:
        return (x >= 0.0) & (x <= self.trials) & (x == np.floor(x))

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], values: Values) -> Any:
        (p,) = values
        return rng.binomial(self.trials, p, shape)

    def _log_density(self, x: FloatArray, values: Values) -> Any:
        (p,) = values
        n = self.trials
        ways = gammaln(n + 1.0) - gammaln(x + 1.0) - gammaln(n - x + 1.0)
        return ways + x * np.log(p) + (n - x) * np.log1p(-p)

    def _slopes(self, x: FloatArray, values: Values) -> tuple[Any, ...]:
        (p,) = values
        return ((x - self.trials * p) / (p * (1.0 - p)),)

    def _information(self, values: Values) -> dict[tuple[int, int], Any]:
        (p,) = values
        return {(0, 0): self.trials / (p * (1.0 - p))}

    def _triples(self, rng: np.random.Generator, x: FloatArray, values: Values) -> dict[str, Triple]:
        y = x - (rng.random(len(x)) * self.trials < x)
        return {"probability": (float(self.trials), y + 1.0, y)}
