"""Heston by Fourier inversion, against published figures, Heston's own formula in 30 digits, and its laws."""

import math

import mpmath
import numpy as np
import pytest
from mpmath import mp
from scipy.integrate import solve_ivp

from pricers.exact import black_scholes
from pricers.exact.heston_fourier import BENDS, affine_step, digital, european, invert

GREEKS = (
    "price",
    "delta",
    "gamma",
    "rho",
    "dividend_rho",
    "theta",
    "vega",
    "d_v0",
    "d_kappa",
    "d_theta",
    "d_xi",
    "d_rho",
)
PARAMETERS = ("v0", "kappa", "theta", "xi", "rho")

WEEK = {"expiry": 1 / 52, "v0": 0.04, "kappa": 1.5, "theta": 0.04, "xi": 1.0, "rho": -0.7}
YEAR = {"expiry": 1.0, "v0": 0.0175, "kappa": 1.5768, "theta": 0.0398, "xi": 0.5751, "rho": -0.5711}
LONG = {"expiry": 15.0, "v0": 0.04, "kappa": 1.0, "theta": 0.07, "xi": 0.5, "rho": -0.5}
ANDERSEN_2 = {"expiry": 15.0, "v0": 0.04, "kappa": 0.3, "theta": 0.04, "xi": 0.9, "rho": -0.5}
NEARLY_GAUSSIAN = {"expiry": 1.0, "v0": 0.04, "kappa": 1.5, "theta": 0.06, "xi": 1e-4, "rho": -0.7}
FELLER_4_PERCENT = {"expiry": 1.0, "v0": 0.09, "kappa": 0.5, "theta": 0.04, "xi": 1.0, "rho": -0.5}
FROM_ZERO = {"expiry": 0.5, "v0": 0.0, "kappa": 2.0, "theta": 0.05, "xi": 0.8, "rho": 0.0}
NO_REVERSION = {"expiry": 2.0, "v0": 0.04, "kappa": 0.0, "theta": 0.05, "xi": 0.3, "rho": 0.5}
LIGHT = {"expiry": 2.0, "v0": 0.04, "kappa": 2.0, "theta": 0.06, "xi": 0.4, "rho": -0.6}
MODELS = {
    "week": WEEK,
    "year": YEAR,
    "long": LONG,
    "nearly gaussian": NEARLY_GAUSSIAN,
    "feller ratio 0.04": FELLER_4_PERCENT,
    "v0 zero": FROM_ZERO,
    "kappa zero": NO_REVERSION,
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def terms(model, strike, option="call", rate=0.03, dividend=0.01, spot=100.0):
    growth, discount = (rate - dividend) * model["expiry"], -rate * model["expiry"]
    return model | {"option": option, "spot": spot, "strike": strike, "log_growth": growth, "log_discount": discount}


def reference(case):
    """Terms, and the expected values under this library's names."""
    market, model = case["market"], dict(case["model"]["params"])
    model |= {"rho": model.pop("corr"), "expiry": market["maturity"]}
    kind, option = case["payoff"]["kind"].rsplit("_", 1)
    strike = case["payoff"]["params"]["strike"]
    names = {"d_corr": "d_rho", "theta_time": "theta"}
    values = [{names.get(name, name): value for name, value in case[key].items()} for key in ("published", "expected")]
    return kind, terms(model, strike, option, market["rate"], market["dividend"], market["spot"]), *values


@pytest.mark.published("heston-[a-f]*", "heston-kahl*", "heston-[lnsw]*", "heston-own-[ed]*", "heston-ql-cached", "heston-qlcos*")
def test_published_values(published_case, assert_close):
    kind, given, published, expected = reference(published_case)
    got = digital(**given, cash=1.0) if kind == "cash_or_nothing" else european(**given)
    tolerance = published_case["tolerance"]
    if published:
        assert_close(got, published, tolerance["published"], greeks=GREEKS)
    assert_close(got, expected, tolerance["expected"], greeks=GREEKS)
    assert abs(got["price"] - expected["price"]) < 2e-13 * given["spot"] * max(1.0, given["expiry"])
    assert got["error"] < 1e-12 * given["spot"]


def test_the_digits_of_fang_and_oosterlee_and_of_broadie_and_kaya():
    fang_oosterlee = european(**terms(YEAR, 100.0, rate=0.0, dividend=0.0))
    assert round(fang_oosterlee["price"], 9) == 5.785155434
    long = european(**terms(YEAR | {"expiry": 10.0}, 100.0, rate=0.0, dividend=0.0))
    assert round(long["price"], 9) == 22.318945791
    model = {"expiry": 1.0, "v0": 0.010201, "kappa": 6.21, "theta": 0.019, "xi": 0.61, "rho": -0.7}
    assert round(european(**terms(model, 100.0, rate=0.0319, dividend=0.0))["price"], 6) == 6.806113
    model = {"expiry": 5.0, "v0": 0.09, "kappa": 2.0, "theta": 0.09, "xi": 1.0, "rho": -0.3}
    assert round(european(**terms(model, 100.0, rate=0.05, dividend=0.0))["price"], 6) == 34.999758


def probability(first, given, least):
    r"""Heston's own P1 (share measure) or P2, in the stable variant, by a rule with a known error.

    :math:`P = \frac12 + \frac1\pi \int_0^\infty Re[e^{-iuk} f(u) / (iu)] du` on nodes :math:`(n + \frac12) h` is wrong
    by the probability beyond :math:`|x - k| = 2\pi/h` alone (Davies 1973); f does not depend on the strike. The sum ends
    where f falls below `least`.
    """
    expiry, v0, kappa, theta, xi, rho = (mp.mpf(given[name]) for name in ("expiry", *PARAMETERS))
    half, b = (mp.mpf(1) / 2, kappa - rho * xi) if first else (-mp.mpf(1) / 2, kappa)
    h = 2 * mp.pi / ((4 + 8 * float(expiry)) * (1 + float(xi)))
    transform = []
    while not transform or abs(transform[-1][1]) > least:
        u = (len(transform) + mp.mpf(1) / 2) * h
        c = b - rho * xi * 1j * u
        d = mpmath.sqrt(c * c - xi**2 * (2 * half * 1j * u - u * u))
        g, decay = (c - d) / (c + d), mpmath.exp(-d * expiry)
        big_d = (c - d) / xi**2 * (1 - decay) / (1 - g * decay)
        big_c = kappa * theta / xi**2 * ((c - d) * expiry - 2 * mpmath.log((1 - g * decay) / (1 - g)))
        transform.append((u, mpmath.exp(big_c + big_d * v0)))

    def beyond(k):
        return mp.mpf(1) / 2 + h / mp.pi * sum((f * mpmath.expj(-u * k) / (1j * u)).real for u, f in transform)

    return beyond


def call_and_parts(given, least=1e-15):
    """Price, delta and cash digital as functions of the strike, in 30 digits."""
    share, cash = probability(True, given, least), probability(False, given, least)
    forward = mp.mpf(given["spot"]) * mpmath.exp(mp.mpf(given["log_growth"]))
    discount = mpmath.exp(mp.mpf(given["log_discount"]))

    def at(strike):
        k = mpmath.log(mp.mpf(strike) / forward)
        p1, p2 = share(k), cash(k)
        delta = discount * forward * p1 / mp.mpf(given["spot"])
        return discount * (forward * p1 - strike * p2), delta, discount * p2

    return at


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(model, id=name, marks=[pytest.mark.slow] if name in ("year", "andersen 2") else [])
        for name, model in (MODELS | {"andersen 2": ANDERSEN_2}).items()
    ],
)
def test_price_delta_and_digital_are_hestons_p1_and_p2_to_14_digits(model):
    strikes = np.array([30.0, 100.0, 200.0])
    given = terms(model, strikes)
    calls, digitals = european(**given), digital(**given)
    with mp.workdps(30):
        wanted = np.array([[float(part) for part in call_and_parts(given)(strike)] for strike in strikes.tolist()]).T
    np.testing.assert_allclose(calls["price"], wanted[0], rtol=0, atol=3e-13)
    np.testing.assert_allclose(calls["delta"], wanted[1], rtol=0, atol=1e-14)
    np.testing.assert_allclose(digitals["price"], wanted[2], rtol=0, atol=1e-14)
    assert np.all(np.abs(calls["price"] - wanted[0]) <= calls["error"])
    assert np.all(np.abs(digitals["price"] - wanted[2]) <= digitals["error"])


