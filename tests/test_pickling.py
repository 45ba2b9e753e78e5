"""Everything public travels between processes: values, results and errors pickle and copy."""

import concurrent.futures
import copy
import dataclasses
import datetime as dt
import importlib
import inspect
import multiprocessing
import pickle
import pkgutil
import re
import threading

import cases
import numpy as np
import pandas as pd
import pytest

import greeks
import greeks.expectation
import pricers
from greeks.portfolio.read_trades import read_portfolio
from greeks.validation.crosscheck import Verdict
from pricers import GBM, Heston, InvalidInput, NotApplicable, Plan

PACKAGES = (pricers, greeks, greeks.expectation)
POINTS = np.array([0.5, 1.5])
TERMS = {"option": "call", "strike": "100", "expiry": "2024-12-31"}


def last(path):
    return path[-1]


def identity(x):
    return x


def drawn(rng, samples, a):
    return rng.normal(a, size=samples)


def density(x, a):
    return -0.5 * (x - a) ** 2


def next_state(rng, state, time, a):
    return rng.normal(a * state)


def next_density(following, state, time, a):
    return -0.5 * (following - a * state) ** 2


def _gradient():
    return greeks.expectation.gradient(identity, greeks.expectation.Normal(mean=0.5), samples=100, rng=1)


def _fit():
    strikes = (90.0, 100.0, 110.0)
    surface = pricers.ImpliedVolSurface(
        times=(0.25, 1.0), strikes=(strikes, strikes), vols=((0.26, 0.25, 0.24), (0.25, 0.24, 0.23))
    )
    return pricers.calibrate_heston(surface, cases.FLAT)


def _data():
    underlying = greeks.Underlying(market=cases.CURVE, heston=_heston())
    return greeks.MarketData(valuation=dt.date(2024, 1, 31), underlyings={"A": underlying, "B": underlying})


def _heston():
    return Heston(v0=0.04, kappa=1.5, theta=0.05, xi=0.4, rho=-0.6)


def _sensitivities():
    plan = Plan(paths=256, seed=1)
    return greeks.sensitivities(cases.EXACT["european call"], GBM(vol=0.2), cases.FLAT, estimator="likelihood_ratio", plan=plan)


def _expectation(name, *positional, **named):
    return lambda: getattr(greeks.expectation, name)(*positional, **named)


EXAMPLES = {
    "GBM": lambda: GBM(vol=0.2),
    "Heston": _heston,
    "HestonFit": _fit,
    "Market": lambda: cases.CURVE,
    "ZeroCurve": lambda: cases.CURVE.rate,
    "ImpliedVolSurface": lambda: pricers.ImpliedVolSurface(times=(1.0,), strikes=((90.0, 110.0),), vols=((0.2, 0.19),)),
    "European": lambda: cases.EXACT["european call"],
    "Digital": lambda: cases.EXACT["digital call"],
    "Barrier": lambda: cases.EXACT["up-and-in put"],
    "Asian": lambda: cases.SAMPLED["seasoned arithmetic asian put"],
    "AsianDigital": lambda: cases.SAMPLED["arithmetic asian digital call"],
    "PathFunction": lambda: pricers.PathFunction(last, times=(0.5, 1.0)),
    "Plan": lambda: Plan(paths=2**12, sampling=pricers.Sobol(), stderr={"delta": 1e-3}),
    "Estimate": lambda: _sensitivities()["delta"],
    "Sensitivities": _sensitivities,
    "Combined": lambda: greeks.Combined(greeks.LikelihoodRatio(), greeks.Localised()),
    "Controlled": lambda: greeks.Controlled(greeks.LikelihoodRatio(), by=greeks.Conditional()),
    "MarketData": _data,
    "Underlying": lambda: greeks.Underlying(market=cases.FLAT, vol=0.2),
    "InvalidInput": lambda: InvalidInput("vol", -0.1, "must be positive"),
    "NotApplicable": lambda: NotApplicable("pathwise needs a gradient; use LikelihoodRatio()"),
}
EXPECTATION = {
    "Binomial": _expectation("Binomial", trials=5, probability=0.25),
    "Categorical": _expectation("Categorical", logits=POINTS),
    "Control": _expectation("Control", function=identity, mean=0.5),
    "Controlled": lambda: greeks.expectation.Controlled(
        estimator=greeks.expectation.ScoreFunction(), controls=[greeks.expectation.Control(function=identity, mean=0.5)]
    ),
    "Custom": _expectation("Custom", sample=drawn, log_prob=density, parameters={"a": 0.9}),
    "Fixed": lambda: greeks.expectation.Fixed(greeks.expectation.Normal(), "std"),
    "Gradient": _gradient,
    "GradientEstimate": lambda: _gradient()["mean"],
    "Hessian": lambda: greeks.expectation.hessian(identity, greeks.expectation.Normal(mean=0.5), samples=100, rng=1),
    "MarkovChain": _expectation(
        "MarkovChain", start=1.0, sample=next_state, log_prob=next_density, steps=3, parameters={"a": 0.9}
    ),
    "MultivariateNormal": _expectation("MultivariateNormal", mean=POINTS, cholesky=np.eye(2)),
    "StudentT": _expectation("StudentT", df=5.0),
    "Product": lambda: greeks.expectation.Product({"x": greeks.expectation.Normal(), "y": greeks.expectation.Gamma()}),
}
MORE = {
    "Verdict": lambda: Verdict(verdict="agree", z=0.5, resolves=0.1),
    "Portfolio": lambda: read_portfolio(
        pd.DataFrame([{"trade_id": "t", "book": "b", "underlying": "A", "contract": "european", "quantity": "1"} | TERMS, {}]),
        _data(),
        estimator=greeks.LikelihoodRatio(),
    ),
}


