"""One-step survival one path at a time, in plain Python: the twin of its kernels; and how small its error is, and how honest."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr, ndtri

from greeks import Conditional, Controlled, Exact, OneStepSurvival, sensitivities
from greeks.estimators.conditional import Claim, TotalReturn
from greeks.estimators.survival import _alive, _reference, _survivors
from pricers import GBM, Barrier, Heston, Market, Plan, Sobol, schedule
from pricers.paths.paths import Steps
from pricers.random_numbers.path_block import Block, ObservationDates

DATES = (0.1, 0.25, 0.6, 0.7, 1.0)
MARKET = Market(spot=100.0, rate=0.05, dividend=0.02)


def barrier(kind="down-and-out", level=95.0, option="call", strike=100.0, dates=DATES, rebate=0.0):
    return Barrier(option=option, strike=strike, barrier=level, kind=kind, monitoring=dates, rebate=rebate)


def value(claim, y, variance):
    """What the claim pays, averaged."""
    value = 0.0
    for shares, cash, edge, side, _ in claim.edges.tolist():
        d = (y - edge) / math.sqrt(variance)
        value += shares * math.exp(y + variance / 2) * float(ndtr(side * (d + math.sqrt(variance)))) + cash * float(
            ndtr(side * d)
        )
    return value


def value_less_image(claim, y, variance):
    if claim.image is None:
        return value(claim, y, variance)
    power, pole = claim.image
    lift = math.exp(power * (y - pole) + power**2 * variance / 2)
    return value(claim, y, variance) - lift * value(claim, 2 * pole - y - power * variance, variance)


def twin(contract, claim, spot, means, stdevs, normals):
    """Distance from the barrier, probability, and sum over the deaths of worth times probability, on the date before the last."""
    sign = 1.0 if contract.down else -1.0
    away, chance, lost = sign * math.log(spot / contract.barrier), 1.0, 0.0
    for t in range(len(means) - 1):
        m, s, u = means[t], stdevs[t], float(ndtr(-sign * normals[t]))
        d = (away + sign * m) / s
        alive, dead = float(ndtr(d)), float(ndtr(-d))
        if dead > 1e-15:
            there = math.log(contract.barrier) + sign * (away + sign * m + s * float(ndtri(dead * u)))
            lost += chance * dead * value_less_image(claim, there + sum(means[t + 1 :]), sum(x * x for x in stdevs[t + 1 :]))
        chance *= alive
        away += sign * m - s * float(ndtri(alive * u))
    return np.array([away, chance, lost])


def check(place, found, at, path, steps, h=0.02):
    """A path of the kernel's state and its derivatives against a function of the parameters and its differences."""
    state, slope, second = found
    assert state[:, path] == pytest.approx(at(), rel=1e-11, abs=1e-11)
    for parameter, by in steps.items():
        difference = (at(**{parameter: by}) - at(**{parameter: -by})) / (2 * by)
        assert slope[place[parameter], [0, 2], path] == pytest.approx(difference[[0, 2]], rel=3e-7, abs=1e-6)
        assert slope[place[parameter], 1, path] * state[1, path] == pytest.approx(difference[1], rel=3e-7, abs=1e-8)
    bumped = (at(spot=h) - 2 * at() + at(spot=-h)) / h**2
    assert second[[0, 2], path] == pytest.approx(bumped[[0, 2]], rel=2e-5, abs=1e-6)
    by_spot = slope[0, 1, path]
    assert state[1, path] * (second[1, path] + by_spot**2) == pytest.approx(bumped[1], rel=2e-5, abs=1e-8)


@pytest.mark.parametrize("rebate", [0.0, 3.0])
@pytest.mark.parametrize(("kind", "level"), [("down-and-out", 95.0), ("up-and-out", 108.0), ("down-and-in", 70.0)])
def test_the_kernel_is_its_plain_twin_and_its_slopes_the_twins_differences(kind, level, rebate):
    contract, vol = barrier(kind, level, rebate=rebate), 0.2
    block = Block(seed=3, stream="", time_grid=DATES, first=0, n_paths=300)
    steps = GBM(vol=vol).paths(block, ObservationDates(DATES, DATES), MARKET).law.steps(("spot", "vol", "rate"))
    total = TotalReturn.of(steps)
    claim, tilts = _reference(contract, total, len(DATES))
    found = _survivors(contract, claim, tilts, replace(steps, second_order=True), total)
    intervals = np.diff(DATES, prepend=0.0)
    for path in (0, 13, 127, 128, 299):
        normals = block.normals()[:, path].tolist()

        def there(spot=0.0, vol=0.0, rate=0.0, normals=normals):
            growth, sigma = 0.05 + rate - 0.02, 0.2 + vol
            moved = claim._replace(image=(1.0 - 2.0 * growth / sigma**2, claim.image[1]))
            means, stdevs = (growth - sigma**2 / 2) * intervals, sigma * np.sqrt(intervals)
            return twin(contract, moved, 100.0 + spot, means.tolist(), stdevs.tolist(), normals)

        check({"spot": 0, "vol": 1, "rate": 2}, found, there, path, {"spot": 1e-3, "vol": 1e-5, "rate": 1e-5})


