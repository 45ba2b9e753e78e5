"""The Poisson distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import gammaln

from greeks.expectation.distributions.elementwise import Elementwise, Triple, Values
from greeks.expectation.domain import FloatArray, above_zero

__all__ = ["Poisson"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Poisson(Elementwise):
    r"""Counts with probabilities :math:`e^{-\lambda}\lambda^x/x!`. Weak derivative: x + 1 less x, of the same draw.

    Attributes
    ----------
    rate : float or ndarray
        :math:`\lambda > 0`, the mean.
    """

    domains: ClassVar = {"rate": above_zero}
    rate: Any = 1.0

    def _support(self, x: FloatArray) -> Any:
        return np.isfinite(x) & (x >= 0.0) & (x == np.floor(x))

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], values: Values) -> Any:
        (rate,) = values
        return rng.poisson(rate, shape)

    def _log_density(self, x: FloatArray, values: Values) -> Any:
        (rate,) = values
        return x * np.log(rate) - rate - gammaln(x + 1.0)

    def _slopes(self, x: FloatArray, values: Values) -> tuple[Any, ...]:
        (rate,) = values
        return (x / rate - 1.0,)

    def _information(self, values: Values) -> dict[tuple[int, int], Any]:
        (rate,) = values
        return {(0, 0): 1.0 / rate}

    def _triples(self, rng: np.random.Generator, x: FloatArray, values: Values) -> dict[str, Triple]:
        return {"rate": (1.0, x + 1.0, x)}
