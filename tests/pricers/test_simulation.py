"""Draws, paths and the loop over blocks, against plain Python."""

import math

import naive_gbm
import numpy as np
import pytest

from pricers import GBM, European, InvalidInput, Market, NotApplicable, Plan, ZeroCurve, price, schedule
from pricers.engine.estimate import Moments, controlled
from pricers.engine.simulation import Sampler, _blocks, simulate
from pricers.paths.discounting import Discounting
from pricers.paths.paths import Law, Paths
from pricers.paths.requests import PathRequest, Wanted
from pricers.random_numbers.path_block import Block, ObservationDates
from pricers.random_numbers.sampling import ATOM

CURVE = Market(spot=120.0, rate=ZeroCurve(times=(0.2, 1.0), rates=(0.01, 0.06)), dividend=0.03)
DATES = (0.1, 0.35, 0.4, 0.9)


def block(time_grid=DATES, n_paths=70, first=0, seed=11, stream=""):
    return Block(seed=seed, stream=stream, time_grid=time_grid, first=first, n_paths=n_paths)


def test_increments_on_a_finer_grid_are_those_of_the_same_motion():
    time_grid = tuple(k / 50 for k in range(1, 51))
    fine = block(time_grid)
    found = fine.increments(ObservationDates((time_grid[4], time_grid[19], time_grid[49]), time_grid))
    z = fine.normals()
    for path in (0, 33, 69):
        walk = [math.fsum(math.sqrt(0.02) * z[k, path] for k in range(n)) for n in (5, 20, 50)]
        steps = np.diff([0.0, *walk]) / np.sqrt(np.diff([0.0, 0.1, 0.4, 1.0]))
        assert found[:, path] == pytest.approx(steps, rel=1e-12, abs=1e-13)


def test_a_point_has_its_normals_whatever_follows_it_and_wherever_the_block_starts():
    short, long = block(DATES[:2]), block(DATES, first=32)
    assert np.array_equal(short.normals()[:, 32:], long.normals()[:2, :38])
    assert not np.array_equal(block(stream="X").normals(), block(stream="Y").normals())
    assert not np.array_equal(block().normals(0), block().normals(1))


def test_a_date_off_the_grid_is_an_error():
    with pytest.raises(ValueError, match="must be a grid point"):
        ObservationDates((0.2,), DATES)
    with pytest.raises(ValueError, match="must be a grid point"):
        ObservationDates((0.95,), DATES)


@pytest.mark.parametrize("time_scale", [1.0, 1.01])
def test_gbm_paths_scores_and_tangents_against_plain_python(time_scale):
    model, dates = GBM(vol=0.3), ObservationDates(DATES, DATES)
    draws = block()
    paths = model.paths(draws, dates, CURVE, time_scale)
    growth = [time_scale * float(CURVE.log_growth(t)) for t in DATES]
    for path in (0, 41, 69):
        z = draws.normals()[:, path].tolist()
        twin = naive_gbm.GBMPath(spot=120.0, vol=0.3, times=[time_scale * t for t in DATES], growth=growth, normals=z)
        assert paths.spot[:, path] == pytest.approx(twin.spots(), rel=1e-14)
        for parameter in ("spot", "rate", "dividend", "vol", "time"):
            assert paths.score(parameter)[path] == pytest.approx(twin.score(parameter), rel=1e-12, abs=1e-13)
            assert np.broadcast_to(paths.law.tangent(parameter), (4, 70))[:, path] == pytest.approx(
                twin.tangent(parameter), rel=1e-11, abs=1e-13
            )
        for pair in (("spot", "spot"), ("spot", "vol"), ("vol", "vol")):
            assert paths.score(*pair)[path] == pytest.approx(twin.second_score(*pair), rel=2e-6, abs=1e-6)
    assert paths.discounting.log_factors[-1] == pytest.approx(time_scale * float(CURVE.log_discount(0.9)), rel=1e-15)


