"""The report as one web page that needs nothing else: ``risk.html`` or ``crosscheck.html``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greeks.portfolio.totals import LEVELS
from greeks.report.facts import Facts
from greeks.report.judgement import NEARLY_NOTHING, judged
from greeks.report.manifest import versions
from greeks.report.numerals import count, measured, plain
from greeks.validation.reference_method import WITNESSED
from pricers.version import __version__

if TYPE_CHECKING:
    import pandas as pd
    from jinja2 import Environment

    from greeks.portfolio.batch import BookRun

__all__ = ["write"]

MOST_TRADES = 5000
"""Trades in the page's table: beyond, a browser is no way to read them and the CSV file is."""

MOST_BARS = 15

MOST_UNKNOWN = 100
"""Numbers without a known error that the page lists by name."""


def write(run: BookRun, facts: Facts, folder: Path) -> None:
    """Fill the template that is named for the run's kind."""
    view = _crosscheck(run) if run.kind == "crosscheck" else _risk(run)
    page = (
        _templates()
        .get_template(f"{_TEMPLATES[run.kind]}.html.j2")
        .render(
            run=run,
            facts=facts,
            version=__version__,
            software=versions(),
            errors=run.errors.to_dict("records"),
            checks=_checks(run.checks, run.greeks),
            greeks=run.greeks,
            differing=int(run.verdicts.get("differ", 0)),
            agreeing=int(run.verdicts.get("agree", 0)),
            weak=int(run.verdicts.get("too weak to tell", 0)),
            incomparable=int(run.verdicts.get("not comparable", 0)),
            judgement=judged(run),
            nearly_nothing=NEARLY_NOTHING,
            **view,
        )
    )
    (folder / f"{run.kind}.html").write_text(page, encoding="utf-8", errors="backslashreplace")


@cache
def _templates() -> Environment:
    """The templates of this package: each is compiled once in a process."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(count=count, plain=plain)
    return environment


def _checks(checks: pd.DataFrame, greeks: Sequence[str]) -> list[dict[str, Any]]:
    """A line for each method that numbers are held against, a cell for each Greek."""
    lines = []
    for method in sorted(dict.fromkeys(checks["check"]), key=lambda name: (name == "", name)):
        by_greek = {row["greek"]: row for row in checks[checks["check"] == method].to_dict("records")}
        lines.append({"method": method, "cells": [by_greek.get(greek) for greek in greeks]})
    return lines


_TEMPLATES = {"risk": "report", "crosscheck": "crosscheck"}


def _risk(run: BookRun) -> dict[str, Any]:
    frame, totals = run.frame, run.totals
    panels = [_panel(run, title, names) for title, names in _parts(run.greeks)]
    return {
        "panels": panels,
        "charts": list(_charts(totals[totals["level"] == "book"])),
        "differs": [_named(row) for row in _different(frame)],
        "unknown": [_named(row) for row in frame[(frame["status"] == "ok") & ~frame["resolved"]].to_dict("records")],
        "most_unknown": MOST_UNKNOWN,
        "witnesses": list(_witnesses(frame)),
        "witnessed": [name for name in WITNESSED if name in run.greeks],
        "underlyings": sorted(set(frame["underlying"])),
        "models": sorted(set(frame["model"]) - {""}),
        "most": MOST_TRADES,
    }


def _parts(greeks: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The Greeks that all models have, and those by a model's own parameters: one table each, so that a page is wide enough."""
    own = [name for name in greeks if name.startswith("d_")]
    common = [name for name in greeks if name not in own]
    return [(title, names) for title, names in (("", common), ("by the models' own parameters", own)) if names]


