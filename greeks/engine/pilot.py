"""Pilot runs: from `Auto` to the estimators it stands for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from greeks.engine.tasks import GreekResult, GreekTask
from greeks.estimators.auto import Auto, Best, Chosen, Ranked
from greeks.estimators.base import PathEstimator
from greeks.estimators.controlled import Controlled
from pricers.engine.estimate import LEAST_EFFECTIVE, Estimate, Statistics
from pricers.engine.plan import Plan
from pricers.errors import NotApplicable
from pricers.exact import exact_greeks
from pricers.random_numbers.pseudo_random import Automatic
from pricers.random_numbers.sobol import Sobol

__all__ = ["chosen", "nominal_cost", "sampling"]

Run = Callable[[Sequence["GreekTask"], Plan], Sequence["GreekResult | Exception"]]
Prepare = Callable[[Sequence["GreekTask"], Plan], Sequence["GreekTask"]]
Rankings = dict[str, tuple[Ranked, ...]]
"""By Greek, best first."""

_FIRST, _SECOND = 0.05, 0.1
"""What a round may cost, as a part of the cheapest run that it may choose: the first, in which all candidates are, and the second, between
those that may be best."""

_BLIND = 0.25
"""What further rounds may cost where no candidate's error is known yet."""

_GROWTH = 4
"""How many times as many paths such a round has."""

_EVEN, _MOST_SAMPLING = 0.06, 2**14
"""What a pilot on Sobol points may cost, as a part of the cheapest run that it may choose, and how many points it has at most."""

_SMOOTH = 0.5
"""With what power of the number of points a smooth method's variance falls beyond that of independent paths, at least."""

_SCRAMBLES, _POINTS = (8, 16), 256
"""Scrambles of such a pilot, where few points are allowed and where more are; the fewest points of each."""

_NEAR, _GAINED = 64.0, 1.0
"""How much more than the best on independent paths a candidate may cost there and still be tried on Sobol points; below which part of that
variance times cost these are taken: more points than the pilot has leave a smaller part."""

_FEWEST = 1024
"""Paths of a first round, whatever it costs: with fewer a variance is not known at all."""

_CONTENDS = 4.0
"""How much more than the best of the first round a candidate may cost and still be in the second."""

_REGRET = 0.1
"""How much more than another a choice may cost, by what is known of the variances, before another round is run."""

_ROUND = 1.5e6
"""Nominal nanoseconds of a round of any size."""

_PER_PATH = 15.0
"""Nominal nanoseconds of a path of any model: its moments and its share of what a block takes."""

_PER_POINT, _PER_NORMAL = 10.0, 8.0
"""What a path from a Sobol point takes beyond one of independent normals, and each of its normals. (Measured: with few dates such a path
takes three times as long.)"""

_SEEN, _CARRIED = 4.0, 60.0
"""How many paths of the pilot, and by that of the run, must carry a number for its error to be known in the end."""

_FEW, _FEWEST_RARE = 300.0, 2**12
"""With fewer paths of the run carrying a Greek a search for a better law is tried; paths of its pilot, and of the smallest such run."""

_UNSEEN = 30.0
"""How much smaller than they are a pilot may take the variances that controls leave of a payoff that jumps: controls explain it except
on the paths that jump, and few of these are in a pilot. (Measured: barriers that one path in a thousand touches.)"""

_ROUNDING = 1e-12
"""Relative standard errors below this are rounding."""


def chosen(tasks: Sequence[GreekTask], plan: Plan, run: Run, prepare: Prepare) -> list[GreekTask]:
    """The tasks with every `Auto` and `Best` replaced by what was chosen for it.

    ``run`` is how pilots are run, ``prepare`` how estimators are prepared that need it (`PathEstimator.prepared`).
    """
    wanting = [
        (p, e, _formulas(tasks[p], e)) for p, task in enumerate(tasks) for e in task.estimators if isinstance(e, Auto | Best)
    ]
    left = {p: tuple(g for g in tasks[p].greeks if g.name not in known) for p, _, known in wanting}
    asked = [replace(task, greeks=left.get(p, task.greeks)) for p, task in enumerate(tasks)]
    tried = {p: tuple(c for c in _auto(e).candidates if _answers(c, asked[p], plan)) for p, e, _ in wanting if left[p]}
    rankings: dict[int, Rankings | Exception] = {p: {g.name: () for g in left[p]} for p, able in tried.items() if not able}
    tried = {p: able for p, able in tried.items() if able}
    if tried:
        rankings |= _compared(asked, tried, plan, {p: _auto(e).pilot for p, e, _ in wanting}, run)
        rivals = {p: rival for p, e, _ in wanting if p in tried and (rival := _auto(e).rare) is not None}
        _rare_events(asked, rivals, rankings, plan, run, prepare)
    result = list(tasks)
    for p, estimator, known in wanting:
        found = rankings.get(p, {})
        failed = found if isinstance(found, Exception) else None
        choice = Chosen(estimator.name, {} if isinstance(found, Exception) else found, known, failed)
        result[p] = replace(result[p], estimators=tuple(choice if e is estimator else e for e in result[p].estimators))
    return result


