import itertools
import math

import mpmath
import numpy as np
import pytest
from mpmath import mp
from scipy.stats import multivariate_normal

from pricers.exact.barrier_continuous import broadie_glasserman_kou, reiner_rubinstein
from pricers.exact.barrier_discrete import Grid, barrier
from pricers.exact.black_scholes import digital, european

KINDS = ("down-and-out", "down-and-in", "up-and-out", "up-and-in")
GREEKS = ("price", "delta", "gamma", "vega", "rho", "theta", "dividend_rho", "vanna", "volga")


def equal(count, maturity):
    return maturity * np.arange(1, count + 1) / count


def flat(*, times, rate=0.05, dividend=0.02, **terms):
    """Price with a flat rate and dividend, which can then be moved like any other argument."""
    times = np.asarray(times)
    return barrier(times=times, log_growth=(rate - dividend) * times, log_discount=-rate * times[-1], **terms)


def difference(function, step):
    """Central difference of order eight."""
    weights = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
    return sum(w * (function(k * step) - function(-k * step)) for k, w in enumerate(weights, start=1)) / step


def greeks_by_difference(terms, rate=0.05, dividend=0.02):
    """Greeks from prices, second ones from the delta and vega of bumped calls."""

    def bumped(name, **change):
        return flat(**terms | {"rate": rate, "dividend": dividend} | change)[name]

    spot, vol, times = terms["spot"], terms["vol"], np.asarray(terms["times"])
    maturity = times[-1]
    return {
        "delta": difference(lambda h: bumped("price", spot=spot + h), 5e-4 * spot),
        "gamma": difference(lambda h: bumped("delta", spot=spot + h), 5e-4 * spot),
        "vega": difference(lambda h: bumped("price", vol=vol + h), 0.01 * vol),
        "rho": difference(lambda h: bumped("price", rate=rate + h), 0.002),
        "dividend_rho": difference(lambda h: bumped("price", dividend=dividend + h), 0.002),
        "theta": -difference(lambda h: bumped("price", times=times * (1.0 + h)), 0.01) / maturity,
        "vanna": difference(lambda h: bumped("vega", spot=spot + h), 5e-4 * spot),
        "volga": difference(lambda h: bumped("vega", vol=vol + h), 0.01 * vol),
    }


@pytest.mark.published("dbarrier-bgk97-*", "dbarrier-fas06-*", "dbarrier-own-uo-digital")
def test_published(published_case, assert_close):
    market, params = published_case["market"], published_case["payoff"]["params"]
    words = published_case["payoff"]["kind"].split("_")
    fixings = params["fixings"]
    terms = {
        "option": words[-1],
        "kind": "-".join(words[:3]),
        "spot": market["spot"],
        "strike": params["strike"],
        "barrier": params["barrier"],
        "vol": published_case["model"]["params"]["sigma"],
        "times": np.linspace(fixings["first"], fixings["last"], fixings["count"]),
        "rebate": params.get("rebate", 0.0),
        "cash": params.get("payout"),
    }
    got = flat(**terms, rate=market["rate"], dividend=market["dividend"])
    expected, tolerance = published_case["expected"], published_case["tolerance"]
    if published_case["published"]:
        assert_close(got, published_case["published"], tolerance["published"])
    # The file's vanna and volga are difference quotients, noisier than its tolerance, which is that of the others:
    # they are held to what they can show, and ours to an independent eighth-order difference.
    first = tuple(name for name in GREEKS if name not in ("vanna", "volga"))
    assert_close(got, expected, tolerance["expected"], greeks=first)
    assert_close(got, expected, {"price": 1e-8, "vanna": 1e-8, "volga": 1e-7}, greeks=("price", "vanna", "volga"))
    ours = greeks_by_difference(terms, rate=market["rate"], dividend=market["dividend"])
    for name in ("vanna", "volga"):
        assert got[name] == pytest.approx(ours[name], abs=1e-9)


