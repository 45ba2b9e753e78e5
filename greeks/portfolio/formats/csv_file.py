"""Trades from CSV files."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from greeks.portfolio import inputs
from pricers.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SUFFIXES", "SURPLUS", "read"]

SUFFIXES = (".csv",)

SURPLUS = "(surplus)"
"""The column of what stands in a row beyond the table's columns."""


def read(path: Path, most_bytes: int | None) -> pd.DataFrame:
    """Every cell as the text that stands there (UTF-8, commas, a header line; blank lines are skipped).

    Raises
    ------
    InvalidInput
        Where it is no CSV file in UTF-8, no plain file, or larger than ``most_bytes``.
    """
    import pandas as pd

    try:
        text = inputs.text(path, most_bytes)
        before = csv.field_size_limit(_MOST_LONG)
        try:
            lines = [line for line in csv.reader(io.StringIO(text, newline="")) if line]
        finally:
            csv.field_size_limit(before)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(str(path), str(error), "must be a CSV file in UTF-8") from None
    if not lines:
        raise InvalidInput(str(path), "", "is empty: the first line must name the columns")
    header, *rows = lines
    surplus = [",".join(row[len(header) :]) for row in rows]
    table = [(row + [""] * len(header))[: len(header)] for row in rows]
    if any(surplus):
        header, table = [*header, SURPLUS], [[*row, more] for row, more in zip(table, surplus, strict=True)]
    return pd.DataFrame(table, columns=header, dtype=str)


_MOST_LONG = 2**31 - 1
"""Characters of a cell: what a C long holds everywhere. Thousands of listed dates are valid; the size of the file bounds them."""
