"""The measure-valued estimator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from greeks.expectation.estimators.estimator import Estimator, Numbers
from greeks.expectation.integrand import Draws, evaluated
from pricers.errors import NotApplicable

__all__ = ["MeasureValued"]


@dataclass(frozen=True, slots=True)
class MeasureValued(Estimator):
    r"""The density's derivative as a difference of densities, :math:`\partial_\theta p = w\,(p^+ - p^-)`; also: weak derivative.

    So :math:`\partial_\theta E[f(X)] = w\,(E[f(X^+)] - E[f(X^-)])`, for any f.

    Two values of f for each number of each parameter and each sample, with :math:`X^+` and :math:`X^-` coupled through
    the same draws. Of several variables the others are as drawn. Sources: Pflug (1989); Heidergott, Vazquez-Abad and
    Volk-Makarewicz (2008); Mohamed, Rosca, Figurnov and Mnih (2020), section 6.
    """

    name: ClassVar[str] = "measure-valued"

    def numbers(self, draws: Draws) -> dict[str, Numbers]:
        """See `Estimator.numbers`."""
        totals: dict[str, Any] = {}
        for branch in draws.distribution.weak_derivative(draws.rng, draws.x):
            change = evaluated(draws.f, branch.plus) - evaluated(draws.f, branch.minus)
            for name, weight in branch.weights.items():
                shape = draws.distribution.parameters[name].shape
                column = change.reshape(-1, *[1] * len(shape))
                totals[name] = totals.get(name, 0.0) + column * weight
        missing = [name for name in draws.distribution.parameters if name not in totals]
        if missing:
            unknown = f"{draws.distribution} has no known weak derivative by {', '.join(missing)}"
            raise NotApplicable(f"{unknown}; use ScoreFunction(), or hold what has none with Fixed")
        return {name: Numbers(np.asarray(totals[name])) for name in draws.distribution.parameters}
