"""Parameters as read-only arrays, checked once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pricers.errors import InvalidInput

__all__ = ["FloatArray", "above_zero", "inside_unit", "lower_triangular", "real", "whole"]

FloatArray = npt.NDArray[np.float64]


def real(field: str, value: Any) -> FloatArray:
    """``value`` as a read-only array of finite numbers, or `InvalidInput`."""
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput(field, value, "must be a number or an array of numbers") from None
    if not array.size or not np.isfinite(array).all():
        raise InvalidInput(field, value, "must be finite everywhere")
    array.setflags(write=False)
    return array


def above_zero(field: str, value: Any) -> FloatArray:
    """As `real`, and positive everywhere."""
    array = real(field, value)
    if not (array > 0.0).all():
        raise InvalidInput(field, value, "must be positive everywhere")
    return array


def inside_unit(field: str, value: Any) -> FloatArray:
    """As `real`, and strictly between 0 and 1: at the ends there is no score."""
    array = real(field, value)
    if not ((array > 0.0) & (array < 1.0)).all():
        raise InvalidInput(field, value, "must lie strictly between 0 and 1 everywhere")
    return array


def lower_triangular(field: str, value: Any) -> FloatArray:
    """As `real`, and a lower triangular square matrix with a positive diagonal."""
    array = real(field, value)
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise InvalidInput(field, value, "must be a square matrix")
    if np.triu(array, 1).any() or not (np.diag(array) > 0.0).all():
        raise InvalidInput(field, value, "must be lower triangular with a positive diagonal")
    return array


def whole(field: str, value: Any, *, least: int) -> int:
    """``value`` as an int of at least ``least``, or `InvalidInput`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InvalidInput(field, value, f"must be a whole number of at least {least}")
    return int(value)
