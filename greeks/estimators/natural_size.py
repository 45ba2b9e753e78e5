"""What a Greek amounts to: the change of a parameter that is usual, and the money that such changes move."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.errors import NotApplicable
from pricers.models.scenario import Scenario

__all__ = ["move", "natural_sizes"]


def move(parameter: str, scenario: Scenario, contract: Contract) -> float:
    r"""A usual change of a parameter until the contract's last date T.

    Spot: :math:`S\,\min(\sigma\sqrt T, 1)`; rate and dividend yield: what moves the log forward by as much, :math:`\sigma/\sqrt T`;
    time: T; volatility and a model's parameters: their own size.
    """
    last, vol = contract.times[-1], scenario.model.scale("vol")
    match parameter:
        case "spot":
            return scenario.market.spot * min(vol * math.sqrt(last), 1.0)
        case "rate" | "dividend":
            return vol / math.sqrt(last)
        case "time":
            return last
    return scenario.model.scale(parameter)


def natural_sizes(
    values: Mapping[str, float], greeks: Iterable[Greek], contract: Contract, scenario: Scenario
) -> dict[str, float]:
    r"""For each Greek the size at which it would matter as much as the largest of them does.

    A Greek g of order k by parameters a, b moves the value by :math:`|g|\,\Delta a\,\Delta b/k!` for usual changes (`move`). The
    natural size is the largest such amount among the Greeks whose values are given, over :math:`\Delta a\,\Delta b/k!`. A Greek that is
    zero for a reason, such as the delta of a straddle, is so held against what the others amount to.
    """
    moves = {g.name: _moved(g, contract, scenario) for g in greeks}
    money = max(
        (abs(values[name]) * size for name, size in moves.items() if math.isfinite(values.get(name, math.nan))), default=math.nan
    )
    return {name: money / size if size > 0.0 else math.nan for name, size in moves.items()}


def _moved(greek: Greek, contract: Contract, scenario: Scenario) -> float:
    try:
        sizes = [move(parameter, scenario, contract) for parameter in greek.parameters]
    except NotApplicable:  # a parameter that is zero has no size of its own
        return math.nan
    return math.prod(sizes) / math.factorial(len(sizes))
