import mpmath
import numpy as np
import pytest
from mpmath import mp

from pricers.exact.black_scholes import digital, european
from pricers.exact.geometric_asian import geometric_asian, geometric_asian_digital

FRESH = {
    "spot": 100.0,
    "strike": 102.0,
    "vol": 0.3,
    "times": (0.1, 0.25, 0.8, 1.5),
    "log_growth": (0.004, 0.003, 0.03, 0.02),
    "log_discount": -0.07,
}
SEASONED = FRESH | {"past_log_sum": float(np.log([95.0, 101.0, 97.0]).sum()), "past_count": 3}


def integral(terms, option, cash=None):
    """Present value by integrating the payoff against the normal density of the log-average."""
    side = 1 if option == "call" else -1
    times = [mp.mpf(t) for t in terms["times"]]
    count = len(times) + terms.get("past_count", 0)
    maturity = times[-1]

    def price(spot, vol, rate, dividend, stretch):
        logs = [
            mpmath.log(spot) + g * stretch + (rate - dividend) * t * stretch - vol**2 * t * stretch / 2
            for g, t in zip(terms["log_growth"], times, strict=True)
        ]
        mean = (terms.get("past_log_sum", 0.0) + sum(logs)) / count
        stdev = vol * mpmath.sqrt(stretch * sum(min(a, b) for a in times for b in times)) / count
        kink = (mpmath.log(terms["strike"]) - mean) / stdev
        edges = [kink + side * step for step in (0, 2, 5, 10, 20)]

        def paid(z):
            return abs(mpmath.exp(mean + stdev * z) - terms["strike"]) if cash is None else cash

        value = mpmath.quad(lambda z: paid(z) * mpmath.npdf(z), sorted(edges))
        return mpmath.exp(terms["log_discount"] * stretch - rate * maturity * stretch) * value

    return price


@pytest.mark.parametrize("option", ["call", "put"])
@pytest.mark.parametrize("terms", [FRESH, SEASONED], ids=["fresh", "seasoned"])
def test_agrees_with_the_integral_over_the_log_average(terms, option, exact_derivatives, assert_close):
    maturity = terms["times"][-1]
    wanted = exact_derivatives(integral(terms, option), spot=terms["spot"], vol=terms["vol"], maturity=maturity)
    got = geometric_asian(option=option, **terms)
    assert set(got) == set(wanted)
    assert_close(got, wanted, {name: 1e-12 * max(1.0, abs(value)) for name, value in wanted.items()})


@pytest.mark.parametrize("option", ["call", "put"])
@pytest.mark.parametrize("terms", [FRESH, SEASONED], ids=["fresh", "seasoned"])
def test_digital_agrees_with_the_integral_over_the_log_average(terms, option, exact_derivatives, assert_close):
    maturity = terms["times"][-1]
    wanted = exact_derivatives(integral(terms, option, cash=5), spot=terms["spot"], vol=terms["vol"], maturity=maturity)
    got = geometric_asian_digital(option=option, **terms, cash=5.0)
    assert set(got) == set(wanted)
    assert_close(got, wanted, {name: 1e-12 * max(1.0, abs(value)) for name, value in wanted.items()})


@pytest.mark.parametrize("option", ["call", "put"])
def test_one_fixing_is_a_european(option, assert_close):
    terms = {"option": option, "spot": 100.0, "strike": 97.0, "vol": 0.25, "log_discount": -0.04}
    asian = geometric_asian(**terms, times=[0.75], log_growth=[0.02])
    vanilla = european(**terms, expiry=0.75, log_growth=0.02)
    assert_close(asian, vanilla, 1e-12)
    on_average = geometric_asian_digital(**terms, times=[0.75], log_growth=[0.02], cash=2.0)
    assert_close(on_average, digital(**terms, expiry=0.75, log_growth=0.02, cash=2.0), 1e-12)


def test_known_fixings_equal_to_spot_are_like_fixings_now():
    # a fixing at time zero is today's spot; as a known number it no longer moves, so prices agree and deltas do not
    terms = {"option": "call", "spot": 100.0, "strike": 100.0, "vol": 0.2, "log_discount": -0.05}
    now = geometric_asian(**terms, times=[0.0, 1.0], log_growth=[0.0, 0.03])
    known = geometric_asian(**terms, times=[1.0], log_growth=[0.03], past_log_sum=np.log(100.0), past_count=1)
    assert known["price"] == pytest.approx(now["price"], abs=1e-12)
    assert known["vega"] == pytest.approx(now["vega"], abs=1e-12)
    assert known["delta"] == pytest.approx(0.5 * now["delta"], abs=1e-12)
    assert known["vanna"] == pytest.approx(0.5 * now["vanna"], abs=1e-12)
