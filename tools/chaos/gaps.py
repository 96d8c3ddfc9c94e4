"""How long symbols went without a report: because of a fault, and without one. No I/O."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from tools.chaos.history import Appended, Injected, Record, Write, stacks

TWO_PERIODS_MS = 500


class Gap(NamedTuple):
    """The effect of one fault on one symbol. Of a fault that has ``appends``, read "update in the stream" for "report".

    Attributes:
        kind: of the fault.
        symbol: the symbol.
        time: when the fault began: Unix time, s.
        next_ms: from the fault to the next report that ends the gap (see :class:`tools.chaos.history.Injected`);
            infinite without one.
        longest_ms: the longest time without a report, from the fault until its end.
    """

    kind: str
    symbol: str
    time: float
    next_ms: float
    longest_ms: float


def gaps(history: Iterable[Record]) -> list[Gap]:
    """The gaps of every fault in a history, one for each symbol it concerns.

    Example:
        >>> writes = [Write(t, "BTCUSDT", "a/1", 1) for t in (10.0, 10.25, 10.6)]
        >>> fault = Injected(10.3, "node-kill", ("BTCUSDT",), counts_from=10.3, until=10.7)
        >>> [round(g.next_ms) for g in gaps([*writes, fault])]
        [300]
    """
    writes: dict[tuple[str, bool], list[Write | Appended]] = defaultdict(list)
    faults = []
    for record in history:
        if (isinstance(record, Write) and record.report) or (isinstance(record, Appended) and record.last):
            writes[record.symbol, isinstance(record, Appended)].append(record)
        elif isinstance(record, Injected):
            faults.append(record)
    times = {what: [write.time for write in those] for what, those in writes.items()}
    return [
        _gap(fault, symbol, writes.get((symbol, fault.appends), ()), times.get((symbol, fault.appends), ()))
        for fault in faults
        for symbol in fault.symbols
    ]


def _gap(fault: Injected, symbol: str, writes: Sequence[Write | Appended], times: Sequence[float]) -> Gap:
    first = bisect_right(times, fault.time)
    known = [_basis(write) for write in writes[:first][-100:]] or [0]
    after = [
        w.time
        for w in writes[first : bisect_right(times, fault.until)]
        if w.time >= fault.counts_from
        and w.owner != fault.owner_gone
        # Below all of them is newer as well: the exchange numbers its updates from the start again.
        and not (fault.fresh and min(known) <= _basis(w) <= known[-1])
    ]
    if not after:
        return Gap(fault.kind, symbol, fault.time, math.inf, math.inf)
    from_fault = [later - earlier for earlier, later in zip([fault.counts_from, *after], after, strict=False)]
    return Gap(fault.kind, symbol, fault.time, from_fault[0] * 1000, max(from_fault) * 1000)


def _basis(write: Write | Appended) -> int:
    """The update that a report was made from, or an update itself."""
    return write.last if isinstance(write, Appended) else write.update_id or 0


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that at least ``percent`` % of them do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(math.ceil(percent / 100 * len(ranked)) - 1, 0)]


class Regularity(NamedTuple):
    """Reports of all symbols from the beginning of the first fault to the end of the last one.

    Attributes:
        written: how many there were.
        due: how many there should be.
        longest_ms: the longest time without a report of a symbol.
        above_two_periods: how often a symbol had no report for more than two periods.
    """

    written: int
    due: int
    longest_ms: float
    above_two_periods: int


def regularity(history: Iterable[Record]) -> Regularity | None:
    """How regular reports are without faults; ``None`` if the history has another fault than ``nothing``, or none.

    A gap at the beginning or at the end counts as well.
    """
    found = []
    for records in stacks(history):
        faults = [record for record in records if isinstance(record, Injected)]
        if any(fault.kind != "nothing" for fault in faults):
            return None
        if faults:
            since, until = min(fault.time for fault in faults), max(fault.until for fault in faults)
            found.append(_regularity(records, since, until))
    if not found:
        return None
    written, due, longest, above = zip(*found, strict=True)
    return Regularity(sum(written), sum(due), max(longest), sum(above))


def _regularity(records: Iterable[Record], since: float, until: float) -> Regularity:
    times: dict[str, list[float]] = defaultdict(list)
    for record in records:
        if isinstance(record, Write) and record.report:
            times[record.symbol] += [record.time] if since <= record.time <= until else []
    intervals = [
        (later - earlier) * 1000
        for of_symbol in times.values()
        for earlier, later in pairwise([since, *of_symbol, until])
    ]
    return Regularity(
        written=sum(map(len, times.values())),
        due=int((until - since) * 2000 / TWO_PERIODS_MS) * len(times),
        longest_ms=max(intervals, default=(until - since) * 1000),
        above_two_periods=sum(interval > TWO_PERIODS_MS for interval in intervals),
    )


def describe_regularity(found: Regularity | None) -> str:
    """One sentence, or "" where nothing was due."""
    if found is None or not found.due:
        return ""
    return (
        f"{found.written} of {found.due} due reports were written ({found.written / found.due:.2%}); "
        f"longest gap {found.longest_ms:.0f} ms, {found.above_two_periods} gaps above two periods."
    )
