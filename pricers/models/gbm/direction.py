r"""How a parameter moves GBM's log-returns :math:`M_k + s_k z_k`: everything that a score, a tangent or a slope is made of.

.. math:: \partial_p \ln S_0 = a, \qquad \partial_p M_k = b\,\Delta t_k + c\,M_k, \qquad \partial_p s_k = d\,s_k,

so that, with W the Brownian motion of the paths,

.. math:: \mathrm{score}_p = \frac{a}{s_1} z_1 + \frac{b}{\sigma} W_T + c \sum_k \frac{M_k}{s_k} z_k + d \sum_k (z_k^2 - 1), \qquad
          \partial_p \ln S_k = a + b\,t_k + c \sum_{j \le k} M_j + d\,\sigma W_k .

Sources: Broadie and Glasserman (1996), section 3; Glasserman (2004), section 7.3.
"""

from __future__ import annotations

from typing import NamedTuple

from pricers.errors import NotApplicable

__all__ = ["Direction"]


class Direction(NamedTuple):
    """The numbers a, b, c and d above.

    Attributes
    ----------
    start : float
        a, of the logarithm of today's spot.
    by_time : float
        b: how much the means grow with the intervals.
    by_mean : float
        c: how much they grow in proportion.
    by_stdev : float
        d: how much the standard deviations grow in proportion.
    """

    start: float = 0.0
    by_time: float = 0.0
    by_mean: float = 0.0
    by_stdev: float = 0.0

    @classmethod
    def of(cls, parameter: str, *, spot: float, vol: float, last: float) -> Direction:
        """That of a parameter; ``last`` is the last date, which all others move in proportion to under ``time``.

        Raises
        ------
        NotApplicable
            Where GBM has no such parameter.
        """
        match parameter:
            case "spot":
                return cls(start=1.0 / spot)
            case "rate":
                return cls(by_time=1.0)
            case "dividend":
                return cls(by_time=-1.0)
            case "vol":
                return cls(by_time=-vol, by_stdev=1.0 / vol)
            case "time":
                return cls(by_mean=1.0 / last, by_stdev=0.5 / last)
        raise NotApplicable(f"GBM has no parameter {parameter}; use vol, or a Greek of the market")

    @property
    def score_rows(self) -> frozenset[str]:
        """The rows of `pricers.models.gbm.one_pass.ROWS` that its score is made of."""
        return self._rows("first", "walk", "drifts", "squares")

    def slope_rows(self, summary: str) -> frozenset[str]:
        """Those that the derivative of ``mean``, ``log_mean`` or ``log_last`` is made of; none for another summary."""
        match summary:
            case "mean":
                return self._rows("total", "timed", "shifted", "walked")
            case "log_mean":
                return self._rows("", "", "", "walks")
            case "log_last":
                return self._rows("", "", "", "walk")
        return frozenset()

    def _rows(self, *names: str) -> frozenset[str]:
        return frozenset(name for name, size in zip(names, self, strict=True) if name and size)
