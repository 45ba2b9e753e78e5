import math

import naive
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from pricers import Antithetic, InvalidInput, Plan, PseudoRandom, Sobol
from pricers.random_numbers.path_block import Block
from pricers.random_numbers.philox import stream_key
from pricers.random_numbers.tilted import Mixture, Tilted

LATTICE = (0.1, 0.3, 0.35, 0.6, 1.0, 1.5)
ENDS, DATES = (2, 5), (1, 2, 4, 5)
FACTOR = ((0.9, 0.0, 0.0, 0.0), (0.2, 0.8, 0.0, 0.0), (-0.1, 0.3, 1.1, 0.0), (0.05, 0.1, -0.2, 0.7))
MIXTURE = Mixture(
    spheres=((0.1, 1.0), (0.2, 1.7)),
    copies=((0.4, 1.0, 1.0), (0.3, 0.7, 1.15)),
    shares=(0.6, 0.4),
    means=((0.8, 0.3, 0.0, 1.0), (-1.0, 0.2, 0.5, -0.7)),
    factors=(FACTOR, tuple(tuple(0.8 * x for x in row) for row in FACTOR)),
)
TILTED = Tilted(mixture=MIXTURE, ends=ENDS, dates=DATES, factors=2)


def block(sampling=TILTED, first=0, n_paths=512, time_grid=LATTICE, **settings):
    return Block(seed=5, stream="X", time_grid=time_grid, first=first, n_paths=n_paths, sampling=sampling, factors=2, **settings)


def components(mixture, directions):
    """Share, mean and factor of each component, in the order in which a uniform chooses among them."""
    for share, scale in mixture.spheres:
        yield share, np.zeros(directions), scale * np.eye(directions)
    for part, a, b in mixture.copies:
        for share, mean, factor in zip(mixture.shares, mixture.means, mixture.factors, strict=True):
            yield part * share, a * np.array(mean), b * np.array(factor)


def basis():
    """B [point, segment] of one driver, from its definition: an increment of the segment over its deviation."""
    steps, found = np.diff(LATTICE, prepend=0.0), np.zeros((len(LATTICE), len(ENDS)))
    for segment, (start, end) in enumerate(zip((0, *ENDS), ENDS, strict=False)):
        found[start:end, segment] = np.sqrt(steps[start:end] / steps[start:end].sum())
    return found


def test_paths_are_moved_along_coarse_directions_as_defined():
    made, nominal, key = block(first=192, n_paths=130), block(PseudoRandom(), first=192, n_paths=130), stream_key(5, "X")
    b, chosen = basis(), set()
    assert np.allclose(b.T @ b, np.eye(2))
    parts = list(components(MIXTURE, 4))
    for path in range(130):
        e = [nominal.normals(factor)[:, path] for factor in range(2)]
        g = np.concatenate([b.T @ e[0], b.T @ e[1]])
        u = naive.uniform(192 + path, 0, key, 2)
        bounds = np.cumsum([share for share, _, _ in parts])
        number = int(np.flatnonzero(u < bounds)[0])
        _, mean, factor = parts[number]
        chosen.add(number)
        y = mean + factor @ g
        assert made.coordinates()[:, path] == pytest.approx(y, rel=1e-12, abs=1e-12)
        for driver in range(2):
            moved = e[driver] + b @ (y - g)[2 * driver : 2 * driver + 2]
            assert made.normals(driver)[:, path] == pytest.approx(moved, rel=1e-12, abs=1e-12)
    assert chosen == set(range(len(parts)))


def test_weights_are_ratios_of_densities():
    y = block(n_paths=300).coordinates()
    weights = np.empty((2, 300))
    MIXTURE.weigh(y, weights)
    parts = [share * multivariate_normal(mean, f @ f.T).pdf(y.T) for share, mean, f in components(MIXTURE, 4)]
    density = np.sum(parts, axis=0)
    assert weights[0] == pytest.approx(multivariate_normal(np.zeros(4)).pdf(y.T) / density, rel=1e-11)
    assert weights[1] == pytest.approx(np.sum(parts[2:], axis=0) / density, rel=1e-11)
    assert weights[0].max() <= 1.0 / 0.1


def test_what_coordinates_do_not_see_is_what_is_left_of_the_intervals():
    made, weights = block(n_paths=64), block(n_paths=64).weights()
    steps, b = np.diff(LATTICE, prepend=0.0), basis()
    intervals = np.zeros((4, len(LATTICE)))
    for k, (start, end) in enumerate(zip((0, *DATES), DATES, strict=False)):
        intervals[k, start:end] = np.sqrt(steps[start:end] / steps[start:end].sum())
    left = intervals - intervals @ b @ b.T
    assert weights.shape == (8, 64)
    assert TILTED.unseen(LATTICE) == pytest.approx(left[0] @ left[0])
    for driver in range(2):
        z = made.normals(driver)
        unseen, rows = left @ z, weights[2 + 3 * driver : 5 + 3 * driver]
        assert rows[0] == pytest.approx(unseen[0], rel=1e-11, abs=1e-11)
        assert rows[1] == pytest.approx((intervals @ z)[0] - unseen[0], rel=1e-11, abs=1e-11)
        assert rows[2] == pytest.approx((unseen**2).sum(axis=0) - (left**2).sum(), rel=1e-10, abs=1e-10)


