import math

import mpmath
import numpy as np
import pytest
from mpmath import mp

from pricers.errors import InvalidInput
from pricers.exact import black_scholes
from pricers.exact.implied_vol import implied_vol

MARKET = {"spot": 100.0, "log_growth": 0.01, "log_discount": -0.02}


def exact_price(option, spot, strike, expiry, vol, log_growth, log_discount):
    with mp.workdps(60):
        side = 1 if option == "call" else -1
        forward = mp.mpf(spot) * mpmath.exp(mp.mpf(log_growth))
        stdev = mp.mpf(vol) * mpmath.sqrt(mp.mpf(expiry))
        d1 = mpmath.log(forward / strike) / stdev + stdev / 2
        value = side * (forward * mpmath.ncdf(side * d1) - strike * mpmath.ncdf(side * (d1 - stdev)))
        return mpmath.exp(mp.mpf(log_discount)) * value


@pytest.mark.parametrize("option", ["call", "put"])
@pytest.mark.parametrize("vol", [1e-3, 0.02, 0.2, 1.0])
@pytest.mark.parametrize("expiry", [1 / 365, 1.0, 20.0])
def test_gives_back_the_volatility_of_a_60_digit_price(option, vol, expiry):
    """For options at and out of the money, up to thirty standard deviations out: their price is all time value."""
    side = 1.0 if option == "call" else -1.0
    forward = 100.0 * math.exp(MARKET["log_growth"])
    distance = np.array([1e-9, 0.01, 0.5, 1.0, 3.0, 8.0, 20.0, 30.0]) * vol * math.sqrt(expiry)
    strikes = forward * np.exp(side * distance[distance < 60.0])
    prices = np.array([float(exact_price(option, 100.0, k, expiry, vol, 0.01, -0.02)) for k in strikes.tolist()])
    told = (prices > 1e-300) & (prices < (1.0 - 1e-4) * math.exp(-0.02) * np.where(side > 0, forward, strikes))
    got = implied_vol(option=option, price=prices[told], strike=strikes[told], expiry=expiry, **MARKET)
    assert told.any()
    np.testing.assert_allclose(got, vol, rtol=0, atol=1e-13 * max(1.0, vol) / math.sqrt(expiry) ** 0.5)


def test_in_the_money_prices_give_it_back_as_far_as_they_hold_it():
    strikes = np.array([60.0, 80.0, 99.0])
    terms = MARKET | {"option": "call", "strike": strikes, "expiry": 1.0}
    prices = black_scholes.european(**terms, vol=0.25)
    got = implied_vol(**terms, price=prices["price"])
    np.testing.assert_array_less(np.abs(got - 0.25), 1e-13 / np.minimum(1.0, prices["vega"]))


def test_everything_broadcasts():
    options, strikes, vols = np.array([["call"], ["put"]]), np.array([80.0, 100.0, 130.0]), np.array([0.3, 0.2, 0.4])
    prices = [
        black_scholes.european(option=str(o), strike=strikes, expiry=0.5, vol=vols, **MARKET)["price"] for o in ("call", "put")
    ]
    got = implied_vol(option=options, price=np.array(prices), strike=strikes, expiry=0.5, **MARKET)
    assert got.shape == (2, 3)
    np.testing.assert_allclose(got, np.broadcast_to(vols, (2, 3)), rtol=0, atol=1e-13)
    single = implied_vol(option="put", price=float(prices[1][0]), strike=80.0, expiry=0.5, **MARKET)
    assert single.shape == ()
    assert abs(float(single) - 0.3) < 1e-13


@pytest.mark.parametrize(
    ("option", "price"),
    [
        ("call", math.exp(-0.02) * (100.0 * math.exp(0.01) - 90.0)),  # worth its intrinsic value
        ("call", 3.0),  # less
        ("call", math.exp(-0.02) * 100.0 * math.exp(0.01)),  # the forward
        ("put", -1e-9),
        ("put", 0.0),
        ("put", 90.0),
        ("call", math.nan),
        ("call", math.inf),
    ],
)
def test_a_price_no_volatility_gives_is_named(option, price):
    prices, strikes = np.array([20.0, price]), np.array([100.0, 90.0])
    with pytest.raises(InvalidInput, match=rf"{option} with strike 90.* must lie strictly between") as caught:
        implied_vol(option=["call", option], price=prices, strike=strikes, expiry=1.0, **MARKET)
    np.testing.assert_equal(caught.value.value, price)


def test_unknown_options_and_impossible_terms_are_refused():
    with pytest.raises(InvalidInput, match="'straddle'"):
        implied_vol(option=["call", "straddle"], price=10.0, strike=100.0, expiry=1.0, **MARKET)
    for wrong in ({"strike": -1.0}, {"expiry": 0.0}, {"expiry": math.nan}, {"spot": math.nan}):
        with pytest.raises(InvalidInput, match="must lie strictly between"):
            implied_vol(**(MARKET | {"option": "call", "price": 10.0, "strike": 100.0, "expiry": 1.0} | wrong))
