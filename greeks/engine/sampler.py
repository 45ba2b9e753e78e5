"""From a task to rows: what each estimator samples for each Greek, on paths that the tasks of a run share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from greeks.engine.tasks import GreekTask
from greeks.estimators.auto import Chosen
from greeks.estimators.base import PathEstimator, SampleSpec
from greeks.greek import Greek
from pricers.engine.discretisation import Discretised
from pricers.engine.path_plan import Asked, BlockPaths, View
from pricers.engine.plan import Plan
from pricers.errors import NotApplicable
from pricers.models.scenario import Scenario
from pricers.paths.paths import Paths
from pricers.paths.requests import Wanted
from pricers.paths.tracing import remembered
from pricers.random_numbers.path_block import ObservationDates
from pricers.random_numbers.tilted import Tilted

__all__ = ["GreekSampler", "Shared"]

FloatArray = npt.NDArray[np.float64]


class Shared:
    """One view for all that are alike in a run, and one object for all equal dates, so that tasks share paths."""

    def __init__(self) -> None:
        self._views: dict[tuple[Scenario, ObservationDates], View] = {}
        self._observations: dict[tuple[tuple[float, ...], tuple[float, ...]], ObservationDates] = {}

    def view(self, scenario: Scenario, dates: ObservationDates) -> View:
        """The one view of a scenario at some dates."""
        key = scenario, dates
        if key not in self._views:
            self._views[key] = View(*key)
        return self._views[key]

    def observation(self, times: tuple[float, ...], time_grid: tuple[float, ...]) -> ObservationDates:
        """The one place of some dates on a time grid."""
        if (times, time_grid) not in self._observations:
            self._observations[times, time_grid] = ObservationDates(times, time_grid)
        return self._observations[times, time_grid]


class GreekSampler(Discretised):
    """Rows of one task: a group for each Greek, in it the rows of each path estimator that answers."""

    def __init__(self, task: GreekTask, plan: Plan, shared: Shared):
        time_grid = task.grid(plan)
        self.stream, self.time_grid, self.factors = task.stream, time_grid, task.scenario.model.factors
        self.dates = shared.observation(task.contract.times, time_grid)
        self.refusals: dict[tuple[str, str], NotApplicable] = {}
        self.sample_specs: dict[tuple[str, str], SampleSpec] = {}
        self.views: dict[tuple[str, str], tuple[View, ...]] = {}
        self.asked: tuple[Asked, ...] = ()
        self.greeks = tuple(greek.name for greek in task.greeks)
        task.contract.check_payoff(spot=task.scenario.market.spot, vol=task.scenario.model.scale("vol"))
        for estimator in task.estimators:
            if isinstance(estimator, PathEstimator):
                for greek in task.greeks:
                    self._add(estimator, greek, task, plan, shared)
        self.rows: dict[str, int] = {}
        width = 0
        for name in dict.fromkeys(name for _, name in self.sample_specs):
            self.rows[name] = width
            width += max(sample_spec.rows for (_, other), sample_spec in self.sample_specs.items() if other == name)
        self.shape = (len(task.greeks), width)
        self.places = [
            (self.greeks.index(key[0]), self.rows[key[1]], sample_spec, self.views[key])
            for key, sample_spec in self.sample_specs.items()
        ]
        filled = np.zeros(self.shape, dtype=bool)
        for group, row, sample_spec, _ in self.places:
            filled[group, row : row + sample_spec.rows] = True
        self.gaps = [(int(group), int(row)) for group, row in np.argwhere(~filled)]

    def _add(self, estimator: PathEstimator, greek: Greek, task: GreekTask, plan: Plan, shared: Shared) -> None:
        if isinstance(estimator, Chosen) and greek.name in estimator.formulas:
            return
        try:
            sample_spec = estimator.checked_spec(greek, task.contract, task.scenario, plan)
        except NotApplicable as refusal:
            self.refusals[greek.name, estimator.name] = refusal
        else:
            views = tuple(shared.view(scenario, self.dates) for scenario in sample_spec.scenarios)
            laws = _laws(sample_spec, estimator, greek.name, task)
            self.asked += tuple(Asked(view=view, wanted=wanted, law=law) for law, wanted in laws for view in views)
            self.sample_specs[greek.name, estimator.name] = sample_spec
            self.views[greek.name, estimator.name] = views

    def sample(self, paths: BlockPaths, out: FloatArray) -> None:
        """See `Sampler.sample`."""
        for group, row in self.gaps:
            out[group, row] = 0.0
        for group, row, sample_spec, views in self.places:
            rows, reweighting = out[group, row : row + sample_spec.rows], sample_spec.reweighting
            if reweighting is None or reweighting.sampling is None:
                sample_spec.samples(tuple(map(paths.of, views)), rows)
            else:
                tilted = paths.under(reweighting.sampling)
                drawn = tuple(map(tilted.of, views))
                sample_spec.samples(drawn, rows)
                still: tuple[Paths, ...] = ()
                if reweighting.still is not None:
                    still = tuple(map(tilted.under(reweighting.still).of, views))
                reweighting.apply(drawn, still, tilted.block, rows)


def _laws(
    sample_spec: SampleSpec, estimator: PathEstimator, greek: str, task: GreekTask
) -> tuple[tuple[Tilted | None, Wanted], ...]:
    """The laws that a sample specification's paths are drawn from (None: the plan's), and what is asked of each."""
    wanted, other = _wanted(sample_spec, estimator, greek, task), sample_spec.reweighting
    if other is None:
        return ((None, wanted),)
    own = other.sampling, wanted | other.wanted
    return (own,) if other.still is None else (own, (other.still, other.still_wanted))


def _wanted(sample_spec: SampleSpec, estimator: PathEstimator, greek: str, task: GreekTask) -> Wanted:
    """What a sample specification asks of its paths."""
    scenario, contract = task.scenario, task.contract
    method = (estimator.method(greek) if isinstance(estimator, Chosen) else None) or estimator

    def trace() -> Wanted:
        return scenario.trace(sample_spec.traced, contract.times, len(sample_spec.scenarios))

    return remembered((method, greek, sample_spec.rows, len(sample_spec.scenarios), type(scenario.model)), contract, trace)
