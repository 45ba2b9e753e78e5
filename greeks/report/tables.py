"""The report's tables as CSV files, and as Parquet where pyarrow is there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from greeks.cells import begins_as_formula
from greeks.report.facts import Facts

if TYPE_CHECKING:
    import pandas as pd

    from greeks.book_run import BookRun

__all__ = ["write"]


def write(run: BookRun, facts: Facts, folder: Path) -> None:
    """``risk.csv`` and ``totals.csv`` (or ``crosscheck.csv``), ``errors.csv``, and the first as ``.parquet``."""
    _csv(run.frame, folder / f"{run.kind}.csv")
    _csv(run.errors, folder / "errors.csv")
    if run.kind == "risk":
        _csv(run.totals, folder / "totals.csv")
    if importlib.util.find_spec("pyarrow") is not None:
        with (folder / f"{run.kind}.parquet").open("wb") as file:  # pyarrow opens no path that is not text
            run.frame.to_parquet(file, engine="pyarrow", index=False)


def _csv(frame: pd.DataFrame, path: Path) -> None:
    """Every digit of every number; no text that a spreadsheet would run."""
    import pandas as pd

    inert = frame.copy()
    for column in frame.columns:
        if pd.api.types.is_string_dtype(frame[column].dtype):
            inert[column] = frame[column].map(_inert)
    inert.to_csv(path, index=False, lineterminator="\n", encoding="utf-8", errors="backslashreplace")


def _inert(text: object) -> object:
    """An apostrophe before what a spreadsheet would take for a formula."""
    return f"'{text}" if isinstance(text, str) and begins_as_formula(text) else text
