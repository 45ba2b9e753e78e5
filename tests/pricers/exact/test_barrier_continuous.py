import math

import mpmath
import numpy as np
import pytest
from mpmath import mp

from pricers.exact.barrier_continuous import broadie_glasserman_kou, reiner_rubinstein
from pricers.exact.black_scholes import digital, european

KINDS = ("down-and-out", "down-and-in", "up-and-out", "up-and-in")


@pytest.mark.published("barrier-haug-*", "barrier-babsiri-*")
def test_published(published_case, assert_close):
    market, payoff = published_case["market"], published_case["payoff"]
    params, maturity = payoff["params"], market["maturity"]
    *kind, option = payoff["kind"].split("_")
    got = reiner_rubinstein(
        option=option,
        kind="-".join(kind),
        spot=market["spot"],
        strike=params["strike"],
        barrier=params["barrier"],
        vol=published_case["model"]["params"]["sigma"],
        expiry=maturity,
        log_growth=(market["rate"] - market["dividend"]) * maturity,
        log_discount=-market["rate"] * maturity,
        rebate=params["rebate"],
        rebate_paid="at hit" if params["rebate_paid"] == "at hit" else "at expiry",
    )
    assert_close(got, published_case["published"], published_case["tolerance"]["published"])
    assert_close(got, published_case["expected"], published_case["tolerance"]["expected"])


def haug_table(option, kind, strike, barrier, rate, dividend, expiry, rebate, rebate_paid):
    """Haug (2007), section 4.17.1, block by block; X = strike, H = barrier, K = rebate are his letters."""
    X, H, K = mp.mpf(strike), mp.mpf(barrier), mp.mpf(rebate)
    phi, eta = (1 if option == "call" else -1), (1 if kind.startswith("down") else -1)

    def price(S, sigma, rate_shift, dividend_shift, stretch):
        r, T = rate + rate_shift, expiry * stretch
        b = r - dividend - dividend_shift
        N, log, root = mpmath.ncdf, mpmath.log, sigma * mpmath.sqrt(T)
        mu = (b - sigma**2 / 2) / sigma**2
        lam = mpmath.sqrt(mu**2 + 2 * r / sigma**2)
        x1, x2 = log(S / X) / root + (1 + mu) * root, log(S / H) / root + (1 + mu) * root
        y1, y2 = log(H**2 / (S * X)) / root + (1 + mu) * root, log(H / S) / root + (1 + mu) * root
        z = log(H / S) / root + lam * root
        asset, money, ratio = S * mpmath.exp((b - r) * T), mpmath.exp(-r * T), H / S
        A = phi * asset * N(phi * x1) - phi * X * money * N(phi * x1 - phi * root)
        B = phi * asset * N(phi * x2) - phi * X * money * N(phi * x2 - phi * root)
        C = phi * asset * ratio ** (2 * (mu + 1)) * N(eta * y1) - phi * X * money * ratio ** (2 * mu) * N(eta * y1 - eta * root)
        D = phi * asset * ratio ** (2 * (mu + 1)) * N(eta * y2) - phi * X * money * ratio ** (2 * mu) * N(eta * y2 - eta * root)
        E = K * money * (N(eta * x2 - eta * root) - ratio ** (2 * mu) * N(eta * y2 - eta * root))
        F = K * (ratio ** (mu + lam) * N(eta * z) + ratio ** (mu - lam) * N(eta * z - 2 * eta * lam * root))
        if rebate_paid == "at expiry":
            F = K * money - E
        high = X > H
        return {
            ("down-and-in", "call"): C + E if high else A - B + D + E,
            ("up-and-in", "call"): A + E if high else B - C + D + E,
            ("down-and-in", "put"): B - C + D + E if high else A + E,
            ("up-and-in", "put"): A - B + D + E if high else C + E,
            ("down-and-out", "call"): A - C + F if high else B - D + F,
            ("up-and-out", "call"): F if high else A - B + C - D + F,
            ("down-and-out", "put"): A - B + C - D + F if high else F,
            ("up-and-out", "put"): B - D + F if high else A - C + F,
        }[kind, option]

    return price


