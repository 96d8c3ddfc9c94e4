"""Whether reports come as often as they should, from nothing but the moments at which they were written. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

LATE_AFTER_PERIODS = 1.5
"""A report that comes longer than this after the one before it is late."""

FORGIVEN_RATE = 0.9
"""What is left of the rate where a slow drift is forgiven."""


def share_on_time(times: Sequence[float], opened: float, closed: float, period: float, *, rate: float = 1.0) -> float:
    """Share of the reports due between ``opened`` and ``closed`` that came, and came on time; at most 1.

    It falls below 1 by reports that come late, and by all coming too seldom: a schedule that drifts from 250 ms to
    260 ms has 96 % of what was due. ``rate`` below 1 forgives that much of a drift.

    Parameters:
        times: when one symbol's reports were written, rising, seconds.
        opened, closed: the window, seconds; what is outside is ignored.
        period: seconds from one report to the next.
        rate: share of the full rate that is asked for.

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
    # The window's edges lie anywhere between two reports: they are no reports, unless one is missing there.
    first = opened if inside[0] - opened > latest else inside[0]
    last = closed if closed - inside[-1] > latest else inside[-1]
    due = (last - first) / period * rate
    came = sum(after - before <= latest for before, after in pairwise(inside))
    return min(1.0, came / due) if due else 0.0


def longest_gap(times: Sequence[float], since: float, until: float) -> float:
    """The longest time without a report that ends after ``since``, seconds; one that still lasts ends ``until``, and
    one before which there was no report begins at ``since``.

    Example:
        >>> longest_gap([0.0, 0.25, 1.25, 1.5], since=0.3, until=1.6)
        1.0
    """
    ends = [*(time for time in times if time < until), until]
    starts = [min(ends[0], since), *ends[:-1]]
    return max((end - start for start, end in zip(starts, ends, strict=True) if end > since), default=0.0)
