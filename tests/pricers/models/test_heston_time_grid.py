"""Heston's time grid: what the rule asks for, which dates it depends on, and how well digitals come out on it."""

import numpy as np
import pytest

from greeks import sensitivities
from greeks.estimators.conditional import Conditional
from pricers import Digital, Heston, Plan, schedule
from pricers.errors import InvalidInput
from pricers.random_numbers.sobol import Sobol
from tests.heston_cases import MARKET, OTHERS, SEVEN, strikes

MILD = Heston(v0=0.04, kappa=1.5, theta=0.04, xi=0.5, rho=-0.7)
DAYS = tuple(day / 365.0 for day in range(1, 731))


@pytest.mark.parametrize("name", SEVEN)
def test_one_date_has_the_points_of_the_rule_equidistant_in_the_root_of_time(name):
    model, expiry, points = SEVEN[name]
    grid = model.time_grid((expiry,))
    assert len(grid) == points + points % 2
    assert np.sqrt(grid) == pytest.approx(np.sqrt(expiry) * np.arange(1, len(grid) + 1) / len(grid))
    assert grid[-1] == expiry


@pytest.mark.parametrize("name", [*SEVEN, *OTHERS])
def test_a_point_depends_on_no_later_date(name):
    model = (SEVEN | OTHERS)[name][0]
    whole = model.time_grid(DAYS)
    for count in (1, 2, 30, 365):
        grid = model.time_grid(DAYS[:count])
        assert whole[: len(grid)] == grid


@pytest.mark.parametrize("name", [*SEVEN, *OTHERS])
def test_among_other_dates_a_date_has_a_grid_as_fine_as_alone(name):
    model = (SEVEN | OTHERS)[name][0]
    days = np.array(model.time_grid(DAYS))
    for day in (1, 7, 30, 91, 365):
        before, alone = days[days <= DAYS[day - 1]], np.array(model.time_grid((DAYS[day - 1],)))
        assert len(before) >= max(16, len(alone) - 1)  # alone it is made even
        assert (np.diff(np.sqrt(before), prepend=0.0) <= np.sqrt(alone[0]) * len(alone) / (len(alone) - 1) + 1e-12).all()


@pytest.mark.parametrize("dates", [(1e-6,), (1 / 365,), (30.0,), schedule(252, 1.0), (0.1, 0.1000001, 5.0)])
@pytest.mark.parametrize(
    "model",
    [
        Heston(v0=0.0, kappa=1e-9, theta=1e-6, xi=5.0, rho=0.99),
        Heston(v0=25.0, kappa=0.0, theta=0.0, xi=1e-8, rho=0.0),
        Heston(v0=0.04, kappa=1e4, theta=0.04, xi=100.0, rho=-0.99),
        MILD,
    ],
)
def test_grids_of_extreme_parameters_increase_and_are_bounded(model, dates):
    grid = np.array(model.time_grid(dates))
    assert set(dates) <= set(grid.tolist())
    assert (np.diff(grid, prepend=0.0) > 0.0).all()
    assert 16 <= len(model.time_grid(dates[:1])) <= 512
    assert len(grid) <= 512 + 512 * (len(dates) - 1)


def test_a_refinement_divides_every_step():
    for dates in ((1.0,), schedule(12, 1.0)):
        for steps in (None, 24):
            rough, fine = MILD.time_grid(dates, steps), MILD.time_grid(dates, steps, 3)
            assert len(fine) == 3 * len(rough)
            assert fine[2::3] == pytest.approx(rough, rel=1e-12)


def test_steps_per_year_are_equal_steps():
    assert MILD.time_grid((0.5,), 8) == pytest.approx((0.125, 0.25, 0.375, 0.5))
    with pytest.raises(InvalidInput, match="steps_per_year"):
        Plan(steps_per_year=0)
    with pytest.raises(InvalidInput, match="refinement"):
        Plan(refinement=0)


def errors(model, expiry, strike, plan):
    """A digital's estimate by paths of the variance, and by Fourier inversion, for each Greek."""
    contract, greeks = Digital(option="call", strike=strike, expiry=expiry, cash=10.0), ("price", "delta")
    truth = sensitivities(contract, model, MARKET, greeks=greeks, estimator="exact")
    found = sensitivities(contract, model, MARKET, greeks=greeks, estimator=Conditional(), plan=plan)
    return [(found[name], truth[name].value) for name in greeks]


@pytest.mark.parametrize("name", SEVEN)
def test_digitals_at_the_money_agree_with_fourier_within_half_a_percent_and_their_bias_says_so(name):
    model, expiry, _ = SEVEN[name]
    for found, truth in errors(model, expiry, strikes(model, expiry)[1], Plan(paths=2**15, seed=3, sampling=Sobol())):
        assert found.stderr < 0.005 * truth
        off = abs(found.value - truth)
        assert off < 0.005 * truth + 3.0 * found.stderr
        assert off < found.bias + 3.0 * np.hypot(found.stderr, found.bias_stderr)
        assert found.bias < 0.03 * truth
        assert found.bias_stderr < 0.01 * truth


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SEVEN, *OTHERS])
def test_digitals_agree_with_fourier_within_half_a_percent(name):
    model, expiry = (SEVEN | OTHERS)[name][:2]
    for strike in strikes(model, expiry):
        for found, truth in errors(model, expiry, strike, Plan(paths=2**17, seed=5, sampling=Sobol())):
            assert found.stderr < 0.01 * truth
            assert abs(found.value - truth) < 0.005 * truth + 3.0 * found.stderr


@pytest.mark.parametrize("name", ["xi 2, a month", "xi 3, three months"])
def test_steps_of_a_64th_year_are_too_long_for_short_digitals_and_their_bias_says_so(name):
    model, expiry, _ = SEVEN[name]
    plan = Plan(paths=2**15, seed=3, sampling=Sobol(), steps_per_year=64)
    _, (found, truth) = errors(model, expiry, strikes(model, expiry)[1], plan)
    off = abs(found.value - truth)
    assert off > 0.02 * truth + 10.0 * found.stderr
    assert off < found.bias + 3.0 * np.hypot(found.stderr, found.bias_stderr)
