"""Densities, scores, information and reparameterisations, each against another way to the same number."""

import mpmath
import numpy as np
import pytest
from expectation_cases import CONTINUOUS, DISCRETE, FAMILIES
from scipy import stats

from greeks.expectation import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    Custom,
    Exponential,
    Fixed,
    Gamma,
    LogNormal,
    MultivariateNormal,
    Normal,
    NotApplicable,
    Poisson,
    Product,
    StudentT,
)
from greeks.expectation.tree import leaves

FACTOR = np.array([[1.2, 0.0, 0.0], [-0.4, 0.7, 0.0], [0.3, 0.5, 0.9]])

ARRAYS = {
    "normal, shared std": Normal(mean=[0.1, -0.2, 0.4], std=0.7),
    "normal, shared mean": Normal(mean=[[0.1], [0.5]], std=[0.5, 1.0, 1.5]),
    "log-normal": LogNormal(mean=[0.0, 0.3], std=[0.4, 0.2]),
    "exponential": Exponential(rate=[0.5, 2.0]),
    "gamma": Gamma(shape=[0.8, 3.0], rate=1.3),
    "beta": Beta(alpha=[0.7, 2.0], beta=[1.5, 4.0]),
    "student t": StudentT(df=6.0, loc=[0.0, 1.0], scale=[1.0, 0.5]),
    "bernoulli": Bernoulli(probability=[[0.2, 0.5], [0.7, 0.9]]),
    "poisson": Poisson(rate=[0.5, 4.0]),
    "binomial": Binomial(trials=7, probability=[0.3, 0.6]),
    "categorical": Categorical(logits=[0.2, -0.5, 1.0, 0.0]),
    "categoricals": Categorical(logits=[[0.2, -0.5, 1.0], [0.0, 0.3, -0.3]]),
    "multivariate normal": MultivariateNormal(mean=[0.3, -0.1, 0.5], cholesky=FACTOR),
    "product": Product({"a": Gamma(shape=2.0, rate=1.5), "b": Normal(mean=[0.1, 0.2], std=[0.5, 0.7]), "c": Poisson(rate=2.0)}),
    "fixed": Fixed(StudentT(df=5.0, loc=0.3, scale=0.9), "df"),
}
"""Distributions of several variables, with shared and own parameters."""

ALL = {**{name: family.distribution for name, family in FAMILIES.items()}, **ARRAYS}


def everything(distribution):
    return pytest.mark.parametrize("distribution", distribution.values(), ids=list(distribution))


def flat(scores):
    return np.concatenate([score.reshape(len(score), -1) for score in scores.values()], axis=1)


@pytest.mark.parametrize("name", FAMILIES)
def test_log_prob_is_that_of_scipy(name):
    family = FAMILIES[name]
    frozen = family.frozen(**{key: float(value) for key, value in family.distribution.parameters.items()})
    x = family.distribution.sample(np.random.default_rng(0), 200)
    wanted = frozen.logpdf(x) if name in CONTINUOUS else frozen.logpmf(x)
    np.testing.assert_allclose(family.distribution.log_prob(x), wanted, rtol=1e-11, atol=1e-12)


def test_log_prob_of_multivariate_normal_is_that_of_scipy():
    distribution = ARRAYS["multivariate normal"]
    x = distribution.sample(np.random.default_rng(0), 50)
    wanted = stats.multivariate_normal(distribution.mean, FACTOR @ FACTOR.T).logpdf(x)
    np.testing.assert_allclose(distribution.log_prob(x), wanted, rtol=1e-12)


def test_log_prob_of_several_variables_is_a_sum():
    x = ARRAYS["normal, shared std"].sample(np.random.default_rng(0), 20)
    np.testing.assert_allclose(
        ARRAYS["normal, shared std"].log_prob(x), stats.norm([0.1, -0.2, 0.4], 0.7).logpdf(x).sum(axis=1), rtol=1e-12
    )
    hot = np.eye(4)
    np.testing.assert_allclose(np.exp(ARRAYS["categorical"].log_prob(hot)), ARRAYS["categorical"].probabilities)
    assert np.exp(ARRAYS["categorical"].log_prob(hot)).sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("distribution", "outside"),
    [
        (Exponential(rate=1.0), -0.1),
        (Gamma(shape=2.0, rate=1.0), 0.0),
        (LogNormal(), -1.0),
        (Beta(alpha=2.0, beta=2.0), 1.0),
        (Bernoulli(probability=0.3), 0.5),
        (Poisson(rate=1.0), 1.5),
        (Poisson(rate=1.0), -1.0),
        (Binomial(trials=3, probability=0.3), 4.0),
        (Normal(), np.inf),
    ],
    ids=str,
)
def test_there_is_no_density_outside_the_support(distribution, outside):
    assert distribution.log_prob(np.array([outside]))[0] == -np.inf


