"""Brownian bridges: which normal decides which grid point."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pricers.numerics.kernel import kernel

__all__ = ["bridge", "bridged"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@lru_cache(maxsize=64)
def bridge(times: tuple[float, ...]) -> tuple[IntArray, FloatArray]:
    r"""The order in which a Brownian motion is built at ``times``: the last point first, then the middle of the longest gap, and so on.

    :math:`W_t = \alpha W_l + \beta W_r + \gamma z` between built neighbours l < t < r (Glasserman 2004, section 3.1).

    Returns
    -------
    ndarray [rank, 3]
        Grid point, left and right neighbour; -1 for the start at time zero or for none.
    ndarray [rank, 3]
        alpha, beta, gamma.
    """
    grid_points, weights = [(len(times) - 1, -1, -1)], [(0.0, 0.0, times[-1] ** 0.5)]
    gaps = [(-1, len(times) - 1)]
    while gaps:
        gaps.sort(key=lambda gap: gap[0] - gap[1])
        wider = []
        for left, right in gaps:
            if right - left < 2:
                continue
            middle = (left + right) // 2
            start = times[left] if left >= 0 else 0.0
            before, after, span = times[middle] - start, times[right] - times[middle], times[right] - start
            grid_points.append((middle, left, right))
            weights.append((after / span, before / span, (before * after / span) ** 0.5))
            wider += [(left, middle), (middle, right)]
        gaps = wider
    return np.array(grid_points), np.array(weights)


@kernel
def bridged(grid_points, weights, scale, normals, walk, out):
    """Brownian motion walk[point, path] built from normals[rank, path], and its increments over scale[point], out[point, path]."""
    n_paths = normals.shape[1]
    for rank in range(grid_points.shape[0]):
        grid_point, left, right = grid_points[rank, 0], grid_points[rank, 1], grid_points[rank, 2]
        alpha, beta, gamma = weights[rank, 0], weights[rank, 1], weights[rank, 2]
        if right < 0:
            for path in range(n_paths):
                walk[grid_point, path] = gamma * normals[rank, path]
        elif left < 0:
            for path in range(n_paths):
                walk[grid_point, path] = beta * walk[right, path] + gamma * normals[rank, path]
        else:
            for path in range(n_paths):
                walk[grid_point, path] = alpha * walk[left, path] + beta * walk[right, path] + gamma * normals[rank, path]
    for path in range(n_paths):
        out[0, path] = walk[0, path] / scale[0]
    for grid_point in range(1, grid_points.shape[0]):
        for path in range(n_paths):
            out[grid_point, path] = (walk[grid_point, path] - walk[grid_point - 1, path]) / scale[grid_point]
