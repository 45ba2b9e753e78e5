"""The bias of time steps: measured on the same paths, in every entrance, and counted by a target error."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

import greeks.engine.discretisation
from greeks import Controlled, Exact, FiniteDifference, LikelihoodRatio, sensitivities
from greeks.engine.run import answer
from greeks.engine.sampler import GreekSampler, Shared
from greeks.engine.tasks import GreekTask
from greeks.estimators.conditional import Conditional
from greeks.greek import greek
from greeks.portfolio.batch import Question, answers
from greeks.portfolio.read_trades import read_portfolio
from pricers import GBM, Antithetic, Asian, Barrier, Digital, European, Heston, Market, Plan, price, schedule
from pricers.engine.discretisation import coarser, halvings
from pricers.models.scenario import Scenario
from pricers.random_numbers.path_block import Block, ObservationDates
from pricers.random_numbers.sobol import Sobol
from tests import books
from tests.heston_cases import MARKET, OTHERS, SEVEN, strikes

MILD = Heston(v0=0.04, kappa=1.5, theta=0.04, xi=0.5, rho=-0.7)
WILD, SOON, _ = SEVEN["xi 3, three months"]
DAYS = tuple(day / 365.0 for day in range(1, 401))


def test_every_second_and_every_fourth_point_and_the_dates_are_left():
    assert coarser(8, np.array([7]), 2).tolist() == [1, 3, 5, 7]
    assert coarser(8, np.array([7]), 4).tolist() == [3, 7]
    assert coarser(9, np.array([8]), 2).tolist() == [2, 4, 6, 8]  # three steps at first
    assert coarser(10, np.array([9]), 4).tolist() == [5, 9]
    assert coarser(11, np.array([10]), 4).tolist() == [2, 6, 10]
    assert coarser(7, np.array([1, 4, 6]), 2).tolist() == [1, 4, 6]
    assert coarser(9, np.array([0, 4, 8]), 2).tolist() == [0, 2, 4, 6, 8]
    assert coarser(3, np.array([0, 1, 2]), 4).tolist() == [0, 1, 2]
    assert coarser(8, np.array([3]), 2).tolist() == [1, 3, 5, 7]  # one date is followed by the same steps
    assert coarser(8, np.array([1, 3]), 2).tolist() == [1, 3]


def samplers(contracts, model, time_grid, plan, estimator=LikelihoodRatio()):  # noqa: B008
    names = ("price", "delta", "vega")
    tasks = [
        GreekTask(
            contract=contract,
            scenario=Scenario(model=model, market=MARKET),
            greeks=tuple(greek(name, model) for name in names),
            estimators=(estimator,),
            stream="X",
            time_grid=time_grid,
        )
        for contract in contracts
    ]
    shared = Shared()
    return [GreekSampler(task, plan, shared) for task in tasks]


@pytest.mark.parametrize("sampling", [None, Antithetic(), Sobol()], ids=["pseudo-random", "antithetic", "sobol"])
def test_a_coarse_grid_has_the_same_brownian_paths(sampling):
    """Under GBM, which has no bias, all that is left of the differences is rounding."""
    plan = Plan(paths=2**12, seed=1, **({"sampling": sampling} if sampling else {}))
    contracts = [
        European(option="call", strike=100.0, expiry=DAYS[99]),
        Asian(option="put", strike=98.0, fixings=DAYS[10:300:41]),
    ]
    uneven = tuple(np.cumsum(np.tile([0.001, 0.004, 0.002, 0.0005], 80)).tolist())
    for time_grid, chosen in ((DAYS, contracts), (uneven, [European(option="call", strike=100.0, expiry=uneven[250])])):
        for levels in halvings(samplers(chosen, GBM(vol=0.2), time_grid, plan), plan, 2):
            assert len(levels) == 2
            for group in (moments for level in levels for moments in level):
                assert np.abs(group.mean).max() < 1e-11
                assert np.abs(group.comoment).max() < 1e-16


def test_the_differences_are_those_of_paths_made_step_by_step():
    """Against a block on the coarse grid whose normals are put together here."""
    expiry, plan = 0.5, Plan(paths=1024, seed=3)
    fine = MILD.time_grid((expiry,))
    (sampler,) = samplers([European(option="call", strike=100.0, expiry=expiry)], MILD, fine, plan)
    (levels,) = halvings([sampler], plan, 1)
    block = Block(seed=3, stream="X", time_grid=fine, first=0, n_paths=1024, factors=2)
    values = []
    for by in (1, 2, 4):
        points = coarser(len(fine), np.array([len(fine) - 1]), by)
        steps, at = np.diff(fine, prepend=0.0), np.concatenate([[0], points + 1])
        walks = [np.vstack([np.zeros(1024), np.cumsum(np.sqrt(steps)[:, None] * block.normals(f), axis=0)]) for f in (0, 1)]
        coarse = tuple(fine[k] for k in points)
        made = Block(seed=0, stream="", time_grid=coarse, first=0, n_paths=1024, factors=2)
        roots = np.sqrt(np.diff(coarse, prepend=0.0))[:, None]
        for factor in (0, 1):
            made.once(("normals", factor), lambda walk=walks[factor][at], roots=roots: np.diff(walk, axis=0) / roots)
        spot = MILD.paths(made, ObservationDates((expiry,), coarse), MARKET).spot[-1]
        values.append(math.exp(-0.03 * expiry) * np.maximum(spot - 100.0, 0.0).mean())
    for level, (one, other) in zip(levels, itertools.pairwise(values), strict=True):
        assert level[0].value(level[0].only(0)) == pytest.approx(one - other, abs=1e-11)
        assert abs(one - other) > 1e-3


def bits(results):
    return [[(e.value, e.stderr, e.bias, e.bias_stderr) for e in result.estimates.values()] for result in results]


def test_a_bias_has_the_same_bits_alone_and_in_a_book_with_any_threads():
    contracts = [
        European(option="call", strike=100.0, expiry=DAYS[99]),
        Digital(option="put", strike=95.0, expiry=DAYS[100], cash=10.0),
        Asian(option="put", strike=98.0, fixings=DAYS[10:300:41]),
        Barrier(option="call", strike=100.0, barrier=90.0, kind="down-and-out", monitoring=DAYS[:60]),
        European(option="put", strike=100.0, expiry=DAYS[0]),
        *(European(option="put", strike=90.0 + k, expiry=DAYS[200 + k]) for k in range(8)),
    ]
    plan, time_grid = Plan(paths=2**14, seed=4), MILD.time_grid(DAYS)

    def task(contract, time_grid=time_grid):
        wanted = tuple(greek(name, MILD) for name in ("delta", "vega"))
        scenario = Scenario(model=MILD, market=MARKET)
        return GreekTask(
            contract=contract, scenario=scenario, greeks=wanted, estimators=(LikelihoodRatio(),), stream="X", time_grid=time_grid
        )

    together = bits(answer([task(c) for c in contracts], plan, threads=1))
    assert together == bits(answer([task(c) for c in contracts[::-1]], plan, threads=2))[::-1]
    assert all(bias > 0.0 and error > 0.0 for row in together for _, _, bias, error in row)
    for contract, row in zip(contracts[:5], together, strict=False):
        short = MILD.time_grid(DAYS[: DAYS.index(contract.times[-1]) + 1])
        assert bits(answer([task(contract, short)], plan)) == [row]


def test_a_books_grid_is_made_of_days_and_of_what_short_options_need():
    expiries = ("2024-01-12", "2024-03-15", "2024-12-20")
    rows = [books.trade(expiry, model="heston", expiry=expiry, contract="digital", cash=5.0) for expiry in expiries]
    positions = read_portfolio(books.book(*rows), books.MARKET, estimator=LikelihoodRatio()).positions
    assert len(positions) == len(rows)
    wanted = tuple(greek(name, books.HESTON) for name in ("delta", "vega"))
    questions = [Question(position=p, greeks=wanted, estimators=(Conditional(), Exact())) for p in positions]
    plan = Plan(paths=2**12, seed=2)
    found = answers(questions, plan, threads=2, progress=None)
    for result in found:
        for name in ("delta", "vega"):
            e, truth = result.estimates[name, "conditional"], result.estimates[name, "exact"].value
            assert abs(e.value - truth) < 4.0 * e.stderr
            assert e.stderr < 0.1 * abs(truth)
            assert 0.0 < e.bias_stderr < 2.5 * e.stderr
    together = bits(found)
    alone = [bits(answers([question], plan, threads=1, progress=None))[0] for question in questions]
    assert together == alone


CONTRACTS = {
    "digital": Digital(option="call", strike=105.0, expiry=0.5, cash=10.0),
    "asian": Asian(option="call", strike=100.0, fixings=schedule(6, 0.5)),
    "barrier": Barrier(option="call", strike=100.0, barrier=92.0, kind="down-and-out", monitoring=schedule(6, 0.5)),
}


@pytest.mark.parametrize("name", CONTRACTS)
@pytest.mark.parametrize("estimator", ["likelihood_ratio", "auto", "finite_difference"])
def test_every_method_has_a_bias_with_an_error_of_the_order_of_its_own(name, estimator):
    contract, plan = CONTRACTS[name], Plan(paths=2**14, seed=1)
    found = sensitivities(contract, MILD, MARKET, greeks=("price", "delta", "rho"), estimator=estimator, plan=plan)
    for estimate in found.values():
        assert estimate.bias > 0.0
        assert 0.0 < estimate.bias_stderr < 2.5 * estimate.stderr


def test_controls_are_taken_off_the_differences_too():
    contract, plan = CONTRACTS["asian"], Plan(paths=2**14, seed=1)
    plain, controlled = (
        sensitivities(contract, MILD, MARKET, greeks=("delta",), estimator=method, plan=plan)["delta"]
        for method in (LikelihoodRatio(), Controlled(LikelihoodRatio()))
    )
    assert controlled.bias_stderr < 0.7 * plain.bias_stderr


def test_a_price_has_a_bias_and_gbm_has_none():
    contract, plan = European(option="call", strike=100.0, expiry=SOON), Plan(paths=2**14, seed=1)
    simulated = price(contract, WILD, MARKET, method="simulation", plan=plan)
    assert simulated.bias > 0.0 < simulated.bias_stderr < simulated.stderr
    assert price(contract, GBM(vol=0.2), MARKET, method="simulation", plan=plan).bias == 0.0
    found = sensitivities(contract, GBM(vol=0.2), MARKET, greeks=("delta",), estimator="likelihood_ratio", plan=plan)["delta"]
    assert (found.bias, found.bias_stderr) == (0.0, 0.0)


def test_tables_and_texts_show_it():
    found = sensitivities(
        CONTRACTS["digital"],
        WILD,
        MARKET,
        greeks=("delta",),
        estimator="likelihood_ratio",
        plan=Plan(paths=2**14, steps_per_year=16),
    )
    frame, estimate = found.frame(), found["delta"]
    assert frame.loc[0, ["bias", "bias_stderr"]].tolist() == [estimate.bias, estimate.bias_stderr]
    assert f"bias <= {estimate.bias:.2g}" in str(estimate)
    assert "bias" not in str(replace(estimate, bias=0.4 * estimate.stderr))


def test_what_cannot_be_measured_is_no_zero_without_a_word():
    dense = Asian(option="call", strike=100.0, fixings=schedule(16, 0.25))
    found = sensitivities(dense, MILD, MARKET, greeks=("delta",), plan=Plan(paths=2**10, steps_per_year=64))["delta"]
    assert "every one ends at a date" in found.note
    wide = Heston(v0=0.04, kappa=0.5, theta=0.04, xi=2.0, rho=0.9)
    plan = Plan(paths=2**10, steps_per_year=4)
    contract = European(option="call", strike=100.0, expiry=1.0)
    for found in (
        sensitivities(contract, wide, MARKET, greeks=("price",), estimator="likelihood_ratio", plan=plan)["price"],
        price(contract, wide, MARKET, method="simulation", plan=plan),
    ):
        assert math.isnan(found.bias)
        assert math.isfinite(found.value)
        assert "could not be measured" in found.note
    two = European(option="call", strike=100.0, expiry=1 / 52)
    assert (
        "rests on one halving" in price(two, MILD, MARKET, method="simulation", plan=Plan(paths=2**10, steps_per_year=104)).note
    )


def test_pilots_do_without(monkeypatch):
    calls, measured = [], greeks.engine.discretisation.halvings
    monkeypatch.setattr(greeks.engine.discretisation, "halvings", lambda *a, **k: calls.append(a) or measured(*a, **k))
    sensitivities(CONTRACTS["digital"], MILD, MARKET, greeks=("delta",), estimator="auto", plan=Plan(paths=2**13))
    assert len(calls) == 1


def test_a_target_error_counts_the_bias_and_refines_the_time_steps():
    contract, target = Digital(option="call", strike=100.0, expiry=SOON, cash=10.0), 0.006
    truth = sensitivities(contract, WILD, MARKET, greeks=("delta",), estimator="exact")["delta"].value
    rough = Plan(paths=2**15, seed=2, sampling=Sobol(), steps_per_year=64)
    fixed = sensitivities(contract, WILD, MARKET, greeks=("delta",), estimator=Conditional(), plan=rough)["delta"]
    assert fixed.stderr < target < fixed.bias  # enough paths, too few steps
    plan = replace(rough, stderr={"delta": target})
    found = sensitivities(contract, WILD, MARKET, greeks=("delta",), estimator=Conditional(), plan=plan)["delta"]
    assert "target error 0.006 reached" in found.note
    assert math.hypot(found.stderr, found.bias) <= target
    assert abs(found.value - truth) < target + 3.0 * found.stderr
    assert abs(fixed.value - truth) > 10.0 * target


def test_a_target_that_ends_with_its_budget_says_which_part_is_lacking():
    contract = Digital(option="call", strike=100.0, expiry=SOON, cash=10.0)
    small = Plan(paths=2**11, seed=2, sampling=Sobol(), max_paths=2**12, stderr={"delta": 1e-5})
    found = sensitivities(contract, MILD, MARKET, greeks=("delta",), estimator=Conditional(), plan=small)["delta"]
    assert "target error 1e-05 not reached: " in found.note
    assert "bias" in found.note or "max_paths" in found.note


def cells():
    for name, (model, expiry, *_) in (SEVEN | OTHERS).items():
        for strike in strikes(model, expiry):
            for contract in (
                Digital(option="call", strike=strike, expiry=expiry, cash=10.0),
                European(option="call", strike=strike, expiry=expiry),
            ):
                for which in ("price", "delta", *(("vega",) if model.v0 > 0.0 else ())):
                    yield name, model, contract, which


@pytest.mark.slow
def test_the_bias_bounds_the_true_one_in_95_of_100_cells():
    plan, missed, count = Plan(paths=2**17, seed=5, sampling=Sobol()), [], 0
    for name, model, contract, which in cells():
        truth = sensitivities(contract, model, MARKET, greeks=(which,), estimator="exact")[which].value
        found = sensitivities(contract, model, MARKET, greeks=(which,), estimator=Conditional(), plan=plan)[which]
        count += 1
        if abs(found.value - truth) > found.bias + 2.0 * found.stderr:
            missed.append((name, contract, which, found, truth))
    assert count > 180
    assert len(missed) <= 0.05 * count, missed


FLAT, GBM20 = Market(spot=100.0, rate=0.03), GBM(vol=0.2)


def near(barrier, dates):
    return Barrier(option="call", strike=100.0, barrier=barrier, kind="down-and-out", monitoring=schedule(dates, 1.0))


@pytest.mark.parametrize(("barrier", "dates"), [(99.0, 12), (97.0, 12), (94.0, 12), (99.0, 52), (99.0, 250), (99.0, 4)])
def test_differences_near_a_barrier_are_right_within_their_error_and_bias(barrier, dates):
    contract, exact, vol = near(barrier, dates), {}, 0.2
    exact = sensitivities(contract, GBM20, FLAT, greeks=("delta", "gamma"), estimator="exact")
    up, down = (
        sensitivities(contract, GBM(vol=vol + h), FLAT, greeks=("delta",), estimator="exact")["delta"].value
        for h in (5e-4, -5e-4)
    )
    truth = {"delta": exact["delta"].value, "gamma": exact["gamma"].value, "vanna": (up - down) / 1e-3}
    found = sensitivities(contract, GBM20, FLAT, greeks=tuple(truth), estimator="finite_difference", plan=Plan(seed=1))
    for name, value in truth.items():
        e = found[name]
        assert abs(e.value - value) < e.bias + 3.0 * math.hypot(e.stderr, e.bias_stderr), name
        assert 0.0 < e.bias_stderr < e.stderr
    assert found["delta"].stderr < 0.05 * truth["delta"]
    assert found["vanna"].stderr < 0.5 * abs(truth["vanna"])


def bump(contract, plan=Plan(paths=2**16), which="gamma"):  # noqa: B008
    note = sensitivities(contract, GBM20, FLAT, greeks=(which,), estimator="finite_difference", plan=plan)[which].note
    return float(note.split()[-1])


def test_a_bump_knows_the_first_date_the_barriers_distance_and_the_sampling():
    whole = 20.0 * (2**16) ** (-1 / 6)
    assert bump(Digital(option="call", strike=100.0, expiry=1.0)) == pytest.approx(whole, rel=1e-3)
    assert bump(near(1.0, 12)) == pytest.approx(whole, rel=1e-3)
    assert bump(near(99.0, 100)) == pytest.approx(whole * math.sqrt(0.1), rel=1e-3)
    assert bump(near(90.0, 100)) == pytest.approx(whole * math.sqrt(math.log(100.0 / 90.0) / 0.2), rel=1e-3)
    assert bump(near(90.0, 100), Plan(paths=2**16, sampling=Sobol())) < 0.7 * bump(near(90.0, 100))


def test_the_bias_of_a_wide_bump_is_measured():
    contract = Digital(option="call", strike=100.0, expiry=1.0, cash=10.0)
    truth = sensitivities(contract, GBM20, FLAT, greeks=("delta",), estimator="exact")["delta"].value
    for share, low, high in ((0.25, 0.8, 1.3), (0.45, 0.8, 1.5), (0.5, 0.7, 1.5)):
        found = sensitivities(
            contract, GBM20, FLAT, greeks=("delta",), estimator=FiniteDifference(bump=share), plan=Plan(paths=2**20, seed=3)
        )["delta"]
        off = abs(found.value - truth)
        assert off > 5.0 * found.stderr
        assert low * off - 3.0 * found.bias_stderr < found.bias < high * off + 3.0 * found.bias_stderr
