"""Whether reports come as often as they should, from the times at which they were written. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

LATE_AFTER_PERIODS = 1.5
"""A report is late if it comes more than so many periods after the one before it."""

FORGIVEN_RATE = 0.9
"""Share of the full rate that is enough if a slow drift is forgiven."""


def share_on_time(times: Sequence[float], opened: float, closed: float, period: float, *, rate: float = 1.0) -> float:
    """Share of the due reports that came on time, at most 1.

    Late reports lower it, and so does a schedule that drifts: with 260 ms in place of 250 ms it is 96 %. A ``rate``
    below 1 forgives that much of a drift.

    Args:
        times: when the reports of one symbol were written, rising, s.
        opened: begin of the window, s; reports before it are ignored.
        closed: end of the window, s; reports after it are ignored.
        period: from one report to the next, s.
        rate: share of the full rate that is due.

    Example:
        >>> share_on_time([0.1, 0.35, 0.6, 0.85], 0.0, 1.0, 0.25)
        1.0
        >>> share_on_time([0.1, 0.85], 0.0, 1.0, 0.25)
        0.0
    """
    latest = LATE_AFTER_PERIODS * period
    inside = [time for time in times if opened <= time <= closed]
    if not inside:
        return 0.0
    # A window begins and ends between two reports. Count from its edge only if a report is missing there.
    first = opened if inside[0] - opened > latest else inside[0]
    last = closed if closed - inside[-1] > latest else inside[-1]
    due = (last - first) / period * rate
    came = sum(after - before <= latest for before, after in pairwise(inside))
    return min(1.0, came / due) if due else 0.0


def longest_gap(times: Sequence[float], since: float, until: float) -> float:
    """The longest time without a report that ends after ``since``, s.

    Args:
        times: when the reports were written, rising, s.
        since: begin of the first gap if there is no report before it, s.
        until: end of a gap that still lasts, s.

    Example:
        >>> longest_gap([0.0, 0.25, 1.25, 1.5], since=0.3, until=1.6)
        1.0
    """
    ends = [*(time for time in times if time < until), until]
    starts = [min(ends[0], since), *ends[:-1]]
    return max((end - start for start, end in zip(starts, ends, strict=True) if end > since), default=0.0)
