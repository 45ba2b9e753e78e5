"""From a table of trades to every Greek by every method."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from greeks.book_run import BookRun, Clock, Progress, Question, answers, error_frame, known_greeks, threads_used
from greeks.comparison import threshold, verdicts
from greeks.estimators.likelihood_ratio import LikelihoodRatio
from greeks.greek import STANDARD, greek
from greeks.markets import MarketData, Underlying
from greeks.portfolio import Position, Reject, estimators, read_portfolio
from greeks.run import Answer
from greeks.sensitivity import _names
from greeks.totals import totals
from pricers.errors import InvalidInput
from pricers.plan import Plan

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["crosscheck_run"]

COLUMNS = (
    *("trade_id", "book", "underlying", "contract", "quantity", "greek", "estimator", "value", "stderr"),
    *("z", "verdict", "resolves", "unit", "status", "note"),
)
