"""The parameters of Heston's model, as its schemes and grids see them."""

from __future__ import annotations

from typing import Protocol

__all__ = ["SLOPES", "HestonParameters"]

SLOPES = ("v0", "kappa", "theta", "xi", "rho", "time")
"""What a variance path can be differentiated by; the slope of time is by the logarithm of the last date, all dates in proportion."""


class HestonParameters(Protocol):
    r"""Of :math:`dv = \kappa(\theta - v)\,dt + \xi\sqrt v\,dW`; see `pricers.models.heston.heston.Heston`."""

    @property
    def v0(self) -> float:
        """Variance today."""

    @property
    def kappa(self) -> float:
        """Speed of mean reversion."""

    @property
    def theta(self) -> float:
        """Long-run variance."""

    @property
    def xi(self) -> float:
        """Volatility of variance."""

    @property
    def rho(self) -> float:
        """Correlation of spot and variance."""
