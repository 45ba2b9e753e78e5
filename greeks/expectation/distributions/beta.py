"""The beta distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import betainc, betaln, digamma, polygamma

from greeks.expectation.distributions.elementwise import Elementwise, Values
from greeks.expectation.domain import FloatArray, above_zero

__all__ = ["Beta"]

_STEP = 1e-5


@dataclass(frozen=True, kw_only=True, eq=False)
class Beta(Elementwise):
    r"""Beta variables, density :math:`x^{\alpha-1}(1-x)^{\beta-1}/B(\alpha, \beta)`, mean :math:`\alpha/(\alpha + \beta)`.

    A draw moves with the parameters as its quantile does, :math:`-\partial F(x)/p(x)` (Figurnov, Mohamed and Mnih
    2018), by a central difference of the distribution function.

    Attributes
    ----------
    alpha, beta : float or ndarray
        Positive.
    """

    domains: ClassVar = {"alpha": above_zero, "beta": above_zero}
    alpha: Any = 1.0
    beta: Any = 1.0

    def _support(self, x: FloatArray) -> Any:
        return (x > 0.0) & (x < 1.0)

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], values: Values) -> Any:
        alpha, beta = values
        return np.clip(rng.beta(alpha, beta, shape), np.finfo(float).tiny, 1.0 - np.finfo(float).epsneg)

    def _log_density(self, x: FloatArray, values: Values) -> Any:
        alpha, beta = values
        return (alpha - 1.0) * np.log(x) + (beta - 1.0) * np.log1p(-x) - betaln(alpha, beta)

    def _slopes(self, x: FloatArray, values: Values) -> tuple[Any, ...]:
        alpha, beta = values
        both = digamma(alpha + beta)
        return np.log(x) - digamma(alpha) + both, np.log1p(-x) - digamma(beta) + both

    def _information(self, values: Values) -> dict[tuple[int, int], Any]:
        alpha, beta = values
        both = polygamma(1, alpha + beta)
        return {(0, 0): polygamma(1, alpha) - both, (0, 1): -both, (1, 1): polygamma(1, beta) - both}

    def _tangents(self, x: FloatArray, values: Values) -> tuple[Any, ...]:
        alpha, beta = values
        lower = x * (alpha + beta) < alpha  # differences are of the lesser tail, so that their relative error is small
        p: Any = np.where(lower, alpha, beta)
        q: Any = np.where(lower, beta, alpha)
        y = np.where(lower, x, 1.0 - x)
        up, down = 1.0 + _STEP, 1.0 - _STEP
        by_p = (betainc(up * p, q, y) - betainc(down * p, q, y)) / (2.0 * _STEP * p)
        by_q = (betainc(p, up * q, y) - betainc(p, down * q, y)) / (2.0 * _STEP * q)
        inverse = np.exp(-self._log_density(x, values))
        return np.where(lower, -by_p, by_q) * inverse, np.where(lower, -by_q, by_p) * inverse
