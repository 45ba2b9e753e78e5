"""The formulas that answer under Heston's model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pricers.contracts.asian import Asian
from pricers.contracts.digital import Digital
from pricers.contracts.european import European
from pricers.errors import NotApplicable
from pricers.exact.heston_fourier import digital, european
from pricers.exact.registry import exact
from pricers.market import Market
from pricers.models.heston import Heston


def _answer(formula: Callable[..., dict[str, Any]], contract: European | Digital, model: Heston, market: Market, **terms: float) -> dict[str, float]:
    try:
        values = formula(
            option=contract.option,
            spot=market.spot,
            strike=contract.strike,
            expiry=contract.expiry,
            log_growth=float(market.log_growth(contract.expiry)),
            log_discount=float(market.log_discount(contract.expiry)),
            v0=model.v0,
            kappa=model.kappa,
            theta=model.theta,
            xi=model.xi,
            rho=model.rho,
            **terms,
        )
    except ArithmeticError as error:
        raise NotApplicable(f"the Fourier integral of this {contract.family} does not settle ({error}); use LikelihoodRatio()") from error
    return {greek: value for greek, value in values.items() if greek != "error"}


@exact(European, Heston)
def european_under_heston(contract: European, model: Heston, market: Market) -> dict[str, float]:
    """Fourier inversion."""
    return _answer(european, contract, model, market)


@exact(Digital, Heston)
def digital_under_heston(contract: Digital, model: Heston, market: Market) -> dict[str, float]:
    """Fourier inversion."""
    return _answer(digital, contract, model, market, cash=contract.cash)
