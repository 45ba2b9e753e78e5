"""Preintegration: its kernels against a plain twin, its numbers against quadrature, formulas and other methods."""

import itertools
import math
from dataclasses import replace

import cases
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import ndtr

from greeks import Controlled, Exact, LikelihoodRatio, NotApplicable, Pathwise, Preintegrated, sensitivities
from greeks.estimators.preintegrated import _integrate, _integrated
from pricers import Asian, AsianDigital, Barrier, European, FullTruncationEuler, Heston, Market, Plan, Sobol, schedule
from pricers.errors import InvalidInput
from pricers.paths.requests import PathRequest, Wanted
from pricers.random_numbers.path_block import Block, ObservationDates

GREEKS = ("price", "delta", "gamma", "vega", "rho", "theta", "dividend_rho")
DATES = (0.1, 0.25, 0.6, 0.7, 1.0)
HESTON = Heston(v0=0.04, kappa=1.5, theta=0.05, xi=0.5, rho=-0.7)
WEEKLY = schedule(52, 1.0)


def contracts():
    for option in ("call", "put"):
        for average in ("arithmetic", "geometric"):
            for past in ((), (97.0, 104.0)):
                terms = {"option": option, "strike": 101.0, "fixings": DATES, "average": average, "past_fixings": past}
                yield Asian(**terms)
                yield AsianDigital(**terms, cash=7.0)


class Twin:
    """One path split along a direction, from the definitions."""

    def __init__(self, contract, spot, mean, stdev, normals):
        self.contract, self.spot, self.mean, self.stdev = contract, spot, mean, stdev
        n = len(normals)
        loads = [s * (n - j) for j, s in enumerate(stdev)]
        size = math.sqrt(sum(x * x for x in loads))
        self.c = [x / size for x in loads]
        y = sum(a * b for a, b in zip(self.c, normals, strict=True))
        self.rest = [z - a * y for a, z in zip(self.c, normals, strict=True)]

    def average(self, y, mean, stdev, spot):
        x, logs = math.log(spot), []
        for m, s, c, r in zip(mean, stdev, self.c, self.rest, strict=True):
            x += m + s * (r + c * y)
            logs.append(x)
        past = self.contract.past_fixings
        if self.contract.average == "geometric":
            return math.exp((sum(logs) + sum(math.log(p) for p in past)) / (len(logs) + len(past)))
        return (sum(math.exp(x) for x in logs) + sum(past)) / (len(logs) + len(past))

    def expectation(self, mean=None, stdev=None, spot=None):
        """The payoff integrated along the direction, by quadrature on the exercised side of the root."""
        at = (mean or self.mean, stdev or self.stdev, spot or self.spot)
        contract, side = self.contract, 1.0 if self.contract.option == "call" else -1.0
        root = brentq(lambda y: self.average(y, *at) - contract.strike, -60.0, 60.0, xtol=1e-14, rtol=1e-15)
        if isinstance(contract, AsianDigital):
            return contract.cash * float(ndtr(-side * root))

        def integrand(d):
            y = root + side * d
            return abs(self.average(y, *at) - contract.strike) * math.exp(-0.5 * y * y) / math.sqrt(2.0 * math.pi)

        return sum(quad(integrand, a, a + 3.0, epsabs=1e-13, epsrel=1e-13)[0] for a in (0.0, 3.0, 6.0, 9.0, 12.0))