def _panel(run: BookRun, title: str, names: Sequence[str]) -> dict[str, Any]:
    """Totals, checks and trades of some Greeks; after the first panel, of the trades that have them."""
    frame, totals = run.frame, run.totals[run.totals["greek"].isin(names)]
    desks = {row["greek"]: row for row in frame[frame["desk_greek"] != ""].drop_duplicates("greek").to_dict("records")}
    names = [name for name in names if name in desks]
    groups = [(level, list(_totals(totals[totals["level"] == level], names))) for level in reversed(LEVELS)]
    if len(set(totals.loc[totals["level"] == "underlying", "underlying"])) == 1:
        groups = [(level, rows) for level, rows in groups if level not in ("underlying", "book x underlying")]
    trades = (trade for trade in _trades(frame, names) if not title or (any(trade["cells"]) and not trade["dead"]))
    shown = list(itertools.islice(trades, MOST_TRADES))
    return {
        "title": title,
        "heads": [{"greek": desks[name]["desk_greek"], "unit": desks[name]["desk_unit"]} for name in names],
        "groups": groups,
        "greeks": names,
        "checks": _checks(run.checks[run.checks["greek"].isin(names)], names),
        "trades": shown,
        "further": sum(1 for _ in trades),
        "lacking": int(totals.loc[totals["level"] == "all", "missing"].max()) if len(totals) else 0,
        "unresolved": int(totals.loc[totals["level"] == "all", "not_resolved"].max()) if len(totals) else 0,
    }


