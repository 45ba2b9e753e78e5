"""Which formula answers for which contract under which model."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, TypeVar

import numpy as np

from pricers.contracts.contract import Contract
from pricers.errors import NotApplicable
from pricers.market.market import Market
from pricers.models.model import Model

__all__ = ["exact", "exact_greeks"]

Formula = Callable[[Any, Any, Market], dict[str, float]]
F = TypeVar("F", bound=Formula)

_FORMULAS: dict[tuple[type[Contract], type[Model]], Formula] = {}


def exact(contract: type[Contract], model: type[Model]) -> Callable[[F], F]:
    """Register ``formula(contract, model, market) -> {greek: value}`` for a contract's and a model's class.

    A formula raises `NotApplicable` for terms that it does not cover.
    """

    def register(formula: F) -> F:
        _FORMULAS[contract, model] = formula
        return formula

    return register


@cache
def _load() -> None:
    package = importlib.import_module("pricers.exact")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"pricers.exact.{module.name}")


def exact_greeks(contract: Contract, model: Model, market: Market) -> dict[str, float]:
    """Price and Greeks by formula, raw derivatives of present value; all of them finite.

    Raises
    ------
    NotApplicable
        Where no formula is known, or its numbers leave the range of floating point.
    """
    _load()
    if (type(contract), type(model)) not in _FORMULAS:
        raise NotApplicable(f"no exact formula is known for {contract.family} under {model.kind}; use LikelihoodRatio()")
    return dict(_answer(contract, model, market))


@lru_cache(maxsize=1024)
def _answer(contract: Contract, model: Model, market: Market) -> dict[str, float]:
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is looked for below
            values = _FORMULAS[type(contract), type(model)](contract, model, market)
    except OverflowError as error:
        raise NotApplicable(_out_of_range(contract, model)) from error
    if not all(math.isfinite(value) for value in values.values()):
        raise NotApplicable(_out_of_range(contract, model))
    return {greek: float(value) for greek, value in values.items()}


def _out_of_range(contract: Contract, model: Model) -> str:
    return (
        f"the exact {contract.family} under {model.kind} leaves the range of floating point (beyond 1e308) at this volatility, these "
        "rates and this maturity; shorten the maturity or lower the volatility"
    )
