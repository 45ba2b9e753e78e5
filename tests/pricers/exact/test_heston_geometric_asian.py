"""The geometric Asian under Heston: published figures, limits with a formula, and differences of the price."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from pricers.exact import geometric_asian as gbm
from pricers.exact.heston_fourier import european
from pricers.exact.heston_geometric_asian import geometric_asian, geometric_asian_digital

GREEKS = ("price", "delta", "gamma", "rho", "dividend_rho", "theta", "d_v0", "d_kappa", "d_theta", "d_xi", "d_rho")
MODEL = {"v0": 0.05, "kappa": 1.2, "theta": 0.04, "xi": 0.6, "rho": -0.5}
TERMS = {
    "spot": 100.0,
    "strike": 102.0,
    "times": (0.1, 0.25, 0.8, 1.5),
    "log_growth": (0.004, 0.003, 0.03, 0.02),
    "log_discount": -0.07,
}
PAST = {"past_log_sum": float(np.log([95.0, 101.0]).sum()), "past_count": 2}


@pytest.mark.published("heston-geo-kim16-*")
def test_published_values(published_case, assert_close):
    market, params = published_case["market"], published_case["payoff"]["params"]
    model = dict(published_case["model"]["params"])
    model["rho"] = model.pop("corr")
    fixings = params["fixings"]
    times = np.linspace(fixings["first"], fixings["last"], fixings["count"])
    got = geometric_asian(
        option="call",
        spot=market["spot"],
        strike=params["strike"],
        times=times,
        log_growth=(market["rate"] - market["dividend"]) * times,
        log_discount=-market["rate"] * market["maturity"],
        **model,
    )
    expected = {{"d_corr": "d_rho"}.get(name, name): value for name, value in published_case["expected"].items()}
    assert_close(got, published_case["published"], published_case["tolerance"]["published"], greeks=GREEKS)
    assert_close(got, expected, published_case["tolerance"]["expected"], greeks=GREEKS)


@pytest.mark.parametrize("option", ["call", "put"])
def test_one_fixing_is_a_european(option, assert_close):
    terms = {"option": option, "spot": 100.0, "strike": 97.0, "log_discount": -0.04}
    asian = geometric_asian(**terms, **MODEL, times=[0.75], log_growth=[0.02])
    vanilla = european(**terms, **MODEL, expiry=0.75, log_growth=0.02)
    assert_close(asian, vanilla, 1e-12, greeks=GREEKS)


@pytest.mark.parametrize("option", ["call", "put"])
@pytest.mark.parametrize("past", [{}, PAST], ids=["fresh", "seasoned"])
def test_constant_variance_is_black_scholes(option, past, assert_close):
    terms = TERMS | past | {"option": option}
    got = geometric_asian(**terms, v0=0.09, kappa=1.2, theta=0.09, xi=0.0, rho=-0.5)
    assert_close(got, gbm.geometric_asian(**terms, vol=0.3), 2e-12, greeks=GREEKS)


@pytest.mark.parametrize("option", ["call", "put"])
@pytest.mark.parametrize("past", [{}, PAST], ids=["fresh", "seasoned"])
def test_greeks_are_differences_of_the_price(option, past):
    terms = TERMS | past | MODEL | {"option": option}
    times, growth = np.array(TERMS["times"]), np.array(TERMS["log_growth"])

    def slope(bump, step):
        values = [geometric_asian(**(terms | bump(n * step)))["price"] for n in (-2, -1, 1, 2)]
        return (values[0] - 8.0 * values[1] + 8.0 * values[2] - values[3]) / (12.0 * step)

    def stretched(h):
        stretch = 1.0 + h
        return {"times": times * stretch, "log_growth": growth * stretch, "log_discount": -0.07 * stretch}

    wanted = {f"d_{name}": slope(lambda h, name=name: {name: MODEL[name] + h}, 1e-3) for name in MODEL}
    wanted["delta"] = slope(lambda h: {"spot": 100.0 + h}, 0.1)
    wanted["rho"] = slope(lambda h: {"log_growth": growth + h * times, "log_discount": -0.07 - h * times[-1]}, 1e-3)
    wanted["dividend_rho"] = slope(lambda h: {"log_growth": growth - h * times}, 1e-3)
    wanted["theta"] = -slope(stretched, 1e-3) / times[-1]
    got = geometric_asian(**terms)
    for name, value in wanted.items():
        assert abs(got[name] - value) < 1e-7 * max(1.0, abs(value)), name
    ends = [geometric_asian(**(terms | {"spot": 100.0 + h}))["delta"] for h in (-0.2, -0.1, 0.1, 0.2)]
    assert abs(got["gamma"] - (ends[0] - 8.0 * ends[1] + 8.0 * ends[2] - ends[3]) / 1.2) < 1e-9


@pytest.mark.parametrize("option", ["call", "put"])
@pytest.mark.parametrize("past", [{}, PAST], ids=["fresh", "seasoned"])
def test_digital_is_the_slope_of_the_call_by_its_strike(option, past):
    terms = TERMS | past | MODEL | {"option": option}
    got = geometric_asian_digital(**terms, cash=3.0)
    h, sign = 0.02, 3.0 if option == "put" else -3.0
    strikes = terms["strike"] + h * np.array([-2.0, -1.0, 1.0, 2.0])
    around = geometric_asian(**(terms | {"strike": strikes}))
    for name in set(around) - {"error"}:
        v = around[name]
        slope = sign * (v[0] - 8.0 * v[1] + 8.0 * v[2] - v[3]) / (12.0 * h)
        assert abs(got[name] - slope) < 1e-7 * max(1.0, abs(slope)), name
    assert 0.0 < got["error"] < 1e-8


@pytest.mark.parametrize("kappa", [1.2, 0.54, 0.1], ids=["reverting", "kappa = rho xi", "kappa < rho xi"])
def test_parity_gives_the_mean_of_the_average(kappa):
    """The mean by integrating the Riccati equations; with kappa below rho xi the share measure does not revert."""
    model = MODEL | {"kappa": kappa, "rho": 0.9}
    call, put = (geometric_asian(**(TERMS | model | {"option": option})) for option in ("call", "put"))
    times = np.array(TERMS["times"])
    state = np.zeros(2)
    for j in range(len(times) - 1, -1, -1):
        z = (len(times) - j) / len(times)

        def flow(_, y, z=z):
            d = y[0]
            drift = 0.5 * model["xi"] ** 2 * d * d - (kappa - model["rho"] * model["xi"] * z) * d + 0.5 * (z * z - z)
            return [drift, kappa * model["theta"] * d]

        tau = times[j] - (times[j - 1] if j else 0.0)
        state = solve_ivp(flow, (0.0, tau), state, method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    mean = 100.0 * math.exp(np.mean(TERMS["log_growth"]) + state[1] + state[0] * model["v0"])
    wanted = math.exp(-0.07) * (mean - TERMS["strike"])
    assert abs(call["price"] - put["price"] - wanted) < 1e-9
    assert all(math.isfinite(value) for value in call.values())


def test_strikes_share_a_pass():
    strikes = np.array([80.0, 100.0, 120.0])
    together = geometric_asian(**(TERMS | MODEL | {"option": "call", "strike": strikes}))
    for i, strike in enumerate(strikes.tolist()):
        alone = geometric_asian(**(TERMS | MODEL | {"option": "call", "strike": strike}))
        assert all(abs(together[name][i] - alone[name]) < 1e-11 * max(1.0, abs(alone[name])) for name in GREEKS)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"times": (0.5, 0.2), "log_growth": (0.0, 0.0)}, "times must be positive and increase"),
        ({"times": (), "log_growth": ()}, "times must be positive and increase"),
        ({"strike": 0.0}, "spot and strike"),
        ({"log_growth": (0.0, 0.1)}, "as many finite numbers"),
        ({"log_discount": math.nan}, "finite"),
        ({"rho": 2.0}, "above 1"),
    ],
)
def test_bad_input_is_refused(wrong, match):
    with pytest.raises(ValueError, match=match):
        geometric_asian(**(TERMS | MODEL | {"option": "call"} | wrong))
