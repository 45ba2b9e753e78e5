"""Heston: schemes against plain Python, Greeks against Fourier values, estimators against each other."""

import math
from dataclasses import replace

import naive_heston
import numpy as np
import pytest
from scipy.special import ndtr

from greeks import Exact, FiniteDifference, LikelihoodRatio, Pathwise, crosscheck, sensitivities
from greeks.estimators.estimator import Scene
from greeks.estimators.survival import OneStepSurvival
from greeks.greek import greek
from greeks.run import Job, answer
from pricers import (
    QE,
    Asian,
    Barrier,
    Digital,
    European,
    FullTruncationEuler,
    Heston,
    InvalidInput,
    Market,
    NotApplicable,
    PathFunction,
    Plan,
    Sobol,
    ZeroCurve,
    exact_greeks,
    price,
    schedule,
)
from pricers.draws import Block, Observation
from pricers.models.conditional import _scores, share_slope
from pricers.models.heston_scheme import SLOPES

MILD = Heston(v0=0.04, kappa=3.0, theta=0.05, xi=0.28, rho=-0.5)
FANG_OOSTERLEE = Heston(v0=0.0175, kappa=1.5768, theta=0.0398, xi=0.5751, rho=-0.5711)
BROADIE_KAYA = Heston(v0=0.010201, kappa=6.21, theta=0.019, xi=0.61, rho=-0.7)
DAX = Heston(v0=0.1454, kappa=5.8235, theta=0.0711, xi=1.5416, rho=-0.5716)
FELLER_4_PERCENT = Heston(v0=0.04, kappa=0.5, theta=0.04, xi=1.0, rho=-0.9)
UPWARD = Heston(v0=0.09, kappa=1.0, theta=0.06, xi=0.8, rho=0.4)
FROM_ZERO = Heston(v0=0.0, kappa=2.0, theta=0.05, xi=0.5, rho=-0.3)
MODELS = {
    "mild": MILD,
    "fang-oosterlee": FANG_OOSTERLEE,
    "dax": DAX,
    "feller ratio 0.04": FELLER_4_PERCENT,
    "upward": UPWARD,
    "from zero": FROM_ZERO,
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)

CURVE = Market(spot=100.0, rate=ZeroCurve(times=(0.3, 1.0, 16.0), rates=(0.01, 0.03, 0.03)), dividend=0.02)
OWN = ("d_v0", "d_kappa", "d_theta", "d_xi", "d_rho")
GREEKS = ("price", "delta", "gamma", "vega", "rho", "dividend_rho", "theta", *OWN)
LATTICE = (0.02, 0.05, 0.1, 0.11, 0.2, 0.4, 0.41, 0.45, 0.9, 1.0)
DATES = (0.05, 0.1, 0.4, 0.41, 1.0)


def block(lattice=LATTICE, lanes=300, **kwargs):
    return Block(seed=11, stream="", lattice=lattice, first=0, lanes=lanes, factors=2, **kwargs)


def numbers(model):
    return {name: getattr(model, name) for name in model.parameters}


def evolved(model, draws, parameters=(), *, stretch=1.0, slopes=True, nodes=None):
    return model.scheme.evolve(
        model,
        lattice=draws.lattice,
        nodes=np.arange(len(draws.lattice)) if nodes is None else np.array(nodes),
        stretch=stretch,
        noise=(draws.normals(0), draws.normals(1)),
        parameters=parameters,
        slopes=slopes,
    )


def z(estimate, truth):
    return (estimate.value - truth) / estimate.stderr


