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
def pool(first, atom, per_batch, per_section, sizes, means, comoments, counts, mean, comoment, batch_means, batch_counts):
    """Pool atoms from path ``first`` on, one after another, into their sections and batches.

    The pairwise update of Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances"
    (1979).

    Parameters
    ----------
    first, atom, per_batch, per_section : int
        First path, paths in an atom, atoms in a batch, batches in a section.
    sizes : ndarray [atom]
        Paths in each atom.
    means, comoments : ndarray [group, atom, row], [group, atom, row, row]
        As `comoments` fills them.
    counts, mean, comoment : ndarray [section], [group, section, row], [group, section, row, row]
        Updated.
    batch_means, batch_counts : ndarray [batch, group, row], [batch]
        Updated.
    """
    groups, atoms, rows = means.shape
    shares, weights, batch_shares, shifts = np.empty(atoms), np.empty(atoms), np.empty(atoms), np.empty((rows, atoms))
    start = 0
    while start < atoms:  # a batch's atoms
        batch = (first // atom + start) // per_batch
        section = batch // per_section
        end = min((batch + 1) * per_batch - first // atom, atoms)
        for a in range(start, end):
            batch_counts[batch] += sizes[a]
            batch_shares[a] = sizes[a] / batch_counts[batch]
            shares[a] = sizes[a] / (counts[section] + sizes[a])
            weights[a] = counts[section] * shares[a]
            counts[section] += sizes[a]
        for g in range(groups):
            for i in range(rows):
                pooled, batch_mean = mean[g, section, i], batch_means[batch, g, i]
                for a in range(start, end):
                    here = means[g, a, i]
                    shift = here - pooled
                    shifts[i, a] = shift
                    pooled += shift * shares[a]
                    batch_mean += (here - batch_mean) * batch_shares[a]
                mean[g, section, i], batch_means[batch, g, i] = pooled, batch_mean
                for j in range(i + 1):
                    product = comoment[g, section, i, j]
                    for a in range(start, end):
                        product += comoments[g, a, i, j] + shifts[i, a] * shifts[j, a] * weights[a]
                    comoment[g, section, i, j] = product
                    comoment[g, section, j, i] = product
        start = end
