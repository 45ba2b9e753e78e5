"""What a contract is worth: markets, models, contracts, simulation and closed forms."""

from typing import TYPE_CHECKING

from pricers.lazy import lazy
from pricers.version import __version__

if TYPE_CHECKING:
    from pricers.calibration import HestonFit, calibrate_heston
    from pricers.contracts.asian import Asian
    from pricers.contracts.asian_digital import AsianDigital
    from pricers.contracts.barrier import Barrier
    from pricers.contracts.digital import Digital
    from pricers.contracts.european import European
    from pricers.contracts.path_function import PathFunction
    from pricers.dates import schedule
    from pricers.errors import InvalidInput, NotApplicable
    from pricers.estimate import Estimate
    from pricers.exact.registry import exact_greeks
    from pricers.market import ImpliedVolSurface, Market, ZeroCurve
    from pricers.models.gbm import GBM
    from pricers.models.heston import Heston
    from pricers.models.heston_euler import FullTruncationEuler
    from pricers.models.heston_qe import QE
    from pricers.plan import Plan
    from pricers.pricing import price
    from pricers.sampling.pseudo_random import Antithetic, Automatic, PseudoRandom
    from pricers.sampling.sobol import Sobol

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
        "Antithetic": "pricers.sampling.pseudo_random",
        "Automatic": "pricers.sampling.pseudo_random",
        "Asian": "pricers.contracts.asian",
        "AsianDigital": "pricers.contracts.asian_digital",
        "Barrier": "pricers.contracts.barrier",
        "Digital": "pricers.contracts.digital",
        "Estimate": "pricers.estimate",
        "European": "pricers.contracts.european",
        "FullTruncationEuler": "pricers.models.heston_euler",
        "GBM": "pricers.models.gbm",
        "Heston": "pricers.models.heston",
        "HestonFit": "pricers.calibration",
        "ImpliedVolSurface": "pricers.market",
        "InvalidInput": "pricers.errors",
        "Market": "pricers.market",
        "NotApplicable": "pricers.errors",
        "PathFunction": "pricers.contracts.path_function",
        "Plan": "pricers.plan",
        "PseudoRandom": "pricers.sampling.pseudo_random",
        "QE": "pricers.models.heston_qe",
        "Sobol": "pricers.sampling.sobol",
        "ZeroCurve": "pricers.market",
        "calibrate_heston": "pricers.calibration",
        "exact_greeks": "pricers.exact.registry",
        "price": "pricers.pricing",
        "schedule": "pricers.dates",
    },
)
