"""Scrambled Sobol points and their Brownian bridge."""

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import qmc

from pricers import InvalidInput, Plan, Sobol, schedule
from pricers.random_numbers import sobol
from pricers.random_numbers.brownian_bridge import bridge, bridged
from pricers.random_numbers.sampling import Address

DATES = (0.02, 0.3, 0.35, 0.9, 1.0, 1.4, 2.0)


def address(**changes):
    at = {"key": (5, 6), "time_grid": (1.0,), "factor": 0, "factors": 1, "first": 0, "n_paths": 64, "paths": 4 * 256}
    return Address(**(at | changes))


def normals(method=Sobol(scrambles=4), **changes):  # noqa: B008
    where = address(**changes)
    out = np.empty((len(where.time_grid), where.n_paths))
    method.normals(where, out)
    return out


def test_without_scrambling_the_points_are_scipys():
    dimensions, digits = 20, np.arange(52, dtype=np.uint64)
    identity = np.where(digits < 32, np.uint64(1) << (np.uint64(31) - np.minimum(digits, np.uint64(31))), np.uint64(0))
    directions, out = sobol._directions(dimensions), np.empty((dimensions, 30), dtype=np.uint64)
    sobol._scrambled(np.tile(identity, (dimensions, 1)), directions, out)
    found, words = np.empty((dimensions, 128)), np.empty(128, dtype=np.uint64)
    sobol._normals(np.arange(dimensions), out, np.zeros(dimensions, dtype=np.uint64), 0, words, found)
    scipys = qmc.Sobol(dimensions, scramble=False, bits=30).random(128).T
    for mine, theirs in zip(ndtr(found), scipys, strict=True):
        assert np.sort(mine) == pytest.approx(np.sort(theirs), abs=1e-13)  # the same set: scipy walks it in Gray code order
    order = [i ^ (i >> 1) for i in range(128)]
    assert ndtr(found)[:, order] == pytest.approx(scipys, abs=1e-13)


def test_scrambling_multiplies_by_a_lower_triangular_matrix():
    rng = np.random.default_rng(3)
    masks = rng.integers(0, 2**32, size=(2, 52), dtype=np.uint64)
    directions = rng.integers(0, 2**32, size=(2, 30), dtype=np.uint64)
    out = np.empty((2, 30), dtype=np.uint64)
    sobol._scrambled(masks, directions, out)
    for d in range(2):
        for bit in range(30):
            digits = [bin(int(masks[d, r]) & int(directions[d, bit])).count("1") % 2 for r in range(52)]
            assert int(out[d, bit]) == int("".join(map(str, digits)), 2)


@pytest.mark.parametrize("size", [64, 256, 1024])
def test_every_dimension_of_a_scramble_is_a_net(size):
    time_grid = schedule(50, 1.0)
    directions, shifts = sobol._scramble((7, 8), 3, 50)
    out, words = np.empty((50, size)), np.empty(size, dtype=np.uint64)
    sobol._normals(np.arange(50), directions, shifts, size * 5, words, out)
    cells = np.floor(ndtr(out) * size).astype(int)
    assert all(sorted(row) == list(range(size)) for row in cells.tolist())
    assert len(time_grid) == 50


def test_two_dimensions_are_a_net_together():
    directions, shifts = sobol._scramble((7, 8), 3, 2)
    out, words = np.empty((2, 256)), np.empty(256, dtype=np.uint64)
    sobol._normals(np.arange(2), directions, shifts, 0, words, out)
    for split in range(9):
        cells = np.floor(ndtr(out[0]) * 2**split) * 2 ** (8 - split) + np.floor(ndtr(out[1]) * 2 ** (8 - split))
        assert sorted(cells.astype(int).tolist()) == list(range(256))


def test_every_point_is_uniform_over_scrambles():
    at = np.array([ndtr(normals(key=(k, 0), time_grid=DATES)[[0, 3], 17]) for k in range(1500)])
    for column in at.T:
        assert abs(column.mean() - 0.5) < 4 / np.sqrt(12 * 1500)
        counts = np.histogram(column, bins=10, range=(0, 1))[0]
        assert ((counts - 150) ** 2 / 150).sum() < 33.7  # chi-square, 9 degrees, 1e-4
    assert abs(np.corrcoef(at.T)[0, 1]) < 4 / np.sqrt(1500)


def test_the_bridge_is_brownian_motion():
    grid_points, weights = bridge(DATES)
    assert sorted(grid_points[:, 0].tolist()) == list(range(7))
    walk, out = np.empty((7, 7)), np.empty((7, 7))
    scale = np.sqrt(np.diff(DATES, prepend=0.0))
    bridged(grid_points, weights, scale, np.eye(7), walk, out)
    assert walk @ walk.T == pytest.approx(np.minimum.outer(DATES, DATES), abs=1e-14)
    assert out @ out.T == pytest.approx(np.eye(7), abs=1e-14)
    assert walk[-1, 0] == np.sqrt(2.0)
    assert not walk[-1, 1:].any()  # the first dimension alone decides the last grid point


def test_a_path_does_not_depend_on_the_block():
    whole = normals(time_grid=DATES, n_paths=256, first=256)
    parts = [normals(time_grid=DATES, n_paths=64, first=first) for first in range(256, 512, 64)]
    assert np.array_equal(whole, np.hstack(parts))
    assert not np.array_equal(whole[:, :64], normals(time_grid=DATES, n_paths=64, first=0))


def test_factors_have_dimensions_of_their_own():
    one, two = (normals(time_grid=DATES, factor=f, factors=2, n_paths=256) for f in (0, 1))
    assert abs(np.mean(one * two)) < 0.05
    assert not np.array_equal(one, two)


@pytest.mark.parametrize("paths", [100, 64 * 32 - 1, 32 * 96, 32 * 32])
def test_paths_that_do_not_fit_are_refused(paths):
    with pytest.raises(InvalidInput, match=r"^paths must be 32 scrambles times a power of two from 64, such as"):
        Plan(paths=paths, sampling=Sobol())


def test_too_many_dimensions_are_refused():
    with pytest.raises(InvalidInput, match="at most"):
        sobol._directions(30_000)


@pytest.mark.parametrize("scrambles", [3, 0, 2.0, True])
def test_too_few_scrambles_are_refused(scrambles):
    with pytest.raises(InvalidInput, match="^scrambles must"):
        Sobol(scrambles=scrambles)
