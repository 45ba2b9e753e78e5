"""The formulas that answer under geometric Brownian motion."""

from __future__ import annotations

import math
from typing import Any

from pricers.contracts.asian import Asian
from pricers.contracts.asian_digital import AsianDigital
from pricers.contracts.barrier import Barrier
from pricers.contracts.digital import Digital
from pricers.contracts.european import European
from pricers.errors import NotApplicable
from pricers.exact.barrier_discrete import barrier
from pricers.exact.black_scholes import digital, european
from pricers.exact.geometric_asian import geometric_asian, geometric_asian_digital
from pricers.exact.registry import exact
from pricers.market.market import Market
from pricers.models.gbm.gbm import GBM


def _european(option: str, strike: float, expiry: float, model: GBM, market: Market) -> dict[str, float]:
    return european(
        option=option,
        spot=market.spot,
        strike=strike,
        vol=model.vol,
        expiry=expiry,
        log_growth=float(market.log_growth(expiry)),
        log_discount=float(market.log_discount(expiry)),
    )


@exact(European, GBM)
def european_under_gbm(contract: European, model: GBM, market: Market) -> dict[str, float]:
    """Black-Scholes."""
    return _european(contract.option, contract.strike, contract.expiry, model, market)


@exact(Digital, GBM)
def digital_under_gbm(contract: Digital, model: GBM, market: Market) -> dict[str, float]:
    """Black-Scholes."""
    return digital(
        option=contract.option,
        spot=market.spot,
        strike=contract.strike,
        vol=model.vol,
        expiry=contract.expiry,
        log_growth=float(market.log_growth(contract.expiry)),
        log_discount=float(market.log_discount(contract.expiry)),
        cash=contract.cash,
    )


def _average(contract: Asian | AsianDigital, model: GBM, market: Market) -> dict[str, Any]:
    """What the formulas ask of a geometric average, which is log-normal; one fixing alone is its own average."""
    if contract.mean.arithmetic and not contract.mean.single:
        raise NotApplicable(f"no exact formula is known for an arithmetic {contract.family} under gbm; use LikelihoodRatio()")
    return {
        "option": contract.option,
        "spot": market.spot,
        "strike": contract.strike,
        "vol": model.vol,
        "times": contract.fixings,
        "log_growth": market.log_growth(contract.fixings),
        "log_discount": float(market.log_discount(contract.fixings[-1])),
        "past_log_sum": contract.mean.past_log_sum,
        "past_count": len(contract.past_fixings),
    }


@exact(Asian, GBM)
def asian_under_gbm(contract: Asian, model: GBM, market: Market) -> dict[str, float]:
    """Black-Scholes for a log-normal average."""
    return geometric_asian(**_average(contract, model, market))


@exact(AsianDigital, GBM)
def asian_digital_under_gbm(contract: AsianDigital, model: GBM, market: Market) -> dict[str, float]:
    """Black-Scholes for a log-normal average."""
    return geometric_asian_digital(**_average(contract, model, market), cash=contract.cash)


@exact(Barrier, GBM)
def barrier_under_gbm(contract: Barrier, model: GBM, market: Market) -> dict[str, float]:
    """Recursive quadrature over the monitoring dates; a barrier that was touched already leaves a European, or the rebate."""
    last = contract.monitoring[-1]
    if contract.touched and not contract.out:
        return _european(contract.option, contract.strike, last, model, market)
    if contract.touched:
        log_discount = float(market.log_discount(last))
        value = contract.rebate * math.exp(log_discount)
        flat = dict.fromkeys(("delta", "gamma", "vega", "dividend_rho", "vanna", "volga"), 0.0)
        return {"price": value, "rho": -last * value, "theta": -log_discount / last * value} | flat
    try:
        return barrier(
            option=contract.option,
            kind=contract.kind,
            spot=market.spot,
            strike=contract.strike,
            barrier=contract.barrier,
            rebate=contract.rebate,
            vol=model.vol,
            times=contract.monitoring,
            log_growth=market.log_growth(contract.monitoring),
            log_discount=float(market.log_discount(last)),
        )
    except ArithmeticError as error:
        raise NotApplicable(
            f"no exact {contract.kind} {contract.option} at volatility {model.vol:g} over {last:g} years: {error}; "
            "shorten the maturity, or take the put and parity"
        ) from error