def test_weighed_paths_have_the_nominal_law():
    made, count = block(n_paths=2**17), 2**17
    w, share = made.weights()[:2]
    z = np.concatenate([made.normals(0), made.normals(1)])
    numbers = [w, *(w * z), *(w * z[i] * z[j] for i in range(len(z)) for j in range(i + 1)), share]
    wanted = [1.0, *([0.0] * len(z)), *(float(i == j) for i in range(len(z)) for j in range(i + 1)), MIXTURE.own]
    for number, truth in zip(numbers, wanted, strict=True):
        error = number.std() / math.sqrt(count)
        assert abs(number.mean() - truth) < 4.5 * error
        assert error < 0.02
    residual = made.weights()[2:]
    for row in (0, 2, 3, 5):  # nothing of it moves with the coordinates, weighed or not
        assert abs((share * residual[row]).mean()) < 4.5 * (share * residual[row]).std() / math.sqrt(count)


def test_a_standard_mixture_leaves_normals_as_they_are():
    plain = block(Tilted(mixture=Mixture(), ends=ENDS, dates=DATES, factors=2))
    for driver in range(2):
        assert np.array_equal(plain.normals(driver), block(PseudoRandom()).normals(driver))
    assert (plain.weights()[0] == 1.0).all()


def test_points_after_the_last_segment_and_longer_grids_change_nothing():
    short, long = block(time_grid=LATTICE[:5]), block(time_grid=(*LATTICE, 2.0))
    for driver in range(2):
        assert np.array_equal(short.normals(driver), long.normals(driver)[:5])
        assert np.array_equal(long.normals(driver)[5:], block(PseudoRandom(), time_grid=(*LATTICE, 2.0)).normals(driver)[5:])
    assert np.array_equal(short.weights(), long.weights())


def test_a_path_has_the_same_bits_in_any_block():
    whole = block(n_paths=640)
    for first, n_paths in ((0, 64), (64, 192), (256, 320)):
        part = block(first=first, n_paths=n_paths)
        assert np.array_equal(part.normals(1), whole.normals(1)[:, first : first + n_paths])
        assert np.array_equal(part.weights(), whole.weights()[:, first : first + n_paths])


def test_antithetic_pairs_share_a_component_and_mirror_within_it():
    made = Block(
        seed=5,
        stream="X",
        time_grid=LATTICE,
        first=64,
        n_paths=256,
        sampling=Tilted(mixture=MIXTURE, ends=ENDS, dates=DATES, factors=2, base=Antithetic()),
        factors=2,
    )
    y, alone = made.coordinates(), block(first=64, n_paths=128).coordinates()
    assert np.allclose(y[:, :128], alone)
    means = np.array([mean for _, mean, _ in components(MIXTURE, 4)])
    distance = np.abs(0.5 * (y[:, :128] + y[:, 128:]).T[:, None] - means).max(axis=2).min(axis=1)
    assert distance.max() < 1e-12


def test_sobol_points_are_weighed_to_the_nominal_law():
    sampling = Tilted(mixture=MIXTURE, ends=ENDS, dates=DATES, factors=2, base=Sobol(scrambles=8))
    made = Block(seed=5, stream="X", time_grid=LATTICE, first=0, n_paths=2**14, paths=2**17, sampling=sampling, factors=2)
    w = made.weights()[0]
    assert abs(w.mean() - 1.0) < 5.0 * w.std() / 2**7
    assert abs((w * made.normals(1)[3] ** 2).mean() - 1.0) < 0.1


def test_no_path_is_beyond_the_greatest_reach():
    wide = Tilted(mixture=Mixture(spheres=((0.5, 1.0), (0.5, 6.0))), ends=ENDS, dates=DATES, factors=2)
    for sampling in (TILTED, wide):
        made = block(sampling, n_paths=4096)
        size = np.sqrt(np.mean([(made.normals(driver) ** 2).mean(axis=0) for driver in range(2)], axis=0)).max()
        assert size < sampling.greatest
    assert PseudoRandom().greatest == 8.5


def test_coordinates_far_out_weigh_nothing_and_are_numbers():
    y, weights = np.full((4, 3), 60.0), np.empty((2, 3))
    MIXTURE.weigh(y, weights)
    assert np.isfinite(weights).all()
    assert (weights[0] < 1e-200).all()


def test_a_block_lends_its_paths_to_another_law():
    plain = block(PseudoRandom())
    lent = plain.under(TILTED)
    assert plain.under(TILTED) is lent
    assert np.array_equal(lent.normals(1), block().normals(1))
    other = Tilted(mixture=Mixture(), ends=ENDS, dates=DATES, factors=2)
    assert plain.under(other) is not lent
    assert np.array_equal(plain.under(other).normals(0), plain.normals(0))


def test_a_plan_has_no_tilted_paths():
    with pytest.raises(InvalidInput, match=r"ask for ImportanceSampling\(\) as the estimator"):
        Plan(sampling=TILTED)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spheres": ((0.5, 1.0),)}, "^spheres and copies must have positive shares that add up to one"),
        ({"spheres": ((1.0, 0.0),)}, "must have positive deviations"),
        ({"spheres": ((0.3, 1.0),), "copies": ((0.7, 1.0, 1.0),)}, "^shares must be as many as means and factors"),
        (
            {"spheres": (), "copies": ((1.0, 1.0, 1.0),), "shares": (1.0,), "means": ((0.0,),), "factors": (((0.0,),),)},
            "^factors must have positive diagonals",
        ),
        (
            {"spheres": (), "copies": ((1.0, 1.0, 1.0),), "shares": (0.4,), "means": ((0.0,),), "factors": (((1.0,),),)},
            "^shares must have positive shares",
        ),
    ],
)
def test_a_mixture_must_be_a_law(changes, message):
    with pytest.raises(InvalidInput, match=message):
        Mixture(**changes)