@pytest.mark.parametrize("model", [cases.VOL, HESTON], ids=["gbm", "heston"])
@pytest.mark.parametrize("contract", list(contracts()), ids=lambda c: f"{c.family} {c.option} {c.average} {len(c.past_fixings)}")
def test_the_kernels_are_their_plain_twin_and_their_slopes_the_twins_differences(contract, model):
    market = Market(spot=100.0, rate=0.05, dividend=0.02)
    time_grid = model.time_grid(DATES, 20)
    block = Block(seed=3, stream="", time_grid=time_grid, first=0, n_paths=150, factors=model.factors)
    path = model.paths(block, ObservationDates(DATES, time_grid), market)
    found = _integrated(contract.on_average, 100.0 * np.exp(market.log_growth(DATES)), path)
    _integrate(found, keep=True)
    steps = path.law.steps(("spot",))
    for number in (0, 13, 149):
        mean, stdev = (np.broadcast_to(x, steps.normals.shape)[:, number].tolist() for x in (steps.mean, steps.stdev))
        twin = Twin(contract, 100.0, mean, stdev, steps.normals[:, number].tolist())
        scale = contract.cash if isinstance(contract, AsianDigital) else 10.0
        assert found.value[number] == pytest.approx(twin.expectation(), rel=1e-10, abs=1e-11 * scale)
        for j in (0, 2, 4):
            for values, name, slope in ((mean, "mean", found.by[0]), (stdev, "stdev", found.by[1])):
                h = 2e-3 * stdev[j]
                ends = []
                for k in (-2, -1, 1, 2):
                    moved = [x + k * h * (i == j) for i, x in enumerate(values)]
                    ends.append(twin.expectation(**{name: moved}))
                difference = (ends[0] - 8.0 * ends[1] + 8.0 * ends[2] - ends[3]) / (12.0 * h)
                assert slope[j, number] == pytest.approx(difference, rel=1e-6, abs=1e-6 * scale), (name, j)
        v = [twin.expectation(spot=100.0 + k) for k in (-0.4, -0.2, 0.0, 0.2, 0.4)]
        second = (-v[0] + 16.0 * v[1] - 30.0 * v[2] + 16.0 * v[3] - v[4]) / (12.0 * 0.04)
        assert found.second[number] / 100.0**2 == pytest.approx(second, rel=1e-6, abs=1e-9 * scale)


@pytest.mark.parametrize("contract", list(contracts()), ids=lambda c: f"{c.family} {c.option} {c.average} {len(c.past_fixings)}")
def test_slopes_summed_on_the_way_are_those_of_the_dates_whatever_was_foreseen(contract):
    """Parameters that are known ahead are summed date by date, others later; either way they are the chain rule's sum over dates."""
    market, forward = Market(spot=100.0, rate=0.05, dividend=0.02), 100.0 * np.exp(0.03 * np.array(DATES))
    model, names = cases.VOL, ("rate", "time", "vol")
    look = ObservationDates(DATES, DATES)
    slopes, gradients = [], []
    for steps in (frozenset(), frozenset({"spot", "vol"}), frozenset(names)):
        request = PathRequest(market=market, time_scale=1.0, dates=look, wanted=Wanted(steps=steps))
        block = Block(seed=3, stream="", time_grid=DATES, first=0, n_paths=150)
        path = model.simulator({model: [request]}).paths(block, request)
        found = _integrated(contract.on_average, forward, path)
        slopes.append([found.slopes(path, name)[0].copy() for name in names])
        gradients.append(found.slopes(path, "spot")[0])
    assert np.array_equal(slopes[0], slopes[1])
    assert np.array_equal(slopes[0], slopes[2])
    _integrate(found, keep=True)
    assert np.array_equal(found.by[0, 0] / 100.0, gradients[0])
    assert np.array_equal(gradients[0], gradients[2])
    for name, slope in zip(names, slopes[0], strict=True):
        steps = path.law.steps((name,))
        along = (found.by[0] * steps.mean_slope[0] + found.by[1] * steps.stdev_slope[0]).sum(axis=0)
        assert np.abs(slope - along).max() < 1e-12 * np.abs(along).max() > 0.0


def test_controls_have_mean_zero():
    """By the law of large numbers, and each one really moves."""
    for model in (cases.VOL, HESTON):
        time_grid = model.time_grid(DATES, 12)
        block = Block(seed=8, stream="", time_grid=time_grid, first=0, n_paths=2**16, factors=model.factors)
        path = model.paths(block, ObservationDates(DATES, time_grid), cases.CURVE)
        claim = Asian(option="call", strike=100.0, fixings=DATES).on_average
        found = _integrated(claim, 100.0 * np.exp(cases.CURVE.log_growth(DATES)), path)
        assert len(found.controls) == 5
        names = ("rate", "dividend", "time", "vol", *model.parameters)
        slopes = [found.slopes(path, name)[1] for name in names]
        assert found.slopes(path, "spot")[1:] == ()
        for row in (*found.controls, *slopes):
            stderr = row.std() / 256.0
            assert stderr > 1e-8
            assert abs(row.mean()) < 4.0 * stderr
            assert stderr < 0.5


