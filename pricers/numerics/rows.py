"""What kernels do to rows of numbers, one number for each lane."""

from typing import Any

from pricers.numerics.kernel import device

__all__ = ["copy"]


@device
def copy(x: Any, out: Any) -> None:
    """Write x [lane] to ``out``."""
    for lane in range(x.size):
        out[lane] = x[lane]
