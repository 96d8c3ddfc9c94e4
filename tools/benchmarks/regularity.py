"""Whether every symbol had the reports that were due. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tools.benchmarks.peers.on_time import longest_gap


class Regularity(NamedTuple):
    """The reports of some symbols in a time.

    Attributes:
        due: how many reports were due.
        written: how many were written, at most as many of a symbol as were due.
        silent: symbols without any.
        median_gap_s: of the symbols' longest times without a report, the median.
        longest_gap_s: the longest of them.
    """

    due: int
    written: int
    silent: int
    median_gap_s: float
    longest_gap_s: float

    @property
    def share(self) -> float:
        """Written of due."""
        return self.written / self.due


def regularity(
    times: Mapping[str, Sequence[float]], symbols: Sequence[str], since: float, periods: int, period_s: float
) -> Regularity:
    """Judge a time of whole periods.

    Args:
        times: symbol -> times of its reports, Unix time, s. One that is missing has none.
        symbols: all that should have reports.
        since: begin, Unix time, s.
        periods: how many.
        period_s: length of one.

    Example:
        >>> regularity({"A": [0.5, 1.5]}, ["A", "B"], 0, 2, 1.0)
        Regularity(due=4, written=2, silent=1, median_gap_s=1.5, longest_gap_s=2.0)
    """
    until = since + periods * period_s
    inside = {symbol: [at for at in times.get(symbol, ()) if since <= at < until] for symbol in symbols}
    gaps = [longest_gap(times.get(symbol, ()), since, until) for symbol in symbols]
    return Regularity(
        due=periods * len(symbols),
        written=sum(min(len(found), periods) for found in inside.values()),
        silent=sum(not found for found in inside.values()),
        median_gap_s=statistics.median(gaps),
        longest_gap_s=max(gaps),
    )