@pytest.mark.parametrize(
    ("model", "strike"),
    [
        pytest.param(NEARLY_GAUSSIAN, 105.0, id="nearly gaussian"),
        pytest.param(LIGHT, 120.0, id="light"),
        pytest.param(YEAR, 120.0, id="year", marks=pytest.mark.slow),
        pytest.param(WEEK, 92.0, id="week", marks=pytest.mark.slow),
        pytest.param(FELLER_4_PERCENT, 60.0, id="feller ratio 0.04", marks=pytest.mark.slow),
        pytest.param(LONG, 300.0, id="long", marks=pytest.mark.slow),
    ],
)
def test_every_greek_is_a_difference_of_the_40_digit_price(model, strike):
    given = terms(model, strike)
    step = mp.mpf("1e-8")

    def price(**moved):
        return call_and_parts(given | moved, 1e-22)(strike)[0]

    def slope(*names):
        ends = (price(**{name: mp.mpf(given[name]) * (1 + sign * step) for name in names}) for sign in (1, -1))
        return (next(ends) - next(ends)) / (2 * step)

    with mp.workdps(40):
        wanted = {f"d_{name}": slope(name) / mp.mpf(given[name]) for name in PARAMETERS}
        wanted["theta"] = -slope("expiry", "log_growth", "log_discount") / mp.mpf(given["expiry"])
        by_growth = slope("log_growth") / mp.mpf(given["log_growth"])
        by_discount = slope("log_discount") / mp.mpf(given["log_discount"])
        wanted["rho"] = mp.mpf(given["expiry"]) * (by_growth - by_discount)
        wanted["dividend_rho"] = -mp.mpf(given["expiry"]) * by_growth
        wanted["vega"] = 2 * mpmath.sqrt(given["v0"]) * wanted["d_v0"]
        spots = [price(spot=given["spot"] * (1 + sign * step)) for sign in (-1, 0, 1)]
        wanted["gamma"] = (spots[0] - 2 * spots[1] + spots[2]) / (given["spot"] * step) ** 2
    got = european(**given)
    for name, value in wanted.items():
        assert abs(got[name] - float(value)) < 2e-12 * max(1.0, abs(float(value))), name


