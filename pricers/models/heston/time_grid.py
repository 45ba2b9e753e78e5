r"""Time grids for Heston's variance.

The variance moves on the time scale :math:`v_0/\xi^2`, and a path's first steps matter most: measured against Fourier inversion, a
digital's delta at expiry T is right to half a percent on

.. math:: N = \mathrm{clip}\bigl(12\,\xi\sqrt{T/v_0},\, 16,\, 256\bigr)

points equidistant in the square root of time. Between the clips that is one spacing :math:`\sqrt{v_0}/(12\,\xi)` of :math:`\sqrt t` for
every T. So each interval between two dates is divided by what its own end asks for, whatever dates follow: a point of the grid does not
depend on later dates, and every date has a grid as fine as if it were the last one.
"""

from __future__ import annotations

import math

from pricers.models.heston.parameters import HestonParameters

__all__ = ["equal_steps", "graded_steps"]

_PER_SCALE = 12.0
"""Points for each square root of the variance's time scale."""

_LEAST, _MOST = 16, 256
"""Points up to a date, if there were no date before it."""

_REVERSION, _MOST_REVERTING = 0.5, 512
"""Longest step in units of 1 / kappa, as far as it takes no more points than that (measured: kappa 20 with steps of up to 1.3 / kappa
has digital deltas half a percent off)."""

_MARTINGALE = 0.2
"""Longest step in units of 1 / (rho xi): QE needs less than one, on a grid with every fourth point too."""

_TYPICAL = 0.25
"""Share of the mean variance up to a date that counts where the variance of today is smaller."""


def equal_steps(times: tuple[float, ...], steps_per_year: int) -> tuple[float, ...]:
    """The dates, and between them equal steps of at most ``1 / steps_per_year``."""
    points: list[float] = []
    start = 0.0
    for end in times:
        steps = max(math.ceil((end - start) * steps_per_year - 1e-9), 1)
        points.extend(start + (end - start) * k / steps for k in range(1, steps))
        points.append(end)
        start = end
    return tuple(points)


def graded_steps(model: HestonParameters, times: tuple[float, ...], refinement: int = 1) -> tuple[float, ...]:
    """The dates, and between them steps that are equal in the square root of time, ``refinement`` times as many as the rule's.

    Two steps or more between two dates are an even number, so that the grid with every second point can be compared.
    """
    points: list[float] = []
    start = 0.0
    for end in times:
        low, high = math.sqrt(start), math.sqrt(end)
        steps = max(math.ceil((high - low) / _spacing(model, end) - 1e-9), 1)
        steps = (steps + steps % 2 if steps > 1 else 1) * refinement
        points.extend((low + (high - low) * k / steps) ** 2 for k in range(1, steps))
        points.append(end)
        start = end
    return tuple(points)


def _spacing(model: HestonParameters, time: float) -> float:
    """Longest step of the square root of time before ``time``."""
    root = math.sqrt(time)
    scale = math.sqrt(max(model.v0, _TYPICAL * _mean_variance(model, time)))
    spacing = min(max(scale / (_PER_SCALE * model.xi), root / _MOST), root / _LEAST)
    if model.kappa > 0.0:  # the last step before a date is the longest: 2 root spacing
        spacing = min(spacing, max(_REVERSION / (2.0 * root * model.kappa), root / _MOST_REVERTING))
    if model.rho > 0.0:
        spacing = min(spacing, max(_MARTINGALE / (2.0 * root * model.xi * model.rho), root / _MOST_REVERTING))
    return spacing


def _mean_variance(model: HestonParameters, time: float) -> float:
    r""":math:`\frac1t \int_0^t E[V_s]\,ds`."""
    x = model.kappa * time
    share = -math.expm1(-x) / x if x > 0.0 else 1.0
    return model.theta + (model.v0 - model.theta) * share
