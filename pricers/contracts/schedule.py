"""Dates of a contract, in years from the valuation."""

from __future__ import annotations

from pricers.errors import InvalidInput, positive

__all__ = ["schedule"]


def schedule(n: int, expiry: float) -> tuple[float, ...]:
    r"""``n`` equally spaced dates :math:`k\,T/n`, the last exactly ``expiry`` (years).

    >>> schedule(4, 1.0)
    (0.25, 0.5, 0.75, 1.0)
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InvalidInput("n", n, "must be a whole number of at least 1")
    last = positive("expiry", expiry)
    return (*(k * last / n for k in range(1, n)), last)
