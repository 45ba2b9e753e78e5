"""The gamma distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import digamma, gammainc, gammaincc, gammaln, polygamma

from greeks.expectation.distributions.elementwise import Elementwise, Triple, Values
from greeks.expectation.domain import FloatArray, above_zero

__all__ = ["Gamma"]

_STEP = 1e-5
"""Relative step of differences of the distribution function; that is known to 1e-15, and its derivative so to 1e-10."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Gamma(Elementwise):
    r"""Gamma variables, density :math:`\beta^\alpha x^{\alpha-1} e^{-\beta x}/\Gamma(\alpha)`, mean :math:`\alpha/\beta`.

    A draw moves with the shape as its quantile does: :math:`-\partial_\alpha F(x)/p(x)` (Figurnov, Mohamed and Mnih
    2018). Weak derivative by the rate: :math:`\alpha/\beta` times x less x + e, e exponential (their sum has the shape
    :math:`\alpha + 1`); by the shape none.

    Attributes
    ----------
    shape, rate : float or ndarray
        :math:`\alpha > 0` and :math:`\beta > 0`.
    """

    domains: ClassVar = {"shape": above_zero, "rate": above_zero}
    shape: Any = 1.0
    rate: Any = 1.0

    def _support(self, x: FloatArray) -> Any:
        return np.isfinite(x) & (x > 0.0)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], values: Values) -> Any:
        alpha, rate = values
        return np.maximum(rng.standard_gamma(alpha, shape) / rate, np.finfo(float).tiny)

    def _log_density(self, x: FloatArray, values: Values) -> Any:
        alpha, rate = values
        return alpha * np.log(rate) + (alpha - 1.0) * np.log(x) - rate * x - gammaln(alpha)

    def _slopes(self, x: FloatArray, values: Values) -> tuple[Any, ...]:
        alpha, rate = values
        return np.log(rate) + np.log(x) - digamma(alpha), alpha / rate - x

    def _information(self, values: Values) -> dict[tuple[int, int], Any]:
        alpha, rate = values
        return {(0, 0): polygamma(1, alpha), (0, 1): -1.0 / rate, (1, 1): alpha / rate**2}

    def _tangents(self, x: FloatArray, values: Values) -> tuple[Any, ...]:
        alpha, rate = values
        y = rate * x
        up, down = (1.0 + _STEP) * alpha, (1.0 - _STEP) * alpha
        change = np.where(  # of the lesser tail, so that its relative error is small
            y < alpha, gammainc(up, y) - gammainc(down, y), gammaincc(down, y) - gammaincc(up, y)
        ) / (up - down)
        return -change * np.exp(-self._log_density(x, values)), -x / rate

    def _triples(self, rng: np.random.Generator, x: FloatArray, values: Values) -> dict[str, Triple]:
        alpha, rate = values
        return {"rate": (alpha / rate, x, x + rng.standard_exponential(len(x)) / rate)}