@pytest.mark.parametrize("strike", [85.0, 100.0, 120.0])
@pytest.mark.parametrize("option", ["call", "put"])
@pytest.mark.parametrize(
    ("kind", "paid"), [(kind, "at expiry") for kind in KINDS] + [(kind, "at hit") for kind in KINDS if "out" in kind]
)
def test_every_cell_of_haugs_table(option, kind, strike, paid, exact_derivatives, assert_close):
    barrier, rate, dividend, expiry = (90.0 if kind.startswith("down") else 112.0), 0.05, 0.02, 0.75
    formula = haug_table(option, kind, strike, barrier, rate, dividend, expiry, 3.0, paid)
    wanted = exact_derivatives(formula, spot=100.0, vol=0.25, maturity=expiry)
    got = reiner_rubinstein(
        option=option,
        kind=kind,
        spot=100.0,
        strike=strike,
        barrier=barrier,
        vol=0.25,
        expiry=expiry,
        log_growth=(rate - dividend) * expiry,
        log_discount=-rate * expiry,
        rebate=3.0,
        rebate_paid=paid,
    )
    assert set(got) == set(wanted)
    assert_close(got, wanted, 1e-10)


@pytest.mark.parametrize(
    ("rate", "growth"),
    [(-0.03, -0.01), (0.0, 0.02), (0.0, 0.02 + 1e-9), (-1e-5, 0.02), (0.02, 0.05)],
    ids=["imaginary root", "zero root", "almost zero root", "small imaginary root", "real root"],
)
def test_rebate_at_hit_is_the_discounted_first_passage_density(rate, growth, exact_derivatives, assert_close):
    # vol 0.2: mu = growth / 0.04 - 1/2, and the root of mu^2 + 50 rate is what the names say
    expiry, barrier = 1.5, 112.0

    def price(spot, vol, rate_shift, dividend_shift, stretch):
        r = rate + rate_shift
        drift = growth + rate_shift - dividend_shift - vol**2 / 2
        a = mpmath.log(barrier / spot)

        def density(t):
            return mpmath.exp(-r * t - (a - drift * t) ** 2 / (2 * vol**2 * t)) * a / (vol * mpmath.sqrt(2 * mp.pi * t**3))

        end = expiry * stretch
        return 3 * mpmath.quad(density, [0, end / 50, end / 10, end / 2, end])

    wanted = exact_derivatives(price, spot=100.0, vol=0.2, maturity=expiry)
    terms = {"option": "call", "kind": "up-and-out", "spot": 100.0, "strike": 112.0, "barrier": barrier, "vol": 0.2}
    market = {"expiry": expiry, "log_growth": growth * expiry, "log_discount": -rate * expiry}
    got = reiner_rubinstein(**terms, **market, rebate=3.0, rebate_paid="at hit")  # strike at the barrier: rebate alone
    assert_close(got, wanted, 1e-10)


TERMS = {"spot": 100.0, "strike": 98.0, "vol": 0.3, "expiry": 0.6, "log_growth": 0.01, "log_discount": -0.03}


@pytest.mark.parametrize("cash", [None, 5.0])
@pytest.mark.parametrize("option", ["call", "put"])
@pytest.mark.parametrize(("direction", "barrier"), [("down", 91.0), ("up", 108.0)])
def test_in_and_out_make_the_vanilla(direction, barrier, option, cash, assert_close):
    terms = TERMS | {"option": option, "barrier": barrier, "rebate": 2.0, "cash": cash}
    out = reiner_rubinstein(**terms, kind=f"{direction}-and-out")
    into = reiner_rubinstein(**terms, kind=f"{direction}-and-in")
    vanilla = european(option=option, **TERMS)
    if cash is not None:
        vanilla = digital(option=option, cash=cash, **TERMS)
    rebate = 2.0 * math.exp(-0.03)
    paid = {"price": rebate, "rho": -0.6 * rebate, "theta": 0.05 * rebate}
    for name, value in vanilla.items():
        assert out[name] + into[name] == pytest.approx(value + paid.get(name, 0.0), abs=1e-11)
    assert out["price"] != pytest.approx(into["price"], abs=0.1)


