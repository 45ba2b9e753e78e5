"""A user's own payoff: terms by name, a first run in plain Python, bounds, exceptions with their line, jumps and gradients."""

import copy
import functools
import inspect
import math
import pickle
import subprocess
import sys

import numba
import numpy as np
import pytest

from pricers import GBM, InvalidInput, Market, NotApplicable, PathFunction, Plan, price, schedule
from pricers.contracts.own_payoffs.compiled import compiled
from pricers.paths.discounting import Discounting
from pricers.paths.paths import Law, Paths

MARKET, MODEL, PLAN = Market(spot=100.0, rate=0.05, dividend=0.02), GBM(vol=0.2), Plan(paths=2**12, seed=3)
MONTHLY = schedule(12, 1.0)
SPOTS = 100.0 * np.exp(np.cumsum(0.06 * np.random.default_rng(8).standard_normal((12, 40)), axis=0))


class Written(Law):
    def score(self, parameters):
        raise AssertionError

    def tangent(self, parameter):
        raise AssertionError


def paths(spot=SPOTS, start=None):
    return Paths(
        times=np.array(MONTHLY),
        n_paths=spot.shape[1],
        spot=lambda: spot,
        discounting=Discounting((1.0,), (0.0,)),
        law=Written(),
        initial_spot=start,
    )


def paid(function, spot=SPOTS, *, start=None, times=MONTHLY, **given):
    return PathFunction(function, times=times, **given).payoff(paths(spot, start))


def refused(function, *, match, kind=InvalidInput, **given):
    """What `price` says of a contract; it must say so before any path is simulated."""
    with pytest.raises(kind, match=match) as caught:
        price(PathFunction(function, times=MONTHLY, **given), MODEL, MARKET, plan=PLAN)
    return caught.value


def line_of(function, text):
    """File and line where ``text`` first stands in a function, as messages show it."""
    lines, first = inspect.getsourcelines(function)
    return f'file "{__file__}", line {first + next(k for k, line in enumerate(lines) if text in line)}'


# terms


def collar(path, cap, floor):
    return min(max(path[-1] - 100.0, floor), cap)


COLLAR = np.clip(SPOTS[-1] - 100.0, -5.0, 10.0)


def test_terms_bind_by_name_whatever_their_order():
    assert paid(collar, floor=-5.0, cap=10.0) == pytest.approx(COLLAR, rel=1e-14)
    assert paid(collar, cap=10.0, floor=-5.0) == pytest.approx(COLLAR, rel=1e-14)
    assert paid(collar, terms={"floor": -5.0}, cap=10.0) == pytest.approx(COLLAR, rel=1e-14)
    n_paths = paid(lambda spot, cap, floor: np.clip(spot[-1] - 100.0, floor, cap), over="paths", floor=-5.0, cap=10.0)
    assert n_paths == pytest.approx(COLLAR, rel=1e-14)


def test_keyword_only_and_positional_only_parameters():
    def keyword_only(path, cap, *, scale=1.0, floor):
        return scale * min(max(path[-1] - 100.0, floor), cap)

    def positional_only(path, cap, /, floor):
        return min(max(path[-1] - 100.0, floor), cap)

    assert paid(keyword_only, floor=-5.0, cap=10.0) == pytest.approx(COLLAR, rel=1e-14)
    assert paid(keyword_only, floor=-5.0, cap=10.0, scale=3.0) == pytest.approx(3.0 * COLLAR, rel=1e-14)
    assert paid(positional_only, floor=-5.0, cap=10.0) == pytest.approx(COLLAR, rel=1e-14)


def test_defaults_are_kept_and_a_whole_number_stays_one():
    def payoff(path, shift=2.0, date=3, up=True):
        return (1.0 if up else -1.0) * (path[date] + shift)

    def over_paths(spot, side="call"):
        return spot[-1] if side == "call" else -spot[-1]

    assert paid(over_paths, over="paths") == pytest.approx(SPOTS[-1])
    assert paid(payoff) == pytest.approx(SPOTS[3] + 2.0)
    assert paid(payoff, date=5) == pytest.approx(SPOTS[5] + 2.0)
    assert paid(payoff, date=np.int64(5), shift=1) == pytest.approx(SPOTS[5] + 1.0)


