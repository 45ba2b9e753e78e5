"""Whether the paths tell the error of a number, and what is claimed where they do not."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from greeks.estimators.base import SampleSpec
from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.engine.estimate import Moments, Statistics, bound, controlled, is_rounding, why_unknown
from pricers.models.scenario import Scenario

__all__ = ["Resolution", "resolve"]

FloatArray = npt.NDArray[np.float64]


class Resolution(NamedTuple):
    """How rows are weighted to make an estimate, what the paths say of it, and what there is to know besides."""

    weights: FloatArray
    statistics: Statistics
    note: str = ""


def resolve(
    moments: Moments,
    row: int,
    sample_spec: SampleSpec,
    greek: Greek,
    contract: Contract,
    scenario: Scenario,
    paths: int,
    *,
    pilot: bool = False,
) -> Resolution:
    """The estimate whose target is ``row``, with as many of its controls as leave an error that is known.

    Controls can explain all that was seen and nothing of what was not: of a barrier that no path touched they leave the formula of a
    vanilla, without an error. Or they leave what a few paths carry. Then the last ones are left out, until the error is known. Where it
    is not known without any, none is claimed: the standard error is NaN, and the note says why, with what bounds the number.

    A pilot keeps the controls: more paths may well tell their error.
    """
    certain = sample_spec.exact_if_constant or contract.sure_payment is not None
    for left in range(sample_spec.controls, -1, -1):
        weights = controlled(moments, row, tuple(range(row + 1, row + 1 + left)))
        found = _judged(moments, weights, sample_spec, paths, certain)
        if not found.note:
            out = sample_spec.controls - left
            note = f"{out} of {sample_spec.controls} controls left out: with them the error is not known" if out else ""
            return found._replace(note=note)
        if pilot:
            return found
    return _bounded(found, greek, contract, scenario, paths)


def _judged(moments: Moments, weights: FloatArray, sample_spec: SampleSpec, paths: int, certain: bool) -> Resolution:
    """The weighted number, with a note only where its error is not known."""
    found = moments.statistics(weights)
    why = why_unknown(found, paths, heavy=sample_spec.heavy_tails)
    constant = found.stderr <= max(1e-12 * abs(found.value), 1e-7 * found.spread)
    if not why or (certain and constant):
        return Resolution(weights, found)
    effective = math.nan if is_rounding(found) else found.effective  # what rounding leaves says nothing
    return Resolution(weights, found._replace(stderr=math.nan, effective=effective), f"error not known: {why}")


def _bounded(found: Resolution, greek: Greek, contract: Contract, scenario: Scenario, paths: int) -> Resolution:
    """The same, with what bounds a price."""
    if greek.parameters:
        return found
    discount = math.exp(scenario.time_scale * float(scenario.market.log_discount(contract.times[-1])))
    room = bound(found.statistics.value, discount * contract.largest_payment, paths)
    return found._replace(note=f"{found.note}; {room} (95 %)") if room else found
