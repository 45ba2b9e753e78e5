"""Expectations whose gradients are known by quadrature or by summation, without the scores that are tested on them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from greeks.expectation import (
    Bernoulli,
    Beta,
    Binomial,
    Distribution,
    Exponential,
    Gamma,
    LogNormal,
    Normal,
    Poisson,
    StudentT,
)


def gauss_legendre(edges, nodes=60):
    """Nodes and weights of a rule on each panel between the edges."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    left, right = np.array(edges[:-1]), np.array(edges[1:])
    half = 0.5 * (right - left)[:, None]
    return (left[:, None] + half * (x + 1.0)).ravel(), (half * w).ravel()


def square(x):
    return x * x - 0.5 * x


def decay(x):
    return np.exp(-0.4 * x)


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """One distribution, where its values lie, and the same in scipy.stats.

    edges bound the panels of a quadrature; where there are none the values are 0, 1, ..., up to `last`.
    """

    name: str
    distribution: Distribution
    frozen: Callable[..., Any]
    edges: tuple[float, ...] = ()
    last: int = 0
    polynomial: Callable[[Any], Any] = square
    exponential: Callable[[Any], Any] = decay
    level: float = 1.0

    def nodes(self, *cuts):
        """Values and weights, the edges refined by the places where a function is not smooth."""
        if not self.edges:
            return np.arange(self.last + 1.0), np.ones(self.last + 1)
        return gauss_legendre(np.unique([*self.edges, *cuts]))

    def mean(self, function, distribution=None):
        """E[function(X)]."""
        x, weights = self.nodes(self.level)
        density = np.exp((distribution or self.distribution).log_prob(x))
        return float(np.sum(weights * density * function(x)))

    def slope(self, function, name):
        """Derivative of E[function(X)] by a parameter: a difference of quadratures."""
        value = float(self.distribution.parameters[name])
        h = 2e-4 * max(abs(value), 0.1)
        at = [self.mean(function, self.distribution.at({name: value + k * h})) for k in (-2, -1, 1, 2)]
        return (at[0] - 8.0 * at[1] + 8.0 * at[2] - at[3]) / (12.0 * h)

    def score(self, x, name):
        """Derivative of the log-density: a difference."""
        value = float(self.distribution.parameters[name])
        h = 2e-4 * max(abs(value), 0.1)
        at = [self.distribution.at({name: value + k * h}).log_prob(x) for k in (-2, -1, 1, 2)]
        return (at[0] - 8.0 * at[1] + 8.0 * at[2] - at[3]) / (12.0 * h)

    def tangent(self, x, name):
        """How quantiles move with a parameter, at the quantile x."""
        values = {key: float(value) for key, value in self.distribution.parameters.items()}
        frozen = self.frozen(**values)
        h = 1e-4 * max(abs(values[name]), 0.1)
        up, down = (self.frozen(**{**values, name: values[name] + k * h}) for k in (1, -1))
        with np.errstate(invalid="ignore"):  # the tail that is not taken may be at infinity
            by_cdf = up.ppf(frozen.cdf(x)) - down.ppf(frozen.cdf(x))
            by_sf = up.isf(frozen.sf(x)) - down.isf(frozen.sf(x))
        return np.where(x < frozen.median(), by_cdf, by_sf) / (2.0 * h)

    def functions(self):
        """One of each kind; the indicator jumps."""
        return {
            "polynomial": self.polynomial,
            "exponential": self.exponential,
            "indicator": lambda x: x > self.level,
        }


FAMILIES = {
    family.name: family
    for family in (
        Family(
            name="normal",
            distribution=Normal(mean=0.3, std=0.8),
            frozen=lambda mean, std: stats.norm(loc=mean, scale=std),
            edges=tuple(np.linspace(-9.0, 9.6, 21)),
        ),
        Family(
            name="log-normal",
            distribution=LogNormal(mean=0.1, std=0.25),
            frozen=lambda mean, std: stats.lognorm(std, scale=np.exp(mean)),
            edges=(1e-12, *np.exp(0.1 + 0.25 * np.linspace(-11.0, 13.0, 41))),
        ),
        Family(
            name="exponential",
            distribution=Exponential(rate=1.5),
            frozen=lambda rate: stats.expon(scale=1.0 / rate),
            edges=(0.0, *np.linspace(0.5, 40.0, 40)),
            polynomial=lambda x: 2.0 * x - 0.1 * x * x,
        ),
        Family(
            name="gamma",
            distribution=Gamma(shape=2.5, rate=1.7),
            frozen=lambda shape, rate: stats.gamma(shape, scale=1.0 / rate),
            edges=(0.0, 1e-4, 1e-2, 0.1, *np.linspace(0.5, 40.0, 60)),
            level=1.4,
        ),
        Family(
            name="beta",
            distribution=Beta(alpha=2.2, beta=3.1),
            frozen=lambda alpha, beta: stats.beta(a=alpha, b=beta),
            edges=(0.0, 1e-6, 1e-4, 1e-2, *np.linspace(0.1, 0.9, 9), 0.99, 0.9999, 1.0 - 1e-6, 1.0),
            exponential=lambda x: np.exp(2.0 * x),
            level=0.4,
        ),
        Family(
            name="student t",
            distribution=StudentT(df=9.0, loc=0.2, scale=1.1),
            frozen=stats.t,
            edges=(*-np.geomspace(4000.0, 8.0, 40), *np.linspace(-7.0, 7.0, 29), *np.geomspace(8.0, 4000.0, 40)),
            polynomial=lambda x: 1.0 - x + 0.05 * x * x,
            exponential=lambda x: np.exp(-0.5 * x * x),
        ),
        Family(
            name="bernoulli",
            distribution=Bernoulli(probability=0.35),
            frozen=lambda probability: stats.bernoulli(p=probability),
            last=1,
            level=0.5,
        ),
        Family(
            name="poisson",
            distribution=Poisson(rate=2.4),
            frozen=lambda rate: stats.poisson(mu=rate),
            last=80,
        ),
        Family(
            name="binomial",
            distribution=Binomial(trials=6, probability=0.4),
            frozen=lambda probability: stats.binom(6, probability),
            last=6,
            level=2.0,
        ),
    )
}
"""One of each family of one variable."""

CONTINUOUS = tuple(name for name, family in FAMILIES.items() if family.edges)
DISCRETE = tuple(name for name, family in FAMILIES.items() if not family.edges)
