"""Importance sampling: rare events against exact values, and abstention where it cannot tell."""

import math
import pickle

import cases
import numpy as np
import pytest
from rare_payoffs import above, average_above, below, falls_to, outside, reaches
from scipy.special import ndtr, ndtri

import pricers
from greeks import (
    Auto,
    Combined,
    Controlled,
    Exact,
    FiniteDifference,
    ImportanceSampling,
    InvalidInput,
    LikelihoodRatio,
    NotApplicable,
    Pathwise,
    sensitivities,
)
from greeks.engine.run import answer, prepared
from greeks.engine.tasks import GreekTask
from greeks.estimators.cross_entropy import PATHS, _log_densities, _moments, search
from greeks.estimators.importance import _apply, _unseen, segments
from greeks.greek import STANDARD, greek
from pricers import (
    GBM,
    Antithetic,
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
    schedule,
)
from pricers.models.scenario import Scenario
from pricers.random_numbers.tilted import Mixture

MARKET, VOL = Market(spot=100.0, rate=0.05, dividend=0.02), GBM(vol=0.2)
HESTON = Heston(v0=0.04, kappa=1.5, theta=0.04, xi=0.5, rho=-0.7)
IS = ImportanceSampling()
NAMES = ("price", "delta", "vega")


def inside(path, low, high):
    for x in path:
        if x < low or x > high:
            return 0.0
    return 1.0


def down_then_up(path, low, high):
    fallen = False
    for x in path:
        fallen = fallen or x < low
        if fallen and x > high:
            return 1.0
    return 0.0


def one(path):
    return 1.0


def level(probability):
    """The spot at one year that is exceeded with this probability."""
    return 100.0 * math.exp(0.03 - 0.02 + 0.2 * float(ndtri(1.0 - probability)))


MONTHS, WEEKS = schedule(12, 1.0), schedule(52, 1.0)
CALL, PUT = ({"option": o, "expiry": 1.0, "cash": 1.0} for o in ("call", "put"))
_NEVER = {"option": "put", "strike": 1e-9, "rebate": 1.0}


def _one_of_two(low, high):
    return Digital(strike=high, **CALL), Digital(strike=low, **PUT)


GBM_EVENTS = {
    "terminal 1e-3": (PathFunction(above, times=MONTHS, k=level(1e-3)), (Digital(strike=level(1e-3), **CALL),)),
    "terminal 1e-5": (PathFunction(above, times=WEEKS, k=level(1e-5)), (Digital(strike=level(1e-5), **CALL),)),
    "terminal 1e-8": (PathFunction(above, times=MONTHS, k=level(1e-8)), (Digital(strike=level(1e-8), **CALL),)),
    "average 3e-6": (
        PathFunction(average_above, times=WEEKS, k=170.0),
        (AsianDigital(option="call", strike=170.0, fixings=WEEKS, average="geometric", cash=1.0),),
    ),
    "lookback 5e-4": (
        PathFunction(reaches, times=MONTHS, k=200.0),
        (Barrier(barrier=200.0, kind="up-and-out", monitoring=MONTHS, **_NEVER),),
    ),
    "barrier 2e-3": (
        PathFunction(falls_to, times=WEEKS, k=55.0),
        (Barrier(option="call", strike=1e9, rebate=1.0, barrier=55.0, kind="down-and-out", monitoring=WEEKS),),
    ),
    "two-sided 1e-5": (
        PathFunction(outside, times=MONTHS, low=level(1.0 - 1e-6), high=level(1e-5)),
        _one_of_two(level(1.0 - 1e-6), level(1e-5)),
    ),
}
"""Own payoffs, and contracts with a formula that add up to them: what a barrier's rebate pays is the event's probability."""

HESTON_EVENTS = {
    "call 2e-4": (PathFunction(above, times=(1.0,), k=170.0), (Digital(strike=170.0, **CALL),)),
    "put 1e-3": (PathFunction(below, times=(1.0,), k=30.0), (Digital(strike=30.0, **PUT),)),
    "two-sided 5e-3": (PathFunction(outside, times=(1.0,), low=40.0, high=155.0), _one_of_two(40.0, 155.0)),
}