@pytest.mark.parametrize(
    ("given", "field", "printed"),
    [
        ({"cap": 1.0}, "floor", r"floor must be given, for collar takes cap, floor after the path"),
        ({}, "cap", r"cap must be given"),
        ({"cap": 1.0, "flor": 2.0}, "flor", r"flor must be a parameter of the function: collar takes cap, floor .*, got 2.0"),
        ({"cap": 1.0, "floor": math.nan}, "floor", r"floor must be finite"),
        ({"cap": 1.0, "floor": "x"}, "floor", r"floor must be a number"),
        ({"cap": 1.0, "floor": 1.0, "terms": {"cap": 2.0}}, "cap", r"cap must be given once"),
        ({"cap": 1.0, "floor": 1.0, "terms": 3}, "terms", r"terms must be a mapping"),
        ({"cap": 1.0, "floor": 1.0, "continuous": "yes"}, "continuous", r"continuous must be True or False"),
    ],
)
def test_missing_and_unknown_terms_are_named(given, field, printed):
    with pytest.raises(InvalidInput, match=printed) as caught:
        PathFunction(collar, times=MONTHLY, **given)
    assert caught.value.field == field


def test_a_term_that_is_called_like_a_keyword_has_a_way_out():
    def payoff(path, times, over):
        return path[-1] * times + over

    with pytest.raises(InvalidInput, match=r"times is also a keyword of PathFunction, so give it as terms=\{'times': \.\.\.\}"):
        PathFunction(payoff, times=MONTHLY)
    assert paid(payoff, terms={"times": 2.0, "over": 1.0}) == pytest.approx(2.0 * SPOTS[-1] + 1.0)


@pytest.mark.parametrize(
    ("function", "given", "printed"),
    [
        (lambda path, *terms: path[-1], {}, r"must name each of its terms, .* takes \*terms"),
        (lambda path, **terms: path[-1], {}, r"must name each of its terms to be compiled, and takes \*\*terms"),
        (lambda *paths: 0.0, {}, r"must take a path as its first parameter"),
        (lambda: 0.0, {}, r"must have named parameters"),
        (max, {}, r'must be a plain function \(def or lambda\) of one path.* or say over="paths"'),
        (functools.partial(collar, cap=1.0), {}, r"must be a plain function"),
        (max, {"over": "paths"}, r"must have named parameters"),
        (lambda spot, k, /: spot[-1], {"over": "paths", "k": 1.0}, r"must take its terms by name, and k is positional only"),
    ],
)
def test_functions_whose_terms_have_no_names(function, given, printed):
    with pytest.raises(InvalidInput, match=printed) as caught:
        PathFunction(function, times=MONTHLY, **given)
    assert caught.value.field == "function"


def test_what_paths_take_besides():
    assert paid(lambda spot, **t: spot[-1] * t["k"], over="paths", k=2.0) == pytest.approx(2.0 * SPOTS[-1])
    assert paid(functools.partial(lambda spot, k, m: spot[-1] * k + m, m=1.0), over="paths", k=2.0) == pytest.approx(
        2.0 * SPOTS[-1] + 1.0
    )


# the first run, and bounds


def past_the_end(path):
    return path[12]


def past_the_end_rarely(path):
    date = 12 if path[-1] > 150.0 else -1
    return path[date]


def test_an_index_beyond_the_dates_is_an_error_with_its_line():
    error = refused(
        past_the_end, match=r"^function must run on every path of 12 dates, but past_the_end raised IndexError: index 12"
    )
    assert line_of(past_the_end, "path[12]") in str(error)
    assert "`return path[12]`" in str(error)
    assert "got 'path 1" in str(error)


def test_an_index_that_only_some_paths_reach_is_found_when_compiled():
    assert PathFunction(past_the_end_rarely, times=MONTHLY).check_payoff(spot=100.0, vol=0.2) is None
    error = refused(past_the_end_rarely, match=r"past_the_end_rarely raised IndexError: index 12 is out of bounds")
    assert line_of(past_the_end_rarely, "path[date]") in str(error)
    assert float(str(error).rstrip("'").split()[-1]) > 150.0


