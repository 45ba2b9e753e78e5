"""Where hardly a path pays, or hardly one does not: an honest answer is a number within its error, or none."""

import math

import cases
import numpy as np
import pytest

from greeks import (
    Auto,
    Best,
    Controlled,
    Exact,
    FiniteDifference,
    LikelihoodRatio,
    NotApplicable,
    Preintegrated,
    crosscheck,
    sensitivities,
)
from pricers import (
    Asian,
    AsianDigital,
    Barrier,
    Digital,
    European,
    Heston,
    Market,
    PathFunction,
    Plan,
    Sobol,
    exact_greeks,
    price,
    schedule,
)
from pricers.engine.estimate import symmetric

GREEKS = ("price", "delta", "gamma", "vega", "rho", "theta")
MARKET, VOL = cases.FLAT, cases.VOL
DEEP_PUT = Digital(option="put", strike=170.0, expiry=0.25)
NEVER_TOUCHED = Barrier(option="put", strike=100.0, barrier=50.0, kind="down-and-out", monitoring=schedule(12, 1.0))
THREE = schedule(3, 0.25)


def greeks(contract, estimator=None, names=GREEKS, model=VOL, market=MARKET, **plan):
    return sensitivities(contract, model, market, greeks=names, estimator=estimator, plan=Plan(**plan), threads=1)


def distance(found, truth):
    """In standard errors, or zero where none is claimed."""
    if not found.resolved:
        assert "error not known" in found.note
        return 0.0
    least = 1e-9 * max(abs(truth), 1e-3)
    return symmetric((found.value - truth) / max(found.stderr, least), found.skewness if found.stderr > least else 0.0)


@pytest.mark.parametrize("estimator", [LikelihoodRatio(), FiniteDifference(), Auto(), Best()], ids=lambda e: e.name)
def test_a_digital_that_always_pays(estimator):
    """The likelihood ratio's delta was -7e-19 +- 0, for -3.5e-8."""
    truth = exact_greeks(DEEP_PUT, VOL, MARKET)
    found = greeks(DEEP_PUT, estimator)
    assert all(abs(distance(found[g], truth[g])) < 4.5 for g in GREEKS), found
    if estimator.name in ("auto", "best"):
        assert all(found[g].value == pytest.approx(truth[g], rel=1e-9, abs=1e-15) for g in GREEKS)


def test_no_verdict_rests_on_paths_that_all_pay():
    table = crosscheck(DEEP_PUT, VOL, MARKET, greeks=GREEKS)
    assert not set(table.verdict) & {"differ"}
    differences = table[(table.estimator == "finite_difference")]
    assert set(differences.verdict) == {"too weak to tell"}
    assert differences.stderr.isna().all()
    assert differences.note.str.contains("error not known").all()


def test_own_payoffs_that_all_pay_alike():
    """Delta was 4e-17 +- 0 and finite differences agreed; the truth is -0.0012 for a cash of 1e4."""
    own = PathFunction(lambda spot: np.where(spot[-1] < 160.0, 1e4, 0.0), times=(0.25,), over="paths")
    truth = exact_greeks(Digital(option="put", strike=160.0, expiry=0.25, cash=1e4), VOL, MARKET)
    assert truth["delta"] == pytest.approx(-0.0037, abs=5e-3)
    for estimator in (LikelihoodRatio(), FiniteDifference(), Auto()):
        found = greeks(own, estimator, ("price", "delta", "vega"))
        assert all(abs(distance(found[g], truth[g])) < 4.5 for g in found), found
    table = crosscheck(own, VOL, MARKET, greeks=("price", "delta"))
    assert not set(table.verdict) & {"agree", "differ"}


@pytest.mark.parametrize(
    "contract",
    [
        AsianDigital(option="put", strike=135.0, fixings=THREE),
        AsianDigital(option="put", strike=130.0, fixings=THREE),
        Asian(option="call", strike=130.0, fixings=THREE),
    ],
    ids=["digital put 135", "digital put 130", "call 130"],
)
def test_a_pilot_that_sees_nothing_takes_what_needs_no_rare_path(contract):
    """It took zero variance for perfection, and the likelihood ratio for vega: -0.0011 +- 0.0012, for -0.00182946 +- 5e-8."""
    found = greeks(contract, Auto(), ("price", "delta", "vega", "rho"))
    apart = greeks(contract, Preintegrated(), ("price", "delta", "vega", "rho"), paths=2**17, seed=9)
    for name, estimate in found.items():
        assert "preintegrated" in estimate.estimator, estimate
        assert estimate.resolved
        assert apart[name].resolved
        assert abs(estimate.value - apart[name].value) < 4.5 * math.hypot(estimate.stderr, apart[name].stderr)
        assert estimate.stderr < 1e-2 * abs(estimate.value)