def _truth(contracts, model, names=NAMES):
    exact = [sensitivities(c, model, MARKET, greeks=names, estimator=Exact()) for c in contracts]
    return {name: sum(found[name].value for found in exact) for name in names}


def _estimates(contract, model=VOL, names=NAMES, estimator=IS, **plan):
    return sensitivities(contract, model, MARKET, greeks=names, estimator=estimator, plan=Plan(**plan))


def _assert_right(found, truth, most, noisy=()):
    for name, exact in truth.items():
        assert found[name].resolved, found[name].note
        assert abs(found[name].value - exact) < 4.0 * found[name].stderr, (found[name], exact)
        if name not in noisy:
            assert found[name].stderr < most * abs(exact), (found[name], exact)


@pytest.mark.parametrize("name", GBM_EVENTS)
def test_rare_events_of_own_payoffs_are_right_to_a_percent(name):
    contract, exact = GBM_EVENTS[name]
    _assert_right(_estimates(contract, seed=1), _truth(exact, VOL), 0.015)


@pytest.mark.parametrize("name", HESTON_EVENTS)
def test_rare_events_under_heston_are_right_to_two_percent(name):
    contract, exact = HESTON_EVENTS[name]
    noisy = ("delta",) if name.startswith("two") else ()  # the two sides' deltas nearly cancel
    _assert_right(_estimates(contract, HESTON, seed=1), _truth(exact, HESTON), 0.02, noisy)


def test_what_nearly_always_pays_is_as_sure_as_what_nearly_never_does():
    for contract in (
        Digital(option="put", strike=170.0, expiry=0.25),
        AsianDigital(option="put", strike=135.0, fixings=schedule(3, 0.25), average="geometric"),
    ):
        truth = _truth((contract,), VOL, STANDARD)
        found = _estimates(contract, names=STANDARD, seed=2)
        _assert_right(found, {g: truth[g] for g in ("delta", "gamma", "vega")}, 0.01)
        _assert_right(found, {g: truth[g] for g in ("price", "rho", "theta")}, 1e-4)


@pytest.mark.parametrize("name", [name for name, c in cases.EXACT.items() if not getattr(c, "touched", False)])
def test_it_agrees_with_the_exact_value_of_every_contract(name):
    contract, names = cases.EXACT[name], (*STANDARD, "dividend_rho", "vanna", "volga")
    truth = sensitivities(contract, cases.VOL, cases.CURVE, greeks=names, estimator=Exact())
    found = sensitivities(contract, cases.VOL, cases.CURVE, greeks=names, estimator=IS, plan=Plan(paths=2**17, seed=3))
    for g in names:
        assert abs(found[g].value - truth[g].value) < 4.0 * found[g].stderr, (found[g], truth[g].value)
    for g, small in {"price": 0.03, "delta": 0.05, "gamma": 0.15, "vega": 0.12, "rho": 0.05, "theta": 0.12}.items():
        assert found[g].stderr < small * cases.SCALE[g], found[g]


def test_another_estimator_may_give_the_number():
    contract = European(option="call", strike=180.0, expiry=1.0)
    found = _estimates(contract, names=STANDARD, estimator=ImportanceSampling(Pathwise()), seed=1)
    _assert_right(found, _truth((contract,), VOL, STANDARD), 0.01)
    contract = Asian(option="call", strike=180.0, fixings=MONTHS, average="geometric")
    found = _estimates(
        contract, estimator=ImportanceSampling(Controlled(claims=(European(option="call", strike=180.0, expiry=1.0),)))
    )
    _assert_right(found, _truth((contract,), VOL), 0.015)


@pytest.mark.parametrize("sampling", [Antithetic(), Sobol()], ids=["antithetic", "Sobol"])
def test_it_stands_on_other_samplings(sampling):
    contract = Digital(option="call", strike=170.0, expiry=1.0)
    _assert_right(_estimates(contract, seed=1, sampling=sampling), _truth((contract,), VOL), 0.01)


def test_a_likely_event_is_no_worse_than_without():
    for probability in (0.3, 0.7):
        contract = PathFunction(above, times=MONTHS, k=level(probability))
        found, plain = (_estimates(contract, names=STANDARD, estimator=e, seed=1) for e in (IS, LikelihoodRatio()))
        truth = _truth((Digital(strike=level(probability), **CALL),), VOL, STANDARD)
        _assert_right(found, truth, math.inf)
        for name in STANDARD:
            assert found[name].stderr < 1.3 * plain[name].stderr


