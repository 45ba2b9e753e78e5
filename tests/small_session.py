"""Every kind of estimator, model and sampling once, on few paths, in a process of its own."""

import os
import subprocess
import sys

SESSION = """
import json
from greeks import (Auto, Combined, Conditional, Controlled, FiniteDifference, LikelihoodRatio, Localised, OneStepSurvival, Pathwise,
                    Preintegrated, sensitivities)
from pricers import (GBM, QE, Antithetic, Asian, Barrier, Digital, European, FullTruncationEuler, Heston, Market, PathFunction, Plan, Sobol,
                     schedule)

market, gbm = Market(spot=100.0, rate=0.03, dividend=0.01), GBM(vol=0.2)
heston = dict(v0=0.04, kappa=1.5, theta=0.05, xi=0.6, rho=-0.6)
call = European(option="call", strike=100.0, expiry=0.5)
asian = Asian(option="call", strike=100.0, fixings=schedule(4, 0.5))
barrier = Barrier(option="put", strike=100.0, barrier=90.0, kind="down-and-out", monitoring=schedule(4, 0.5))
digital = Digital(option="put", strike=101.0, expiry=0.5)

def last(path, strike):
    best = 0.0
    for i in range(path.size):
        best = max(best, path[i] - strike)
    return best

own = PathFunction(last, times=(0.25, 0.5), strike=100.0)
plan = Plan(paths=512, seed=5, steps_per_year=8)
cases = [
    (call, gbm, LikelihoodRatio(), plan), (asian, gbm, Pathwise(), plan), (barrier, gbm, FiniteDifference(), plan),
    (barrier, gbm, OneStepSurvival(), plan), (asian, gbm, Controlled(Preintegrated()), plan), (digital, gbm, Localised(), plan),
    (own, gbm, LikelihoodRatio(), plan), (asian, gbm, Combined(Pathwise(), LikelihoodRatio()), plan),
    (call, gbm, LikelihoodRatio(), Plan(paths=512, sampling=Antithetic())),
    (asian, gbm, LikelihoodRatio(), Plan(paths=512, sampling=Sobol(scrambles=8))),
    (call, Heston(**heston), LikelihoodRatio(), plan), (digital, Heston(**heston), Conditional(), plan),
    (barrier, Heston(**heston), OneStepSurvival(), plan), (asian, Heston(**heston, scheme=FullTruncationEuler()), Preintegrated(), plan),
    (call, Heston(**heston, scheme=FullTruncationEuler()), Pathwise(), plan),
    (call, Heston(**heston, scheme=QE(switch="hard")), FiniteDifference(), plan),
]
found = []
for contract, model, estimator, plan in cases:
    estimates = sensitivities(contract, model, market, greeks=("price", "delta", "vega"), estimator=estimator, plan=plan, threads=1)
    found.append([[e.value, e.stderr] for e in estimates.values()])
print(json.dumps(found))
"""


def run(*arguments, **environment):
    """What a fresh process of Python prints, warnings being errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
