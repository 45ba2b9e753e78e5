"""The normal distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from greeks.expectation.distributions.elementwise import Elementwise, Triple, Values
from greeks.expectation.domain import FloatArray, above_zero, real

__all__ = ["Normal", "maxwell", "normal_triples", "rayleigh"]


def rayleigh(rng: np.random.Generator, samples: int) -> FloatArray:
    """Draws with density r exp(-r^2 / 2)."""
    return np.sqrt(2.0 * rng.standard_exponential(samples))


def maxwell(rng: np.random.Generator, samples: int) -> FloatArray:
    """Draws with the two-sided density m^2 exp(-m^2 / 2) / sqrt(2 pi)."""
    radius = np.sqrt(rng.chisquare(3.0, samples))
    return np.where(rng.random(samples) < 0.5, radius, -radius)


def normal_triples(rng: np.random.Generator, samples: int, mean: Any, std: Any) -> tuple[Triple, Triple]:
    """Weak derivatives of normal variables by mean and by standard deviation, see `Normal`."""
    r, m, u = rayleigh(rng, samples), maxwell(rng, samples), rng.random(samples)
    by_mean = 1.0 / (std * np.sqrt(2.0 * np.pi)), mean + std * r, mean - std * r
    return by_mean, (1.0 / std, mean + std * m, mean + std * u * m)


@dataclass(frozen=True, kw_only=True, eq=False)
class Normal(Elementwise):
    r"""Normal variables, :math:`x = \mu + \sigma z`.

    Weak derivatives (Pflug 1989; Heidergott, Vazquez-Abad and Volk-Makarewicz 2008): by the mean,
    :math:`1/(\sigma\sqrt{2\pi})` times :math:`\mu + \sigma R` less :math:`\mu - \sigma R`, R Rayleigh; by the standard
    deviation, :math:`1/\sigma` times :math:`\mu + \sigma M` less :math:`\mu + \sigma U M`, M two-sided Maxwell and U
    uniform (so that UM is normal).

    Attributes
    ----------
    mean, std : float or ndarray
        :math:`\mu` and :math:`\sigma > 0`.
    """

    domains: ClassVar = {"mean": real, "std": above_zero}
    mean: Any = 0.0
    std: Any = 1.0

    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], values: Values) -> Any:
        mean, std = values
        return mean + std * rng.standard_normal(shape)

    def _log_density(self, x: FloatArray, values: Values) -> Any:
        mean, std = values
        return -0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2.0 * np.pi)

    def _slopes(self, x: FloatArray, values: Values) -> tuple[Any, ...]:
        mean, std = values
        z = (x - mean) / std
        return z / std, (z * z - 1.0) / std

    def _information(self, values: Values) -> dict[tuple[int, int], Any]:
        _, std = values
        return {(0, 0): 1.0 / std**2, (1, 1): 2.0 / std**2}

    def _tangents(self, x: FloatArray, values: Values) -> tuple[Any, ...]:
        mean, std = values
        return 1.0, (x - mean) / std

    def _triples(self, rng: np.random.Generator, x: FloatArray, values: Values) -> dict[str, Triple]:
        return dict(zip(self.domains, normal_triples(rng, len(x), *values), strict=True))
