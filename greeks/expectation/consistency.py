"""Whether the draws of a distribution are those of its density."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from greeks.expectation.differences import bumped, components
from greeks.expectation.domain import FloatArray
from pricers.errors import InvalidInput

if TYPE_CHECKING:
    from greeks.expectation.distributions.distribution import Distribution

__all__ = ["consistent"]

_DRAWS = 4096
_SHARE = 0.7
_LIMIT = 6.0
"""Standard errors. A right pair fails by chance less than once in a million uses."""


def consistent(distribution: Distribution, seed: int = 1) -> None:
    """Compare draws and density, and raise `InvalidInput` where they differ by more than chance.

    Two laws hold for a pair that belongs together. The score has mean zero under the draws. And draws at moved
    parameters have the means that draws at the old ones have when weighted by the ratio of densities; tried here on
    bounded functions of each coordinate, with each parameter moved by a good part of what a single draw tells about it.
    A density that misses a factor without parameters passes, and may: its score is right.
    """
    first, second = np.random.default_rng(seed).spawn(2)
    x = distribution.sample(first, _DRAWS)
    if not np.isfinite(distribution.log_prob(x)).all():
        raise InvalidInput("log_prob", "another number", "must be finite at every draw of sample")
    features = _Features(x)
    scores = distribution.score(x)
    for name, index in components(distribution.parameters):
        at: tuple[Any, ...] = (slice(None), *index)
        score = scores[name][at]
        if not np.isfinite(score).all():
            raise InvalidInput("log_prob", name, "must have a finite derivative by every parameter")
        spread = float(score.std())
        if abs(score.mean()) > _LIMIT * spread / np.sqrt(_DRAWS) + 1e-7 * (1.0 + np.abs(score).max()):
            found = f"{score.mean():.3g} +- {spread / np.sqrt(_DRAWS):.2g} by {name}"
            raise InvalidInput("log_prob", found, "is not the density of sample: its score has not the mean zero")
        value = float(distribution.parameters[name][index])
        step = _SHARE / spread if spread > 0.0 else 0.5 * max(abs(value), 1.0)
        distance = next(
            filter(None, (_distance(distribution, x, features, second, name, index, by) for by in (step, -step))), 0.0
        )
        if distance > _LIMIT:
            found = f"{distance:.0f} standard errors"
            raise InvalidInput("log_prob", found, f"is not the density of sample: they move apart as {name} moves")


class _Features:
    """One and bounded functions of each coordinate of draws, [sample, feature]."""

    def __init__(self, x: FloatArray):
        flat = self._flat(x)
        width = flat.std(axis=0)
        self._centre, self._width = np.median(flat, axis=0), np.where(width > 0.0, width, 1.0)

    def __call__(self, x: FloatArray) -> FloatArray:
        scaled = np.tanh((self._flat(x) - self._centre) / self._width)
        return np.hstack([np.ones((len(scaled), 1)), scaled, scaled * scaled])

    @staticmethod
    def _flat(x: FloatArray) -> FloatArray:
        return np.reshape(np.asarray(x, dtype=float), (len(x), -1))


def _distance(
    distribution: Distribution,
    x: FloatArray,
    features: _Features,
    rng: np.random.Generator,
    name: str,
    index: tuple[int, ...],
    by: float,
) -> float:
    """Greatest difference in standard errors between moved draws and weighted ones; 0 where the move leaves the domain."""
    try:
        with np.errstate(all="ignore"):
            moved = distribution.at({name: bumped(distribution.parameters, name, index, by)[name]})
            ratio = np.exp(moved.log_prob(x) - distribution.log_prob(x))
            there = features(moved.sample(rng, _DRAWS))
    except ValueError:
        return 0.0
    if not (np.isfinite(ratio).all() and np.isfinite(there).all()):
        return 0.0
    weighted = features(x) * ratio[:, None]
    error = np.sqrt((weighted.var(axis=0) + there.var(axis=0)) / _DRAWS) + 1e-9
    return float(np.max(np.abs(weighted.mean(axis=0) - there.mean(axis=0)) / error))