def test_summaries_of_paths_against_plain_python():
    paths = GBM(vol=0.3).paths(block(), ObservationDates(DATES, DATES), CURVE)
    for path in (0, 64, 69):
        spots = paths.spot[:, path].tolist()
        assert paths.mean[path] == pytest.approx(math.fsum(spots) / 4, rel=1e-15)
        assert paths.geometric_mean[path] == pytest.approx(math.prod(spots) ** 0.25, rel=1e-14)
        assert paths.minimum[path] == pytest.approx(min(spots), rel=2e-15)
        assert paths.maximum[path] == pytest.approx(max(spots), rel=2e-15)
        assert paths.last[path] == pytest.approx(spots[-1], rel=2e-15)
        assert paths.log_last[path] == pytest.approx(math.log(spots[-1]), rel=1e-15)


SUMMARIES = ("mean", "log_mean", "minimum", "maximum", "last", "log_last")
PARAMETERS = ("spot", "rate", "dividend", "vol", "time")
SLOPES = [(name, parameter) for name in ("mean", "log_mean", "log_last") for parameter in PARAMETERS]


@pytest.mark.parametrize("time_scale", [1.0, 1.01])
@pytest.mark.parametrize("dates", [DATES, DATES[:3], (0.35, 0.9)], ids=["all", "the first", "some"])
def test_summaries_and_their_slopes_are_those_of_the_spots_and_tangents(dates, time_scale):
    model = GBM(vol=0.3)
    paths = model.paths(block(n_paths=300), ObservationDates(dates, DATES), CURVE, time_scale)
    for name, of_spots in {
        "mean": paths.spot.mean(axis=0),
        "log_mean": np.log(paths.spot).mean(axis=0),
        "minimum": paths.spot.min(axis=0),
        "maximum": paths.spot.max(axis=0),
        "last": paths.spot[-1],
        "log_last": np.log(paths.spot[-1]),
    }.items():
        assert getattr(paths, name) == pytest.approx(of_spots, rel=3e-15), name
    for name, parameter in SLOPES:
        tangent = paths.law.tangent(parameter)
        along = {"mean": paths.spot * tangent, "log_mean": tangent, "log_last": tangent[-1:]}[name].mean(axis=0)
        assert np.broadcast_to(paths.slope(name, parameter), 300) == pytest.approx(
            np.broadcast_to(along, 300), rel=1e-11, abs=1e-12
        ), (name, parameter)


def test_spots_beyond_all_numbers_are_held_at_the_last_of_them():
    """Without that a power of two would wrap round to something ordinary."""
    draws, vol = block((1.0,), n_paths=256), 300.0
    paths = GBM(vol=vol).paths(draws, ObservationDates((1.0,), (1.0,)), Market(spot=1.0, rate=0.5 * vol**2))
    beyond = 0
    for got, z in zip(paths.mean.tolist(), draws.normals()[0].tolist(), strict=True):
        if abs(vol * z) > 708.0:
            beyond += 1
            assert got > 1e307 if z > 0.0 else got < 1e-307
        else:
            assert got == pytest.approx(math.exp(vol * z), rel=1e-12)
    assert beyond >= 4


def test_what_is_asked_of_paths_and_beside_them_changes_no_bit():
    scenarios = [
        (GBM(vol=v), CURVE.bumped("spot", h), time_scale) for v, h, time_scale in ((0.3, 0, 1.0), (0.2, 0, 1.0), (0.3, 1.0, 1.02))
    ]
    observations = [ObservationDates(dates, DATES) for dates in (DATES, DATES[:3], (0.35, 0.9), (0.1,))]
    every = {"summaries": frozenset(SUMMARIES), "scores": frozenset((name,) for name in PARAMETERS), "slopes": frozenset(SLOPES)}

    def request(scenario, dates, wanted):
        return PathRequest(market=scenario[1], time_scale=scenario[2], dates=dates, wanted=Wanted(**wanted))

    def numbers(model, asked, *others):
        requests = {model: [asked]}
        for other, of_model in others:
            requests.setdefault(of_model, []).append(other)
        paths = GBM.simulator(requests).paths(Block(seed=11, stream="", time_grid=DATES, first=0, n_paths=300), asked)
        return [
            *(getattr(paths, name) for name in SUMMARIES),
            *(paths.slope(name, parameter) for name, parameter in SLOPES),
            *(paths.score(parameter) for parameter in PARAMETERS),
        ]

    crowd = [(request(scenario, dates, every), scenario[0]) for scenario in scenarios for dates in observations]
    for scenario in scenarios:
        for dates in observations:
            alone = numbers(scenario[0], request(scenario, dates, {}))
            for wanted in (every, *({name: names} for name, names in every.items())):
                for others in ((), crowd):
                    together = numbers(scenario[0], request(scenario, dates, wanted), *others)
                    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