@pytest.mark.parametrize(("kind", "level"), [("down-and-out", 97.0), ("up-and-in", 104.0)])
def test_the_kernel_is_its_twin_where_every_path_has_steps_of_its_own(kind, level):
    contract, n_paths = barrier(kind, level, rebate=1.0), 200
    rng = np.random.default_rng(8)
    stdev = rng.choice([0.002, 0.05, 0.2], (5, n_paths)) * rng.uniform(0.7, 1.4, (5, n_paths))  # far from the barrier, and near
    mean, normals, nothing = 0.05 * rng.standard_normal((5, n_paths)), rng.standard_normal((5, n_paths)), np.zeros((5, n_paths))
    mean_slope, stdev_slope = rng.standard_normal((5, n_paths)), 0.3 * stdev * rng.standard_normal((5, n_paths))
    steps = Steps(
        spot=100.0,
        normals=normals,
        mean=mean,
        stdev=stdev,
        mean_slope=np.stack([nothing, mean_slope]),
        stdev_slope=np.stack([nothing, stdev_slope]),
    )
    total = TotalReturn.of(steps)
    claim, tilts = _reference(contract, total, 5)
    assert claim.image is None
    found = _survivors(contract, claim, tilts, replace(steps, second_order=True), total)
    for path in (0, 1, 50, 127, 128, 199):

        def there(spot=0.0, other=0.0, path=path):
            means, stdevs = mean[:, path] + other * mean_slope[:, path], stdev[:, path] + other * stdev_slope[:, path]
            return twin(contract, claim, 100.0 + spot, means.tolist(), stdevs.tolist(), normals[:, path].tolist())

        check({"spot": 0, "other": 1}, found, there, path, {"spot": 1e-4, "other": 1e-6}, h=0.005)


@pytest.mark.parametrize("side", ["down", "up"])
@pytest.mark.parametrize("option", ["call", "put"])
@pytest.mark.parametrize("strike", [92.0, 100.0, 108.0])
def test_a_claim_is_value_what_it_pays_on_average(side, option, strike):
    contract, edge = barrier(f"{side}-and-out", 100.5, option, strike, rebate=2.5), math.log(99.5)
    sign = 1.0 if side == "down" else -1.0
    power, pole = -1.7, math.log(100.2)

    def pays(x, image=False):
        if image:
            return math.exp(power * (x - pole)) * pays(2 * pole - x)
        exercise = max(math.exp(x) - strike, 0.0) if option == "call" else max(strike - math.exp(x), 0.0)
        return (exercise - 2.5) * (sign * (x - edge) > 0.0)

    kinks = [edge, 2 * pole - edge, math.log(strike), 2 * pole - math.log(strike)]
    for y, variance in ((4.6, 0.01), (4.7, 0.04)):
        s = math.sqrt(variance)
        density = lambda x: math.exp(-(((x - y) / s) ** 2) / 2) / (s * math.sqrt(2 * math.pi))  # noqa: B023, E731
        for image in (None, (power, pole)):
            claim = _alive(contract, edge, image)
            expected = quad(
                lambda x: (pays(x) - (pays(x, image=True) if image else 0.0)) * density(x),  # noqa: B023
                y - 9 * s,
                y + 9 * s,
                points=kinks,
                limit=200,
            )[0]
            value, by_y, by_y_twice, by_power = (row[0] for row in claim.value(np.array([y]), np.array([variance])))
            assert value == pytest.approx(expected, rel=1e-9, abs=1e-9)
            assert value == pytest.approx(value_less_image(claim, y, variance), rel=1e-12, abs=1e-12)
            h = 1e-4
            up, here, down = (value_less_image(claim, y + move, variance) for move in (h, 0.0, -h))
            assert by_y == pytest.approx((up - down) / (2 * h), rel=1e-5, abs=1e-4)
            assert by_y_twice == pytest.approx((up - 2 * here + down) / h**2, rel=1e-4, abs=1e-2)
            if image:
                up, down = (value_less_image(claim._replace(image=(power + move, pole)), y, variance) for move in (h, -h))
                assert by_power == pytest.approx((up - down) / (2 * h), rel=1e-6, abs=1e-8)


