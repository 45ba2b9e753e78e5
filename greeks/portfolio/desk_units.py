"""The units that a trading desk reads Greeks in. The Python API has raw derivatives; these are for reports only."""

from __future__ import annotations

import math
from dataclasses import dataclass

from greeks.greek import Greek

__all__ = ["Desk", "desk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    r"""A desk's name for a Greek: :math:`c\,S^k` times the raw derivative.

    Attributes
    ----------
    name : str
    unit : str
    power : int
        k. A Greek with a power above zero adds up over underlyings only in this unit.
    scale : float
        c.
    """

    name: str
    unit: str
    power: int = 0
    scale: float = 1.0

    def factor(self, spot: float) -> float:
        """What a raw derivative is multiplied by; infinite where no float holds it."""
        try:
            return spot**self.power * self.scale
        except OverflowError:
            return math.inf


_DESK = {
    "price": Desk(name="price", unit="currency"),
    "delta": Desk(name="delta_cash", unit="currency, delta times spot", power=1),
    "gamma": Desk(name="gamma_1pct", unit="currency of delta_cash per 1 % of spot", power=2, scale=1e-2),
    "vega": Desk(name="vega_1vol", unit="currency per point of volatility (0.01)", scale=1e-2),
    "rho": Desk(name="rho_1bp", unit="currency per basis point of rate", scale=1e-4),
    "theta": Desk(name="theta_1d", unit="currency per calendar day", scale=1.0 / 365.0),
    "dividend_rho": Desk(name="dividend_rho_1bp", unit="currency per basis point of dividend yield", scale=1e-4),
    "vanna": Desk(name="vanna_1vol", unit="currency of delta_cash per point of volatility", power=1, scale=1e-2),
    "volga": Desk(name="volga_1vol", unit="currency of vega_1vol per point of volatility", scale=1e-4),
}


def desk(greek: Greek) -> Desk:
    """The desk's unit of a Greek; a model parameter's own stays as it is."""
    return _DESK.get(greek.name, Desk(name=greek.name, unit=greek.unit))
