"""Greeks of a user's own payoff: today's spot in it, pathwise Greeks without a gradient, errors before any path."""

import math
from dataclasses import replace

import cases
import numpy as np
import pytest

from greeks import (
    Auto,
    FiniteDifference,
    InvalidInput,
    LikelihoodRatio,
    NotApplicable,
    Pathwise,
    crosscheck,
    sensitivities,
)
from greeks.engine.run import answer
from greeks.engine.tasks import GreekTask
from greeks.greek import greek
from pricers import GBM, Asian, European, Heston, Market, PathFunction, Plan, PseudoRandom, schedule
from pricers.contracts import path_function
from pricers.exact import exact_greeks
from pricers.models.scenario import Scenario

MARKET, MODEL = Market(spot=100.0, rate=0.05, dividend=0.02), GBM(vol=0.2)
HESTON = Heston(v0=0.04, kappa=1.5, theta=0.05, xi=0.4, rho=-0.6)
MONTHLY = schedule(12, 1.0)
PLAN = Plan(paths=2**16, seed=3)


def found(contract, estimator, greeks=("delta",), model=MODEL, plan=PLAN):
    return sensitivities(contract, model, MARKET, greeks=greeks, estimator=estimator, plan=plan)


# today's spot: a payoff of degree one in all spots is worth S0 times a constant


def at_the_money(path, initial_spot):
    return max(path[-1] - initial_spot, 0.0)


def at_the_money_over_paths(spot, initial_spot):
    return np.maximum(spot[-1] - initial_spot, 0.0)


def floating_fall(path, initial_spot):
    return max(initial_spot, path.max()) - path[-1]


@pytest.mark.parametrize("estimator", [LikelihoodRatio(), Pathwise(), FiniteDifference()], ids=lambda e: e.name)
@pytest.mark.parametrize(
    ("function", "over"), [(at_the_money, "path"), (at_the_money_over_paths, "paths"), (floating_fall, "path")]
)
def test_delta_of_a_payoff_that_knows_todays_spot(function, over, estimator):
    contract = PathFunction(function, times=MONTHLY, over=over, continuous=True)
    got = found(contract, estimator, ("price", "delta"))
    # the same paths give price and delta: their difference has hardly an error beside that of delta
    assert abs(got["delta"].value - got["price"].value / 100.0) < 4.0 * math.hypot(
        got["delta"].stderr, got["price"].stderr / 100.0
    )
    assert got["delta"].stderr < (0.02 if estimator.name == "likelihood_ratio" else 0.0006)
    # what payoff times score alone says, today's spot as a term, is another number: 0.59 for 0.09, -0.03 for 0.12
    frozen = found(PathFunction(function, times=MONTHLY, over=over, continuous=True, initial_spot=100.0), estimator)
    assert abs(frozen["delta"].value - got["delta"].value) > 0.1


def test_delta_and_vanna_are_exact():
    contract = PathFunction(at_the_money, times=(1.0,), continuous=True)
    exact = exact_greeks(European(option="call", strike=100.0, expiry=1.0), MODEL, MARKET)
    delta, vanna = exact["price"] / 100.0, exact["vega"] / 100.0
    for estimator, errors in (
        (LikelihoodRatio(), (0.003, 0.06)),
        (Pathwise(), (4e-4, 0.006)),
        (FiniteDifference(), (4e-4, 0.006)),
    ):
        got = found(contract, estimator, ("delta", "vanna"), plan=Plan(paths=2**18, seed=5))
        for name, truth, most in (("delta", delta, errors[0]), ("vanna", vanna, errors[1])):
            assert abs(got[name].value - truth) < 4.0 * got[name].stderr, (estimator.name, name)
            assert got[name].stderr < most, (estimator.name, name)


@pytest.mark.parametrize("estimator", [Pathwise(), FiniteDifference()], ids=lambda e: e.name)
def test_delta_of_a_homogeneous_payoff_under_heston_is_price_over_spot_on_each_path(estimator):
    contract = PathFunction(floating_fall, times=schedule(4, 1.0), continuous=True)
    got = found(contract, estimator, ("price", "delta"), model=HESTON, plan=Plan(paths=2**12, seed=1))
    assert got["delta"].value == pytest.approx(got["price"].value / 100.0, rel=1e-8)
    assert got["delta"].stderr == pytest.approx(got["price"].stderr / 100.0, rel=1e-8)


def above_today(path, initial_spot, cash):
    return cash if path[-1] > initial_spot else 0.0


