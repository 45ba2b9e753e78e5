import math

import numpy as np
import pytest

from pricers import Asian, AsianDigital, Barrier, Digital, European, InvalidInput, NotApplicable, PathFunction, Plan, schedule
from pricers.paths.discounting import Discounting
from pricers.paths.paths import Law, Paths


class Written(Law):
    """A law of which the tangent is written down, if anything."""

    def __init__(self, tangent=None):
        self.by_parameter = tangent

    def score(self, parameters):
        raise AssertionError

    def tangent(self, parameter):
        assert self.by_parameter is not None
        return self.by_parameter


def given(*n_paths, tangent=None):
    """Paths written down by hand, one argument a path."""
    spot, law = np.ascontiguousarray(np.array(n_paths, dtype=float).T), Written(tangent)
    return Paths(
        times=np.arange(1.0, len(spot) + 1.0),
        n_paths=len(n_paths),
        spot=lambda: spot,
        discounting=Discounting((1.0,), (0.0,)),
        law=law,
    )


PATHS = given((90.0, 110.0, 120.0), (105.0, 80.0, 95.0), (100.0, 100.0, 100.0))
DATES = (1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("contract", "paid"),
    [
        (European(option="call", strike=99.0, expiry=3.0), (21.0, 0.0, 1.0)),
        (European(option="put", strike=99.0, expiry=3.0), (0.0, 4.0, 0.0)),
        (Digital(option="call", strike=100.0, expiry=3.0, cash=5.0), (5.0, 0.0, 0.0)),
        (Digital(option="put", strike=100.0, expiry=3.0, cash=5.0), (0.0, 5.0, 0.0)),
        (Asian(option="call", strike=99.0, fixings=DATES), (320 / 3 - 99, 0.0, 1.0)),
        (Asian(option="put", strike=99.0, fixings=DATES), (0.0, 99 - 280 / 3, 0.0)),
        (Asian(option="call", strike=99.0, fixings=DATES, past_fixings=(102.0,)), (422 / 4 - 99, 0.0, 402 / 4 - 99)),
        (
            Asian(option="put", strike=120.0, fixings=DATES, average="geometric"),
            (120 - (90 * 110 * 120) ** (1 / 3), 120 - (105 * 80 * 95) ** (1 / 3), 20.0),
        ),
        (
            Asian(option="put", strike=120.0, fixings=DATES, average="geometric", past_fixings=(50.0, 60.0)),
            (120 - (50 * 60 * 90 * 110 * 120) ** 0.2, 120 - (50 * 60 * 105 * 80 * 95) ** 0.2, 120 - (50 * 60 * 1e6) ** 0.2),
        ),
        (AsianDigital(option="call", strike=93.0, fixings=DATES, cash=5.0), (5.0, 5.0, 5.0)),
        (AsianDigital(option="call", strike=93.0, fixings=DATES, average="geometric"), (1.0, 0.0, 1.0)),  # 92.78
        (AsianDigital(option="put", strike=100.0, fixings=DATES, cash=5.0), (0.0, 5.0, 0.0)),
        (AsianDigital(option="put", strike=100.0, fixings=DATES, past_fixings=(150.0, 70.0), cash=5.0), (0.0, 0.0, 0.0)),
    ],
    ids=str,
)
def test_payoff(contract, paid):
    assert contract.payoff(PATHS) == pytest.approx(paid, rel=1e-13)


@pytest.mark.parametrize("option", ["call", "put"])
@pytest.mark.parametrize(
    ("kind", "level", "touches"),
    [
        ("down", 90.0, (True, True, False)),
        ("down", 79.0, (False, False, False)),
        ("up", 105.0, (True, True, False)),
        ("up", 120.0, (True, False, False)),
        ("up", 120.5, (False, False, False)),
    ],
)
def test_barrier_touches_at_the_level_on_any_date(option, kind, level, touches):
    terms = {"option": option, "strike": 97.0, "barrier": level, "monitoring": DATES, "rebate": 7.0}
    vanilla = European(option=option, strike=97.0, expiry=3.0).payoff(PATHS)
    knock_in, knock_out = (Barrier(kind=f"{kind}-and-{x}", **terms).payoff(PATHS) for x in ("in", "out"))
    assert knock_in.tolist() == np.where(touches, vanilla, 7.0).tolist()
    assert knock_out.tolist() == np.where(touches, 7.0, vanilla).tolist()