def test_negative_indices_are_as_in_python():
    assert paid(lambda path: path[-12] + path[-1]) == pytest.approx(SPOTS[0] + SPOTS[-1])
    refused(lambda path: path[-13], match="IndexError")


@numba.njit
def helper_beyond(path, shift):
    return path[path.size - 1 + shift]


def plain_helper(path, k):
    return max(path[-1] - k, 0.0)


def test_helpers_are_compiled_with_bounds_checked_too():
    def rarely(path):
        return helper_beyond(path, 1 if path[-1] > 150.0 else 0)

    assert paid(lambda path: helper_beyond(path, 0)) == pytest.approx(SPOTS[-1])
    refused(lambda path: helper_beyond(path, 1), match="IndexError")
    refused(rarely, match="IndexError: index 12 is out of bounds")
    assert paid(lambda path, k: 2.0 * plain_helper(path, k), k=95.0) == pytest.approx(2.0 * np.maximum(SPOTS[-1] - 95.0, 0.0))


@numba.njit
def compiled_by_the_user(path, k):
    return path[12] if path[-1] > 150.0 else path[-1] - k


def test_a_function_that_the_user_compiled_is_compiled_again_with_bounds():
    assert paid(compiled_by_the_user, np.minimum(SPOTS, 149.0), k=1.0) == pytest.approx(np.minimum(SPOTS[-1], 149.0) - 1.0)
    refused(compiled_by_the_user, match="compiled_by_the_user raised IndexError", k=1.0)


@pytest.mark.parametrize(
    ("function", "printed"),
    [
        (lambda path: None, "returned None; one of its branches returns nothing"),
        (lambda path: 1j * path[0], "returned a complex"),
        (lambda path: path, "returned a ndarray"),
        (lambda path: "12", r"returned a str \(12\)"),
        (lambda path: path[0] * math.inf, "must return a finite number, but <lambda> returned inf"),
        (lambda path: math.nan, "must return a finite number, but <lambda> returned nan"),
    ],
)
def test_what_a_payoff_may_not_return(function, printed):
    refused(function, match=printed)


def test_what_it_may_return():
    over = (SPOTS[-1] > 100.0).astype(float)
    assert paid(lambda path: path[-1] > 100.0).tolist() == over.tolist()
    assert paid(lambda path: 1 if path[-1] > 100.0 else 0).tolist() == over.tolist()
    assert paid(lambda path: 1 if path[-1] > 100.0 else 0.5).tolist() == np.where(over, 1.0, 0.5).tolist()


def raises_rarely(path, barrier):
    if path[-1] > barrier:
        raise ValueError("too high for me")
    return path[-1]


def divides(path, barrier):
    return 1.0 / max(barrier - path[-1], 0.0)


def test_an_exception_in_the_compiled_function_is_shown_with_its_line():
    error = refused(raises_rarely, match=r"raises_rarely raised ValueError: too high for me \(file", barrier=150.0)
    assert line_of(raises_rarely, "raise ValueError") in str(error)
    error = refused(divides, match=r"divides raised ZeroDivisionError", barrier=150.0)
    assert line_of(divides, "1.0 /") in str(error)


def fails_over_paths(spot, k):
    other = spot + k
    return other[12]


def test_over_paths_exceptions_are_shown_with_their_line():
    error = refused(fails_over_paths, match="fails_over_paths raised IndexError", over="paths", k=1.0)
    assert line_of(fails_over_paths, "other[12]") in str(error)
    assert "<string>" not in str(error)


@pytest.mark.parametrize(
    ("function", "printed"),
    [
        (lambda spot: spot, r"payoff must have the shape \(8,\) for spots \[time, path\] of the shape \(12, 8\)"),
        (lambda spot: spot.max(), r"payoff must have the shape"),
        (lambda spot: None, r"returned nothing"),
        (lambda spot: [[1.0], [1.0, 2.0]], r"returned no array"),
        (lambda spot: spot[-1] * 1j, r"payoff must be made of real numbers.*got 'complex128'"),
        (lambda spot: spot[-1].astype(str), r"payoff must be made of real numbers"),
        (lambda spot: spot[-1] * np.nan, r"function must return finite numbers, but <lambda> returned nan"),
        (lambda spot: np.maximum(spot[-1] - spot.mean(), 0.0), r"it must treat each path alone"),
    ],
)
def test_what_a_function_over_paths_may_not_return(function, printed):
    refused(function, match=printed, over="paths")


