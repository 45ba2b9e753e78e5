"""Derivatives by parameters: of functions of draws and parameters, one component of one parameter at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from greeks.expectation.domain import FloatArray

__all__ = ["bumped", "by_central_difference", "by_complex_step", "components"]

Function = Callable[[Mapping[str, Any]], Any]

_IMAGINARY = 1e-150
"""No difference is taken, so the complex step cannot be too small (Squire and Trapp 1998)."""

_REAL = float(np.cbrt(np.finfo(float).eps))


def components(parameters: Mapping[str, FloatArray]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and index of each component of each parameter, in the order of the Fisher information's rows."""
    for name, value in parameters.items():
        for index in np.ndindex(value.shape):
            yield name, index


def bumped(parameters: Mapping[str, FloatArray], name: str, index: tuple[int, ...], by: complex) -> dict[str, Any]:
    """The parameters with one component moved."""
    moved = parameters[name].astype(type(by))
    moved[index] += by
    return {**parameters, name: moved}


def by_complex_step(function: Function, parameters: Mapping[str, FloatArray], name: str, index: tuple[int, ...]) -> FloatArray:
    r""":math:`\Im f(\theta + ih)/h`: exact to rounding for an analytic f of the parameters."""
    found: FloatArray = np.imag(function(bumped(parameters, name, index, 1j * _IMAGINARY))) / _IMAGINARY
    return found


def by_central_difference(
    function: Function, parameters: Mapping[str, FloatArray], name: str, index: tuple[int, ...]
) -> FloatArray:
    r""":math:`[f(\theta + h) - f(\theta - h)]/2h`, with a relative error of about 1e-10 for a smooth f."""
    step = _REAL * max(abs(float(parameters[name][index])), 0.01)
    up, down = (np.asarray(function(bumped(parameters, name, index, by)), dtype=float) for by in (step, -step))
    found: FloatArray = (up - down) / (2.0 * step)
    return found
