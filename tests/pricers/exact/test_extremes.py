"""No formula returns a wrong number silently: extreme parameters against integrals in 30 digits, bounds and parities.

A formula may refuse by `NotApplicable`; the tests count how often, so that refusing everything does not pass.
"""

import itertools
import math

import mpmath
import numpy as np
import pytest
from mpmath import mp
from scipy.signal import oaconvolve
from scipy.special import ndtr

from greeks import Exact, sensitivities
from pricers import GBM, Asian, AsianDigital, Barrier, Digital, European, Heston, Market, schedule
from pricers.errors import NotApplicable
from pricers.exact import exact_greeks

VOLS = (1e-8, 1e-3, 0.2, 5.0, 30.0)
EXPIRIES = (1e-6, 1 / 365, 1.0, 50.0, 100.0)
STRIKES = (1e-3, 90.0, 101.0, 1e6)
RATES = ((0.05, 0.02), (0.0, 0.0), (-0.02, 0.1))
MARKETS = tuple(Market(spot=100.0, rate=rate, dividend=dividend) for rate, dividend in RATES)


def answer(contract, model, market):
    """The formula's numbers, all finite, or None where it refuses and names a way out."""
    try:
        found = exact_greeks(contract, model, market)
    except NotApplicable as refused:
        text = str(refused)
        if not any(word in text for word in ("use ", "shorten ", "take ")):
            raise AssertionError(f"refused without a way out: {text}") from refused
        return None
    assert all(math.isfinite(value) for value in found.values()), (contract, model, found)
    return found


def black_in_30_digits(option, market, strike, expiry, vol, cash):
    """Price, delta, gamma and vega by the textbook's formulas."""
    spot, strike, expiry, vol = (mp.mpf(number) for number in (market.spot, strike, expiry, vol))
    growth, discount = mp.mpf(float(market.log_growth(float(expiry)))), mpmath.exp(float(market.log_discount(float(expiry))))
    sign, stdev = (1 if option == "call" else -1), vol * mpmath.sqrt(expiry)
    forward = spot * mpmath.exp(growth)
    d2 = (mpmath.log(forward / strike)) / stdev - stdev / 2
    d1 = d2 + stdev
    if cash:
        density = discount * sign * mpmath.npdf(d2)
        return (
            discount * mpmath.ncdf(sign * d2),
            density / (spot * stdev),
            -density * d1 / (spot * stdev) ** 2,
            -density * d1 / vol,
        )
    density = discount * forward * mpmath.npdf(d1)
    price = discount * sign * (forward * mpmath.ncdf(sign * d1) - strike * mpmath.ncdf(sign * d2))
    delta = discount * sign * forward / spot * mpmath.ncdf(sign * d1)
    return price, delta, density / (spot**2 * stdev), density * mpmath.sqrt(expiry)


@pytest.mark.parametrize("cash", [False, True], ids=["vanilla", "digital"])
def test_black_scholes_at_its_ends(cash):
    compared = 0
    for vol, expiry, strike, market, option in itertools.product(VOLS, EXPIRIES, STRIKES, MARKETS, ("call", "put")):
        kind = Digital if cash else European
        found = answer(kind(option=option, strike=strike, expiry=expiry), GBM(vol=vol), market)
        assert found is not None
        with mp.workdps(40):
            wanted = [float(number) for number in black_in_30_digits(option, market, strike, expiry, vol, cash)]
        forward = market.spot * math.exp(float(market.log_growth(expiry)))
        size = math.exp(float(market.log_discount(expiry))) * (1.0 if cash else max(forward, strike))
        stdev = vol * math.sqrt(expiry)
        near = 1.0 + abs(math.log(forward / strike)) / stdev  # what rounding of the log-moneyness does to d1
        scale = size, size / min(stdev, 1.0) / 100.0, size / min(stdev, 1.0) ** 2 / 1e4, size * math.sqrt(expiry)
        for name, value, unit in zip(("price", "delta", "gamma", "vega"), wanted, scale, strict=True):
            assert abs(found[name] - value) <= 1e-14 * unit + 1e-13 * near**2 * abs(value), (name, option, vol, expiry, strike)
            compared += 1
    assert compared == 4 * len(VOLS) * len(EXPIRIES) * len(STRIKES) * len(MARKETS) * 2


