"""A user's own distributions and Markov chains; the path measure of GBM against the finance estimator; a decision process."""

import itertools
import math
from copy import copy
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from scipy.special import gammaln

from greeks import LikelihoodRatio, sensitivities
from greeks.estimators.base import PathEstimator
from greeks.expectation import (
    Custom,
    InvalidInput,
    LeaveOneOut,
    MarkovChain,
    MeasureValued,
    Normal,
    NotApplicable,
    Optimal,
    Pathwise,
    ScoreFunction,
    gbm_paths,
    gradient,
    hessian,
    heston_paths,
)
from pricers import GBM, Asian, Barrier, Heston, Market, Plan, ZeroCurve, schedule
from pricers.models.heston.full_truncation_euler import FullTruncationEuler
from pricers.random_numbers.path_block import Block, ObservationDates


def own_normal(**changes):
    arguments = {
        "sample": lambda rng, samples, mean, std: rng.normal(mean, std, samples),
        "log_prob": lambda x, mean, std: -0.5 * ((x - mean) / std) ** 2 - np.log(std),
        "parameters": {"mean": 0.4, "std": 1.3},
    }
    return Custom(**{**arguments, **changes})


def test_a_users_own_distribution_is_as_good_as_ours():
    ours, own = Normal(mean=0.4, std=1.3), own_normal()
    x = ours.sample(np.random.default_rng(0), 100)
    for name, score in ours.score(x).items():
        np.testing.assert_allclose(own.score(x)[name], score, rtol=1e-13, atol=1e-15)
    for pair, curvature in ours.curvature(x).items():
        np.testing.assert_allclose(own.curvature(x)[pair], curvature, rtol=1e-8, atol=1e-8)
    a, b = (gradient(np.square, d, samples=1000, rng=1) for d in (ours, own))
    assert a["std"].value == pytest.approx(b["std"].value, rel=1e-12)
    assert own.at({"std": 2.0}).parameters["std"] == 2.0
    assert own.parameters["std"] == 1.3


def test_a_log_prob_of_real_numbers_is_differenced():
    def log_prob(x, rate):
        return x * math.log(rate) - rate - gammaln(x + 1.0)  # math.log takes no complex number

    own = Custom(sample=lambda rng, samples, rate: rng.poisson(rate, samples), log_prob=log_prob, parameters={"rate": 2.0})
    x = np.arange(6.0)
    np.testing.assert_allclose(own.score(x)["rate"], x / 2.0 - 1.0, rtol=1e-8, atol=1e-9)
    found = hessian(lambda x: x**2, own, samples=50_000, rng=0)["rate", "rate"]
    assert abs(found.value - 2.0) < 4.0 * found.stderr


def test_an_absolute_value_does_not_fool_the_complex_step():
    own = Custom(
        sample=lambda rng, samples, loc: rng.laplace(loc, 1.0, samples),
        log_prob=lambda x, loc: -np.abs(x - loc) + 0.0 * loc,
        parameters={"loc": 0.3},
    )
    x = np.array([-1.0, 0.0, 1.0, 2.0])
    np.testing.assert_allclose(own.score(x)["loc"], np.sign(x - 0.3), rtol=1e-8)
    found = gradient(lambda x: x, own, estimator=ScoreFunction(baseline=LeaveOneOut()), samples=20_000, rng=1)["loc"]
    assert abs(found.value - 1.0) < 4.0 * found.stderr


