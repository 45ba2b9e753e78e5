"""Importance sampling: paths drawn where the contract pays, and weighed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from greeks.estimators.base import PathEstimator, Reweighting, SampleSpec, common_second_order
from greeks.estimators.cross_entropy import LARGEST_SHARE, Found, search
from greeks.estimators.likelihood_ratio import LikelihoodRatio
from greeks.greek import Greek
from pricers.contracts.contract import Contract
from pricers.engine.estimate import LEAST_HEAVY, Moments
from pricers.engine.plan import Plan
from pricers.errors import InvalidInput, NotApplicable
from pricers.models.scenario import Scenario
from pricers.numerics.kernel import kernel
from pricers.paths.discounting import LAST
from pricers.paths.paths import Paths
from pricers.paths.present_value import CashFlow, present_value
from pricers.paths.requests import PathRequest, Wanted
from pricers.random_numbers.path_block import Block, ObservationDates
from pricers.random_numbers.tilted import Mixture, Tilted

__all__ = ["ImportanceSampling", "Searched", "segments"]

FloatArray = npt.NDArray[np.float64]

_PATHS = 2048
"""Paths of a search that are simulated together: a stage's memory is theirs."""

_MANY = 2**14
"""Paths of a run below which one may make a larger share of the sum."""

_FAR = 2.5
"""Standard errors that the run may be off the search: of sure errors it costs one in eighty; estimates that miss are often farther off."""


@kernel
def _apply(weights, own_share, shift, paid, controls, out):
    """Weigh the rows before row ``controls`` of out [row, path], fill two controls from there on and the last two rows: see `Searched`."""
    weight, share = weights[0], weights[1]
    for row in range(controls):
        weighed = out[row]
        for path in range(weighed.size):
            weighed[path] = weight[path] * weighed[path]
    value, first, second, number, square = out[0], out[controls], out[controls + 1], out[-2], out[-1]
    for path in range(weight.size):
        value[path] += shift
        first[path] = weight[path] - 1.0
        second[path] = share[path] - own_share
        x = abs(paid[path]) * weight[path]
        number[path] = x
        square[path] = x * x


@kernel
def _unseen(share, residual, seen, squares, variance, out):
    """Controls [row, path] of what coordinates do not see of one driver: of first order two, of second order two more."""
    for path in range(share.size):
        out[0, path] = share[path] * residual[path]
        out[1, path] = share[path] * squares[path]
    if out.shape[0] > 2:
        for path in range(share.size):
            out[2, path] = share[path] * (residual[path] * residual[path] - variance)
            out[3, path] = share[path] * residual[path] * seen[path]


@kernel
def _first_noise(weight, paid, score, still, out):
    """Controls [row, path] of what coordinates do not see of the score by the spot, times what is paid without it.

    Of first order one, of second order one more. A payment that is not finite counts as none.
    """
    for path in range(weight.size):
        x = weight[path] * paid[path] * (score[path] - still[path])
        out[0, path] = x if math.isfinite(x) else 0.0
    if out.shape[0] > 1:
        for path in range(weight.size):
            out[1, path] = out[0, path] * still[path]


@kernel
def _noise(weight, paid, stdev, mean_slope, stdev_slope, residual, seen, variance, out):
    r"""A control [path] of what coordinates do not see of a score, times what is paid without it.

    The score of log-returns :math:`M + s\xi` is the sum over intervals of :math:`M'/s\,\xi + s'/s\,(\xi^2 - 1)`, and :math:`\xi` is the
    sum of ``seen`` and ``residual`` [interval, path], which is independent of all else here. stdev and slopes are [interval, path or 1].
    """
    wide, mean_wide, stdev_wide = stdev.shape[1] > 1, mean_slope.shape[1] > 1, stdev_slope.shape[1] > 1
    out[:] = 0.0
    for t in range(residual.shape[0]):
        left, mean, s, m, d = residual[t], seen[t], stdev[t], mean_slope[t], stdev_slope[t]
        for path in range(out.size):
            inverse = 1.0 / s[path if wide else 0]
            r = left[path]
            square = r * r - variance[t] + 2.0 * r * mean[path]
            out[path] += inverse * (m[path if mean_wide else 0] * r + d[path if stdev_wide else 0] * square)
    for path in range(out.size):
        x = weight[path] * paid[path] * out[path]
        out[path] = x if math.isfinite(x) else 0.0


