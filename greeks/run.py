"""From jobs to answers: what to sample for each contract, and what its moments say."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from greeks.choice import chosen
from greeks.discretisation import add_biases
from greeks.estimators.auto import Chosen
from greeks.estimators.estimator import Estimator, PathEstimator, Recipe
from greeks.estimators.exact import Exact
from greeks.fallback import fall_back
from greeks.greek import Greek
from greeks.resolution import resolve
from pricers.contracts.contract import Contract
from pricers.discretisation import Discretised
from pricers.draws import Observation
from pricers.errors import NotApplicable
from pricers.estimate import Estimate, Moments, Statistics
from pricers.path_plan import Asked, BlockPaths, View
from pricers.paths import Paths
from pricers.plan import Plan
from pricers.requests import Wanted
from pricers.sampling.tilted import Tilted
from pricers.scenario import Scenario
from pricers.simulation import simulate
from pricers.tracing import remembered

__all__ = ["Answer", "Job", "answer", "prepared"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One contract to be differentiated, each Greek by each estimator, on the same paths.

    Attributes
    ----------
    contract : Contract
    scene : Scenario
    greeks : tuple of Greek
    estimators : tuple of Estimator
    stream : str
        Name that random numbers are keyed by.
    lattice : tuple of float, optional
        Times at which random numbers are drawn; by default what the model needs for this contract.
    """

    contract: Contract
    scene: Scenario
    greeks: tuple[Greek, ...]
    estimators: tuple[Estimator, ...]
    stream: str = ""
    lattice: tuple[float, ...] | None = None


@dataclass(slots=True, kw_only=True)
class Answer:
    """What a run says about one job.

    Attributes
    ----------
    estimates : dict
        By (greek name, estimator name).
    refusals : dict
        Why an estimator does not answer, by the same key.
    step_biases : dict
        Size and standard error of the part of an estimate's bias that its model's time steps leave, by the same key.
    """

    estimates: dict[tuple[str, str], Estimate] = field(default_factory=dict)
    refusals: dict[tuple[str, str], NotApplicable] = field(default_factory=dict)
    step_biases: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    _weights: dict[tuple[str, str], FloatArray] = field(default_factory=dict)
    _moments: dict[str, Moments] = field(default_factory=dict)
    _differences: dict[tuple[str, str, str], Statistics | None] | None = None
    _spreads: dict[tuple[str, str], float] = field(default_factory=dict)

    def condense(self, pairs: Iterable[tuple[str, str, str]]) -> None:
        """Keep of the moments, which take ten times the memory of all else, no more than `difference` and `spread` need.

        Afterwards `difference` answers for these pairs only, in either order; `statistics` and `batches` do not answer any more.

        Parameters
        ----------
        pairs : iterable of tuple
            (greek, one estimator, other estimator), as `difference` takes them; both have an estimate.
        """
        self._differences = {pair: self._paired(*pair) for pair in pairs}
        self._spreads = {key: self.statistics(*key).spread for key in self._weights}
        self._weights, self._moments = {}, {}

    def statistics(self, greek: str, estimator: str) -> Statistics:
        """What the paths say of an estimate, whether that tells its error or not."""
        return self._moments[greek].statistics(self._weights[greek, estimator])

    def difference(self, greek: str, one: str, other: str) -> Statistics:
        """Estimate ``one`` less estimate ``other`` on their common paths."""
        gap = self.estimates[greek, one].value - self.estimates[greek, other].value
        if self._differences is None:
            found = self._paired(greek, one, other)
        elif (greek, other, one) in self._differences:
            found = self._differences[greek, other, one]
            found = found._replace(skewness=-found.skewness) if found is not None else None
        else:
            found = self._differences[greek, one, other]
        return found._replace(value=gap) if found is not None else Statistics(gap, 0.0, 0.0, math.inf, math.inf, 0.0)

    def _paired(self, greek: str, one: str, other: str) -> Statistics | None:
        """What the paths say of a difference; None where neither estimate is sampled."""
        sampled = [sign * self._weights[greek, name] for sign, name in ((1, one), (-1, other)) if (greek, name) in self._weights]
        return self._moments[greek].statistics(np.sum(sampled, axis=0)) if sampled else None

    def spread(self, greek: str, estimator: str) -> float:
        """Greatest standard error of a row that the estimate is made of: what rounding is small beside, where rows cancel."""
        if (greek, estimator) in self._weights:
            return self.statistics(greek, estimator).spread
        return self._spreads.get((greek, estimator), 0.0)

    def adopt(self, greek: str, name: str, other: Answer, method: str, note: str) -> None:
        """Take over all that another answer of the same job says of a Greek; what it calls ``method`` makes the number called ``name``."""
        self._moments[greek] = other._moments[greek]
        for key in [key for key in self._weights if key[0] == greek]:
            its = (greek, method if key[1] == name else key[1])
            self._weights[key], self.estimates[key] = other._weights[its], other.estimates[its]
            if its in other.step_biases:
                self.step_biases[key] = other.step_biases[its]
        estimate = self.estimates[greek, name]
        self.estimates[greek, name] = replace(estimate, note=f"{note}; {estimate.note}" if estimate.note else note)

    def batches(self, greek: str, estimator: str) -> tuple[FloatArray, FloatArray]:
        """Batch means of an estimate and the paths in each batch; a closed form has the same value in all (an empty pair)."""
        if (greek, estimator) not in self._weights:
            return np.empty(0), np.empty(0)
        moments = self._moments[greek]
        return moments.batches(self._weights[greek, estimator]), moments.batch_counts