@pytest.mark.parametrize("strike", [85.0, 100.0, 120.0])
@pytest.mark.parametrize(("option", "cash"), [("call", None), ("put", None), ("call", 7.0), ("put", 7.0)])
@pytest.mark.parametrize("kind", KINDS)
def test_one_date_is_an_integral_over_its_density(kind, option, cash, strike, exact_derivatives, assert_close):
    # a curve: growth and discount of the date, not of a flat rate; the in is integrated as such, not by parity
    growth, log_discount, expiry, level, rebate = 0.013, -0.041, 0.7, (95.0 if "down" in kind else 106.0), 3.0

    def line(spot):
        """Constant and slope of what is paid for final spots near this one."""
        side = 1 if option == "call" else -1
        touched = spot < level if "down" in kind else spot > level
        if touched != ("in" in kind):
            return rebate, 0
        if side * (spot - strike) < 0:
            return 0, 0
        return (-side * strike, side) if cash is None else (cash, 0)

    def price(spot, vol, rate, dividend, stretch):
        s = vol * mpmath.sqrt(expiry * stretch)
        forward = spot * mpmath.exp(growth * stretch + (rate - dividend) * expiry * stretch)
        total = mp.mpf(0)
        edges = [0, *sorted((strike, level)), mp.inf]
        for low, high in itertools.pairwise(edges):
            constant, slope = line(low + 1)  # a point inside: no two edges are closer
            a, b = (mpmath.log(edge / forward) / s + s / 2 if edge else -mp.inf for edge in (low, high))
            total += constant * (mpmath.ncdf(b) - mpmath.ncdf(a))
            total += slope * forward * (mpmath.ncdf(b - s) - mpmath.ncdf(a - s))
        return mpmath.exp(log_discount * stretch - rate * expiry * stretch) * total

    wanted = exact_derivatives(price, spot=100.0, vol=0.25, maturity=expiry)
    got = barrier(
        option=option,
        kind=kind,
        spot=100.0,
        strike=strike,
        barrier=level,
        vol=0.25,
        times=[expiry],
        log_growth=[growth],
        log_discount=log_discount,
        rebate=rebate,
        cash=cash,
    )
    assert set(got) == set(wanted)
    assert_close(got, wanted, {name: 1e-12 * max(1.0, abs(value)) for name, value in wanted.items()})


def two_dates(*, option, kind, spot, strike, barrier, vol, times, growth, log_discount, rebate):
    """Knock-out on two dates, from the bivariate normal distribution function; strike on the alive side."""
    down, sign = kind.startswith("down"), (1.0 if option == "call" else -1.0)
    alive = 1.0 if down else -1.0
    times, growth = np.asarray(times), np.asarray(growth)
    s = vol * np.sqrt(times)
    correlation = math.sqrt(times[0] / times[1])

    def probability(first, second, sides, by_spot):
        # P(sides . (S - edges) > 0), under the measure weighted by the final spot where asked
        mean = math.log(spot) + growth - 0.5 * s**2 + by_spot * vol**2 * times
        z = sides * (mean - np.log([first, second])) / s
        rho = correlation * sides[0] * sides[1]
        return multivariate_normal(cov=[[1.0, rho], [rho, 1.0]]).cdf(z)

    def expected(first, second, sides):  # of sign * (S2 - strike) over the region
        forward = spot * math.exp(growth[1])
        return sign * (forward * probability(first, second, sides, 1) - strike * probability(first, second, sides, 0))

    if (option == "call") == down:
        value = expected(barrier, strike, np.array([alive, sign]))
    else:
        value = expected(barrier, strike, np.array([alive, sign])) - expected(barrier, barrier, np.array([alive, sign]))
    survival = probability(barrier, barrier, np.array([alive, alive]), 0)
    return math.exp(log_discount) * (value + rebate * (1.0 - survival))