def test_a_digital_on_todays_spot_has_no_delta_and_payoff_times_score_is_refused():
    contract = PathFunction(above_today, times=(0.5, 1.0), cash=10.0)
    with pytest.raises(NotApplicable, match=r"depends on today's spot itself .* use FiniteDifference\(\)"):
        found(contract, LikelihoodRatio())
    for name in ("gamma", "vanna"):
        with pytest.raises(NotApplicable, match=r"use FiniteDifference\(\)"):
            found(contract, LikelihoodRatio(), (name,))
    assert found(contract, FiniteDifference())["delta"].value == 0.0
    # frozen, it is an ordinary digital
    frozen = found(PathFunction(above_today, times=(0.5, 1.0), cash=10.0, initial_spot=100.0), LikelihoodRatio())["delta"]
    assert frozen.value > 0.1
    # what does not move the spot keeps its score
    vega = found(contract, LikelihoodRatio(), ("vega", "rho"))
    exact = exact_greeks(cases.EXACT["digital call"].__class__(option="call", strike=100.0, expiry=1.0, cash=10.0), MODEL, MARKET)
    for name in ("vega", "rho"):
        assert abs(vega[name].value - exact[name]) < 4.0 * vega[name].stderr
        assert vega[name].stderr < 0.02 * abs(exact["rho"])


@pytest.mark.parametrize("estimator", [LikelihoodRatio(), Pathwise()], ids=lambda e: e.name)
def test_gamma_of_a_payoff_that_knows_todays_spot_is_refused(estimator):
    with pytest.raises(NotApplicable, match=r"use FiniteDifference\(\)"):
        found(PathFunction(at_the_money, times=(1.0,), continuous=True), estimator, ("gamma",))


def test_gamma_of_a_homogeneous_payoff_by_differences_is_nil():
    got = found(PathFunction(at_the_money, times=(1.0,), continuous=True), FiniteDifference(), ("gamma",))["gamma"]
    assert abs(got.value) < 1e-9


def test_a_crosscheck_never_differs_because_of_todays_spot():
    table = crosscheck(PathFunction(above_today, times=(0.5, 1.0), cash=10.0), MODEL, MARKET, greeks=("delta", "vega"), plan=PLAN)
    assert "differ" not in set(table.verdict)
    ratio = table[(table.greek == "delta") & (table.estimator == "likelihood_ratio")].iloc[0]
    assert ratio.verdict == "not comparable"
    assert math.isnan(ratio.value)


def test_a_gradient_beside_todays_spot():
    def by_spot(spot, initial_spot):
        slopes = np.zeros_like(spot)
        slopes[-1] = spot[-1] > initial_spot
        return slopes

    given = PathFunction(at_the_money, times=(0.5, 1.0), gradient=by_spot)
    bumped = PathFunction(at_the_money, times=(0.5, 1.0), continuous=True)
    one, other = (found(contract, Pathwise(), ("delta", "vega")) for contract in (given, bumped))
    for name in ("delta", "vega"):
        assert abs(one[name].value - other[name].value) < 0.01 * other[name].stderr  # a path or two within a bump of the kink


# continuous=True: the same as a hand-written derivative, path by path


def asian(path, k):
    return max(path.mean() - k, 0.0)


def asian_over_paths(spot, k):
    return np.maximum(spot.mean(axis=0) - k, 0.0)


GREEKS = ("price", "delta", "gamma", "vega", "rho", "theta", "dividend_rho", "vanna")


@pytest.mark.parametrize(("function", "over"), [(asian, "path"), (asian_over_paths, "paths")])
@pytest.mark.parametrize("model", [MODEL, HESTON], ids=lambda m: m.kind)
def test_pathwise_greeks_without_a_gradient(function, over, model):
    greeks = GREEKS if model is MODEL else (*GREEKS[:-1], "d_xi", "d_rho", "d_theta")
    plan = Plan(paths=2**14, seed=4)
    own = found(PathFunction(function, times=MONTHLY, over=over, continuous=True, k=100.0), Pathwise(), greeks, model, plan)
    built_in = found(Asian(option="call", strike=100.0, fixings=MONTHLY), Pathwise(), greeks, model, plan)
    for name in greeks:
        assert abs(own[name].value - built_in[name].value) < 1e-3 * built_in[name].stderr, name
        assert own[name].stderr == pytest.approx(built_in[name].stderr, rel=1e-4), name
        assert own[name].note == ("payoff bumped along the path by 6e-06" if name != "price" else ""), name


