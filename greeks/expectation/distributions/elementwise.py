"""Families of one real variable, and arrays of independent ones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from greeks.expectation.distributions.distribution import Branch, Distribution, Pull
from greeks.expectation.domain import FloatArray
from pricers.errors import InvalidInput

__all__ = ["Elementwise", "Triple", "Values", "gathered"]

Values = tuple[Any, ...]
"""The parameters in their order, element by element; complex where a score is differentiated."""

Triple = tuple[Any, Any, Any]
"""Weight, plus and minus of a weak derivative."""


def gathered(values: Any, shape: tuple[int, ...], event: tuple[int, ...]) -> Any:
    """Sums [sample, *shape] of ``values`` [sample, *event] over what a parameter of ``shape`` was broadcast along."""
    padded = (1,) * (len(event) - len(shape)) + shape
    along = tuple(axis + 1 for axis, (own, full) in enumerate(zip(padded, event, strict=True)) if own != full)
    return values.sum(axis=along).reshape(len(values), *shape)


class Elementwise(Distribution):
    """Independent variables of one family, one for each element of its parameters, broadcast against each other.

    A parameter that is broadcast is shared: its score is the sum over the variables that share it. A family is a
    dataclass with its parameters as fields; the methods with an underscore are its formulas, element by element.
    """

    domains: ClassVar[Mapping[str, Callable[[str, Any], FloatArray]]]
    """What each parameter must be."""

    def __post_init__(self) -> None:
        for name, check in self.domains.items():
            object.__setattr__(self, name, check(name, getattr(self, name)))
        try:
            _ = self.event
        except ValueError:
            shapes = {name: value.shape for name, value in self.parameters.items()}
            raise InvalidInput("parameters", shapes, "must have shapes that broadcast") from None

    @property
    def parameters(self) -> dict[str, FloatArray]:
        """See `Distribution.parameters`."""
        return {name: getattr(self, name) for name in self.domains}

    @property
    def event(self) -> tuple[int, ...]:
        """Shape of one draw."""
        return np.broadcast_shapes(*(value.shape for value in self._values))

    @property
    def _values(self) -> Values:
        return tuple(self.parameters.values())

    def at(self, parameters: Mapping[str, Any]) -> Elementwise:
        """See `Distribution.at`."""
        return replace(self, **parameters)  # type: ignore[type-var]

    def sample(self, rng: np.random.Generator, samples: int) -> FloatArray:
        """See `Distribution.sample`."""
        return np.asarray(self._draw(rng, (samples, *self.event), self._values), dtype=float)

    def log_prob(self, x: Any) -> FloatArray:
        """See `Distribution.log_prob`."""
        x = self._known(x)
        with np.errstate(all="ignore"):
            density = np.where(self._support(x), self._log_density(x, self._values), -np.inf)
        found: FloatArray = density.sum(axis=tuple(range(1, x.ndim)))
        return found

    def score_at(self, x: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """See `Distribution.score_at`."""
        x = self._known(x)
        slopes = self._slopes(x, tuple(parameters[name] for name in self.domains))
        return {name: self._gathered(name, slope + np.zeros_like(x)) for name, slope in zip(self.domains, slopes, strict=True)}

    def fisher_information(self) -> FloatArray:
        """See `Distribution.fisher_information`."""
        ends = np.cumsum([value.size for value in self._values])
        rows = [
            np.broadcast_to(np.arange(end - value.size, end).reshape(value.shape), self.event).ravel()
            for end, value in zip(ends, self._values, strict=True)
        ]
        out = np.zeros((ends[-1], ends[-1]))
        for (a, b), information in self._information(self._values).items():
            entries = np.broadcast_to(information, self.event).ravel()
            np.add.at(out, (rows[a], rows[b]), entries)
            if a != b:
                np.add.at(out, (rows[b], rows[a]), entries)
        return out

    def reparameterise(self, x: Any) -> Pull:
        """See `Distribution.reparameterise`."""
        tangents = dict(zip(self.domains, self._tangents(self._known(x), self._values), strict=False))
        if not tangents:
            return super().reparameterise(x)
        return lambda slope: {name: self._gathered(name, slope * tangent) for name, tangent in tangents.items()}

    def weak_derivative(self, rng: np.random.Generator, x: Any) -> Iterator[Branch]:
        """See `Distribution.weak_derivative`: a term for each variable and parameter."""
        values = [np.broadcast_to(value, self.event) for value in self._values]
        for index in np.ndindex(self.event):
            at = (slice(None), *index)
            chosen = np.zeros((1, *self.event))
            chosen[at] = 1.0
            triples = self._triples(rng, x[at], tuple(value[index] for value in values))
            for name, (weight, plus, minus) in triples.items():
                weights = np.multiply.outer(weight, self._gathered(name, chosen)[0])
                yield Branch(weights={name: weights}, plus=_with(x, at, plus), minus=_with(x, at, minus))

    def _gathered(self, name: str, values: Any) -> Any:
        return gathered(values, self.parameters[name].shape, self.event)

    def _known(self, x: Any) -> FloatArray:
        known: FloatArray = np.asarray(x, dtype=float)
        if known.ndim < 1 or known.shape[1:] != self.event:
            raise InvalidInput("x", known.shape, f"must have the shape (samples, {', '.join(map(str, self.event))})")
        return known

    def _support(self, x: FloatArray) -> Any:
        """Whether x is a value that the variable can take."""
        return np.isfinite(x)

    @abstractmethod
    def _draw(self, rng: np.random.Generator, shape: tuple[int, ...], values: Values) -> Any:
        """Draws of the given shape."""

    @abstractmethod
    def _log_density(self, x: FloatArray, values: Values) -> Any:
        """Log-density in the support."""

    @abstractmethod
    def _slopes(self, x: FloatArray, values: Values) -> tuple[Any, ...]:
        """Its derivative by each parameter, analytic in the parameters."""

    @abstractmethod
    def _information(self, values: Values) -> dict[tuple[int, int], Any]:
        """Fisher information of one variable for pairs of parameters by position, those that vanish left out."""

    def _tangents(self, x: FloatArray, values: Values) -> tuple[Any, ...]:
        """Derivative of a draw by each parameter at fixed noise, as a function of the draw; empty where there is none."""
        return ()

    def _triples(self, rng: np.random.Generator, x: FloatArray, values: Values) -> dict[str, Triple]:
        """Weak derivatives of one variable, coupled through its draws x [sample], by parameter."""
        return {}


def _with(x: FloatArray, at: tuple[Any, ...], values: Any) -> FloatArray:
    out = x.copy()
    out[at] = values
    return out
