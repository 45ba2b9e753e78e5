"""From a task to rows: what each estimator samples for each Greek, on paths that the tasks of a run share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from greeks.engine.tasks import Job
from greeks.estimators.auto import Chosen
from greeks.estimators.base import PathEstimator, Recipe
from greeks.greek import Greek
from pricers.engine.discretisation import Discretised
from pricers.engine.path_plan import Asked, BlockPaths, View
from pricers.engine.plan import Plan
from pricers.errors import NotApplicable
from pricers.models.scenario import Scenario
from pricers.paths.paths import Paths
from pricers.paths.requests import Wanted
from pricers.paths.tracing import remembered
from pricers.random_numbers.path_block import Observation
from pricers.random_numbers.tilted import Tilted

__all__ = ["GreekSampler", "Shared"]

FloatArray = npt.NDArray[np.float64]


class Shared:
    """One view for all that are alike in a run, and one object for all equal dates, so that jobs share paths."""

    def __init__(self) -> None:
        self._views: dict[tuple[Scenario, Observation], View] = {}
        self._observations: dict[tuple[tuple[float, ...], tuple[float, ...]], Observation] = {}

    def view(self, scene: Scenario, observed: Observation) -> View:
        """The one view of a scenario at some dates."""
        key = scene, observed
        if key not in self._views:
            self._views[key] = View(*key)
        return self._views[key]

    def observation(self, times: tuple[float, ...], lattice: tuple[float, ...]) -> Observation:
        """The one place of some dates on a time grid."""
        if (times, lattice) not in self._observations:
            self._observations[times, lattice] = Observation(times, lattice)
        return self._observations[times, lattice]


class GreekSampler(Discretised):
    """Rows of one job: a group for each Greek, in it the rows of each path estimator that answers."""

    def __init__(self, job: Job, plan: Plan, shared: Shared):
        lattice = job.grid(plan)
        self.stream, self.lattice, self.factors = job.stream, lattice, job.scene.model.factors
        self.observed = shared.observation(job.contract.times, lattice)
        self.refusals: dict[tuple[str, str], NotApplicable] = {}
        self.recipes: dict[tuple[str, str], Recipe] = {}
        self.views: dict[tuple[str, str], tuple[View, ...]] = {}
        self.greeks = tuple(greek.name for greek in job.greeks)
        job.contract.check_payoff(spot=job.scene.market.spot, vol=job.scene.model.scale("vol"))
        for estimator in job.estimators:
            if isinstance(estimator, PathEstimator):
                for greek in job.greeks:
                    self._add(estimator, greek, job, plan, shared)
        self.rows: dict[str, int] = {}
        width = 0
        for name in dict.fromkeys(name for _, name in self.recipes):
            self.rows[name] = width
            width += max(recipe.rows for (_, other), recipe in self.recipes.items() if other == name)
        self.shape = (len(job.greeks), width)
        self.places = [
            (self.greeks.index(key[0]), self.rows[key[1]], recipe, self.views[key]) for key, recipe in self.recipes.items()
        ]
        filled = np.zeros(self.shape, dtype=bool)
        for group, row, recipe, _ in self.places:
            filled[group, row : row + recipe.rows] = True
        self.gaps = [(int(group), int(row)) for group, row in np.argwhere(~filled)]
        self.asked = tuple(
            Asked(view=view, wanted=wanted, law=law)
            for key, recipe in self.recipes.items()
            for law, wanted in _laws(recipe, *key, job)
            for view in self.views[key]
        )

    def _add(self, estimator: PathEstimator, greek: Greek, job: Job, plan: Plan, shared: Shared) -> None:
        if isinstance(estimator, Chosen) and greek.name in estimator.formulas:
            return
        try:
            recipe = estimator.checked_recipe(greek, job.contract, job.scene, plan)
        except NotApplicable as refusal:
            self.refusals[greek.name, estimator.name] = refusal
        else:
            self.recipes[greek.name, estimator.name] = recipe
            self.views[greek.name, estimator.name] = tuple(shared.view(scene, self.observed) for scene in recipe.scenes)

    def sample(self, paths: BlockPaths, out: FloatArray) -> None:
        """See `Sampler.sample`."""
        for group, row in self.gaps:
            out[group, row] = 0.0
        for group, row, recipe, views in self.places:
            rows, reweighting = out[group, row : row + recipe.rows], recipe.reweighting
            if reweighting is None or reweighting.sampling is None:
                recipe.samples(tuple(map(paths.of, views)), rows)
            else:
                tilted = paths.under(reweighting.sampling)
                drawn = tuple(map(tilted.of, views))
                recipe.samples(drawn, rows)
                still: tuple[Paths, ...] = ()
                if reweighting.still is not None:
                    still = tuple(map(tilted.under(reweighting.still).of, views))
                reweighting.apply(drawn, still, tilted.block, rows)


def _laws(recipe: Recipe, greek: str, estimator: str, job: Job) -> tuple[tuple[Tilted | None, Wanted], ...]:
    """The laws that a recipe's paths are drawn from (None: the plan's), and what is asked of each."""
    wanted, other = _wanted(recipe, greek, estimator, job), recipe.reweighting
    if other is None:
        return ((None, wanted),)
    own = other.sampling, wanted | other.wanted
    return (own,) if other.still is None else (own, (other.still, other.still_wanted))


def _wanted(recipe: Recipe, greek: str, estimator: str, job: Job) -> Wanted:
    """What a recipe asks of its paths."""
    scene, contract = job.scene, job.contract
    (method,) = (e for e in job.estimators if e.name == estimator)
    method = (method.method(greek) if isinstance(method, Chosen) else None) or method

    def trace() -> Wanted:
        return scene.trace(recipe.traced, contract.times, len(recipe.scenes))

    return remembered((method, greek, recipe.rows, len(recipe.scenes), type(scene.model)), contract, trace)