class _Shared:
    """One view for all that are alike in a run, and one object for all equal dates, so that jobs share paths."""

    def __init__(self) -> None:
        self._views: dict[tuple[Scenario, Observation], View] = {}
        self._observations: dict[tuple[tuple[float, ...], tuple[float, ...]], Observation] = {}

    def view(self, scene: Scenario, observed: Observation) -> View:
        key = scene, observed
        if key not in self._views:
            self._views[key] = View(*key)
        return self._views[key]

    def observation(self, times: tuple[float, ...], lattice: tuple[float, ...]) -> Observation:
        if (times, lattice) not in self._observations:
            self._observations[times, lattice] = Observation(times, lattice)
        return self._observations[times, lattice]


class _GreekSampler(Discretised):
    """Rows of one job: a group for each Greek, in it the rows of each path estimator that answers."""

    def __init__(self, job: Job, plan: Plan, shared: _Shared):
        lattice = _lattice(job, plan)
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

    def _add(self, estimator: PathEstimator, greek: Greek, job: Job, plan: Plan, shared: _Shared) -> None:
        if isinstance(estimator, Chosen) and greek.name in estimator.formulas:
            return
        try:
            recipe = estimator.recipe(greek, job.contract, job.scene, plan)
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


def answer(
    jobs: Sequence[Job],
    plan: Plan,
    *,
    threads: int | None = None,
    keep_going: bool = False,
    progress: Callable[[int, int], None] | None = None,
    pilot: bool = False,
) -> list[Answer | Exception]:
    """Every Greek of every job by each of its estimators, on shared paths.

    Parameters
    ----------
    jobs : sequence of Job
    plan : Plan
    threads, keep_going, progress
        See `pricers.simulation.simulate`.
    pilot : bool
        Whether the run is there to choose estimators (see `greeks.resolution.resolve`); the bias of a model's time steps is not measured.

    Returns
    -------
    list
        An `Answer` for each job, or the exception that stopped it (where ``keep_going``).
    """

    def run(pilots: Sequence[Job], small: Plan) -> list[Answer | Exception]:
        return answer(pilots, small, threads=threads, keep_going=True, pilot=True)

    jobs = chosen(jobs, plan, run, partial(prepared, threads=threads))
    jobs = prepared(jobs, plan, threads=threads)
    shared = _Shared()
    samplers = [_sampler(job, plan, shared, keep_going) for job in jobs]
    sampled = {p: sampler for p, sampler in enumerate(samplers) if isinstance(sampler, _GreekSampler) and sampler.recipes}
    simulated = simulate(list(sampled.values()), plan, threads=threads, keep_going=keep_going, progress=progress)
    moments = dict(zip(sampled, simulated, strict=True))
    answers: list[Answer | Exception] = []
    for position, (job, sampler) in enumerate(zip(jobs, samplers, strict=True)):
        if isinstance(sampler, Exception):
            answers.append(sampler)
            continue
        found = moments.get(position, [])
        if isinstance(found, Exception):
            answers.append(found)
            continue
        try:
            answers.append(_answer(job, sampler, found, plan, pilot))
        except Exception as error:
            if not keep_going:
                raise
            answers.append(error)
    if not pilot:
        add_biases(list(zip(jobs, samplers, answers, strict=True)), plan, threads=threads)
        fall_back(jobs, answers, lambda spares: answer(spares, plan, threads=threads, keep_going=True))
    return answers