@pytest.mark.parametrize(
    "contract",
    [
        Barrier(option="put", strike=100.0, barrier=60.0, kind="down-and-in", monitoring=THREE),
        Digital(option="call", strike=140.0, expiry=0.25),
        NEVER_TOUCHED,
    ],
    ids=["down-and-in put 60", "digital call 140", "down-and-out put 50"],
)
def test_what_is_chosen_is_honest(contract):
    truth = exact_greeks(contract, VOL, MARKET)
    for seed in range(4):
        found = greeks(contract, Auto(), paths=2**14, seed=seed)
        assert all(abs(distance(found[g], truth[g])) < 5.0 for g in GREEKS), (seed, found)


@pytest.mark.parametrize("estimator", [Auto(), LikelihoodRatio(), Controlled(LikelihoodRatio())], ids=lambda e: e.name)
@pytest.mark.parametrize("paths", [2**12, 2**13])
def test_controls_that_explain_all_that_was_seen_leave_no_false_precision(estimator, paths):
    """Vega was 38.654 +- 3e-8, for 37.701, and beyond six stated errors in 9 of 20 seeds."""
    market = Market(spot=100.0, rate=0.03)
    truth = exact_greeks(NEVER_TOUCHED, VOL, market)
    for seed in range(20):
        found = greeks(NEVER_TOUCHED, estimator, market=market, paths=paths, seed=seed)
        assert all(abs(distance(found[g], truth[g])) < 5.0 for g in GREEKS), (seed, found)


def test_an_event_that_no_path_sees_reaches_no_target():
    """The price was 0 +- 0, target reached, for 0.025."""
    contract = Digital(option="call", strike=300.0, expiry=1.0, cash=1e6)
    for estimator in (LikelihoodRatio(), FiniteDifference()):
        found = greeks(contract, estimator, ("price",), stderr={"price": 1e-3}, max_paths=2**17)["price"]
        assert not found.resolved
        assert "not reached" in found.note
        assert "at most" in found.note
    exact = greeks(contract, None, ("price",), stderr={"price": 1e-3})["price"]
    assert (exact.estimator, exact.stderr) == ("exact", 0.0)


def test_a_target_is_not_reached_by_seeing_nothing():
    """Four of 400 seeds said 0 +- 0, target reached."""
    contract = Digital(option="call", strike=170.0, expiry=1.0, cash=10.0)
    truth = exact_greeks(contract, VOL, MARKET)["delta"]
    for seed in range(100):
        found = greeks(contract, LikelihoodRatio(), ("delta",), paths=256, seed=seed, stderr={"delta": 1e-3})["delta"]
        assert found.resolved
        assert found.stderr <= 1e-3
        assert abs(distance(found, truth)) < 5.0


@pytest.mark.parametrize("estimator", [LikelihoodRatio(), Auto()], ids=lambda e: e.name)
def test_stopping_at_a_target_leaves_the_mean(estimator):
    """At a probability of 4.7e-4, from 1,024 paths, the mean over seeds was 0.38 (likelihood ratio) and 0.67 of the truth."""
    own = PathFunction(lambda spot: 1.0 * (spot[-1] > 195.0), times=(1.0,), over="paths")
    truth = exact_greeks(Digital(option="call", strike=195.0, expiry=1.0), VOL, MARKET)["price"]
    assert truth == pytest.approx(4.7e-4, rel=0.2)
    found = [greeks(own, estimator, ("price",), paths=1024, seed=s, stderr={"price": 6e-5})["price"] for s in range(60)]
    assert all(e.resolved and e.stderr <= 6e-5 for e in found)
    mean, spread = np.mean([e.value for e in found]), np.std([e.value for e in found])
    assert abs(mean / truth - 1.0) < 0.05 + 3.0 * spread / truth / math.sqrt(60)
    assert spread / truth / math.sqrt(60) < 0.03


