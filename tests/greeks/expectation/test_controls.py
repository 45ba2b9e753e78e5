"""Baselines and control variates: exactly unbiased, with honest errors, and of use."""

import itertools

import numpy as np
import pytest

from greeks.expectation import (
    Bernoulli,
    Constant,
    Control,
    Controlled,
    InvalidInput,
    LeaveOneOut,
    MultivariateNormal,
    Normal,
    Optimal,
    Pathwise,
    Poisson,
    Rebar,
    ScoreFunction,
    gradient,
)
from greeks.expectation.regression import regressed


def naive_regressed(y, controls):
    """One fit for each sample, on the others."""
    c = np.stack(controls, axis=-1)
    out = np.empty_like(y)
    for i in range(len(y)):
        rest = np.arange(len(y)) != i
        design = np.column_stack([np.ones(len(y) - 1), c[rest]])
        out[i] = y[i] - c[i] @ np.linalg.lstsq(design, y[rest], rcond=None)[0][1:]
    return out


@pytest.mark.parametrize("controls", [1, 2, 3])
def test_regression_leaves_each_sample_out_of_its_own_fit(controls):
    rng = np.random.default_rng(controls)
    c = [rng.standard_normal(14) * 10.0**k for k in range(controls)]
    y = rng.standard_normal(14) + sum(c)
    np.testing.assert_allclose(regressed(y, c), naive_regressed(y, c), rtol=1e-9)


def test_regression_is_separate_for_each_number():
    rng = np.random.default_rng(0)
    y, c, d = rng.standard_normal((3, 20, 2, 3))
    whole = regressed(y, (c, d))
    for i, j in np.ndindex(2, 3):
        np.testing.assert_allclose(whole[:, i, j], regressed(y[:, i, j], (c[:, i, j], d[:, i, j])), rtol=1e-10)


def test_controls_that_say_nothing_change_nothing():
    rng = np.random.default_rng(0)
    y, c = rng.standard_normal((2, 30))
    np.testing.assert_allclose(regressed(y, (np.zeros(30),)), y)
    np.testing.assert_allclose(regressed(y, (c, c)), regressed(y, (c,)), rtol=1e-9)
    np.testing.assert_allclose(regressed(y, (c, np.zeros(30))), regressed(y, (c,)), rtol=1e-12)
    np.testing.assert_allclose(regressed(y, (1e-9 * c,)), regressed(y, (1e9 * c,)), rtol=1e-9)


def test_a_perfect_control_leaves_no_error():
    rng = np.random.default_rng(0)
    c = rng.standard_normal(50)
    np.testing.assert_allclose(regressed(3.0 + 2.0 * c, (c,)), 3.0, rtol=1e-12)


def every_sample(values, count):
    """Every sample of `count` draws."""
    return np.array(list(itertools.product(values, repeat=count)))


@pytest.mark.parametrize("baseline", [Constant(0.7), LeaveOneOut(), Optimal()], ids=str)
@pytest.mark.parametrize("count", [4, 7])
def test_baselines_are_unbiased_over_all_samples(baseline, count):
    p = 0.3
    distribution = Bernoulli(probability=p)
    total = 0.0
    for x in every_sample([0.0, 1.0], count):
        chance = np.exp(distribution.log_prob(x).sum())
        numbers = baseline.numbers(2.0 + 3.0 * x, distribution.score(x)["probability"])
        total += chance * numbers.adjusted().mean()
    assert total == pytest.approx(3.0, rel=1e-12)


def test_regression_on_two_controls_is_unbiased_over_all_samples():
    values, chances = np.array([-1.0, 0.5, 2.0]), np.array([0.4, 0.4, 0.2])  # mean 0.2
    total = 0.0
    for which in every_sample([0, 1, 2], 6):
        x = values[which]
        total += np.prod(chances[which]) * regressed(np.exp(x), (x - 0.2, x**2 - 1.3)).mean()
    assert total == pytest.approx(chances @ np.exp(values), rel=1e-12)