def prepared(jobs: Sequence[Job], plan: Plan, *, threads: int | None = None) -> list[Job]:
    """The jobs with every estimator after what it has to find out before a run: see `PathEstimator.prepared`."""

    def ready(job: Job) -> Job:
        return replace(job, estimators=tuple(_ready(estimator, job, plan) for estimator in job.estimators))

    waiting = [p for p, job in enumerate(jobs) if any(isinstance(e, PathEstimator) and e.prepares for e in job.estimators)]
    result, workers = list(jobs), min(threads if threads is not None else os.cpu_count() or 1, len(waiting))
    if workers > 1:
        with ThreadPoolExecutor(workers, thread_name_prefix="greeks") as pool:
            found = list(pool.map(ready, (jobs[p] for p in waiting)))
    else:
        found = [ready(jobs[p]) for p in waiting]
    for p, job in zip(waiting, found, strict=True):
        result[p] = job
    return result


def _ready(estimator: Estimator, job: Job, plan: Plan) -> Estimator:
    if not isinstance(estimator, PathEstimator) or not estimator.prepares:
        return estimator
    return estimator.prepared(job.contract, job.scene, plan, stream=job.stream, lattice=_lattice(job, plan))


def _lattice(job: Job, plan: Plan) -> tuple[float, ...]:
    return job.lattice or job.scene.model.lattice(job.contract.times, *plan.steps)


def _sampler(job: Job, plan: Plan, shared: _Shared, keep_going: bool) -> _GreekSampler | Exception:
    try:
        return _GreekSampler(job, plan, shared)
    except Exception as error:
        if not keep_going:
            raise
        return error


def _answer(job: Job, sampler: _GreekSampler, moments: list[Moments], plan: Plan, pilot: bool) -> Answer:
    result = Answer(refusals=dict(sampler.refusals))
    by_name = dict(zip(sampler.greeks, moments, strict=False))
    result._moments.update(by_name)
    for greek in job.greeks:
        for estimator in job.estimators:
            key = greek.name, estimator.name
            if isinstance(estimator, Exact):
                try:
                    value = estimator.value(greek, job.contract, job.scene)
                except NotApplicable as refusal:
                    result.refusals[key] = refusal
                else:
                    result.estimates[key] = by_formula(greek, value)
            elif isinstance(estimator, Chosen) and greek.name in estimator.formulas:
                result.estimates[key] = by_formula(greek, estimator.formulas[greek.name])
            elif key in sampler.recipes:
                result._weights[key], result.estimates[key] = _sampled(
                    job, greek, estimator, sampler, by_name[greek.name], plan, pilot
                )
    return result


def _sampled(
    job: Job, greek: Greek, estimator: Estimator, sampler: _GreekSampler, moments: Moments, plan: Plan, pilot: bool
) -> tuple[FloatArray, Estimate]:
    """What the rows of an estimator say, and how they are weighted."""
    recipe, row = sampler.recipes[greek.name, estimator.name], sampler.rows[estimator.name]
    method = estimator.method(greek.name) if isinstance(estimator, Chosen) else estimator
    found = resolve(moments, row, recipe, greek, job.contract, job.scene, plan.paths, pilot=pilot)
    statistics, doubt = found.statistics, _doubt(moments, row, recipe)
    if doubt:
        statistics = statistics._replace(stderr=math.nan)
    bias, bias_stderr = _bias(moments, row + 1 + recipe.controls, recipe, statistics.value)
    return found.weights, Estimate(
        greek=greek.name,
        value=statistics.value,
        stderr=statistics.stderr,
        paths=plan.paths,
        unit=greek.unit,
        estimator=(method or estimator).name,
        note="; ".join(note for note in (recipe.note, doubt, found.note) if note),
        bias=bias,
        bias_stderr=bias_stderr,
        skewness=statistics.skewness,
        degrees=statistics.degrees,
        effective=statistics.effective,
    )


def _doubt(group: Moments, row: int, recipe: Recipe) -> str:
    """Why the error of a reweighted estimate is not known; "" where it is."""
    if recipe.reweighting is None:
        return ""
    return recipe.reweighting.verdict(group, row + recipe.rows - recipe.reweighting.rows)


def _bias(group: Moments, row: int, recipe: Recipe, value: float) -> tuple[float, float]:
    """Size of the bias, by the rows that measure it from ``row`` on, and its standard error."""
    size, variance = recipe.relative_bias * abs(value), 0.0
    for count in recipe.bias_rows:
        alone = [group.only(r) for r in range(row, row + count)]
        means = [abs(group.value(weights)) for weights in alone]
        largest = max(range(count), key=means.__getitem__)
        size, variance, row = size + means[largest], variance + group.stderr(alone[largest]) ** 2, row + count
    return size, math.sqrt(variance)


def by_formula(greek: Greek, value: float) -> Estimate:
    """A formula's number as an estimate."""
    return Estimate(greek=greek.name, value=value, stderr=0.0, paths=0, unit=greek.unit, estimator=Exact.name)