def test_a_payment_that_nothing_changes_has_its_value_and_no_error():
    found = _estimates(PathFunction(one, times=MONTHS), names=STANDARD)
    discount = math.exp(-0.05)
    for name, value in {"price": discount, "delta": 0.0, "vega": 0.0, "rho": -discount, "theta": 0.05 * discount}.items():
        assert found[name].value == pytest.approx(value, rel=1e-12, abs=1e-12)
        assert not found[name].resolved
        assert "no path paid anything but 1 in 10 searches of 8,192 paths" in found[name].note


@pytest.mark.parametrize(
    "contract",
    [
        Digital(option="call", strike=1e9, expiry=1.0),
        PathFunction(above, times=(1.0 / 365.0,), k=200.0),
        PathFunction(lambda spot: np.where(spot[-1] > 170.0, np.nan, 0.0), times=(1.0,), over="paths"),
    ],
    ids=["never", "tomorrow", "NaN"],
)
def test_where_nothing_is_found_no_error_is_stated(contract):
    found = _estimates(contract)
    for name in NAMES:
        assert not found[name].resolved
        assert "cannot tell" in found[name].note


def test_an_event_in_an_order_is_right_or_not_resolved():
    contract = PathFunction(down_then_up, times=WEEKS, low=88.0, high=120.0)  # about 5e-3: plain paths can tell
    truth = _estimates(contract, estimator=LikelihoodRatio(), paths=2**20, seed=77)
    resolved = 0
    for seed in range(4):
        found = _estimates(contract, seed=seed)
        if found["price"].resolved:
            resolved += 1
            for name in (name for name in NAMES if found[name].resolved):
                assert abs(found[name].value - truth[name].value) < 4.0 * math.hypot(found[name].stderr, truth[name].stderr)
    assert resolved >= 1
    assert not _estimates(PathFunction(down_then_up, times=WEEKS, low=70.0, high=130.0))["price"].resolved


def test_a_run_that_is_not_what_the_search_saw_is_not_resolved(monkeypatch):
    import greeks.estimators.importance as module

    task = _task(Digital(option="call", strike=170.0, expiry=1.0))
    (ready,) = prepared([task], Plan())
    estimator = ready.estimators[0]
    (right,) = answer([ready], Plan())
    assert right.estimates["price", IS.name].resolved
    for change, text in (
        ({"mean": 1.1 * estimator.found.mean}, "standard errors from the search's"),
        ({"reason": "cannot tell: why"}, "cannot tell: why"),
    ):
        wrong = module.replace(estimator, found=module.replace(estimator.found, **change))
        (found,) = answer([module.replace(ready, estimators=(wrong,))], Plan())
        for name in NAMES:
            assert not found.estimates[name, IS.name].resolved
            assert text in found.estimates[name, IS.name].note
    nominal = module.replace(estimator, found=module.replace(estimator.found, mixture=Mixture()))
    (found,) = answer([module.replace(ready, estimators=(nominal,))], Plan(paths=4096))
    assert "effective count of paths" in found.estimates["delta", IS.name].note
    monkeypatch.setattr(module, "LARGEST_SHARE", 1e-5)
    (found,) = answer([ready], Plan())
    assert "one path may make more than" in found.estimates["vega", IS.name].note


def _task(contract, model=VOL, estimators=(IS,), **settings):
    wanted = tuple(greek(name, model) for name in NAMES)
    return GreekTask(
        contract=contract, scenario=Scenario(model=model, market=MARKET), greeks=wanted, estimators=estimators, **settings
    )


def _bits(answers):
    return [[(e.value, e.stderr, e.note) for e in found.estimates.values()] for found in answers]


