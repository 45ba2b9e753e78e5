"""Variational inference: gradients of the evidence bound against closed forms and one-dimensional quadratures."""

import numpy as np
import pytest

from greeks.expectation import (
    LeaveOneOut,
    MultivariateNormal,
    Normal,
    Optimal,
    Pathwise,
    ScoreFunction,
    gradient,
)

DATA = np.array([1.2, 0.7, 2.1, 1.5])
NOISE, PRIOR = 0.8, 1.5


def bound(q):
    """ln p(data, m) - ln q(m) for data ~ N(m, NOISE^2), m ~ N(0, PRIOR^2); q is held where it stands in the integrand."""

    def f(m):
        joint = -0.5 * (((DATA - m[:, None]) / NOISE) ** 2).sum(axis=1) - 0.5 * (m / PRIOR) ** 2
        held = -0.5 * ((m - q.mean) / q.std) ** 2
        return joint - held

    return f


@pytest.mark.parametrize(
    ("estimator", "most"),
    [
        (ScoreFunction(), 6.0),
        (ScoreFunction(baseline=LeaveOneOut()), 6.0),
        (ScoreFunction(baseline=Optimal()), 6.0),
        (Pathwise(), 6.0),
    ],
    ids=str,
)
def test_gradient_of_the_bound_of_a_conjugate_model(estimator, most):
    mean, std = 0.9, 0.6
    q = Normal(mean=mean, std=std)
    precision = len(DATA) / NOISE**2 + 1.0 / PRIOR**2
    # the bound is E[joint] + ln std + constant, a quadratic in the mean
    truth = {"mean": DATA.sum() / NOISE**2 - mean * precision, "std": 1.0 / std - std * precision}
    found = gradient(bound(q), q, estimator=estimator, samples=60_000, rng=3)
    for name, value in truth.items():
        assert abs(found[name].value - value) < 4.0 * found[name].stderr
        assert found[name].stderr < most * 10.0 / np.sqrt(60_000)


def test_at_the_posterior_a_baseline_leaves_nothing():
    precision = len(DATA) / NOISE**2 + 1.0 / PRIOR**2
    q = Normal(mean=DATA.sum() / NOISE**2 / precision, std=1.0 / np.sqrt(precision))
    found = gradient(bound(q), q, estimator=ScoreFunction(baseline=LeaveOneOut()), samples=1000, rng=3)
    for name in ("mean", "std"):
        assert abs(found[name].value) < 1e-9
        assert found[name].stderr < 1e-9
    assert gradient(bound(q), q, samples=1000, rng=3)["mean"].stderr > 0.05


FEATURES = np.array([[1.0, 0.3], [1.0, -1.2], [1.0, 0.8], [1.0, 2.0], [1.0, -0.4]])
LABELS = np.array([1.0, -1.0, 1.0, 1.0, -1.0])
MEAN, FACTOR = np.array([0.2, 0.5]), np.array([[0.6, 0.0], [-0.2, 0.5]])


def exact_logistic_bound(mean, factor):
    """Its likelihood term needs the projections of the weights only, each normal: by Gauss-Hermite quadrature."""
    x, w = np.polynomial.hermite_e.hermegauss(80)
    w = w / w.sum()
    signed = LABELS[:, None] * FEATURES
    centre, spread = signed @ mean, np.linalg.norm(signed @ factor, axis=1)
    likelihood = -np.logaddexp(0.0, -(centre[:, None] + spread[:, None] * x)) @ w
    prior = -0.5 * (mean @ mean + np.sum(factor**2))
    return likelihood.sum() + prior + np.log(np.diag(factor)).sum()


@pytest.mark.parametrize(
    "estimator", [ScoreFunction(baseline=LeaveOneOut()), ScoreFunction(baseline=Optimal()), Pathwise()], ids=str
)
def test_gradient_of_the_bound_of_logistic_regression(estimator):
    q = MultivariateNormal(mean=MEAN, cholesky=FACTOR)
    inverse = np.linalg.inv(FACTOR)

    def f(weights):
        margins = weights @ (LABELS[:, None] * FEATURES).T
        held = -0.5 * (((weights - MEAN) @ inverse.T) ** 2).sum(axis=1)
        return -np.log1p(np.exp(-margins)).sum(axis=1) - 0.5 * (weights**2).sum(axis=1) - held

    found = gradient(f, q, estimator=estimator, samples=60_000, rng=9)
    step = 1e-5
    for index in np.ndindex(2):
        e = step * np.eye(2)[index]
        truth = (exact_logistic_bound(MEAN + e, FACTOR) - exact_logistic_bound(MEAN - e, FACTOR)) / (2.0 * step)
        assert abs(found["mean"].value[index] - truth) < 4.0 * found["mean"].stderr[index]
    for index in ((0, 0), (1, 0), (1, 1)):
        e = np.zeros((2, 2))
        e[index] = step
        truth = (exact_logistic_bound(MEAN, FACTOR + e) - exact_logistic_bound(MEAN, FACTOR - e)) / (2.0 * step)
        assert abs(found["cholesky"].value[index] - truth) < 4.0 * found["cholesky"].stderr[index]
        assert found["cholesky"].stderr[index] < 0.03
