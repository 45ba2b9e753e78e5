"""What a contract is worth: markets, models, contracts, simulation and closed forms."""

from typing import TYPE_CHECKING

from pricers.lazy import lazy
from pricers.version import __version__

if TYPE_CHECKING:
    from pricers.calibration.heston import HestonFit, calibrate_heston
    from pricers.contracts.asian import Asian
    from pricers.contracts.asian_digital import AsianDigital
    from pricers.contracts.barrier import Barrier
    from pricers.contracts.digital import Digital
    from pricers.contracts.european import European
    from pricers.contracts.path_function import PathFunction
    from pricers.contracts.schedule import schedule
    from pricers.engine.estimate import Estimate
    from pricers.engine.plan import Plan
    from pricers.engine.pricing import price
    from pricers.errors import InvalidInput, NotApplicable
    from pricers.exact.registry import exact_greeks
    from pricers.market.market import ImpliedVolSurface, Market, ZeroCurve
    from pricers.models.gbm.gbm import GBM
    from pricers.models.heston.full_truncation_euler import FullTruncationEuler
    from pricers.models.heston.heston import Heston
    from pricers.models.heston.qe import QE
    from pricers.random_numbers.pseudo_random import Antithetic, Automatic, PseudoRandom
    from pricers.random_numbers.sobol import Sobol

__all__ = [
    "GBM",
    "QE",
    "Antithetic",
    "Asian",
    "AsianDigital",
    "Automatic",
    "Barrier",
    "Digital",
    "Estimate",
    "European",
    "FullTruncationEuler",
    "Heston",
    "HestonFit",
    "ImpliedVolSurface",
    "InvalidInput",
    "Market",
    "NotApplicable",
    "PathFunction",
    "Plan",
    "PseudoRandom",
    "Sobol",
    "ZeroCurve",
    "__version__",
    "calibrate_heston",
    "exact_greeks",
    "price",
    "schedule",
]

__getattr__ = lazy(
    __name__,
    {
        "Antithetic": "pricers.random_numbers.pseudo_random",
        "Automatic": "pricers.random_numbers.pseudo_random",
        "Asian": "pricers.contracts.asian",
        "AsianDigital": "pricers.contracts.asian_digital",
        "Barrier": "pricers.contracts.barrier",
        "Digital": "pricers.contracts.digital",
        "Estimate": "pricers.engine.estimate",
        "European": "pricers.contracts.european",
        "FullTruncationEuler": "pricers.models.heston.full_truncation_euler",
        "GBM": "pricers.models.gbm.gbm",
        "Heston": "pricers.models.heston.heston",
        "HestonFit": "pricers.calibration.heston",
        "ImpliedVolSurface": "pricers.market.market",
        "InvalidInput": "pricers.errors",
        "Market": "pricers.market.market",
        "NotApplicable": "pricers.errors",
        "PathFunction": "pricers.contracts.path_function",
        "Plan": "pricers.engine.plan",
        "PseudoRandom": "pricers.random_numbers.pseudo_random",
        "QE": "pricers.models.heston.qe",
        "Sobol": "pricers.random_numbers.sobol",
        "ZeroCurve": "pricers.market.market",
        "calibrate_heston": "pricers.calibration.heston",
        "exact_greeks": "pricers.exact.registry",
        "price": "pricers.engine.pricing",
        "schedule": "pricers.contracts.schedule",
    },
)
