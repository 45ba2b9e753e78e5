import mpmath
import numpy as np
import pytest
from mpmath import mp

from pricers.exact.black_scholes import digital, european


def price_of(case, **bumped):
    market, payoff = case["market"], case["payoff"]
    maturity = market["maturity"]
    terms = {
        "option": payoff["kind"].rsplit("_", 1)[1],
        "spot": market["spot"],
        "strike": payoff["params"]["strike"],
        "vol": case["model"]["params"]["sigma"],
        "expiry": maturity,
        "log_growth": (market["rate"] - market["dividend"]) * maturity,
        "log_discount": -market["rate"] * maturity,
    } | bumped
    if payoff["kind"].startswith("cash"):
        return digital(**terms, cash=payoff["params"]["payout"])
    return european(**terms)


@pytest.mark.published("euro-*", "digital-fo08-cash-call")
def test_published(published_case, assert_close):
    got = price_of(published_case)
    assert_close(got, published_case["published"], published_case["tolerance"]["published"])
    assert_close(got, published_case["expected"], published_case["tolerance"]["expected"])


# log growth and discount as from a curve: no flat rate fits the dates
CURVE = {"log_growth": 0.013, "log_discount": -0.041}


@pytest.mark.parametrize("option", ["call", "put"])
@pytest.mark.parametrize("cash", [None, 7.0])
@pytest.mark.parametrize(
    "terms",
    [
        {"spot": 100.0, "strike": 110.0, "vol": 0.25, "expiry": 0.7},
        {"spot": 100.0, "strike": 20.0, "vol": 0.1, "expiry": 2.0},
        {"spot": 1.1, "strike": 1.1, "vol": 0.9, "expiry": 0.01},
    ],
)
def test_greeks_are_the_derivatives_of_the_formula(option, cash, terms, exact_derivatives, assert_close):
    side = 1 if option == "call" else -1
    expiry = terms["expiry"]

    def price(spot, vol, rate, dividend, stretch):
        forward = spot * mpmath.exp(CURVE["log_growth"] * stretch + (rate - dividend) * expiry * stretch)
        s = vol * mpmath.sqrt(expiry * stretch)
        d2 = mpmath.log(forward / mp.mpf(terms["strike"])) / s - s / 2
        discount = mpmath.exp(CURVE["log_discount"] * stretch - rate * expiry * stretch)
        if cash is not None:
            return discount * cash * mpmath.ncdf(side * d2)
        return discount * side * (forward * mpmath.ncdf(side * (d2 + s)) - terms["strike"] * mpmath.ncdf(side * d2))

    wanted = exact_derivatives(price, spot=terms["spot"], vol=terms["vol"], maturity=expiry)
    got = european(option=option, **terms, **CURVE)
    if cash is not None:
        got = digital(option=option, cash=cash, **terms, **CURVE)
    assert set(got) == set(wanted)
    assert_close(got, wanted, {name: 1e-12 * max(1.0, abs(value)) for name, value in wanted.items()})


def test_arrays_broadcast_and_agree_with_single_numbers():
    spot, strike = np.array([[90.0], [100.0]]), np.array([80.0, 100.0, 120.0])
    terms = {"vol": 0.2, "expiry": 0.5, "log_growth": 0.01, "log_discount": -0.02}
    for function in (european, digital):
        table = function(option="put", spot=spot, strike=strike, **terms)
        for name, values in table.items():
            assert values.shape == (2, 3)
            for row, column in np.ndindex(2, 3):
                one = function(option="put", spot=spot[row, 0], strike=strike[column], **terms)[name]
                assert isinstance(one, float)
                assert values[row, column] == one


def test_put_call_parity_of_every_greek():
    terms = {"spot": 100.0, "strike": 95.0, "vol": 0.3, "expiry": 0.8, **CURVE}
    call, put = european(option="call", **terms), european(option="put", **terms)
    growth, discount, t = CURVE["log_growth"], CURVE["log_discount"], terms["expiry"]
    forward, strike = 100.0 * np.exp(growth + discount), 95.0 * np.exp(discount)
    wanted = dict.fromkeys(call, 0.0) | {
        "price": forward - strike,
        "delta": forward / 100.0,
        "rho": t * strike,
        "theta": -((growth + discount) * forward - discount * strike) / t,
        "dividend_rho": -t * forward,
    }
    for name in call:
        assert call[name] - put[name] == pytest.approx(wanted[name], abs=1e-12)


@pytest.mark.parametrize(
    ("vol", "expiry"), [(0.0, 1.0), (0.2, 0.0), (0.0, 0.0), (1e-9, 1e-9)], ids=["no vol", "expired", "both", "tiny"]
)
def test_without_randomness_only_the_forward_counts(vol, expiry):
    terms = {"spot": 100.0, "vol": vol, "expiry": expiry, "log_growth": 0.01 * expiry, "log_discount": 0.0}
    forward = 100.0 * np.exp(0.01 * expiry)
    for strike in (0.0, 90.0, 110.0, 1e6):
        call, put = european(option="call", strike=strike, **terms), european(option="put", strike=strike, **terms)
        cash = digital(option="call", strike=strike, **terms)
        assert all(np.isfinite(value) for greeks in (call, put, cash) for value in greeks.values())
        assert call["price"] == pytest.approx(max(forward - strike, 0.0), rel=1e-15)
        assert put["price"] == pytest.approx(max(strike - forward, 0.0), rel=1e-15)
        assert cash["price"] == float(forward > strike)
        assert call["gamma"] == call["vega"] == cash["delta"] == cash["vega"] == 0.0
    at_the_money = european(option="call", strike=forward, **terms)
    stdev = vol * np.sqrt(expiry)
    assert at_the_money["price"] == pytest.approx(forward * stdev / np.sqrt(2.0 * np.pi), abs=1e-14)
    assert not any(np.isnan(value) for value in at_the_money.values())


def test_far_out_of_the_money_keeps_its_relative_accuracy():
    terms = {"spot": 100.0, "strike": 1000.0, "vol": 0.2, "expiry": 1.0, "log_growth": 0.0, "log_discount": 0.0}
    cash = digital(option="call", **terms)["price"]
    with mpmath.workdps(30):
        wanted = mpmath.ncdf(mpmath.log(mp.mpf("0.1")) / mp.mpf(0.2) - mp.mpf(0.1))
    assert cash == pytest.approx(float(wanted), rel=1e-12)


def test_option_must_be_call_or_put():
    with pytest.raises(ValueError, match="'call' or 'put'"):
        european(option="Call", spot=1.0, strike=1.0, vol=0.2, expiry=1.0, log_growth=0.0, log_discount=0.0)