def two_dates(contract, spot, vol, rate, dividend, time_scale):
    """Price on the average of two fixings: Black-Scholes for the second given the first, by quadrature over the first."""
    t1, t2 = (time_scale * t for t in contract.fixings)
    side = 1.0 if contract.option == "call" else -1.0
    s1, s2 = vol * math.sqrt(t1), vol * math.sqrt(t2 - t1)
    growth = math.exp((rate - dividend) * (t2 - t1))

    def given(z):
        first = spot * math.exp((rate - dividend) * t1 - 0.5 * s1 * s1 + s1 * z)
        strike, forward = 2.0 * contract.strike - first, first * growth  # of the second fixing
        d2 = math.inf if strike <= 0.0 else math.log(forward / strike) / s2 - 0.5 * s2
        if isinstance(contract, AsianDigital):
            return contract.cash * float(ndtr(side * d2))
        return 0.5 * side * (forward * float(ndtr(side * (d2 + s2))) - strike * float(ndtr(side * d2)))

    z, w = np.polynomial.legendre.leggauss(60)
    total, edges = 0.0, np.linspace(-9.0, 9.0, 25)
    for a, b in itertools.pairwise(edges):
        y = 0.5 * (b - a) * z + 0.5 * (a + b)
        total += 0.5 * (b - a) * sum(wi * given(yi) * math.exp(-0.5 * yi * yi) for wi, yi in zip(w, y, strict=True))
    return math.exp(-rate * t2) * total / math.sqrt(2.0 * math.pi)