@pytest.mark.parametrize(
    "sampling", [pricers.PseudoRandom(), Antithetic(), Sobol(scrambles=4)], ids=["plain", "antithetic", "Sobol"]
)
def test_same_bits_for_any_block_and_any_number_of_threads(sampling, monkeypatch):
    contracts = (PathFunction(above, times=MONTHS, k=160.0), Asian(option="call", strike=150.0, fixings=schedule(20, 1.0)))
    tasks = [*(_task(c, estimators=(LikelihoodRatio(), IS)) for c in contracts), _task(contracts[0], HESTON)]
    found = []
    for n_paths, threads in ((64, 2), (256, 1), (1024, 3)):
        monkeypatch.setattr(pricers.engine.simulation, "_n_paths", lambda samplers, n_paths=n_paths: n_paths)
        found.append(_bits(answer(tasks, Plan(paths=2**12, seed=5, steps_per_year=12, sampling=sampling), threads=threads)))
    assert found[0] == found[1] == found[2]


def test_same_bits_alone_and_among_others():
    days = tuple(k / 365.0 for k in range(1, 366))
    contracts = [
        PathFunction(above, times=(days[299],), k=170.0),
        Barrier(option="put", strike=70.0, barrier=130.0, kind="up-and-in", monitoring=days[6:200:7]),
        Asian(option="call", strike=150.0, fixings=days[29:365:30]),
    ]
    both, plan = (LikelihoodRatio(), IS), Plan(paths=3_000, seed=9)
    together = _bits(answer([_task(c, stream="X", time_grid=days, estimators=both) for c in contracts], plan))
    backwards = _bits(answer([_task(c, stream="X", time_grid=days, estimators=both) for c in contracts[::-1]], plan))[::-1]
    alone = [
        _bits(answer([_task(c, stream="X", time_grid=days[: days.index(c.times[-1]) + 1], estimators=both)], plan))[0]
        for c in contracts
    ]
    plain = [_bits(answer([_task(c, stream="X", time_grid=days, estimators=both[:1])], plan))[0] for c in contracts]
    assert together == backwards == alone
    assert [found[::2] for found in together] == plain  # paths of the nominal law are as they were
    assert together != _bits(answer([_task(c, stream="Y", time_grid=days, estimators=both) for c in contracts], plan))


def test_what_a_search_found_is_the_same_on_a_grid_of_days():
    days = tuple(k / 365.0 for k in range(1, 366))
    contract = PathFunction(above, times=(days[99], days[364]), k=level(1e-4))
    truth = _truth((Digital(option="call", strike=level(1e-4), expiry=1.0, cash=1.0),), VOL)
    (found,) = answer([_task(contract, stream="X", time_grid=days)], Plan(seed=1))
    _assert_right({name: found.estimates[name, IS.name] for name in NAMES}, truth, 0.015)


def test_paths_of_both_laws_are_compared_in_one_run():
    contract = PathFunction(above, times=MONTHS, k=level(0.05))
    (found,) = answer([_task(contract, estimators=(LikelihoodRatio(), IS))], Plan(seed=1))
    for name in NAMES:
        gap, error, *_ = found.difference(name, "likelihood_ratio", IS.name)
        assert abs(gap) < 4.0 * error
        apart = math.hypot(*(found.estimates[name, e].stderr for e in ("likelihood_ratio", IS.name)))
        assert 0.5 * apart < error < 1.5 * apart


def test_paths_are_added_until_an_error_is_reached():
    contract = Digital(option="call", strike=200.0, expiry=1.0)
    found = _estimates(contract, paths=2**13, stderr={"price": 1e-6})
    assert found["price"].stderr <= 1e-6
    assert "target error 1e-06 reached" in found["price"].note
    assert abs(found["price"].value - _truth((contract,), VOL)["price"]) < 4.0 * found["price"].stderr


def test_what_a_search_found_can_be_sent_and_is_a_value():
    (ready,) = prepared([_task(Digital(option="call", strike=170.0, expiry=1.0))], Plan())
    copy = pickle.loads(pickle.dumps(ready.estimators[0]))
    assert copy == ready.estimators[0]
    assert hash(copy) == hash(ready.estimators[0])
    assert prepared([ready], Plan())[0].estimators == ready.estimators
    assert ready.estimators[0].name == "likelihood_ratio with importance sampling" == IS.name


def test_a_pilot_may_choose_it():
    contract = Digital(option="call", strike=level(1e-3), expiry=1.0, cash=1.0)
    found = _estimates(contract, estimator=Auto(candidates=(LikelihoodRatio(), IS)), seed=1)
    for name in NAMES:
        assert found[name].estimator == IS.name
        assert "a search of" in found[name].note
    _assert_right(found, _truth((contract,), VOL), 0.015)


