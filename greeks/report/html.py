"""The report as one web page that needs nothing else: ``risk.html`` or ``crosscheck.html``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greeks.report.facts import Facts
from greeks.report.manifest import versions
from greeks.report.numerals import count, measured, plain
from greeks.totals import LEVELS
from pricers.version import __version__

if TYPE_CHECKING:
    import pandas as pd

    from greeks.book_run import BookRun

__all__ = ["write"]

MOST_TRADES = 5000
"""Trades in the page's table: beyond, a browser is no way to read them and the CSV file is."""

MOST_BARS = 15


def write(run: BookRun, facts: Facts, folder: Path) -> None:
    """Fill the template that is named for the run's kind."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(count=count, plain=plain)
    view = _crosscheck(run) if run.kind == "crosscheck" else _risk(run)
    page = environment.get_template(f"{_TEMPLATES[run.kind]}.html.j2").render(
        run=run,
        facts=facts,
        version=__version__,
        software=versions(),
        errors=run.errors.to_dict("records"),
        checks=_checks(run.checks, run.greeks),
        greeks=run.greeks,
        differing=int(run.verdicts.get("differ", 0)),
        agreeing=int(run.verdicts.get("agree", 0)),
        incomparable=int(run.verdicts.get("not comparable", 0)),
        **view,
    )
    (folder / f"{run.kind}.html").write_text(page, encoding="utf-8", errors="backslashreplace")


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
        "differs": [_named(row) for row in frame[frame["verdict"] == "differ"].to_dict("records")],
        "underlyings": sorted(set(frame["underlying"])),
        "models": sorted(set(frame["model"]) - {""}),
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
    }


def _totals(part: pd.DataFrame, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A line of the table of totals for each book, underlying or pair; a cell for each Greek, None where no trade has it."""
    for (book, underlying), rows in part.groupby(["book", "underlying"], sort=False):
        label = " · ".join(name for name in (str(book), str(underlying)) if name) or "All"
        records = rows.to_dict("records")
        cells = {row["greek"]: _cell(row["desk_value"], row["desk_stderr"]) | {"status": row["status"]} for row in records}
        yield {
            "label": label,
            "cells": [cells.get(name) for name in names],
            "trades": max(row["trades"] for row in records),
            "missing": max(row["missing"] for row in records),
        }


def _cell(value: float, stderr: float) -> dict[str, Any]:
    """A number with its error, for reading and for sorting by."""
    text, error = measured(value, stderr)
    buried = math.isfinite(stderr) and abs(value) < 1.96 * stderr
    return {"text": text, "error": error, "buried": buried, "sort": repr(value) if math.isfinite(value) else ""}


def _named(row: dict[Any, Any]) -> dict[str, Any]:
    """A comparison, one contract's numbers."""
    value, stderr = measured(row["unit_value"], row["unit_stderr"])
    return {**row, "text": value, "error": stderr, "check_text": plain(row["check_value"])}


_MARKS = {"agree": "✓", "differ": "≠", "not comparable": "·", "not checked": "·", "": "×"}


def _trades(frame: pd.DataFrame, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One line per trade, a cell for each Greek, None where its model has none; every trade's rows begin with the first Greek."""
    for rows in _by_trade(frame):
        by_greek = {row["greek"]: row for row in rows}
        compared = [row for row in rows if row["greek"] in names and row["verdict"] in ("agree", "differ")]
        first = rows[0]
        yield {
            **{
                name: first[name]
                for name in ("trade_id", "book", "underlying", "contract", "quantity", "terms", "estimator", "model")
            },
            "cells": [_told(by_greek[name]) if name in by_greek else None for name in names],
            "agreeing": sum(row["verdict"] == "agree" for row in compared),
            "compared": len(compared),
            "checks": ", ".join(dict.fromkeys(row["check"].replace("_", " ") for row in compared)),
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


def _told(row: dict[Any, Any]) -> dict[str, Any]:
    """A position's number."""
    mark = {"mark": _MARKS.get(row["verdict"], ""), "verdict": row["verdict"] or "failed", "title": _title(row)}
    return _cell(row["desk_value"], row["desk_stderr"]) | mark


def _title(row: dict[Any, Any]) -> str:
    """What a pointer held over a number says."""
    if row["status"] != "ok":
        return str(row["status"])
    value, stderr = measured(row["unit_value"], row["unit_stderr"])
    lines = [f"{row['greek']} of one: {value} ± {stderr} {row['unit']}", f"{row['estimator']}, {row['paths']:,} paths"]
    if row["check"]:
        lines.append(f"{row['check']}: {plain(row['check_value'])}, z = {row['z']:.2f}, {row['verdict']}")
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
