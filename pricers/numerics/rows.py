"""What kernels do to rows of numbers, one number for each path."""

from typing import Any

from pricers.numerics.kernel import device

__all__ = ["copy"]


@device
def copy(x: Any, out: Any) -> None:
    """Write x [path] to ``out``."""
    for path in range(x.size):
        out[path] = x[path]