def test_it_is_known_by_name():
    contract = Digital(option="call", strike=190.0, expiry=1.0)
    by_name = _estimates(contract, estimator="importance_sampling")
    assert by_name["delta"] == _estimates(contract)["delta"]


def test_what_it_cannot_do_is_refused():
    contract = Digital(option="call", strike=190.0, expiry=1.0)
    for inner in (FiniteDifference(), Exact(), IS, "likelihood_ratio"):
        with pytest.raises(InvalidInput, match="^estimator must be an unbiased estimator on paths"):
            ImportanceSampling(inner)
    for segments_wanted in (0, 65, True, 2.0):
        with pytest.raises(InvalidInput, match="^segments must be a whole number from 1 to 64"):
            ImportanceSampling(segments=segments_wanted)
    with pytest.raises(NotApplicable, match=r"use ImportanceSampling\(Controlled"):
        _estimates(contract, estimator=Controlled(IS))
    with pytest.raises(NotApplicable, match=r"use ImportanceSampling\(Combined"):
        _estimates(contract, estimator=Combined(LikelihoodRatio(), IS))
    with pytest.raises(NotApplicable, match="jumps"):
        _estimates(contract, estimator=ImportanceSampling(Pathwise()))


def test_a_payoff_that_fails_stops_its_own_task_alone():
    def broken(spot):
        raise ValueError("no")

    tasks = [_task(PathFunction(broken, times=(1.0,), over="paths")), _task(Digital(option="call", strike=170.0, expiry=1.0))]
    failed, found = answer(tasks, Plan(paths=4096), keep_going=True)
    assert isinstance(failed, ValueError)
    assert found.estimates["price", IS.name].resolved
    with pytest.raises(ValueError, match="no"):
        answer(tasks[:1], Plan(paths=4096))


def test_segments_end_at_dates_and_halve_what_is_long():
    days = tuple(k / 8.0 for k in range(1, 9))
    assert segments(days, tuple(range(1, 9)), 12, between=False) == tuple(range(1, 9))
    assert segments(days, tuple(range(1, 9)), 4, between=False) == (2, 4, 6, 8)
    assert segments(days, tuple(range(1, 9)), 3, between=False) == (2, 5, 8)
    assert segments(days, (8,), 4, between=False) == (8,)
    assert segments(days, (8,), 4, between=True) == (2, 4, 6, 8)
    assert segments(days, (1, 8), 3, between=True) in ((1, 4, 8), (1, 5, 8))
    assert segments(days, (8,), 20, between=True) == tuple(range(1, 9))


def _drawn(payoff, directions, seed=0):
    """A `Draw` of independent normals, for payoffs of the coordinates."""

    def draw(mixture, first, count):
        rng = np.random.default_rng((seed, first))
        scales = np.array([s for _, s in mixture.spheres])
        shares = np.array([a for a, _ in mixture.spheres])
        laws = [(s, np.zeros(directions), c * np.eye(directions)) for s, c in zip(shares, scales, strict=True)]
        for part, a, b in mixture.copies:
            for share, mean, factor in zip(mixture.shares, mixture.means, mixture.factors, strict=True):
                laws.append((part * share, a * np.array(mean), b * np.array(factor)))
        which = rng.choice(len(laws), size=count, p=[law[0] for law in laws])
        g = rng.standard_normal((count, directions))
        y = np.array([laws[k][1] + laws[k][2] @ x for k, x in zip(which, g, strict=True)]).T
        return y, payoff(y)

    return draw


