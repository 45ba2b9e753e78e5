"""Estimators are found by their package, asked for by name, and guarded in one place."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

import greeks.engine.registry
from greeks import (
    Combined,
    Controlled,
    FiniteDifference,
    ImportanceSampling,
    LikelihoodRatio,
    NotApplicable,
    Pathwise,
    sensitivities,
)
from greeks.engine.registry import estimators
from greeks.estimators import likelihood_ratio
from greeks.estimators.base import Estimator, PathEstimator
from greeks.greek import Greek, greek
from greeks.validation.reference_method import check_of
from pricers import GBM, European, Market, Plan
from pricers.exact import exact_greeks
from pricers.models.scenario import Scenario

MARKET, MODEL = Market(spot=100.0, rate=0.05, dividend=0.02), GBM(vol=0.2)
CALL = European(option="call", strike=100.0, expiry=1.0)
CHARM = Greek(name="charm", parameters=("spot", "time"), unit="currency per unit of spot and year", sign=-1.0)


def test_estimators_go_by_their_names():
    found = estimators()
    assert {"likelihood_ratio", "pathwise", "one_step_survival", "exact", "best", "auto"} <= set(found)
    assert all(name == (estimator.keyword or estimator.name) for name, estimator in found.items())


@pytest.fixture
def with_another(monkeypatch):
    """The registry with one more class in one of its modules."""

    def add(kind):
        kind.__module__ = likelihood_ratio.__name__
        monkeypatch.setattr(likelihood_ratio, kind.__name__, kind, raising=False)
        estimators.cache_clear()

    yield add
    monkeypatch.undo()
    estimators.cache_clear()


def test_estimator_that_breaks_when_it_is_made_is_told(with_another):
    @dataclass(frozen=True)
    class Broken(PathEstimator):
        name: ClassVar[str] = "broken"

        def __post_init__(self):
            raise TypeError("a mistake of its author's")

        def sample_spec(self, greek, contract, scenario, plan):
            raise NotImplementedError

    with_another(Broken)
    with pytest.raises(TypeError, match="a mistake of its author's"):
        estimators()


def test_new_estimator_can_be_asked_for_at_once(with_another):
    @dataclass(frozen=True)
    class Plain(PathEstimator):
        name: ClassVar[str] = "plain_average"

        def sample_spec(self, greek, contract, scenario, plan):
            if greek.parameters:
                raise NotApplicable("the plain average has only a price; use LikelihoodRatio()")
            return LikelihoodRatio().sample_spec(greek, contract, scenario, plan)

    with_another(Plain)
    assert sensitivities(CALL, MODEL, MARKET, greeks=("price",), estimator="plain_average", plan=Plan(paths=4096))[
        "price"
    ].resolved


def test_name_that_contains_another_is_another_method(monkeypatch):
    """A method called inexact is checked by the formula: names are not compared by their parts."""

    @dataclass(frozen=True)
    class Inexact(PathEstimator):
        name: ClassVar[str] = "inexact"

        def sample_spec(self, greek, contract, scenario, plan):
            return LikelihoodRatio().sample_spec(greek, contract, scenario, plan)

    scenario = Scenario(model=MODEL, market=MARKET)
    assert check_of(Inexact(), greek("delta", MODEL), CALL, scenario, Plan()).name == "exact"


def test_wrappers_say_what_they_wrap():
    wrapped = Controlled(Combined(LikelihoodRatio(), Pathwise()))
    assert {"likelihood_ratio", "pathwise", wrapped.name} <= wrapped.methods
    assert "likelihood_ratio" in ImportanceSampling().methods
    assert wrapped.second_order == LikelihoodRatio.second_order & Pathwise.second_order
    assert ImportanceSampling(Pathwise()).second_order == Pathwise.second_order


@pytest.mark.parametrize("method", [m for m in estimators() if m not in ("exact", "auto", "best")])
def test_derivative_that_nobody_thought_of_is_right_or_refused(method, monkeypatch):
    """Charm, delta by the valuation's time with all dates in proportion: no public Greek, so no method was written for it."""
    monkeypatch.setattr("greeks.engine.sensitivity.greek", lambda name, model: CHARM)
    plan = Plan(paths=2**16, seed=4)
    try:
        found = sensitivities(CALL, MODEL, MARKET, greeks=("charm",), estimator=method, plan=plan)["charm"]
    except NotApplicable as refusal:
        assert "charm" in str(refusal)  # noqa: PT017
        assert method not in ("finite_difference", "pathwise")
        return
    h = 1e-4
    later, sooner = (European(option="call", strike=100.0, expiry=1.0 + s * h) for s in (1.0, -1.0))
    truth = -(exact_greeks(later, MODEL, MARKET)["delta"] - exact_greeks(sooner, MODEL, MARKET)["delta"]) / (2.0 * h)
    assert abs(found.value - truth) < 4.0 * found.stderr + found.bias
    assert found.stderr < 0.01


def test_second_order_has_one_guard():
    """Whoever asks an estimator goes through the guard; what is declared is what is answered."""
    scenario = Scenario(model=MODEL, market=MARKET)
    for estimator in (LikelihoodRatio(), Pathwise(), FiniteDifference()):
        for name in ("gamma", "vanna", "volga"):
            wanted = greek(name, MODEL)
            has = estimator.second_order is None or wanted.parameters in estimator.second_order
            assert (estimator.refusal(wanted, CALL, scenario, Plan()) is None) == has
    assert issubclass(PathEstimator, Estimator)
    assert greeks.engine.registry.method("pathwise", default="best").name == "pathwise"
