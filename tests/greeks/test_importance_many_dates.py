"""Importance sampling of contracts with more dates than the search has segments: noise that the coordinates do not see is taken off."""

import math

import numpy as np
import pytest
from rare_payoffs import above, average_above, below, falls_to, outside, reaches
from scipy.special import ndtri

from greeks import Exact, ImportanceSampling, sensitivities
from greeks.engine.run import answer, prepared
from greeks.engine.tasks import GreekTask
from greeks.estimators.importance import _first_noise, _noise, unseen_points
from greeks.greek import greek
from pricers import GBM, Antithetic, AsianDigital, Barrier, Digital, Heston, Market, PathFunction, Plan, schedule
from pricers.models.scenario import Scenario
from pricers.random_numbers.path_block import Block
from pricers.random_numbers.tilted import Mixture, Tilted

MARKET, VOL = Market(spot=100.0, rate=0.05, dividend=0.02), GBM(vol=0.2)
HESTON = Heston(v0=0.04, kappa=1.5, theta=0.04, xi=0.5, rho=-0.7)
IS, NAMES = ImportanceSampling(), ("price", "delta", "vega")
MONTHS, WEEKS, DAYS = schedule(12, 1.0), schedule(52, 1.0), schedule(252, 1.0)
CALL, PUT = ({"option": o, "expiry": 1.0, "cash": 1.0} for o in ("call", "put"))
_NEVER = {"option": "put", "strike": 1e-9, "rebate": 1.0}


def level(probability):
    """The spot at one year that is exceeded with this probability."""
    return 100.0 * math.exp(0.03 - 0.02 + 0.2 * float(ndtri(1.0 - probability)))


DAILY = {
    "terminal 1e-3": (PathFunction(above, times=DAYS, k=level(1e-3)), (Digital(strike=level(1e-3), **CALL),)),
    "terminal 1e-8": (PathFunction(above, times=DAYS, k=level(1e-8)), (Digital(strike=level(1e-8), **CALL),)),
    "average": (
        PathFunction(average_above, times=DAYS, k=170.0),
        (AsianDigital(option="call", strike=170.0, fixings=DAYS, average="geometric", cash=1.0),),
    ),
    "barrier": (
        PathFunction(falls_to, times=DAYS, k=55.0),
        (Barrier(option="call", strike=1e9, rebate=1.0, barrier=55.0, kind="down-and-out", monitoring=DAYS),),
    ),
    "lookback": (
        PathFunction(reaches, times=DAYS, k=200.0),
        (Barrier(barrier=200.0, kind="up-and-out", monitoring=DAYS, **_NEVER),),
    ),
    "two-sided": (
        PathFunction(outside, times=DAYS, low=level(1.0 - 1e-6), high=level(1e-5)),
        (Digital(strike=level(1e-5), **CALL), Digital(strike=level(1.0 - 1e-6), **PUT)),
    ),
}
_OFTEN = ("terminal 1e-3", "barrier", "two-sided")


def _truth(contracts, model):
    exact = [sensitivities(c, model, MARKET, greeks=NAMES, estimator=Exact()) for c in contracts]
    return {name: sum(found[name].value for found in exact) for name in NAMES}


def _assert_right(contract, model, truth, most, seed=1):
    found = sensitivities(contract, model, MARKET, greeks=NAMES, estimator=IS, plan=Plan(seed=seed))
    for name in NAMES:
        assert found[name].resolved, found[name].note
        assert abs(found[name].value - truth[name]) < 4.0 * found[name].stderr, (found[name], truth[name])
        assert found[name].stderr < most[name] * abs(truth[name]), (found[name], truth[name])


@pytest.mark.parametrize("name", [name if name in _OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in DAILY])
def test_daily_dates_cost_no_precision(name):
    contract, exact = DAILY[name]
    _assert_right(contract, VOL, _truth(exact, VOL), dict.fromkeys(NAMES, 0.015))


@pytest.mark.parametrize(
    ("payoff", "k", "exact", "delta", "vega"),
    [(above, 170.0, Digital(strike=170.0, **CALL), 0.022, 0.035), (below, 30.0, Digital(strike=30.0, **PUT), 0.042, 0.02)],
    ids=["call", "put"],
)
def test_weekly_dates_under_heston(payoff, k, exact, delta, vega):
    most = {"price": 0.011, "delta": delta, "vega": vega}  # without the controls delta: .027 and .065, the put's vega .022
    _assert_right(PathFunction(payoff, times=WEEKS, k=k), HESTON, _truth((exact,), HESTON), most)


def _prepared(contract, model, names, plan):
    wanted = tuple(greek(name, model) for name in names)
    task = GreekTask(contract=contract, scenario=Scenario(model=model, market=MARKET), greeks=wanted, estimators=(IS,))
    return prepared([task], plan)[0]


