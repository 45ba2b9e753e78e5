import json
import math
import pkgutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
if not (ROOT / "benchmarks" / "__main__.py").exists():
    pytest.skip("the benchmarks are not there", allow_module_level=True)
sys.path.append(str(ROOT))  # last, so that the packages under test are those installed

from benchmarks import c_kernel, ours, questions, workloads
from benchmarks.__main__ import main
from benchmarks.peers import jax_peer, quantlib_peer
from benchmarks.peers.jax_paths import SCHEMES, present_value, survival
from benchmarks.report import Check, number
from benchmarks.settings import Settings
from benchmarks.stopwatch import stopwatch
from greeks import FiniteDifference, LikelihoodRatio

TRIAL = Settings(scale=1e-4, repeats=1)
SMALL = Settings(scale=2.0**-4, repeats=2)


@pytest.mark.parametrize("name", sorted(module.name for module in pkgutil.iter_modules(questions.__path__)))
def test_every_question_is_answered(name, tmp_path, capsys):
    file = tmp_path / "found.json"
    assert main([name, "--scale", "1e-4", "--repeats", "1", "--no-peers", "--json", str(file)]) == 0
    found = json.loads(file.read_text())["questions"][name]
    assert found["question"] in capsys.readouterr().out
    assert any(table["rows"] for table in found["tables"])
    assert all(check["met"] in (True, False) for check in found["checks"])


def test_an_unknown_question_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["whatever"])
    assert "there is no question whatever" in capsys.readouterr().err


def test_the_c_kernel_computes_what_we_compute():
    try:
        its = c_kernel.run(paths=2**16, dates=52, repeats=1)
    except c_kernel.Unavailable as why:
        pytest.skip(str(why))
    contract = workloads.Asian(option="call", strike=100.0, fixings=workloads.schedule(52, 1.0))
    mine = ours.sensitivities(
        contract,
        workloads.GBM(vol=workloads.VOL),
        workloads.MARKET,
        greeks=tuple(its.estimates),
        estimator=LikelihoodRatio(),
        plan=ours.Plan(paths=2**16, seed=3),
    )
    for name, (value, stderr) in its.estimates.items():
        assert abs(value - mine[name].value) < 4.0 * math.hypot(stderr, mine[name].stderr)
        assert stderr < 2.0 * mine[name].stderr


@pytest.mark.parametrize("workload", workloads.WORKLOADS, ids=lambda workload: workload.name)
def test_everybody_bumps_by_the_same(workload):
    model = workload.dynamics
    if model is None:
        pytest.skip("there is no such model")
    found = ours.sensitivities(
        workload.contract,
        model,
        workloads.MARKET,
        greeks=workload.greeks,
        estimator=FiniteDifference(bump=workload.bump),
        plan=ours.Plan(paths=64, steps_per_year=workload.steps_per_year),
    )
    for name, bump in zip(workload.greeks, workload.bumps, strict=True):
        assert float(found[name].note.split(";")[0].split()[-1]) == pytest.approx(bump, rel=1e-3)


@pytest.mark.parametrize("workload", workloads.WORKLOADS, ids=lambda workload: workload.name)
def test_everybody_takes_the_same_steps(workload):
    model = workload.dynamics
    if model is None:
        pytest.skip("there is no such model")
    assert len(model.time_grid(workload.times, workload.steps_per_year)) == (
        workload.steps if workload.model == "heston" else workload.dates
    )


def _agree(one, other, greeks):
    for greek in greeks:
        assert abs(one.values[greek] - other.values[greek]) < 5.0 * math.hypot(one.stderrs[greek], other.stderrs[greek]), greek


@pytest.mark.slow
@pytest.mark.parametrize("workload", workloads.WORKLOADS, ids=lambda workload: workload.name)
def test_jax_computes_what_we_compute(workload):
    if not jax_peer.installed():
        pytest.skip("JAX is not installed")
    paths, scheme = 2**14, SCHEMES[0] if workload.model == "heston" else ""
    value = present_value(workload, scheme)
    estimators = {"bumping": jax_peer.bumping(workload, value), "scores": jax_peer.likelihood_ratio(workload, scheme)}
    if workload.payoff == "barrier":
        estimators["survival"] = jax_peer.pathwise(workload, survival(workload, scheme))
    elif workload.payoff != "digital":
        estimators["pathwise"] = jax_peer.pathwise(workload, value)
    mine = ours.measure(workload, FiniteDifference(bump=workload.bump), paths=4 * paths, settings=SMALL)
    for name, estimator in estimators.items():
        _agree(mine, jax_peer.pseudo(workload, estimator, paths=paths, settings=SMALL, label=name), workload.greeks)
    if workload.payoff != "digital":
        estimator = list(estimators.values())[-1]
        _agree(mine, jax_peer.quasi(workload, estimator, paths=2**10, settings=SMALL, label=""), workload.greeks)


@pytest.mark.slow
@pytest.mark.parametrize("workload", workloads.WORKLOADS, ids=lambda workload: workload.name)
def test_quantlib_computes_what_we_compute(workload):
    if not quantlib_peer.installed():
        pytest.skip("QuantLib is not installed")
    mine = ours.measure(workload, FiniteDifference(bump=workload.bump), paths=2**16, settings=SMALL)
    price = quantlib_peer.pricer(workload, scheme="QuadraticExponentialMartingale")
    paths = 2**12 if workload.name == "barrier heston" else 2**14
    _agree(mine, quantlib_peer.bumped(workload, paths=paths, settings=SMALL, label="", price=price), workload.greeks)


def test_a_stopwatch_counts_a_stage_without_those_it_calls():
    class Worker:
        def outer(self):
            self.inner()
            return 1

        def inner(self):
            return sum(range(200_000))

    with stopwatch([(Worker, "outer", "outer"), (Worker, "inner", "inner"), (Worker, "absent", "absent")]) as seconds:
        assert Worker().outer() == 1
    assert set(seconds) == {"outer", "inner"}
    assert 0.0 <= seconds["outer"] < seconds["inner"]


def test_a_wish_is_not_met_by_what_is_no_number():
    assert not Check(what="", found=math.nan, wanted=1.0).met
    assert not Check(what="", found=math.nan, wanted=1.0, least=True).met
    assert Check(what="", found=2.0, wanted=1.0, least=True).met
    assert number(math.nan) == "-"


def test_a_trial_repeats_little_and_a_small_run_does_not():
    assert TRIAL.count(64, least=4) == 4
    assert SMALL.count(64, least=4) == 64
    assert TRIAL.paths(2**20) == 2**10
