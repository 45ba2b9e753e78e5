"""Means and co-moments of rows of numbers, one number for each path and row."""

from typing import Any

import numpy as np

from pricers.kernel import kernel


@kernel(sums=True)
def comoments(rows: Any, out_mean: Any, out_comoment: Any, atom: Any) -> None:
    r"""Mean and centred co-moments of every atom, a run of ``atom`` consecutive lanes; the last one may be shorter.

    With n lanes in an atom, :math:`\bar x_i = \frac1n \sum x_i` and :math:`C_{ij} = \sum (x_i - \bar x_i)(x_j - \bar x_j)`,
    in two passes, so that a large mean costs no digits of the co-moments. Sums run in an order of the compiler's,
    which depends on the length of the atom and not on where it stands; so does a group's result not depend on the others.
    A NaN in a row makes that row's mean and co-moments NaN, and no other row's.

    Parameters
    ----------
    rows : ndarray [group, row, lane]
        C-contiguous, read only.
    out_mean : ndarray [group, atom, row]
        Filled.
    out_comoment : ndarray [group, atom, row, row]
        Filled; symmetric to the bit.
    atom : int
        Lanes in an atom, positive; ``ceil(lanes / atom)`` atoms are filled.
    """
    groups, count, lanes = rows.shape
    centred = np.empty((count, min(atom, lanes)))
    for group in range(groups):
        for index in range((lanes + atom - 1) // atom):
            first = index * atom
            length = min(atom, lanes - first)
            products = out_comoment[group, index]
            for i in range(count):
                row, a = rows[group, i, first : first + length], centred[i]
                total = 0.0
                for lane in range(length):
                    total += row[lane]
                mean = total / length
                out_mean[group, index, i] = mean
                squares = 0.0
                for lane in range(length):
                    deviation = row[lane] - mean
                    a[lane] = deviation
                    squares += deviation * deviation
                products[i, i] = squares
                for j in range(i):
                    b, product = centred[j], 0.0
                    for lane in range(length):
                        product += a[lane] * b[lane]
                    products[i, j] = product
                    products[j, i] = product


@kernel
def pool(first, atom, per_batch, sizes, means, comoments, counts, mean, comoment, batch_means, batch_counts):
    """Pool atoms from path ``first`` on, one after another, into the folds that their batches fall into.

    The pairwise update of Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances"
    (1979).

    Parameters
    ----------
    first, atom, per_batch : int
        First path, lanes in an atom, atoms in a batch; batches fall into the folds in turn.
    sizes : ndarray [atom]
        Paths in each atom.
    means, comoments : ndarray [group, atom, row], [group, atom, row, row]
        As `comoments` fills them.
    counts, mean, comoment : ndarray [fold], [group, fold, row], [group, fold, row, row]
        Updated.
    batch_means, batch_counts : ndarray [batch, group, row], [batch]
        Updated.
    """
    groups, atoms, rows = means.shape
    for a in range(atoms):
        batch = (first // atom + a) // per_batch
        fold = batch % counts.shape[0]
        size = sizes[a]
        batch_counts[batch] += size
        batch_share = size / batch_counts[batch]
        share = size / (counts[fold] + size)
        weight = counts[fold] * share
        counts[fold] += size
        for g in range(groups):
            for i in range(rows):
                shift = means[g, a, i] - mean[g, fold, i]
                for j in range(rows):
                    comoment[g, fold, i, j] += comoments[g, a, i, j] + shift * (means[g, a, j] - mean[g, fold, j]) * weight
            for i in range(rows):
                mean[g, fold, i] += (means[g, a, i] - mean[g, fold, i]) * share
                batch_means[batch, g, i] += (means[g, a, i] - batch_means[batch, g, i]) * batch_share
