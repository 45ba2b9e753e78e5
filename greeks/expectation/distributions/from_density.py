"""Distributions known by a density that a user wrote: their scores are derivatives of it by the parameters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, Self

import numpy as np

from greeks.expectation.differences import by_central_difference, by_complex_step, components
from greeks.expectation.distributions.distribution import Distribution, jacobian
from greeks.expectation.domain import FloatArray, real
from pricers.errors import InvalidInput

__all__ = ["FromDensity"]

_TRIALS = 64
"""Draws on which the ways to differentiate a density are tried."""


class FromDensity(Distribution):
    """A distribution whose score is computed from its log-density.

    By the complex step where the log-density takes complex parameters and so gives what a central difference gives;
    else (it calls functions of real numbers, or takes an absolute value) by the central difference, with a relative
    error of about 1e-10.
    """

    _analytic: bool
    _parameters: dict[str, FloatArray]

    @abstractmethod
    def _density(self, x: Any, parameters: Mapping[str, Any]) -> Any:
        """Log-density of each draw, [sample], at these parameters."""

    @property
    def parameters(self) -> dict[str, FloatArray]:
        """See `Distribution.parameters`."""
        return dict(self._parameters)

    def at(self, parameters: Mapping[str, Any]) -> Self:
        """See `Distribution.at`."""
        unknown = parameters.keys() - self._parameters.keys()
        if unknown:
            raise InvalidInput("parameters", sorted(unknown), f"must be among {', '.join(self._parameters)}")
        moved = copy(self)
        moved._parameters = {**self._parameters, **{name: real(name, value) for name, value in parameters.items()}}
        return moved

    def log_prob(self, x: Any) -> FloatArray:
        """See `Distribution.log_prob`."""
        found = np.asarray(self._density(x, self._parameters), dtype=float)
        if found.shape != (len(x),):
            raise InvalidInput("log_prob", found.shape, f"must give one number for each draw, shape ({len(x)},)")
        return found

    def score_at(self, x: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """See `Distribution.score_at`; real parameters only."""
        derivative = by_complex_step if self._analytic else by_central_difference
        return self._derived(x, parameters, derivative)

    def curvature(self, x: Any) -> dict[tuple[str, str], FloatArray]:
        """See `Distribution.curvature`; by central differences of the score (relative error 1e-10, or 1e-5 if it is one too)."""
        return jacobian(lambda name, index: self._turned(x, name, index, by_central_difference), self.parameters)

    def _derived(
        self, x: Any, parameters: Mapping[str, FloatArray], derivative: Callable[..., FloatArray]
    ) -> dict[str, FloatArray]:
        out = {name: np.empty((len(x), *value.shape)) for name, value in parameters.items()}
        for name, index in components(parameters):
            at: tuple[Any, ...] = (slice(None), *index)
            out[name][at] = derivative(lambda moved: self._density(x, moved), parameters, name, index)
        return out

    def _learn(self, parameters: Mapping[str, Any], seed: int) -> None:
        """Set the parameters and find out whether the log-density is analytic in them."""
        if not isinstance(parameters, Mapping) or not parameters:
            raise InvalidInput("parameters", parameters, "must be a mapping from names to numbers or arrays")
        self._parameters = {name: real(name, value) for name, value in parameters.items()}
        x = self.sample(np.random.default_rng(seed), _TRIALS)
        value = self.log_prob(x)
        if not np.isfinite(value).all():
            bad = value[~np.isfinite(value)][0]
            raise InvalidInput("log_prob", float(bad), "must be finite at every draw of sample")
        differences = self._derived(x, self._parameters, by_central_difference)
        self._analytic = self._takes_complex(x, differences)

    def _takes_complex(self, x: Any, differences: Mapping[str, FloatArray]) -> bool:
        try:
            steps = self._derived(x, self._parameters, by_complex_step)
        except (TypeError, ValueError, np.exceptions.ComplexWarning):
            return False
        return all(
            np.allclose(steps[name], difference, rtol=1e-5, atol=1e-5 * (1e-3 + np.abs(difference).max()))
            for name, difference in differences.items()
        )
