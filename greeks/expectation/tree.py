"""Draws are an array, or a dict of draws for a product of distributions; these work on both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["leaves", "mapped", "replaced"]


def leaves(x: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each array of ``x`` with the keys that lead to it."""
    if isinstance(x, dict):
        for key, value in x.items():
            yield from leaves(value, (*path, key))
    else:
        yield path, x


def mapped(function: Callable[..., Any], x: Any, *others: Any) -> Any:
    """``function`` of corresponding arrays, in the form of ``x``."""
    if isinstance(x, dict):
        return {key: mapped(function, value, *(other[key] for other in others)) for key, value in x.items()}
    return function(x, *others)


def replaced(x: Any, path: tuple[str, ...], leaf: Any) -> Any:
    """``x`` with another array at ``path``."""
    if not path:
        return leaf
    return {**x, path[0]: replaced(x[path[0]], path[1:], leaf)}
