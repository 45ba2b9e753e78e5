"""Which independent method is held against a number."""

from __future__ import annotations

import math

from greeks.estimators.estimator import Estimator, PathEstimator, Scene
from greeks.estimators.exact import Exact
from greeks.estimators.finite_difference import FiniteDifference
from greeks.estimators.likelihood_ratio import LikelihoodRatio
from greeks.estimators.pathwise import Pathwise
from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.errors import NotApplicable
from pricers.plan import Plan

__all__ = ["check_of", "refusal"]


def refusal(estimator: Estimator, greek: Greek, contract: Contract, scene: Scene, plan: Plan) -> str | None:
    """Why an estimator does not answer, or None where it does."""
    try:
        if isinstance(estimator, PathEstimator):
            estimator.recipe(greek, contract, scene, plan)
        elif isinstance(estimator, Exact):
            estimator.value(greek, contract, scene)
    except NotApplicable as reason:
        return str(reason)
    return None


def check_of(estimator: Estimator, greek: Greek, contract: Contract, scene: Scene, plan: Plan) -> Estimator | None:
    """The most trustworthy method that is another one than ``estimator`` and answers.

    That is the exact formula, else pathwise (which refuses a payoff that jumps), else finite differences; where the first of them
    that answers would be ``estimator`` itself, the likelihood ratio. A price by paths has no other check than a formula: all
    path estimators average the same payoffs.
    """
    own = _within(estimator)
    if not greek.parameters and not isinstance(estimator, Exact):
        order: tuple[Estimator, ...] = (Exact(),)
    else:
        order = (Exact(), Pathwise(), FiniteDifference())
        places = [place for place, method in enumerate(order) if method.name in own]
        order = (*(order[: places[0]] if places else order), LikelihoodRatio(), FiniteDifference())
    others = (method for method in order if method.name not in own)
    return next((method for method in others if _answers(method, greek, contract, scene, plan)), None)


def _within(estimator: Estimator) -> str:
    """The names of all methods that an estimator is made of, as in "pathwise with controls", or may choose among."""
    return " ".join((estimator.name, *(method.name for method in getattr(estimator, "candidates", ()))))


def _answers(candidate: Estimator, greek: Greek, contract: Contract, scene: Scene, plan: Plan) -> bool:
    try:
        if isinstance(candidate, Exact):
            return math.isfinite(candidate.value(greek, contract, scene))
        return refusal(candidate, greek, contract, scene, plan) is None
    except Exception:  # a formula that breaks down is no check, and no reason to lose the number it would have checked
        return False
