"""The report's tables as CSV files, and as Parquet where pyarrow is there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from greeks.portfolio.cells import begins_as_formula
from greeks.report.facts import Facts

if TYPE_CHECKING:
    import pandas as pd

    from greeks.portfolio.batch import BookRun

__all__ = ["write"]


def write(run: BookRun, facts: Facts, folder: Path) -> None:
    """``risk.csv`` and ``totals.csv`` (or ``crosscheck.csv``), ``errors.csv``, and the first as ``.parquet``."""
    _csv(run.frame, folder / f"{run.kind}.csv")
    _csv(run.errors, folder / "errors.csv")
    if run.kind == "risk":
        _csv(run.totals, folder / "totals.csv")
    if importlib.util.find_spec("pyarrow") is not None:
        _parquet(run.frame, folder / f"{run.kind}.parquet")


def _parquet(frame: pd.DataFrame, path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    content = pyarrow.Table.from_pandas(frame, preserve_index=False)
    with path.open("wb") as file:  # pyarrow opens no path that is not text, and pandas 2 gives it the file's path
        pyarrow.parquet.write_table(content, file)


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
