"""The debiased continuous relaxation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from greeks.expectation.distributions.distribution import Relaxation
from greeks.expectation.domain import FloatArray
from greeks.expectation.estimators.baselines import weighted
from greeks.expectation.estimators.estimator import Estimator, Numbers
from greeks.expectation.integrand import Draws, evaluated
from greeks.expectation.slopes import slopes
from pricers.errors import positive

__all__ = ["Rebar", "relaxed"]


def relaxed(draws: Draws, temperature: float, df: Callable[[Any], Any] | None) -> tuple[Relaxation, FloatArray, Any]:
    """A relaxation of the draws, f at its points and the slope of f there; made once, whoever asks."""

    def make() -> tuple[Relaxation, FloatArray, Any]:
        relaxation = draws.distribution.relaxation(draws.rng, draws.x, temperature)
        values = evaluated(draws.f, relaxation.point)
        return relaxation, values, slopes(draws.f, df, relaxation.point, values)

    return draws.once(("relaxed", temperature, df), make)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebar(Estimator):
    r"""The score function with what a continuous relaxation y of the discrete x foretells as its control, and no bias.

    .. math:: f(x)\,s - \eta\,\bigl[f(y)\,s - \partial_\theta f(y)|_{u} + \partial_\theta f(y)|_{v}\bigr]

    with s the score, u the noise from which y is drawn before x is known and v that from which it is drawn given x; the
    bracket has the mean zero at every temperature. Here one y serves in all places (u and v coupled entirely).
    :math:`\eta` and a constant baseline are fitted by regression. f must take points between the discrete values and be
    differentiable there.

    Source: Tucker, Mnih, Maddison, Lawson and Sohl-Dickstein (2017).

    Attributes
    ----------
    temperature : float
        Positive. Small ones make y close to x and the slope of f(y) large.
    df : callable, optional
        The derivative of f by its argument, as for `Pathwise`.
    """

    name: ClassVar[str] = "REBAR"
    temperature: float = 0.5
    df: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "temperature", positive("temperature", self.temperature))

    def numbers(self, draws: Draws) -> dict[str, Numbers]:
        """See `Estimator.numbers`."""
        relaxation, values, slope = relaxed(draws, self.temperature, self.df)
        freely, given = relaxation.freely(slope), relaxation.given(slope)
        out = {}
        for name, score in draws.score.items():
            foretold = weighted(values, score) - freely[name] + given[name]
            out[name] = Numbers(weighted(draws.values, score), (score, foretold))
        return out
