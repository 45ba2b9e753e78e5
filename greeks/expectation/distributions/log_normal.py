"""The log-normal distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from greeks.expectation.distributions.elementwise import Elementwise, Triple, Values
from greeks.expectation.distributions.normal import normal_triples
from greeks.expectation.domain import FloatArray, above_zero, real

__all__ = ["LogNormal"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LogNormal(Elementwise):
    r"""Variables with a normal logarithm, :math:`\ln x = \mu + \sigma z`.

    Weak derivatives are those of `Normal`, for the logarithm.

    Attributes
    ----------
    mean, std : float or ndarray
        :math:`\mu` and :math:`\sigma > 0`: mean and standard deviation of ln x.
    """

    domains: ClassVar = {"mean": real, "std": above_zero}
    mean: Any = 0.0
    std: Any = 1.0

    def _support(self, x: FloatArray) -> Any:
        return np.isfinite(x) & (x > 0.0)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], values: Values) -> Any:
        mean, std = values
        return np.exp(mean + std * rng.standard_normal(shape))

    def _log_density(self, x: FloatArray, values: Values) -> Any:
        mean, std = values
        log = np.log(x)
        return -0.5 * ((log - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2.0 * np.pi) - log

    def _slopes(self, x: FloatArray, values: Values) -> tuple[Any, ...]:
        mean, std = values
        z = (np.log(x) - mean) / std
        return z / std, (z * z - 1.0) / std

    def _information(self, values: Values) -> dict[tuple[int, int], Any]:
        _, std = values
        return {(0, 0): 1.0 / std**2, (1, 1): 2.0 / std**2}

    def _tangents(self, x: FloatArray, values: Values) -> tuple[Any, ...]:
        mean, std = values
        return x, x * (np.log(x) - mean) / std

    def _triples(self, rng: np.random.Generator, x: FloatArray, values: Values) -> dict[str, Triple]:
        triples = zip(self.domains, normal_triples(rng, len(x), *values), strict=True)
        return {name: (weight, np.exp(plus), np.exp(minus)) for name, (weight, plus, minus) in triples}