def _totals(part: pd.DataFrame, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A line of the table of totals for each book, underlying or pair; a cell for each Greek, None where no trade has it."""
    for (book, underlying), rows in part.groupby(["book", "underlying"], sort=False):
        label = " · ".join(name for name in (str(book), str(underlying)) if name) or "All"
        records = rows.to_dict("records")
        cells = {row["greek"]: _sum_cell(row) for row in records}
        yield {
            "label": label,
            "cells": [cells.get(name) for name in names],
            "trades": max(row["trades"] for row in records),
            "missing": max(row["missing"] for row in records),
            "not_resolved": max(row["not_resolved"] for row in records),
        }


def _sum_cell(row: dict[Any, Any]) -> dict[str, Any]:
    """A total: exact where all of its trades are by formula, with its status and what is known of its bias to be shown on request."""
    exact = row["by_formula"] == row["trades"] > 0
    title = [row["status"]] if row["status"] != "ok" else []
    if row["noisy"]:
        title.append("noisy: the error is over a tenth of what this total amounts to")
    if row["desk_bias"] > 0.0:
        title.append(f"discretisation and bumps: at most {plain(row['desk_bias'])}")
    told = {"status": "; ".join(title) or "ok", "noisy": bool(row["noisy"])}
    return _cell(row["desk_value"], row["desk_stderr"], exact=exact) | told


def _cell(value: float, stderr: float, *, exact: bool) -> dict[str, Any]:
    """A number with its error, for reading and for sorting by; "exact" only where it is by formula."""
    text, error = measured(value, stderr)
    buried = math.isfinite(stderr) and abs(value) < 1.96 * stderr
    sort = repr(value) if math.isfinite(value) else ""
    return {"text": text, "error": "exact" if exact and error else error, "buried": buried, "sort": sort}


def _different(frame: pd.DataFrame) -> Iterator[dict[Any, Any]]:
    """Rows that differ from their check, then from the likelihood ratio beside them, which then stands in the check's place."""
    yield from frame[frame["verdict"] == "differ"].to_dict("records")
    for row in frame[(frame["lr_verdict"] == "differ") & (frame["check"] != "likelihood_ratio")].to_dict("records"):
        yield row | {"check": "likelihood_ratio", "check_value": row["lr_value"], "z": row["lr_z"]}


def _named(row: dict[Any, Any]) -> dict[str, Any]:
    """A number of one contract, and what is held against it."""
    value, stderr = measured(row["unit_value"], row["unit_stderr"])
    error = "exact" if row["paths"] == 0 else stderr
    known = row["note"].find("error not known: ")
    why = row["note"][known + len("error not known: ") :] if known >= 0 else row["note"]
    return {**row, "text": value, "error": error, "check_text": plain(row["check_value"]), "why": why}


def _witnesses(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """A line for each trade beside whose numbers the likelihood ratio's stand, one contract's, a pair of cells for each Greek."""
    seen = frame[frame["lr_verdict"] != ""]
    for (trade, _), rows in seen.groupby(["trade_id", "contract"], sort=False):
        cells = {}
        for row in rows.to_dict("records"):
            number = _cell(row["unit_value"], row["unit_stderr"], exact=row["paths"] == 0)
            same = row["estimator"] == "likelihood_ratio"
            title = "the number itself is the likelihood ratio's" if same else f"{row['estimator']}; {row['lr_verdict']}"
            title += f", z = {row['lr_z']:.2f}" if math.isfinite(row["lr_z"]) else ""
            mark = {"verdict": row["lr_verdict"], "mark": _MARKS[row["lr_verdict"]], "title": title, "same": same}
            cells[row["greek"]] = (number, _cell(row["lr_value"], row["lr_stderr"], exact=False) | mark)
        first = rows.iloc[0]
        yield {"trade_id": trade, "contract": first["contract"], "terms": first["terms"], "cells": cells}


_MARKS = {"agree": "✓", "differ": "≠", "too weak to tell": "~", "not comparable": "·", "not checked": "·", "": "×"}


def _trades(frame: pd.DataFrame, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One line per trade, a cell for each Greek, None where its model has none; every trade's rows begin with the first Greek."""
    for rows in _by_trade(frame):
        by_greek = {row["greek"]: row for row in rows}
        shown = [row for row in rows if row["greek"] in names]
        compared = [row for row in shown if row["verdict"] in ("agree", "differ", "too weak to tell")]
        first = rows[0]
        yield {
            **{
                name: first[name]
                for name in ("trade_id", "book", "underlying", "contract", "quantity", "terms", "requested", "model")
            },
            "estimators": _spoken(row["estimator"] for row in shown),
            "cells": [_told(by_greek[name]) if name in by_greek else None for name in names],
            "agreeing": sum(row["verdict"] == "agree" for row in compared),
            "compared": len(compared),
            "checks": _spoken(row["check"] for row in compared),
            "dead": all(row["status"].startswith("failed") for row in rows),
            "status": first["status"],
        }


def _by_trade(frame: pd.DataFrame) -> Iterator[list[dict[Any, Any]]]:
    """Each trade's rows as mappings, made of a part of the table at a time."""
    starts = [int(start) for start in (frame["greek"] == frame["greek"].iloc[0]).to_numpy().nonzero()[0]] if len(frame) else []
    for part in range(0, len(starts), _PART):
        bounds = [*starts[part : part + _PART], *(starts[part + _PART : part + _PART + 1] or [len(frame)])]
        records = frame.iloc[bounds[0] : bounds[-1]].to_dict("records")
        for start, end in itertools.pairwise(bounds):
            yield records[start - bounds[0] : end - bounds[0]]


_PART = 1000


def _spoken(names: Iterable[str]) -> str:
    """Methods, each once, as people write them."""
    return ", ".join(dict.fromkeys(name.replace("_", " ") for name in names if name))


def _told(row: dict[Any, Any]) -> dict[str, Any]:
    """A position's number."""
    mark = {"mark": _MARKS.get(row["verdict"], ""), "verdict": row["verdict"] or "failed", "title": _title(row)}
    return _cell(row["desk_value"], row["desk_stderr"], exact=row["paths"] == 0) | mark


def _title(row: dict[Any, Any]) -> str:
    """What a pointer held over a number says."""
    if row["status"] != "ok":
        return str(row["status"])
    value, stderr = measured(row["unit_value"], row["unit_stderr"])
    error = "exact" if row["paths"] == 0 else f"± {stderr}" if row["resolved"] else "(error not known)"
    lines = [f"{row['greek']} of one: {value} {error} {row['unit']}"]
    lines.append(f"{row['estimator']}, {row['paths']:,} paths" if row["paths"] else "by formula")
    if row["bias"] > 0.0:
        lines.append(f"bias of the position: at most {plain(row['bias'])} ± {plain(row['bias_stderr'])}")
    if row["check"]:
        distance = f", z = {row['z']:.2f}" if math.isfinite(row["z"]) else ""
        lines.append(f"{row['check']}: {plain(row['check_value'])}{distance}, {row['verdict']}")
    if math.isfinite(row["lr_value"]) and row["check"] != "likelihood_ratio":
        value, stderr = measured(row["lr_value"], row["lr_stderr"])
        lines.append(f"likelihood_ratio: {value} ± {stderr}, {row['lr_verdict']}")
    if row["note"]:
        lines.append(row["note"])
    return "\n".join(lines)


def _charts(part: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Bars by book with whiskers of 95 %, in pixels."""
    for greek, rows in part.groupby("desk_greek", sort=False):
        shown = [row for row in rows.to_dict("records") if math.isfinite(row["desk_value"])][:MOST_BARS]
        spans = [(row["desk_value"], 1.96 * row["desk_stderr"] if math.isfinite(row["desk_stderr"]) else 0.0) for row in shown]
        low = min([0.0, *(value - reach for value, reach in spans)])
        high = max([0.0, *(value + reach for value, reach in spans)])
        place = _scale(low, high)
        yield {
            "greek": greek,
            "unit": rows["desk_unit"].iloc[0],
            "height": _ROW * len(shown) + 4,
            "zero": place(0.0),
            "bars": [
                {
                    "label": row["book"],
                    "top": _ROW * number,
                    "left": min(place(value), place(0.0)),
                    "width": max(abs(place(value) - place(0.0)), 0.5),
                    "from": place(value - reach),
                    "to": place(value + reach),
                    "middle": place(value),
                    **dict(zip(("text", "error"), measured(row["desk_value"], row["desk_stderr"]), strict=True)),
                }
                for number, (row, (value, reach)) in enumerate(zip(shown, spans, strict=True))
            ],
        }


_LEFT, _WIDTH, _ROW = 4.0, 452.0, 34


def _scale(low: float, high: float) -> Any:
    """From a number to a place on the chart."""
    span = high - low
    return lambda value: round(_LEFT + (_WIDTH * (value - low) / span if span > 0.0 else 0.0), 2)


def _crosscheck(run: BookRun) -> dict[str, Any]:
    frame = run.frame
    methods = [str(name) for name in dict.fromkeys(frame["estimator"]) if name]
    return {
        "methods": methods,
        "differs": [_one(row) for row in frame[frame["verdict"] == "differ"].to_dict("records")],
        "lines": list(itertools.islice(_by_method(frame, methods), MOST_TRADES * 6)),
    }


def _one(row: dict[Any, Any]) -> dict[str, Any]:
    text, error = measured(row["value"], row["stderr"])
    error = "exact" if row["estimator"] == "exact" and error else error
    z = f"{row['z']:+.2f}".replace("-", "−") if math.isfinite(row["z"]) else ""
    sort = repr(row["value"]) if math.isfinite(row["value"]) else ""
    return {**row, "text": text, "error": error, "z_text": z, "sort": sort, "mark": _MARKS.get(row["verdict"], "")}


def _by_method(frame: pd.DataFrame, methods: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One line per trade and Greek, a cell for each method."""
    for (trade, greek), rows in frame[frame["estimator"] != ""].groupby(["trade_id", "greek"], sort=False):
        by_method = {row["estimator"]: _one(row) for row in rows.to_dict("records")}
        first = rows.iloc[0]
        yield {
            "trade_id": trade,
            "greek": greek,
            "contract": first["contract"],
            "unit": first["unit"],
            "cells": [by_method.get(method) for method in methods],
            "differs": bool((rows["verdict"] == "differ").any()),
        }