class NoLaw(Law):
    def score(self, parameters):
        raise AssertionError

    def tangent(self, parameter):
        raise AssertionError


def test_nan_is_neither_minimum_nor_maximum_of_others():
    spot = np.full((4, 7), 100.0)
    spot[2, 5] = math.nan
    paths = Paths(times=np.array(DATES), n_paths=7, spot=lambda: spot, discounting=Discounting((1.0,), (0.0,)), law=NoLaw())
    assert math.isnan(paths.minimum[5])
    assert math.isnan(paths.maximum[5])
    assert math.isnan(paths.mean[5])


def test_gbm_knows_which_scores_it_lacks():
    law = GBM(vol=0.3).paths(block(), ObservationDates(DATES, DATES), CURVE).law
    with pytest.raises(NotApplicable, match=r"no score for rate x rate; use FiniteDifference\(\)"):
        law.score(("rate", "rate"))


@pytest.mark.parametrize("samples", [1, 64, 4096, 50_000, 2**19])
@pytest.mark.parametrize("n_paths", [64, 256, 4096, 16_384])
@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_blocks_hold_every_path_once_and_a_block_of_a_power_of_two_starts_at_a_multiple_of_it(samples, n_paths, workers):
    end = 0
    for first, width in _blocks(samples, n_paths, workers):
        assert first == end
        assert first < samples
        assert first % width == 0
        assert width % ATOM == 0
        end = first + width
    assert samples <= end < samples + n_paths


class Known(Sampler):
    """Rows that are written down: path i of group g has i**(row + 1) / 1000 + g."""

    stream, time_grid, shape = "", (1.0,), (2, 3)

    def sample(self, paths, out):
        block = paths.block
        index = block.first + np.arange(block.n_paths)
        for group in range(2):
            for row in range(3):
                out[group, row] = (index / 1000.0) ** (row + 1) + group


@pytest.mark.parametrize("paths", [2, 63, 64, 65, 1000, 20_001])
def test_moments_are_those_of_all_paths(paths):
    plan = Plan(paths=paths)
    (found,) = simulate([Known()], plan, threads=2, n_paths=192)
    x = np.array([[(i / 1000.0) ** (row + 1) for i in range(paths)] for row in range(3)])
    for group in range(2):
        moments = found[group]
        size = plan.atoms_per_batch * plan.atom
        batches = [x[:, first : first + size] for first in range(0, paths, size)]
        assert moments.batch_counts.tolist() == [batch.shape[1] for batch in batches]
        assert moments.batch_means == pytest.approx(np.array([batch.mean(axis=1) + group for batch in batches]), rel=1e-12)
        length = size * plan.batches_per_section
        sections = [x[:, first : first + length] for first in range(0, paths, length)]
        assert len(moments.counts) == len(sections) == plan.sections
        for index, part in enumerate(sections):
            assert moments.counts[index] == part.shape[1]
            assert moments.mean[index] == pytest.approx(part.mean(axis=1) + group, rel=1e-12)
            assert moments.comoment[index] == pytest.approx(np.cov(part, ddof=0) * part.shape[1], rel=1e-9, abs=1e-18)
        for fold in range(2):
            part = np.hstack([np.empty((3, 0)), *sections[fold::2]])
            assert moments.folds.counts[fold] == part.shape[1]
            if part.shape[1]:
                assert moments.folds.mean[fold] == pytest.approx(part.mean(axis=1) + group, rel=1e-12)
                together = np.cov(part, ddof=0) * part.shape[1]
                assert moments.folds.comoment[fold] == pytest.approx(together, rel=1e-10, abs=1e-18)


def test_progress_ends_at_all_paths():
    seen = []
    simulate([Known()], Plan(paths=1000), threads=1, n_paths=192, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(192, 1000), (384, 1000), (576, 1000), (768, 1000), (960, 1000), (1000, 1000)]


