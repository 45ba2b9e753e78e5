"""A user's own distribution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from greeks.expectation.consistency import consistent
from greeks.expectation.distributions.from_density import FromDensity
from pricers.errors import InvalidInput

__all__ = ["Custom"]


class Custom(FromDensity):
    """A distribution given by how to draw from it and by its log-density; the score follows, see `FromDensity`.

    Parameters
    ----------
    sample : callable
        ``sample(rng, samples, **parameters)`` gives independent draws, [sample, *event].
    log_prob : callable
        ``log_prob(x, **parameters)`` gives the log-density of each, [sample]. A factor of the density that does not
        depend on the parameters may be missing.
    parameters : mapping
        Names and values, numbers or arrays.

    Raises
    ------
    InvalidInput
        Where the two do not belong together, as far as `consistent` can see.
    """

    def __init__(self, *, sample: Callable[..., Any], log_prob: Callable[..., Any], parameters: Mapping[str, Any]):
        self._draw, self._log_density = sample, log_prob
        self._learn(parameters, seed=0)
        consistent(self)

    def sample(self, rng: np.random.Generator, samples: int) -> Any:
        """See `Distribution.sample`."""
        x = np.asarray(self._draw(rng, samples, **self._parameters))
        if x.ndim < 1 or len(x) != samples:
            raise InvalidInput("sample", x.shape, f"must give {samples} draws along the first axis")
        return x

    def _density(self, x: Any, parameters: Mapping[str, Any]) -> Any:
        return self._log_density(x, **parameters)