def test_a_function_over_paths_cannot_write_to_the_spots_that_others_see():
    def writes(spot):
        spot[0] = 0.0
        return spot[-1]

    error = refused(writes, match="writes raised ValueError: assignment destination is read-only", over="paths")
    assert line_of(writes, "spot[0] = 0.0") in str(error)


def test_a_function_of_one_path_writes_to_a_copy():
    def writes(path):
        path[-1] = 0.0
        return path.sum()

    spot = SPOTS.copy()
    assert paid(writes, spot) == pytest.approx(SPOTS[:-1].sum(axis=0))
    assert spot.tolist() == SPOTS.tolist()


def test_what_numba_cannot_compile_is_refused_in_one_line():
    def payoff(path):
        return sum({"a": path[-1], 1: 0.0}.values())

    error = refused(
        payoff, kind=NotApplicable, match=r'^numba cannot compile payoff: .*write it over paths .*over="paths", \.\.\.\)$'
    )
    assert "\n" not in str(error)
    assert len(str(error)) < 600


def test_a_number_that_compilation_changes_is_found():
    def overflows(path):
        big = 1
        for _ in range(70):
            big *= 2
        return path[-1] / big

    refused(overflows, match="must pay the same however it is run, but overflows pays")


# today's spot


def test_initial_spot_is_todays_unless_it_is_given():
    def forward_start(path, initial_spot, k):
        return path[-1] - k * initial_spot

    live = PathFunction(forward_start, times=MONTHLY, k=0.5)
    assert live.uses_initial_spot
    assert live.payoff(paths(start=90.0)) == pytest.approx(SPOTS[-1] - 45.0)
    assert live.payoff(paths(start=92.0)) == pytest.approx(SPOTS[-1] - 46.0)
    frozen = PathFunction(forward_start, times=MONTHLY, k=0.5, initial_spot=80.0)
    assert not frozen.uses_initial_spot
    assert frozen.payoff(paths(start=90.0)) == pytest.approx(SPOTS[-1] - 40.0)
    n_paths = PathFunction(forward_start, times=MONTHLY, over="paths", k=0.5)
    assert n_paths.payoff(paths(start=90.0)) == pytest.approx(SPOTS[-1] - 45.0)
    with pytest.raises(InvalidInput, match=r"^initial_spot must be known for forward_start"):
        live.payoff(paths())


def test_price_passes_todays_spot():
    contract = PathFunction(lambda path, initial_spot: initial_spot, times=(1.0,))
    assert price(contract, MODEL, MARKET, plan=PLAN).value == pytest.approx(100.0 * math.exp(-0.05), rel=1e-12)


# jumps and gradients


def call(path, k):
    return max(path[-1] - k, 0.0)


def asian(path, k):
    return max(path.mean() - k, 0.0)


def lookback(path, k):
    return path.max() - path[-1]


def cliquet(path, k):
    total = 0.0
    for i in range(1, path.size):
        total += min(max(path[i] / path[i - 1] - 1.0, -0.02), 0.02)
    return k * max(total, 0.0)


def volatility(path, k):
    total = 0.0
    for i in range(1, path.size):
        total += math.log(path[i] / path[i - 1]) ** 2
    return k * math.sqrt(total)


def square_root(path, k):
    return math.sqrt(max(path[-1] - k, 0.0))


def steep_spread(path, k):
    return min(max(path[-1] - k, 0.0), 1e-4 * k)


def constant(path, k):
    return k


def drawdown_from_today(path, k, initial_spot):
    return max(initial_spot - path.min(), 0.0)


def digital(path, k):
    return 1.0 if path[-1] > k else 0.0


def knock_out(path, k):
    return 0.0 if path.min() < 0.9 * k else max(path[-1] - k, 0.0)


def autocall(path, k):
    for i in range(path.size):
        if path[i] > 1.05 * k:
            return 1.0 + 0.01 * (i + 1)
    return 1.0 if path[-1] > 0.7 * k else path[-1] / k


def range_accrual(path, k):
    inside = 0
    for i in range(path.size):
        if 0.95 * k < path[i] < 1.05 * k:
            inside += 1
    return inside / path.size


