"""JAX: one compiled function per workload and method, float64 on the CPU, in chunks of paths that fit the cache.

Compile time is not counted. An estimate's error comes from the chunks, which are independent.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import qmc

from benchmarks.merit import Measured
from benchmarks.peers import jax_paths
from benchmarks.peers.jax_paths import normal_quantile
from benchmarks.settings import Settings
from benchmarks.timing import timed
from benchmarks.workloads import Workload

try:
    import jax
    import jax.numpy as jnp
except ImportError:
    jax = None
else:
    jax.config.update("jax_enable_x64", True)

__all__ = ["bumping", "generator", "installed", "likelihood_ratio", "pathwise", "pseudo", "quasi"]

CHUNK = 2**18
"""Random numbers in a chunk, 2 MiB: the fastest for most of what is simulated here; a quarter of it for survival sampling."""

Array = Any
Estimator = Callable[[Array], Array]
"""From normals [date, substep, factor, path] to estimates [greek]: means over the paths."""


def installed() -> bool:
    """Whether there is a JAX."""
    return jax is not None


def pathwise(workload: Workload, value: jax_paths.PresentValue) -> Estimator:
    """Reverse-mode derivative of the mean."""
    parameters = workload.parameters

    def estimate(normals: Array) -> Array:
        price, slopes = jax.value_and_grad(lambda p: value(p, normals).mean())(parameters)
        return jnp.stack([price, *slopes])

    return estimate


def bumping(workload: Workload, value: jax_paths.PresentValue) -> Estimator:
    """Central differences on common normals."""
    centre, bumps = np.array(workload.parameters), np.array(workload.bumps)

    def estimate(normals: Array) -> Array:
        slopes = [
            (value(centre + step, normals) - value(centre - step, normals)).mean() / (2.0 * bump)
            for step, bump in zip(np.diag(bumps), bumps, strict=True)
        ]
        return jnp.stack([value(centre, normals).mean(), *slopes])

    return estimate


def likelihood_ratio(workload: Workload, scheme: str = "") -> Estimator:
    """Payoff, less its mean over the other paths, times score; the score is that of the contract's own dates."""
    return _gbm_score(workload) if workload.model == "gbm" else _heston_score(workload, scheme)


def _centred(value: Array) -> Array:
    """Less the mean of the others: a baseline that costs nothing and biases nothing."""
    return (value - value.mean()) * (value.size / (value.size - 1.0))


def _gbm_score(workload: Workload) -> Estimator:
    scored, parameters = jax_paths.gbm_scores(workload), workload.parameters

    def estimate(normals: Array) -> Array:
        value, scores = scored(parameters, normals)
        price, products = value.mean(), (_centred(value) * scores).mean(axis=1)
        return jnp.concatenate([price[None], products - price * jnp.array([0.0, 0.0, workload.expiry])])

    return estimate


def _heston_score(workload: Workload, scheme: str) -> Estimator:
    surrogate, parameters = jax_paths.heston_surrogate(workload, scheme), workload.parameters

    def estimate(normals: Array) -> Array:
        def aim(p: Array) -> tuple[Array, Array]:
            value, density = surrogate(p, normals)
            return (_centred(value) * density).mean(), value.mean()

        slopes, price = jax.grad(aim, has_aux=True)(parameters)
        return jnp.stack([price, *slopes]) - price * jnp.array([0.0, 0.0, 0.0, workload.expiry])

    return estimate


@functools.cache
def generator() -> str:
    """The faster of JAX's generators, here, at drawing normals."""
    return min(("threefry2x32", "rbg"), key=_seconds)


def _seconds(name: str) -> float:
    key = jax.random.key(0, impl=name)
    draw = jax.jit(lambda key: jax.random.normal(key, (2**20,)).sum())
    return timed(lambda: draw(key).block_until_ready(), repeats=5).cpu