@pytest.mark.parametrize("name", FAMILIES)
def test_quadrature_of_the_cases_is_right(name):
    family = FAMILIES[name]
    frozen = family.frozen(**{key: float(value) for key, value in family.distribution.parameters.items()})
    assert family.mean(np.ones_like) == pytest.approx(1.0, abs=1e-10)
    assert family.mean(lambda x: x) == pytest.approx(frozen.mean(), rel=1e-8)
    assert family.mean(lambda x: x * x) - family.mean(lambda x: x) ** 2 == pytest.approx(frozen.var(), rel=1e-8)
    assert family.mean(lambda x: x > family.level) == pytest.approx(frozen.sf(family.level), rel=1e-9)


@everything(ALL)
def test_score_is_the_derivative_of_log_prob(distribution):
    x = distribution.sample(np.random.default_rng(3), 40)
    for name, value in distribution.parameters.items():
        for index in np.ndindex(value.shape):
            if name.endswith("cholesky") and index[1] > index[0]:
                assert not distribution.score(x)[name][(slice(None), *index)].any()
                continue
            up, down = value.copy(), value.copy()
            step = 1e-5 * max(abs(value[index]), 0.1)
            up[index] += step
            down[index] -= step
            difference = (distribution.at({name: up}).log_prob(x) - distribution.at({name: down}).log_prob(x)) / (2.0 * step)
            np.testing.assert_allclose(distribution.score(x)[name][(slice(None), *index)], difference, rtol=1e-6, atol=1e-7)


@everything(ALL)
def test_score_has_mean_zero_and_the_information_for_covariance(distribution):
    n = 100_000
    score = flat(distribution.score(distribution.sample(np.random.default_rng(11), n)))
    error = score.std(axis=0) / np.sqrt(n)
    assert (np.abs(score.mean(axis=0)) < 4.5 * error + 1e-12).all()
    products = score[:, :, None] * score[:, None, :]
    error = products.std(axis=0) / np.sqrt(n)
    information = distribution.fisher_information()
    assert (np.abs(products.mean(axis=0) - information) < 4.5 * error + 1e-12).all()
    np.testing.assert_array_equal(information, information.T)


@pytest.mark.parametrize("name", FAMILIES)
def test_information_is_the_quadrature_of_squared_scores(name):
    family = FAMILIES[name]
    names = list(family.distribution.parameters)
    wanted = [[family.mean(lambda x, a=a, b=b: family.score(x, a) * family.score(x, b)) for a in names] for b in names]
    np.testing.assert_allclose(family.distribution.fisher_information(), wanted, rtol=1e-6, atol=1e-8)


