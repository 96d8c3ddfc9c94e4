"""The answer of `get_changes` in plain language. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from tickfence.analytics.fields import readable
from tickfence.mcp.amount import amount
from tickfence.mcp.changes import Count, Episodes
from tickfence.mcp.changes_answer import Present, SymbolChanges
from tickfence.mcp.gauge import LIMITS, Gauge

_NAMES = {
    "mid_price": "price",
    "spread_bps": "spread in bps",
    "bid_qty": "bid depth",
    "ask_qty": "ask depth",
    "imbalance": "imbalance",
    "orders_per_sec": "trades a second",
    "net_flow": "net flow of 30 s",
    "health": "health",
}


def changes_text(found: SymbolChanges) -> str:
    """Return the answer, one subject a line: what changed first, what is missing last."""
    return "\n".join(_lines(found))


def _lines(found: SymbolChanges) -> Iterator[str]:
    now = found.present
    if now is None:
        yield f"{found.symbol} has no report now"
    elif now.stale:
        yield f"{found.symbol} is STALE now, do not act on it: {now.reason}"
    day = datetime.fromtimestamp(found.since / 1000, UTC).date()
    covered = "no rows of history"
    if found.covered_since is not None and found.covered_until is not None:
        rows = "1 row" if found.rows == 1 else f"{found.rows} rows"
        covered = f"{rows} of history, {_span(found.covered_since, found.covered_until)}"
    yield f"{found.symbol}, {day} {clock(found.since)} to {clock(found.until)} UTC: {covered}"
    yield from _numbers(found.numbers)
    for name, count in (("walls", found.walls), ("vacuums", found.vacuums)):
        if count:
            yield _counted(name, count)
    yield _episodes(found.anomalies) if found.rows else "anomalies: not known"
    if now:
        yield from _present(now)
    for disturbance in found.disturbances.listed:
        yield f"market data {disturbance.status} {_when(disturbance.since, disturbance.until)}"
    for gap in found.gaps.listed:
        yield f"no rows {_when(gap.since, gap.until)}: nothing is known of that time"
    for handover in found.handovers.listed:
        yield f"another writer from {clock(handover.at)}: token {handover.token}"
    for event in found.events:
        yield f"{clock(event.at)} {event.text}"
    yield from found.notes
    left_out = [
        amount(count, one, many)
        for count, one, many in (
            (found.disturbances.left_out, "older disturbance", ""),
            (found.gaps.left_out, "older gap", ""),
            (found.handovers.left_out, "older change of the writer", "older changes of the writer"),
            (found.events_left_out, "older event", ""),
        )
        if count
    ]
    if left_out:
        yield f"left out: {', '.join(left_out)}"


def _numbers(numbers: dict[str, Gauge]) -> Iterator[str]:
    steady = []
    for name, gauge in numbers.items():
        extremes = (
            f"low {readable(gauge.low)} at {clock(gauge.low_at)}, high {readable(gauge.high)} at {clock(gauge.high_at)}"
        )
        span = f"{readable(gauge.first)} to {readable(gauge.last)}, {extremes}, median {readable(gauge.median)}"
        if gauge.trend == "steady":
            steady.append(f"{_NAMES[name]} {readable(gauge.last)} ({readable(gauge.low)} to {readable(gauge.high)})")
        elif gauge.trend == "swung":
            yield f"{_NAMES[name]} swung and came back: {span}"
        else:
            yield f"{_NAMES[name]} {gauge.trend}{_share(name, gauge)}: {span}"
    if steady:
        yield f"steady: {', '.join(steady)}"
    if numbers:
        yield f"changed means by at least: {', '.join(_limit(name) for name in numbers)}"


def _share(name: str, gauge: Gauge) -> str:
    if not LIMITS[name].share or gauge.first * gauge.last <= 0:
        return ""
    share = f"{abs(gauge.last / gauge.first - 1) * 100:.3g}"
    return f" by {float(share):,g} %"


def _limit(name: str) -> str:
    limit = LIMITS[name]
    return f"{_NAMES[name]} {limit.share * 100:g} %" if limit.share else f"{_NAMES[name]} {limit.least:g}"


def _counted(name: str, count: Count) -> str:
    if not count.steps:
        return f"{name}: {count.last} all the time"
    steps = ", ".join(f"{clock(step.at)} {step.before} to {step.after}" for step in count.steps)
    more = f"; {amount(count.left_out, 'older change')} left out" if count.left_out else ""
    return (
        f"{name}: {count.first} to {count.last} (from {count.low} to {count.high}), "
        f"at least {count.came} came and {count.went} went: {steps}{more}"
    )


def _episodes(found: Episodes) -> str:
    if not found.listed:
        return "anomalies: none"
    times = [
        f"{_when(one.since, one.until)}{'' if one.begun else ' (or longer)'}, "
        f"{f'{one.severity}, ' if one.severity else ''}{one.most} at once"
        for one in found.listed
    ]
    if len(times) + found.left_out == 1:
        return f"anomalies: {times[0]}"
    more = f"; {amount(found.left_out, 'older episode')} left out" if found.left_out else ""
    worst = f", the worst {found.worst} from {clock(found.worst_at)}" if found.worst_at is not None else ""
    return f"anomalies: {amount(len(times) + found.left_out, 'episode')}{worst}: {'; '.join(times)}{more}"


def _present(now: Present) -> Iterator[str]:
    if now.walls:
        walls = ", ".join(f"{wall['side']} {readable(wall['price'])}: {readable(wall['qty'])}" for wall in now.walls)
        more = f", and {now.walls_left_out} smaller" if now.walls_left_out else ""
        yield f"walls now: {walls}{more}"
    for one in now.anomalies:
        yield f"anomaly now: {one['type'].replace('_', ' ')}, {one['severity']}, {one['note']}"
    if now.anomalies_left_out:
        yield f"{amount(now.anomalies_left_out, 'further anomaly', 'further anomalies')} now"
    yield f"written by {now.node} now"


def _when(since: int, until: int | None) -> str:
    if until is None:
        return f"since {clock(since)}"
    return _span(since, until)


def _span(since: int, until: int) -> str:
    return f"at {clock(since)}" if clock(since) == clock(until) else f"{clock(since)} to {clock(until)}"


def clock(ms: int) -> str:
    """Return the time of day in UTC.

    Example:
        >>> clock(1_700_000_000_042)
        '22:13:20'
    """
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%H:%M:%S}"
