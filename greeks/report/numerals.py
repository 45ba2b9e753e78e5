"""Numbers as people read them."""

from __future__ import annotations

import math

__all__ = ["count", "measured", "plain"]

_MOST_DECIMALS = 8
_ROUNDING = 1e-10  # of a value: an error below it is that of the arithmetic, and no reason to print all digits


def measured(value: float, stderr: float) -> tuple[str, str]:
    """A value and its standard error, both to the error's second significant digit.

    >>> measured(4291326.1, 138234.4)
    ('4,290,000', '140,000')
    >>> measured(0.607143, 0.004054)
    ('0.6071', '0.0041')

    Without an error (a closed form's is 0, one that is NaN is not known) the value has six significant digits.
    """
    if not math.isfinite(value):
        return "–", ""
    if not math.isfinite(stderr) or stderr <= 0.0:
        return plain(value), "0" if stderr == 0.0 else "not known"
    if stderr < _ROUNDING * abs(value):
        return plain(value), f"{stderr:.1e}" if stderr > 1e-15 * abs(value) else "0"  # less than the value's own last bit
    digits = 1 - math.floor(math.log10(float(f"{stderr:.1e}")))
    if digits > _MOST_DECIMALS:
        size = math.floor(math.log10(max(abs(value), stderr)))
        return f"{value:.{max(size + digits, 0)}e}", f"{stderr:.1e}"
    return tuple(_fixed(number, digits) for number in (value, stderr))  # type: ignore[return-value]


def plain(value: float) -> str:
    """Six significant digits, thousands separated."""
    if not math.isfinite(value):
        return "–"
    if value == 0.0:
        return "0"
    digits = 5 - math.floor(math.log10(float(f"{abs(value):.5e}")))
    return f"{value:.5e}" if digits > _MOST_DECIMALS + 3 else _fixed(value, digits)


def count(number: float) -> str:
    """A quantity: no decimals where there are none."""
    if not math.isfinite(number):
        return "–"
    return (f"{number:,.0f}" if float(number).is_integer() else f"{number:,g}").replace("-", "−")


def _fixed(number: float, digits: int) -> str:
    rounded = round(number, digits) + 0.0  # minus zero becomes zero
    text = f"{rounded:,.{max(digits, 0)}f}"
    return text.replace("-", "−")
