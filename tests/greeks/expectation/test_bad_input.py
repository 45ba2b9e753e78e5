"""What cannot be calculated with is named."""

import numpy as np
import pytest

from greeks.expectation import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    Constant,
    Control,
    Controlled,
    Exponential,
    Fixed,
    Gamma,
    InvalidInput,
    LogNormal,
    MarkovChain,
    MultivariateNormal,
    Normal,
    Poisson,
    Product,
    Rebar,
    Relaxed,
    ScoreFunction,
    StudentT,
    gradient,
    hessian,
)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Normal(mean=0.0, std=0.0), "std must be positive everywhere, got 0.0"),
        (lambda: Normal(mean=[0.0, np.nan], std=1.0), "mean must be finite everywhere"),
        (lambda: Normal(mean="high", std=1.0), "mean must be a number or an array of numbers"),
        (lambda: Normal(mean=[0.0, 0.0, 0.0], std=[1.0, 1.0]), "parameters must have shapes that broadcast"),
        (lambda: LogNormal(mean=0.0, std=-1.0), "std must be positive"),
        (lambda: Exponential(rate=-2.0), "rate must be positive"),
        (lambda: Gamma(shape=0.0, rate=1.0), "shape must be positive"),
        (lambda: Beta(alpha=1.0, beta=[1.0, -1.0]), "beta must be positive"),
        (lambda: StudentT(df=0.0), "df must be positive"),
        (lambda: Bernoulli(probability=1.0), "probability must lie strictly between 0 and 1"),
        (lambda: Poisson(rate=np.inf), "rate must be finite"),
        (lambda: Binomial(trials=0, probability=0.5), "trials must be a whole number of at least 1"),
        (lambda: Binomial(trials=2.5, probability=0.5), "trials must be a whole number"),
        (lambda: Binomial(trials=3, probability=0.0), "probability must lie strictly between 0 and 1"),
        (lambda: Categorical(logits=[0.0]), "logits must have at least two categories"),
        (lambda: Categorical(logits=0.0), "logits must have at least two categories"),
        (lambda: MultivariateNormal(mean=[0.0], cholesky=[[1.0, 0.0], [0.0, 1.0]]), "mean must be a vector of 2"),
        (lambda: MultivariateNormal(mean=[0.0, 0.0], cholesky=[[1.0, 0.5], [0.0, 1.0]]), "cholesky must be lower triangular"),
        (lambda: MultivariateNormal(mean=[0.0, 0.0], cholesky=[[1.0, 0.0], [0.5, -1.0]]), "positive diagonal"),
        (lambda: MultivariateNormal(mean=[0.0, 0.0], cholesky=[1.0, 1.0]), "cholesky must be a square matrix"),
        (lambda: Product({}), "factors must be a mapping"),
        (lambda: Product({"a.b": Normal()}), "a name without dots"),
        (lambda: Product({"a": 1.0}), "to a distribution"),
        (lambda: Product({"a": Normal()}).at({"b.mean": 1.0}), "must be among a.mean, a.std"),
        (lambda: Fixed(Normal(), "sigma"), "names must be among mean, std"),
        (lambda: Fixed(Normal(), "mean", "std"), "must leave a parameter"),
        (lambda: MarkovChain(start=0.0, sample=None, log_prob=None, steps=0, parameters={}), "steps must be a whole number"),
        (lambda: Relaxed(temperature=0.0), "temperature must be positive"),
        (lambda: Rebar(temperature=-1.0), "temperature must be positive"),
        (lambda: ScoreFunction(baseline=0.5), "baseline must be a baseline"),
        (lambda: Constant(np.nan), "value must be finite"),
        (
            lambda: Control(function=np.square),
            "mean or gradient of a control must be known",
        ),
        (lambda: Control(function=1.0, mean=0.0), "function must be a function"),
        (lambda: Controlled(estimator=ScoreFunction(), controls=[]), "controls must be a sequence of Control"),
        (lambda: Controlled(estimator=None, controls=[Control(function=np.square, mean=1.0)]), "estimator must be an estimator"),
    ],
)
def test_values_outside_their_domain_are_named(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: x.mean(), r"f must return one number for each draw, shape \(50,\)"),
        (lambda x: x[:-1], r"its shape is wrong, got \(49,\)"),
        (lambda x: np.stack([x, x]), r"f must return one number for each draw"),
        (lambda x: np.where(x > 0.0, x, np.nan), "f must be finite at every draw; [0-9]+ of 50 are not, the first at x = -"),
        (lambda x: np.where(x > 1.0, np.inf, x), "f must be finite at every draw"),
        (lambda x: x + 0.0j, "f must return real numbers, got 'complex128'"),
        (lambda x: x.astype(str), "f must return real numbers"),
        (None, "f must be a function"),
    ],
)
def test_what_f_returns_is_checked(f, message):
    for derivative in (gradient, hessian):
        with pytest.raises(InvalidInput, match=message):
            derivative(f, Normal(mean=0.0, std=1.0), samples=50, rng=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": 2}, "samples must be a whole number of at least 3"),
        ({"samples": 10.0}, "samples must be a whole number"),
        ({"samples": True}, "samples must be a whole number"),
        ({"rng": 1.5}, "rng must be a numpy.random.Generator"),
        ({"rng": None}, "rng must be a numpy.random.Generator"),
        ({"distribution": "normal"}, "distribution must be a distribution"),
        ({"estimator": "score"}, "estimator must be an estimator"),
    ],
    ids=str,
)
def test_arguments_are_checked(arguments, message):
    settings = {"distribution": Normal(), "samples": 10, "rng": 0, **arguments}
    with pytest.raises(InvalidInput, match=message):
        gradient(lambda x: x, **settings)


def test_draws_of_another_shape_are_refused():
    for distribution, x in (
        (Normal(mean=[0.0, 1.0], std=1.0), np.zeros(3)),
        (Normal(), np.zeros((3, 2))),
        (Categorical(logits=[0.0, 1.0]), np.zeros(3)),
        (MultivariateNormal(mean=[0.0, 1.0], cholesky=np.eye(2)), np.zeros((3, 3))),
    ):
        with pytest.raises(InvalidInput, match=r"x must have the shape"):
            distribution.score(x)


def test_an_unknown_name_in_a_result_is_named():
    found = gradient(lambda x: x, Normal(), samples=10, rng=0)
    with pytest.raises(KeyError, match="'vol' is no parameter; there are mean, std"):
        found["vol"]


def test_a_result_says_what_it_is():
    found = gradient(lambda x: x.sum(axis=1), Normal(mean=[0.0, 1.0], std=1.0), samples=10, rng=0)
    text = repr(found)
    assert "score function, 10 samples" in text
    assert "E[f] = " in text
    assert "+-" in str(found["mean"])
    assert found.samples == 10
    assert len(found) == 2
    assert list(found) == ["mean", "std"]


def test_parameters_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        Normal(mean=[0.0, 1.0], std=1.0).mean[0] = 3.0