@pytest.mark.parametrize("option", ["call", "put"])
@pytest.mark.parametrize("family", [Asian, AsianDigital])
def test_two_fixings_agree_with_quadrature(family, option):
    contract = family(option=option, strike=101.0, fixings=(0.4, 1.0))
    at = {"spot": 100.0, "vol": 0.2, "rate": 0.05, "dividend": 0.02, "time_scale": 1.0}

    def slope(name, h):
        ends = [two_dates(contract, **(at | {name: at[name] + k * h})) for k in (-2, -1, 1, 2)]
        return (ends[0] - 8.0 * ends[1] + 8.0 * ends[2] - ends[3]) / (12.0 * h)

    values = [two_dates(contract, **(at | {"spot": 100.0 + k})) for k in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    truth = {
        "price": values[2],
        "delta": slope("spot", 0.2),
        "gamma": (-values[0] + 16.0 * values[1] - 30.0 * values[2] + 16.0 * values[3] - values[4]) / 3.0,
        "vega": slope("vol", 1e-3),
        "rho": slope("rate", 1e-3),
        "dividend_rho": slope("dividend", 1e-3),
        "theta": -slope("time_scale", 1e-3),
    }
    for plan in (Plan(paths=2**15, seed=4), Plan(paths=2**15, seed=4, sampling=Sobol(scrambles=32))):
        found = sensitivities(contract, cases.VOL, cases.FLAT, greeks=GREEKS, estimator=Preintegrated(), plan=plan)
        for g in GREEKS:
            share = 0.1 if family is AsianDigital else 1.0
            assert abs(found[g].value - truth[g]) < 4.0 * found[g].stderr + 1e-8 * cases.SCALE[g], (g, found[g], truth[g])
            assert found[g].stderr < 1e-5 * share * cases.SCALE[g], (g, found[g])


@pytest.mark.parametrize("name", [*cases.SAMPLED])
def test_agrees_with_the_likelihood_ratio(name):
    contract = cases.SAMPLED[name]
    found = sensitivities(
        contract, cases.VOL, cases.CURVE, greeks=GREEKS, estimator=Preintegrated(), plan=Plan(paths=2**14, seed=1)
    )
    other = sensitivities(
        contract, cases.VOL, cases.CURVE, greeks=GREEKS, estimator=Controlled(LikelihoodRatio()), plan=Plan(paths=2**17, seed=2)
    )
    for g in GREEKS:
        assert abs(found[g].value - other[g].value) < 4.0 * math.hypot(found[g].stderr, other[g].stderr), g
        assert found[g].stderr < 1e-5 * cases.SCALE[g] * (10.0 if "left out" in found[g].note else 1.0), (g, found[g])


OWN = ("d_v0", "d_kappa", "d_theta", "d_xi", "d_rho")


@pytest.mark.parametrize("family", [Asian, AsianDigital])
def test_agrees_with_the_exact_value_under_heston(family):
    contract = family(option="call", strike=101.0, fixings=schedule(6, 1.0), average="geometric", past_fixings=(103.0,))
    truth = sensitivities(contract, HESTON, cases.CURVE, greeks=(*GREEKS, *OWN), estimator=Exact())
    plan = Plan(paths=2**14, seed=3, steps_per_year=128)
    found = sensitivities(contract, HESTON, cases.CURVE, greeks=(*GREEKS, *OWN), estimator=Preintegrated(), plan=plan)
    scale = cases.SCALE | dict.fromkeys(OWN, 0.0) | {"d_v0": 50.0, "d_theta": 20.0, "d_kappa": 0.3, "d_xi": 2.0, "d_rho": 2.0}
    for g in (*GREEKS, *OWN):
        assert abs(found[g].value - truth[g].value) < 4.0 * found[g].stderr, (g, found[g], truth[g].value)
        assert found[g].stderr < 0.05 * scale[g], (g, found[g])


@pytest.mark.parametrize("family", [Asian, AsianDigital])
def test_agrees_with_the_likelihood_ratio_under_heston_and_is_far_more_precise(family):
    contract = family(option="put", strike=101.0, fixings=schedule(12, 1.0))
    plan = Plan(paths=2**15, seed=3, steps_per_year=24)
    names = (*GREEKS, *OWN)
    found, plain, other = (
        sensitivities(contract, HESTON, cases.CURVE, greeks=names, estimator=e, plan=plan)
        for e in (Controlled(Preintegrated()), Preintegrated(), Controlled(LikelihoodRatio()))
    )
    for g in names:
        assert abs(found[g].value - other[g].value) < 4.5 * math.hypot(found[g].stderr, other[g].stderr), (g, found[g], other[g])
        assert abs(found[g].value - plain[g].value) < 4.5 * plain[g].stderr, (g, found[g], plain[g])
        assert found[g].stderr < 0.35 * plain[g].stderr, (g, found[g], plain[g])
        assert found[g].stderr < (1.0 if g == "price" else 0.3) * other[g].stderr, (g, found[g], other[g])


def test_intervals_without_variance_do_no_harm():
    """Full truncation leaves some paths without variance for a while."""
    contract, names = Asian(option="call", strike=100.0, fixings=DATES), ("price", "delta", "gamma", "rho", "d_rho")
    model = replace(HESTON, kappa=0.5, xi=1.0, scheme=FullTruncationEuler())
    plan = Plan(paths=2**15, seed=3, steps_per_year=52)
    found, other = (
        sensitivities(contract, model, cases.CURVE, greeks=names, estimator=e, plan=plan) for e in (Preintegrated(), Pathwise())
    )
    for g in names:
        assert abs(found[g].value - other[g].value) < 4.5 * other[g].stderr, (g, found[g], other[g])
        assert found[g].stderr < other[g].stderr, (g, found[g], other[g])


@pytest.mark.parametrize("family", [Asian, AsianDigital])
def test_weekly_fixings_gain_a_thousand_standard_errors(family):
    contract, plan = family(option="call", strike=100.0, fixings=WEEKLY), Plan(paths=2**14, seed=5)
    found = sensitivities(contract, cases.VOL, cases.FLAT, greeks=GREEKS, estimator=Preintegrated(), plan=plan)
    plain = sensitivities(contract, cases.VOL, cases.FLAT, greeks=GREEKS, estimator=LikelihoodRatio(), plan=plan)
    sobol = Plan(paths=2**14, seed=5, sampling=Sobol(scrambles=32))
    quasi = sensitivities(contract, cases.VOL, cases.FLAT, greeks=GREEKS, estimator=Preintegrated(), plan=sobol)
    for g in GREEKS:
        assert found[g].stderr < 1e-3 * plain[g].stderr, (g, found[g], plain[g])
        assert quasi[g].stderr < 0.7 * found[g].stderr, (g, quasi[g], found[g])
        assert abs(quasi[g].value - found[g].value) < 5.0 * math.hypot(quasi[g].stderr, found[g].stderr), g


def test_a_volatility_that_makes_tails_heavy():
    """Call less put is the forward, for vega too: without the forward's own derivative as a control the call's runs away."""
    terms, plan = {"strike": 110.0, "fixings": schedule(20, 5.0)}, Plan(paths=2**15, seed=3)
    names = ("price", "delta", "gamma", "vega", "theta")
    call, put = (
        sensitivities(
            Asian(option=o, **terms), replace(cases.VOL, vol=2.0), cases.FLAT, greeks=names, estimator=Preintegrated(), plan=plan
        )
        for o in ("call", "put")
    )
    for g in ("vega", "gamma"):
        assert call[g].value == pytest.approx(put[g].value, rel=1e-9)
        assert call[g].stderr < 4e-3 * abs(call[g].value), call[g]


@pytest.mark.parametrize("strike", [3.0, 40.0, 250.0, 1000.0])
def test_strikes_far_away(strike):
    terms = {"strike": strike, "fixings": DATES}
    forward = math.exp(-0.05) * (100.0 * np.mean(np.exp(0.03 * np.array(DATES))) - strike)
    call, put = (
        sensitivities(Asian(option=o, **terms), cases.VOL, cases.FLAT, estimator=Preintegrated(), plan=Plan(paths=2**10, seed=1))
        for o in ("call", "put")
    )
    digital = sensitivities(
        AsianDigital(option="call", **terms), cases.VOL, cases.FLAT, estimator=Preintegrated(), plan=Plan(paths=2**10, seed=1)
    )
    assert call["price"].value - put["price"].value == pytest.approx(forward, abs=1e-8)
    assert digital["price"].value == pytest.approx(math.exp(-0.05) * (strike < 100.0), abs=1e-4)
    assert all(math.isfinite(e.value) for f in (call, put, digital) for e in f.values())
    assert all(e.resolved or "error not known: about" in e.note for f in (call, put, digital) for e in f.values())


def test_past_fixings_that_are_above_the_strike_alone():
    terms = {"strike": 100.0, "fixings": (0.5, 1.0), "past_fixings": (250.0, 180.0)}
    call, put = (
        sensitivities(
            Asian(option=o, **terms),
            cases.VOL,
            cases.FLAT,
            greeks=GREEKS,
            estimator=Preintegrated(),
            plan=Plan(paths=512, seed=1),
        )
        for o in ("call", "put")
    )
    discounted = 0.25 * math.exp(-0.05) * np.array([math.exp(0.015), math.exp(0.03)])
    assert call["price"].value == pytest.approx(100.0 * discounted.sum() + math.exp(-0.05) * 7.5, rel=1e-9)
    assert call["delta"].value == pytest.approx(discounted.sum(), rel=1e-9)
    assert abs(call["vega"].value) < 1e-5
    assert call["gamma"].value == 0.0
    assert [put[g].value for g in GREEKS] == [0.0] * len(GREEKS)
    digital = sensitivities(
        AsianDigital(option="call", **terms),
        cases.VOL,
        cases.FLAT,
        greeks=GREEKS,
        estimator=Preintegrated(),
        plan=Plan(paths=512),
    )
    assert digital["price"].value == pytest.approx(math.exp(-0.05), rel=1e-12)
    assert digital["delta"].value == digital["gamma"].value == digital["vega"].value == 0.0


def test_a_claim_on_the_last_date_of_a_longer_path():
    contract = Asian(option="call", strike=100.0, fixings=DATES)
    last = European(option="call", strike=95.0, expiry=1.0)
    names = ("price", "delta", "gamma", "vega", "rho", "theta")
    controlled = Controlled(Preintegrated(), claims=(last,))
    for model, steps in ((cases.VOL, 1), (HESTON, 64)):
        plan = Plan(paths=2**13, seed=2, steps_per_year=steps)
        found = sensitivities(contract, model, cases.FLAT, greeks=names, estimator=controlled, plan=plan)
        plain = sensitivities(contract, model, cases.FLAT, greeks=names, estimator=Preintegrated(), plan=plan)
        for g in names:
            assert abs(found[g].value - plain[g].value) < 4.0 * plain[g].stderr, (g, found[g], plain[g])
            if model is HESTON:
                assert found[g].stderr < plain[g].stderr


def test_what_it_refuses():
    def ask(contract, name):
        sensitivities(contract, cases.VOL, cases.FLAT, greeks=(name,), estimator=Preintegrated())

    barrier = Barrier(option="call", strike=100.0, barrier=90.0, kind="down-and-out", monitoring=DATES)
    with pytest.raises(NotApplicable, match=r"options and digitals on an average, not barrier; use LikelihoodRatio\(\)"):
        ask(barrier, "delta")
    with pytest.raises(NotApplicable, match=r"preintegrated has no vanna; use LikelihoodRatio\(\) or FiniteDifference\(\)"):
        ask(Asian(option="call", strike=100.0, fixings=DATES), "vanna")


def test_without_noise_there_is_nothing_to_control():
    """Claims that the estimator knows without error are no controls: what rounding leaves of them must have no weight."""
    plan = Plan(paths=2**12, seed=6)
    contract = Asian(option="call", strike=100.0, fixings=WEEKLY)
    with_controls, without = (
        sensitivities(contract, cases.VOL, cases.FLAT, greeks=GREEKS, estimator=e, plan=plan)
        for e in (Controlled(Preintegrated()), Preintegrated())
    )
    for g in GREEKS:
        assert with_controls[g].value == pytest.approx(without[g].value, rel=1e-9)
        assert with_controls[g].stderr == pytest.approx(without[g].stderr, rel=1e-6)
    with pytest.raises(InvalidInput, match="must look at"):
        Controlled(Pathwise(), claims=(European(option="call", strike=1.0, expiry=0.3),)).sample_spec(*_asked(contract, plan))


def _asked(contract, plan):
    from greeks.greek import greek
    from pricers.models.scenario import Scenario

    return greek("delta", cases.VOL), contract, Scenario(model=cases.VOL, market=cases.FLAT), plan


@pytest.mark.slow
@pytest.mark.parametrize("sampling", [{}, {"sampling": Sobol(scrambles=32)}], ids=["pseudo-random", "Sobol"])
@pytest.mark.parametrize("family", [Asian, AsianDigital])
def test_intervals_cover_the_truth(family, sampling):
    contract = family(option="call", strike=100.0, fixings=DATES)
    precise = Plan(paths=2**19, seed=99, sampling=Sobol(scrambles=32))
    truth = sensitivities(contract, cases.VOL, cases.FLAT, greeks=GREEKS, estimator=Preintegrated(), plan=precise)
    quantile = 2.0395 if sampling else 1.96
    inside = dict.fromkeys(GREEKS, 0)
    for seed in range(300):
        plan = Plan(paths=2**14, seed=seed, **sampling)
        found = sensitivities(contract, cases.VOL, cases.FLAT, greeks=GREEKS, estimator=Preintegrated(), plan=plan, threads=1)
        for g in GREEKS:
            assert truth[g].stderr < 0.5 * found[g].stderr
            inside[g] += abs(found[g].value - truth[g].value) < quantile * math.hypot(found[g].stderr, truth[g].stderr)
    assert all(0.91 <= hits / 300 <= 0.985 for hits in inside.values()), inside