@pytest.mark.parametrize(
    ("payoff", "centre", "mean"),
    [
        (lambda y: 1.0 * (y[0] > 5.0), 0.0, float(ndtr(-5.0))),
        (lambda y: 1.0 * (y.sum(axis=0) > 2.0 * 4.5), 0.0, float(ndtr(-4.5))),
        (lambda y: 1.0 * (np.abs(y[1]) > 4.0), 0.0, 2.0 * float(ndtr(-4.0))),
        (lambda y: 3.0 - 1.0 * (y[0] > 4.0), 3.0, float(ndtr(-4.0))),
        (lambda y: 1.0 * ((y**2).sum(axis=0) < 0.3), 0.0, 1.0 - math.exp(-0.15) * (1.0 + 0.15)),
    ],
    ids=["one", "sum", "two-sided", "nearly always", "near the start"],
)
def test_a_search_finds_where_a_function_differs_from_its_median(payoff, centre, mean):
    found = search(_drawn(payoff, 4), 4)
    assert found.reason == ""
    assert found.centre == centre
    assert abs(found.mean - mean) < 4.0 * found.stderr
    assert found.stderr < 0.05 * mean
    assert 5 * PATHS <= found.paths <= 25 * PATHS
    y, paid = _drawn(payoff, 4, seed=1)(found.mixture, 0, 20_000)
    weights = np.empty((2, 20_000))
    found.mixture.weigh(y, weights)
    numbers = weights[0] * np.abs(paid - found.centre)
    error = numbers.std() / math.sqrt(20_000)
    assert abs(numbers.mean() - mean) < 4.0 * error
    assert error < 0.03 * mean
    assert weights[0].max() <= 10.0 + 1e-9


def test_kernels_have_plain_twins():
    rng = np.random.default_rng(4)
    y, parts = rng.standard_normal((3, 50)), rng.random((2, 50))
    shares, means, covariances = parts.sum(axis=1), np.empty((2, 3)), np.empty((2, 3, 3))
    _moments(y, parts, shares, means, covariances)
    for k in range(2):
        assert means[k] == pytest.approx(np.average(y, axis=1, weights=parts[k]))
        assert covariances[k] == pytest.approx(np.cov(y, aweights=parts[k], ddof=0))
    inverses, centres, logs = np.tril(rng.random((2, 3, 3))), rng.random((2, 3)), np.empty((2, 50))
    _log_densities(y, np.array([0.5, -1.0]), inverses, centres, logs)
    for k, constant in enumerate((0.5, -1.0)):
        assert logs[k] == pytest.approx(constant - 0.5 * ((inverses[k] @ y - centres[k][:, None]) ** 2).sum(axis=0))
    weights, paid, out = rng.random((2, 50)), rng.standard_normal(50), rng.standard_normal((7, 50))
    before = out.copy()
    _apply(weights, 0.8, 2.0, paid, 2, out)
    assert out[0] == pytest.approx(weights[0] * before[0] + 2.0)
    assert out[1] == pytest.approx(weights[0] * before[1])
    assert out[2] == pytest.approx(weights[0] - 1.0)
    assert out[3] == pytest.approx(weights[1] - 0.8)
    assert np.array_equal(out[4], before[4])
    assert out[5] == pytest.approx(weights[0] * np.abs(paid))
    assert out[6] == pytest.approx((weights[0] * paid) ** 2)
    share, residual, seen, squares = rng.standard_normal((4, 50))
    _unseen(share, residual, seen, squares, 0.3, before[:4])
    assert before[:4] == pytest.approx(share * [residual, squares, residual**2 - 0.3, residual * seen])


COVERED = {f"gbm {n}": (*e, VOL) for n, e in GBM_EVENTS.items()} | {f"heston {n}": (*e, HESTON) for n, e in HESTON_EVENTS.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", COVERED)
def test_accepted_intervals_cover_the_truth(name):
    contract, exact, model = COVERED[name]
    truth, inside, claimed = _truth(exact, model), dict.fromkeys(NAMES, 0), dict.fromkeys(NAMES, 0)
    for seed in range(40):
        found = _estimates(contract, model, paths=2**14, seed=seed)
        for g in NAMES:
            if found[g].resolved:
                low, high = found[g].interval(0.95)
                claimed[g] += 1
                inside[g] += low < truth[g] < high
    assert claimed["price"] >= (24 if model == HESTON else 32)
    assert sum(claimed.values()) >= 40
    for g in NAMES:  # 40 seeds: at 95 % fewer than 33 hits of 40 have a chance of 0.1 %
        assert inside[g] >= 0.825 * claimed[g] - 1, (g, inside[g], claimed[g])
    assert sum(inside.values()) >= 0.92 * sum(claimed.values()), (inside, claimed)
