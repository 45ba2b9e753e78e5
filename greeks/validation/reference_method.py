"""Which independent method is held against a number."""

from __future__ import annotations

import math

from greeks.estimators.auto import Chosen
from greeks.estimators.base import Estimator
from greeks.estimators.exact import Exact
from greeks.estimators.finite_difference import FiniteDifference
from greeks.estimators.likelihood_ratio import LikelihoodRatio
from greeks.estimators.pathwise import Pathwise
from greeks.estimators.survival import OneStepSurvival
from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.engine.plan import Plan
from pricers.models.scenario import Scenario

__all__ = ["WITNESSED", "check_of", "concrete", "path_check", "path_dependent", "witness_of"]

WITNESSED = ("delta", "vega", "rho")
"""The Greeks of path-dependent trades beside which the likelihood ratio's number stands, whatever made them."""


def check_of(estimator: Estimator, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> Estimator | None:
    """The most trustworthy method that is another one than ``estimator`` and answers.

    That is the exact formula, else pathwise (which refuses a payoff that jumps), else finite differences; where the first of them
    that answers would be ``estimator`` itself, the likelihood ratio. A price by paths has no other check than a formula: all
    path estimators average the same payoffs.
    """
    own = estimator.methods
    if not greek.parameters and not isinstance(estimator, Exact):
        order: tuple[Estimator, ...] = (Exact(),)
    else:
        order = (Exact(), Pathwise(), FiniteDifference())
        places = [place for place, method in enumerate(order) if method.name in own]
        order = (*(order[: places[0]] if places else order), LikelihoodRatio(), FiniteDifference())
    others = (method for method in order if method.name not in own)
    return next((method for method in others if _answers(method, greek, contract, scenario, plan)), None)


def path_check(estimator: Estimator, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> Estimator | None:
    """The independent path method that is held against a number by formula, or by what a pilot has chosen.

    That is pathwise where the payoff does not jump and pathwise is no part of ``estimator``, else the likelihood ratio where that is no
    part of it, else finite differences; for a formula, one-step survival where it answers comes before the likelihood ratio, which is
    too noisy for many a barrier option to tell anything. A price by formula, or by a method that integrates part of the path in closed
    form, is held against the plain average of the payoffs, which is the likelihood ratio's price; any other price is such an average.
    """
    own = estimator.methods
    formula = isinstance(estimator, Exact)
    order: tuple[Estimator, ...] = (Pathwise(), *((OneStepSurvival(),) if formula else ()), LikelihoodRatio(), FiniteDifference())
    if not greek.parameters:
        structural = formula or getattr(estimator, "structural", False)
        order = (LikelihoodRatio(),) if structural else ()
    others = (method for method in order if method.name not in own)
    return next((method for method in others if _answers(method, greek, contract, scenario, plan)), None)


def path_dependent(contract: Contract) -> bool:
    """Whether a contract looks at more than one date."""
    return len(contract.times) > 1


def witness_of(estimator: Estimator, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> Estimator | None:
    """The likelihood ratio, where it is to stand beside the number: for `WITNESSED` Greeks of path-dependent contracts, by other methods.

    It asks nothing of the payoff but its value on a path, so it can speak for or against every other method.
    """
    method = LikelihoodRatio()
    if greek.name not in WITNESSED or not path_dependent(contract) or estimator.name == method.name:
        return None
    return method if _answers(method, greek, contract, scenario, plan) else None


def concrete(estimator: Estimator, greek: str) -> Estimator:
    """What makes the number of a Greek: the method that a choice stands for, or the estimator itself."""
    return (estimator.method(greek) or estimator) if isinstance(estimator, Chosen) else estimator


def _answers(candidate: Estimator, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> bool:
    try:
        if isinstance(candidate, Exact):
            return math.isfinite(candidate.value(greek, contract, scenario))
        return candidate.refusal(greek, contract, scenario, plan) is None
    except Exception:  # without a check the number itself is kept
        return False
