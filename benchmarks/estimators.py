"""Standard errors of every estimator side by side: the table of the README's section on choosing one.

python benchmarks/estimators.py [--paths N]
"""

import argparse

import pandas as pd

from greeks import FiniteDifference, LikelihoodRatio, Localised, OneStepSurvival, Pathwise, Preintegrated, crosscheck
from pricers import GBM, Asian, AsianDigital, Barrier, Digital, European, Market, Plan, schedule

GREEKS = ("delta", "gamma", "vega", "rho")
CONTRACTS = {
    "European call, 1 year": European(option="call", strike=100.0, expiry=1.0),
    "digital call, 1 year, pays 10": Digital(option="call", strike=100.0, expiry=1.0, cash=10.0),
    "arithmetic Asian call, 12 dates": Asian(option="call", strike=100.0, fixings=schedule(12, 1.0)),
    "arithmetic Asian call, 52 dates": Asian(option="call", strike=100.0, fixings=schedule(52, 1.0)),
    "digital on the average of 52 dates, pays 10": AsianDigital(
        option="call", strike=100.0, fixings=schedule(52, 1.0), cash=10.0
    ),
    "down-and-out call at 90, 12 dates": Barrier(
        option="call", strike=100.0, barrier=90.0, kind="down-and-out", monitoring=schedule(12, 1.0)
    ),
    "down-and-out call at 90, 252 dates": Barrier(
        option="call", strike=100.0, barrier=90.0, kind="down-and-out", monitoring=schedule(252, 1.0)
    ),
}
ESTIMATORS = (LikelihoodRatio(), Pathwise(), FiniteDifference(), Localised(), Preintegrated(), OneStepSurvival())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paths", type=int, default=2**16)
    paths = parser.parse_args().paths
    market, model = Market(spot=100.0, rate=0.05, dividend=0.02), GBM(vol=0.2)
    rows = []
    for name, contract in CONTRACTS.items():
        table = crosscheck(contract, model, market, greeks=GREEKS, estimators=ESTIMATORS, plan=Plan(paths=paths, seed=7))
        wide = table[table.estimator != "exact"].pivot_table(index="estimator", columns="greek", values="stderr", sort=False)
        rows.append(pd.concat({name: wide[list(GREEKS)]}))
    print(f"standard errors, {paths} paths; spot 100, rate 5 %, dividend 2 %, vol 20 %")
    print(pd.concat(rows).to_string(float_format="{:.2g}".format))


if __name__ == "__main__":
    main()
