"""The pathwise estimator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from greeks.expectation.estimators.estimator import Estimator, Numbers
from greeks.expectation.integrand import Draws
from greeks.expectation.slopes import slopes

__all__ = ["Pathwise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pathwise(Estimator):
    r""":math:`\nabla E[f(X)] = E[\nabla f(X)\,\partial X/\partial\theta]`, the noise behind X held; also: reparameterisation.

    It needs draws that are a differentiable function of the parameters, and an f without jumps: discrete distributions
    are refused, and so is an f that is found to jump. Sources: Glasserman (1991); Kingma and Welling (2014); Mohamed,
    Rosca, Figurnov and Mnih (2020), section 5; implicitly Figurnov, Mohamed and Mnih (2018).

    Attributes
    ----------
    df : callable, optional
        The derivative of f, from draws to an array of their shape (a dict for a product). By default the complex step
        of f, which must then be analytic but for kinks; see `slopes`. Either is tried against differences of f.
    """

    name: ClassVar[str] = "pathwise"
    df: Callable[[Any], Any] | None = None

    def numbers(self, draws: Draws) -> dict[str, Numbers]:
        """See `Estimator.numbers`."""
        pull = draws.distribution.reparameterise(draws.x)
        slope = slopes(draws.f, self.df, draws.x, draws.values)
        return {name: Numbers(row) for name, row in pull(slope).items()}