def test_leave_one_out_is_what_it_says_and_its_error_the_jackknife():
    rng = np.random.default_rng(4)
    f, s = rng.standard_normal(25) + 3.0, rng.standard_normal(25)

    def estimate(f, s):
        n = len(f)
        return np.mean([(f[i] - (f.sum() - f[i]) / (n - 1)) * s[i] for i in range(n)])

    numbers = LeaveOneOut().numbers(f, s).target
    assert numbers.mean() == pytest.approx(estimate(f, s), rel=1e-12)
    without = np.array([estimate(np.delete(f, i), np.delete(s, i)) for i in range(25)])
    jackknife = np.sqrt(24.0 / 25.0 * np.sum((without - without.mean()) ** 2))
    assert numbers.std(ddof=1) / np.sqrt(25) == pytest.approx(jackknife, rel=1e-12)


def reduction(f, distribution, one, other, name, samples=20_000, rng=3):
    """Ratio of variances, estimator one to the other."""
    return np.square(
        gradient(f, distribution, estimator=one, samples=samples, rng=rng)[name].stderr
        / gradient(f, distribution, estimator=other, samples=samples, rng=rng)[name].stderr
    )


def test_baselines_reduce_variance():
    normal = Normal(mean=0.0, std=1.0)

    def f(x):
        return 10.0 + x

    plain, loo, optimal = ScoreFunction(), ScoreFunction(baseline=LeaveOneOut()), ScoreFunction(baseline=Optimal())
    # (10 + x) x has the variance 102, x * x the variance 2
    assert reduction(f, normal, plain, loo, "mean") == pytest.approx(51.0, rel=0.06)
    assert reduction(f, normal, plain, optimal, "mean") == pytest.approx(51.0, rel=0.06)
    # the baseline of std is not the mean of f but E[f s^2]/E[s^2]
    assert reduction(np.exp, normal, loo, optimal, "std") > 1.1


def test_a_shift_of_f_changes_nothing_behind_a_baseline():
    for baseline in (LeaveOneOut(), Optimal()):
        one, other = (
            gradient(
                lambda x, c=c: c + np.exp(0.3 * x),
                Poisson(rate=2.0),
                estimator=ScoreFunction(baseline=baseline),
                samples=500,
                rng=1,
            )
            for c in (0.0, 1000.0)
        )
        if baseline == LeaveOneOut():
            assert other["rate"].value == pytest.approx(one["rate"].value, rel=1e-8)
        assert other["rate"].stderr < 1.5 * one["rate"].stderr


SHIFTED = Normal(mean=0.4, std=0.5)
EXPANSION = Control(
    function=lambda x: 1.0 + x + 0.5 * x**2, mean=1.0 + 0.4 + 0.5 * (0.16 + 0.25), gradient={"mean": 1.0 + 0.4, "std": 0.5}
)
"""exp(x) to second order, whose mean and its gradient are known."""


def test_control_variates_reduce_variance_without_bias():
    truth = {"mean": np.exp(0.4 + 0.125), "std": 0.5 * np.exp(0.4 + 0.125)}
    plain = gradient(np.exp, SHIFTED, estimator=ScoreFunction(baseline=Optimal()), samples=40_000, rng=2)
    estimator = Controlled(estimator=ScoreFunction(baseline=Optimal()), controls=[EXPANSION])
    found = gradient(np.exp, SHIFTED, estimator=estimator, samples=40_000, rng=2)
    for name, value in truth.items():
        assert abs(found[name].value - value) < 4.0 * found[name].stderr
        assert found[name].stderr < 0.4 * plain[name].stderr


def test_several_controls_are_fitted_jointly():
    cubic = Control(function=lambda x: x**3, gradient={"mean": 3.0 * (0.16 + 0.25), "std": 6.0 * 0.4 * 0.5})
    level = Control(function=lambda x: x, mean=0.4)
    one, two, three = (
        gradient(np.exp, SHIFTED, estimator=Controlled(estimator=ScoreFunction(), controls=controls), samples=20_000, rng=5)
        for controls in ([EXPANSION], [EXPANSION, cubic], [EXPANSION, cubic, level])
    )
    for name in ("mean", "std"):
        assert two[name].stderr < 0.5 * one[name].stderr
        assert three[name].stderr < 1.01 * two[name].stderr
        assert abs(three[name].value - np.exp(0.525) * {"mean": 1.0, "std": 0.5}[name]) < 4.0 * three[name].stderr


