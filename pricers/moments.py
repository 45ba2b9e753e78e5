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
    centred = np.zeros((count + 3, min(atom, lanes)))  # three rows of zeros, so that four can always be taken together
    for group in range(groups):
        for index in range((lanes + atom - 1) // atom):
            first = index * atom
            length = min(atom, lanes - first)
            for i in range(count):
                row, deviation = rows[group, i, first : first + length], centred[i]
                total = 0.0
                for lane in range(length):
                    total += row[lane]
                mean = total / length
                out_mean[group, index, i] = mean
                for lane in range(length):
                    deviation[lane] = row[lane] - mean
            products = out_comoment[group, index]
            for i in range(count):
                a = centred[i]
                for j in range(0, i + 1, 4):
                    b, c, d, e = centred[j], centred[j + 1], centred[j + 2], centred[j + 3]
                    ab, ac, ad, ae = 0.0, 0.0, 0.0, 0.0
                    for lane in range(length):
                        ab += a[lane] * b[lane]
                        ac += a[lane] * c[lane]
                        ad += a[lane] * d[lane]
                        ae += a[lane] * e[lane]
                    for k, product in enumerate((ab, ac, ad, ae)):
                        if j + k <= i:
                            products[i, j + k] = product
                            products[j + k, i] = product


@kernel
def merge(count_a: Any, mean_a: Any, comoment_a: Any, count_b: Any, mean_b: Any, comoment_b: Any) -> None:
    r"""Pool the moments of two disjoint sets of paths, in place, into those of the first.

    :math:`C_{ij} = C^a_{ij} + C^b_{ij} + \frac{n_a n_b}{n_a + n_b} d_i d_j` with :math:`d = \bar x^b - \bar x^a`, and
    :math:`\bar x = \bar x^a + \frac{n_b}{n_a + n_b} d` (Chan, Golub and LeVeque, "Updating formulae and a pairwise
    algorithm for computing sample variances", 1979). An empty first set takes the second's moments exactly.

    Parameters
    ----------
    count_a, count_b : int
        Paths in each set, ``count_b`` positive.
    mean_a, mean_b : ndarray [group, row]
        ``mean_a`` is updated; zero where ``count_a`` is.
    comoment_a, comoment_b : ndarray [group, row, row]
        ``comoment_a`` is updated; zero where ``count_a`` is.
    """
    share = count_b / (count_a + count_b)
    weight = count_a * share
    groups, count = mean_a.shape
    for group in range(groups):
        for i in range(count):
            scaled = weight * (mean_b[group, i] - mean_a[group, i])
            for j in range(i + 1):
                moved = scaled * (mean_b[group, j] - mean_a[group, j])
                pooled = comoment_a[group, i, j] + comoment_b[group, i, j] + moved
                comoment_a[group, i, j] = pooled
                comoment_a[group, j, i] = pooled
        for i in range(count):
            mean_a[group, i] += share * (mean_b[group, i] - mean_a[group, i])