class Failing(Known):
    def sample(self, paths, out):
        if paths.block.first >= 384:
            raise ZeroDivisionError("at path 384")
        super().sample(paths, out)


def test_a_sampler_that_fails_takes_none_with_it():
    good, bad = simulate([Known(), Failing()], Plan(paths=2000), threads=2, n_paths=192, keep_going=True)
    assert good[0].counts.sum() == 2000
    assert isinstance(bad, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError, match="at path 384"):
        simulate([Known(), Failing()], Plan(paths=2000), threads=2, n_paths=192)


@pytest.mark.parametrize("threads", [0, -1, 1.5, True])
def test_a_number_of_threads_that_is_none(threads):
    with pytest.raises(InvalidInput, match="^threads must"):
        simulate([Known()], Plan(paths=100), threads=threads)


def folded(x):
    """Moments of rows x[row, path], the first half of the paths in fold 0."""
    halves = np.split(x, 2, axis=1)
    means = np.array([half.mean(axis=1) for half in halves])
    centred = [half - half.mean(axis=1, keepdims=True) for half in halves]
    comoment = np.array([half @ half.T for half in centred])
    counts = np.array([float(half.shape[1]) for half in halves])
    return Moments(counts=counts, mean=means, comoment=comoment, batch_means=means, batch_counts=counts)


def test_controls_take_out_what_they_explain():
    rng = np.random.default_rng(8)
    c1, c2, noise = rng.normal(size=(3, 10_000))
    moments = folded(np.array([3.0 + 2.0 * c1 - 5.0 * c2 + 0.1 * noise, c1, c2, np.zeros(10_000)]))
    weights = controlled(moments, 0, (1, 2, 3))
    assert weights == pytest.approx(np.array([[1.0, -2.0, 5.0, 0.0]] * 2), abs=0.01)
    assert moments.stderr(weights) == pytest.approx(0.1 / math.sqrt(10_000), rel=0.03)
    assert abs(moments.value(weights) - 3.0) < 4 * moments.stderr(weights)
    assert controlled(moments, 0, ()).tolist() == [[1.0, 0.0, 0.0, 0.0]] * 2
    assert moments.batches(weights).mean() == pytest.approx(moments.value(weights), rel=1e-14)


def test_coefficients_come_from_the_other_fold():
    rng = np.random.default_rng(9)
    control = rng.normal(size=2000)
    moments = folded(np.array([np.where(np.arange(2000) < 1000, 1.0, 4.0) * control, control]))
    assert controlled(moments, 0, (1,)) == pytest.approx(np.array([[1.0, -4.0], [1.0, -1.0]]), rel=1e-9)


def test_too_few_paths_for_a_fit_leave_the_controls_out():
    rng = np.random.default_rng(9)
    moments = folded(rng.normal(size=(3, 38)))
    assert controlled(moments, 0, (1, 2)).tolist() == [[1.0, 0.0, 0.0]] * 2
    assert controlled(moments, 0, (1,))[0, 1] != 0.0


def test_price_by_simulation():
    contract = European(option="put", strike=125.0, expiry=1.0)
    found = price(contract, GBM(vol=0.3), CURVE, method="simulation", plan=Plan(paths=2**18, seed=4))
    forward, discount = 120.0 * math.exp(0.03), math.exp(-0.06)
    d2 = (math.log(forward / 125.0) - 0.045) / 0.3
    cdf = lambda x: 0.5 * math.erfc(-x / math.sqrt(2.0))  # noqa: E731
    truth = discount * (125.0 * cdf(-d2) - forward * cdf(-d2 - 0.3))
    assert abs(found.value - truth) < 4 * found.stderr
    assert found.stderr < 0.05
    assert (found.greek, found.paths, found.estimator) == ("price", 2**18, "simulation")


def test_dates_need_not_be_few():
    call = European(option="call", strike=120.0, expiry=0.5)
    found = price(call, GBM(vol=0.3), CURVE, method="simulation", plan=Plan(paths=100, seed=1))
    assert math.isfinite(found.value)
    assert len(schedule(2000, 1.0)) == 2000
