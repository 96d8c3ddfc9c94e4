"""How regularly reports come where nothing is done to the stack. No I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from tools.chaos.history import Injected, Record, Write, stacks
from tools.chaos.kind import TWO_PERIODS_MS

PERIOD_MS = TWO_PERIODS_MS / 2


class Steadiness(NamedTuple):
    """Reports of all symbols from the first fault's beginning to the last one's end."""

    written: int
    due: int
    longest_ms: float
    above_two_periods: int


def steadiness(history: Iterable[Record], period_ms: float = PERIOD_MS) -> Steadiness | None:
    """What a history shows; None where there was no fault, or one that is not :mod:`tools.chaos.faults.quiet`'s ``nothing``.

    A silence also counts that lasts at the beginning, or at the end.
    """
    total: Steadiness | None = None
    for records in stacks(history):
        faults = [record for record in records if isinstance(record, Injected)]
        if any(fault.kind != "nothing" for fault in faults):
            return None
        if not faults:
            continue
        one = _of(records, min(fault.time for fault in faults), max(fault.until for fault in faults), period_ms)
        total = one if total is None else _sum(total, one)
    return total


def _of(records: Iterable[Record], since: float, until: float, period_ms: float) -> Steadiness:
    times: dict[str, list[float]] = defaultdict(list)
    for record in records:
        if isinstance(record, Write) and record.report:
            times[record.symbol] += [record.time] if since <= record.time <= until else []
    silences = [
        (later - earlier) * 1000
        for of_symbol in times.values()
        for earlier, later in pairwise([since, *of_symbol, until])
    ]
    return Steadiness(
        written=sum(map(len, times.values())),
        due=int((until - since) * 1000 / period_ms) * len(times),
        longest_ms=max(silences, default=(until - since) * 1000),
        above_two_periods=sum(silence > 2 * period_ms for silence in silences),
    )


def _sum(one: Steadiness, other: Steadiness) -> Steadiness:
    return Steadiness(
        one.written + other.written,
        one.due + other.due,
        max(one.longest_ms, other.longest_ms),
        one.above_two_periods + other.above_two_periods,
    )


def sentence(found: Steadiness | None) -> str:
    """It in words, or ""."""
    if found is None or not found.due:
        return ""
    return (
        f"{found.written} of {found.due} due reports were written ({found.written / found.due:.2%}); "
        f"longest gap {found.longest_ms:.0f} ms, {found.above_two_periods} gaps above two periods."
    )
