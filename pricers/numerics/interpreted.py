"""Kernels as plain Python, slowly: what runs where the environment has NUMBA_DISABLE_JIT=1, for debuggers and coverage.

Numbers are those of compiled kernels to the last bits: additions are in order, roots and quotients are IEEE's, and a product that
is fused by hand into a sum is rounded once here, too. Only sums that a compiled kernel may reorder differ.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

__all__ = ["bits", "fma", "from_bits", "horner", "interpreted", "sqrt"]

F = TypeVar("F", bound=Callable[..., Any])


def interpreted(function: F) -> F:
    """``function`` with the arithmetic of kernels: divisions by zero and overflows are no errors, unsigned integers wrap around."""

    @functools.wraps(function)
    def called(*arguments: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*(np.float64(value) if type(value) is float else value for value in arguments))

    plain: Any = called
    return plain


def fma(a: float, b: float, c: float) -> np.float64:
    """``a * b + c`` with one rounding."""
    plain = np.float64(float(a) * float(b) + float(c))  # Python's own arithmetic, which does not warn of overflow
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return plain
    (a_up, a_down), (b_up, b_down), (c_up, c_down) = (float(x).as_integer_ratio() for x in (a, b, c))
    above, below = a_up * b_up * c_down + c_up * a_down * b_down, a_down * b_down * c_down
    if above == 0:
        return plain  # exact, and it has the right sign
    try:
        return np.float64(above / below)  # a quotient of whole numbers is rounded once
    except OverflowError:
        return np.float64(math.inf if above > 0 else -math.inf)


def bits(x: float) -> np.uint64:
    """The 64 bits of a float64."""
    return np.float64(x).view(np.uint64)


def from_bits(word: Any) -> np.float64:
    """The float64 with the 64 bits of a uint64."""
    return np.uint64(word).view(np.float64)


def horner(x: float, coefficients: tuple[float, ...]) -> np.float64:
    """Polynomial by Horner's rule with fused multiply-adds, constant term first."""
    value = np.float64(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = fma(value, x, coefficient)
    return value


def sqrt(x: float) -> np.float64:
    """Square root; NaN below zero, where `math.sqrt` would raise."""
    return np.float64(math.nan if x < 0.0 else math.sqrt(x))