@pytest.mark.parametrize("paths", [2**11, 2**12])
def test_a_digital_on_one_date_under_sobol(paths):
    """The error was 0 in 16 of 300 seeds at 2**11, and 95 % intervals held 89 % at 2**12."""
    contract = cases.EXACT["digital call"]
    truth = exact_greeks(contract, VOL, MARKET)["price"]
    claimed, held, errors = 0, 0, []
    for seed in range(300):
        found = greeks(contract, LikelihoodRatio(), ("price",), paths=paths, seed=seed, sampling=Sobol())["price"]
        if found.resolved:
            assert found.stderr > 0.0
            low, high = found.interval()
            claimed, held = claimed + 1, held + (low <= truth <= high)
            errors.append(found.stderr)
    assert claimed >= 150  # elsewhere all scrambles have as many points beyond the strike
    assert held / claimed >= 0.92
    assert max(errors) < 0.02 * truth


def test_a_variance_that_no_path_survives():
    """All paths end at nothing, and the rare ones that carry the forward are never drawn: 0 +- 0, for 100."""
    wild = Heston(v0=25.0, kappa=1.0, theta=25.0, xi=0.5, rho=-0.5)
    call = European(option="call", strike=100.0, expiry=10.0)
    found = price(call, wild, Market(spot=100.0), method="simulation", plan=Plan(paths=2**12))
    assert not found.resolved


@pytest.mark.parametrize("option", ["call", "put"])
def test_a_second_difference_that_cancels_on_all_paths(option):
    """Rounding was a gamma of 1e-14 +- 1e-16, which differed from the formula's 3e-6 by 1e22 errors."""
    strike = 60.0 if option == "call" else 160.0
    contract = Asian(option=option, strike=strike, fixings=schedule(4, 0.25), average="geometric")
    found = greeks(contract, FiniteDifference(), ("gamma",), paths=2**12)["gamma"]
    assert (found.value, found.resolved) == (0.0, False)
    table = crosscheck(contract, VOL, MARKET, greeks=("gamma",), plan=Plan(paths=2**12))
    assert table.set_index("estimator").verdict["finite_difference"] == "too weak to tell"


def test_a_portfolio_of_two_paths_claims_nothing():
    found = greeks(cases.EXACT["european call"], LikelihoodRatio(), paths=2)
    assert not any(estimate.resolved for estimate in found.values())
    assert all(math.isfinite(estimate.value) for estimate in found.values())


@pytest.mark.slow
def test_no_false_precision_over_a_scan_of_moneyness():
    """Of 1,620 numbers at the default paths, 139 were beyond six of their errors, 95 with an error of zero."""
    beyond, claimed = [], 0
    for expiry in (1 / 52, 0.25, 1.0):
        for shift in np.linspace(-6.0, 6.0, 13):
            strike = 100.0 * math.exp(shift * 0.2 * math.sqrt(expiry))
            for option in ("call", "put"):
                for contract in (
                    European(option=option, strike=strike, expiry=expiry),
                    Digital(option=option, strike=strike, expiry=expiry, cash=10.0),
                    Asian(option=option, strike=strike, fixings=schedule(4, expiry), average="geometric"),
                ):
                    truth = exact_greeks(contract, VOL, MARKET)
                    for estimator in (Auto(), LikelihoodRatio(), Controlled(LikelihoodRatio())):
                        try:
                            found = greeks(contract, estimator)
                        except NotApplicable:
                            continue
                        for g in GREEKS:
                            claimed += found[g].resolved
                            if abs(distance(found[g], truth[g])) > 5.5:
                                beyond.append((contract, estimator.name, g, found[g], truth[g]))
    assert claimed > 1500
    assert not beyond


@pytest.mark.parametrize("seed", range(3))
def test_exact_is_what_best_takes(seed):
    contract = cases.EXACT["down-and-out call"]
    best, exact = greeks(contract, None, paths=64, seed=seed), greeks(contract, Exact())
    assert [(e.value, e.stderr, e.estimator) for e in best.values()] == [(e.value, 0.0, "exact") for e in exact.values()]
