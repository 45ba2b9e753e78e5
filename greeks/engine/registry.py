"""Estimators by name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from typing import Any

from greeks.estimators.base import Estimator
from pricers.errors import InvalidInput

__all__ = ["classes", "estimators", "method"]


@cache
def estimators() -> dict[str, Estimator]:
    """Estimators that can be asked for by name (or `Estimator.keyword`), as they are by default: those that need no arguments."""
    found = [kind() for kind in classes("greeks.estimators", Estimator) if _needs_nothing(kind)]
    return {estimator.keyword or estimator.name: estimator for estimator in found}


def _needs_nothing(kind: type[Estimator]) -> bool:
    given = inspect.signature(kind).parameters.values()
    return kind is not Estimator and not inspect.isabstract(kind) and all(p.default is not p.empty for p in given)


def method(given: Estimator | str | None, *, default: str) -> Estimator:
    """What was given, or the estimator of that name.

    Raises
    ------
    InvalidInput
        Where there is none.
    """
    given = default if given is None else given
    if isinstance(given, Estimator):
        return given
    if isinstance(given, str) and given in estimators():
        return estimators()[given]
    raise InvalidInput(
        "estimator", given, f"must be an estimator, such as LikelihoodRatio(), or the name of one: {', '.join(estimators())}"
    )


def classes(package: str, base: type[Any]) -> list[type[Any]]:
    """Classes of a kind that are defined in the modules of a package."""
    found = []
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        for value in vars(importlib.import_module(f"{package}.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, base) and value.__module__.endswith(f".{module.name}"):
                found.append(value)
    return found