def small_discontinuity(path, k):
    return max(path[-1] - k, 0.0) + (0.01 * k if path[-1] > 1.02 * k else 0.0)


def discontinuity_at_a_kink(path, k):
    return path[-1] - 0.99 * k if path[-1] > k else 0.0


def discontinuity_on_a_million(path, k):
    return 1e6 + (1.0 if path[-1] > k else 0.0)


def narrow_window(path, k):
    return 1.0 if abs(path[0] - k) < 0.002 * k else 0.0


def above_today(path, k, initial_spot):
    return 1.0 if path[-1] > initial_spot else 0.0


def above_today_only(path, k, initial_spot):
    return path[-1] + (k if initial_spot > k else 0.0)


CONTINUOUS = (call, asian, lookback, cliquet, volatility, square_root, steep_spread, constant, drawdown_from_today)
JUMPING = (
    digital,
    knock_out,
    autocall,
    range_accrual,
    small_discontinuity,
    discontinuity_at_a_kink,
    discontinuity_on_a_million,
    narrow_window,
    above_today,
    above_today_only,
)
SETTINGS = [(100.0, 0.2, 12, 1.0), (0.01, 0.8, 4, 0.25), (1e5, 0.06, 52, 5.0), (100.0, 1.5, 12, 2.0)]


@pytest.mark.parametrize(("spot", "vol", "dates", "expiry"), SETTINGS)
@pytest.mark.parametrize("function", CONTINUOUS, ids=lambda f: f.__name__)
def test_a_payoff_without_jumps_passes(function, spot, vol, dates, expiry):
    contract = PathFunction(function, times=schedule(dates, expiry), continuous=True, k=spot)
    contract.check_payoff(spot=spot, vol=vol)
    assert not contract.discontinuous


@pytest.mark.parametrize(("spot", "vol", "dates", "expiry"), SETTINGS)
@pytest.mark.parametrize("function", JUMPING, ids=lambda f: f.__name__)
def test_a_discontinuity_is_found_and_shown(function, spot, vol, dates, expiry):
    contract = PathFunction(function, times=schedule(dates, expiry), continuous=True, k=spot)
    with pytest.raises(InvalidInput, match=rf"^continuous must not be given .*: {function.__name__} jumps between .* at .*path"):
        contract.check_payoff(spot=spot, vol=vol)


def test_a_discontinuity_is_shown_with_what_is_paid_on_either_side_and_where():
    contract = PathFunction(digital, times=(0.5, 1.0), continuous=True, k=130.0)
    with pytest.raises(InvalidInput, match=r"jumps between 0 and 1 at path [\d.]+, 130, and .* use LikelihoodRatio\(\)"):
        contract.check_payoff(spot=100.0, vol=0.2)


@pytest.mark.parametrize("over", ["path", "paths"])
def test_a_zero_gradient_of_a_digital_is_refused(over):
    function = digital if over == "path" else lambda spot, k: 1.0 * (spot[-1] > k)
    refused(
        function,
        match=r"^gradient must not be given for a payoff that jumps: .* no gradient says how its mean moves",
        over=over,
        gradient=lambda spot, k: np.zeros_like(spot),
        k=110.0,
    )


def right(spot, k):
    return (spot.mean(axis=0) > k) * np.ones_like(spot) / len(spot)


@pytest.mark.parametrize(
    ("gradient", "printed"),
    [
        (lambda spot, k: 1.01 * right(spot, k), r"^gradient must be the derivative of asian: .* changes at the rate of"),
        (lambda spot, k: np.zeros_like(spot), r"^gradient must be the derivative of asian"),
        (lambda spot, k: right(spot, k) * np.linspace(0.0, 2.0, 12)[:, None], r"^gradient must be the derivative of asian"),
        (lambda spot, k: right(spot, k + 3.0), r"^gradient must be the derivative of asian"),
        (lambda spot, k: right(spot, k)[0], r"^gradient must have the shape"),
        (lambda spot, k: right(spot, k) * np.nan, r"^gradient must be finite"),
        (lambda spot, m: 1.0 * right(spot, m), r"^gradient must run .* raised TypeError"),
    ],
)
def test_a_wrong_gradient_is_refused(gradient, printed):
    refused(asian, match=printed, gradient=gradient, k=100.0)