@pytest.mark.parametrize("times", [(0.04, 0.5), (0.3, 0.5), (0.49, 0.5), (0.002, 1.5)])
@pytest.mark.parametrize(
    ("kind", "option", "level", "strike"),
    [
        ("down-and-out", "call", 93.0, 100.0),
        ("down-and-out", "put", 93.0, 105.0),
        ("up-and-out", "call", 112.0, 99.0),
        ("up-and-out", "put", 112.0, 97.0),
    ],
)
def test_two_uneven_dates_are_a_bivariate_normal(kind, option, level, strike, times):
    growth, log_discount, rebate = (0.01, 0.012), -0.03, 2.0
    terms = {"option": option, "kind": kind, "spot": 100.0, "strike": strike, "barrier": level, "vol": 0.3}
    terms |= {"times": times, "log_discount": log_discount, "rebate": rebate}
    got = barrier(**terms, log_growth=growth)

    def formula(**change):
        return two_dates(**terms | {"growth": growth} | change)

    assert got["price"] == pytest.approx(formula(), abs=1e-12)
    width = 30.0 * math.sqrt(times[0])  # of the first density, in units of spot
    by_spot = difference(lambda h: formula(spot=100.0 + h), 0.02 * width)
    assert got["delta"] == pytest.approx(by_spot, abs=1e-10)
    assert got["vega"] == pytest.approx(difference(lambda h: formula(vol=0.3 + h), 0.004), abs=1e-9)


CURVED = {"times": (0.02, 0.1, 0.13, 0.5, 0.8, 0.83, 1.4), "growth": (0.01, 0.02, 0.018, 0.03, 0.02, 0.025, 0.01)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("option", "cash"), [("call", None), ("put", None), ("put", 9.0)])
def test_greeks_on_a_curve_are_those_of_the_price(kind, option, cash):
    """The conventions: rates shift in parallel, dates scale in proportion at fixed zero rates."""
    times, growth, log_discount = np.array(CURVED["times"]), np.array(CURVED["growth"]), -0.06
    terms = {"option": option, "kind": kind, "strike": 101.0, "barrier": 92.0 if "down" in kind else 111.0}

    def value(name="price", spot=100.0, vol=0.25, rate=0.0, dividend=0.0, stretch=1.0):
        return barrier(
            **terms,
            spot=spot,
            vol=vol,
            times=times * stretch,
            log_growth=(growth + (rate - dividend) * times) * stretch,
            log_discount=(log_discount - rate * times[-1]) * stretch,
            rebate=4.0,
            cash=cash,
        )[name]

    wanted = {
        "delta": difference(lambda h: value(spot=100.0 + h), 0.05),
        "gamma": difference(lambda h: value("delta", spot=100.0 + h), 0.05),
        "vega": difference(lambda h: value(vol=0.25 + h), 0.002),
        "rho": difference(lambda h: value(rate=h), 0.002),
        "dividend_rho": difference(lambda h: value(dividend=h), 0.002),
        "theta": -difference(lambda h: value(stretch=1.0 + h), 0.005) / times[-1],
        "vanna": difference(lambda h: value("delta", vol=0.25 + h), 0.002),
        "volga": difference(lambda h: value("vega", vol=0.25 + h), 0.002),
    }
    for name, number in wanted.items():
        assert value(name) == pytest.approx(number, abs=1e-9), name


@pytest.mark.parametrize("option", ["call", "put"])
@pytest.mark.parametrize(("direction", "level"), [("down", 92.0), ("up", 111.0)])
def test_in_and_out_make_the_vanilla_and_the_rebate(direction, level, option):
    terms = {"option": option, "spot": 100.0, "strike": 101.0, "vol": 0.25, "log_discount": -0.06}
    path = {"times": CURVED["times"], "log_growth": CURVED["growth"], "barrier": level, "rebate": 4.0}
    out, into = (barrier(**terms, **path, kind=f"{direction}-and-{knock}") for knock in ("out", "in"))
    vanilla = european(**terms, expiry=1.4, log_growth=CURVED["growth"][-1])
    rebate = 4.0 * math.exp(-0.06)
    paid = {"price": rebate, "rho": -1.4 * rebate, "theta": 0.06 / 1.4 * rebate}
    for name in GREEKS:
        assert out[name] + into[name] == pytest.approx(vanilla[name] + paid.get(name, 0.0), abs=1e-11)