@dataclass(frozen=True, slots=True)
class ImportanceSampling(PathEstimator):
    r"""Another estimator on paths that are drawn where the contract pays: :math:`E_p[Y] = E_q[Y\,p/q]`, for rare events.

    Y is a path's number by another unbiased estimator, under the nominal law p; its scores stay those of p. Paths are drawn from q: coarse
    directions of the normals (increments over segments of time, for each driver of the model) come from a Gaussian mixture, found by the
    cross-entropy method on paths of its own; the rest of a path stays as it was. The mixture holds a tenth of p itself, so that no weight
    p/q is above ten, and explorers that are wider than p. The payoff is taken less its median over the nominal paths, whose Greek is
    known: where a contract nearly always pays alike, paths are drawn where it does not. The weights themselves are controls.

    One search of 50,000 to 150,000 paths serves all Greeks of a contract. It is for probabilities below about one in a hundred; a
    probability of 0.3 it leaves about as it was. The estimate has an error only where the search and the run pass their tests: effective
    counts of at least 30 paths in the search and 100 in the run (a weight may be a thousand times the typical one), no path that makes
    more than 1 % of the sum, and means that are within 2.5 errors of each other. Otherwise the error is NaN and the note says why.

    Sources: Rubinstein and Kroese (2004), "The Cross-Entropy Method"; Glasserman, Heidelberger and Shahabuddin (1999), "Asymptotically
    optimal importance sampling and stratification for pricing path-dependent options", Mathematical Finance 9; Owen and Zhou (2000), "Safe
    and effective importance sampling", JASA 95.

    Parameters
    ----------
    estimator : PathEstimator
        Gives a path's number; `LikelihoodRatio` by default, which asks nothing of the payoff.
    segments : int, optional
        Segments of time for each driver, positive; by default 12 for a model with one driver and 8 for others. Fewer dates than that are
        segments themselves. A payoff that looks at every date in its own way (staying between two levels) may need more.
    """

    keyword: ClassVar[str] = "importance_sampling"
    prepares: ClassVar[int] = 80_000
    estimator: PathEstimator = field(default_factory=LikelihoodRatio)
    segments: int | None = None

    def __post_init__(self) -> None:
        inner = self.estimator
        if not isinstance(inner, PathEstimator) or not inner.unbiased or inner.prepares:
            raise InvalidInput("estimator", inner, "must be an unbiased estimator on paths, such as LikelihoodRatio()")
        count = self.segments
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 64):
            raise InvalidInput("segments", count, "must be a whole number from 1 to 64")

    @property
    def name(self) -> str:  # type: ignore[override]
        """Of the inner estimator, on sampled paths."""
        return f"{self.estimator.name} with importance sampling"

    @property
    def methods(self) -> frozenset[str]:
        """See `Estimator.methods`."""
        return frozenset({self.name}).union(*(each.methods for each in (self.estimator,)))

    @property
    def second_order(self) -> frozenset[tuple[str, ...]] | None:  # type: ignore[override]
        """What all that it is made of have."""
        return common_second_order((self.estimator,))

    def cost_ns(self, contract: Contract) -> float:
        """See `PathEstimator.cost_ns`: normals are moved and weighed in so many directions."""
        return _cost_ns(self, contract)

    def prepared(
        self, contract: Contract, scenario: Scenario, plan: Plan, *, stream: str, time_grid: tuple[float, ...]
    ) -> PathEstimator:
        """See `PathEstimator.prepared`: the search. What stops it stops the run."""
        try:
            return _searched(self, contract, scenario, plan, stream, time_grid)
        except Exception as error:
            return Searched(self, Found(), (), (), (), failed=error)

    def sample_spec(self, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> SampleSpec:
        """See `PathEstimator.sample_spec`; what the inner estimator refuses is refused. Before the search it cannot be sampled."""

        def samples(paths: tuple[Paths, ...], out: FloatArray) -> None:
            raise RuntimeError("importance sampling was not prepared: greeks.engine.run.prepared searches for what to draw from")

        return _sample_spec(
            self.estimator.sample_spec(greek, contract, scenario, plan), samples, 2, None, _unknown, _Verdict(Found())
        )


@dataclass(frozen=True, slots=True)
class Searched(PathEstimator):
    """What `ImportanceSampling` became after its search: what it found, and the ends of the segments; or what stopped it.

    Behind the inner estimator's rows stand two controls, the weight less one and the share of the mixture's own components in the density
    less its mean (Owen and Zhou). Where there are more dates than segments, the score of the spot is mostly noise of the first interval
    that coarse coordinates do not see, and that of volatility noise of all: the share times this noise has mean zero, and moves as the
    estimate does where the mixture is nearly proportional to what is paid. More of it is taken off by what is paid on the same path
    without that noise (`still`), times the weight and the noise: given all else, the noise of the first driver has mean zero, and a
    square of it a known one. Last are two rows for the verdict: the weighed distance of the payment from its centre, and its square.

    ``still`` are the grid points at which a path has no such noise, for Greeks by the spot and for others; 0 where there is none.
    """

    asked: ImportanceSampling
    found: Found
    ends: tuple[int, ...]
    dates: tuple[int, ...]
    time_grid: tuple[float, ...]
    still: tuple[int, int] = (0, 0)
    failed: Exception | None = None

    @property
    def name(self) -> str:  # type: ignore[override]
        """As before the search."""
        return self.asked.name

    @property
    def methods(self) -> frozenset[str]:
        """As before the search."""
        return self.asked.methods

    @property
    def second_order(self) -> frozenset[tuple[str, ...]] | None:  # type: ignore[override]
        """As before the search."""
        return self.asked.second_order

    def cost_ns(self, contract: Contract) -> float:
        """See `PathEstimator.cost_ns`."""
        return _cost_ns(self.asked, contract)

    def sample_spec(self, greek: Greek, contract: Contract, scenario: Scenario, plan: Plan) -> SampleSpec:
        """See `PathEstimator.sample_spec`."""
        if self.failed is not None:
            raise self.failed
        found = self.found
        centred = Centred(contract, found.centre) if found.centre else contract
        inner = self.asked.estimator.sample_spec(greek, centred, scenario, plan)
        sampling = Tilted(
            mixture=found.mixture, ends=self.ends, dates=self.dates, factors=scenario.model.factors, base=plan.sampling
        )
        own_share, first, drivers = found.mixture.own, 1 + inner.controls, (sampling.rows - 2) // 3
        each = 2 * len(greek.parameters)
        variance = sampling.unseen(self.time_grid) if drivers else 0.0
        last = first + 2 + each * drivers
        by_spot = "spot" in greek.parameters
        points = self.still[0 if by_spot else 1]
        known = (
            points and len(inner.scenarios) == 1 and set(greek.parameters) <= scenario.trace(inner.traced, contract.times).scored
        )
        noisy = len(greek.parameters) if known and (by_spot or len(greek.parameters) == 1) else 0

        def apply(paths: tuple[Paths, ...], still: tuple[Paths, ...], block: Block, out: FloatArray) -> None:
            path, discount, weights = paths[0], paths[0].discounting.factor(), block.weights()
            slopes = math.prod(path.discounting.log_slope(parameter) for parameter in greek.parameters)
            shift = greek.sign * discount * found.centre * slopes
            _apply(weights, own_share, shift, present_value(centred, path).at_last_date(), first, out)
            for driver in range(drivers if each else 0):
                rows = out[first + 2 + each * driver : first + 2 + each * (driver + 1)]
                residual, seen, squares = weights[2 + 3 * driver : 5 + 3 * driver]
                _unseen(weights[1], residual, seen, squares, variance, rows)
            if noisy:
                _fill_noise(
                    greek.parameters,
                    path,
                    still[0],
                    present_value(centred, still[0]).at_last_date(),
                    block,
                    out[last : last + noisy],
                )

        sample_spec = _sample_spec(inner, inner.samples, last - first + noisy, sampling, apply, _Verdict(found))
        if not noisy:
            return sample_spec
        assert sample_spec.reweighting is not None
        still_wanted = scenario.trace(
            lambda paths: (present_value(centred, paths[0]), paths[0].score("spot") if by_spot else None), contract.times
        )
        return replace(
            sample_spec,
            reweighting=replace(
                sample_spec.reweighting,
                still=replace(sampling, still=points),
                wanted=Wanted(steps=frozenset() if by_spot else frozenset(greek.parameters)),
                still_wanted=still_wanted,
            ),
        )


def _fill_noise(parameters: tuple[str, ...], path: Paths, still: Paths, paid: FloatArray, block: Block, out: FloatArray) -> None:
    """The controls by paths without what coordinates do not see; zeros where the model has no log-return steps."""
    weight = block.weights()[0]
    if "spot" in parameters:
        _first_noise(weight, paid, path.score("spot"), still.score("spot"), out)
        return
    try:
        steps = path.law.steps(parameters)
    except NotApplicable:
        out[:] = 0.0
        return
    _noise(weight, paid, steps.stdev, steps.mean_slope[0], steps.stdev_slope[0], *block.split(), out[0])


def _sample_spec(
    inner: SampleSpec,
    samples: Callable[[tuple[Paths, ...], FloatArray], None],
    controls: int,
    sampling: Tilted | None,
    apply: Callable[[tuple[Paths, ...], tuple[Paths, ...], Block, FloatArray], None],
    verdict: _Verdict,
) -> SampleSpec:
    """The inner sample specification's rows with so many more controls, and those of the verdict."""

    def filled(paths: tuple[Paths, ...], out: FloatArray) -> None:
        samples(paths, out[: 1 + inner.controls])

    note = f"paths drawn where a search of {verdict.found.paths:,} paths found that it pays"
    return replace(
        inner,
        samples=filled,
        controls=inner.controls + controls,
        note=f"{inner.note}; {note}" if inner.note else note,
        heavy_tails=True,
        reweighting=Reweighting(sampling=sampling, rows=2, apply=apply, verdict=verdict),
    )


def _unknown(paths: tuple[Paths, ...], still: tuple[Paths, ...], block: Block, out: FloatArray) -> None:
    raise RuntimeError("importance sampling was not prepared")


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Whether a run's numbers can be trusted: see `Reweighting.verdict`."""

    found: Found

    def __call__(self, moments: Moments, row: int) -> str:
        """The reason why not; "" where they can."""
        if self.found.reason:
            return self.found.reason
        number, square = moments.only(row), moments.only(row + 1)
        paths = float(moments.counts.sum())
        mean, second = moments.value(number), moments.value(square)
        fourth = second**2 + float(moments.folds.comoment[:, row + 1, row + 1].sum()) / paths
        effective = paths * second**2 / fourth if fourth > 0.0 else 0.0
        if not effective >= LEAST_HEAVY:
            return f"cannot tell: the effective count of paths is {effective:.0f}, below {LEAST_HEAVY:.0f}"
        share = LARGEST_SHARE * max(1.0, math.sqrt(_MANY / paths))
        if not (paths * fourth) ** 0.25 <= share * paths * mean:  # no path is beyond the left side
            return f"cannot tell: one path may make more than {share:.2g} of the sum"
        gap, error = abs(mean - self.found.mean), math.hypot(moments.stderr(number), self.found.stderr)
        if not gap <= _FAR * error:
            return f"cannot tell: the run's mean {mean:.4g} is {gap / error:.1f} standard errors from the search's {self.found.mean:.4g}"
        return ""


class Centred(Contract):
    """A contract's payoff less a constant."""

    __slots__ = ("centre", "contract", "family", "times")

    def __init__(self, contract: Contract, centre: float):
        self.contract, self.centre, self.times = contract, centre, contract.times
        self.family = contract.family  # type: ignore[misc]

    @property
    def discontinuous(self) -> bool:
        """The contract's."""
        return self.contract.discontinuous

    @property
    def gradient_lacks_because(self) -> str:
        """The contract's."""
        return self.contract.gradient_lacks_because

    @property
    def uses_initial_spot(self) -> bool:
        """The contract's."""
        return self.contract.uses_initial_spot

    def initial_spot_derivative(self, paths: Paths) -> FloatArray:
        """The contract's."""
        return self.contract.initial_spot_derivative(paths)

    def cash_flows(self, paths: Paths) -> Sequence[CashFlow]:
        """The contract's, the constant taken off at the last date."""
        flows = self.contract.cash_flows(paths)
        match flows:
            case [CashFlow(amount, date)] if date == LAST:
                return (CashFlow(amount - self.centre),)
        return (*flows, CashFlow(np.full(paths.n_paths, -self.centre)))

    def cash_flow_slopes(self, paths: Paths, parameter: str) -> Sequence[CashFlow]:
        """The contract's."""
        return self.contract.cash_flow_slopes(paths, parameter)


def _cost_ns(asked: ImportanceSampling, contract: Contract) -> float:
    directions = min(asked.segments or _SEGMENTS, len(contract.times))
    return asked.estimator.cost_ns(contract) + 40.0 + 14.0 * directions


_SEGMENTS, _SEGMENTS_OF_MANY = 12, 8


def _searched(
    asked: ImportanceSampling, contract: Contract, scenario: Scenario, plan: Plan, stream: str, time_grid: tuple[float, ...]
) -> Searched:
    """After the search."""
    model, times = scenario.model, contract.times
    index = ObservationDates(times, time_grid).index
    time_grid = time_grid[: int(index[-1]) + 1]
    observed = ObservationDates(times, time_grid)
    wanted = asked.segments or (_SEGMENTS if model.factors == 1 else _SEGMENTS_OF_MANY)
    between = len(model.time_grid(times, *plan.steps)) > len(times)
    dates = tuple(int(i) + 1 for i in index)
    ends = segments(time_grid, dates, wanted, between=between)
    wanted_paths = scenario.trace(lambda paths: present_value(contract, paths[0]), times)
    request = PathRequest(market=scenario.market, time_scale=scenario.time_scale, dates=observed, wanted=wanted_paths)
    simulator = model.simulator({model: (request,)})

    def draw(mixture: Mixture, first: int, count: int) -> tuple[FloatArray, FloatArray]:
        tilted = Tilted(mixture=mixture, ends=ends, dates=dates, factors=model.factors)
        found = [part(tilted, first + start, min(_PATHS, count - start)) for start in range(0, count, _PATHS)]
        return np.concatenate([y for y, _ in found], axis=1), np.concatenate([paid for _, paid in found])

    def part(tilted: Tilted, first: int, count: int) -> tuple[FloatArray, FloatArray]:
        block = Block(
            seed=plan.seed,
            stream=f"importance sampling {stream}",
            time_grid=time_grid,
            first=first,
            n_paths=count,
            sampling=tilted,
            factors=model.factors,
        )
        paid = np.array(present_value(contract, simulator.paths(block, request)).at_last_date())
        y = np.array(block.coordinates())
        block.forget()
        return y, paid

    still = unseen_points(ends, dates, between=between)
    return Searched(asked, search(draw, len(ends) * model.factors), ends, dates, time_grid, still)


def unseen_points(ends: tuple[int, ...], dates: tuple[int, ...], *, between: bool) -> tuple[int, int]:
    """Grid points of the segments that hold the first interval between dates, and of all, where coordinates do not see all of them; else 0.

    Where paths between dates do not matter, segments that are no longer than the intervals see all of it.
    """
    first, last = next(end for end in ends if end >= dates[0]), ends[-1]
    if not between:
        return (0 if first == dates[0] else first), (0 if len(dates) <= len(ends) else last)
    return (0 if first == sum(end <= first for end in ends) else first), (0 if last == len(ends) else last)


def segments(time_grid: tuple[float, ...], dates: tuple[int, ...], count: int, *, between: bool) -> tuple[int, ...]:
    """Grid points up to the end of each of ``count`` segments of time, or fewer.

    The contract's dates, given as grid points up to each, are ends as far as there are no more than ``count``; else as many of them evenly
    numbered. Where paths between dates matter (``between``) and there are fewer dates, the longest segments are halved.
    """
    if len(dates) >= count:
        return tuple(dates[(k + 1) * len(dates) // count - 1] for k in range(count))
    ends, times = sorted(dates), (0.0, *time_grid)
    while between and len(ends) < count:
        parts = [(times[end] - times[start], start, end) for start, end in zip([0, *ends], ends, strict=False) if end - start > 1]
        if not parts:
            break
        _, start, end = max(parts, key=lambda part: (part[0], -part[1]))
        middle = 0.5 * (times[start] + times[end])
        ends = sorted([*ends, min(range(start + 1, end), key=lambda point: abs(times[point] - middle))])
    return tuple(ends)
