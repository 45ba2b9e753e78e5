from fractions import Fraction

import naive
import numpy as np
import pytest

from pricers.engine.moments import comoments

RANDOM = np.random.default_rng(11)


def pooled(rows, atom):
    groups, count, n_paths = rows.shape
    atoms = -(-n_paths // atom)
    mean, comoment = np.full((groups, atoms, count), np.inf), np.full((groups, atoms, count, count), np.inf)
    comoments(rows, mean, comoment, atom)
    return mean, comoment


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize(("n_paths", "atom"), [(1, 64), (64, 64), (200, 64), (131, 1), (96, 7), (50, 1000)])
def test_comoments_are_the_twins(count, n_paths, atom):
    rows = RANDOM.normal(size=(2, count, n_paths)) + 10.0
    mean, comoment = pooled(rows, atom)
    for group in range(2):
        for index in range(mean.shape[1]):
            part = rows[group, :, index * atom : (index + 1) * atom].tolist()
            expected_mean, expected_comoment = naive.mean_and_comoment(part)
            np.testing.assert_allclose(mean[group, index], expected_mean, rtol=1e-14)
            np.testing.assert_allclose(comoment[group, index], expected_comoment, rtol=1e-12, atol=1e-12)


def test_a_large_mean_costs_no_digits():
    values = 1e8 + RANDOM.normal(size=64)
    exact = [Fraction(v) for v in values.tolist()]
    mean = sum(exact) / 64
    _, comoment = pooled(values.reshape(1, 1, 64), 64)
    assert comoment.item() == pytest.approx(float(sum((v - mean) ** 2 for v in exact)), rel=1e-7)
    naive_formula = float(np.sum(values**2) - values.sum() ** 2 / 64)
    assert naive_formula != pytest.approx(comoment.item(), rel=1e-3)  # what one pass would have given


@pytest.mark.parametrize("atom", [1, 5, 8, 63, 64, 65, 100])
def test_bits_do_not_depend_on_where_an_atom_stands(atom):
    rows = np.ascontiguousarray(np.tile(RANDOM.normal(size=(3, 6, atom)), (1, 1, 11)))
    mean, comoment = pooled(rows, atom)
    assert (mean == mean[:, :1]).all()
    assert (comoment == comoment[:, :1]).all()
    alone_mean, alone_comoment = pooled(np.ascontiguousarray(rows[1:2, :, :atom]), atom)
    assert (alone_mean == mean[1:2, :1]).all()
    assert (alone_comoment == comoment[1:2, :1]).all()


def test_comoments_are_symmetric_to_the_bit_and_rows_are_left_alone():
    rows = RANDOM.normal(size=(2, 7, 300))
    before = rows.copy()
    rows.flags.writeable = False
    _, comoment = pooled(rows, 64)
    assert (comoment == comoment.swapaxes(-1, -2)).all()
    assert (rows == before).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_stay_in_their_row_and_atom(bad):
    rows = RANDOM.normal(size=(1, 3, 192))
    clean_mean, clean_comoment = pooled(rows, 64)
    rows[0, 1, 70] = bad
    mean, comoment = pooled(rows, 64)
    assert not np.isfinite(mean[0, 1, 1])
    assert np.isnan(comoment[0, 1, 1]).all()
    assert np.isnan(comoment[0, 1, :, 1]).all()
    kept = np.ones((3, 3), dtype=bool)
    kept[1, 1] = False
    assert (mean[0][kept] == clean_mean[0][kept]).all()
    kept = np.ones((3, 3, 3), dtype=bool)
    kept[1, 1, :] = kept[1, :, 1] = False
    assert (comoment[0][kept] == clean_comoment[0][kept]).all()