@pytest.mark.parametrize("spot", [108.0, 130.0], ids=["at", "beyond"])
def test_a_spot_at_or_beyond_the_barrier_has_hit_it(spot, assert_close):
    terms = TERMS | {"option": "call", "spot": spot, "barrier": 108.0, "rebate": 2.0}
    at_hit = reiner_rubinstein(**terms, kind="up-and-out", rebate_paid="at hit")
    assert at_hit == {name: 2.0 if name == "price" else 0.0 for name in at_hit}
    later = reiner_rubinstein(**terms, kind="up-and-out")
    assert later["price"] == pytest.approx(2.0 * math.exp(-0.03), abs=1e-15)
    assert later["rho"] == pytest.approx(-0.6 * later["price"], abs=1e-15)
    assert later["theta"] == pytest.approx(0.05 * later["price"], abs=1e-15)
    into = reiner_rubinstein(**terms, kind="up-and-in")
    assert_close(into, european(option="call", **TERMS | {"spot": spot}), 1e-11)


@pytest.mark.parametrize(("kind", "barrier"), [("down-and-out", 1e-6), ("up-and-out", 1e8)])
def test_a_far_barrier_leaves_the_vanilla(kind, barrier, assert_close):
    got = reiner_rubinstein(**TERMS, option="put", kind=kind, barrier=barrier)
    assert_close(got, european(**TERMS, option="put"), 1e-11)


def test_a_large_reflection_weight_does_not_overflow():
    # (H/S)^(2 mu) is exp(1040) here, times a probability that underflows; a forward of 90 is surely knocked out
    terms = TERMS | {"vol": 0.01, "log_growth": -0.11, "option": "put", "barrier": 97.0}
    got = reiner_rubinstein(**terms, kind="down-and-out", rebate=1.0)
    assert got["price"] == pytest.approx(math.exp(-0.03), abs=1e-9)
    assert all(np.isfinite(value) for value in got.values())


def test_a_knock_in_cannot_pay_at_the_hit():
    with pytest.raises(ValueError, match="at expiry"):
        reiner_rubinstein(**TERMS, option="call", kind="up-and-in", barrier=108.0, rebate_paid="at hit")
    with pytest.raises(ValueError, match="kind must be one of"):
        reiner_rubinstein(**TERMS, option="call", kind="up_and_in", barrier=108.0)


def difference(function, step):
    """Central difference of order eight."""
    weights = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
    return sum(w * (function(k * step) - function(-k * step)) for k, w in enumerate(weights, start=1)) / step


@pytest.mark.parametrize(("kind", "barrier", "sign"), [("down-and-out", 92.0, -1), ("up-and-in", 110.0, 1)])
def test_continuity_correction_moves_the_barrier_and_its_greeks_know(kind, barrier, sign):
    beta = float(-mpmath.zeta(0.5) / mpmath.sqrt(2 * mp.pi))
    rate, dividend = 0.05, 0.02

    def corrected(spot=100.0, vol=0.3, rate=rate, dividend=dividend, expiry=0.6):
        moved = barrier * math.exp(sign * beta * vol * math.sqrt(expiry / 50))
        market = {"expiry": expiry, "log_growth": (rate - dividend) * expiry, "log_discount": -rate * expiry}
        return reiner_rubinstein(option="call", kind=kind, spot=spot, strike=100.0, barrier=moved, vol=vol, rebate=1.0, **market)

    market = {"expiry": 0.6, "log_growth": (rate - dividend) * 0.6, "log_discount": -rate * 0.6}
    terms = {"option": "call", "kind": kind, "spot": 100.0, "strike": 100.0, "barrier": barrier, "vol": 0.3}
    got = broadie_glasserman_kou(**terms, **market, dates=50, rebate=1.0)
    wanted = {
        "price": corrected()["price"],
        "delta": corrected()["delta"],
        "gamma": corrected()["gamma"],
        "vega": difference(lambda h: corrected(vol=0.3 + h)["price"], 0.004),
        "rho": difference(lambda h: corrected(rate=rate + h)["price"], 0.004),
        "theta": -difference(lambda h: corrected(expiry=0.6 + h)["price"], 0.004),
        "dividend_rho": difference(lambda h: corrected(dividend=dividend + h)["price"], 0.004),
        "vanna": difference(lambda h: corrected(vol=0.3 + h)["delta"], 0.004),
        # twice through the moved barrier, so a difference of differences
        "volga": difference(lambda k: difference(lambda h: corrected(vol=0.3 + k + h)["price"], 0.004), 0.004),
    }
    for name, value in wanted.items():
        assert got[name] == pytest.approx(value, abs=1e-8 if name == "volga" else 1e-10), name