@pytest.mark.parametrize("scheme", [QE(), QE(switch="hard"), FullTruncationEuler()], ids=repr)
@every_model
def test_paths_against_plain_python(model, scheme):
    model, draws, stretch = replace(model, scheme=scheme), block(), 1.02
    observed = Observation(DATES, LATTICE)
    twin = {QE(): naive_heston.QEStep, FullTruncationEuler(): naive_heston.EulerStep}.get(
        scheme, lambda p, h: naive_heston.QEStep(p, h, smooth=False)
    )
    paths = model.paths(draws, observed, CURVE, stretch)
    growth = stretch * CURVE.log_growth(observed.times)
    for lane in range(0, 300, 7):
        shocks, normals = draws.normals(0)[:, lane].tolist(), draws.normals(1)[:, lane].tolist()
        steps = naive_heston.steps(twin, numbers(model), [stretch * t for t in LATTICE], shocks, normals)
        if all(sum(s2 for _, _, s2, _ in steps[a:b]) > 0.0 for a, b in ((0, 2), (2, 3), (3, 6), (6, 7), (7, 10))):
            returns = naive_heston.between(steps, observed.index.tolist())
            assert paths.spot[:, lane] == pytest.approx(naive_heston.spots(100.0, growth, returns), rel=1e-9)
    assert paths.log_discount == pytest.approx(stretch * float(CURVE.log_discount(1.0)), rel=1e-15)


def test_a_step_has_the_variance_s_mean_and_variance_and_the_spot_s_mean():
    lattice, lanes, v0 = (1 / 32,), 2**19, 0.0035
    for model in (FANG_OOSTERLEE, DAX, UPWARD):
        for start in (0.1 * v0, 0.5 * v0, v0, 2.0 * v0, 4.0 * v0, 30.0 * v0):
            model = replace(model, v0=start)
            for scheme in (QE(), QE(switch="hard")):
                path = evolved(replace(model, scheme=scheme), block(lattice, lanes))
                after = 2.0 * path.integral[0] / lattice[0] - start
                mean, variance = naive_heston.QEStep(numbers(model), lattice[0]).moments(start)
                assert abs(after.mean() - mean) < 4.0 * after.std() / math.sqrt(lanes)
                squares = (after - mean) ** 2
                assert abs(squares.mean() - variance) < 4.0 * squares.std() / math.sqrt(lanes)
                growth = np.exp(path.drift[0])
                assert abs(growth.mean() - 1.0) < 4.0 * growth.std() / math.sqrt(lanes)


@pytest.mark.parametrize("scheme", [QE(), FullTruncationEuler()], ids=repr)
@every_model
def test_slopes_against_central_differences_of_the_same_path(model, scheme):
    model, draws = replace(model, scheme=scheme), block(lanes=2000)
    path = evolved(model, draws, SLOPES)
    for place, name in enumerate(SLOPES):
        if name == "v0" and model.v0 == 0.0:
            continue
        h = 1e-6 * (1.0 if name == "time" else model.scale(name))
        up, down = (
            evolved(model, draws, stretch=1.0 + by) if name == "time" else evolved(model.bumped(name, by), draws)
            for by in (h, -h)
        )
        middle = evolved(model, draws)
        for found, key in ((path.integrals[place], "integral"), (path.drifts[place], "drift")):
            difference = (getattr(up, key) - getattr(down, key)) / (2.0 * h)
            one_sided = (getattr(up, key) - getattr(middle, key)) / h
            scale = np.abs(difference).max(axis=0) + 1e-3 * np.abs(difference).mean() + 1e-300
            error = np.abs(found - difference).max(axis=0) / scale
            kink = np.abs(one_sided - difference).max(axis=0) / scale > 1e-3  # an atom, or a variance of zero, within the bump
            assert kink.mean() < 0.02
            assert error[~kink].max() < (1e-6 if isinstance(scheme, QE) else 1e-4), (name, key)


def test_scores_made_on_the_way_have_the_bits_of_those_from_slopes():
    for nodes in (range(10), (0, 1, 4, 5, 6, 9), (3, 9), (9,)):
        for model in (MILD, FELLER_4_PERCENT):
            on_the_way = evolved(model, block(), SLOPES, slopes=False, nodes=nodes)
            kept = evolved(model, block(), SLOPES, nodes=nodes)
            out = np.empty((len(SLOPES), 300))
            widening = np.array([share_slope(model.rho, name) for name in SLOPES])
            rows = np.arange(len(nodes))
            sums = kept.walk, kept.integral, kept.drifts, kept.integrals
            _scores(1.0 - model.rho**2, widening, rows, *sums, out)
            assert np.array_equal(out, on_the_way.scores)


