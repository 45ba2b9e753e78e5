"""Threads and processes that do the same thing at the same time, from a fresh process on."""

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.stats import qmc

from pricers import GBM, Asian, Market, exact_greeks, schedule
from pricers.random_numbers import sobol

FIRST_USE = """
import json, sys, threading, warnings
import greeks.estimators.pathwise, pricers.contracts.asian, pricers.models.gbm.gbm, pricers.random_numbers.sobol  # all but SciPy's tables
from greeks import sensitivities
from pricers import GBM, Asian, Market, Plan, Sobol, schedule

sys.setswitchinterval(1e-6)
start = threading.Barrier({threads})
found = [None] * {threads}

def run(i):
    contract = Asian(option="call", strike=100.0, fixings=schedule(52, 1.0), average="geometric")
    plan = Plan(paths=1024, seed=1, sampling=Sobol(scrambles=4))
    start.wait()
    estimates = sensitivities(contract, GBM(vol=0.2), Market(spot=100.0), greeks=("price", "delta"), estimator="pathwise",
                              plan=plan, threads=1)
    found[i] = [[e.value.hex(), e.stderr.hex()] for e in estimates.values()]

workers = [threading.Thread(target=run, args=(i,)) for i in range({threads})]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print(json.dumps(found))
"""


def first_use(threads):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FIRST_USE.format(threads=threads)],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_sobol_s_first_use_from_several_threads_gives_the_numbers_of_one():
    """SciPy 1.13 and 1.14 give zeros to all threads but one here."""
    (alone,) = first_use(1)
    contract = Asian(option="call", strike=100.0, fixings=schedule(52, 1.0), average="geometric")
    exact = exact_greeks(contract, GBM(vol=0.2), Market(spot=100.0))["delta"]
    value, stderr = map(float.fromhex, alone[1])
    assert abs(value - exact) < 4.0 * stderr < 0.04
    assert first_use(4) == [alone] * 4


@pytest.fixture
def fresh():
    sobol._directions.cache_clear()
    yield
    sobol._directions.cache_clear()


def test_direction_numbers_are_loaded_by_one_thread_at_a_time(fresh, monkeypatch):
    """Whatever SciPy's version: an engine that, like SciPy's before 1.15, says that it has loaded before it has."""
    tables = np.asarray(qmc.Sobol(8, scramble=False, bits=32)._sv)
    state = {"begun": False, "table": np.zeros_like(tables)}

    class Racing:
        MAXDIM = qmc.Sobol.MAXDIM

        def __init__(self, dimensions, **options):
            if not state["begun"]:
                state["begun"] = True
                time.sleep(0.2)
                state["table"] = tables
            self._sv = state["table"]

    monkeypatch.setattr(qmc, "Sobol", Racing)
    start = threading.Barrier(4)

    def load(_):
        start.wait()
        return sobol._directions(8)

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(load, range(4)):
            assert np.array_equal(found, tables[:, :30])


def test_direction_numbers_that_another_thread_left_incomplete_are_an_error_and_not_kept(fresh, monkeypatch):
    whole = qmc.Sobol

    class Halfway(whole):
        def __init__(self, dimensions, **options):
            super().__init__(dimensions, **options)
            self._sv = np.where(np.arange(dimensions)[:, np.newaxis] < 3, self._sv, 0)

    monkeypatch.setattr(qmc, "Sobol", Halfway)
    assert sobol._directions(3).all()
    with pytest.raises(RuntimeError, match="try again"):
        sobol._directions(5)
    monkeypatch.setattr(qmc, "Sobol", whole)
    assert sobol._directions(5).all()
