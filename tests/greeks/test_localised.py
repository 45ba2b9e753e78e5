"""Jumps spread over a width: where payoffs say they jump, the localised likelihood ratio, and relaxation with its measured bias."""

import math
from dataclasses import replace

import cases
import numpy as np
import pytest

from greeks import (
    Combined,
    Controlled,
    Exact,
    InvalidInput,
    LikelihoodRatio,
    Localised,
    NotApplicable,
    Relaxed,
    crosscheck,
    sensitivities,
)
from pricers import AsianDigital, Barrier, Digital, European, Heston, PathFunction, Plan, schedule
from pricers.paths.discounting import Discounting
from pricers.paths.paths import Law, Paths
from pricers.random_numbers.path_block import Block, ObservationDates

GREEKS = ("price", "delta", "gamma", "vega", "rho", "theta", "dividend_rho")
DATES = (0.2, 0.45, 0.5)
JUMPING = {name: c for name, c in (cases.EXACT | cases.SAMPLED).items() if c.discontinuous} | {
    kind: Barrier(option="call", strike=99.0, barrier=level, kind=kind, monitoring=DATES, rebate=2.0)
    for kind, level in (("down-and-out", 92.0), ("down-and-in", 92.0), ("up-and-out", 111.0), ("up-and-in", 111.0))
}
WEEKLY = AsianDigital(option="call", strike=100.0, fixings=schedule(52, 1.0))


def found(contract, estimator, names=GREEKS, model=cases.VOL, market=cases.FLAT, **plan):
    settings = {"paths": 2**15, "seed": 11} | plan
    return sensitivities(contract, model, market, greeks=names, estimator=estimator, plan=Plan(**settings))


def block_of(contract):
    block = Block(seed=5, stream="", time_grid=contract.times, first=0, n_paths=256)
    return cases.VOL.paths(block, ObservationDates(contract.times, contract.times), cases.FLAT)


@pytest.mark.parametrize("name", JUMPING)
def test_a_payoff_is_what_its_discontinuity_says(name):
    contract = JUMPING[name]
    path = block_of(contract)
    discontinuity = contract.discontinuity
    below, above = discontinuity.sides(path)
    paid = np.where(discontinuity.distance(path) > 0.0, above, below)
    assert paid == pytest.approx(contract.payoff(path), rel=1e-15)
    assert len(np.unique(discontinuity.distance(path) > 0.0)) == 2


