"""One-step survival one path at a time, in plain Python: the twin of its kernel."""

import math

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from greeks.estimators.survival import _survivors
from pricers import GBM, Barrier, Market
from pricers.draws import Block, Observation

DATES = (0.1, 0.25, 0.6, 0.7, 1.0)


def twin(contract, spot, vol, rate, normals):
    """Distance from the barrier and log-probability on the date before the last."""
    sign = 1.0 if contract.down else -1.0
    away, weight, before = sign * math.log(spot / contract.barrier), 0.0, 0.0
    for date, z in zip(DATES[:-1], normals, strict=False):
        dt = date - before
        mean, stdev = (rate - 0.02 - 0.5 * vol**2) * dt, vol * math.sqrt(dt)
        alive = float(ndtr((away + sign * mean) / stdev))
        weight += math.log(alive)
        away += sign * mean - stdev * float(ndtri(alive * float(ndtr(-sign * z))))
        before = date
    return away, weight


@pytest.mark.parametrize(("kind", "barrier"), [("down-and-out", 95.0), ("up-and-out", 108.0)])
def test_the_kernel_is_its_plain_twin_and_its_slopes_the_twins_differences(kind, barrier):
    contract = Barrier(option="call", strike=100.0, barrier=barrier, kind=kind, monitoring=DATES)
    market, model = Market(spot=100.0, rate=0.05, dividend=0.02), GBM(vol=0.2)
    block = Block(seed=3, stream="", lattice=DATES, first=0, lanes=70)
    path = model.paths(block, Observation(DATES, DATES), market)
    parameters = ("spot", "vol", "rate")
    state, slope, bend = _survivors(contract, path.law.steps(parameters), 1.0 if contract.down else -1.0)
    for lane in (0, 13, 69):
        normals = block.normals()[:, lane].tolist()
        at = {"spot": 100.0, "vol": 0.2, "rate": 0.05}

        def there(lane_normals=normals, point=at, **moved):
            return np.array(twin(contract, normals=lane_normals, **{k: v + moved.get(k, 0.0) for k, v in point.items()}))

        assert state[:, lane] == pytest.approx(there(), rel=1e-12, abs=1e-13)
        for place, (parameter, h) in enumerate({"spot": 1e-3, "vol": 1e-5, "rate": 1e-5}.items()):
            difference = (there(**{parameter: h}) - there(**{parameter: -h})) / (2 * h)
            assert slope[place, :, lane] == pytest.approx(difference, rel=2e-7, abs=1e-9)
        h = 0.02
        second = (there(spot=h) - 2 * there() + there(spot=-h)) / h**2
        assert bend[:, lane] == pytest.approx(second, rel=1e-5, abs=1e-9)
