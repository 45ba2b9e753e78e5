"""Heston: schemes against plain Python, Greeks against Fourier values, estimators against each other."""

import math
from dataclasses import replace

import naive_heston
import numpy as np
import pytest
from scipy.special import ndtr

from greeks import Exact, FiniteDifference, LikelihoodRatio, Pathwise, crosscheck, sensitivities
from greeks.engine.run import answer
from greeks.engine.tasks import GreekTask
from greeks.estimators.survival import OneStepSurvival
from greeks.greek import greek
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
from pricers.models.heston.conditional_normal import _scores, share_slope
from pricers.models.heston.parameters import SLOPES
from pricers.models.heston.scheme import Drivers
from pricers.models.scenario import Scenario
from pricers.paths.requests import PathRequest, Wanted
from pricers.random_numbers.path_block import Block, ObservationDates

MILD = Heston(v0=0.04, kappa=3.0, theta=0.05, xi=0.28, rho=-0.5)
FANG_OOSTERLEE = Heston(v0=0.0175, kappa=1.5768, theta=0.0398, xi=0.5751, rho=-0.5711)
BROADIE_KAYA = Heston(v0=0.010201, kappa=6.21, theta=0.019, xi=0.61, rho=-0.7)
DAX = Heston(v0=0.1454, kappa=5.8235, theta=0.0711, xi=1.5416, rho=-0.5716)
FELLER_4_PERCENT = Heston(v0=0.09, kappa=0.5, theta=0.04, xi=1.0, rho=-0.5)
UPWARD = Heston(v0=0.09, kappa=1.0, theta=0.06, xi=0.8, rho=0.4)
SMALL_XI = Heston(v0=0.04, kappa=3.0, theta=0.04, xi=0.12, rho=-0.5)
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


def block(time_grid=LATTICE, n_paths=300, **kwargs):
    return Block(seed=11, stream="", time_grid=time_grid, first=0, n_paths=n_paths, factors=2, **kwargs)


def numbers(model):
    return {name: getattr(model, name) for name in model.parameters}


def evolved(model, draws, parameters=(), *, time_scale=1.0, slopes=True, grid_points=None):
    grid_points = np.arange(len(draws.time_grid)) if grid_points is None else np.array(grid_points)
    drivers = Drivers(
        time_grid=draws.time_grid, time_scale=time_scale, noise=(draws.normals(0), draws.normals(1)), grid_points=grid_points
    )
    return model.scheme.evolve(model, drivers, parameters=parameters, slopes=slopes)


def z(estimate, truth):
    return (estimate.value - truth) / estimate.stderr


@pytest.mark.parametrize("scheme", [QE(), QE(switch="hard"), FullTruncationEuler()], ids=repr)
@every_model
def test_paths_against_plain_python(model, scheme):
    model, draws, time_scale = replace(model, scheme=scheme), block(), 1.02
    dates = ObservationDates(DATES, LATTICE)
    twin = {QE(): naive_heston.QEStep, FullTruncationEuler(): naive_heston.EulerStep}.get(
        scheme, lambda p, h: naive_heston.QEStep(p, h, smooth=False)
    )
    paths = model.paths(draws, dates, CURVE, time_scale)
    growth = time_scale * CURVE.log_growth(dates.times)
    for path in range(0, 300, 7):
        shocks, normals = draws.normals(0)[:, path].tolist(), draws.normals(1)[:, path].tolist()
        steps = naive_heston.steps(twin, numbers(model), [time_scale * t for t in LATTICE], shocks, normals)
        if all(sum(s2 for _, _, s2, _ in steps[a:b]) > 0.0 for a, b in ((0, 2), (2, 3), (3, 6), (6, 7), (7, 10))):
            returns = naive_heston.between(steps, dates.index.tolist())
            assert paths.spot[:, path] == pytest.approx(naive_heston.spots(100.0, growth, returns), rel=1e-9)
    assert paths.discounting.log_factors[-1] == pytest.approx(time_scale * float(CURVE.log_discount(1.0)), rel=1e-15)


