"""What is kept of a book's answers: exact sums of batch means, and what was to be compared; the numbers are those of all moments."""

import math
import random
import tracemalloc

import books
import numpy as np
import pytest

import greeks.engine.registry
import greeks.portfolio.batch
from greeks import LikelihoodRatio
from greeks.greek import greek
from greeks.portfolio.batch import Question, answers
from greeks.portfolio.batch_sums import _MOST_PARTS, BatchSums, ExactSum
from greeks.portfolio.desk_units import Desk
from greeks.portfolio.read_trades import read_portfolio
from greeks.portfolio.risk import risk_run
from greeks.portfolio.totals import Term, totals
from pricers import Plan

PLAN = Plan(paths=2000, seed=3)


def _wild(rng, count, n_paths):
    """Numbers of all sizes that nearly cancel."""
    terms = rng.normal(size=(count, n_paths)) * 10.0 ** rng.integers(-30, 30, size=(count, n_paths))
    terms[rng.random(terms.shape) < 0.1] = 0.0
    return np.concatenate([terms, -terms[: count // 2], terms[:3] * 2.0**-52])


@pytest.mark.parametrize("seed", range(5))
def test_exact_sum_is_the_correctly_rounded_one_in_any_order(seed):
    rng = np.random.default_rng(seed)
    terms = _wild(rng, 120, 17)
    expected = [math.fsum(path) for path in terms.T]
    for _ in range(3):
        summed = ExactSum()
        for row in rng.permutation(terms):
            summed.add(row)
        assert [math.fsum(path) for path in zip(*summed.parts, strict=True)] == expected
    assert (terms.sum(axis=0) != expected).any()  # what plain sums would give


def test_parts_of_an_exact_sum_stay_few():
    rng, summed = np.random.default_rng(1), ExactSum()
    for row in rng.normal(size=(20_000, 8)) * 10.0 ** rng.integers(-3, 4, size=(20_000, 8)):
        summed.add(row)
        assert len(summed.parts) <= _MOST_PARTS


def test_opposite_terms_leave_nothing():
    summed, terms = ExactSum(), _wild(np.random.default_rng(2), 40, 5)
    for row in (*terms, *-terms[::-1]):
        summed.add(row)
    assert summed.parts == []


def test_what_is_beyond_all_floats_is_no_number_and_leaves_the_others():
    sums = BatchSums()
    with np.errstate(all="ignore"):
        for _ in range(3):
            sums.add(("A", "X", "delta"), np.array([1e308, 1.0]), np.array([5.0, 5.0]), quantity=1.0, factor=1e300)
        ((_, raw),) = sums.series([("A", "X", "delta")], desk=False)
    assert math.isnan(raw[0])
    assert raw[1] == 3.0


def test_series_of_several_groups_is_the_rounded_sum_of_all_their_positions():
    rng, sums, raw, desk = np.random.default_rng(4), BatchSums(), [], []
    counts = np.full(6, 10.0)
    groups = [(book, underlying, "delta") for book in "AB" for underlying in "XY"]
    for n in range(40):
        means, quantity, factor = rng.normal(size=6) * 10.0 ** rng.integers(-9, 9), rng.normal(), rng.normal()
        sums.add(groups[n % 4], means, counts, quantity, factor)
        if groups[n % 4][0] == "A":
            raw.append(means * quantity * 1.0)
            desk.append(means * quantity * factor)
    asked = [group for group in groups if group[0] == "A"]
    for kind, expected in ((False, raw), (True, desk)):
        ((found, series),) = sums.series(asked, desk=kind)
        assert found is counts
        assert series.tolist() == [math.fsum(batch) for batch in zip(*expected, strict=True)]
    assert sums.series([("B", "Z", "delta")], desk=True) == []


def test_errors_of_positions_on_other_paths_are_added_up():
    rng, sums, terms, errors = np.random.default_rng(5), BatchSums(), [], []
    common = {"underlying": "X", "greek": "rho", "unit": "", "desk": Desk(name="rho_1bp", unit="currency"), "factor": 1.0}
    for book, batches in (("A", 64), ("B", 16)):
        means = rng.normal(size=batches)
        sums.add((book, "X", "rho"), means, np.full(batches, 10.0), quantity=2.0, factor=1.0)
        terms.append(Term(**common, book=book, value=1.0, quantity=2.0, size=1.0, sampled=True))
        errors.append(2.0 * means.std(ddof=1) / math.sqrt(batches))
    found = totals(terms, sums)
    by_book = found[found["level"] == "book"].set_index("book")["stderr"]
    assert by_book.tolist() == pytest.approx(errors, rel=1e-12)
    assert found[found["level"] == "all"]["stderr"].tolist() == pytest.approx([sum(errors)], rel=1e-12)


def test_error_of_a_total_is_that_of_the_positions_own_batch_means():
    """The law that `greeks.portfolio.totals.totals` states, from moments that nobody condensed."""
    rows = [
        books.trade("1", contract="digital", cash=5.0, estimator="likelihood_ratio"),
        books.trade("2", contract="asian", fixings="monthly", quantity=-3.0, estimator="pathwise"),
        books.trade("3", strike=90.0, quantity=7.0, estimator="likelihood_ratio", book="B"),
    ]
    random.Random(1).shuffle(rows)
    run = risk_run(books.book(*rows), books.MARKET, greeks=("rho",), plan=PLAN, threads=1)
    positions = read_portfolio(books.book(*rows), books.MARKET, estimator=LikelihoodRatio()).positions
    asked = [Question(position=p, greeks=(greek("rho", p.model),), estimators=(p.estimator,)) for p in positions]
    batches = []
    for position, reply in zip(positions, answers(asked, PLAN, threads=1, progress=None), strict=True):
        means, counts = reply.batches("rho", position.estimator.name)
        batches.append(position.quantity * means)
    summed = np.sum(batches, axis=0)
    centred = summed - np.average(summed, weights=counts)
    expected = math.sqrt((counts @ centred**2) / (len(counts) - 1) / counts.sum())
    (total,) = run.totals[run.totals["level"] == "all"].to_dict("records")
    assert total["stderr"] == pytest.approx(expected, rel=1e-12)
    assert expected > 0.0


def test_condensed_answer_compares_as_before_and_refuses_what_it_no_longer_knows():
    position = read_portfolio(books.book(books.MIXED[4]), books.MARKET, estimator=LikelihoodRatio()).positions[0]
    methods = [greeks.engine.registry.estimators()[name] for name in ("likelihood_ratio", "pathwise", "finite_difference")]
    question = Question(position=position, greeks=(greek("delta", position.model),), estimators=tuple(methods))
    (full,) = answers([question], PLAN, threads=1, progress=None)
    (reply,) = answers([question], PLAN, threads=1, progress=None)
    one, two, three = (method.name for method in methods)
    reply.condense([("delta", one, two)])
    for pair in ((one, two), (two, one)):
        assert reply.difference("delta", *pair) == full.difference("delta", *pair)
        assert reply.difference("delta", *pair).stderr > 0.0
    assert [reply.spread("delta", name) for name in (one, two, three)] == [full.spread("delta", n) for n in (one, two, three)]
    assert full.spread("delta", one) > 0.0
    for forgotten in (lambda: reply.difference("delta", one, three), lambda: reply.statistics("delta", one)):
        with pytest.raises(KeyError):
            forgotten()


def test_memory_of_a_book_grows_by_its_rows_and_not_by_its_moments(monkeypatch):
    """Some kB for each number; with all pilots at once, and moments kept to the end of the book, it was 760 kB."""
    monkeypatch.setattr(greeks.portfolio.batch, "_JOBS", 16)
    monkeypatch.setattr(greeks.portfolio.batch, "_PILOTS", 16)

    def peak(trades):
        table = books.book(
            *(
                books.trade(f"{n}", contract="asian", fixings="monthly", expiry="2024-04-05", strike=90.0 + n % 20)
                for n in range(trades)
            )
        )
        tracemalloc.start()
        risk_run(table, books.MARKET, greeks=("price", "delta"), plan=Plan(paths=2048), threads=1)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(16)
    assert (peak(96) - peak(32)) / (2 * (96 - 32)) < 12_000