def _n_paths(workload: Workload, paths: int, numbers: int) -> int:
    """Paths in a chunk of about so many random numbers."""
    wanted = numbers // (workload.steps * workload.factors)
    return min(2 ** min(max(round(math.log2(max(wanted, 1))), 7), 14), paths // 2)


def _shaped(workload: Workload, normals: Array) -> Array:
    return normals.reshape(workload.dates, workload.substeps, workload.factors, -1)


def pseudo(
    workload: Workload,
    estimator: Estimator,
    *,
    paths: int,
    settings: Settings,
    label: str,
    uniforms: bool = False,
    chunk_numbers: int = CHUNK,
) -> Measured:
    """Greeks from pseudo-random normals, or from ``uniforms`` where that is what the estimator takes."""
    n_paths = _n_paths(workload, paths, chunk_numbers)
    numbers = workload.steps * workload.factors
    draw = jax.random.uniform if uniforms else jax.random.normal

    def chunk(key: Array) -> Array:
        return estimator(_shaped(workload, draw(key, (numbers, n_paths), dtype=jnp.float64)))

    run = jax.jit(lambda key: jax.lax.map(chunk, jax.random.split(key, paths // n_paths)))
    key = jax.random.key(settings.seed, impl=generator())
    found: list[Array] = []

    def once() -> None:
        found.append(np.asarray(run(jax.random.fold_in(key, len(found)))))

    timing = timed(once, repeats=max(settings.repeats, 2))
    sample = np.concatenate(found)[:, 1:]
    return _measured(workload, label, paths, timing.cpu, sample, len(sample) / len(found))


def quasi(
    workload: Workload,
    estimator: Estimator,
    *,
    paths: int,
    settings: Settings,
    label: str,
    bridge: bool = True,
    uniforms: bool = False,
    chunk_numbers: int = CHUNK,
) -> Measured:
    """Greeks from scrambled Sobol points; drawing the points is counted.

    They become normals in Brownian-bridge order (where ``bridge``) or in time order, or stay ``uniforms`` in time order where that is
    what the estimator takes. The error is that of one set of points, from independent scrambles.
    """
    n_paths, numbers = _n_paths(workload, paths, chunk_numbers), workload.steps * workload.factors
    scrambles = settings.count(32, least=4)
    turn = jnp.asarray(_bridge(workload.steps)) if bridge else None

    def chunk(points: Array) -> Array:
        drawn = points if uniforms else normal_quantile(points)
        if turn is not None:
            drawn = turn @ drawn.reshape(workload.steps, -1)
        return estimator(_shaped(workload, drawn))

    run = jax.jit(lambda points: jax.lax.map(chunk, points).mean(axis=0))
    found: list[Array] = []

    def once() -> None:
        seed = settings.seed * 1_000_003 + len(found)
        points = qmc.Sobol(numbers, scramble=True, rng=seed).random(paths)
        chunks = points.reshape(-1, n_paths, numbers).transpose(0, 2, 1)
        found.append(np.asarray(run(np.clip(chunks, 2.0**-32, 1.0 - 2.0**-32))))

    once()
    found.clear()
    timing = timed(lambda: [once() for _ in range(scrambles)], repeats=1, warm=False)
    return _measured(workload, label, paths, timing.cpu / scrambles, np.stack(found)[:, 1:], 1.0)


def _bridge(steps: int) -> npt.NDArray[np.float64]:
    """The orthogonal matrix [step, point] from normals in Brownian-bridge order to those of equal steps in time order.

    The first point fixes the end of the path, the next ones the middle of the widest gap that is left.
    """
    walk = np.zeros((steps + 1, steps))
    walk[steps, 0] = math.sqrt(steps)
    gaps = [(0, steps)]
    for point in range(1, steps):
        gaps.sort(key=lambda gap: gap[0] - gap[1])
        left, right = next(gap for gap in gaps if gap[1] - gap[0] > 1)
        gaps.remove((left, right))
        middle = (left + right) // 2
        share = (middle - left) / (right - left)
        walk[middle] = (1.0 - share) * walk[left] + share * walk[right]
        walk[middle, point] = math.sqrt((middle - left) * (right - middle) / (right - left))
        gaps += [(left, middle), (middle, right)]
    return np.diff(walk, axis=0)


def _measured(workload: Workload, label: str, paths: int, cpu: float, sample: npt.NDArray[np.float64], share: float) -> Measured:
    """From independent estimates [estimate, greek], of which ``share`` make one run."""
    errors = sample.std(axis=0, ddof=1) / math.sqrt(share)
    return Measured(
        party="JAX",
        setting=label,
        paths=paths,
        cpu=cpu,
        values=dict(zip(workload.greeks, sample.mean(axis=0), strict=True)),
        stderrs=dict(zip(workload.greeks, errors, strict=True)),
        samples=len(sample),
    )