@pytest.mark.parametrize(("kind", "level"), [("down-and-out", 1e-3), ("up-and-out", 1e5), ("up-and-out", math.inf)])
@pytest.mark.parametrize("cash", [None, 9.0])
@pytest.mark.parametrize("times", [equal(52, 1.0), [0.01, 0.7, 1.0]], ids=["weekly", "uneven"])
def test_a_far_barrier_leaves_the_vanilla(kind, level, cash, times, assert_close):
    terms = {"option": "put", "spot": 100.0, "strike": 105.0, "vol": 0.2}
    market = {"expiry": 1.0, "log_growth": 0.03, "log_discount": -0.05}
    vanilla = european(**terms, **market)
    if cash is not None:
        vanilla = digital(**terms, **market, cash=cash)
    got = flat(**terms, kind=kind, barrier=level, times=times, cash=cash)
    assert_close(got, vanilla, 1e-10)


HARD = {
    "daily": {"times": equal(252, 1.0)},
    "daily, low volatility": {"times": equal(252, 1.0), "vol": 0.05, "barrier": 99.0},
    "five hundred dates": {"times": equal(500, 2.0), "kind": "up-and-out", "barrier": 130.0},
    "at the barrier": {"spot": 95.0},
    "a hair inside": {"spot": 95.0 * (1 + 1e-9)},
    "beyond the barrier": {"spot": 93.0},
    "far beyond": {"spot": 20.0, "rebate": 2.0},
    "first date in minutes": {"times": [1e-5, *equal(12, 1.0)], "barrier": 99.9},
    "two dates seconds apart": {"times": [0.25, 0.25 + 1e-6, 0.5, 1.0]},
    "last dates minutes apart": {"times": [0.5, 1.0, 1.0 + 1e-5]},
    "only two, minutes apart": {"times": [1.0, 1.0 + 1e-5]},
    "from hours to years": {"times": [1e-3, 2e-3, 0.5, 0.501, 3.0, 3.001, 10.0]},
    "a source beginning below its window": {"times": [0.5, 1.0, 1.001, 1.002, 1.003, 1.004, 2.0, 3.0], "barrier": 8.8},
    "huge volatility": {"vol": 1.5, "times": [0.1, 0.5, 3.0, 5.0]},
    "small step deviation": {"vol": 0.01, "times": equal(252, 0.1), "barrier": 99.8},
}


@pytest.mark.parametrize("case", HARD.values(), ids=HARD.keys())
def test_a_finer_grid_changes_nothing(case, assert_close):
    base = {"option": "call", "kind": "down-and-out", "spot": 100.0, "strike": 100.0, "barrier": 95.0, "vol": 0.2}
    terms = base | {"times": equal(12, 1.0)} | case
    standard = flat(**terms)
    assert_close(standard, flat(**terms, grid=Grid(nodes=24, width=2.2, reach=11.0)), 1e-9)
    assert_close(standard, flat(**terms, grid=Grid(nodes=20, width=3.0, reach=9.5)), 1e-9)
    assert all(math.isfinite(value) for value in standard.values())


def test_the_grid_matters():
    """A grid that is too coarse or too short is seen to fail: the refinement test has something to find."""
    terms = {"option": "call", "kind": "down-and-out", "spot": 100.0, "strike": 100.0, "barrier": 95.0, "vol": 0.2}
    right = flat(**terms, times=equal(52, 1.0))["price"]
    for grid in (Grid(nodes=5), Grid(width=12.0), Grid(reach=3.5)):
        assert abs(flat(**terms, times=equal(52, 1.0), grid=grid)["price"] - right) > 1e-6