def test_a_barrier_touched_already():
    terms = {"option": "call", "strike": 97.0, "barrier": 50.0, "monitoring": DATES, "rebate": 7.0, "touched": True}
    assert Barrier(kind="down-and-out", **terms).payoff(PATHS).tolist() == [7.0, 7.0, 7.0]
    assert Barrier(kind="down-and-in", **terms).payoff(PATHS).tolist() == [23.0, 0.0, 3.0]
    assert not Barrier(kind="down-and-in", **terms).discontinuous


@pytest.mark.parametrize(
    "contract",
    [
        European(option="call", strike=99.0, expiry=3.0),
        European(option="put", strike=99.0, expiry=3.0),
        Asian(option="call", strike=99.0, fixings=DATES, past_fixings=(103.0,)),
        Asian(option="put", strike=99.0, fixings=DATES),
        Asian(option="call", strike=99.0, fixings=DATES, average="geometric", past_fixings=(103.0,)),
        Barrier(option="put", strike=99.0, barrier=80.0, kind="down-and-in", monitoring=DATES, touched=True),
        Barrier(option="call", strike=99.0, barrier=80.0, kind="down-and-out", monitoring=DATES, touched=True),
        PathFunction(
            lambda spot, k: np.maximum(spot[0] * spot[2] / 100 - k, 0.0),
            times=DATES,
            over="paths",
            gradient=lambda spot, k: (spot[0] * spot[2] / 100 > k) * np.array([spot[2] / 100, 0.0 * spot[1], spot[0] / 100]),
            k=95.0,
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", ["[time, path]", "[time, 1]"])
def test_derivative_is_that_of_the_payoff(contract, shape):
    rng = np.random.default_rng(4)
    spot = 100.0 * np.exp(rng.normal(scale=0.1, size=(3, 50)))
    tangent = rng.normal(size=(3, 50 if shape == "[time, path]" else 1))
    h = 1e-6
    up, down = (given(*(spot * np.exp(sign * h * tangent)).T) for sign in (1, -1))
    difference = (contract.payoff(up) - contract.payoff(down)) / (2 * h)
    assert contract.derivative(given(*spot.T, tangent=tangent), "vol") == pytest.approx(difference, rel=1e-7, abs=1e-6)


@pytest.mark.parametrize(
    "contract",
    [
        Digital(option="call", strike=1.0, expiry=3.0),
        AsianDigital(option="call", strike=1.0, fixings=DATES),
        Barrier(option="call", strike=1.0, barrier=2.0, kind="up-and-in", monitoring=DATES),
    ],
    ids=str,
)
def test_a_payoff_that_jumps_has_no_derivative(contract):
    assert contract.discontinuous
    with pytest.raises(NotApplicable, match=r"use LikelihoodRatio\(\)"):
        contract.derivative(PATHS, "vol")


def up_and_out_call(path, strike, barrier):
    if path.max() >= barrier:
        return 0.0
    return max(path[-1] - strike, 0.0)


def test_a_function_of_one_path_and_the_same_over_paths():
    one = PathFunction(up_and_out_call, times=DATES, strike=97.0, barrier=105.0)
    n_paths = PathFunction(
        lambda spot, strike, barrier: (spot.max(axis=0) < barrier) * np.maximum(spot[-1] - strike, 0.0),
        times=DATES,
        over="paths",
        strike=97.0,
        barrier=105.0,
    )
    assert one.payoff(PATHS).tolist() == n_paths.payoff(PATHS).tolist() == [0.0, 0.0, 3.0]


def test_a_function_that_cannot_be_compiled_says_the_way_out():
    def payoff(path):
        return sum({"a": path[-1], 1: 0.0}.values())

    with pytest.raises(NotApplicable, match='over="paths"'):
        PathFunction(payoff, times=DATES).payoff(PATHS)


def test_a_function_of_the_wrong_shape_is_refused():
    with pytest.raises(InvalidInput, match=r"must have the shape \(8,\) for spots \[time, path\] of the shape \(3, 8\)"):
        PathFunction(lambda spot: spot, times=DATES, over="paths").payoff(PATHS)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: European(option="Call", strike=1.0, expiry=1.0), "option"),
        (lambda: European(option="call", strike=-5.0, expiry=1.0), "strike"),
        (lambda: European(option="call", strike=math.nan, expiry=1.0), "strike"),
        (lambda: European(option="call", strike="5", expiry=1.0), "strike"),
        (lambda: European(option="call", strike=1.0, expiry=0.0), "expiry"),
        (lambda: Digital(option="call", strike=1.0, expiry=1.0, cash=0.0), "cash"),
        (lambda: Asian(option="call", strike=1.0, fixings=()), "fixings"),
        (lambda: Asian(option="call", strike=1.0, fixings=(0.0, 1.0)), "fixings"),
        (lambda: Asian(option="call", strike=1.0, fixings=(0.5, 0.5)), "fixings"),
        (lambda: Asian(option="call", strike=1.0, fixings=0.5), "fixings"),
        (lambda: Asian(option="call", strike=1.0, fixings=(0.5,), average="harmonic"), "average"),
        (lambda: Asian(option="call", strike=1.0, fixings=(0.5,), past_fixings=(-1.0,)), "past_fixings"),
        (lambda: AsianDigital(option="call", strike=1.0, fixings=(0.5,), cash=-1.0), "cash"),
        (lambda: AsianDigital(option="call", strike=1.0, fixings=(0.5,), average="harmonic"), "average"),
        (lambda: AsianDigital(option="call", strike=1.0, fixings=(0.5, 0.2)), "fixings"),
        (lambda: Barrier(option="call", strike=1.0, barrier=1.0, kind="out", monitoring=DATES), "kind"),
        (lambda: Barrier(option="call", strike=1.0, barrier=0.0, kind="up-and-in", monitoring=DATES), "barrier"),
        (lambda: Barrier(option="call", strike=1.0, barrier=1.0, kind="up-and-in", monitoring=DATES, rebate=-1.0), "rebate"),
        (lambda: Barrier(option="call", strike=1.0, barrier=1.0, kind="up-and-in", monitoring=DATES, touched="no"), "touched"),
        (lambda: PathFunction(3, times=DATES), "function"),
        (lambda: PathFunction(max, times=DATES, over="columns"), "over"),
        (lambda: PathFunction(max, times=DATES, strike="x"), "strike"),
        (lambda: Plan(paths=1), "paths"),
        (lambda: Plan(paths=2.0**16), "paths"),
        (lambda: Plan(seed=-1), "seed"),
        (lambda: Plan(seed=2**64), "seed"),
        (lambda: schedule(0, 1.0), "n"),
        (lambda: schedule(12, -1.0), "expiry"),
    ],
)
def test_bad_terms_name_the_field_and_the_value(make, field):
    with pytest.raises(InvalidInput, match=f"^{field} must") as caught:
        make()
    assert caught.value.field == field


def test_a_schedule_ends_exactly_at_expiry():
    dates = schedule(52, 0.7)
    assert len(dates) == 52
    assert dates[-1] == 0.7
    assert np.diff((0.0, *dates)) == pytest.approx(np.full(52, 0.7 / 52), rel=1e-12)


def test_older_name_of_functions_over_paths_is_still_understood():
    old, new = (
        PathFunction(lambda spot, strike: spot[-1] - strike, times=DATES, over=over, strike=1.0) for over in ("lanes", "paths")
    )
    assert (old.over, new.over) == ("paths", "paths")
    assert np.array_equal(old.payoff(PATHS), new.payoff(PATHS))
