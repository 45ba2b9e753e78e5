"""Products of independent distributions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from greeks.expectation.distributions.distribution import Branch, Distribution, Pull, Relaxation
from greeks.expectation.domain import FloatArray
from pricers.errors import InvalidInput

__all__ = ["Product"]


@dataclass(frozen=True, eq=False)
class Product(Distribution):
    """Independent variables of different families: ``Product({"rate": Gamma(...), "count": Poisson(...)})``.

    A draw is a dict, ``x["rate"]`` and ``x["count"]``; parameters are named ``rate.shape``, ``count.rate``, ...

    Attributes
    ----------
    factors : mapping from str to Distribution
    """

    factors: Mapping[str, Distribution]

    def __post_init__(self) -> None:
        if not isinstance(self.factors, Mapping) or not self.factors:
            raise InvalidInput("factors", self.factors, "must be a mapping from names to distributions")
        for name, factor in self.factors.items():
            if not isinstance(factor, Distribution) or not isinstance(name, str) or "." in name:
                raise InvalidInput("factors", {name: factor}, "must map a name without dots to a distribution")
        object.__setattr__(self, "factors", dict(self.factors))

    @property
    def parameters(self) -> dict[str, FloatArray]:
        """See `Distribution.parameters`."""
        return self._merged({name: factor.parameters for name, factor in self.factors.items()})

    def at(self, parameters: Mapping[str, Any]) -> Product:
        """See `Distribution.at`."""
        unknown = parameters.keys() - self.parameters.keys()
        if unknown:
            raise InvalidInput("parameters", sorted(unknown), f"must be among {', '.join(self.parameters)}")
        moved = {name: factor.at(_own(name, parameters)) for name, factor in self.factors.items()}
        return replace(self, factors=moved)

    def sample(self, rng: np.random.Generator, samples: int) -> dict[str, Any]:
        """See `Distribution.sample`."""
        return {name: factor.sample(rng, samples) for name, factor in self.factors.items()}

    def log_prob(self, x: Any) -> FloatArray:
        """See `Distribution.log_prob`."""
        total: FloatArray = np.sum([factor.log_prob(x[name]) for name, factor in self.factors.items()], axis=0)
        return total

    def score_at(self, x: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """See `Distribution.score_at`."""
        scores = {name: factor.score_at(x[name], _own(name, parameters)) for name, factor in self.factors.items()}
        return self._merged(scores)

    def fisher_information(self) -> FloatArray:
        """See `Distribution.fisher_information`."""
        blocks = [factor.fisher_information() for factor in self.factors.values()]
        ends = np.cumsum([len(block) for block in blocks])
        out = np.zeros((ends[-1], ends[-1]))
        for end, block in zip(ends, blocks, strict=True):
            out[end - len(block) : end, end - len(block) : end] = block
        return out

    def reparameterise(self, x: Any) -> Pull:
        """See `Distribution.reparameterise`."""
        pulls = {name: factor.reparameterise(x[name]) for name, factor in self.factors.items()}
        return lambda slope: self._merged({name: pull(slope[name]) for name, pull in pulls.items()})

    def weak_derivative(self, rng: np.random.Generator, x: Any) -> Iterator[Branch]:
        """See `Distribution.weak_derivative`: the terms of each factor, the others as drawn."""
        for name, factor in self.factors.items():
            for branch in factor.weak_derivative(rng, x[name]):
                yield Branch(
                    weights={f"{name}.{parameter}": weight for parameter, weight in branch.weights.items()},
                    plus={**x, name: branch.plus},
                    minus={**x, name: branch.minus},
                )

    def relaxation(self, rng: np.random.Generator, x: Any, temperature: float) -> Relaxation:
        """See `Distribution.relaxation`."""
        parts = {name: factor.relaxation(rng, x[name], temperature) for name, factor in self.factors.items()}
        return Relaxation(
            point={name: part.point for name, part in parts.items()},
            freely=lambda slope: self._merged({name: part.freely(slope[name]) for name, part in parts.items()}),
            given=lambda slope: self._merged({name: part.given(slope[name]) for name, part in parts.items()}),
        )

    @staticmethod
    def _merged(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        return {f"{name}.{parameter}": value for name, part in parts.items() for parameter, value in part.items()}


def _own(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    start = f"{name}."
    return {key.removeprefix(start): value for key, value in parameters.items() if key.startswith(start)}
