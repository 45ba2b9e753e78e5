"""The formulas that answer under Heston's model."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pricers.contracts.asian import Asian
from pricers.contracts.asian_digital import AsianDigital
from pricers.contracts.contract import Contract
from pricers.contracts.digital import Digital
from pricers.contracts.european import European
from pricers.errors import NotApplicable
from pricers.exact.heston_fourier import digital, european
from pricers.exact.heston_geometric_asian import geometric_asian, geometric_asian_digital
from pricers.exact.registry import exact
from pricers.market.market import Market
from pricers.models.heston.heston import Heston

_ACCURACY = 1e-9  # of the option's natural size, the discounted cash or the smaller of forward and strike


def _greeks(
    formula: Callable[..., dict[str, Any]], contract: Contract, model: Heston, market: Market, *, size: float, **terms: Any
) -> dict[str, float]:
    """Call the formula, and refuse what it knows of itself to be inaccurate; ``size`` is the option's natural size, undiscounted.

    The integrand is as large as the square root of forward times strike: far from the money, rounding of that is all that is left.
    """
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
    allowed = _ACCURACY * size * math.exp(float(market.log_discount(last)))
    if not values["error"] <= allowed:
        raise NotApplicable(
            f"no {contract.family} by Fourier inversion: the strike lies so far from the forward that rounding leaves an error of "
            f"{values['error']:.1e}, above {allowed:.1e}; use LikelihoodRatio()"
        )
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
    terms = _vanilla(contract, market)
    size = min(market.spot * math.exp(terms["log_growth"]), contract.strike)
    return _greeks(european, contract, model, market, size=size, **terms)


@exact(Digital, Heston)
def digital_under_heston(contract: Digital, model: Heston, market: Market) -> dict[str, float]:
    """Fourier inversion."""
    return _greeks(digital, contract, model, market, size=abs(contract.cash), cash=contract.cash, **_vanilla(contract, market))


def _average(contract: Asian | AsianDigital, market: Market) -> dict[str, Any]:
    """What the formulas ask of a geometric average, whose logarithm is affine; one fixing alone is its own average."""
    if contract.mean.arithmetic and not contract.mean.single:
        raise NotApplicable(f"no exact formula is known for an arithmetic {contract.family} under heston; use LikelihoodRatio()")
    return {
        "option": contract.option,
        "strike": contract.strike,
        "times": contract.fixings,
        "log_growth": market.log_growth(contract.fixings),
        "past_log_sum": contract.mean.past_log_sum,
        "past_count": len(contract.past_fixings),
    }


@exact(Asian, Heston)
def asian_under_heston(contract: Asian, model: Heston, market: Market) -> dict[str, float]:
    """Fourier inversion."""
    terms = _average(contract, market)
    ahead = len(contract.fixings) * math.log(market.spot) + float(terms["log_growth"].sum())
    log_forward = (terms["past_log_sum"] + ahead) / (len(contract.fixings) + terms["past_count"])
    return _greeks(geometric_asian, contract, model, market, size=min(math.exp(log_forward), contract.strike), **terms)


@exact(AsianDigital, Heston)
def asian_digital_under_heston(contract: AsianDigital, model: Heston, market: Market) -> dict[str, float]:
    """Fourier inversion."""
    terms = _average(contract, market)
    return _greeks(geometric_asian_digital, contract, model, market, size=abs(contract.cash), cash=contract.cash, **terms)
