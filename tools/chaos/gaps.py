"""How long symbols went without a report because of a fault. No I/O."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tools.chaos.history import Injected, Record, Write


class Gap(NamedTuple):
    """What one symbol saw of one fault, in ms.

    Attributes:
        next_ms: from the fault to the next report (by a writer that was not hit; from a newer book where that is
            what the fault is about). Infinite when none came.
        longest_ms: the longest time without a report from the fault on, until every symbol was well again.
        interval_ms: the longest time between two successive reports, of those that end after the fault.
    """

    kind: str
    symbol: str
    time: float
    next_ms: float
    longest_ms: float
    interval_ms: float


def gaps(history: Iterable[Record]) -> list[Gap]:
    """The gaps of every fault in a history.

    Example:
        >>> writes = [Write(t, "BTCUSDT", "a/1", 1) for t in (10.0, 10.25, 10.6)]
        >>> fault = Injected(10.3, "node-kill", ("BTCUSDT",), counts_from=10.3, until=10.7)
        >>> [round(g.next_ms) for g in gaps([*writes, fault])]
        [300]
    """
    writes: dict[str, list[Write]] = defaultdict(list)
    faults = []
    for record in history:
        if isinstance(record, Write) and record.report:
            writes[record.symbol].append(record)
        elif isinstance(record, Injected):
            faults.append(record)
    times = {symbol: [write.time for write in those] for symbol, those in writes.items()}
    return [
        _gap(fault, symbol, writes.get(symbol, ()), times.get(symbol, ()))
        for fault in faults
        for symbol in fault.symbols
    ]


def _gap(fault: Injected, symbol: str, writes: Sequence[Write], times: Sequence[float]) -> Gap:
    first = bisect_right(times, fault.time)
    known = max((w.update_id or 0 for w in writes[:first][-100:]), default=0)
    after = [
        w.time
        for w in writes[first : bisect_right(times, fault.until)]
        if w.time >= fault.counts_from
        and w.owner != fault.owner_gone
        and not (fault.fresh and (w.update_id or 0) <= known)
    ]
    if not after:
        return Gap(fault.kind, symbol, fault.time, math.inf, math.inf, math.inf)
    before = writes[first - 1].time if first else fault.time
    from_fault = [later - earlier for earlier, later in zip([fault.counts_from, *after], after, strict=False)]
    intervals = [later - earlier for earlier, later in zip([before, *after], after, strict=False)]
    return Gap(
        fault.kind,
        symbol,
        fault.time,
        (after[0] - fault.counts_from) * 1000,
        max(from_fault) * 1000,
        max(intervals) * 1000,
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least ``percent`` % of the values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(math.ceil(percent / 100 * len(ranked)) - 1, 0)]