def sampling(task: GreekTask, plan: Plan, run: Run) -> tuple[GreekTask, Plan]:
    """The task and the plan with scrambled Sobol points, where the plan leaves the sampling open and a pilot finds a better pair with them.

    Which method is best depends on the sampling. The candidates that are near the best on independent paths run on Sobol points, on as many
    as a part of the run's time allows. For each Greek the best of them there is compared with the best on independent paths, by variance
    times cost. Sobol points are taken, with the methods that are best there, where the geometric mean of these ratios over the Greeks is
    below 1 and none is above 1.5; a Greek whose error is not known on either side rules them out.
    """
    (chosen,), points = task.estimators, Sobol()
    if not (isinstance(plan.sampling, Automatic) and isinstance(chosen, Chosen)):
        return task, plan
    before = {g.name: chosen.ranking.get(g.name, ()) for g in task.greeks}
    rankings = {name: ranking for name, ranking in before.items() if ranking and not math.isinf(ranking[0].effective)}
    greeks = tuple(g for g in task.greeks if g.name in rankings)  # those with an error to be made smaller
    if not greeks or points.fitting(plan.paths) != plan.paths or not all(ranking[0].known for ranking in rankings.values()):
        return task, plan
    tried, small = _even_pilot(task, rankings, plan)
    if small.paths > plan.paths / 8:
        return task, plan
    asked = replace(task, greeks=greeks)
    found = _piloted([asked], {0: tried}, small, {0: small.paths}, run, stream="even pilot", paths=plan.paths)[0]
    if isinstance(found, Exception):
        return task, plan
    even = {name: _with_more_points(found[name], rankings[name], task, plan, small) for name in rankings}
    ratios = [_gain(even[name], ranking[0]) for name, ranking in rankings.items()]
    gained = math.exp(sum(map(math.log, ratios)) / len(ratios)) if min(ratios) > 0.0 else 0.0
    if gained >= _GAINED or max(ratios) > 1.5:
        return task, plan
    note = f"on scrambled Sobol points: about x{gained:.2g} in variance times cost"
    settled = replace(chosen, ranking={**chosen.ranking, **_behind(even, rankings)}, sampling=note)
    return replace(task, estimators=(settled,)), replace(plan, sampling=points)


