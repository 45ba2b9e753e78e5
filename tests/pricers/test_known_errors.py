"""When the paths tell the error of a number, and how skewed and heavy-tailed it is."""

import math

import numpy as np
import pytest

from pricers import GBM, Barrier, Digital, European, InvalidInput, Market, Plan, price, schedule
from pricers.engine.estimate import Estimate, bound, quantile, student, symmetric, why_unknown
from pricers.engine.simulation import Sampler, simulate

MARKET = Market(spot=100.0, rate=0.05, dividend=0.02)
VOL = GBM(vol=0.2)


class Written(Sampler):
    """Rows [row, path] that are given."""

    stream, time_grid = "", (1.0,)

    def __init__(self, rows):
        self._rows = np.atleast_2d(rows)
        self.shape = (1, len(self._rows))

    def sample(self, paths, out):
        block, out[:] = paths.block, 0.0
        part = self._rows[:, block.first : block.first + block.n_paths]
        out[0, :, : part.shape[1]] = part


def moments(rows, paths=None):
    rows = np.atleast_2d(rows)
    return simulate([Written(rows)], Plan(paths=paths or rows.shape[1]), threads=1)[0][0]


def statistics(rows, *weights):
    found = moments(rows)
    return found.statistics(np.tile(weights or np.eye(len(np.atleast_2d(rows)))[0], (2, 1)))


def direct(x):
    """Skewness of the mean and effective number, from the numbers themselves."""
    d = x - x.mean()
    return (d**3).sum() / (d**2).sum() ** 1.5, (d**2).sum() ** 2 / (d**4).sum()


@pytest.mark.parametrize("paths", [200, 1024, 4096, 2**16])
@pytest.mark.parametrize("law", ["normal", "exponential", "rare", "heavy"])
def test_shape_of_a_sample_is_found_from_its_sections(paths, law):
    """Sections tell third and fourth moments with errors of their own, which many samples average out."""
    rng = np.random.default_rng(paths)
    draw = {
        "normal": lambda: rng.normal(size=paths),
        "exponential": lambda: rng.exponential(size=paths),
        "rare": lambda: (rng.random(paths) < 60 / paths) + 0.0,
        "heavy": lambda: np.exp(rng.normal(size=paths)),
    }[law]
    ratios, gaps = [], []
    for _ in range(60):
        x = draw()
        found, (skewness, effective) = statistics(x), direct(x)
        ratios.append(effective / found.effective)
        gaps.append((found.skewness - skewness) * math.sqrt(effective))
    assert abs(np.mean(ratios) - 1.0) < 4.0 * np.std(ratios) / math.sqrt(60) + 0.03
    assert np.std(ratios) < 0.6
    assert abs(np.mean(gaps)) < 4.0 * np.std(gaps) / math.sqrt(60) + 0.03
    assert np.std(gaps) < 0.3


def test_shape_is_that_of_the_weighted_sum():
    """Of a control that explains all but a few paths, it is the few that count."""
    rng = np.random.default_rng(1)
    control = rng.normal(size=8192)
    few = np.zeros(8192)
    few[rng.choice(8192, 16, replace=False)] = 3.0
    rows = np.array([control + few, control])
    assert statistics(rows, 1.0, 0.0).effective > 2000.0
    left = statistics(rows, 1.0, -1.0)
    assert left.effective == pytest.approx(direct(few)[1], rel=0.5)
    assert left.skewness == pytest.approx(direct(few)[0], rel=0.2)


def test_what_is_claimed_and_what_is_not():
    rng = np.random.default_rng(2)
    for hits, known in ((0, False), (1, False), (8, False), (80, True), (4096 - 8, False), (4096, False)):
        x = np.zeros(4096)
        x[rng.choice(4096, hits, replace=False)] = 2.5
        found = statistics(x)
        why = why_unknown(found, 4096)
        assert (why == "") == known, (hits, why)
        if not known:
            assert "4096" in why
    x = np.zeros(4096)
    x[rng.choice(4096, 60, replace=False)] = 1.0
    heavy = statistics(x)
    assert 40.0 < heavy.effective < 90.0
    assert not why_unknown(heavy, 4096)
    assert "fewer than 100" in why_unknown(heavy, 4096, heavy=True)


def test_what_rounding_leaves_is_no_error():
    noise = 1.0 + 1e-9 * np.random.default_rng(3).normal(size=4096)
    found = statistics(noise)
    assert not why_unknown(found, 4096)  # it may be as precise as that
    assert why_unknown(found._replace(spread=1.0), 4096) == "controls leave rounding only"


@pytest.mark.parametrize("paths", [2, 3, 20, 29])
def test_fewer_than_thirty_paths_tell_no_error(paths):
    x = np.random.default_rng(4).normal(size=paths)
    found = statistics(x)
    assert found.value == pytest.approx(x.mean(), rel=1e-12)
    assert why_unknown(found, paths)


def test_nan_stays_and_has_no_reason_of_ours():
    x = np.ones(4096)
    x[5] = math.nan
    found = statistics(x)
    assert math.isnan(found.value)
    assert math.isnan(found.stderr)
    assert why_unknown(found, 4096) == ""


def estimate(**given):
    return Estimate(**({"greek": "delta", "value": 1.0, "stderr": 0.1, "paths": 100, "unit": "", "estimator": "x"} | given))


