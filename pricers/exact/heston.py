"""The formulas that answer under Heston's model."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pricers.contracts.asian import Asian
from pricers.contracts.contract import Contract
from pricers.contracts.digital import Digital
from pricers.contracts.european import European
from pricers.errors import NotApplicable
from pricers.exact.heston_fourier import digital, european
from pricers.exact.heston_geometric_asian import geometric_asian
from pricers.exact.registry import exact
from pricers.market import Market
from pricers.models.heston import Heston


def _greeks(
    formula: Callable[..., dict[str, Any]], contract: Contract, model: Heston, market: Market, **terms: Any
) -> dict[str, float]:
    last = contract.times[-1]
    try:
        values = formula(
            spot=market.spot,
            log_discount=float(market.log_discount(last)),
            v0=model.v0,
            kappa=model.kappa,
            theta=model.theta,
            xi=model.xi,
            rho=model.rho,
            **terms,
        )
    except ArithmeticError as error:
        raise NotApplicable(f"no {contract.family} by Fourier inversion: {error}; use LikelihoodRatio()") from error
    return {greek: value for greek, value in values.items() if greek != "error"}


def _vanilla(contract: European | Digital, market: Market) -> dict[str, Any]:
    return {
        "option": contract.option,
        "strike": contract.strike,
        "expiry": contract.expiry,
        "log_growth": float(market.log_growth(contract.expiry)),
    }


@exact(European, Heston)
def european_under_heston(contract: European, model: Heston, market: Market) -> dict[str, float]:
    """Fourier inversion."""
    return _greeks(european, contract, model, market, **_vanilla(contract, market))


@exact(Digital, Heston)
def digital_under_heston(contract: Digital, model: Heston, market: Market) -> dict[str, float]:
    """Fourier inversion."""
    return _greeks(digital, contract, model, market, cash=contract.cash, **_vanilla(contract, market))


@exact(Asian, Heston)
def asian_under_heston(contract: Asian, model: Heston, market: Market) -> dict[str, float]:
    """The logarithm of the geometric average is affine; one fixing alone is a European."""
    if contract.average == "arithmetic" and len(contract.fixings) + len(contract.past_fixings) > 1:
        raise NotApplicable("no exact formula is known for an arithmetic asian under heston; use LikelihoodRatio()")
    return _greeks(
        geometric_asian,
        contract,
        model,
        market,
        option=contract.option,
        strike=contract.strike,
        times=contract.fixings,
        log_growth=market.log_growth(contract.fixings),
        past_log_sum=math.fsum(math.log(spot) for spot in contract.past_fixings),
        past_count=len(contract.past_fixings),
    )