def test_the_bias_of_the_bump_is_small_beside_any_error(monkeypatch):
    contract = PathFunction(asian, times=MONTHLY, continuous=True, k=100.0)
    names = ("delta", "vega", "gamma")
    one = found(contract, Pathwise(), names)
    monkeypatch.setattr(path_function, "_BUMP", 16.0 * path_function._BUMP)
    wide = found(contract, Pathwise(), names)
    for name in names:
        assert one[name].value != wide[name].value
        assert abs(one[name].value - wide[name].value) < 0.01 * one[name].stderr
    # of a smooth payoff the bias falls with the square of the bump: 256 times 4e-11, and rounding
    smooth = PathFunction(lambda path: math.exp(path[-1] / 100.0), times=(0.5, 1.0), continuous=True)
    wide_value = found(smooth, Pathwise())["delta"].value
    monkeypatch.undo()
    assert found(smooth, Pathwise())["delta"].value == pytest.approx(wide_value, rel=1e-7)


def test_the_derivative_does_not_depend_on_blocks_or_threads():
    contract = PathFunction(asian, times=MONTHLY, continuous=True, k=100.0)
    one, other = (
        sensitivities(contract, MODEL, MARKET, greeks=("delta", "vega"), estimator=Pathwise(), plan=PLAN, threads=threads)
        for threads in (1, 2)
    )
    assert [e.value for e in one.values()] == [e.value for e in other.values()]


def test_auto_chooses_among_all_that_apply():
    def of(**printed):
        own = PathFunction(asian, times=MONTHLY, k=100.0, **printed)
        return found(own, Auto(), ("delta", "vega"), plan=replace(PLAN, sampling=PseudoRandom()))

    def gradient(spot, k):
        return (spot.mean(axis=0) > k) * np.ones_like(spot) / len(spot)

    blind, told, given = of(), of(continuous=True), of(gradient=gradient)
    for name in ("delta", "vega"):
        assert blind[name].estimator == "likelihood_ratio"
        assert told[name].estimator == given[name].estimator == "pathwise"
        assert "chosen over likelihood_ratio" in told[name].note
        assert told[name].stderr < 0.5 * blind[name].stderr


# what is wrong is said before any path is simulated


def digital(path, k):
    return 1.0 if path[-1] > k else 0.0


@pytest.mark.parametrize(
    ("contract", "printed"),
    [
        (lambda: PathFunction(digital, times=(0.5, 1.0), k=100.0, continuous=True), "digital jumps between 0 and 1"),
        (lambda: PathFunction(digital, times=(0.5, 1.0), k=100.0, gradient=lambda spot, k: 0.0 * spot), "digital jumps between"),
        (lambda: PathFunction(lambda path: path[12], times=MONTHLY), "IndexError: index 12 is out of bounds"),
    ],
)
@pytest.mark.parametrize("estimator", [None, LikelihoodRatio(), FiniteDifference(), Pathwise()])
def test_a_wrong_payoff_never_reaches_a_path(contract, printed, estimator, monkeypatch):
    def simulated(samplers, *args, **kwargs):
        assert not samplers, "paths were simulated"
        return []

    monkeypatch.setattr("greeks.engine.run.simulate", simulated)
    with pytest.raises(InvalidInput, match=printed):
        sensitivities(contract(), MODEL, MARKET, greeks=("delta",), estimator=estimator, plan=Plan(paths=2**12, seed=1))
    with pytest.raises(InvalidInput, match=printed):
        crosscheck(contract(), MODEL, MARKET, greeks=("delta",), plan=Plan(paths=2**12, seed=1))


def test_in_a_batch_a_wrong_payoff_is_a_reason():
    def task(contract):
        scenario = Scenario(model=MODEL, market=MARKET)
        return GreekTask(contract=contract, scenario=scenario, greeks=(greek("delta", MODEL),), estimators=(LikelihoodRatio(),))

    wrong = PathFunction(lambda path: path[12] if path[-1] > 140.0 else 0.0, times=MONTHLY)
    good = PathFunction(digital, times=MONTHLY, k=100.0)
    one, other = answer([task(wrong), task(good)], Plan(paths=2**12, seed=1), keep_going=True)
    assert isinstance(one, InvalidInput)
    assert "IndexError" in str(one)
    assert math.isfinite(other.estimates["delta", "likelihood_ratio"].value)