@pytest.mark.parametrize("spot", [93.0, 95.0, 95.5], ids=["beyond", "at", "inside"])
@pytest.mark.parametrize("times", [equal(12, 1.0), equal(50, 0.2)], ids=["monthly", "daily"])
def test_greeks_at_the_barrier_are_those_of_the_price(spot, times):
    """Today's spot is not watched, so the price is smooth through the barrier."""
    terms = {"option": "put", "kind": "down-and-out", "spot": spot, "strike": 105.0, "barrier": 95.0, "vol": 0.2}
    terms |= {"times": times, "rebate": 1.0}
    got = flat(**terms)
    for name, value in greeks_by_difference(terms).items():
        assert got[name] == pytest.approx(value, abs=2e-9), name


@pytest.mark.parametrize(
    ("option", "kind", "level"),
    [("call", "up-and-out", 110.0), ("call", "up-and-out", 115.0), ("put", "down-and-out", 120.0)],
)
def test_a_strike_beyond_the_barrier_leaves_the_rebate(option, kind, level):
    terms = {"option": option, "kind": kind, "spot": 100.0, "strike": 115.0, "vol": 0.2, "times": equal(12, 1.0)}
    nothing = flat(**terms, barrier=level)
    assert nothing == dict.fromkeys(GREEKS, 0.0)
    # what is left with a rebate is the chance of being knocked out: the vanilla part of the pair drops out
    rebate = flat(**terms, barrier=level, rebate=3.0)
    other = flat(**terms | {"strike": 50.0 if kind == "down-and-out" else 500.0}, barrier=level, rebate=3.0)
    assert rebate == pytest.approx(other, rel=1e-14, abs=1e-17)  # sums of matrix products depend on the library's blocks
    assert 0.0 < rebate["price"] < 3.0 * math.exp(-0.05)


@pytest.mark.parametrize(("kind", "level"), [("down-and-out", 90.0), ("up-and-out", 125.0), ("down-and-in", 90.0)])
def test_more_dates_approach_the_continuous_barrier_as_the_correction_says(kind, level):
    terms = {"option": "call", "kind": kind, "spot": 100.0, "strike": 100.0, "barrier": level, "vol": 0.3}
    market = {"expiry": 0.5, "log_growth": 0.015, "log_discount": -0.025}
    continuous = reiner_rubinstein(**terms, **market)
    gaps, errors = {}, {}
    for dates in (25, 100, 400):
        discrete = flat(**terms, times=equal(dates, 0.5))
        corrected = broadie_glasserman_kou(**terms, **market, dates=dates)
        gaps[dates] = discrete["price"] - continuous["price"]
        errors[dates] = {name: abs(discrete[name] - corrected[name]) for name in ("price", "delta", "vega")}
    # the distance from the continuous value is of order 1 / sqrt(dates), the correction's of order 1 / dates or better
    assert gaps[400] / gaps[100] == pytest.approx(0.5, abs=0.03)
    assert gaps[100] / gaps[25] == pytest.approx(0.5, abs=0.05)
    for name, scale in {"price": 1.0, "delta": 0.01, "vega": 1.0}.items():
        assert errors[400][name] < 4e-3 * scale
        assert errors[400][name] < errors[100][name] / 3.5 < errors[25][name] / 3.5**2
    assert errors[400]["price"] < 0.03 * abs(gaps[400])


def test_only_the_dates_matter_not_the_unit_of_money(assert_close):
    terms = {"option": "call", "kind": "up-and-out", "vol": 0.3, "times": equal(26, 0.5)}
    large = flat(**terms, spot=100.0, strike=95.0, barrier=120.0, rebate=2.0)
    small = flat(**terms, spot=1e-3, strike=95e-5, barrier=120e-5, rebate=2e-5)
    units = dict.fromkeys(GREEKS, 1e-5) | {"delta": 1.0, "gamma": 1e5, "vanna": 1.0}
    assert_close({name: value / units[name] for name, value in small.items()}, large, 1e-11)
