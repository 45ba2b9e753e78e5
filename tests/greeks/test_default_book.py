"""A book by default beside one by `Auto`: whatever the trades, formulas must not make a total's error larger."""

import sys
from pathlib import Path

import books
import pytest

from greeks.portfolio.risk import risk_run
from pricers import Plan

ROOT = Path(__file__).parents[2]
if not (ROOT / "benchmarks" / "__main__.py").exists():
    pytest.skip("the benchmarks are not there", allow_module_level=True)
sys.path.append(str(ROOT))

from benchmarks.questions.default_book import error_ratios

PLAN = Plan(paths=2**13, seed=5)
CHOSEN = tuple(row for row in (*books.MIXED, *books.UNDER_HESTON) if "estimator" not in row)


def _hedged(model):
    """Trades whose noise on common paths cancels, if all of it is sampled by the same method."""
    terms = {"model": model, "expiry": "2024-06-21", "monitoring": "monthly"}
    return (
        books.trade("long", **terms),
        books.trade("short", contract="barrier", barrier=180.0, kind="up-and-out", quantity=-10.0, **terms),
        books.trade("long asian", contract="asian", fixings="monthly", average="geometric", model=model),
        books.trade("short asian", contract="asian", fixings="monthly", quantity=-10.0, model=model),
    )


def _parity():
    """A knock-in and a knock-out are a European, which has a formula: sampled alike, all three would leave no noise."""
    european = {"model": "heston", "expiry": "2024-06-21"}
    barrier = {"contract": "barrier", "barrier": 90.0, "monitoring": "monthly"} | european
    return (
        books.trade("short", quantity=-10.0, **european),
        books.trade("in", kind="down-and-in", **barrier),
        books.trade("out", kind="down-and-out", **barrier),
    )


BOOKS = {"mixed": CHOSEN, "hedged gbm": _hedged("gbm"), "hedged heston": _hedged("heston"), "parity": _parity()}


@pytest.mark.parametrize("rows", BOOKS.values(), ids=BOOKS.keys())
def test_no_total_s_error_is_larger_than_by_auto(rows):
    table = books.book(*rows)
    ours, others = (risk_run(table, books.MARKET, estimator=e, plan=PLAN, check=False).totals for e in (None, "auto"))
    found = error_ratios(ours, others)
    assert len(found) > 20
    worst = found.loc[found["ratio"].idxmax()]
    assert worst["ratio"] <= 1.05, worst[["level", "book", "underlying", "greek", "desk_stderr", "desk_stderr_other"]].to_dict()
