"""The exponential distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from greeks.expectation.distributions.elementwise import Elementwise, Triple, Values
from greeks.expectation.domain import FloatArray, above_zero

__all__ = ["Exponential"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Exponential(Elementwise):
    r"""Exponential variables, density :math:`\lambda e^{-\lambda x}`, mean :math:`1/\lambda`.

    Weak derivative: :math:`1/\lambda` times x less x + x', x' another draw (their sum is Erlang).

    Attributes
    ----------
    rate : float or ndarray
        :math:`\lambda > 0`.
    """

    domains: ClassVar = {"rate": above_zero}
    rate: Any = 1.0

    def _support(self, x: FloatArray) -> Any:
        return np.isfinite(x) & (x >= 0.0)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], values: Values) -> Any:
        (rate,) = values
        return rng.standard_exponential(shape) / rate

    def _log_density(self, x: FloatArray, values: Values) -> Any:
        (rate,) = values
        return np.log(rate) - rate * x

    def _slopes(self, x: FloatArray, values: Values) -> tuple[Any, ...]:
        (rate,) = values
        return (1.0 / rate - x,)

    def _information(self, values: Values) -> dict[tuple[int, int], Any]:
        (rate,) = values
        return {(0, 0): 1.0 / rate**2}

    def _tangents(self, x: FloatArray, values: Values) -> tuple[Any, ...]:
        (rate,) = values
        return (-x / rate,)

    def _triples(self, rng: np.random.Generator, x: FloatArray, values: Values) -> dict[str, Triple]:
        (rate,) = values
        return {"rate": (1.0 / rate, x, x + rng.standard_exponential(len(x)) / rate)}
