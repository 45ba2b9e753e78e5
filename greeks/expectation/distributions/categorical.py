"""The categorical distribution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax

from greeks.expectation.distributions.distribution import Branch, Distribution, Relaxation
from greeks.expectation.domain import FloatArray, real
from pricers.errors import InvalidInput

__all__ = ["Categorical"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Categorical(Distribution):
    r"""One of K categories, probabilities :math:`\pi = \operatorname{softmax}(\text{logits})`, as a one-hot row of K numbers.

    So ``x @ values`` is a category's value, ``x.argmax(axis=-1)`` its index, and an f of rows also takes their
    relaxation, points of the simplex. Logits [..., K] make an array of independent variables, draws [sample, ..., K].

    Weak derivative by logit k (Pflug 1989): :math:`\pi_k (1 - \pi_k)` times category k less one of the others.
    Relaxation (Maddison, Mnih and Teh 2017; Jang, Gu and Poole 2017): the largest of :math:`z_k = \ln\pi_k + G_k`, G
    Gumbel, and :math:`y = \operatorname{softmax}(z/\tau)`. Given that k is the largest, :math:`z_k` is Gumbel and the
    others are Gumbel below it (Tucker et al. 2017, appendix).

    Attributes
    ----------
    logits : ndarray [..., K]
        A constant added to the logits of one variable changes nothing.
    """

    logits: Any

    def __post_init__(self) -> None:
        logits = real("logits", self.logits)
        if logits.ndim < 1 or logits.shape[-1] < 2:
            raise InvalidInput("logits", logits.shape, "must have at least two categories along the last axis")
        object.__setattr__(self, "logits", logits)

    @property
    def parameters(self) -> dict[str, FloatArray]:
        """See `Distribution.parameters`."""
        return {"logits": self.logits}

    @property
    def probabilities(self) -> FloatArray:
        """Of the categories, [..., K]."""
        found: FloatArray = softmax(self.logits, axis=-1)
        return found

    def at(self, parameters: Mapping[str, Any]) -> Categorical:
        """See `Distribution.at`."""
        return replace(self, **parameters)

    def sample(self, rng: np.random.Generator, samples: int) -> FloatArray:
        """See `Distribution.sample`."""
        return _one_hot(rng, np.broadcast_to(self.probabilities, (samples, *self.logits.shape)))

    def log_prob(self, x: Any) -> FloatArray:
        """See `Distribution.log_prob`."""
        x = self._known(x)
        event = tuple(range(1, x.ndim))
        hot = ((x == 0.0) | (x == 1.0)).all(axis=event) & (x.sum(axis=-1) == 1.0).all(axis=event[:-1])
        return np.where(hot, (x * log_softmax(self.logits, axis=-1)).sum(axis=event), -np.inf)

    def score_at(self, x: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """See `Distribution.score_at`."""
        logits = parameters["logits"]
        odds = np.exp(logits - logits.real.max(axis=-1, keepdims=True))
        return {"logits": self._known(x) - odds / odds.sum(axis=-1, keepdims=True)}

    def fisher_information(self) -> FloatArray:
        """See `Distribution.fisher_information`."""
        p = self.probabilities.reshape(-1, self.logits.shape[-1])
        rows = np.arange(self.logits.size).reshape(p.shape)
        out = np.zeros((self.logits.size, self.logits.size))
        for row, own in zip(rows, p, strict=True):
            out[np.ix_(row, row)] = np.diag(own) - np.outer(own, own)
        return out

    def weak_derivative(self, rng: np.random.Generator, x: Any) -> Iterator[Branch]:
        """See `Distribution.weak_derivative`: a term for each logit."""
        x = self._known(x)
        p = self.probabilities
        for index in np.ndindex(p.shape):
            row, k = index[:-1], index[-1]
            others = np.where(np.arange(p.shape[-1]) == k, 0.0, p[row])
            own = x[(slice(None), *row)]
            fresh = _one_hot(rng, np.broadcast_to(others / others.sum(), own.shape))
            plus, minus = x.copy(), x.copy()
            plus[(slice(None), *row)] = np.arange(p.shape[-1]) == k
            minus[(slice(None), *row)] = np.where(own[:, [k]] == 1.0, fresh, own)
            weight = np.zeros(p.shape)
            weight[index] = p[index] * others.sum()
            yield Branch(weights={"logits": weight}, plus=plus, minus=minus)

    def relaxation(self, rng: np.random.Generator, x: Any, temperature: float) -> Relaxation:
        """See `Distribution.relaxation`."""
        x, p = self._known(x), self.probabilities
        e = np.maximum(rng.standard_exponential(x.shape), np.finfo(float).tiny)
        first = (x * e).sum(axis=-1, keepdims=True)
        z = -np.log(np.where(x == 1.0, first, e / p + first))
        top = -np.log(first)
        y = softmax(z / temperature, axis=-1)

        def pull(slope: Any, rate: Any) -> dict[str, FloatArray]:
            """From a slope by y, with dz_k / d ln pi_k = rate."""
            by_z = y * (slope - (y * slope).sum(axis=-1, keepdims=True)) / temperature
            by_log_p = by_z * rate
            return {"logits": by_log_p - p * by_log_p.sum(axis=-1, keepdims=True)}

        return Relaxation(point=y, freely=lambda slope: pull(slope, 1.0), given=lambda slope: pull(slope, -np.expm1(z - top)))

    def _known(self, x: Any) -> FloatArray:
        known: FloatArray = np.asarray(x, dtype=float)
        if known.ndim < 2 or known.shape[1:] != self.logits.shape:
            raise InvalidInput("x", known.shape, f"must have the shape (samples, {', '.join(map(str, self.logits.shape))})")
        return known


def _one_hot(rng: np.random.Generator, probabilities: FloatArray) -> FloatArray:
    """A one-hot row for each row of probabilities, by inverting their running sums."""
    below = np.cumsum(probabilities, axis=-1)
    u = rng.random((*probabilities.shape[:-1], 1)) * below[..., -1:]
    chosen = (u >= below).sum(axis=-1, keepdims=True)
    hot: FloatArray = (np.arange(probabilities.shape[-1]) == chosen).astype(float)
    return hot