def test_parameters_of_a_users_own_may_be_arrays():
    own = Custom(
        sample=lambda rng, samples, mean, scale: mean + scale * rng.standard_normal((samples, 2)),
        log_prob=lambda x, mean, scale: (-0.5 * ((x - mean) / scale) ** 2 - np.log(scale)).sum(axis=1),
        parameters={"mean": [0.1, 0.5], "scale": 0.7},
    )
    found = gradient(lambda x: x[:, 0] * x[:, 1], own, samples=50_000, rng=1)
    assert (np.abs(found["mean"].value - [0.5, 0.1]) < 4.0 * found["mean"].stderr).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"sample": lambda rng, samples, mean, std: rng.normal(mean + 0.3, std, samples)},
        {"sample": lambda rng, samples, mean, std: rng.normal(mean, 1.15 * std, samples)},
        {"sample": lambda rng, samples, mean, std: rng.normal(0.4, std, samples)},  # right here, but does not move with the mean
        {"sample": lambda rng, samples, mean, std: rng.normal(mean, 1.3, samples)},
        {"log_prob": lambda x, mean, std: -0.5 * ((x - mean) / std) ** 2},  # not normalised: the factor depends on std
        {"log_prob": lambda x, mean, std: -0.5 * ((x - 0.4) / std) ** 2 - np.log(std) + 0.0 * mean},
        {"log_prob": lambda x, mean, std: -0.5 * ((x - mean) / std**2) ** 2 - np.log(std**2)},
        {"log_prob": lambda x, mean, std: -np.logaddexp(0.0, (x - mean) / std) * 2.0 + (x - mean) / std - np.log(std)},
    ],
    ids=["shift", "spread", "deaf mean", "deaf std", "unnormalised", "deaf density", "variance for std", "logistic"],
)
def test_draws_that_are_not_of_the_density_are_found(changes):
    with pytest.raises(InvalidInput, match="log_prob is not the density of sample"):
        own_normal(**changes)


def test_a_support_that_moves_with_the_parameter_is_found():
    with pytest.raises(InvalidInput, match="its score has not the mean zero, got '-0.5 .* by theta'"):
        Custom(
            sample=lambda rng, samples, theta: theta * rng.random(samples),
            log_prob=lambda x, theta: 0.0 * x - np.log(theta),
            parameters={"theta": 2.0},
        )


def test_a_missing_factor_without_parameters_is_no_fault():
    own_normal(log_prob=lambda x, mean, std: 5.0 - 0.5 * ((x - mean) / std) ** 2 - np.log(std))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"log_prob": lambda x, mean, std: np.zeros(3) + mean + std}, "log_prob must give one number for each draw"),
        ({"log_prob": lambda x, mean, std: np.where(x > 0.0, np.nan, -0.5 * x * x / std - mean)}, "log_prob must be finite"),
        ({"sample": lambda rng, samples, mean, std: rng.normal(mean, std, 7)}, "sample must give 64 draws"),
        ({"sample": lambda rng, samples, mean, std: 1.0}, "sample must give 64 draws"),
        ({"parameters": {}}, "parameters must be a mapping"),
        ({"parameters": {"mean": np.nan, "std": 1.0}}, "mean must be finite"),
    ],
    ids=["log_prob of 3", "log_prob NaN", "7 draws", "one draw", "no parameters", "NaN mean"],
)
def test_bad_functions_are_named(changes, message):
    with pytest.raises(InvalidInput, match=message):
        own_normal(**changes)


def test_a_users_own_has_only_its_score():
    own = own_normal()
    for estimator in (Pathwise(), MeasureValued()):
        with pytest.raises(NotApplicable, match=r"use ScoreFunction\(\)"):
            gradient(lambda x: x, own, estimator=estimator, samples=10, rng=0)
    with pytest.raises(InvalidInput, match="must be among mean, std"):
        own.at({"sigma": 1.0})


def autoregression(steps=4):
    """x_t = phi x_{t-1} + sigma z_t from x_0."""
    return MarkovChain(
        start=lambda x0, **others: x0,
        sample=lambda rng, state, time, x0, phi, sigma: phi * state + sigma * rng.standard_normal(len(state)),
        log_prob=lambda new, state, time, x0, phi, sigma: -0.5 * ((new - phi * state) / sigma) ** 2 - np.log(sigma),
        steps=steps,
        parameters={"x0": 1.2, "phi": 0.8, "sigma": 0.5},
    )


def test_gradient_over_a_markov_chain():
    chain, (x0, phi, sigma) = autoregression(), (1.2, 0.8, 0.5)
    found = gradient(lambda x: x[:, -1] ** 2, chain, estimator=ScoreFunction(baseline=Optimal()), samples=100_000, rng=1)
    # E[x_4^2] = x0^2 phi^8 + sigma^2 (1 + phi^2 + phi^4 + phi^6)
    truth = {
        "x0": 2.0 * x0 * phi**8,
        "phi": 8.0 * x0**2 * phi**7 + sigma**2 * (2.0 * phi + 4.0 * phi**3 + 6.0 * phi**5),
        "sigma": 2.0 * sigma * (1.0 + phi**2 + phi**4 + phi**6),
    }
    for name, value in truth.items():
        assert abs(found[name].value - value) < 4.0 * found[name].stderr
        assert found[name].stderr < 0.02 * abs(value)