@pytest.mark.parametrize("name", JUMPING)
@pytest.mark.parametrize("shape", ["[time, path]", "[time, 1]"])
def test_the_slopes_of_a_discontinuity_are_differences(name, shape):
    contract = JUMPING[name]
    path, h = block_of(contract), 1e-6
    rng = np.random.default_rng(2)
    tangent = rng.normal(size=(len(contract.times), path.spot.shape[1] if shape == "[time, path]" else 1))

    class Written(Law):
        def score(self, parameters):
            raise AssertionError

        def tangent(self, parameter):
            return tangent

    def moved(by):
        spot = path.spot * np.exp(by * tangent)
        return Paths(
            times=path.times, n_paths=path.n_paths, spot=lambda: spot, discounting=Discounting((1.0,), (0.0,)), law=Written()
        )

    discontinuity, here = contract.discontinuity, moved(0.0)
    for slope, value in (
        (discontinuity.distance_slope(here, "vol"), discontinuity.distance),
        (discontinuity.side_slopes(here, "vol")[0], lambda p: discontinuity.sides(p)[0]),
        (discontinuity.side_slopes(here, "vol")[1], lambda p: discontinuity.sides(p)[1]),
    ):
        difference = (np.asarray(value(moved(h))) - np.asarray(value(moved(-h)))) / (2.0 * h)
        assert np.broadcast_to(slope, difference.shape) == pytest.approx(difference, rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("width", [0.005, 0.05, 0.5], ids=str)
@pytest.mark.parametrize("name", ["digital call", "geometric asian digital call", "down-and-out call", "up-and-in put"])
def test_every_width_is_unbiased(name, width):
    contract = cases.EXACT[name]
    truth = sensitivities(contract, cases.VOL, cases.FLAT, greeks=GREEKS, estimator=Exact())
    got = found(contract, Localised(width=width), paths=2**17)
    for g in GREEKS:
        assert abs(got[g].value - truth[g].value) < 4.0 * got[g].stderr, (g, got[g], truth[g].value)
        assert got[g].stderr < 0.15 * cases.SCALE[g], (g, got[g])


def test_the_widths_together_are_better_than_each_and_than_the_likelihood_ratio():
    plain, fitted = found(WEEKLY, LikelihoodRatio()), found(WEEKLY, Localised())
    single = [found(WEEKLY, Localised(width=w)) for w in (0.003, 0.0125, 0.05, 0.2)]
    for g in ("delta", "gamma", "vega", "rho", "theta"):
        assert fitted[g].stderr < 1.02 * min(e[g].stderr for e in (plain, *single)), g
    assert fitted["delta"].stderr < 0.5 * plain["delta"].stderr
    assert fitted["vega"].stderr < 0.2 * plain["vega"].stderr
    assert fitted["theta"].stderr < 0.2 * plain["theta"].stderr


def test_localised_under_heston():
    model = Heston(v0=0.04, kappa=1.5, theta=0.05, xi=0.5, rho=-0.7)
    contract, names = Digital(option="put", strike=98.0, expiry=0.5, cash=10.0), ("delta", "vega", "rho", "d_kappa", "d_rho")
    truth = sensitivities(contract, model, cases.FLAT, greeks=names, estimator=Exact())
    got = found(contract, Localised(), names, model, paths=2**16, steps_per_year=64)
    for g in names:
        assert abs(got[g].value - truth[g].value) < 4.0 * got[g].stderr, (g, got[g], truth[g].value)
        assert got[g].stderr < 0.1 * abs(truth[g].value), (g, got[g], truth[g].value)


def test_second_derivatives_by_score():
    contract = cases.EXACT["digital call"]
    truth = sensitivities(contract, cases.VOL, cases.FLAT, greeks=("vanna",), estimator=Exact())
    got = found(contract, Localised(), ("vanna",), paths=2**17)
    assert abs(got["vanna"].value - truth["vanna"].value) < 4.0 * got["vanna"].stderr
    assert got["vanna"].stderr < 0.05


@pytest.mark.parametrize("estimator", [Localised(), Relaxed()], ids=lambda e: e.name)
def test_what_they_refuse(estimator):
    def ask(contract, name="delta", asked=estimator):
        found(contract, asked, (name,))

    with pytest.raises(NotApplicable, match=r"the european payoff has none; use Pathwise\(\)"):
        ask(European(option="call", strike=100.0, expiry=1.0))
    with pytest.raises(NotApplicable, match=r"the barrier payoff has none; use Pathwise\(\)"):
        ask(cases.EXACT["touched down-and-in call"])
    with pytest.raises(NotApplicable, match=r"does not say where; use LikelihoodRatio\(\)"):
        ask(PathFunction(lambda spot: 1.0 * (spot[-1] > 100.0), times=(1.0,), over="paths"))
    with pytest.raises(NotApplicable, match=r"has no volga; use LikelihoodRatio\(\)"):
        ask(cases.EXACT["digital call"], "volga")
    for width in (0.0, -1.0, math.nan):
        with pytest.raises(InvalidInput, match=r"^width must"):
            replace(estimator, width=width)


WIDE = 0.1


@pytest.mark.parametrize("name", ["digital call", "geometric asian digital call", "down-and-out call"])
def test_a_relaxed_payoff_is_biased_and_says_by_how_much(name):
    contract = cases.EXACT[name]
    truth = sensitivities(contract, cases.VOL, cases.FLAT, greeks=GREEKS, estimator=Exact())
    wide, narrow = (found(contract, Relaxed(width=w), paths=2**17) for w in (WIDE, WIDE / 4))
    seen = 0
    for g in GREEKS:
        bias = wide[g].value - truth[g].value
        assert abs(bias) < 4.0 * wide[g].stderr + 1.5 * wide[g].bias, (g, wide[g], bias)
        if abs(bias) > 5.0 * wide[g].stderr:
            seen += 1
            spread = math.hypot(wide[g].bias_stderr, wide[g].stderr)
            assert abs(wide[g].bias - abs(bias)) < 4.0 * spread + 0.35 * abs(bias), (g, wide[g], bias)
        assert abs(narrow[g].value - truth[g].value) < 4.0 * narrow[g].stderr + 0.25 * abs(bias) + narrow[g].bias
    assert seen >= 3
    assert wide["delta"].note == "width 0.1"
    assert wide["delta"].stderr < narrow["delta"].stderr


@pytest.mark.parametrize("estimator", [Relaxed(), Relaxed(width=WIDE)], ids=["default", "wide"])
def test_a_relaxed_payoff_is_never_the_reference_and_allowed_its_bias(estimator):
    methods = (LikelihoodRatio(), Localised(), estimator)
    for contract in (WEEKLY, cases.EXACT["down-and-out call"]):
        table = crosscheck(contract, cases.VOL, cases.FLAT, estimators=methods, plan=Plan(paths=2**15, seed=4))
        relaxed = table[table.estimator == "relaxed"]
        assert set(relaxed.verdict) <= {"agree", "too weak to tell"}
        assert set(table[table.verdict == "reference"].estimator) <= {"likelihood_ratio", "localised"}
    with pytest.raises(InvalidInput, match="unbiased"):
        Controlled(estimator)
    with pytest.raises(InvalidInput, match="unbiased"):
        Combined(LikelihoodRatio(), estimator)


def test_a_bias_that_is_not_measured_would_be_seen():
    """The verdict's allowance is the measured bias and no more: without it, the wide one differs."""
    table = crosscheck(
        cases.EXACT["digital call"],
        cases.VOL,
        cases.FLAT,
        greeks=("delta", "vega"),
        estimators=(Exact(), Relaxed(width=WIDE)),
        plan=Plan(paths=2**16, seed=4),
    )
    for row in table[table.estimator == "relaxed"].itertuples():
        assert row.verdict == "too weak to tell"  # it is allowed so much that hardly a difference would count
        assert abs(row.z) < 3.0
        exact = float(table[(table.greek == row.greek) & (table.estimator == "exact")].value.iloc[0])
        assert abs(row.value - exact) > 4.0 * row.stderr


def test_the_default_width_has_a_bias_that_is_small_beside_the_error():
    contract = cases.EXACT["geometric asian digital call"]
    truth = sensitivities(contract, cases.VOL, cases.FLAT, greeks=GREEKS, estimator=Exact())
    got = found(contract, Relaxed(), paths=2**17)
    for g in GREEKS:
        assert abs(got[g].value - truth[g].value) < 4.0 * got[g].stderr, (g, got[g], truth[g].value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digital call", "seasoned geometric asian digital put", "down-and-out call", "up-and-in put"])
def test_intervals_of_one_width_cover_the_truth(name):
    contract = cases.EXACT[name]
    truth = sensitivities(contract, cases.VOL, cases.FLAT, greeks=GREEKS, estimator=Exact())
    inside = dict.fromkeys(GREEKS, 0)
    for seed in range(500):
        got = found(contract, Localised(width=0.05), paths=2**14, seed=seed)
        for g in GREEKS:
            inside[g] += abs(got[g].value - truth[g].value) < 1.96 * got[g].stderr
    assert all(0.92 <= hits / 500 <= 0.98 for hits in inside.values()), inside
