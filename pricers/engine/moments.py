"""Means and co-moments of rows of numbers, one number for each path and row."""

import math
from typing import Any

import numpy as np

from pricers.numerics.kernel import kernel


@kernel(sums=True)
def comoments(rows: Any, out_mean: Any, out_comoment: Any, atom: Any) -> None:
    r"""Mean and centred co-moments of every atom, a run of ``atom`` consecutive paths; the last one may be shorter.

    With n paths in an atom, :math:`\bar x_i = \frac1n \sum x_i` and :math:`C_{ij} = \sum (x_i - \bar x_i)(x_j - \bar x_j)`,
    in two passes, so that a large mean costs no digits of the co-moments. Sums run in an order of the compiler's,
    which depends on the length of the atom and not on where it stands; so a group's result does not depend on the other groups.
    A NaN in a row makes that row's mean and co-moments NaN, and no other row's.

    Parameters
    ----------
    rows : ndarray [group, row, path]
        C-contiguous, read only.
    out_mean : ndarray [group, atom, row]
        Filled.
    out_comoment : ndarray [group, atom, row, row]
        Filled; symmetric to the bit.
    atom : int
        Paths in an atom, positive; ``ceil(n_paths / atom)`` atoms are filled.
    """
    groups, count, n_paths = rows.shape
    centred = np.empty((count, min(atom, n_paths)))
    for group in range(groups):
        for index in range((n_paths + atom - 1) // atom):
            first = index * atom
            length = min(atom, n_paths - first)
            products = out_comoment[group, index]
            for i in range(count):
                row, a = rows[group, i, first : first + length], centred[i]
                total = 0.0
                for path in range(length):
                    total += row[path]
                mean = total / length
                out_mean[group, index, i] = mean
                squares = 0.0
                for path in range(length):
                    deviation = row[path] - mean
                    a[path] = deviation
                    squares += deviation * deviation
                products[i, i] = squares
                for j in range(i):
                    b, product = centred[j], 0.0
                    for path in range(length):
                        product += a[path] * b[path]
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


@kernel
def pool_folds(counts, mean, comoment, out_counts, out_mean, out_comoment):
    """Sections pooled into folds, which they fall into in turn.

    Parameters
    ----------
    counts, mean, comoment : ndarray [section], [section, row], [section, row, row]
        As `pool` fills them.
    out_counts, out_mean, out_comoment : ndarray [fold], [fold, row], [fold, row, row]
        Of zeros; filled.
    """
    folds = out_counts.shape[0]
    sections, rows = mean.shape
    for section in range(sections):
        out_counts[section % folds] += counts[section]
    for section in range(sections):
        f = section % folds
        share = counts[section] / out_counts[f]
        for i in range(rows):
            out_mean[f, i] += share * mean[section, i]
    for section in range(sections):
        f = section % folds
        for i in range(rows):
            shift = counts[section] * (mean[section, i] - out_mean[f, i])
            for j in range(rows):
                out_comoment[f, i, j] += comoment[section, i, j] + shift * (mean[section, j] - out_mean[f, j])


@kernel
def weigh(weights, counts, mean, comoment, fold_counts, fold_mean, fold_comoment, out):
    r"""What the paths say of a weighted sum of the rows.

    With :math:`q_s` the sum over a section's :math:`n_s` paths of squared deviations from the fold's mean, :math:`\mu_2` the variance,
    :math:`u_s = q_s/\mu_2 - n_s`, and S sections of N paths, :math:`E\sum_s u_s^2 \approx (1 - 1/S)\,N(\mu_4/\mu_2^2 - 1)`, and the
    covariance of a section's mean with :math:`u_s` is :math:`\mu_3/\mu_2`.

    Parameters
    ----------
    weights : ndarray [fold, row]
    counts, mean, comoment : ndarray [section], [section, row], [section, row, row]
    fold_counts, fold_mean, fold_comoment : ndarray [fold], [fold, row], [fold, row, row]
        As `pool_folds` fills them.
    out : ndarray [5]
        Filled: mean, its standard error, its skewness, how many paths carry it (NaN where that cannot be told), and the greatest
        standard error of a weighted row.
    """
    folds, rows = weights.shape
    sections = counts.shape[0]
    total, value, variance = 0.0, 0.0, 0.0
    alone, squares, means = np.zeros(rows), np.empty(sections), np.empty(sections)
    for f in range(folds):
        if fold_counts[f] > 0.0:
            scale = fold_counts[f] / (fold_counts[f] - 1.0)
            total += fold_counts[f]
            for i in range(rows):
                weight = weights[f, i]
                if weight != 0.0:
                    value += fold_counts[f] * weight * fold_mean[f, i]
                    alone[i] += scale * weight * weight * fold_comoment[f, i, i]
    summed = 0.0
    for section in range(sections):
        f = section % folds
        shift, inside = 0.0, 0.0
        for i in range(rows):
            weight = weights[f, i]
            if weight != 0.0:
                shift += weight * (mean[section, i] - fold_mean[f, i])
                inside += weight * weight * comoment[section, i, i]
                for j in range(i):
                    if weights[f, j] != 0.0:
                        inside += 2.0 * weight * weights[f, j] * comoment[section, i, j]
        found = (0.0 if inside < 0.0 else inside) + counts[section] * shift * shift
        means[section], squares[section] = shift, found
        variance += fold_counts[f] / (fold_counts[f] - 1.0) * found
        summed += found
    spread = 0.0
    for i in range(rows):
        spread = alone[i] if not alone[i] <= spread else spread
    out[0], out[1], out[2], out[3] = value / total, math.sqrt(variance) / total, 0.0, np.nan
    out[4] = math.sqrt(spread) / total
    scale = summed / total
    if sections < 2 * folds or not 0.0 < scale < np.inf:
        return
    heavy, together = 0.0, 0.0
    for section in range(sections):
        excess = squares[section] / scale - counts[section]
        heavy += excess * excess
        together += means[section] * excess
    effective = total * total / (total + sections / (sections - 1.0) * heavy)
    skewness, most = together / ((sections - folds) * math.sqrt(scale * total)), 1.0 / math.sqrt(effective)
    out[2], out[3] = min(max(skewness, -most), most), effective