@pytest.mark.parametrize("digital", [False, True], ids=["asian", "asian digital"])
def test_geometric_average_of_one_date_is_the_vanilla_and_of_more_keeps_its_bounds(digital):
    refused = 0
    for vol, expiry, strike, market in itertools.product(VOLS, EXPIRIES, STRIKES, MARKETS):
        terms = {"strike": strike, "average": "geometric"}
        kind, plain = (AsianDigital, Digital) if digital else (Asian, European)
        one = answer(kind(option="put", fixings=(expiry,), **terms), GBM(vol=vol), market)
        same = answer(plain(option="put", strike=strike, expiry=expiry), GBM(vol=vol), market)
        assert one["price"] == pytest.approx(same["price"], rel=1e-12, abs=1e-14 * strike)
        both = [answer(kind(option=o, fixings=schedule(4, expiry), **terms), GBM(vol=vol), market) for o in ("call", "put")]
        refused += both.count(None)
        discount = math.exp(float(market.log_discount(expiry)))
        times = np.array(schedule(4, expiry))
        spread = vol**2 * expiry * 0.46875  # of four equal dates: (1 + 3 + 5 + 7 * ...) / 16, the variance of the average
        mean = math.exp(math.log(100.0) + float(market.log_growth(times).mean()) - 0.5 * vol**2 * times.mean() + 0.5 * spread)
        wanted = discount if digital else discount * (mean - strike)
        total = both[0]["price"] + (1.0 if digital else -1.0) * both[1]["price"]
        assert abs(total - wanted) <= 1e-12 * discount * max(1.0 if digital else strike, 0.0 if digital else mean)
        assert min(found["price"] for found in both) >= -1e-15 * discount * (1.0 if digital else max(strike, mean))
    assert refused == 0


def two_dates_in_60_digits(contract, model, market):
    """The put that is out beyond the barrier at either of two dates: one integral over the first, the second in closed form."""
    first, last = (mp.mpf(t) for t in contract.monitoring)
    vol, spot, strike, barrier = (mp.mpf(x) for x in (model.vol, market.spot, contract.strike, contract.barrier))
    drift = mp.mpf(float(market.log_growth(float(last)))) / last
    s1, s2 = vol * mpmath.sqrt(first), vol * mpmath.sqrt(last - first)

    def second(z):  # spot from the barrier to the strike at the last date
        log_forward = mpmath.log(spot) + drift * last - vol**2 * first / 2 + s1 * z

        def moments(edge):
            d2 = (mpmath.log(edge) - log_forward) / s2 + s2 / 2
            return mpmath.ncdf(d2), mpmath.exp(log_forward) * mpmath.ncdf(d2 - s2)

        (p, share), (p_below, share_below) = moments(strike), moments(barrier)
        return strike * (p - p_below) - (share - share_below)

    edge = (mpmath.log(barrier / spot) - drift * first + vol**2 * first / 2) / s1
    points = [edge + step for step in (0, 1, 2, 4, 8, 16, 30)]
    value = mpmath.quad(lambda z: mpmath.npdf(z) * second(z), points)
    return float(mpmath.exp(float(market.log_discount(float(last)))) * value)


@pytest.mark.parametrize(("vol", "expiry"), [(5.0, 50.0), (5.0, 10.0), (2.0, 3.0), (0.2, 100.0), (1e-6, 1.0), (0.3, 1e-5)])
def test_down_and_out_put_of_two_dates_is_its_integral(vol, expiry):
    width = vol * math.sqrt(expiry)
    market = Market(spot=100.0, rate=0.03 if expiry > 1e-3 and vol > 1e-3 else 0.0)
    barrier = 100.0 * math.exp(-min(0.6 * width, 0.7))
    contract = Barrier(
        option="put",
        strike=100.0 * math.exp(min(width, 0.5)),
        barrier=barrier,
        kind="down-and-out",
        monitoring=schedule(2, expiry),
    )
    found = answer(contract, GBM(vol=vol), market)
    with mp.workdps(60):
        wanted = two_dates_in_60_digits(contract, GBM(vol=vol), market)
    assert wanted > (-1e-40 if width > 10.0 else 1e-9)
    assert found["price"] == pytest.approx(wanted, rel=1e-9, abs=1e-20 if width > 10.0 else 0.0)