def test_controls_around_pathwise_and_rebar():
    level = Control(function=lambda x: x, mean=0.4)
    plain = gradient(np.exp, SHIFTED, estimator=Pathwise(), samples=10_000, rng=6)
    found = gradient(np.exp, SHIFTED, estimator=Controlled(estimator=Pathwise(), controls=[level]), samples=10_000, rng=6)
    assert found["mean"].stderr < 0.5 * plain["mean"].stderr
    assert abs(found["mean"].value - np.exp(0.525)) < 4.0 * found["mean"].stderr
    p = np.array([0.3, 0.7])
    linear = Control(function=lambda x: x.sum(axis=1), mean=1.0, gradient={"probability": [1.0, 1.0]})
    estimator = Controlled(estimator=Rebar(), controls=[linear])
    exact = gradient(lambda x: x.sum(axis=1), Bernoulli(probability=p), estimator=estimator, samples=500, rng=1)
    np.testing.assert_allclose(exact["probability"].value, 1.0, rtol=1e-9)


@pytest.mark.parametrize("samples", [30, 300])
def test_errors_behind_fitted_controls_are_honest(samples):
    above = Control(function=lambda x: x > 0.4, mean=0.5, gradient={"mean": 2.0 / np.sqrt(2.0 * np.pi), "std": 0.0})
    x, w = np.polynomial.hermite_e.hermegauss(60)
    truth, runs = w @ (1.0 / np.cosh(0.4 + 0.5 * x) ** 2) / w.sum(), 600
    estimator = Controlled(estimator=ScoreFunction(baseline=Optimal()), controls=[above])
    found = [gradient(np.tanh, SHIFTED, estimator=estimator, samples=samples, rng=seed)["mean"] for seed in range(runs)]
    values, stderrs = np.array([e.value for e in found]), np.array([e.stderr for e in found])
    assert values.std() / np.sqrt(np.mean(stderrs**2)) == pytest.approx(1.0, abs=0.15)
    assert abs(values.mean() - truth) < 4.0 * values.std() / np.sqrt(runs)
    if samples == 300:  # with 30 the numbers are too skew for a normal interval, with or without controls
        assert 0.92 <= np.mean(np.abs(values - truth) <= 1.959964 * stderrs) <= 0.98


def test_a_control_with_another_expectation_is_refused():
    wrong = Control(function=lambda x: x**2, mean=1.0)
    with pytest.raises(InvalidInput, match="control has not the expectation that it claims"):
        gradient(np.exp, SHIFTED, estimator=Controlled(estimator=ScoreFunction(), controls=[wrong]), samples=5000, rng=0)
    wrong = Control(function=lambda x: x**2, gradient={"mean": 0.8, "std": 0.0})
    with pytest.raises(InvalidInput, match="by std"):
        gradient(np.exp, SHIFTED, estimator=Controlled(estimator=ScoreFunction(), controls=[wrong]), samples=5000, rng=0)


def test_a_control_must_know_every_parameter():
    one = Control(function=lambda x: x, gradient={"mean": 1.0})
    with pytest.raises(InvalidInput, match="must know the parameter std"):
        gradient(np.exp, SHIFTED, estimator=Controlled(estimator=ScoreFunction(), controls=[one]), samples=50, rng=0)
    flat = Control(function=lambda x: x[:, 0], gradient={"mean": 1.0, "cholesky": np.zeros((2, 2))})
    with pytest.raises(InvalidInput, match=r"must have the parameter's shape \(2,\)"):
        gradient(
            lambda x: x[:, 0],
            MultivariateNormal(mean=[0.0, 0.0], cholesky=np.eye(2)),
            estimator=Controlled(estimator=ScoreFunction(), controls=[flat]),
            samples=50,
            rng=0,
        )


def test_controls_need_samples():
    with pytest.raises(InvalidInput, match="samples must be at least 6 to fit 3 controls"):
        gradient(
            np.exp,
            SHIFTED,
            estimator=Controlled(estimator=ScoreFunction(baseline=Optimal()), controls=[EXPANSION]),
            samples=4,
            rng=0,
        )
