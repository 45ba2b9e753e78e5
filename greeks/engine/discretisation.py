"""Every estimate's bias by its model's time steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from greeks.engine.sampler import GreekSampler
from greeks.engine.tasks import GreekResult, GreekTask
from pricers.engine.discretisation import coarser, halvings, largest, remark, share, unmeasured
from pricers.engine.estimate import Estimate, Moments, controlled
from pricers.engine.plan import Plan

__all__ = ["add_biases"]

_BOOK, _DENSE = 16, 64
"""A trade's bias in a book, whose grid is of days at least, is measured on one in so many paths; on fewer where the trade's own dates leave
few points out, so that its coarse grids cost as much as the fine one, and no other trade shares them."""


def add_biases(
    cases: Sequence[tuple[GreekTask, GreekSampler | Exception, GreekResult | Exception]],
    plan: Plan,
    *,
    threads: int | None = None,
) -> None:
    """Put into every sampled estimate the bias that its time grid leaves, as far as its model's paths have one.

    It is measured by `pricers.engine.discretisation.halvings`, with the estimator's controls taken off the differences as they are taken
    off the number itself, and is added to a bias that the estimator has of its own.
    """
    shares: dict[int, list[tuple[GreekSampler, GreekResult]]] = {}
    for task, sampler, found in cases:
        if not task.scenario.model.discretised or isinstance(sampler, Exception) or isinstance(found, Exception):
            continue
        if found.estimates.keys() & sampler.sample_specs.keys():
            parts = share(sampler) if task.time_grid is None else _share_in_book(sampler)
            shares.setdefault(parts, []).append((sampler, found))
    for parts, chosen in shares.items():
        measured = halvings([sampler for sampler, _ in chosen], plan, parts, threads=threads)
        for (sampler, found), levels in zip(chosen, measured, strict=True):
            for key in found.estimates.keys() & sampler.sample_specs.keys():
                found.estimates[key], found.step_biases[key] = _with_bias(found.estimates[key], key, sampler, levels)


def _share_in_book(sampler: GreekSampler) -> int:
    """By the trade's own dates alone, so that it has the same bias in any book."""
    dates = sampler.dates.index
    points = int(dates[-1]) + 1
    return _BOOK if len(coarser(points, dates, 2)) < 0.6 * points else _DENSE


def _with_bias(
    estimate: Estimate, key: tuple[str, str], sampler: GreekSampler, levels: Sequence[Sequence[Moments]] | Exception
) -> tuple[Estimate, tuple[float, float]]:
    """The estimate with the bias of its time steps, and that bias with its standard error."""
    if isinstance(levels, Exception):
        note = _joined(estimate.note, unmeasured(levels))
        return replace(estimate, bias=math.nan, bias_stderr=math.nan, note=note), (math.nan, math.nan)
    greek, estimator = key
    group, row, controls = sampler.greeks.index(greek), sampler.rows[estimator], sampler.sample_specs[key].controls
    used = tuple(range(row + 1, row + 1 + controls))
    bias, stderr = largest([(level[group], controlled(level[group], row, used)) for level in levels])
    note = _joined(estimate.note, remark(levels))
    together = math.hypot(estimate.bias_stderr, stderr)
    return replace(estimate, bias=estimate.bias + bias, bias_stderr=together, note=note), (bias, stderr)


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