def dense_grid(contract, model, market, points=14001, top=700.0):
    """Down-and-out put watched at equal dates by trapezoids over the logarithmic distance from the barrier, above it."""
    dates = contract.monitoring
    step, rate = dates[0], float(market.log_growth(dates[0]))
    s = model.vol * math.sqrt(step)
    u = np.linspace(0.0, top, points)
    h = u[1] - u[0]
    log_forward = math.log(contract.barrier) + u + rate

    def moments(edge):
        d2 = (math.log(edge) - log_forward) / s + 0.5 * s
        with np.errstate(over="ignore", invalid="ignore"):
            return ndtr(d2), np.nan_to_num(np.exp(log_forward) * ndtr(d2 - s), nan=0.0, posinf=0.0)

    (p, share), (p_below, share_below) = moments(contract.strike), moments(contract.barrier)
    value = contract.strike * (p - p_below) - (share - share_below)
    drift = rate - 0.5 * s * s
    weights = np.full(points, h)
    weights[[0, -1]] *= 0.5
    moves = np.arange(-(points - 1), points) * h
    density = np.exp(-0.5 * ((moves - drift) / s) ** 2) / (s * math.sqrt(2.0 * math.pi))
    for _ in dates[2:]:
        value = oaconvolve(weights * value, density[::-1])[points - 1 : 2 * points - 1]
    start = math.log(market.spot / contract.barrier)
    first = np.exp(-0.5 * ((u - start - drift) / s) ** 2) / (s * math.sqrt(2.0 * math.pi))
    return math.exp(float(market.log_discount(dates[-1]))) * float((weights * first) @ value)


def test_barrier_whose_spots_leave_floating_point():
    """The case of `nan +- 0`: a put is bounded and gets its number; a call that grows with such spots is refused."""
    terms = {"strike": 100.0, "barrier": 50.0, "monitoring": schedule(12, 50.0)}
    market, model = Market(spot=100.0, rate=0.03), GBM(vol=5.0)
    put = Barrier(option="put", kind="down-and-out", **terms)
    found = sensitivities(put, model, market, greeks=("price", "delta", "gamma", "vega"), estimator=Exact())
    assert found["price"].value == pytest.approx(dense_grid(put, model, market), rel=1e-5)
    step = 0.01
    up, down = (dense_grid(put, model, Market(spot=100.0 * math.exp(x), rate=0.03)) for x in (step, -step))
    assert found["delta"].value == pytest.approx((up - down) / (2.0 * step) / 100.0, rel=1e-3)
    into = answer(Barrier(option="put", kind="down-and-in", **terms), model, market)
    vanilla = answer(European(option="put", strike=100.0, expiry=50.0), model, market)
    assert into["price"] + found["price"].value == pytest.approx(vanilla["price"], rel=1e-12)
    with pytest.raises(NotApplicable, match="spots beyond 1e260.*parity"):
        exact_greeks(Barrier(option="call", kind="down-and-out", **terms), model, market)


def test_barriers_keep_their_bounds():
    """Between nothing and the vanilla; out and in add up; nothing is left of a Greek where the outcome is certain."""
    refused, counted = 0, 0
    for vol, expiry, market, option, barrier, dates in itertools.product(
        VOLS, EXPIRIES, MARKETS[:2], ("call", "put"), (1e-6, 50.0, 99.9, 100.1, 150.0), (1, 2, 4)
    ):
        direction = "down" if barrier < 100.0 else "up"
        terms = {"option": option, "strike": 101.0, "barrier": barrier, "monitoring": schedule(dates, expiry)}
        vanilla = answer(European(option=option, strike=101.0, expiry=expiry), GBM(vol=vol), market)
        for knock in ("in", "out"):
            found = answer(Barrier(kind=f"{direction}-and-{knock}", **terms), GBM(vol=vol), market)
            counted += 1
            if found is None:
                refused += 1
                assert vol * math.sqrt(expiry) > 20.0
                continue
            assert -1e-11 <= found["price"] <= vanilla["price"] + 1e-11, (vol, expiry, terms)
            if vol == 1e-8:  # never or surely met: one of the two is the vanilla, the other nothing, in every Greek
                other = dict.fromkeys(vanilla, 0.0) if found["price"] == 0.0 else vanilla
                assert found == pytest.approx(other, rel=1e-12, abs=1e-300), (vol, expiry, terms)
    assert refused < 0.12 * counted