def test_a_path_is_the_sum_of_its_steps():
    chain = autoregression()
    x = chain.sample(np.random.default_rng(0), 6)
    steps = Normal(mean=0.8 * np.column_stack([np.full(6, 1.2), x[:, :-1]]), std=0.5)
    wanted = steps._log_density(x, (steps.mean, steps.std)).sum(axis=1) + 4 * 0.5 * np.log(2.0 * np.pi)
    np.testing.assert_allclose(chain.log_prob(x), wanted, rtol=1e-12)
    assert x.shape == (6, 4)


def test_a_chain_whose_steps_are_not_of_its_density_is_found():
    with pytest.raises(InvalidInput, match="log_prob is not the density of sample"):
        MarkovChain(
            start=0.0,
            sample=lambda rng, state, time, vol: state + vol * (1 + time) * rng.standard_normal(len(state)),
            log_prob=lambda new, state, time, vol: -0.5 * ((new - state) / vol) ** 2 - np.log(vol),
            steps=3,
            parameters={"vol": 0.2},
        )


@dataclass(frozen=True)
class WithoutControl(PathEstimator):
    """The finance likelihood ratio, its control left out: the mean of payoff times score as it is."""

    name: ClassVar[str] = "without control"

    def sample_spec(self, greek, contract, scenario, plan):
        sample_spec = LikelihoodRatio().sample_spec(greek, contract, scenario, plan)

        def samples(paths, out):
            rows = np.empty((sample_spec.rows, out.shape[1]))
            sample_spec.samples(paths, rows)
            out[0] = rows[0]

        return replace(sample_spec, samples=samples, controls=0)


TIMES = (0.25, 0.4, 1.0)
MODEL = GBM(vol=0.3)
MARKETS = {
    "flat": Market(spot=100.0, rate=0.05, dividend=0.02),
    "curve": Market(spot=100.0, rate=ZeroCurve(times=(0.3, 1.0), rates=(0.02, 0.05)), dividend=0.01),
}


@pytest.mark.parametrize("market", MARKETS)
def test_score_of_gbm_paths_is_that_of_the_finance_estimator_path_by_path(market):
    block = Block(seed=3, stream="", time_grid=TIMES, first=0, n_paths=512)
    paths = MODEL.paths(block, ObservationDates(TIMES, TIMES), MARKETS[market])
    score = gbm_paths(model=MODEL, market=MARKETS[market], times=TIMES).score(paths.spot.T)
    for name in ("spot", "vol", "rate", "dividend"):
        wanted = paths.score(name)
        np.testing.assert_allclose(score[name], wanted, rtol=1e-12, atol=1e-12 * np.abs(wanted).max())


@pytest.mark.parametrize("market", MARKETS)
def test_second_order_score_of_gbm_paths_is_that_of_the_finance_estimator(market):
    block = Block(seed=3, stream="", time_grid=TIMES, first=0, n_paths=256)
    paths = MODEL.paths(block, ObservationDates(TIMES, TIMES), MARKETS[market])
    chain = gbm_paths(model=MODEL, market=MARKETS[market], times=TIMES)
    x = paths.spot.T
    score, curvature = chain.score(x), chain.curvature(x)
    for pair in (("spot", "spot"), ("spot", "vol"), ("vol", "vol")):
        wanted = paths.score(*pair)
        second = score[pair[0]] * score[pair[1]] + curvature[pair]
        np.testing.assert_allclose(second, wanted, rtol=1e-7, atol=1e-7 * np.abs(wanted).max())


