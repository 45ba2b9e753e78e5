"""Student's t distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import betainc, digamma, gammaln, polygamma

from greeks.expectation.distributions.elementwise import Elementwise, Triple, Values
from greeks.expectation.distributions.normal import normal_triples
from greeks.expectation.domain import FloatArray, above_zero, real

__all__ = ["StudentT"]

_STEP = 1e-5


@dataclass(frozen=True, kw_only=True, eq=False)
class StudentT(Elementwise):
    r"""Student t variables, :math:`x = \ell + s\,z/\sqrt g`, z normal, :math:`\nu g` chi-square with :math:`\nu` degrees.

    Given g it is normal, and so are its weak derivatives by location and scale; by the degrees of freedom it has none.
    A draw moves with them as its quantile does, :math:`-\partial_\nu F(x)/p(x)`. Moments of order :math:`\nu` and above
    are infinite. Fisher information: Lange, Little and Taylor (1989), appendix B.

    Attributes
    ----------
    df, loc, scale : float or ndarray
        :math:`\nu > 0`, :math:`\ell` and :math:`s > 0`.
    """

    domains: ClassVar = {"df": above_zero, "loc": real, "scale": above_zero}
    df: Any
    loc: Any = 0.0
    scale: Any = 1.0

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], values: Values) -> Any:
        df, loc, scale = values
        return loc + scale * rng.standard_t(df, shape)

    def _log_density(self, x: FloatArray, values: Values) -> Any:
        df, loc, scale = values
        z = (x - loc) / scale
        constant = gammaln(0.5 * (df + 1.0)) - gammaln(0.5 * df) - 0.5 * np.log(np.pi * df) - np.log(scale)
        return constant - 0.5 * (df + 1.0) * np.log1p(z * z / df)

    def _slopes(self, x: FloatArray, values: Values) -> tuple[Any, ...]:
        df, loc, scale = values
        z = (x - loc) / scale
        pull = (df + 1.0) / (df + z * z)
        by_df = digamma(0.5 * (df + 1.0)) - digamma(0.5 * df) - 1.0 / df - np.log1p(z * z / df) + pull * z * z / df
        return 0.5 * by_df, pull * z / scale, (pull * z * z - 1.0) / scale

    def _information(self, values: Values) -> dict[tuple[int, int], Any]:
        df, _, scale = values
        curved = polygamma(1, 0.5 * df) - polygamma(1, 0.5 * (df + 1.0))
        return {
            (0, 0): 0.25 * curved - 0.5 * (df + 5.0) / (df * (df + 1.0) * (df + 3.0)),
            (0, 2): -2.0 / (scale * (df + 1.0) * (df + 3.0)),
            (1, 1): (df + 1.0) / ((df + 3.0) * scale**2),
            (2, 2): 2.0 * df / ((df + 3.0) * scale**2),
        }

    def _tangents(self, x: FloatArray, values: Values) -> tuple[Any, ...]:
        df, loc, scale = values
        z = (x - loc) / scale
        up, down = (
            0.5 * betainc(0.5 * nu, 0.5, nu / (nu + z * z))  # the tail beyond |z|
            for nu in ((1.0 + _STEP) * df, (1.0 - _STEP) * df)
        )
        change = np.sign(z) * (up - down) / (2.0 * _STEP * df)
        return change * np.exp(-self._log_density(x, values)), 1.0, z

    def _triples(self, rng: np.random.Generator, x: FloatArray, values: Values) -> dict[str, Triple]:
        df, loc, scale = values
        std = scale / np.sqrt(rng.chisquare(df, len(x)) / df)
        by_loc, (_, plus, minus) = normal_triples(rng, len(x), loc, std)
        return {"loc": by_loc, "scale": (1.0 / scale, plus, minus)}
