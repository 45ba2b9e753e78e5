"""Simulation in JAX: float64, the steps a `jax.lax.scan`, paths along the paths of each step.

A scan whose carry is the state of all paths is the fastest of the usual forms here: a cumulative sum over [time, path] takes two to three
times as long on a CPU, a product with a triangular matrix a third longer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from benchmarks.workloads import BARRIER, CASH, HESTON, MARKET, STRIKE, Workload

try:
    import jax
    import jax.numpy as jnp
    from jax.scipy.special import erfc, erfinv
except ImportError:
    jax = None

__all__ = ["SCHEMES", "gbm_scores", "heston_surrogate", "normal_quantile", "present_value", "survival"]

Array = Any
PresentValue = Callable[[Array, Array], Array]
SCHEMES = ("quadratic exponential", "Euler, full truncation")

_LEAST_VARIANCE = 1e-8
"""Of a log-return between dates: without some there is no density to score."""

_LEAST_CHANCE = 1e-16


def normal_cdf(x: Array) -> Array:
    """By `erfc`, which takes a third of the time of JAX's own ``ndtr``."""
    return 0.5 * erfc(-x / math.sqrt(2.0))


def normal_quantile(u: Array) -> Array:
    """By `erfinv`: the reverse-mode derivative of JAX's own ``ndtri`` takes a microsecond, ten times as long."""
    return math.sqrt(2.0) * erfinv(2.0 * jnp.clip(u, _LEAST_CHANCE, 1.0 - 2.0**-53) - 1.0)


def payoff(workload: Workload) -> tuple[Array, Callable[[Array, Array], Array], Callable[[Array, Array], Array]]:
    """What a path remembers at first, how a date's log-spot updates it, and what it pays in the end."""
    match workload.payoff:
        case "asian":
            return 0.0, lambda kept, x: kept + jnp.exp(x), lambda kept, x: jnp.maximum(kept / workload.dates - STRIKE, 0.0)
        case "barrier":
            level = math.log(BARRIER)
            return (
                1.0,
                lambda kept, x: jnp.where(x > level, kept, 0.0),
                lambda kept, x: kept * jnp.maximum(jnp.exp(x) - STRIKE, 0.0),
            )
        case "digital":
            return 0.0, lambda kept, x: kept, lambda kept, x: jnp.where(x > math.log(STRIKE), CASH, 0.0)
    return 0.0, lambda kept, x: kept, lambda kept, x: jnp.maximum(jnp.exp(x) - STRIKE, 0.0)


def present_value(workload: Workload, scheme: str = "") -> PresentValue:
    """Discounted payoffs [path] of parameters (spot, volatility or variance, rate) and normals [date, substep, factor, path]."""
    return _gbm(workload) if workload.model == "gbm" else _heston(workload, scheme)


def _gbm(workload: Workload) -> PresentValue:
    first, update, pay = payoff(workload)
    dt = workload.dt

    def value(parameters: Array, normals: Array) -> Array:
        spot, vol, rate = parameters
        drift, scale = (rate - MARKET.dividend - 0.5 * vol * vol) * dt, vol * math.sqrt(dt)
        n_paths = jnp.zeros(normals.shape[-1])

        def step(state: Array, z: Array) -> Array:
            x, kept = state
            x = x + drift + scale * z
            return (x, update(kept, x)), None

        (x, kept), _ = jax.lax.scan(step, (n_paths + jnp.log(spot), n_paths + first), normals[:, 0, 0])
        return jnp.exp(-rate * workload.expiry) * pay(kept, x)

    return value


def gbm_scores(workload: Workload) -> Callable[[Array, Array], tuple[Array, Array]]:
    """Discounted payoffs [path] and the scores [parameter, path] of the paths, by hand: sums of the normals and of their squares."""
    dt, root = workload.dt, math.sqrt(workload.dt)
    value = _gbm(workload)

    def scored(parameters: Array, normals: Array) -> tuple[Array, Array]:
        spot, vol, _ = parameters
        z = normals[:, 0, 0]
        walk, squares = root * z.sum(0), (z * z - 1.0).sum(0)
        scores = jnp.stack([z[0] / (spot * vol * math.sqrt(dt)), squares / vol - walk, walk / vol])
        return value(parameters, normals), scores

    return scored


def _variance_step(scheme: str, dt: float) -> Callable[[Array, Array], tuple[Array, Array, Array]]:
    """A step of the variance: the next one, and mean (less the growth) and variance of the log-return given it."""
    kappa, theta, xi, rho = (HESTON[name] for name in ("kappa", "theta", "xi", "rho"))
    if scheme == SCHEMES[1]:

        def euler(v: Array, z: Array) -> tuple[Array, Array, Array]:
            positive = v > 0.0
            floored = jnp.where(positive, v, 0.0)
            shock = jnp.where(positive, jnp.sqrt(jnp.where(positive, v, 1.0) * dt), 0.0) * z
            after = v + kappa * (theta - floored) * dt + xi * shock
            return after, rho * shock - 0.5 * floored * dt, (1.0 - rho * rho) * floored * dt

        return euler
    decay = math.exp(-kappa * dt)
    k0 = -rho * kappa * theta / xi * dt
    k1 = 0.5 * dt * (kappa * rho / xi - 0.5) - rho / xi
    k2 = 0.5 * dt * (kappa * rho / xi - 0.5) + rho / xi

    def andersen(v: Array, z: Array) -> tuple[Array, Array, Array]:
        m = theta + (v - theta) * decay
        s2 = v * xi**2 * decay * (1.0 - decay) / kappa + theta * xi**2 * (1.0 - decay) ** 2 / (2.0 * kappa)
        psi = s2 / (m * m)
        low = psi <= 1.5
        inverse = 2.0 / jnp.where(low, psi, 1.0)
        b2 = inverse - 1.0 + jnp.sqrt(inverse * (inverse - 1.0))
        quadratic = m / (1.0 + b2) * (jnp.sqrt(b2) + z) ** 2
        high = jnp.where(low, 2.0, psi)
        p = (high - 1.0) / (high + 1.0)
        above = normal_cdf(-z)
        alive = above < 1.0 - p
        exponential = jnp.where(alive, m / (1.0 - p) * jnp.log((1.0 - p) / jnp.where(alive, above, 0.5)), 0.0)
        after = jnp.where(low, quadratic, exponential)
        return after, k0 + k1 * v + k2 * after, 0.5 * dt * (1.0 - rho * rho) * (v + after)

    return andersen