@pytest.mark.parametrize(
    "contract",
    [
        Asian(option="call", strike=100.0, fixings=TIMES, average="arithmetic"),
        Barrier(option="call", strike=95.0, barrier=88.0, kind="down-and-out", monitoring=TIMES),
    ],
    ids=lambda contract: contract.family,
)
def test_delta_vega_and_rho_from_here_are_the_finance_estimators_on_the_same_draws(contract):
    market, plan = MARKETS["flat"], Plan(paths=4096, seed=11)
    names = {"delta": "spot", "vega": "vol", "dividend_rho": "dividend", "rho": "rate"}
    wanted = sensitivities(contract, MODEL, market, greeks=tuple(names), estimator=WithoutControl(), plan=plan)
    block = Block(seed=plan.seed, stream="", time_grid=TIMES, first=0, n_paths=plan.paths)
    paths = MODEL.paths(block, ObservationDates(TIMES, TIMES), market)
    recorded = copy(gbm_paths(model=MODEL, market=market, times=TIMES))
    recorded.sample = lambda rng, samples: paths.spot.T
    discounted = paths.discounting.factor() * contract.payoff(paths)
    found = gradient(lambda x: discounted, recorded, samples=plan.paths, rng=0)
    for greek, name in names.items():
        discounting = -TIMES[-1] * found.mean.value if greek == "rho" else 0.0  # the discount factor moves too
        assert found[name].value + discounting == pytest.approx(wanted[greek].value, rel=1e-12)
        if greek != "rho":
            assert found[name].stderr == pytest.approx(wanted[greek].stderr, rel=1e-3)


def test_gbm_paths_have_the_finance_estimators_greeks():
    market, times = MARKETS["flat"], schedule(4, 1.0)
    contract = Asian(option="call", strike=100.0, fixings=times, average="arithmetic")
    found = gradient(
        lambda spot: np.exp(-0.05) * np.maximum(spot.mean(axis=1) - 100.0, 0.0),
        gbm_paths(model=MODEL, market=market, times=times),
        estimator=ScoreFunction(baseline=Optimal()),
        samples=50_000,
        rng=5,
    )
    wanted = sensitivities(contract, MODEL, market, greeks=("price", "delta", "vega"), plan=Plan(paths=200_000, seed=1))
    for mine, theirs in ((found.mean, "price"), (found["spot"], "delta"), (found["vol"], "vega")):
        error = math.hypot(mine.stderr, wanted[theirs].stderr)
        assert abs(mine.value - wanted[theirs].value) < 4.0 * error


GRID = schedule(8, 0.5)
HESTON = Heston(v0=0.09, kappa=2.0, theta=0.08, xi=0.15, rho=-0.6, scheme=FullTruncationEuler(score="full"))


def test_score_of_heston_paths_is_the_full_score_of_the_finance_scheme_path_by_path():
    market = MARKETS["flat"]
    block = Block(seed=5, stream="", time_grid=GRID, first=0, n_paths=512, factors=2)
    paths = HESTON.paths(block, ObservationDates(GRID, GRID), market)
    a, variance, v = block.normals(1), [], HESTON.v0
    for h, shock in zip(np.diff(GRID, prepend=0.0), a, strict=True):
        v = v + HESTON.kappa * (HESTON.theta - v) * h + HESTON.xi * np.sqrt(v * h) * shock
        variance.append(v)
    x = np.stack([paths.spot.T, np.transpose(variance)], axis=2)
    score = heston_paths(model=HESTON, market=market, times=GRID).score(x)
    assert set(score) == {"spot", "rate", "dividend", *Heston.parameters}
    for name in ("spot", "rate", "dividend", *Heston.parameters):
        wanted = paths.score(name)
        np.testing.assert_allclose(score[name], wanted, rtol=1e-9, atol=1e-10 * np.abs(wanted).max())


def test_heston_paths_have_the_greeks_of_the_finance_scheme():
    market = MARKETS["flat"]
    found = gradient(
        lambda x: np.exp(-0.05 * 0.5) * np.maximum(x[:, -1, 0] - 100.0, 0.0),
        heston_paths(model=HESTON, market=market, times=GRID),
        estimator=ScoreFunction(baseline=Optimal()),
        samples=50_000,
        rng=5,
    )
    wanted = sensitivities(
        Asian(option="call", strike=100.0, fixings=GRID[-1:]),
        replace(HESTON, scheme=FullTruncationEuler()),
        market,
        greeks=("price", "delta", "d_v0", "d_rho"),
        plan=Plan(paths=100_000, seed=1, steps_per_year=16),
    )
    for mine, theirs in ((found.mean, "price"), (found["spot"], "delta"), (found["v0"], "d_v0"), (found["rho"], "d_rho")):
        assert abs(mine.value - wanted[theirs].value) < 4.0 * math.hypot(mine.stderr, wanted[theirs].stderr), theirs


