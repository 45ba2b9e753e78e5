"""What one step of the QE scheme is made of that no path changes, and how that moves with each parameter."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numpy.polynomial.polynomial import polyval

from pricers.errors import InvalidInput
from pricers.random_numbers.path_block import increments

__all__ = ["steps_and_slopes"]

FloatArray = npt.NDArray[np.float64]

_SHARE_SLOPE = tuple((-1.0) ** (n + 1) * (n + 1) / math.factorial(n + 2) for n in range(10))  # of ((1 - e^-x)/x)'


@lru_cache(maxsize=64)
def steps_and_slopes(
    kappa: float, theta: float, xi: float, rho: float, time_grid: tuple[float, ...], time_scale: float
) -> tuple[FloatArray, FloatArray]:
    r"""Constants of each step, [grid point, 6], and their derivatives, [grid point, 15].

    With :math:`e = e^{-\kappa h}` and :math:`j = \int_0^h e^{-\kappa s} ds`

    .. math:: m = e V + \theta\kappa j, \qquad s^2 = \xi^2 j\,(e V + \tfrac12\theta\kappa j), \qquad
              A = \frac\rho\xi (1 + \tfrac12 \kappa h) - \tfrac14 \rho^2 h .

    Returns
    -------
    tuple of ndarray
        Slope and constant of m in V, those of s^2, A and h/2. Then the derivatives: of the first five by kappa; of both constants by
        theta; of ln s^2 and of A by xi; of A by rho; of the first five by the logarithm of all times.

    Raises
    ------
    InvalidInput
        Where a step is so long that :math:`E[e^{A V'}]` may be infinite: :math:`\xi^2 j A \ge 1`, about :math:`\rho\,\xi h \ge 1`.
    """
    h = time_scale * increments(time_grid)
    e, j, j_kappa = _decay(kappa, h)
    level = 1.0 + 0.5 * kappa * h
    A = rho / xi * level - 0.25 * rho * rho * h
    if float(np.max(xi**2 * j * A)) >= 1.0:
        raise InvalidInput(
            "time step",
            float(h.max()),
            f"of QE must be shorter for xi {xi:g} and rho {rho:g}, or the spot has no mean; raise the plan's steps_per_year",
        )
    steps = [e, theta * kappa * j, xi**2 * j * e, 0.5 * xi**2 * theta * kappa * j * j, A, 0.5 * h]
    by_kappa = [
        -h * e,
        theta * h * e,
        xi**2 * e * (j_kappa - h * j),
        0.5 * xi**2 * theta * j * (j + 2.0 * kappa * j_kappa),
        0.5 * rho * h / xi,
    ]
    by_theta = [kappa * j, 0.5 * xi**2 * kappa * j * j]
    by_xi = [np.full_like(h, 2.0 / xi), -rho / xi**2 * level]
    by_rho = [level / xi - 0.5 * rho * h]
    by_time = [
        -kappa * h * e,
        theta * kappa * h * e,
        xi**2 * h * e * (e - kappa * j),
        xi**2 * theta * kappa * h * j * e,
        h * (0.5 * rho * kappa / xi - 0.25 * rho * rho),
    ]
    return np.stack(steps, axis=-1), np.stack([*by_kappa, *by_theta, *by_xi, *by_rho, *by_time], axis=-1)


def _decay(kappa: float, h: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    r""":math:`e^{-\kappa h}`, its integral j over the step, and the derivative of j by kappa."""
    x = kappa * h
    near = x < 0.1
    small, large = np.where(near, x, 0.0), np.where(near, 1.0, x)
    share = np.where(x > 0.0, -np.expm1(-x) / np.where(x > 0.0, x, 1.0), 1.0)
    slope = np.where(near, polyval(small, _SHARE_SLOPE), (np.exp(-large) * (1.0 + large) - 1.0) / large**2)
    return np.exp(-x), h * share, h * h * slope
