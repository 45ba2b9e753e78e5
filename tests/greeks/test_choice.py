"""The pair of method and sampling that a pilot chooses, and what a run does where the chosen method tells no error."""

from dataclasses import dataclass, replace

import cases
import pytest

from greeks import Auto, Controlled, LikelihoodRatio, Pathwise, sensitivities
from greeks.engine.pilot import chosen
from greeks.engine.run import answer, prepared
from greeks.engine.tasks import GreekTask
from greeks.estimators.auto import Chosen, Ranked
from greeks.greek import greek
from greeks.validation.crosscheck import crosscheck
from pricers import GBM, Antithetic, Asian, Barrier, European, Heston, Market, Plan, PseudoRandom, Sobol, schedule
from pricers.models.scenario import Scenario

MARKET = Market(spot=100.0, rate=0.05, dividend=0.02)
HESTON = Heston(v0=0.04, kappa=1.5, theta=0.04, xi=0.5, rho=-0.7)
WILD = Heston(v0=0.04, kappa=1.5, theta=0.04, xi=1.0, rho=-0.7)
KNOCK_IN = Barrier(option="put", strike=100.0, barrier=70.0, kind="down-and-in", monitoring=schedule(4, 0.5))
DAILY = Barrier(option="call", strike=100.0, barrier=95.0, kind="down-and-out", monitoring=schedule(250, 1.0))
WEEKLY = Asian(option="call", strike=100.0, fixings=schedule(52, 1.0))
SMALL = Plan(paths=2**12, seed=1)


def found(contract, model, name, estimator, plan):
    return sensitivities(contract, model, MARKET, greeks=(name,), estimator=estimator, plan=plan, threads=1)[name]


def task(contract, model, *estimators, names=("vega",), stream=""):
    scenario = Scenario(model=model, market=MARKET)
    return GreekTask(
        contract=contract,
        scenario=scenario,
        greeks=tuple(greek(name, model) for name in names),
        estimators=estimators,
        stream=stream,
    )


def ranked(*candidates):
    """A choice in this order."""
    return Chosen("auto", {"vega": tuple(Ranked(candidate, 1.0 + place) for place, candidate in enumerate(candidates))})


def test_a_chosen_method_without_a_known_error_gives_way_to_one_whose_error_the_same_paths_tell():
    auto, spare = Auto(rare=None), Controlled(LikelihoodRatio())
    number, same = found(KNOCK_IN, WILD, "vega", auto, SMALL), found(KNOCK_IN, WILD, "vega", spare, SMALL)
    others = [found(KNOCK_IN, WILD, "vega", c, SMALL) for c in auto.candidates[4:6]]
    assert not any(other.resolved for other in others)  # the methods that the pilot prefers
    assert number.resolved
    assert (number.value, number.stderr, number.bias, number.estimator) == (same.value, same.stderr, same.bias, spare.name)
    assert number.note.startswith("one_step_survival")
    assert (
        "was chosen, but the run did not tell its error; likelihood_ratio with controls on the same paths tells its own"
        in number.note
    )


def test_where_nobody_knows_an_error_the_chosen_number_stays_without_one():
    plan = replace(SMALL, seed=2)
    number = found(KNOCK_IN, WILD, "vega", Auto(rare=None), plan)
    assert not number.resolved
    assert number.estimator.startswith("one_step_survival")
    assert "error not known" in number.note
    assert "was chosen, but" not in number.note


@pytest.mark.parametrize("threads", [1, 2])
def test_neither_threads_nor_other_trades_change_a_number_that_fell_back(threads):
    alone = answer([task(KNOCK_IN, WILD, Auto(rare=None))], SMALL, threads=1)[0].estimates["vega", "auto"]
    other = task(WEEKLY, GBM(vol=0.2), Auto(), stream="other")
    second = task(replace(KNOCK_IN, strike=110.0), WILD, Auto(rare=None))
    beside = answer([other, second, task(KNOCK_IN, WILD, Auto(rare=None))], SMALL, threads=threads)[2].estimates["vega", "auto"]
    assert "was chosen, but" in alone.note
    assert (beside.value, beside.stderr, beside.note) == (alone.value, alone.stderr, alone.note)


