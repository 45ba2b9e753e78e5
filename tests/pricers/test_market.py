import datetime as dt
import math

import numpy as np
import pytest

from pricers import ImpliedVolSurface, InvalidInput, Market, ZeroCurve

CURVE = ZeroCurve(times=(0.5, 1.0, 2.0), rates=(0.02, 0.03, 0.05))
SURFACE = ImpliedVolSurface(
    times=(0.5, 1.0), strikes=((90.0, 100.0, 110.0), (80.0, 100.0, 120.0)), vols=((0.3, 0.25, 0.22), (0.28, 0.24, 0.2))
)


def test_a_flat_market():
    market = Market(spot=100.0, rate=0.05, dividend=0.02)
    assert market.log_discount(2.0) == pytest.approx(-0.1)
    assert np.allclose(market.log_growth([1.0, 2.0]), [0.03, 0.06], rtol=1e-15)


def test_zero_rates_accrue_linearly_between_dates():
    assert CURVE.log_discount([0.25, 0.5, 1.0, 1.5, 2.0]) == pytest.approx([-0.005, -0.01, -0.03, -0.065, -0.1])


def test_a_curve_from_dates_counts_days_over_365():
    dates = [dt.date(2002, 7, 18), dt.date(2003, 7, 5)]
    curve = ZeroCurve.from_dates(valuation=dt.date(2002, 7, 5), dates=dates, rates=[0.03, 0.04])
    assert curve.times == (13 / 365, 1.0)


def test_a_curve_ends_where_its_dates_end():
    with pytest.raises(InvalidInput, match="ends at 2 years") as caught:
        CURVE.log_discount(2.1)
    assert caught.value.value == 2.1


def test_a_parallel_shift_moves_every_zero_rate():
    moved = Market(spot=1.0, rate=CURVE).bumped("rate", 0.01)
    times = np.array([0.3, 0.5, 1.7])
    assert np.allclose(moved.log_discount(times) - CURVE.log_discount(times), -0.01 * times, atol=1e-16)
    assert Market(spot=1.0, rate=0.02).bumped("rate", 0.01).rate == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"spot": 0.0}, "spot"),
        ({"spot": -1.0}, "spot"),
        ({"spot": math.nan}, "spot"),
        ({"spot": "100"}, "spot"),
        ({"spot": 1.0, "rate": math.inf}, "rate"),
        ({"spot": 1.0, "dividend": None}, "dividend"),
    ],
)
def test_a_market_of_nonsense_is_refused(terms, field):
    with pytest.raises(InvalidInput, match=f"^{field} must be") as caught:
        Market(**terms)
    assert caught.value.field == field


def test_a_curve_of_nonsense_is_refused():
    with pytest.raises(InvalidInput, match="increase strictly"):
        ZeroCurve(times=(1.0, 1.0), rates=(0.1, 0.1))
    with pytest.raises(InvalidInput, match="as many as the 2 times"):
        ZeroCurve(times=(1.0, 2.0), rates=(0.1,))


def test_the_surface_returns_its_quotes():
    assert SURFACE.vol(strike=100.0, expiry=0.5) == 0.25
    assert SURFACE.vol(strike=120.0, expiry=1.0) == 0.2


def test_total_variance_is_linear_between_expiries():
    expected = math.sqrt((0.5 * 0.25**2 * 0.5 + 0.5 * 0.24**2 * 1.0) / 0.75)
    assert SURFACE.vol(strike=100.0, expiry=0.75) == pytest.approx(expected, rel=1e-14)


def test_volatility_is_linear_in_the_strike_and_flat_before_the_first_expiry():
    assert SURFACE.vol(strike=95.0, expiry=0.5) == pytest.approx(0.275)
    assert SURFACE.vol(strike=95.0, expiry=0.1) == pytest.approx(0.275)


@pytest.mark.parametrize(
    ("strike", "expiry", "field"),
    [(89.0, 0.5, "strike"), (85.0, 0.75, "strike"), (121.0, 1.0, "strike"), (100.0, 1.01, "expiry")],
)
def test_nothing_is_extrapolated(strike, expiry, field):
    with pytest.raises(InvalidInput, match="the volatility surface") as caught:
        SURFACE.vol(strike=strike, expiry=expiry)
    assert caught.value.field == field
