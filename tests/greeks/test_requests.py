"""Requests are found by tracing: whatever estimators ask of paths is planned before the run, and nothing outlives its block."""

import gc
import weakref

import cases
import pytest

from greeks import FiniteDifference, crosscheck, sensitivities
from greeks.engine.registry import estimators
from pricers import GBM, Asian, Barrier, Digital, European, Heston, Market, NotApplicable, PathFunction, Plan, price, schedule
from pricers.models.gbm import one_pass as gbm_summaries
from pricers.models.heston import heston
from pricers.models.heston import one_pass as conditional_summaries
from pricers.paths.paths import Paths
from pricers.paths.requests import Wanted

DATES = schedule(4, 1.0)
CONTRACTS = {
    "european": European(option="call", strike=100.0, expiry=1.0),
    "digital": Digital(option="put", strike=100.0, expiry=1.0),
    "asian": Asian(option="call", strike=100.0, fixings=DATES),
    "geometric": Asian(option="call", strike=100.0, fixings=DATES, average="geometric", past_fixings=(99.0,)),
    "asian digital": cases.EXACT["asian digital"]
    if "asian digital" in cases.EXACT
    else Asian(option="put", strike=99.0, fixings=DATES),
    "barrier": Barrier(option="put", strike=100.0, barrier=85.0, kind="down-and-out", monitoring=DATES),
    "touched": Barrier(option="call", strike=100.0, barrier=85.0, kind="down-and-in", monitoring=DATES, touched=True),
    "own": PathFunction(lambda path: max(path.mean() - 100.0, 0.0), times=DATES, continuous=True),
}
MODELS = {"gbm": GBM(vol=0.2), "heston": Heston(v0=0.04, kappa=1.5, theta=0.05, xi=0.5, rho=-0.6)}
MARKET = Market(spot=100.0, rate=0.05, dividend=0.02)
GREEKS = ("price", "delta", "gamma", "vega", "rho", "theta", "dividend_rho", "vanna")
PLAN = Plan(paths=256, seed=3)
METHODS = [name for name in estimators() if name not in ("exact", "importance_sampling")]


@pytest.fixture
def unplanned(monkeypatch):
    """What models had to make although nobody asked for it before the run."""
    found = []

    def watch(owner, name):
        plain = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given: found.append((name, given)) or plain(*given))

    watch(gbm_summaries.Program, "unplanned")
    watch(conditional_summaries, "_unplanned")
    again = heston._BlockVariance._evolved

    def evolved(self, parameters, *, slopes):
        if self._path is not None:
            found.append(("variance path", parameters))
        return again(self, parameters, slopes=slopes)

    monkeypatch.setattr(heston._BlockVariance, "_evolved", evolved)
    return found


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_everything_that_is_asked_of_paths_was_planned(contract, model, unplanned):
    answered = 0
    for method in METHODS:
        for greek in GREEKS:
            try:
                sensitivities(contract, model, MARKET, greeks=(greek,), estimator=method, plan=PLAN, threads=1)
            except NotApplicable:
                continue
            answered += 1
            assert not unplanned, (method, greek)
    price(contract, model, MARKET, method="simulation", plan=PLAN, threads=1)
    assert not unplanned
    assert answered > 20


def test_what_was_not_planned_is_noticed(unplanned, monkeypatch):
    monkeypatch.setattr("greeks.engine.sampler._wanted", lambda *_: Wanted())
    for model in MODELS.values():
        sensitivities(CONTRACTS["asian"], model, MARKET, greeks=("vega", "rho"), estimator="pathwise", plan=PLAN, threads=1)
    assert {name for name, _ in unplanned} == {"unplanned", "_unplanned", "variance path"}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_no_paths_outlive_their_block(model, monkeypatch):
    """A circle of references would keep a block's arrays until the next search for garbage."""
    alive, plain, most = weakref.WeakSet(), Paths.__init__, [0]

    class Watched(Paths):
        __slots__ = ("__weakref__",)

        def __init__(self, **given):
            plain(self, **given)
            alive.add(self)
            most[0] = max(most[0], len(alive))

    module = "gbm.gbm" if isinstance(model, GBM) else "heston.heston"
    monkeypatch.setattr(f"pricers.models.{module}.Paths", Watched)
    gc.collect()
    gc.disable()
    try:
        for method in ("likelihood_ratio", "pathwise", "finite_difference", "preintegrated"):
            sensitivities(CONTRACTS["asian"], model, MARKET, estimator=method, plan=Plan(paths=2**15), threads=1)
            assert len(alive) == 0
        sensitivities(CONTRACTS["barrier"], model, MARKET, estimator="one_step_survival", plan=Plan(paths=2**15), threads=1)
        assert len(alive) == 0
    finally:
        gc.enable()
    assert most[0] >= 1


def test_two_settings_of_one_method_stop_no_table():
    """They have one name, and what each asks of paths is its own."""
    methods = (FiniteDifference(), FiniteDifference(bump=0.1))
    table = crosscheck(CONTRACTS["asian"], MODELS["gbm"], MARKET, greeks=("delta",), estimators=methods, plan=PLAN)
    assert len(table) == 2