def heston_moves(workload: Workload, scheme: str) -> Callable[[Array, Array, Array], tuple[Array, Array, Array, Array]]:
    """One date further: from the variance, the rate and normals [substep, factor, path] to the variance at the date and the log-return.

    Of the log-return given the variance path: mean, variance, and noise (which has that variance).
    """
    dt, evolve = workload.dt, _variance_step(scheme, workload.dt)

    def date(v: Array, rate: Array, normals: Array) -> tuple[Array, Array, Array, Array]:
        def step(state: Array, z: Array) -> Array:
            v, mean, variance, noise = state
            after, moved, spread = evolve(v, z[1])
            some = spread > 0.0
            shock = jnp.where(some, jnp.sqrt(jnp.where(some, spread, 1.0)), 0.0) * z[0]
            return (after, mean + (rate - MARKET.dividend) * dt + moved, variance + spread, noise + shock), None

        none = jnp.zeros(normals.shape[-1])
        if workload.substeps == 1:
            return step((v, none, none, none), normals[0])[0]
        return jax.lax.scan(step, (v, none, none, none), normals)[0]

    return date


def _heston(workload: Workload, scheme: str) -> PresentValue:
    first, update, pay = payoff(workload)
    date = heston_moves(workload, scheme)

    def value(parameters: Array, normals: Array) -> Array:
        spot, v0, rate = parameters
        n_paths = jnp.zeros(normals.shape[-1])

        def step(state: Array, z: Array) -> Array:
            v, x, kept = state
            v, mean, _, noise = date(v, rate, z)
            x = x + mean + noise
            return (v, x, update(kept, x)), None

        (_, x, kept), _ = jax.lax.scan(step, (n_paths + v0, n_paths + jnp.log(spot), n_paths + first), normals)
        return jnp.exp(-rate * workload.expiry) * pay(kept, x)

    return value


def heston_surrogate(workload: Workload, scheme: str) -> Callable[[Array, Array], tuple[Array, Array]]:
    """Discounted payoffs [path], which nothing is differentiated through, and log-densities [path], whose `jax.grad` is the score.

    The densities are those of the log-returns between the dates: the variance path moves with the parameters, the returns are held.
    """
    first, update, pay = payoff(workload)
    date = heston_moves(workload, scheme)

    def value(parameters: Array, normals: Array) -> tuple[Array, Array]:
        spot, v0, rate = parameters
        n_paths = jnp.zeros(normals.shape[-1])

        def step(state: Array, z: Array) -> Array:
            v, x, kept, density = state
            v, mean, variance, noise = date(v, rate, z)
            after = jax.lax.stop_gradient(x + mean + noise)
            spread = jnp.maximum(variance, _LEAST_VARIANCE)
            density = density - 0.5 * jnp.log(spread) - (after - x - mean) ** 2 / (2.0 * spread)
            return (v, after, update(kept, after), density), None

        (_, x, kept, density), _ = jax.lax.scan(step, (n_paths + v0, n_paths + jnp.log(spot), n_paths + first, n_paths), normals)
        return jax.lax.stop_gradient(jnp.exp(-rate * workload.expiry)) * pay(kept, x), density

    return value


def survival(workload: Workload, scheme: str = "", *, uniforms: bool = False) -> PresentValue:
    """A down-and-out call by one-step survival (Glasserman and Staum 2001), of normals or of ``uniforms``.

    Each step is drawn so that it stays above the barrier, and weighted by the chance that it does; the weight moves smoothly with the
    parameters, so that the product has a pathwise derivative.
    """
    level, dt = math.log(BARRIER), workload.dt
    evolve = _variance_step(scheme, dt) if workload.model == "heston" else None

    def value(parameters: Array, numbers: Array) -> Array:
        spot, volatility, rate = parameters
        n_paths = jnp.zeros(numbers.shape[-1])

        def step(state: Array, draw: Array) -> Array:
            v, x, weight = state
            if evolve is None:
                moved, spread = -0.5 * volatility**2 * dt, volatility**2 * dt
            else:
                v, moved, spread = evolve(v, normal_quantile(draw[1]) if uniforms else draw[1])
            mean, scale = x + (rate - MARKET.dividend) * dt + moved, jnp.sqrt(jnp.maximum(spread, _LEAST_VARIANCE))
            chance = normal_cdf((mean - level) / scale)
            share = draw[0] if uniforms else normal_cdf(-draw[0])
            x = mean - scale * normal_quantile(jnp.maximum(chance, _LEAST_CHANCE) * share)
            return (v, x, weight * chance), None

        start = (n_paths + volatility, n_paths + jnp.log(spot), n_paths + 1.0)
        (_, x, weight), _ = jax.lax.scan(step, start, numbers[:, 0])
        return jnp.exp(-rate * workload.expiry) * weight * jnp.maximum(jnp.exp(x) - STRIKE, 0.0)

    return value
