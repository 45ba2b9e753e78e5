"""Names, parameters and units of the Greeks."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pricers.errors import InvalidInput
from pricers.models.model import Model

__all__ = ["STANDARD", "Greek", "greek"]

STANDARD = ("price", "delta", "gamma", "vega", "rho", "theta")
"""What is computed where nothing else is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Greek:
    r"""A derivative of present value: :math:`\mathrm{sign}\cdot\partial^k V/\partial a\cdots\partial b`.

    Attributes
    ----------
    name : str
    parameters : tuple of str
        What is differentiated by, as `pricers.paths.paths.Law` names it; empty for the price.
    unit : str
    sign : float
        -1 for theta, which is minus the derivative by maturity.
    note : str
        What a reader should know of it under the model.
    """

    name: str
    parameters: tuple[str, ...]
    unit: str
    sign: float = 1.0
    note: str = ""


_KNOWN = {
    known.name: known
    for known in (
        Greek(name="price", parameters=(), unit="currency"),
        Greek(name="delta", parameters=("spot",), unit="currency per unit of spot"),
        Greek(name="gamma", parameters=("spot", "spot"), unit="currency per unit of spot squared"),
        Greek(name="vega", parameters=("vol",), unit="currency per 1.00 of volatility"),
        Greek(name="rho", parameters=("rate",), unit="currency per 1.00 of rate"),
        Greek(name="theta", parameters=("time",), unit="currency per year", sign=-1.0),
        Greek(name="dividend_rho", parameters=("dividend",), unit="currency per 1.00 of dividend yield"),
        Greek(name="vanna", parameters=("spot", "vol"), unit="currency per unit of spot and 1.00 of volatility"),
        Greek(name="volga", parameters=("vol", "vol"), unit="currency per 1.00 of volatility squared"),
    )
}


def greek(name: str, model: Model) -> Greek:
    """The Greek called ``name`` under ``model``.

    Names are price, delta, gamma, vega, rho, theta (minus the derivative by maturity, all dates in proportion), dividend_rho,
    vanna, volga, and ``d_`` + a parameter of the model.

    Raises
    ------
    InvalidInput
        Where there is no such Greek.
    """
    if name in _KNOWN:
        known = _KNOWN[name]
        by_root = "vol" in known.parameters and "v0" in model.parameters
        return replace(known, note="volatility is sqrt(v0), today's") if by_root else known
    own = {f"d_{parameter}": parameter for parameter in model.parameters}
    if name in own:
        return Greek(name=name, parameters=(own[name],), unit=f"currency per 1.00 of {own[name]}")
    raise InvalidInput("greek", name, f"must be one of {', '.join((*_KNOWN, *own))}")