def test_what_was_foreseen_and_who_else_watches_changes_no_bit():
    observed, names = Observation(DATES, LATTICE), ("vol", "time", "d_rho"[2:], "kappa", "xi")
    found = []
    for draws in (
        block(),
        block(watched=observed.index),
        block(watched=observed.index, foreseen=frozenset((MILD, 1.0, name) for name in ("vol", "time"))),
        block(foreseen=frozenset((MILD, 1.0, name) for name in SLOPES)),
    ):
        paths = MILD.paths(draws, observed, CURVE)
        found.append([paths.spot, *(paths.score(name) for name in names), *(paths.law.tangent(name) for name in names)])
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("model", [MILD, FANG_OOSTERLEE], ids=["mild", "fang-oosterlee"])
def test_scores_tangents_and_steps_by_their_definition(model):
    """Mean and variance of each interval's log-return from plain Python, their slopes by its central differences."""
    draws, observed = block(), Observation(DATES, LATTICE)
    paths = model.paths(draws, observed, CURVE)
    names = ("spot", "rate", "dividend", "vol", "time", *model.parameters)
    laid_open = paths.law.steps(names)
    for lane in (3, 60, 64, 299):
        shocks, normals = draws.normals(0)[:, lane].tolist(), draws.normals(1)[:, lane].tolist()

        def returns(by=0.0, name="", shocks=shocks, normals=normals):
            p, times = numbers(model), np.array(LATTICE)
            if name == "time":
                times = times * (1.0 + by / LATTICE[-1])
            elif name == "vol":
                p["v0"] = (math.sqrt(p["v0"]) + by) ** 2
            elif name in p:
                p[name] += by
            steps = naive_heston.steps(naive_heston.QEStep, p, times.tolist(), shocks, normals)
            found = np.array(naive_heston.between(steps, observed.index.tolist()))
            growth = CURVE.log_growth(observed.times) * (1.0 + (by / LATTICE[-1] if name == "time" else 0.0))
            growth = growth + by * observed.times * ((name == "rate") - (name == "dividend"))
            found[:, 0] += np.diff(growth, prepend=0.0)
            return found

        mean, variance, xi = returns().T
        s = np.sqrt(variance)
        assert laid_open.normals[:, lane] == pytest.approx(xi, rel=1e-8, abs=1e-9)
        assert laid_open.mean[:, lane] == pytest.approx(mean, rel=1e-8, abs=1e-12)
        assert laid_open.stdev[:, lane] == pytest.approx(s, rel=1e-9)
        moves = {}
        for name in names:
            h = 1e-5 * (0.1 if name not in model.parameters else model.scale(name))
            up, down = returns(h, name), returns(-h, name)
            dm, ds2 = (up - down)[:, :2].T / (2.0 * h)
            moves[name] = dm, ds2
            first = 1.0 / 100.0 if name == "spot" else 0.0
            score = np.sum(dm * xi / s + ds2 * (xi**2 - 1.0) / (2.0 * variance)) + first * xi[0] / s[0]
            tangent = np.cumsum(dm + ds2 * xi / (2.0 * s)) + first
            wanted = {"rel": 2e-5, "abs": 2e-5 * abs(score)}
            assert paths.score(name)[lane] == pytest.approx(score, **wanted), name
            got = np.broadcast_to(paths.law.tangent(name), (len(DATES), 300))[:, lane]
            assert got == pytest.approx(tangent, rel=2e-5, abs=2e-5 * np.abs(tangent).max()), name
            place = names.index(name)
            slopes = (np.broadcast_to(x[place], (len(DATES), 300))[:, lane] for x in (laid_open.mean_slope, laid_open.stdev_slope))
            for got, right in zip(slopes, (dm, ds2 / (2.0 * s)), strict=True):
                assert got == pytest.approx(right, rel=2e-5, abs=2e-5 * np.abs(right).max() + 1e-9), name
        u = xi[0] / s[0]
        assert paths.score("spot", "spot")[lane] == pytest.approx((u * u - 1.0 / variance[0] - u) / 1e4, rel=1e-7)
        dm, ds2 = moves["vol"][0][0], moves["vol"][1][0]
        cross = u / 100.0 * paths.score("vol")[lane] - (dm / variance[0] + u * ds2 / variance[0]) / 100.0
        assert paths.score("spot", "vol")[lane] == pytest.approx(cross, rel=2e-5, abs=2e-5 * abs(cross))


