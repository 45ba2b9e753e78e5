"""Brownian bridges: which normal decides which node."""

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
    r"""The order in which a Brownian motion is built at ``times``: the last node first, then the middle of the longest gap, and so on.

    :math:`W_t = \alpha W_l + \beta W_r + \gamma z` between built neighbours l < t < r (Glasserman 2004, section 3.1).

    Returns
    -------
    ndarray [rank, 3]
        Node, left and right neighbour; -1 for the start at time zero or for none.
    ndarray [rank, 3]
        alpha, beta, gamma.
    """
    nodes, weights = [(len(times) - 1, -1, -1)], [(0.0, 0.0, times[-1] ** 0.5)]
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
            nodes.append((middle, left, right))
            weights.append((after / span, before / span, (before * after / span) ** 0.5))
            wider += [(left, middle), (middle, right)]
        gaps = wider
    return np.array(nodes), np.array(weights)


@kernel
def bridged(nodes, weights, scale, normals, walk, out):
    """Brownian motion walk[node, lane] built from normals[rank, lane], and its increments over scale[node], out[node, lane]."""
    lanes = normals.shape[1]
    for rank in range(nodes.shape[0]):
        node, left, right = nodes[rank, 0], nodes[rank, 1], nodes[rank, 2]
        alpha, beta, gamma = weights[rank, 0], weights[rank, 1], weights[rank, 2]
        if right < 0:
            for lane in range(lanes):
                walk[node, lane] = gamma * normals[rank, lane]
        elif left < 0:
            for lane in range(lanes):
                walk[node, lane] = beta * walk[right, lane] + gamma * normals[rank, lane]
        else:
            for lane in range(lanes):
                walk[node, lane] = alpha * walk[left, lane] + beta * walk[right, lane] + gamma * normals[rank, lane]
    for lane in range(lanes):
        out[0, lane] = walk[0, lane] / scale[0]
    for node in range(1, nodes.shape[0]):
        for lane in range(lanes):
            out[node, lane] = (walk[node, lane] - walk[node - 1, lane]) / scale[node]