def test_what_stands_beside_a_number_that_fell_back_is_still_compared_with_it_on_common_paths():
    survival, spare, check = Auto().candidates[4], Controlled(LikelihoodRatio()), LikelihoodRatio()
    (reply,) = answer([task(KNOCK_IN, WILD, ranked(survival, spare), check)], SMALL, threads=1)
    (both,) = answer([task(KNOCK_IN, WILD, spare, check)], SMALL, threads=1)
    assert reply.estimates["vega", "auto"].estimator == spare.name
    assert reply.difference("vega", "auto", check.name) == both.difference("vega", spare.name, check.name)
    assert reply.batches("vega", "auto")[0].tolist() == both.batches("vega", spare.name)[0].tolist()
    assert reply.step_biases["vega", "auto"] == both.step_biases["vega", spare.name]


def test_a_method_does_not_agree_with_itself():
    table = crosscheck(
        DAILY,
        GBM(vol=0.2),
        MARKET,
        greeks=("delta",),
        estimators=(Auto(candidates=(LikelihoodRatio(),), rare=None), LikelihoodRatio()),
        plan=SMALL,
    )
    assert sorted(table["verdict"]) == ["not comparable", "reference"]
    assert table["note"].str.contains("likelihood_ratio makes both numbers").sum() == 1


def test_sobol_points_are_taken_where_they_pay_for_the_time_they_take():
    plan = Plan(paths=2**16, seed=3)
    smooth, rough = (
        found(WEEKLY, GBM(vol=0.2), "delta", "auto", plan),
        found(DAILY, GBM(vol=0.2), "gamma", Auto(candidates=(LikelihoodRatio(),), rare=None), plan),
    )
    assert smooth.degrees == 31.0
    assert "on scrambled Sobol points: about x" in smooth.note
    independent = found(WEEKLY, GBM(vol=0.2), "delta", "auto", replace(plan, sampling=PseudoRandom()))
    assert smooth.stderr**2 < 0.2 * independent.stderr**2  # points take three times as long
    assert rough.degrees == float("inf")
    assert "Sobol" not in rough.note


def test_the_method_is_chosen_for_the_sampling():
    candidates, plan = (Pathwise(), LikelihoodRatio()), Plan(paths=2**16, seed=5)
    contract = European(option="call", strike=100.0, expiry=1.0)
    pair = found(contract, HESTON, "delta", Auto(candidates=candidates), plan)
    forced = {c.name: found(contract, HESTON, "delta", c, replace(plan, sampling=Sobol())).stderr for c in candidates}
    assert pair.degrees == 31.0
    assert pair.stderr == min(forced.values()) == forced[pair.estimator]


@pytest.mark.parametrize("sampling", [PseudoRandom(), Antithetic()], ids=["pseudo-random", "antithetic"])
def test_a_sampling_that_is_named_stays(sampling):
    number = found(WEEKLY, GBM(vol=0.2), "delta", "auto", Plan(paths=2**16, seed=3, sampling=sampling))
    assert "Sobol" not in number.note
    assert number.degrees == float("inf")


def rounds(contract, greeks, plan, *candidates):
    """How many paths each round of a pilot had, and how many candidates."""
    seen = []

    def run(pilots, small):
        seen.append((small.paths, len(pilots[0].estimators)))
        return answer(pilots, small, threads=1, keep_going=True, pilot=True)

    settled = chosen(
        [task(contract, cases.VOL, Auto(candidates=candidates, rare=None, pilot=2**15), names=greeks)], plan, run, prepared
    )
    return seen, settled[0].estimators[0].ranking


def test_a_clear_ranking_needs_no_second_round():
    seen, ranking = rounds(WEEKLY, ("vega",), Plan(paths=2**18, seed=1), LikelihoodRatio(), Pathwise())
    assert ranking["vega"][0].estimator == Pathwise()
    assert len(seen) == 1


def test_an_unclear_ranking_gets_one_with_all_that_may_be_best():
    far = replace(WEEKLY, strike=130.0)
    seen, ranking = rounds(far, ("vega",), Plan(paths=300_000, seed=1), LikelihoodRatio(), Twin())
    assert [count for _, count in seen] == [2, 2]
    assert seen[1][0] > seen[0][0]
    assert len(ranking["vega"]) == 2


@dataclass(frozen=True, slots=True)
class Twin(LikelihoodRatio):
    """The same method under another name, so that no pilot can tell which is the better."""

    name = "twin"