def _even_pilot(task: GreekTask, rankings: Rankings, plan: Plan) -> tuple[tuple[PathEstimator, ...], Plan]:
    """Candidates for a pilot on Sobol points, the best of each Greek and those near them that time allows, and its plan.

    A method that integrates part of the path in closed form may take twice as much, since points gain most there. The pilot has few
    scrambles of many points rather than the reverse: what a scramble's points leave falls faster than one over their number,
    and each scramble takes a time of its own.
    """
    simulated, even, works = _simulated(task, plan), _simulated(task, replace(plan, sampling=Sobol())), dict[str, float]()
    near = [
        (ranked.score / max(ranking[0].score, 1e-300) if ranked is not ranking[0] else 0.0, ranked.estimator)
        for ranking in rankings.values()
        for ranked in ranking
        if ranked.known
    ]
    tried, least, size = dict[str, PathEstimator](), _SCRAMBLES[0] * _POINTS, 0.0
    for distance, candidate in sorted(near, key=lambda pair: (pair[0], pair[1].name)):
        more = works | {candidate.name: candidate.cost_ns(task.contract)}
        allowed = _EVEN * plan.paths * (simulated + min(more.values())) / (even + sum(more.values()))
        if distance == 0.0 or (distance <= _NEAR and allowed >= (0.5 if candidate.structural else 1.0) * least):
            tried[candidate.name], works, size = candidate, more, allowed
    scrambles = _SCRAMBLES[0] if size < 2 * _SCRAMBLES[1] * _POINTS else _SCRAMBLES[1]
    points = min(max(_rounded(round(size / scrambles)), _POINTS), _MOST_SAMPLING // scrambles)
    return tuple(tried.values()), replace(plan, sampling=Sobol(scrambles=scrambles), paths=scrambles * points, stderr=None)


def _with_more_points(
    found: tuple[Ranked, ...], independent: tuple[Ranked, ...], task: GreekTask, plan: Plan, small: Plan
) -> tuple[Ranked, ...]:
    """Scores on as many points in a scramble as the run will have, best first.

    With n points a variance is G(n) times that of independent paths. G is taken to be a power of n that is one for n = 1 and as measured
    for the pilot's n. A method that integrates part of the path in closed form is smooth in the normals that are left, and its G falls at
    least like the root of n from there on. (Measured: like 1/n for Asian options by preintegration, where the pilot's points show no gain.)
    Of other methods the variance, which few scrambles tell badly, is taken to be larger by its relative standard error.
    """
    before = {ranked.estimator.name: ranked for ranked in independent}
    simulated, even = _simulated(task, plan), _simulated(task, small)
    points = float(small.sampling.batch(small.paths) or small.paths)
    more = max(plan.paths / Sobol().scrambles / points, 1.0)
    doubt = 1.0 + math.sqrt(2.0 * points / (small.paths - points))
    result = []
    for ranked in found:
        cost_ns, score, known = ranked.estimator.cost_ns(task.contract), ranked.score, before.get(ranked.estimator.name)
        score *= 1.0 if ranked.estimator.structural else doubt
        if known is not None and known.known and 0.0 < known.score < math.inf and score > 0.0:
            gain = (score / (even + cost_ns)) / (known.score / (simulated + cost_ns))
            score *= more ** -max(-math.log(gain) / math.log(points), _SMOOTH if ranked.estimator.structural else 0.0)
        result.append(replace(ranked, score=score, even=True))
    return tuple(sorted(result, key=_rank))


def _gain(even: tuple[Ranked, ...], independent: Ranked) -> float:
    """Variance times cost of the best on Sobol points over that of the best on independent paths; infinite where it is not known."""
    if not (even and even[0].known):
        return math.inf
    return even[0].score / independent.score if independent.score > 0.0 else 1.0


def _auto(estimator: Auto | Best) -> Auto:
    return estimator.auto if isinstance(estimator, Best) else estimator


def _formulas(task: GreekTask, estimator: Auto | Best) -> dict[str, float]:
    """The Greeks that have a formula, where it may be taken; one that breaks down is none."""
    if isinstance(estimator, Auto):
        return {}
    try:
        found = exact_greeks(task.contract, task.scenario.model, task.scenario.market)
    except (NotApplicable, ArithmeticError, ValueError):
        return {}
    return {g.name: found[g.name] for g in task.greeks if math.isfinite(found.get(g.name, math.nan))}


def _compared(
    tasks: Sequence[GreekTask], tried: dict[int, tuple[PathEstimator, ...]], plan: Plan, most: Mapping[int, int], run: Run
) -> dict[int, Rankings | Exception]:
    """Rankings after a round of pilots, a second between those near the best, and more where no error is known yet.

    How many paths a task's rounds have is for that task alone to say: another task beside it changes neither its pilots nor its choice.
    """
    sizes = {p: _rounded(min(max(_affordable(tasks[p], able, plan), _FEWEST), most[p])) for p, able in tried.items()}
    rankings = _piloted(tasks, tried, plan, sizes, run)
    close = {p: _contenders(found, tried[p]) for p, found in rankings.items() if not isinstance(found, Exception)}
    decisive = {p: _rounded(min(_decisive(tasks[p], near, plan), most[p])) for p, near in close.items() if len(near) > 1}
    second = {p: size for p, size in decisive.items() if size >= 1.5 * sizes[p]}  # with fewer paths it would know no better
    if second:
        _update(rankings, _piloted(tasks, {p: close[p] for p in second}, plan, second, run))
    sizes = {p: size * _GROWTH for p, size in (sizes | second).items()}
    while blind := {p: tried[p] for p, found in rankings.items() if sizes[p] <= _BLIND * plan.paths and _blind(found)}:
        _update(rankings, _piloted(tasks, blind, plan, sizes, run))
        sizes |= {p: sizes[p] * _GROWTH for p in blind}
    return rankings


def _rare_events(
    tasks: Sequence[GreekTask],
    rivals: dict[int, PathEstimator],
    rankings: dict[int, Rankings | Exception],
    plan: Plan,
    run: Run,
    prepare: Prepare,
) -> None:
    """Rank the rivals, which are prepared for it, among the candidates of tasks that rest on few paths."""
    rare = [p for p in rivals if plan.paths >= _FEWEST_RARE and _rests_on_few(rankings[p])]
    ready = prepare([replace(tasks[p], estimators=(rivals[p],)) for p in rare], plan) if rare else []
    tried = {p: tuple(e for e in task.estimators if isinstance(e, PathEstimator)) for p, task in zip(rare, ready, strict=True)}
    for p, found in _piloted(tasks, tried, plan, dict.fromkeys(tried, _FEWEST_RARE), run).items():
        before = rankings[p]
        if not isinstance(found, Exception) and not isinstance(before, Exception):  # a search that fails leaves what there was
            rankings[p] = {g: tuple(sorted((*found.get(g, ()), *ranking), key=_rank)) for g, ranking in before.items()}


def _rests_on_few(found: Rankings | Exception) -> bool:
    """Whether by the best candidate few paths, or nobody knows how many, carry some Greek."""
    return not isinstance(found, Exception) and any(
        ranking and not (ranking[0].known and ranking[0].effective >= _FEW) for ranking in found.values()
    )


def _rounded(size: int) -> int:
    """Down to a power of two, so that tasks of about the same size share a run."""
    return 1 << (max(size, 1).bit_length() - 1)


def _blind(found: Rankings | Exception) -> bool:
    """Whether of some Greek no candidate's error is known."""
    return not isinstance(found, Exception) and any(
        ranking and not any(ranked.known for ranked in ranking) for ranking in found.values()
    )


def _update(rankings: dict[int, Rankings | Exception], found: dict[int, Rankings | Exception]) -> None:
    """Rankings of a further round take the place of those before; candidates that were not in it any more come behind."""
    for p, latest in found.items():
        before = rankings[p]
        assert not isinstance(before, Exception)
        rankings[p] = latest if isinstance(latest, Exception) else _behind(latest, before)


def _answers(candidate: PathEstimator, task: GreekTask, plan: Plan) -> bool:
    try:
        return any(candidate.refusal(greek, task.contract, task.scenario, plan) is None for greek in task.greeks)
    except Exception:  # what is wrong with the task is for its own run to say
        return True


def _behind(found: Rankings, before: Rankings) -> Rankings:
    result = {}
    for greek, ranking in found.items():
        names = {ranked.estimator.name for ranked in ranking}
        result[greek] = ranking + tuple(ranked for ranked in before[greek] if ranked.estimator.name not in names)
    return result


def _piloted(
    tasks: Sequence[GreekTask],
    tried: dict[int, tuple[PathEstimator, ...]],
    plan: Plan,
    sizes: Mapping[int, int],
    run: Run,
    *,
    stream: str = "pilot",
    paths: int | None = None,
) -> dict[int, Rankings | Exception]:
    """Rankings by pilots of each task's number of paths, for a run of the plan's paths; tasks with the same number share a run."""
    rankings: dict[int, Rankings | Exception] = {}
    for size in sorted({sizes[p] for p in tried}):
        alike = {p: candidates for p, candidates in tried.items() if sizes[p] == size}
        pilots = [replace(tasks[p], estimators=able, stream=f"{stream} {tasks[p].stream}") for p, able in alike.items()]
        small = replace(plan, paths=min(plan.sampling.fitting(size), plan.paths), stderr=None)
        for (p, candidates), found in zip(alike.items(), run(pilots, small), strict=True):
            if isinstance(found, Exception):
                rankings[p] = found
            else:
                rankings[p] = {
                    g.name: _ranked(tasks[p], candidates, g.name, found, plan, paths or plan.paths) for g in tasks[p].greeks
                }
    return rankings


def _contenders(rankings: Rankings, candidates: tuple[PathEstimator, ...]) -> tuple[PathEstimator, ...]:
    """Those of which a further round may tell something: nothing is known yet, or the ranking is not clear.

    Of a variance that about n paths carry, the relative standard error is one over the root of n. A ranking is clear where the best
    of the first round, at twice that error, would cost at most `_REGRET` more than any other.
    """
    open_ = set[str]()
    for ranking in rankings.values():
        best = ranking[0] if ranking else None
        for ranked in ranking:
            if not ranked.known or best is None or not best.known:
                open_.add(ranked.estimator.name)
            elif ranked is not best and ranked.score <= _CONTENDS * best.score:
                doubt = 2.0 * math.hypot(best.doubt, ranked.doubt)
                if best.score * (1.0 + doubt) > (1.0 + _REGRET) * ranked.score:
                    open_ |= {best.estimator.name, ranked.estimator.name}
    if open_:
        open_ |= {ranking[0].estimator.name for ranking in rankings.values() if ranking}
    return tuple(candidate for candidate in candidates if candidate.name in open_)


def _affordable(task: GreekTask, candidates: tuple[PathEstimator, ...], plan: Plan) -> int:
    """Paths of a first round."""
    simulated = _simulated(task, plan)
    return round(_FIRST * plan.paths * simulated / (simulated + sum(c.cost_ns(task.contract) for c in candidates)))


def _decisive(task: GreekTask, candidates: tuple[PathEstimator, ...], plan: Plan) -> int:
    """Paths of a second round."""
    simulated, works = _simulated(task, plan), [c.cost_ns(task.contract) for c in candidates]
    return round((_SECOND * plan.paths * (simulated + min(works)) - _ROUND) / (simulated + sum(works)))


def nominal_cost(task: GreekTask, candidate: PathEstimator, plan: Plan) -> float:
    """Nominal nanoseconds of a path of a task by one method, its simulation included."""
    return _simulated(task, plan) + candidate.cost_ns(task.contract)


def _simulated(task: GreekTask, plan: Plan) -> float:
    """Nominal nanoseconds of a path itself."""
    model, times = task.scenario.model, task.contract.times
    by_point, by_date = model.cost_ns
    grid_points = len(model.time_grid(times, *plan.steps))
    beyond = 0.0 if plan.sampling.independent else _PER_POINT + _PER_NORMAL * grid_points * model.factors
    return _PER_PATH + by_point * grid_points + by_date * len(times) + beyond


def _ranked(
    task: GreekTask, candidates: tuple[PathEstimator, ...], greek: str, found: GreekResult, plan: Plan, paths: int
) -> tuple[Ranked, ...]:
    """Best first: by variance times cost those whose error the run will know, then the others, structural ones first."""
    simulated = _simulated(task, plan)
    scored = []
    for candidate in candidates:
        estimate = found.estimates.get((greek, candidate.name))
        if estimate is not None:
            known = estimate.resolved or _foreseen(estimate, paths)
            statistics = found.statistics(greek, candidate.name)
            score = _variance(statistics, estimate) * (simulated + candidate.cost_ns(task.contract))
            if task.contract.discontinuous and isinstance(candidate, Controlled) and not candidate.structural:
                score *= _UNSEEN
            sure = estimate.resolved and statistics.stderr <= _ROUNDING * abs(statistics.value)
            effective = math.inf if sure else estimate.effective * paths / estimate.paths
            doubt = 1.0 / math.sqrt(estimate.effective) if estimate.effective > 0.0 else math.inf
            scored.append(Ranked(candidate, score if math.isfinite(score) else math.inf, known, effective, doubt))
    return tuple(sorted(scored, key=_rank))


def _foreseen(estimate: Estimate, paths: int) -> bool:
    """Whether a run of so many paths will know the error, by what a pilot saw."""
    return estimate.effective >= _SEEN and estimate.effective * paths / estimate.paths >= _CARRIED


def _variance(found: Statistics, estimate: Estimate) -> float:
    """Of a path's number; where few paths carry it, it may well be larger than they say."""
    doubt = 1.0 if estimate.resolved else max(LEAST_EFFECTIVE / found.effective, 1.0)
    return (
        max(doubt * found.stderr, _ROUNDING * abs(found.value)) ** 2 * estimate.paths
    )  # without an error, what takes least is best


def _rank(ranked: Ranked) -> tuple[bool, bool, float]:
    return not ranked.known, not ranked.known and not ranked.estimator.structural, ranked.score
