"""The pilot's choice, and runs to a target error."""

import math
import re

import cases
import pytest

from greeks import Auto, Controlled, Exact, InvalidInput, LikelihoodRatio, NotApplicable, Pathwise, sensitivities
from greeks.engine.run import answer
from greeks.engine.tasks import GreekTask
from greeks.greek import greek
from pricers import Asian, Barrier, PathFunction, Plan, PseudoRandom, Sobol, schedule
from pricers.models.scenario import Scenario

ASIAN = Asian(option="call", strike=100.0, fixings=schedule(12, 1.0))
BARRIER = Barrier(option="call", strike=100.0, barrier=90.0, kind="down-and-out", monitoring=schedule(60, 1.0))


def run(contract, estimator, names=("delta", "vega", "rho"), **plan):
    return sensitivities(contract, cases.VOL, cases.FLAT, greeks=names, estimator=estimator, plan=Plan(**({"seed": 4} | plan)))


def cost_ns(candidate, contract):
    return 15.0 + cases.VOL.cost_ns[1] * len(contract.times) + candidate.cost_ns(contract)


OPEN = [contract for name, contract in cases.EXACT.items() if not name.startswith("touched")]


@pytest.mark.parametrize("contract", [ASIAN, BARRIER, *OPEN], ids=lambda c: c.family)
def test_the_choice_is_nearly_the_best_of_the_candidates(contract):
    auto = Auto()
    chosen = run(
        contract, auto, paths=2**22, sampling=PseudoRandom()
    )  # of an option that seldom pays, a shorter run's pilot knows the variance too badly
    for name in ("delta", "vega", "rho"):
        scores = {}
        for candidate in auto.candidates:
            try:
                found = run(contract, candidate, (name,), paths=2**16)[name]
            except NotApplicable:
                continue
            if found.resolved:
                scores[candidate.name] = cost_ns(candidate, contract) * found.stderr**2
        assert scores[chosen[name].estimator] <= 1.3 * min(scores.values()) + 1e-12


def test_the_choice_and_the_runners_up_are_said():
    found = run(ASIAN, Auto(), sampling=PseudoRandom())["vega"]
    assert found.estimator == "preintegrated"
    assert re.fullmatch(r"chosen over .*likelihood_ratio x[\d.e+]+ in variance times cost", found.note)


def test_the_choice_is_the_same_every_time():
    one, two = (run(BARRIER, Auto(), paths=3000, seed=8) for _ in range(2))
    assert [(e.value, e.stderr, e.note) for e in one.values()] == [(e.value, e.stderr, e.note) for e in two.values()]


def test_a_payoff_without_gradient_gets_the_likelihood_ratio():
    payoff = PathFunction(lambda spot: 1.0 * (spot[-1] > 100.0), times=(1.0,), over="paths")
    found = run(payoff, Auto(), sampling=PseudoRandom())["delta"]
    assert (found.estimator, found.note) == ("likelihood_ratio", "chosen")


def test_no_candidate_answers():
    with pytest.raises(NotApplicable, match=r"no unbiased estimator answers for delta of digital; use FiniteDifference\(\)"):
        run(cases.EXACT["digital call"], Auto(candidates=(Pathwise(),)))


class Broken(LikelihoodRatio):
    def sample_spec(self, greek, contract, scenario, plan):
        raise ZeroDivisionError("nobody thought of this")


def test_a_candidate_that_breaks_stops_its_own_task_and_no_other():
    def task(contract, *candidates):
        scenario = Scenario(model=cases.VOL, market=cases.FLAT)
        return GreekTask(
            contract=contract, scenario=scenario, greeks=(greek("delta", cases.VOL),), estimators=(Auto(candidates=candidates),)
        )

    tasks, plan = (
        [task(ASIAN, Pathwise(), LikelihoodRatio()), task(ASIAN, Broken()), task(BARRIER, Broken(), Controlled())],
        Plan(paths=2048),
    )
    well, *broken = answer(tasks, plan, keep_going=True)
    assert well.estimates["delta", "auto"].estimator == "pathwise"
    assert well.estimates["delta", "auto"].note.startswith("chosen over likelihood_ratio x")
    assert [repr(error) for error in broken] == 2 * ["ZeroDivisionError('nobody thought of this')"]
    with pytest.raises(ZeroDivisionError, match="nobody thought of this"):
        answer(tasks, plan)


def test_candidates_must_be_unbiased():
    with pytest.raises(InvalidInput, match=r"^candidates must"):
        Auto(candidates=())
    with pytest.raises(InvalidInput, match=r"^candidates must"):
        Auto(candidates=(Exact(),))


@pytest.mark.parametrize("sampling", [{}, {"sampling": Sobol(scrambles=16)}], ids=["pseudo-random", "Sobol"])
def test_a_target_is_met_in_every_run(sampling):
    truth = sensitivities(cases.EXACT["geometric asian call"], cases.VOL, cases.FLAT, greeks=("delta",), estimator=Exact())[
        "delta"
    ].value
    inside = 0
    for seed in range(40):
        contract = cases.EXACT["geometric asian call"]
        plan = {"paths": 2**10, "seed": seed, "stderr": {"delta": 2e-3}, "max_paths": 2**20}
        found = run(contract, LikelihoodRatio(), ("delta",), **plan, **sampling)["delta"]
        assert found.stderr <= 2e-3
        assert found.note.endswith("target error 0.002 reached")
        assert found.paths < 2**20
        inside += abs(found.value - truth) < 2.0 * found.stderr
    assert inside >= 34  # 95 % of 40 is 38; 34 is three standard errors below


def test_the_choice_reaches_a_target_in_a_hundred_runs():
    target = 5e-4
    truth = sensitivities(BARRIER, cases.VOL, cases.FLAT, greeks=("delta",), estimator=Exact())["delta"].value
    reached = inside = 0
    for seed in range(100):
        plan = {"paths": 2**10, "seed": seed, "stderr": {"delta": target}, "max_paths": 2**15}
        found = run(BARRIER, "auto", ("delta",), **plan)["delta"]
        reached += found.stderr <= target
        inside += abs(found.value - truth) < 2.0 * target
        assert found.paths > 2**10  # the target asks for more than the first run
    assert reached >= 95
    assert inside >= 88  # 95 % of a hundred, less three standard errors


def test_a_budget_that_ends_first_is_said():
    found = run(ASIAN, LikelihoodRatio(), ("delta", "vega"), paths=2**10, stderr={"delta": 1e-6}, max_paths=3000)
    assert found["delta"].paths == found["vega"].paths == 3000
    assert "not reached: the plan's max_paths ended first" in found["delta"].note
    assert not found["vega"].note


def test_a_target_already_met_costs_no_more_paths():
    found = run(ASIAN, Controlled(), ("delta",), paths=2**14, stderr={"delta": 1.0})
    assert found["delta"].paths == 2**14


def test_bad_targets():
    with pytest.raises(InvalidInput, match=r"stderr\['delta'\] must be positive"):
        Plan(stderr={"delta": 0.0})
    with pytest.raises(InvalidInput, match=r"^stderr must name Greeks that are asked for, got 'gamma'"):
        run(ASIAN, LikelihoodRatio(), ("delta",), stderr={"gamma": 1.0})
    assert math.isfinite(run(ASIAN, LikelihoodRatio(), ("delta",), paths=2)["delta"].value)