def _examples():
    """An example of every public class: of those whose arguments all have defaults, the default."""
    for package in PACKAGES:
        special = EXAMPLES | EXPECTATION if package is greeks.expectation else EXAMPLES
        for name in package.__all__:
            value = getattr(package, name)
            if inspect.isclass(value) and not inspect.isabstract(value):
                yield pytest.param(special.get(name, value), id=f"{package.__name__}.{name}")
    for name, make in MORE.items():
        yield pytest.param(make, id=name)


def _state(value):
    if isinstance(value, BaseException):
        return [str(value), value.args, value.__dict__]
    if dataclasses.is_dataclass(value):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    return [getattr(value, "__dict__", {}), *(getattr(value, name) for name in slots)]


def same(a, b):
    """Whether two objects of ours hold the same, to the bit; what they hold may be arrays."""
    if type(a) is not type(b):
        return False
    if type(a).__module__.split(".")[0] in ("pricers", "greeks"):
        return same(_state(a), _state(b))
    if isinstance(a, dict) or hasattr(a, "items"):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (float, np.ndarray)):
        return np.shape(a) == np.shape(b) and np.asarray(a).tobytes() == np.asarray(b).tobytes()
    return a == b


@pytest.mark.parametrize("make", list(_examples()))
def test_public_values_pickle_and_copy(make):
    value = make()
    for other in (
        *(pickle.loads(pickle.dumps(value, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)),
        copy.deepcopy(value),
        copy.copy(value),
    ):
        assert same(other, value)
        assert re.sub(r" at 0x[0-9a-f]+", "", repr(other)) == re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def test_the_comparison_can_fail():
    assert {type(row).__name__ for row in MORE["Portfolio"]().rows} == {"Position", "Reject"}
    assert same(GBM(vol=0.2), GBM(vol=0.2))
    assert not same(GBM(vol=0.2), GBM(vol=np.nextafter(0.2, 1.0)))
    assert not same(InvalidInput("a", 1.0, "b"), InvalidInput("a", 2.0, "b"))
    assert not same(_data(), greeks.MarketData(valuation=dt.date(2024, 2, 1), underlyings=_data().underlyings))


def _exceptions():
    for package in (pricers, greeks):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("__main__"):
                continue
            for name, value in vars(importlib.import_module(module.name)).items():
                if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == module.name:
                    yield pytest.param(value, id=f"{module.name}.{name}")


@pytest.mark.parametrize("kind", list(_exceptions()))
def test_every_exception_pickles_and_copies_whatever_its_arguments(kind):
    signature = inspect.signature(kind) if "__init__" in vars(kind) else None
    error = kind(*(f"<{name}>" for name in (signature.parameters if signature else ("text",))))
    error.add_note("a note")
    error.row = 3
    for other in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error), copy.copy(error)):
        assert type(other) is kind
        assert (str(other), other.args) == (str(error), error.args)
        assert other.__dict__ == error.__dict__


@pytest.mark.parametrize(
    "value",
    [lambda: 0, threading.Lock(), (x for x in ()), type("Local", (), {})()],
    ids=["lambda", "lock", "generator", "object of a local class"],
)
def test_an_error_about_what_does_not_pickle_arrives_as_text(value):
    error = InvalidInput("payoff", value, "must be callable")
    other = pickle.loads(pickle.dumps(error))
    assert (other.field, other.value, other.reason) == ("payoff", repr(value), "must be callable")
    assert str(other) == str(error)
    assert copy.deepcopy(error).value == repr(value)
    assert error.value is value


class Row(InvalidInput):
    """With arguments of its own."""

    def __init__(self, row):
        super().__init__("row", row, "must not be empty")
        self.row = row


def test_a_subclass_with_other_arguments_pickles():
    other = pickle.loads(pickle.dumps(Row(7)))
    assert (type(other), str(other), other.row, other.value) == (Row, "row must not be empty, got 7", 7, 7)


def test_a_read_only_mapping_stays_one():
    data = pickle.loads(pickle.dumps(_data()))
    with pytest.raises(TypeError):
        data.underlyings["C"] = data.underlyings["A"]


@pytest.mark.parametrize("method", sorted(set(multiprocessing.get_all_start_methods()) - {"fork"}))  # a test process has threads
def test_bad_input_in_a_process_pool_is_that_task_s_error_alone(method):
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        tasks = [pool.submit(GBM, vol=vol) for vol in (0.1, -0.1, 0.3)]
        bad = tasks[1].exception(timeout=120)
        assert isinstance(bad, InvalidInput)
        assert (bad.field, bad.value) == ("vol", -0.1)
        assert [tasks[0].result(timeout=120), tasks[2].result(timeout=240)] == [GBM(vol=0.1), GBM(vol=0.3)]
    with context.Pool(1) as pool:  # this one hung
        with pytest.raises(InvalidInput, match="vol must be positive, got -0.1"):
            pool.apply_async(GBM, kwds={"vol": -0.1}).get(timeout=120)
        assert pool.apply_async(GBM, kwds={"vol": 0.2}).get(timeout=120) == GBM(vol=0.2)