def test_a_vanilla_claim_is_the_exercise_value_less_cash():
    for option, sign in (("call", 1.0), ("put", -1.0)):
        claim = Claim.vanilla(option, 100.0, less=2.0)
        for y in (4.4, 4.8):
            assert claim.value(np.array([y]), np.array([1e-8]))[0, 0] == pytest.approx(
                max(sign * (math.exp(y) - 100.0), 0.0) - 2.0, abs=1e-5
            )


SMALL = {"price": 7e-4, "delta": 4e-4, "gamma": 4e-4, "vega": 0.024, "rho": 0.011, "theta": 0.0024}
"""Largest standard error at 2**15 paths of a year's daily barrier 10 % away."""


def test_a_daily_barrier_has_a_small_error_around_the_exact_value():
    contract, model = barrier(level=90.0, dates=schedule(252, 1.0)), GBM(vol=0.2)
    truth = sensitivities(contract, model, MARKET, estimator=Exact())
    found = sensitivities(contract, model, MARKET, estimator=OneStepSurvival(), plan=Plan(paths=2**15, seed=11))
    for g, bound in SMALL.items():
        assert found[g].stderr < bound, (g, found[g])
        assert abs(found[g].value - truth[g].value) < 4.0 * found[g].stderr, (g, found[g], truth[g].value)


def test_sobol_points_and_another_seed_agree_beside_the_barrier():
    contract, model = barrier(level=99.0, dates=schedule(100, 1.0)), GBM(vol=0.2)
    truth = sensitivities(contract, model, MARKET, estimator=Exact())
    for plan in (Plan(paths=2**15, seed=5), Plan(paths=2**14, seed=6, sampling=Sobol())):
        found = sensitivities(contract, model, MARKET, estimator=OneStepSurvival(), plan=plan)
        for g in SMALL:
            assert abs(found[g].value - truth[g].value) < 4.5 * found[g].stderr, (g, found[g], truth[g].value)
        assert found["delta"].stderr < 2.5e-3


def test_intervals_cover_the_exact_value():
    contract, model, seeds = barrier(level=94.0, rebate=1.0, dates=schedule(40, 0.5)), GBM(vol=0.25), 300
    truth = sensitivities(contract, model, MARKET, estimator=Exact())
    inside = dict.fromkeys(SMALL, 0)
    for seed in range(seeds):
        found = sensitivities(contract, model, MARKET, estimator=OneStepSurvival(), plan=Plan(paths=2**10, seed=seed), threads=1)
        for g in SMALL:
            inside[g] += abs(found[g].value - truth[g].value) < 1.959964 * found[g].stderr
    for g, hits in inside.items():
        assert abs(hits / seeds - 0.95) < 4.0 * math.sqrt(0.95 * 0.05 / seeds), (g, hits / seeds)


@pytest.mark.parametrize("kind", ["down-and-out", "up-and-in"])
def test_what_is_asked_for_beside_it_changes_no_bit(kind):
    contract = barrier(kind, 95.0 if kind.startswith("down") else 106.0)
    for model in (GBM(vol=0.2), Heston(v0=0.04, kappa=1.5, theta=0.04, xi=0.5, rho=-0.7)):
        plan = Plan(paths=2**11, seed=4, steps_per_year=20)
        ask = lambda *greeks: sensitivities(contract, model, MARKET, greeks=greeks, estimator=OneStepSurvival(), plan=plan)  # noqa: B023, E731
        together = ask("price", "delta", "gamma", "vega", "rho", "dividend_rho", "theta")
        for g, estimate in together.items():
            assert ask(g)[g] == estimate, g


def test_controls_given_the_variance_path_agree_and_help_under_heston():
    contract, model = barrier(level=90.0, dates=schedule(50, 1.0)), Heston(v0=0.04, kappa=1.5, theta=0.04, xi=0.5, rho=-0.7)
    plan = Plan(paths=2**14, seed=9, steps_per_year=100)
    greeks = ("price", "delta", "rho", "d_v0")
    alone, helped = (
        sensitivities(contract, model, MARKET, greeks=greeks, estimator=estimator, plan=replace(plan, seed=seed))
        for estimator, seed in ((OneStepSurvival(), 1), (Controlled(OneStepSurvival(), by=Conditional()), 2))
    )
    for g in greeks:
        gap = math.hypot(alone[g].stderr, helped[g].stderr)
        assert abs(alone[g].value - helped[g].value) < 4.0 * gap, (g, alone[g], helped[g])
    assert helped["rho"].stderr < 0.7 * alone["rho"].stderr
    assert helped["price"].stderr < 0.6 * alone["price"].stderr