@every_model
def test_put_call_parity_of_every_greek(model, assert_close):
    strikes = [70.0, 100.0, 140.0]
    expiry, rate, dividend = model["expiry"], 0.03, 0.01
    for strike in strikes:
        call, put = (european(**terms(model, strike, option, rate, dividend)) for option in ("call", "put"))
        share, cash = 100.0 * math.exp(-dividend * expiry), strike * math.exp(-rate * expiry)
        wanted = dict.fromkeys(GREEKS, 0.0) | {
            "price": share - cash,
            "delta": share / 100.0,
            "rho": expiry * cash,
            "dividend_rho": -expiry * share,
            "theta": dividend * share - rate * cash,
        }
        assert_close({name: call[name] - put[name] for name in GREEKS}, wanted, 1e-11, greeks=GREEKS)
        above, below = (digital(**terms(model, strike, option, rate, dividend), cash=5.0) for option in ("call", "put"))
        bond = 5.0 * math.exp(-rate * expiry)
        wanted = dict.fromkeys(GREEKS, 0.0) | {"price": bond, "rho": -expiry * bond, "theta": rate * bond}
        assert_close({name: above[name] + below[name] for name in GREEKS}, wanted, 1e-11, greeks=GREEKS)


@every_model
def test_digital_is_minus_the_slope_of_the_call_in_strike(model):
    reach = 0.4 * math.sqrt(0.05 * model["expiry"])  # of the strike, so that the sixth-order difference is exact enough
    for strike in (80.0, 100.0, 125.0):
        bumps = np.array([-3, -2, -1, 1, 2, 3]) * 0.02 * reach * strike
        calls = european(**terms(model, strike + bumps))
        slope = np.array([-1, 9, -45, 45, -9, 1]) / 60.0
        wanted = digital(**terms(model, strike))
        for name in GREEKS:
            difference = -slope @ calls[name] / (bumps[3])
            scale = max(1.0, abs(wanted[name]), np.abs(calls[name]).max() / strike)
            assert abs(difference - wanted[name]) < 2e-7 * scale, name