def test_interval():
    low, high = estimate().interval(0.95)
    assert (low, high) == pytest.approx((1.0 - 0.1959964, 1.0 + 0.1959964), rel=1e-6)
    low, high = estimate(bias=-0.05).interval(0.95)
    assert (low, high) == pytest.approx((1.0 - 0.2459964, 1.0 + 0.2459964), rel=1e-6)
    low, high = estimate(skewness=0.2).interval(0.95)
    assert 0.5 * (low + high) == pytest.approx(1.0 + (1.0 + 2.0 * 1.959964**2) / 6.0 * 0.2 * 0.1, rel=1e-6)
    low, high = estimate(degrees=31.0).interval(0.95)
    assert 0.5 * (high - low) == pytest.approx(0.1 * 2.0395134, rel=1e-6)
    assert all(math.isnan(end) for end in estimate(stderr=math.nan).interval())
    assert estimate(stderr=0.0, paths=0).interval() == (1.0, 1.0)
    for level in (0.0, 1.0, 95.0, math.nan):
        with pytest.raises(InvalidInput, match=r"^level must lie strictly between 0 and 1"):
            estimate().interval(level)
    assert str(estimate(stderr=math.nan)) == "delta = 1 (error not known) (x, )"


def test_quantiles():
    assert quantile(0.95) == pytest.approx(1.959964, rel=1e-6)
    assert student(3.0, math.inf) == 3.0
    assert student(1.959964, 31.0) == pytest.approx(2.0395134, rel=1e-6)
    assert student(1.959964, 1e9) == pytest.approx(1.959964, rel=1e-6)


def test_symmetric_distances_are_monotone_and_right_in_law():
    """A count of 40 is as likely to be 4.2 of its own errors too low as a normal number is to be 3.2 or so."""
    t = np.linspace(-30.0, 30.0, 2001)
    for skewness in (-0.18, 0.05, 0.18):
        assert (np.diff([symmetric(x, skewness) for x in t]) > 0.0).all()
    assert symmetric(2.0, 0.0) == 2.0
    rng = np.random.default_rng(5)
    counts = rng.poisson(40.0, size=2_000_000).astype(float)
    z = np.array(
        [
            symmetric(x, s)
            for x, s in zip(
                (np.arange(120) - 40.0) / np.sqrt(np.arange(120) + 1e-9), 1.0 / np.sqrt(np.arange(120) + 1e-9), strict=True
            )
        ]
    )
    plain = (np.arange(120) - 40.0) / np.sqrt(np.arange(120) + 1e-9)
    corrected, naive = np.mean(z[counts.astype(int)] < -3.0), np.mean(plain[counts.astype(int)] < -3.0)
    assert naive > 3.0 * 0.00135
    assert corrected < 2.0 * 0.00135


@pytest.mark.parametrize("k", [0, 1, 3])
def test_bounds_hold_with_their_probability(k):
    """The true probability at which k hits or fewer have 5 % is the bound."""
    from scipy.stats import binom

    text = bound(k / 1000 * 2.0, 2.0, 1000)
    assert text.startswith("at most ")
    assert binom.cdf(k, 1000, float(text.split()[-1]) / 2.0) == pytest.approx(0.05, abs=2e-3)


def test_bounds_of_what_nearly_always_pays_and_of_what_has_none():
    assert bound(2.0, 2.0, 1000) == f"at least {2.0 * (1.0 - 2.995732 / 1000):.6g}"
    assert bound(1.0, math.inf, 1000) == ""
    assert bound(-1.0, 2.0, 1000) == ""
    assert bound(3.0, 2.0, 1000) == ""


def test_price_says_what_it_does_not_know():
    deep = Digital(option="call", strike=300.0, expiry=1.0, cash=1e6)
    found = price(deep, VOL, MARKET, method="simulation", plan=Plan(paths=2**16, seed=1))
    assert found.value == 0.0
    assert math.isnan(found.stderr)
    assert not found.resolved
    room = float(found.note.split("at most ")[1].split()[0])
    assert room == pytest.approx(1e6 * math.exp(-0.05) * 2.995732 / 2**16, rel=5e-3)
    truth = price(deep, VOL, MARKET)
    assert (truth.estimator, truth.stderr, truth.paths) == ("exact", 0.0, 0)
    d2 = (math.log(1.0 / 3.0) + 0.01) / 0.2
    assert truth.value == pytest.approx(1e6 * math.exp(-0.05) * 0.5 * math.erfc(-d2 / math.sqrt(2.0)), rel=1e-9)
    assert truth.value < room


def test_sure_payments_have_no_error():
    dead = Barrier(
        option="call", strike=100.0, barrier=90.0, kind="down-and-out", monitoring=schedule(4, 1.0), rebate=7.0, touched=True
    )
    found = price(dead, VOL, MARKET, method="simulation", plan=Plan(paths=256))
    assert found.value == pytest.approx(7.0 * math.exp(-0.05), rel=1e-14)
    assert found.stderr < 1e-15


def test_a_price_can_be_forced():
    call = European(option="call", strike=100.0, expiry=1.0)
    exact, sampled = (price(call, VOL, MARKET, method=method, plan=Plan(paths=2**14)) for method in ("exact", "simulation"))
    assert (exact.estimator, sampled.estimator) == ("exact", "simulation")
    assert abs(sampled.value - exact.value) < 4.0 * sampled.stderr < 0.6
    with pytest.raises(InvalidInput, match=r"^method must be one of best, exact, simulation"):
        price(call, VOL, MARKET, method="magic")
