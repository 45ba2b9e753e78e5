"""Closed and semi-closed forms, one a file; `exact_greeks` finds the one for a contract under a model."""

from pricers.exact.registry import exact, exact_greeks

__all__ = ["exact", "exact_greeks"]
