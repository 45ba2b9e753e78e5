"""How a contract's value moves: Greeks, each with its standard error and independent methods beside it."""

from typing import TYPE_CHECKING

from pricers.lazy import lazy
from pricers.version import __version__

if TYPE_CHECKING:
    from greeks.engine.sensitivity import Sensitivities, sensitivities
    from greeks.estimators.auto import Auto, Best
    from greeks.estimators.combined import Combined
    from greeks.estimators.conditional import Conditional
    from greeks.estimators.controlled import Controlled
    from greeks.estimators.exact import Exact
    from greeks.estimators.finite_difference import FiniteDifference
    from greeks.estimators.importance import ImportanceSampling
    from greeks.estimators.likelihood_ratio import LikelihoodRatio
    from greeks.estimators.localised import Localised
    from greeks.estimators.pathwise import Pathwise
    from greeks.estimators.preintegrated import Preintegrated
    from greeks.estimators.relaxed import Relaxed
    from greeks.estimators.survival import OneStepSurvival
    from greeks.portfolio.market_data import MarketData, Underlying, load_market
    from greeks.portfolio.risk import risk_report
    from greeks.validation.crosscheck import crosscheck
    from pricers.engine.estimate import Estimate
    from pricers.errors import InvalidInput, NotApplicable

__all__ = [
    "Auto",
    "Best",
    "Combined",
    "Conditional",
    "Controlled",
    "Estimate",
    "Exact",
    "FiniteDifference",
    "ImportanceSampling",
    "InvalidInput",
    "LikelihoodRatio",
    "Localised",
    "MarketData",
    "NotApplicable",
    "OneStepSurvival",
    "Pathwise",
    "Preintegrated",
    "Relaxed",
    "Sensitivities",
    "Underlying",
    "__version__",
    "crosscheck",
    "load_market",
    "risk_report",
    "sensitivities",
]

__getattr__ = lazy(
    __name__,
    {
        "Auto": "greeks.estimators.auto",
        "Best": "greeks.estimators.auto",
        "Combined": "greeks.estimators.combined",
        "Conditional": "greeks.estimators.conditional",
        "Controlled": "greeks.estimators.controlled",
        "Estimate": "pricers.engine.estimate",
        "Exact": "greeks.estimators.exact",
        "FiniteDifference": "greeks.estimators.finite_difference",
        "ImportanceSampling": "greeks.estimators.importance",
        "InvalidInput": "pricers.errors",
        "LikelihoodRatio": "greeks.estimators.likelihood_ratio",
        "Localised": "greeks.estimators.localised",
        "MarketData": "greeks.portfolio.market_data",
        "NotApplicable": "pricers.errors",
        "OneStepSurvival": "greeks.estimators.survival",
        "Pathwise": "greeks.estimators.pathwise",
        "Preintegrated": "greeks.estimators.preintegrated",
        "Relaxed": "greeks.estimators.relaxed",
        "Sensitivities": "greeks.engine.sensitivity",
        "Underlying": "greeks.portfolio.market_data",
        "crosscheck": "greeks.validation.crosscheck",
        "load_market": "greeks.portfolio.market_data",
        "risk_report": "greeks.portfolio.risk",
        "sensitivities": "greeks.engine.sensitivity",
    },
)