# Heston: model, expiry, strikes
HESTON = {
    "xi 1e-8": ({"v0": 0.04, "kappa": 1.5, "theta": 0.04, "xi": 1e-8, "rho": -0.7}, 1.0, (90.0, 100.0)),
    "xi 1e-14": ({"v0": 0.04, "kappa": 1.5, "theta": 0.06, "xi": 1e-14, "rho": 0.9}, 1.0, (100.0,)),
    "variance 25": ({"v0": 25.0, "kappa": 1.5, "theta": 25.0, "xi": 0.3, "rho": -0.7}, 10.0, (100.0, 1e-6)),
    "Feller ratio 0.0005": ({"v0": 0.04, "kappa": 0.1, "theta": 0.01, "xi": 2.0, "rho": -0.7}, 1.0, (105.0,)),
    "kappa 1e-6": ({"v0": 0.04, "kappa": 1e-6, "theta": 0.09, "xi": 0.5, "rho": 0.6}, 5.0, (80.0,)),
    "kappa 200": ({"v0": 0.5, "kappa": 200.0, "theta": 0.03, "xi": 4.0, "rho": -0.9}, 2.0, (120.0,)),
    "from zero": ({"v0": 0.0, "kappa": 3.0, "theta": 0.04, "xi": 0.3, "rho": -0.5}, 0.25, (101.0,)),
    "a minute": ({"v0": 0.04, "kappa": 1.5, "theta": 0.04, "xi": 0.6, "rho": -0.7}, 2e-6, (100.0, 100.02)),
    "a century": ({"v0": 0.04, "kappa": 0.2, "theta": 0.03, "xi": 0.4, "rho": -0.6}, 100.0, (300.0,)),
    "rho 0.999": ({"v0": 0.04, "kappa": 1.5, "theta": 0.04, "xi": 0.5, "rho": 0.999}, 1.0, (95.0,)),
}
NAMES = ("v0", "kappa", "theta", "xi", "rho")


RULE = tuple(zip(*(row.tolist() for row in np.polynomial.legendre.leggauss(64)), strict=True))


def fourier_in_70_digits(model, expiry, log_moneyness, digital):
    """Integrals over Re z = 1/2 of w(z) (F/K)^z M(z) (1, z, z^2 - z, d ln M / d v0), by Gauss-Legendre on intervals that double."""
    v0, kappa, theta, xi, rho = (mp.mpf(model[name]) for name in NAMES)
    t, x, half = mp.mpf(expiry), mp.mpf(log_moneyness), mp.mpf(1) / 2

    def mgf(z):
        b = kappa - rho * xi * z
        d = mpmath.sqrt(b * b + xi**2 * (z - z * z))
        g, decay = (b - d) / (b + d), mpmath.exp(-d * t)
        constant = (b - d) * t - 2 * mpmath.log((1 - g * decay) / (1 - g))
        slope = (b - d) / xi**2 * (1 - decay) / (1 - g * decay)
        return mpmath.exp(kappa * theta / xi**2 * constant + v0 * slope), slope

    peak, top = abs(mgf(half)[0]), mp.mpf(1) / 1024
    while abs(mgf(half + 1j * top)[0]) > peak * mp.mpf(10) ** -22:
        top *= 2
    total = [mp.mpf(0)] * 4
    for low, high in itertools.pairwise([mp.mpf(0)] + [top / 2**k for k in range(14, -1, -1)]):
        centre, radius = (low + high) / 2, (high - low) / 2
        for node, weight in RULE:
            z = half + 1j * (centre + radius * node)
            m, slope = mgf(z)
            f = mpmath.exp(x * z) * m / (z if digital else z * (1 - z)) * radius * weight / mp.pi
            total = [s + (f * factor).real for s, factor in zip(total, (1, z, z * z - z, slope), strict=True)]
    return total


@pytest.mark.parametrize("digital", [False, True], ids=["vanilla", "digital"])
@pytest.mark.parametrize("name", HESTON)
def test_heston_at_its_ends(name, digital):
    model, expiry, strikes = HESTON[name]
    market = Market(spot=100.0, rate=0.03 if expiry > 1e-3 else 0.0)
    growth, discount = float(market.log_growth(expiry)), math.exp(float(market.log_discount(expiry)))
    for strike in strikes:
        contract = (Digital if digital else European)(option="put", strike=strike, expiry=expiry)
        found = answer(contract, Heston(**model), market)
        assert found is not None
        with mp.workdps(70):
            value, once, twice, by_v0 = fourier_in_70_digits(model, expiry, math.log(100.0 / strike) + growth, digital)
            unit = discount * (1.0 if digital else strike)
            wanted = {
                "price": float(unit * (1 - value)),
                "delta": float(-unit * once / 100),
                "gamma": float(-unit * twice / 10000),
                "d_v0": float(-unit * by_v0),
            }
        stdev = min(
            1.0, math.sqrt(max(-8.0 * math.log(float(abs(value)) / 2.0), 0.0)) if model["v0"] > 10 else 0.2 * math.sqrt(expiry)
        )
        scale = {"price": unit, "delta": unit / 100.0 / stdev, "gamma": unit / 1e4 / stdev**2, "d_v0": unit * max(1.0, expiry)}
        for greek, number in wanted.items():
            assert abs(found[greek] - number) <= 1e-11 * scale[greek] + 1e-9 * abs(number), (greek, strike, found[greek], number)
        if name == "Feller ratio 0.0005" and digital:  # for cash of 100
            assert round(100.0 * found["gamma"], 3) == -7.319
            assert round(100.0 * found["vega"]) == -333
        if name == "variance 25" and not digital and strike == 100.0:
            call = answer(European(option="call", strike=strike, expiry=expiry), Heston(**model), market)
            assert call["price"] == pytest.approx(100.0, rel=1e-12)