@pytest.mark.parametrize(
    ("contract", "model", "names"),
    [
        (DAILY["barrier"][0], VOL, ("delta", "gamma", "vega", "rho", "theta", "vanna")),
        (PathFunction(above, times=WEEKS, k=160.0), HESTON, ("delta", "gamma", "vega", "rho", "vanna")),
        (PathFunction(above, times=(1.0,), k=160.0), HESTON, ("delta", "vega", "rho")),
    ],
    ids=["GBM, 252 dates", "Heston, 52 dates", "Heston, one date"],
)
@pytest.mark.parametrize(
    "plan", [Plan(paths=2**15, seed=4), Plan(paths=2**15, seed=4, sampling=Antithetic())], ids=["plain", "pairs"]
)
def test_every_control_has_mean_zero(contract, model, names, plan):
    task = _prepared(contract, model, names, plan)
    (found,) = answer([task], plan)
    sample_specs = {g.name: task.estimators[0].sample_spec(g, contract, task.scenario, plan) for g in task.greeks}
    for name in names:
        moments, sample_spec = found._moments[name], sample_specs[name]
        rows = [moments.statistics(moments.only(row)) for row in range(1, 1 + sample_spec.controls)]
        assert sample_spec.reweighting.still is not None
        assert rows[-1].stderr > 0.0  # the last one compares with paths without noise
        for row, control in enumerate(rows, start=1):
            assert abs(control.value) < 4.5 * control.stderr, (name, row, control)


def test_still_paths_have_the_same_coordinates_and_no_noise():
    ends, dates, time_grid = (3, 7, 12), (2, 3, 7, 9, 12), tuple(np.cumsum(np.linspace(0.01, 0.12, 12)).tolist())
    law = Tilted(mixture=Mixture(spheres=((0.5, 1.0), (0.5, 2.0))), ends=ends, dates=dates, factors=2)
    block = Block(seed=1, stream="s", time_grid=time_grid, first=0, n_paths=64, paths=64, sampling=law, factors=2)
    still = block.under(Tilted(mixture=law.mixture, ends=ends, dates=dates, factors=2, still=7))
    assert np.array_equal(still.coordinates(), block.coordinates())
    assert np.array_equal(still.normals(1), block.normals(1))
    assert np.array_equal(still.normals(0)[7:], block.normals(0)[7:])
    assert not np.isclose(still.normals(0)[:7], block.normals(0)[:7]).any()
    steps = np.diff(np.array(time_grid), prepend=0.0)
    for segment, (start, end) in enumerate(((0, 3), (3, 7), (7, 12))):
        scale = np.sqrt(steps[start:end] / steps[start:end].sum())
        for drawn in (block, still):
            assert scale @ drawn.normals(0)[start:end] == pytest.approx(block.coordinates()[segment])
        if end <= 7:
            assert still.normals(0)[start:end] == pytest.approx(scale[:, None] * block.coordinates()[segment])
    residual, seen, variance = block.split()
    quiet, same, _ = still.split()
    walk = np.cumsum(np.sqrt(steps)[:, None] * block.normals(0), axis=0)[np.array(dates) - 1]
    lengths = np.diff(np.array(time_grid)[np.array(dates) - 1], prepend=0.0)
    assert residual + seen == pytest.approx(np.diff(walk, axis=0, prepend=0.0) / np.sqrt(lengths)[:, None])
    assert same == pytest.approx(seen)
    assert quiet[:3] == pytest.approx(np.zeros((3, 64)), abs=1e-14)
    assert variance[2] == pytest.approx(0.0, abs=1e-14)  # a whole segment
    assert variance[0] == pytest.approx(1.0 - (steps[:2].sum() / steps[:3].sum()))


def test_noise_kernels_have_plain_twins():
    rng = np.random.default_rng(7)
    weight, paid, score, still = rng.standard_normal((4, 30))
    out = np.empty((2, 30))
    _first_noise(weight, paid, score, still, out)
    assert out[0] == pytest.approx(weight * paid * (score - still))
    assert out[1] == pytest.approx(out[0] * still)
    paid[3] = math.nan
    _first_noise(weight, paid, score, still, out)
    assert out[0, 3] == out[1, 3] == 0.0
    assert np.isfinite(out).all()
    residual, seen = rng.standard_normal((2, 5, 30))
    variance = rng.random(5)
    for width in (1, 30):
        stdev, mean_slope, stdev_slope = 0.5 + rng.random((3, 5, width))
        one = np.empty(30)
        _noise(weight, paid, stdev, mean_slope, stdev_slope, residual, seen, variance, one)
        square = (residual + seen) ** 2 - seen**2 - variance[:, None]
        expected = weight * paid * ((mean_slope * residual + stdev_slope * square) / stdev).sum(axis=0)
        expected[3] = 0.0
        assert one == pytest.approx(expected)


def test_where_coordinates_see_all_there_is_nothing_to_leave_out():
    months, days = tuple(range(1, 13)), tuple(range(1, 253))
    assert unseen_points(months, months, between=False) == (0, 0)
    assert unseen_points((21, 42, 63), (21, 42, 63), between=False) == (0, 0)  # on a book's grid of days
    assert unseen_points((21, 42, 252), days, between=False) == (21, 252)
    assert unseen_points((8, 16, 24), (24,), between=True) == (24, 24)
    assert unseen_points((1, 2, 16), (1, 16), between=True) == (0, 16)
    assert unseen_points((1, 2, 3), (1, 2, 3), between=True) == (0, 0)


def test_events_on_few_dates_have_no_paths_to_compare_with():
    contract = PathFunction(above, times=MONTHS, k=level(1e-3))
    task = _prepared(contract, VOL, NAMES, Plan())
    for g in task.greeks:
        assert task.estimators[0].sample_spec(g, contract, task.scenario, Plan()).reweighting.still is None
