"""A distribution some of whose parameters are not differentiated by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from greeks.expectation.differences import components
from greeks.expectation.distributions.distribution import Branch, Distribution, Pull, Relaxation
from greeks.expectation.domain import FloatArray
from pricers.errors import InvalidInput

__all__ = ["Fixed"]


class Fixed(Distribution):
    """The same distribution with some parameters held: ``Fixed(StudentT(df=5.0), "df")``.

    Parameters
    ----------
    distribution : Distribution
    *names : str
        Parameters that are not differentiated by; at least one must be left.
    """

    def __init__(self, distribution: Distribution, *names: str):
        known = distribution.parameters
        for name in names:
            if name not in known:
                raise InvalidInput("names", name, f"must be among {', '.join(known)}")
        if not known.keys() - set(names):
            raise InvalidInput("names", names, "must leave a parameter to differentiate by")
        self._whole, self._held = distribution, frozenset(names)

    @property
    def parameters(self) -> dict[str, FloatArray]:
        """See `Distribution.parameters`."""
        return self._free(self._whole.parameters)

    def at(self, parameters: Mapping[str, Any]) -> Fixed:
        """See `Distribution.at`; a held parameter can be moved too."""
        return Fixed(self._whole.at(parameters), *self._held)

    def sample(self, rng: np.random.Generator, samples: int) -> Any:
        """See `Distribution.sample`."""
        return self._whole.sample(rng, samples)

    def log_prob(self, x: Any) -> FloatArray:
        """See `Distribution.log_prob`."""
        return self._whole.log_prob(x)

    def score_at(self, x: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """See `Distribution.score_at`."""
        return self._free(self._whole.score_at(x, {**self._whole.parameters, **parameters}))

    def curvature(self, x: Any) -> dict[tuple[str, str], FloatArray]:
        """See `Distribution.curvature`."""
        return {key: value for key, value in self._whole.curvature(x).items() if self._held.isdisjoint(key)}

    def fisher_information(self) -> FloatArray:
        """See `Distribution.fisher_information`."""
        free = [name not in self._held for name, _ in components(self._whole.parameters)]
        return self._whole.fisher_information()[np.ix_(free, free)]

    def reparameterise(self, x: Any) -> Pull:
        """See `Distribution.reparameterise`."""
        pull = self._whole.reparameterise(x)
        return lambda slope: self._free(pull(slope))

    def weak_derivative(self, rng: np.random.Generator, x: Any) -> Iterator[Branch]:
        """See `Distribution.weak_derivative`."""
        for branch in self._whole.weak_derivative(rng, x):
            weights = self._free(branch.weights)
            if weights:
                yield Branch(weights=weights, plus=branch.plus, minus=branch.minus)

    def relaxation(self, rng: np.random.Generator, x: Any, temperature: float) -> Relaxation:
        """See `Distribution.relaxation`."""
        whole = self._whole.relaxation(rng, x, temperature)
        return Relaxation(
            point=whole.point,
            freely=lambda slope: self._free(whole.freely(slope)),
            given=lambda slope: self._free(whole.given(slope)),
        )

    def _free(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name not in self._held}

    def __str__(self) -> str:
        return str(self._whole)