@every_model
def test_homogeneous_in_spot_and_strike(model):
    strikes = np.array([60.0, 100.0, 180.0])
    call, cash = european(**terms(model, strikes)), digital(**terms(model, strikes))
    np.testing.assert_allclose(100.0 * call["delta"] - strikes * cash["price"], call["price"], rtol=0, atol=3e-13)
    np.testing.assert_allclose(100.0 * call["gamma"], strikes * cash["delta"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("option", ["call", "put"])
def test_without_vol_of_vol_it_is_black_scholes_with_the_integrated_variance(option):
    v0, kappa, theta, expiry = 0.09, 2.0, 0.04, 0.7
    decay = -math.expm1(-kappa * expiry) / kappa
    variance = theta * expiry + (v0 - theta) * decay
    model = {"expiry": expiry, "v0": v0, "kappa": kappa, "theta": theta, "rho": -0.6}
    given = terms(model, np.array([60.0, 95.0, 150.0]), option)
    market = {name: given[name] for name in ("option", "spot", "strike", "expiry", "log_growth", "log_discount")}
    vol = math.sqrt(variance / expiry)
    black = black_scholes.european(**market, vol=vol)
    still = european(**given, xi=0.0)
    for name in ("price", "delta", "gamma", "rho", "dividend_rho"):
        np.testing.assert_allclose(still[name], black[name], rtol=1e-12, atol=1e-12)
    by_variance = black["vega"] / (2.0 * vol * expiry)
    np.testing.assert_allclose(still["d_v0"], by_variance * decay, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(still["d_theta"], by_variance * (expiry - decay), rtol=1e-12, atol=1e-12)
    slope = (v0 - theta) * (expiry * math.exp(-kappa * expiry) - decay) / kappa
    np.testing.assert_allclose(still["d_kappa"], by_variance * slope, rtol=1e-11, atol=1e-12)
    now = theta + (v0 - theta) * math.exp(-kappa * expiry)
    theta_wanted = black["theta"] - by_variance * (now - variance / expiry)
    np.testing.assert_allclose(still["theta"], theta_wanted, rtol=1e-12, atol=1e-12)

    small = [european(**given, xi=xi) for xi in (0.5e-4, 1e-4)]
    for name in GREEKS:  # no jump and no noise on the way there: the second differences are of order xi^2
        bend = small[1][name] - 2.0 * small[0][name] + still[name]
        assert np.all(np.abs(bend) < 1e-6 * np.maximum(1.0, np.abs(still[name]))), name
    np.testing.assert_allclose(small[0]["price"], still["price"] + 0.5e-4 * still["d_xi"], rtol=0, atol=1e-7)


def test_the_exponent_solves_its_riccati_equations_on_every_bend():
    """Also a test of the logarithm: crossing a branch would move C by 4 pi kappa theta / xi^2."""
    rng = np.random.default_rng(3)
    for _ in range(25):
        kappa, theta, xi, tau = rng.uniform([0.0, 0.01, 0.1, 0.1], [6.0, 0.4, 1.5, 12.0])
        rho, bend = rng.uniform(-1.0, 1.0), rng.choice(BENDS)
        y = rng.uniform(0.1, 4.5, size=4)
        z = 0.5 + 0.5 * (1j * np.sinh(y + 1j * bend) + math.sin(bend))
        start = -rng.uniform(0.0, 1.0) * (1.0 - 0.3j) * np.ones_like(z)
        model = {"kappa": kappa, "theta": theta, "xi": xi, "rho": rho}
        constant, factor, _, _ = affine_step(z, start, np.zeros((5, 4), complex), tau, 1.0, **model)

        def flow(_, state, z=z, kappa=kappa, theta=theta, xi=xi, rho=rho):
            d = state[:4]
            slope = 0.5 * xi * xi * d * d - (kappa - rho * xi * z) * d + 0.5 * (z * z - z)
            return np.concatenate((slope, kappa * theta * d))

        solved = solve_ivp(flow, (0.0, tau), np.concatenate((start, 0 * z)), method="DOP853", rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(np.concatenate((factor, constant)), solved.y[:, -1], rtol=1e-7, atol=1e-7)


def test_all_paths_of_integration_agree_within_their_errors():
    rng = np.random.default_rng(11)
    compared = 0
    for _ in range(40):
        v0, kappa, theta, xi, expiry = np.exp(rng.uniform(np.log([1e-3, 0.05, 1e-3, 1e-3, 0.003]), np.log([1, 20, 0.5, 5, 20])))
        rho = rng.uniform(-0.98, 0.98)
        spread = math.sqrt(expiry * max(v0, theta))
        x = rng.normal(size=4) * spread

        def exponent(z, expiry=expiry, v0=v0, kappa=kappa, theta=theta, xi=xi, rho=rho):
            none = np.zeros((5, len(z)), complex)
            c, d, c_, d_ = affine_step(z, none[0], none, expiry, 1.0, kappa=kappa, theta=theta, xi=xi, rho=rho)
            return c + d * v0, np.concatenate((d[None], c_ + d_ * v0))

        values, errors = [], []
        for bends in (BENDS, (0.0,), (-0.2,), (0.3,)):
            try:
                value, error = invert(exponent, lambda z: 1.0 / (z * (1.0 - z)), x, bends=bends)
            except ArithmeticError:
                assert bends != BENDS  # a single path may be the wrong one; the three together must do
                continue
            values.append(value[0])
            errors.append(error)
        for value, error in zip(values[1:], errors[1:], strict=True):
            assert np.all(np.abs(value - values[0]) <= error + errors[0])
            compared += 1
        assert np.all(errors[0] < 1e-12)
    assert compared > 60


@pytest.mark.parametrize("price", [european, digital])
def test_strikes_share_a_pass_without_touching_each_other(price):
    strikes = np.array([[40.0, 90.0], [100.0, 250.0]])
    together = price(**terms(YEAR, strikes))
    for index, strike in np.ndenumerate(strikes):
        alone = price(**terms(YEAR, float(strike)))
        assert isinstance(alone["price"], float)
        for name, values in together.items():
            assert values.shape == strikes.shape
            if name != "error":
                assert abs(values[index] - alone[name]) < 1e-11 * max(1.0, abs(alone[name]))


@pytest.mark.parametrize("rho", [-1.0, 1.0])
def test_full_correlation(rho):
    """X is bounded by (v0 + kappa theta T)/xi on one side, so options beyond are worth exactly nothing."""
    model = {"expiry": 0.5, "v0": 0.04, "kappa": 2.0, "theta": 0.05, "xi": 0.9, "rho": rho}
    bound = (model["v0"] + model["kappa"] * model["theta"] * model["expiry"]) / model["xi"]
    beyond = european(**terms(model, 100.0 * math.exp(-rho * bound * 1.2), "put" if rho > 0 else "call", 0.0, 0.0))
    assert abs(beyond["price"]) < 1e-12
    within = european(**terms(model, 100.0 * math.exp(-rho * bound * 0.5), "put" if rho > 0 else "call", 0.0, 0.0))
    assert within["price"] > 1e-3


def test_a_bend_that_grows_again_far_out_is_cut_where_it_was_dead():
    model = {"expiry": 0.01, "v0": 3e-4, "kappa": 1.0, "theta": 0.014, "xi": 2e-4, "rho": -1.0}
    far = european(**terms(model, np.array([20.0, 520.0])))
    np.testing.assert_allclose(far["price"], [100.0 * math.exp(-1e-4) - 20.0 * math.exp(-3e-4), 0.0], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"option": "straddle"}, "straddle"),
        ({"spot": 0.0}, "spot and strike must be positive"),
        ({"strike": [100.0, -1.0]}, "spot and strike must be positive"),
        ({"strike": math.nan}, "spot and strike must be positive"),
        ({"expiry": 0.0}, "expiry must be positive"),
        ({"log_discount": math.nan}, "must be finite"),
        ({"v0": -0.01}, "must not be negative"),
        ({"xi": math.nan}, "must not be negative"),
        ({"rho": 1.01}, "above 1"),
        ({"v0": 0.0, "kappa": 0.0}, "deterministic"),
        ({"xi": 0.0, "kappa": 0.0}, "GBM"),
    ],
)
def test_bad_input_is_refused(wrong, match):
    with pytest.raises(ValueError, match=match):
        european(**(terms(YEAR, 100.0) | wrong))


def test_no_number_where_none_can_be_had():
    singular = {"expiry": 0.02, "v0": 0.0, "kappa": 0.3, "theta": 0.002, "xi": 1.5, "rho": 1.0}
    with pytest.raises(ArithmeticError, match="does not decay"):
        european(**terms(singular, 100.0))