CASES = {
    "european mild": (European(option="call", strike=100.0, expiry=1.0), MILD),
    "european fang-oosterlee": (European(option="call", strike=100.0, expiry=1.0), FANG_OOSTERLEE),
    "european feller ratio 0.04": (European(option="put", strike=95.0, expiry=1.0), FELLER_4_PERCENT),
    "digital mild": (Digital(option="call", strike=104.0, expiry=0.75, cash=10.0), MILD),
    "digital fang-oosterlee": (Digital(option="put", strike=95.0, expiry=0.5, cash=10.0), FANG_OOSTERLEE),
    "digital feller ratio 0.04": (Digital(option="call", strike=100.0, expiry=1.0, cash=10.0), FELLER_4_PERCENT),
    "geometric asian": (Asian(option="call", strike=98.0, fixings=schedule(6, 1.0), average="geometric"), FANG_OOSTERLEE),
}
RESOLVED = {"price": 100, "delta": 40, "gamma": 8, "vega": 8, "rho": 40, "dividend_rho": 40, "theta": 8}
"""How many standard errors the exact value of a European mounts to, at least; of parameters of the model and others, see below."""


@pytest.mark.parametrize("name", CASES)
def test_likelihood_ratio_agrees_with_fourier_values(name):
    contract, model = CASES[name]
    truth = exact_greeks(contract, model, CURVE)
    found = sensitivities(contract, model, CURVE, greeks=GREEKS, estimator=LikelihoodRatio(), plan=Plan(paths=2**16, seed=4))
    off = {g: z(found[g], truth[g]) for g in GREEKS if not abs(z(found[g], truth[g])) < 4.0}
    assert not off
    size = {g: max(abs(truth[g]), 0.05 * abs(truth["price"]) if g in OWN else 0.0) for g in GREEKS}
    share = {g: found[g].stderr / size[g] for g in GREEKS}
    weak = {"european": 0.4, "digital": 0.4, "asian": 0.7}[contract.family]
    assert all(share[g] < (weak if g in (*OWN, "vega", "theta", "gamma") else 0.05) for g in GREEKS), share
    assert found["vega"].value == pytest.approx(2.0 * math.sqrt(model.v0) * found["d_v0"].value, rel=1e-12)


@pytest.mark.parametrize("name", [n for n, (c, _) in CASES.items() if not c.jumps])
def test_pathwise_agrees_with_fourier_values(name):
    contract, model = CASES[name]
    truth = exact_greeks(contract, model, CURVE)
    found = sensitivities(contract, model, CURVE, greeks=GREEKS, estimator=Pathwise(), plan=Plan(paths=2**16, seed=5))
    assert not {g: z(found[g], truth[g]) for g in GREEKS if not abs(z(found[g], truth[g])) < 4.0}
    size = {g: max(abs(truth[g]), 0.05 * abs(truth["price"]) if g in OWN else 0.0) for g in GREEKS}
    assert all(found[g].stderr < 0.2 * size[g] for g in GREEKS), {g: found[g].stderr / size[g] for g in GREEKS}
