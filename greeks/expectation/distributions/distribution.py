"""What every distribution can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from greeks.expectation.differences import by_complex_step, components
from greeks.expectation.domain import FloatArray
from pricers.errors import NotApplicable

__all__ = ["Branch", "Distribution", "Pull", "Relaxation", "jacobian"]

Pull = Callable[[Any], dict[str, FloatArray]]
"""From a slope by draws to one by each parameter, [sample, *shape]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Branch:
    r"""One term of a weak derivative: :math:`\partial_\theta p = \sum_b w_b\,(p_b^+ - p_b^-)`.

    Attributes
    ----------
    weights : dict
        :math:`w_b` for each parameter that the term belongs to, [*shape] or [sample, *shape].
    plus, minus : draws
        From :math:`p_b^+` and :math:`p_b^-`; coupled, so that f of one and f of the other differ little.
    """

    weights: dict[str, FloatArray]
    plus: Any
    minus: Any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Relaxation:
    r"""Continuous points y that stand for discrete draws x, and how they move.

    x is a step function H of a continuous z, and y a smooth one, :math:`\sigma(z/\tau)`, of the same z. There are two
    ways to say how z comes from noise: as drawn before x is known, and as drawn given x.

    Attributes
    ----------
    point : draws
        y, in the form of x.
    freely : callable
        From a slope by y to one by each parameter, [sample, *shape], at the noise from which z is drawn before x is
        known.
    given : callable
        The same at the noise from which z is drawn given x.
    """

    point: Any
    freely: Pull
    given: Pull


class Distribution(ABC):
    """A distribution p(x; theta) of X, with the derivatives of its density by theta.

    Draws are float arrays [sample, *event], or a dict of them. Parameters are named, and arrays of any shape.
    """

    @property
    @abstractmethod
    def parameters(self) -> dict[str, FloatArray]:
        """What is differentiated by, in the order of `fisher_information`."""

    @abstractmethod
    def at(self, parameters: Mapping[str, Any]) -> Distribution:
        """The same distribution at other values of some or all of its parameters."""

    @abstractmethod
    def sample(self, rng: np.random.Generator, samples: int) -> Any:
        """Independent draws, [sample, *event]."""

    @abstractmethod
    def log_prob(self, x: Any) -> FloatArray:
        """Log-density or log-probability of each draw, [sample]; minus infinity outside the support."""

    @abstractmethod
    def score_at(self, x: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The score at these values of the parameters, which may be complex: an analytic function of them."""

    def score(self, x: Any) -> dict[str, FloatArray]:
        r""":math:`\nabla_\theta \ln p(x; \theta)` at draws in the support, by parameter, [sample, *shape]; its mean is zero."""
        return self.score_at(x, self.parameters)

    def curvature(self, x: Any) -> dict[tuple[str, str], FloatArray]:
        r""":math:`\nabla^2_\theta \ln p(x; \theta)`, by pairs of parameters, [sample, *shape of the first, *shape of the second].

        By the complex step of `score_at`, so exact to rounding.
        """
        return jacobian(lambda name, index: self._turned(x, name, index), self.parameters)

    def _turned(
        self, x: Any, name: str, index: tuple[int, ...], derivative: Callable[..., FloatArray] = by_complex_step
    ) -> dict[str, FloatArray]:
        """Derivative of the score by one component of one parameter."""
        names = tuple(self.parameters)

        def flat(parameters: Mapping[str, Any]) -> Any:
            score = self.score_at(x, parameters)
            return np.concatenate([score[other].reshape(len(score[other]), -1) for other in names], axis=1)

        turned = derivative(flat, self.parameters, name, index)
        sizes = np.cumsum([self.parameters[other].size for other in names])[:-1]
        parts = np.split(turned, sizes, axis=1)
        return {other: part.reshape(-1, *self.parameters[other].shape) for other, part in zip(names, parts, strict=True)}

    def fisher_information(self) -> FloatArray:
        r""":math:`E[\nabla \ln p\,\nabla \ln p^\top]`, [component, component].

        Each parameter is raveled, in the order of `parameters`.

        Raises
        ------
        NotApplicable
            Where no formula is known.
        """
        raise NotApplicable(f"{self} has no formula for its Fisher information; average products of its score()")

    def reparameterise(self, x: Any) -> Pull:
        r"""How draws move with the parameters where x = g(noise; theta) and the noise is held.

        Returns
        -------
        callable
            From a slope by x, in the form of x, to :math:`\sum_k \text{slope}_k\,\partial x_k/\partial\theta`, by
            parameter, [sample, *shape].

        Raises
        ------
        NotApplicable
            Where draws are no differentiable function of the parameters.
        """
        raise NotApplicable(f"{self} has no reparameterisation; use ScoreFunction()")

    def weak_derivative(self, rng: np.random.Generator, x: Any) -> Iterator[Branch]:
        """The derivative of the density as differences of densities, coupled to draws x; parameters without one are left out."""
        yield from ()

    def relaxation(self, rng: np.random.Generator, x: Any, temperature: float) -> Relaxation:
        """A continuous relaxation of discrete draws x.

        Raises
        ------
        NotApplicable
            Where the draws are not discrete, or take values without end.
        """
        raise NotApplicable(f"{self} has no continuous relaxation; use ScoreFunction()")

    def __str__(self) -> str:
        return type(self).__name__


def jacobian(
    derivative: Callable[[str, tuple[int, ...]], dict[str, FloatArray]], parameters: Mapping[str, FloatArray]
) -> dict[tuple[str, str], FloatArray]:
    """Derivatives of every score by every component, gathered by pairs of parameters."""
    out: dict[tuple[str, str], FloatArray] = {}
    for name, index in components(parameters):
        for other, values in derivative(name, index).items():
            key = other, name
            if key not in out:
                out[key] = np.empty((*values.shape, *parameters[name].shape))
            at: tuple[Any, ...] = (..., *index)
            out[key][at] = values
    return out