def test_heston_paths_refuse_a_variance_that_reaches_zero():
    with pytest.raises(InvalidInput, match="variance must stay above zero"):
        heston_paths(model=Heston(v0=0.04, kappa=0.5, theta=0.04, xi=1.0, rho=-0.9), market=MARKETS["flat"], times=GRID)


# A decision process of two states and two actions: in state s, action a leads to state 1 with the chance MOVES[s, a].
MOVES = np.array([[0.2, 0.7], [0.6, 0.1]])
REWARDS = np.array([[0.0, 1.0], [2.0, -0.5]])
HORIZON = 3
LOGITS = np.array([[0.3, -0.2], [0.1, 0.4]])


def policy(logits, state):
    """Log-probabilities of the actions in each state, analytic in the logits."""
    chosen = logits[state]
    return chosen - np.log(np.exp(chosen).sum(axis=-1, keepdims=True))


def act(rng, state, time, logits):
    s = state[:, 1].astype(int)
    action = (rng.random(len(s)) < np.exp(policy(logits, s))[:, 1]).astype(int)
    following = rng.random(len(s)) < MOVES[s, action]
    return np.column_stack([action, following]).astype(float)


def log_act(new, state, time, logits):
    s, action, following = state[:, 1].astype(int), new[:, 0].astype(int), new[:, 1]
    chance = np.where(following == 1.0, MOVES[s, action], 1.0 - MOVES[s, action])
    return policy(logits, s)[np.arange(len(s)), action] + np.log(chance)


def process():
    return MarkovChain(start=[0.0, 0.0], sample=act, log_prob=log_act, steps=HORIZON, parameters={"logits": LOGITS})


def total_reward(x):
    states = np.column_stack([np.zeros(len(x)), x[:, :-1, 1]]).astype(int)
    return REWARDS[states, x[:, :, 0].astype(int)].sum(axis=1)


def exact_value(logits):
    """The expected total reward from state 0, over every sequence of actions and states."""
    value = 0.0
    for actions in itertools.product((0, 1), repeat=HORIZON):
        for states in itertools.product((0, 1), repeat=HORIZON):
            chance, reward, s = 1.0, 0.0, 0
            for a, following in zip(actions, states, strict=True):
                p = np.exp(logits[s]) / np.exp(logits[s]).sum()
                chance *= p[a] * (MOVES[s, a] if following else 1.0 - MOVES[s, a])
                reward += REWARDS[s, a]
                s = following
            value += chance * reward
    return value


def exact_gradient(logits):
    step, out = 1e-5, np.zeros_like(logits)
    for index in np.ndindex(logits.shape):
        e = np.zeros_like(logits)
        e[index] = step
        out[index] = (exact_value(logits + e) - exact_value(logits - e)) / (2.0 * step)
    return out


@pytest.mark.parametrize(
    "estimator", [ScoreFunction(), ScoreFunction(baseline=LeaveOneOut()), ScoreFunction(baseline=Optimal())], ids=str
)
def test_policy_gradient_is_that_by_enumeration(estimator):
    found = gradient(total_reward, process(), estimator=estimator, samples=50_000, rng=4)
    truth = exact_gradient(LOGITS)
    assert abs(found.mean.value - exact_value(LOGITS)) < 4.0 * found.mean.stderr
    assert (np.abs(found["logits"].value - truth) < 4.0 * found["logits"].stderr).all()
    assert (found["logits"].stderr < 0.03).all()
    assert np.abs(truth).max() > 0.2


def test_leave_one_out_reduces_the_variance_of_the_policy_gradient():
    plain, loo = (
        gradient(total_reward, process(), estimator=ScoreFunction(baseline=baseline), samples=20_000, rng=4)["logits"].stderr
        for baseline in (Optimal(), LeaveOneOut())
    )
    raw = gradient(total_reward, process(), samples=20_000, rng=4)["logits"].stderr
    assert ((raw / loo) ** 2 > 1.3).all()
    assert ((loo / plain) ** 2 > 0.99).all()