@everything(ALL)
def test_curvature_is_the_derivative_of_the_score(distribution):
    x = distribution.sample(np.random.default_rng(5), 10)
    curvature = distribution.curvature(x)
    assert set(curvature) == {(a, b) for a in distribution.parameters for b in distribution.parameters}
    for name, value in distribution.parameters.items():
        for index in np.ndindex(value.shape):
            if name.endswith("cholesky") and index[1] > index[0]:
                continue
            up, down = value.copy(), value.copy()
            step = 1e-5 * max(abs(value[index]), 0.1)
            up[index] += step
            down[index] -= step
            above, below = distribution.at({name: up}).score(x), distribution.at({name: down}).score(x)
            for other in distribution.parameters:
                difference = (above[other] - below[other]) / (2.0 * step)
                np.testing.assert_allclose(curvature[other, name][(..., *index)], difference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_draws_move_as_quantiles_do(name):
    family = FAMILIES[name]
    x = np.sort(family.distribution.sample(np.random.default_rng(2), 2000))
    moved = family.distribution.reparameterise(x)(np.ones_like(x))
    for parameter in family.distribution.parameters:
        np.testing.assert_allclose(moved[parameter], family.tangent(x, parameter), rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize("shape", [0.3, 1.0, 4.0, 150.0])
@pytest.mark.parametrize("quantile", [1e-6, 0.05, 0.5, 0.95, 1.0 - 1e-9])
def test_gamma_draws_move_with_the_shape_as_mpmath_says(shape, quantile):
    x = stats.gamma(shape).ppf(quantile)
    with mpmath.workdps(30):
        by_shape = mpmath.diff(lambda a: mpmath.gammainc(a, 0, x, regularized=True), mpmath.mpf(shape))
        density = mpmath.exp(-x) * mpmath.mpf(x) ** (mpmath.mpf(shape) - 1) / mpmath.gamma(shape)
        wanted = float(-by_shape / density)
    got = Gamma(shape=shape, rate=1.0).reparameterise(np.array([x]))(np.ones(1))["shape"][0]
    assert got == pytest.approx(wanted, rel=1e-7)


@pytest.mark.parametrize("name", [*DISCRETE, "categorical"])
def test_discrete_draws_have_no_reparameterisation(name):
    distribution = ALL[name]
    with pytest.raises(NotApplicable, match=r"use ScoreFunction\(\)"):
        distribution.reparameterise(distribution.sample(np.random.default_rng(0), 3))


def test_multivariate_normal_of_one_dimension_is_normal():
    one, other = Normal(mean=0.4, std=1.3), MultivariateNormal(mean=[0.4], cholesky=[[1.3]])
    x = one.sample(np.random.default_rng(0), 30)
    np.testing.assert_allclose(one.log_prob(x), other.log_prob(x[:, None]))
    np.testing.assert_allclose(flat(one.score(x)), flat(other.score(x[:, None])))
    np.testing.assert_allclose(one.fisher_information(), other.fisher_information())


def test_two_categories_are_bernoulli_in_the_logit():
    p = 0.3
    pair, single = Categorical(logits=[0.0, np.log(p / (1.0 - p))]), Bernoulli(probability=p)
    x = np.array([0.0, 1.0, 1.0])
    hot = np.stack([1.0 - x, x], axis=1)
    np.testing.assert_allclose(pair.log_prob(hot), single.log_prob(x))
    np.testing.assert_allclose(pair.score(hot)["logits"][:, 1], p * (1.0 - p) * single.score(x)["probability"])


def test_a_shared_parameter_gathers_the_scores_of_its_variables():
    shared = ARRAYS["normal, shared std"]
    own = Normal(mean=shared.mean, std=[0.7, 0.7, 0.7])
    x = shared.sample(np.random.default_rng(1), 10)
    np.testing.assert_allclose(shared.score(x)["std"], own.score(x)["std"].sum(axis=1))
    assert shared.fisher_information()[3, 3] == pytest.approx(own.fisher_information()[3:, 3:].sum())


def test_small_shapes_do_not_draw_the_ends_of_the_support():
    rng = np.random.default_rng(0)
    for distribution in (Gamma(shape=1e-3, rate=1.0), Beta(alpha=1e-3, beta=1e-3)):
        x = distribution.sample(rng, 2000)
        assert np.isfinite(distribution.log_prob(x)).all()
        assert all(np.isfinite(score).all() for score in distribution.score(x).values())


def test_same_seed_same_draws():
    for distribution in ALL.values():
        one, other, third = (list(leaves(distribution.sample(np.random.default_rng(seed), 5))) for seed in (9, 9, 10))
        for (_, a), (_, b) in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
        assert any((a != c).any() for (_, a), (_, c) in zip(one, third, strict=True))


def test_information_of_a_users_own_is_refused():
    own = Custom(
        sample=lambda rng, samples, rate: rng.standard_exponential(samples) / rate,
        log_prob=lambda x, rate: np.log(rate) - rate * x,
        parameters={"rate": 2.0},
    )
    with pytest.raises(NotApplicable, match="Fisher information"):
        own.fisher_information()