@pytest.mark.parametrize("rho", [-0.9, 0.5])
def test_heston_goes_to_deterministic_variance_without_a_seam(rho):
    model = {"v0": 0.09, "kappa": 2.0, "theta": 0.04, "rho": rho}
    market = Market(spot=100.0, rate=0.03)
    variance = 0.04 + 0.05 * (1.0 - math.exp(-2.0)) / 2.0
    black = answer(European(option="call", strike=105.0, expiry=1.0), GBM(vol=math.sqrt(variance)), market)
    before = None
    for xi in (1e-3, 1e-5, 1e-7, 1e-10, 1e-20, 1e-100, 1e-200, 1e-320):
        found = answer(European(option="call", strike=105.0, expiry=1.0), Heston(**model, xi=xi), market)
        assert abs(found["price"] - black["price"]) < 3.0 * xi + 1e-11
        assert abs(found["delta"] - black["delta"]) < 3.0 * xi + 1e-12
        assert before is None or abs(found["d_xi"] - before) < 0.05
        before = found["d_xi"]


def test_heston_keeps_bounds_and_parity_or_refuses():
    rng = np.random.default_rng(1)
    refused, counted = {"vanilla": 0, "average": 0}, 0
    while counted < 150:
        v0, theta, kappa, xi, expiry = 10.0 ** rng.uniform([-6, -6, -3, -10, -3], [2, 2, 2, 1.5, 1.7])
        v0 = 0.0 if rng.random() < 0.2 else v0
        model = Heston(v0=v0, kappa=kappa, theta=theta, xi=xi, rho=rng.choice([-0.999, -0.7, 0.0, 0.5, 0.99]))
        strike = 100.0 * math.exp(rng.normal() * math.sqrt(max(v0, theta) * expiry) * rng.choice([0.0, 0.5, 1.0, 4.0]))
        if not 1e-100 < strike < 1e100:
            continue
        counted += 1
        market = MARKETS[counted % 2]
        discount = math.exp(float(market.log_discount(expiry)))
        forward = 100.0 * math.exp(float(market.log_growth(expiry)))
        for digital in (False, True):
            kind, average = (Digital, AsianDigital) if digital else (European, Asian)
            call, put = (answer(kind(option=o, strike=strike, expiry=expiry), model, market) for o in ("call", "put"))
            refused["vanilla"] += (call is None) + (put is None)
            size = discount * (1.0 if digital else min(forward, strike))
            low = 0.0 if digital else discount * max(forward - strike, 0.0)
            if call is not None:
                assert low - 1e-9 * size <= call["price"] <= low + size * (1.0 + 1e-9), (model, strike)
                assert digital or -1e-9 * size <= call["delta"] * 100.0 <= discount * forward * (1.0 + 1e-9) + 1e-9 * size
            if call is not None and put is not None:
                total = call["price"] + (put["price"] if digital else -put["price"])
                wanted = discount if digital else discount * (forward - strike)
                assert abs(total - wanted) <= 1e-9 * size + 1e-14 * abs(wanted), (model, strike)
            terms = {"strike": strike, "fixings": schedule(3, expiry), "average": "geometric"}
            found = answer(average(option="call", **terms), model, market)
            refused["average"] += found is None
            growth = market.log_growth(np.array(schedule(3, expiry)))
            highest = 1.0 if digital else 100.0 * math.exp(float(growth.mean()))
            if found is not None:
                assert -1e-9 * discount * highest <= found["price"] <= discount * highest * (1.0 + 1e-9)
    assert refused["vanilla"] < 0.06 * 4 * counted, refused
    assert refused["average"] < 0.25 * 2 * counted, refused


def test_a_strike_too_far_for_the_integral_is_refused_and_not_guessed():
    model = Heston(v0=87.0, kappa=13.6, theta=2.2e-6, xi=5.7, rho=0.99)
    with pytest.raises(NotApplicable, match="so far from the forward.*use LikelihoodRatio"):
        exact_greeks(European(option="call", strike=9e47, expiry=2.3), model, MARKETS[0])


def test_rates_beyond_floating_point_are_refused():
    with pytest.raises(NotApplicable, match="range of floating point"):
        exact_greeks(
            European(option="call", strike=100.0, expiry=100.0), GBM(vol=0.2), Market(spot=100.0, rate=8.0, dividend=0.0)
        )