def test_a_right_gradient_passes_kinks_and_all():
    PathFunction(asian, times=MONTHLY, gradient=right, k=100.0).check_payoff(spot=100.0, vol=0.2)

    def of_lookback(spot, k):
        slopes = np.where(spot == spot.max(axis=0), 1.0, 0.0)
        slopes[-1] -= 1.0
        return slopes

    PathFunction(lookback, times=MONTHLY, gradient=of_lookback, k=0.0).check_payoff(spot=100.0, vol=0.2)


def test_the_check_runs_once():
    calls = []

    def payoff(spot):
        calls.append(spot.shape)
        return spot[-1]

    contract = PathFunction(payoff, times=MONTHLY, over="paths")
    for _ in range(3):
        contract.check_payoff(spot=100.0, vol=0.2)
    tried = len(calls)
    contract.check_payoff(spot=101.0, vol=0.21)
    assert len(calls) == tried
    contract.check_payoff(spot=200.0, vol=0.2)
    assert len(calls) == 2 * tried


# compiled once


def with_closure(c):
    return lambda path, k: max(path[-1] - k, c)


RATE = 1.0


def uses_a_global(path, k):
    return RATE * path[-1]


def test_functions_that_do_the_same_share_a_compilation(monkeypatch):
    one, again, other = (compiled(with_closure(c), (1.0,)) for c in (2.0, 2.0, 3.0))
    assert one is again
    assert one is not other
    assert compiled(with_closure(2), (1.0,)) is not one  # an int is another type
    assert compiled(with_closure(0.0), (1.0,)) is not compiled(with_closure(-0.0), (1.0,))
    assert compiled(with_closure(2.0), (1,)) is not one
    table = np.array([1.0, 2.0])

    def looked_up(values):
        return lambda path, k: values[0] + values[1]

    assert compiled(looked_up(table), (1.0,)) is compiled(looked_up(table.copy()), (1.0,))
    assert compiled(looked_up(table), (1.0,)) is not compiled(looked_up(table + 1.0), (1.0,))
    before = compiled(uses_a_global, (1.0,))
    assert paid(uses_a_global, k=0.0) == pytest.approx(SPOTS[-1])
    monkeypatch.setitem(globals(), "RATE", 3.0)
    assert compiled(uses_a_global, (1.0,)) is not before
    assert paid(uses_a_global, k=0.0) == pytest.approx(3.0 * SPOTS[-1])


def test_a_payoff_made_anew_for_each_request_costs_no_memory():
    script = """
import gc
from pricers import GBM, Market, PathFunction, Plan, price
def used():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20
def ask(k):
    price(PathFunction(lambda path, k: max(path[-1] - k, 0.0), times=(0.5, 1.0), k=k), GBM(vol=0.2), Market(spot=100.0),
          plan=Plan(paths=256, seed=1), threads=1)
for k in range(80, 90):
    ask(k)
gc.collect()
before = used()
for k in range(200):
    ask(90 + k / 10)
gc.collect()
print(used() - before)
"""
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert float(found.stdout) < 20.0  # MiB; 440 before


# values


def test_contracts_are_values():
    one = PathFunction(collar, times=MONTHLY, cap=1.0, floor=0.0)
    same = PathFunction(collar, times=MONTHLY, floor=0.0, cap=1.0)
    assert one == same
    assert hash(one) == hash(same)
    assert one != PathFunction(collar, times=MONTHLY, cap=1.0, floor=0.5)
    assert one != PathFunction(collar, times=MONTHLY, cap=1.0, floor=0.0, continuous=True)
    assert one != 3
    assert repr(one) == "PathFunction(collar, over='path', cap=1.0, floor=0.0)"
    with pytest.raises(AttributeError, match="over of a contract does not change"):
        one.over = "paths"
    with pytest.raises(TypeError):
        one.terms["cap"] = 2.0


def test_a_contract_pickles_and_copies_if_its_function_does():
    one = PathFunction(collar, times=MONTHLY, cap=10.0, floor=-5.0, continuous=True)
    first = one.payoff(paths()).tolist()
    for again in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one), copy.copy(one)):
        assert again == one
        assert again.payoff(paths()).tolist() == first
