"""Gradients of expectations: the identity behind the likelihood-ratio Greeks, for any distribution and any function."""

from typing import TYPE_CHECKING

from pricers.lazy import lazy

if TYPE_CHECKING:
    from greeks.expectation.derivatives import gradient, hessian
    from greeks.expectation.distributions.bernoulli import Bernoulli
    from greeks.expectation.distributions.beta import Beta
    from greeks.expectation.distributions.binomial import Binomial
    from greeks.expectation.distributions.categorical import Categorical
    from greeks.expectation.distributions.custom import Custom
    from greeks.expectation.distributions.distribution import Distribution
    from greeks.expectation.distributions.exponential import Exponential
    from greeks.expectation.distributions.fixed import Fixed
    from greeks.expectation.distributions.gamma import Gamma
    from greeks.expectation.distributions.gbm_paths import gbm_paths
    from greeks.expectation.distributions.heston_paths import heston_paths
    from greeks.expectation.distributions.log_normal import LogNormal
    from greeks.expectation.distributions.markov_chain import MarkovChain
    from greeks.expectation.distributions.multivariate_normal import MultivariateNormal
    from greeks.expectation.distributions.normal import Normal
    from greeks.expectation.distributions.poisson import Poisson
    from greeks.expectation.distributions.product import Product
    from greeks.expectation.distributions.student_t import StudentT
    from greeks.expectation.estimators.baselines import Constant, LeaveOneOut, Optimal
    from greeks.expectation.estimators.controlled import Control, Controlled
    from greeks.expectation.estimators.estimator import Estimator
    from greeks.expectation.estimators.measure_valued import MeasureValued
    from greeks.expectation.estimators.pathwise import Pathwise
    from greeks.expectation.estimators.rebar import Rebar
    from greeks.expectation.estimators.relaxed import Relaxed
    from greeks.expectation.estimators.score_function import ScoreFunction
    from greeks.expectation.results import Gradient, GradientEstimate, Hessian
    from pricers.errors import InvalidInput, NotApplicable

__all__ = [
    "Bernoulli",
    "Beta",
    "Binomial",
    "Categorical",
    "Constant",
    "Control",
    "Controlled",
    "Custom",
    "Distribution",
    "Estimator",
    "Exponential",
    "Fixed",
    "Gamma",
    "Gradient",
    "GradientEstimate",
    "Hessian",
    "InvalidInput",
    "LeaveOneOut",
    "LogNormal",
    "MarkovChain",
    "MeasureValued",
    "MultivariateNormal",
    "Normal",
    "NotApplicable",
    "Optimal",
    "Pathwise",
    "Poisson",
    "Product",
    "Rebar",
    "Relaxed",
    "ScoreFunction",
    "StudentT",
    "gbm_paths",
    "gradient",
    "hessian",
    "heston_paths",
]

__getattr__ = lazy(
    __name__,
    {
        "Bernoulli": "greeks.expectation.distributions.bernoulli",
        "Beta": "greeks.expectation.distributions.beta",
        "Binomial": "greeks.expectation.distributions.binomial",
        "Categorical": "greeks.expectation.distributions.categorical",
        "Constant": "greeks.expectation.estimators.baselines",
        "Control": "greeks.expectation.estimators.controlled",
        "Controlled": "greeks.expectation.estimators.controlled",
        "Custom": "greeks.expectation.distributions.custom",
        "Distribution": "greeks.expectation.distributions.distribution",
        "Estimator": "greeks.expectation.estimators.estimator",
        "Exponential": "greeks.expectation.distributions.exponential",
        "Fixed": "greeks.expectation.distributions.fixed",
        "Gamma": "greeks.expectation.distributions.gamma",
        "Gradient": "greeks.expectation.results",
        "GradientEstimate": "greeks.expectation.results",
        "Hessian": "greeks.expectation.results",
        "InvalidInput": "pricers.errors",
        "LeaveOneOut": "greeks.expectation.estimators.baselines",
        "LogNormal": "greeks.expectation.distributions.log_normal",
        "MarkovChain": "greeks.expectation.distributions.markov_chain",
        "MeasureValued": "greeks.expectation.estimators.measure_valued",
        "MultivariateNormal": "greeks.expectation.distributions.multivariate_normal",
        "Normal": "greeks.expectation.distributions.normal",
        "NotApplicable": "pricers.errors",
        "Optimal": "greeks.expectation.estimators.baselines",
        "Pathwise": "greeks.expectation.estimators.pathwise",
        "Poisson": "greeks.expectation.distributions.poisson",
        "Product": "greeks.expectation.distributions.product",
        "Rebar": "greeks.expectation.estimators.rebar",
        "Relaxed": "greeks.expectation.estimators.relaxed",
        "ScoreFunction": "greeks.expectation.estimators.score_function",
        "StudentT": "greeks.expectation.distributions.student_t",
        "gbm_paths": "greeks.expectation.distributions.gbm_paths",
        "gradient": "greeks.expectation.derivatives",
        "hessian": "greeks.expectation.derivatives",
        "heston_paths": "greeks.expectation.distributions.heston_paths",
    },
)