def test_a_step_has_the_variance_s_mean_and_variance_and_the_spot_s_mean():
    time_grid, n_paths, v0 = (1 / 32,), 2**19, 0.0035
    for model in (FANG_OOSTERLEE, DAX, UPWARD):
        for start in (0.1 * v0, 0.5 * v0, v0, 2.0 * v0, 4.0 * v0, 30.0 * v0):
            model = replace(model, v0=start)
            for scheme in (QE(), QE(switch="hard")):
                path = evolved(replace(model, scheme=scheme), block(time_grid, n_paths))
                after = 2.0 * path.integral[0] / time_grid[0] - start
                mean, variance = naive_heston.QEStep(numbers(model), time_grid[0]).moments(start)
                assert abs(after.mean() - mean) < 4.0 * after.std() / math.sqrt(n_paths)
                squares = (after - mean) ** 2
                assert abs(squares.mean() - variance) < 4.0 * squares.std() / math.sqrt(n_paths)
                growth = np.exp(path.drift[0])
                assert abs(growth.mean() - 1.0) < 4.0 * growth.std() / math.sqrt(n_paths)


@pytest.mark.parametrize("scheme", [QE(), FullTruncationEuler()], ids=repr)
@every_model
def test_slopes_against_central_differences_of_the_same_path(model, scheme):
    model, draws = replace(model, scheme=scheme), block(n_paths=2000)
    path = evolved(model, draws, SLOPES)
    for place, name in enumerate(SLOPES):
        if name == "v0" and model.v0 == 0.0:
            continue
        h = 1e-6 * (1.0 if name == "time" else model.scale(name))
        up, down = (
            evolved(model, draws, time_scale=1.0 + by) if name == "time" else evolved(model.bumped(name, by), draws)
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
            assert np.quantile(error[~kink], 0.99) < 1e-6, (name, key)
            assert error[~kink].max() < 1e-4, (name, key)


def test_scores_made_on_the_way_have_the_bits_of_those_from_slopes():
    for grid_points in (range(10), (0, 1, 4, 5, 6, 9), (3, 9), (9,)):
        for model in (MILD, FELLER_4_PERCENT):
            on_the_way = evolved(model, block(), SLOPES, slopes=False, grid_points=grid_points)
            kept = evolved(model, block(), SLOPES, grid_points=grid_points)
            out = np.empty((len(SLOPES), 300))
            widening = np.array([share_slope(model.rho, name) for name in SLOPES])
            rows = np.arange(len(grid_points))
            sums = kept.walk, kept.integral, kept.drifts, kept.integrals
            _scores(1.0 - model.rho**2, widening, rows, *sums, out)
            assert np.array_equal(out, on_the_way.scores)


EVERY_SCORE = frozenset((name,) for name in SLOPES)


def request(market, dates, **wanted):
    return PathRequest(market=market, time_scale=1.0, dates=dates, wanted=Wanted(**wanted))


def test_what_is_asked_of_the_paths_changes_no_bit_of_them():
    dates, names = ObservationDates(DATES, LATTICE), ("vol", "time", "rho", "kappa", "xi")
    found = []
    for others in ((), (request(CURVE, ObservationDates(LATTICE, LATTICE)),)):
        for wanted in (
            {},
            {"scores": frozenset({("vol",), ("time",)})},
            {"scores": EVERY_SCORE},
            {"slopes": frozenset({("mean", "vol")}), "scores": EVERY_SCORE},
        ):
            asked = request(CURVE, dates, **wanted)
            paths = Heston.simulator({MILD: (asked, *others)}).paths(block(), asked)
            found.append([paths.spot, *(paths.score(name) for name in names), *(paths.law.tangent(name) for name in names)])
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("score", ["conditional", "full"])
@pytest.mark.parametrize("scheme", [QE(), FullTruncationEuler()], ids=["QE", "Euler"])
def test_summaries_are_those_of_the_spots(scheme, score):
    if isinstance(scheme, FullTruncationEuler):
        scheme = FullTruncationEuler(score=score)
    paths = replace(MILD, scheme=scheme).paths(block(), ObservationDates(DATES, LATTICE), CURVE)
    for name, of_spots in {
        "mean": paths.spot.mean(axis=0),
        "log_mean": np.log(paths.spot).mean(axis=0),
        "minimum": paths.spot.min(axis=0),
        "maximum": paths.spot.max(axis=0),
        "last": paths.spot[-1],
        "log_last": np.log(paths.spot[-1]),
    }.items():
        assert getattr(paths, name) == pytest.approx(of_spots, rel=3e-15), name


@pytest.mark.parametrize("scheme", [QE(), FullTruncationEuler()], ids=["QE", "Euler"])
def test_summaries_have_the_same_bits_whoever_else_looks_and_whether_paths_are_kept(scheme):
    names = ("mean", "log_mean", "minimum", "maximum", "last", "log_last")
    model = replace(MILD, scheme=scheme)
    markets = [CURVE, CURVE.bumped("spot", 1.0), CURVE.bumped("rate", 1e-3)]
    observations = [ObservationDates(DATES, LATTICE), ObservationDates(DATES[1:2], LATTICE)]

    def numbers(asked, *others):
        paths = Heston.simulator({model: (asked, *others)}).paths(block(n_paths=600), asked)
        return [getattr(paths, name) for name in names]

    summaries = frozenset(names)
    every = [request(market, dates, summaries=summaries) for market in markets for dates in observations]
    kept = [request(markets[0], observations[0], summaries=summaries, scores=frozenset({("vol",)})), *every]
    for market in markets:
        for dates in observations:
            alone = numbers(request(market, dates))
            for others in ((), every, kept, 12 * every):
                together = numbers(request(market, dates, summaries=summaries), *others)
                assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_variance_paths_are_made_once_with_all_that_is_asked_of_them(monkeypatch):
    calls, evolve = [], QE.evolve
    monkeypatch.setattr(QE, "evolve", lambda self, *a, **k: calls.append((k["parameters"], k["slopes"])) or evolve(self, *a, **k))
    contract, plan = European(option="call", strike=100.0, expiry=1.0), Plan(paths=512)
    for estimator, slopes in ((LikelihoodRatio(), False), (Pathwise(), True)):
        calls.clear()
        sensitivities(contract, MILD, CURVE, greeks=("price", "vega", "theta"), estimator=estimator, plan=plan, threads=1)
        assert calls == 4 * [(("v0", "time"), slopes)]  # for the numbers, and for their bias on three time grids


@pytest.mark.parametrize("model", [MILD, FANG_OOSTERLEE], ids=["mild", "fang-oosterlee"])
def test_scores_tangents_and_steps_by_their_definition(model):
    """Mean and variance of each interval's log-return from plain Python, their slopes by its central differences."""
    draws, dates = block(), ObservationDates(DATES, LATTICE)
    paths = model.paths(draws, dates, CURVE)
    names = ("spot", "rate", "dividend", "vol", "time", *model.parameters)
    laid_open = paths.law.steps(names)
    for path in (3, 60, 64, 299):
        shocks, normals = draws.normals(0)[:, path].tolist(), draws.normals(1)[:, path].tolist()

        def returns(by=0.0, name="", shocks=shocks, normals=normals):
            p, times = numbers(model), np.array(LATTICE)
            if name == "time":
                times = times * (1.0 + by / LATTICE[-1])
            elif name == "vol":
                p["v0"] = (math.sqrt(p["v0"]) + by) ** 2
            elif name in p:
                p[name] += by
            steps = naive_heston.steps(naive_heston.QEStep, p, times.tolist(), shocks, normals)
            found = np.array(naive_heston.between(steps, dates.index.tolist()))
            growth = CURVE.log_growth(dates.times) * (1.0 + (by / LATTICE[-1] if name == "time" else 0.0))
            growth = growth + by * dates.times * ((name == "rate") - (name == "dividend"))
            found[:, 0] += np.diff(growth, prepend=0.0)
            return found

        mean, variance, xi = returns().T
        s = np.sqrt(variance)
        assert laid_open.normals[:, path] == pytest.approx(xi, rel=1e-8, abs=1e-9)
        assert laid_open.mean[:, path] == pytest.approx(mean, rel=1e-8, abs=1e-12)
        assert laid_open.stdev[:, path] == pytest.approx(s, rel=1e-9)
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
            assert paths.score(name)[path] == pytest.approx(score, **wanted), name
            got = np.broadcast_to(paths.law.tangent(name), (len(DATES), 300))[:, path]
            assert got == pytest.approx(tangent, rel=2e-5, abs=2e-5 * np.abs(tangent).max()), name
            place = names.index(name)
            slopes = (
                np.broadcast_to(x[place], (len(DATES), 300))[:, path] for x in (laid_open.mean_slope, laid_open.stdev_slope)
            )
            for got, right in zip(slopes, (dm, ds2 / (2.0 * s)), strict=True):
                assert got == pytest.approx(right, rel=2e-5, abs=2e-5 * np.abs(right).max() + 1e-9), name
        u = xi[0] / s[0]
        assert paths.score("spot", "spot")[path] == pytest.approx((u * u - 1.0 / variance[0] - u) / 1e4, rel=1e-7)
        dm, ds2 = moves["vol"][0][0], moves["vol"][1][0]
        cross = u / 100.0 * paths.score("vol")[path] - (dm / variance[0] + u * ds2 / variance[0]) / 100.0
        assert paths.score("spot", "vol")[path] == pytest.approx(cross, rel=2e-5, abs=2e-5 * abs(cross))


CASES = {
    "european mild": (European(option="call", strike=100.0, expiry=1.0), MILD),
    "european fang-oosterlee": (European(option="call", strike=100.0, expiry=1.0), FANG_OOSTERLEE),
    "european feller ratio 0.04": (European(option="put", strike=95.0, expiry=0.25), FELLER_4_PERCENT),
    "digital mild": (Digital(option="call", strike=104.0, expiry=0.75, cash=10.0), MILD),
    "digital fang-oosterlee": (Digital(option="put", strike=95.0, expiry=0.5, cash=10.0), FANG_OOSTERLEE),
    "digital feller ratio 0.04": (Digital(option="call", strike=110.0, expiry=1.0, cash=10.0), FELLER_4_PERCENT),
    "geometric asian": (Asian(option="call", strike=98.0, fixings=schedule(6, 1.0), average="geometric"), FANG_OOSTERLEE),
}


def assert_right(found, truth, market_share, model_share):
    """Within four standard errors, and these small: shares of the exact value, or of the price's twentieth where that is near zero."""
    assert all(found[g].resolved for g in found if g not in (*OWN, "vega", "theta"))
    found = {
        g: estimate for g, estimate in found.items() if estimate.resolved
    }  # tangents with heavy tails have errors nobody knows
    off = {g: z(found[g], truth[g]) for g in found if not abs(z(found[g], truth[g])) < 4.0}
    assert not off
    floor = 0.05 * abs(truth["price"])
    share = {g: found[g].stderr / max(abs(truth[g]), floor if g in OWN else 0.0) for g in found}
    of_market = ("price", "delta", "rho", "dividend_rho")
    weak = {g: x for g, x in share.items() if not x < (market_share if g in of_market else model_share)}
    assert not weak


@pytest.mark.parametrize("name", CASES)
def test_likelihood_ratio_agrees_with_fourier_values(name):
    contract, model = CASES[name]
    plan = Plan(paths=2**16, seed=4, steps_per_year=48)
    found = sensitivities(contract, model, CURVE, greeks=GREEKS, estimator=LikelihoodRatio(), plan=plan)
    assert_right(found, exact_greeks(contract, model, CURVE), 0.03, 0.5 if contract.family == "asian" else 0.4)
    assert found["vega"].value == pytest.approx(2.0 * math.sqrt(model.v0) * found["d_v0"].value, rel=1e-12)


@pytest.mark.parametrize("name", [n for n, (c, _) in CASES.items() if not c.discontinuous])
def test_pathwise_agrees_with_fourier_values(name):
    contract, model = CASES[name]
    plan = Plan(paths=2**16, seed=5, steps_per_year=48)
    found = sensitivities(contract, model, CURVE, greeks=GREEKS, estimator=Pathwise(), plan=plan)
    assert_right(found, exact_greeks(contract, model, CURVE), 0.02, 0.2)


def test_vanna_agrees_with_differences_of_fourier_deltas():
    contract, h = European(option="call", strike=105.0, expiry=0.5), 1e-4
    up, down = (exact_greeks(contract, MILD.bumped("vol", by), CURVE)["delta"] for by in (h, -h))
    for estimator, limit in ((LikelihoodRatio(), 0.04), (Pathwise(), 0.02)):
        found = sensitivities(contract, MILD, CURVE, greeks="vanna", estimator=estimator, plan=Plan(paths=2**17, seed=5))["vanna"]
        assert abs(z(found, (up - down) / (2.0 * h))) < 4.0
        assert found.stderr < limit


METHODS = (LikelihoodRatio(), Pathwise(), FiniteDifference(), OneStepSurvival())


@pytest.mark.parametrize(
    ("contract", "limit"),
    [
        (Asian(option="call", strike=100.0, fixings=schedule(6, 1.0)), 0.1),
        (Asian(option="put", strike=104.0, fixings=(0.2, 0.35, 0.7), past_fixings=(99.0, 108.0)), 0.1),
        (Barrier(option="call", strike=100.0, barrier=88.0, kind="down-and-out", monitoring=schedule(12, 1.0)), 0.2),
        (Barrier(option="put", strike=105.0, barrier=112.0, kind="up-and-in", monitoring=(0.2, 0.45, 0.5), rebate=3.0), 0.2),
    ],
    ids=["asian", "seasoned asian", "down-and-out", "up-and-in"],
)
@pytest.mark.parametrize("scheme", [QE(), FullTruncationEuler()], ids=repr)
def test_estimators_agree_with_each_other(contract, limit, scheme):
    model = replace(MILD if isinstance(scheme, QE) else SMALL_XI, scheme=scheme)
    table = crosscheck(
        contract, model, CURVE, greeks=GREEKS, estimators=METHODS, plan=Plan(paths=2**14, seed=3, steps_per_year=24)
    )
    found = table[table.stderr > 0.0]
    assert set(found.verdict) <= {"reference", "agree", "too weak to tell"}
    assert (found.groupby("greek").size() >= 2).all()
    assert (found[found.greek.isin(["price", "delta", "gamma", "rho"])].groupby("greek").size() >= 3).all()
    best = found.groupby("greek").stderr.min()
    size = table[table.verdict == "reference"].set_index("greek").value.abs()
    wide = (best / (size + 0.2 * size["price"])).drop("price")
    assert (wide < limit).all(), wide


def test_a_contract_on_other_dates_of_the_same_grid_agrees_too():
    contract, days = Asian(option="call", strike=100.0, fixings=schedule(4, 0.5), average="geometric"), schedule(64, 1.0)
    truth = exact_greeks(contract, FANG_OOSTERLEE, CURVE)
    scenario, wanted = Scenario(model=FANG_OOSTERLEE, market=CURVE), tuple(greek(g, FANG_OOSTERLEE) for g in GREEKS)
    other = European(option="call", strike=100.0, expiry=1.0)
    tasks = [
        GreekTask(contract=c, scenario=scenario, greeks=wanted, estimators=(LikelihoodRatio(),), stream="X", time_grid=days)
        for c in (other, contract)
    ]
    _, found = answer(tasks, Plan(paths=2**15, seed=8))
    for g in GREEKS:
        assert abs(z(found.estimates[g, "likelihood_ratio"], truth[g])) < 4.0, g


def bits(answers):
    return [[(e.value, e.stderr) for e in found.estimates.values()] for found in answers]


def tasks_on(days, model, contracts):
    scenario = Scenario(model=model, market=CURVE)
    wanted = tuple(greek(g, model) for g in GREEKS)
    estimators = (LikelihoodRatio(), FiniteDifference())
    return [
        GreekTask(contract=c, scenario=scenario, greeks=wanted, estimators=estimators, stream="X", time_grid=days)
        for c in contracts
    ]


@pytest.mark.parametrize("model", [FANG_OOSTERLEE, replace(SMALL_XI, scheme=FullTruncationEuler())], ids=["qe", "euler"])
def test_same_bits_for_any_threads_and_blocks_alone_and_among_others(model, monkeypatch):
    days = tuple(k / 73.0 for k in range(1, 75))
    contracts = [
        European(option="call", strike=100.0, expiry=days[59]),
        Barrier(option="put", strike=105.0, barrier=110.0, kind="up-and-out", monitoring=days[2:40:3]),
        Asian(option="call", strike=99.0, fixings=days[:73]),
    ]
    plan = Plan(paths=1_500, seed=9)
    together = bits(answer(tasks_on(days, model, contracts), plan, threads=1))
    assert bits(answer(tasks_on(days, model, contracts[::-1]), plan, threads=3))[::-1] == together
    assert [bits(answer(tasks_on(days, model, [c]), plan))[0] for c in contracts] == together
    short = days[: days.index(contracts[0].times[-1]) + 1]
    assert bits(answer(tasks_on(short, model, contracts[:1]), plan)) == together[:1]
    for n_paths in (64, 192, 1024):
        monkeypatch.setattr("pricers.engine.simulation._n_paths", lambda *args, n_paths=n_paths: n_paths)
        assert bits(answer(tasks_on(days, model, contracts), plan, threads=2)) == together


@pytest.mark.parametrize("dates", [(0.5,), (0.02, 0.3, 0.9), schedule(24, 1.0)], ids=["one", "uneven", "many"])
@pytest.mark.parametrize(
    "model", [MILD, FANG_OOSTERLEE, replace(SMALL_XI, scheme=FullTruncationEuler())], ids=["mild", "hard", "euler"]
)
def test_scores_have_mean_zero(model, dates):
    one = PathFunction(lambda spot: np.ones(spot.shape[1]), times=dates, over="paths")
    names = ("delta", "gamma", "dividend_rho", "vanna", *OWN)
    wanted = tuple(greek(g, model) for g in names)
    task = GreekTask(contract=one, scenario=Scenario(model=model, market=CURVE), greeks=wanted, estimators=(LikelihoodRatio(),))
    (found,) = answer([task], Plan(paths=2**15, seed=1, steps_per_year=32))
    for name in names:
        moments = found._moments[name]
        score = np.array([[0.0, 1.0]] * 2)
        assert moments.stderr(score) > 0.0
        assert abs(moments.value(score)) < 4.0 * moments.stderr(score), name


@every_model
def test_the_discounted_spot_is_a_martingale(model):
    forward = PathFunction(lambda spot: spot[-1] * math.exp(-float(CURVE.log_growth(2.0))), times=(0.7, 2.0), over="paths")
    found = price(forward, model, Market(spot=100.0, rate=CURVE.rate, dividend=CURVE.dividend), plan=Plan(paths=2**16, seed=6))
    value, stderr = (x / math.exp(float(CURVE.log_discount(2.0))) for x in (found.value, found.stderr))
    assert abs(value - 100.0) < 4.0 * stderr
    assert stderr < 0.4


@every_model
def test_a_european_s_weak_error_is_small_at_a_coarse_step(model):
    """Given the variance path a European is Black-Scholes: the bias stands out of little noise."""
    for bias, stderr in weak_errors(model, 16, strikes=(90.0, 100.0, 120.0), expiry=1.0, paths=2**15):
        assert stderr < 0.02
        assert abs(bias) < 4.0 * stderr + 0.02  # two basis points of spot


def weak_errors(model, steps_per_year, *, strikes, expiry, paths, rate=0.0, seed=2):
    """Price of a call at this step less the Fourier price, per spot of 100, and its standard error, for each strike.

    The conditional Black-Scholes price, less its regression on exp(Q) and I, whose means are known: 1, and that of the exact m.
    """
    market = Market(spot=100.0, rate=rate)
    count, n_paths = round(steps_per_year * expiry), 2048
    time_grid, parts = schedule(count, expiry), []
    for first in range(0, paths, n_paths):
        draws = Block(seed=seed, stream="", time_grid=time_grid, first=first, n_paths=n_paths, factors=2)
        shocks = draws.normals(1)
        drivers = Drivers(time_grid=time_grid, time_scale=1.0, noise=(shocks, shocks), grid_points=np.array([count - 1]))
        path = model.scheme.evolve(model, drivers, parameters=(), slopes=False)
        forward, s = 100.0 * np.exp(rate * expiry + path.drift[0]), np.sqrt((1.0 - model.rho**2) * path.integral[0])
        d = [np.log(forward / strike) / s for strike in strikes]
        values = [forward * ndtr(x + 0.5 * s) - strike * ndtr(x - 0.5 * s) for x, strike in zip(d, strikes, strict=True)]
        parts.append(np.stack([np.exp(path.drift[0]), path.integral[0], *values]))
    growth, area, *values = np.hstack(parts)
    decay, mean, spent = math.exp(-model.kappa * expiry / count), model.v0, 0.0
    for _ in range(count):
        after = model.theta + (mean - model.theta) * decay
        mean, spent = after, spent + 0.5 * (mean + after) * expiry / count
    controls = np.stack([growth - 1.0, area - spent])
    centred = controls - controls.mean(axis=1, keepdims=True)
    found = []
    for strike, undiscounted in zip(strikes, values, strict=True):
        value = math.exp(-rate * expiry) * undiscounted
        left = value - np.linalg.lstsq(centred.T, value - value.mean(), rcond=None)[0] @ controls
        truth = exact_greeks(European(option="call", strike=strike, expiry=expiry), model, market)["price"]
        found.append((left.mean() - truth, left.std() / math.sqrt(paths)))
    return found


def test_finite_differences_are_noisier_across_a_hard_switch():
    contract, plan = European(option="call", strike=100.0, expiry=0.25), Plan(paths=2**17, seed=4)
    smooth, hard = (
        answer(
            [
                GreekTask(
                    contract=contract,
                    scenario=Scenario(model=replace(FELLER_4_PERCENT, scheme=s), market=CURVE),
                    greeks=tuple(greek(g, FELLER_4_PERCENT) for g in OWN),
                    estimators=(FiniteDifference(),),
                )
            ],
            plan,
        )[0]
        for s in (QE(), QE(switch="hard"))
    )
    for g in ("d_v0", "d_theta"):
        noise, noisier = (found.statistics(g, "finite_difference").stderr for found in (smooth, hard))
        assert noisier > 1.5 * noise


def test_the_full_score_of_both_drivers_agrees_with_the_conditional_one():
    model = replace(SMALL_XI, scheme=FullTruncationEuler())
    full = replace(model, scheme=FullTruncationEuler(score="full"))
    contract, plan = Asian(option="call", strike=100.0, fixings=schedule(4, 1.0)), Plan(paths=2**17, seed=3, steps_per_year=12)
    names = tuple(g for g in GREEKS if g != "theta")
    given, both = (sensitivities(contract, m, CURVE, greeks=names, estimator=LikelihoodRatio(), plan=plan) for m in (model, full))
    along = sensitivities(contract, model, CURVE, greeks=names, estimator=Pathwise(), plan=plan)
    for g in names:
        for one in (given, both):
            noise = math.hypot(one[g].stderr, along[g].stderr)
            assert abs(one[g].value - along[g].value) < 4.0 * noise or g == "price", g
        assert both[g].stderr < 60.0 * along[g].stderr, g
    for refused in ("theta", "vanna"):
        with pytest.raises(NotApplicable, match='score="conditional"'):
            sensitivities(contract, full, CURVE, greeks=refused, estimator=LikelihoodRatio(), plan=plan)


def test_what_has_no_density_is_not_a_number_and_the_rest_is():
    """Below zero the Euler variance stands still for a whole interval: no density by the rate, but the spot's first interval has one."""
    model = replace(FELLER_4_PERCENT, scheme=FullTruncationEuler())
    contract, plan = Asian(option="call", strike=100.0, fixings=schedule(24, 1.0)), Plan(paths=2**12, seed=3, steps_per_year=24)
    found = sensitivities(contract, model, CURVE, greeks=GREEKS, estimator=LikelihoodRatio(), plan=plan)
    assert all(math.isnan(found[g].value) and math.isnan(found[g].stderr) for g in ("rho", "dividend_rho", "theta"))
    assert all(math.isfinite(found[g].value) for g in ("price", "delta", "gamma", "vega", *OWN))
    assert all(found[g].stderr > 0.0 for g in ("price", "delta"))
    table = crosscheck(contract, model, CURVE, greeks=("rho",), plan=plan)
    assert table.set_index("estimator").verdict["likelihood_ratio"] == "not comparable"
    smooth = sensitivities(contract, FELLER_4_PERCENT, CURVE, greeks=GREEKS, estimator=LikelihoodRatio(), plan=plan)
    assert all(math.isfinite(found.value) for found in smooth.values())
    assert all(smooth[g].stderr > 0.0 for g in ("price", "delta", "rho"))


def test_sobol_points_drive_both_factors():
    contract, plan = European(option="call", strike=100.0, expiry=1.0), Plan(paths=2**14, seed=3, steps_per_year=16)
    truth = exact_greeks(contract, MILD, CURVE)
    found, plain = (
        sensitivities(contract, MILD, CURVE, greeks=("price", "delta", "d_v0"), estimator=Pathwise(), plan=p)
        for p in (replace(plan, sampling=Sobol()), plan)
    )
    for g in ("price", "delta", "d_v0"):
        assert abs(found[g].value - truth[g]) < 4.0 * found[g].stderr + 1e-3 * abs(truth[g])
        assert found[g].stderr < 0.5 * plain[g].stderr


@pytest.mark.parametrize(
    ("field", "value"),
    [("rho", 1.0), ("rho", -1.0), ("kappa", -0.1), ("xi", 0.0), ("xi", -0.3), ("v0", -0.01), ("theta", -0.01), ("xi", math.nan)],
)
def test_parameters_are_checked(field, value):
    with pytest.raises(InvalidInput) as error:
        replace(MILD, **{field: value})
    assert error.value.field == field
    assert repr(value) in str(error.value)


def test_what_else_is_refused():
    with pytest.raises(InvalidInput, match="spot would not move"):
        Heston(v0=0.0, kappa=0.0, theta=0.04, xi=0.3, rho=0.0)
    with pytest.raises(InvalidInput, match=r"scheme must be a scheme, such as QE\(\)"):
        replace(MILD, scheme="qe")
    with pytest.raises(InvalidInput, match="switch must be one of smooth, hard"):
        QE(switch="soft")
    coarse = Heston(v0=0.04, kappa=0.5, theta=0.04, xi=2.0, rho=0.9)
    with pytest.raises(InvalidInput, match="raise the plan's steps_per_year"):
        price(
            European(option="call", strike=100.0, expiry=1.0),
            coarse,
            CURVE,
            method="simulation",
            plan=Plan(paths=64, steps_per_year=1),
        )
    assert (
        price(European(option="call", strike=100.0, expiry=1.0), coarse, CURVE, method="simulation", plan=Plan(paths=64)).value
        > 0.0
    )
    call = European(option="call", strike=100.0, expiry=1.0)
    with pytest.raises(NotApplicable, match=r"no score for vol x vol; use FiniteDifference\(\)"):
        sensitivities(call, MILD, CURVE, greeks="volga", estimator=LikelihoodRatio(), plan=Plan(paths=64))
    law = MILD.paths(block(), ObservationDates(DATES, LATTICE), CURVE).law
    for parameters in (("skew",), ("vol", "vol")):
        with pytest.raises(NotApplicable, match="no score for"):
            law.score(parameters)


@pytest.mark.parametrize("model", [replace(MILD, kappa=0.0), replace(FANG_OOSTERLEE, theta=0.0)], ids=["kappa", "theta"])
def test_a_variance_that_can_die_out_is_priced_but_not_differentiated(model):
    contract = European(option="call", strike=100.0, expiry=1.0)
    truth = exact_greeks(contract, model, CURVE)
    found = sensitivities(
        contract, model, CURVE, greeks=("price", "delta", "gamma", "rho"), estimator=LikelihoodRatio(), plan=Plan(seed=2)
    )
    for g in found:
        assert abs(z(found[g], truth[g])) < 4.0, g
    for estimator in (LikelihoodRatio(), Pathwise()):
        with pytest.raises(NotApplicable, match=r"can die out .* use Exact\(\)"):
            sensitivities(contract, model, CURVE, greeks="vega", estimator=estimator)
    name = "d_kappa" if model.kappa == 0.0 else "d_theta"
    with pytest.raises(NotApplicable, match=r"no central difference .* use Exact\(\)"):
        sensitivities(contract, model, CURVE, greeks=name, estimator=FiniteDifference())
    assert math.isfinite(sensitivities(contract, model, CURVE, greeks=name, estimator=Exact())[name].value)


def test_bumps_stay_in_the_domain():
    for model in MODELS.values():
        for name in ("vol", *model.parameters):
            if name == "v0" and model.v0 == 0.0:
                continue
            for by in (0.5, -0.5):
                moved = model.bumped(name, by * model.scale(name))
                assert moved != model
    assert MILD.bumped("vol", 0.1).v0 == pytest.approx(0.3**2, rel=1e-15)


def test_the_grid_has_every_date_and_no_longer_step():
    dates = (0.1, 0.35, 0.351, 2.0)
    grid_points = MILD.time_grid(dates, 16)
    assert set(dates) <= set(grid_points)
    steps = np.diff(grid_points, prepend=0.0)
    assert steps.min() > 0.0
    assert steps.max() <= 1 / 16 + 1e-12
    assert MILD.time_grid(schedule(64, 1.0), 64) == schedule(64, 1.0)


PUBLISHED = "heston-*"
PAYOFFS = {"european_call": European, "cash_or_nothing_put": Digital}


@pytest.mark.slow
@pytest.mark.published(PUBLISHED)
def test_published_values(published_case):
    case = published_case
    if case["payoff"]["kind"] not in PAYOFFS:
        pytest.skip("neither European nor digital")
    terms, own, option = case["payoff"]["params"], dict(case["model"]["params"]), case["payoff"]["kind"].rsplit("_", 1)[1]
    model = Heston(rho=own.pop("corr"), **own)
    market = Market(**{name: case["market"][name] for name in ("spot", "rate", "dividend")})
    kwargs = {"option": option, "strike": terms["strike"], "expiry": case["market"]["maturity"]}
    contract = PAYOFFS[case["payoff"]["kind"]](**kwargs)
    names = {"d_corr": "d_rho", "theta_time": "theta"}
    truth = {names.get(name, name): value for name, value in case["expected"].items()}
    found = sensitivities(
        contract, model, market, greeks=tuple(truth), estimator=LikelihoodRatio(), plan=Plan(paths=2**19, seed=20)
    )
    assert not {g: z(found[g], truth[g]) for g in truth if not abs(z(found[g], truth[g])) < 4.0}
    for g in ("price", "delta", "rho"):
        assert found[g].stderr < 0.02 * abs(truth[g])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rate", "expiry"), [("fang-oosterlee", 0.0, 1.0), ("broadie-kaya", 0.0319, 1.0), ("dax", 0.0, 1.0)]
)
def test_the_weak_error_is_below_a_basis_point_at_32_steps(name, rate, expiry):
    model = {"broadie-kaya": BROADIE_KAYA, **MODELS}[name]
    for bias, stderr in weak_errors(model, 32, strikes=(80.0, 100.0, 120.0), expiry=expiry, rate=rate, paths=2**20):
        assert stderr < 0.002
        assert abs(bias) < 0.01
