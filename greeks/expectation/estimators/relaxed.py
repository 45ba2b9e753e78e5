"""The continuous relaxation of a discrete variable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from greeks.expectation.estimators.estimator import Estimator, Numbers
from greeks.expectation.estimators.rebar import Rebar, relaxed
from greeks.expectation.integrand import Draws
from pricers.errors import positive

__all__ = ["Relaxed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxed(Estimator):
    r"""The pathwise gradient of :math:`E[f(y)]`, y a continuous relaxation of the discrete x (Gumbel-softmax, concrete).

    Biased: it is the gradient of another expectation, which tends to that of f(x) as the temperature falls, while the
    variance grows. The result's ``bias`` is the measured difference to `Rebar` on the same draws, with its error. f
    must take points between the discrete values and be differentiable there.

    Sources: Maddison, Mnih and Teh (2017); Jang, Gu and Poole (2017).

    Attributes
    ----------
    temperature : float
        Positive.
    df : callable, optional
        The derivative of f by its argument, as for `Pathwise`.
    """

    name: ClassVar[str] = "relaxed"
    temperature: float = 0.5
    df: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "temperature", positive("temperature", self.temperature))

    def numbers(self, draws: Draws) -> dict[str, Numbers]:
        """See `Estimator.numbers`."""
        relaxation, _, slope = relaxed(draws, self.temperature, self.df)
        return {name: Numbers(row) for name, row in relaxation.freely(slope).items()}

    def reference(self, draws: Draws) -> dict[str, Numbers]:
        """See `Estimator.reference`."""
        return Rebar(temperature=self.temperature, df=self.df).numbers(draws)
