"""Whether a report that the client has is fresh enough to act on. No I/O.

The server says how old the market data was when it read the report. From then on the client counts with its own monotonic
clock, so it does not matter which time its machine has. A client knows only that the server read between request and
answer, so it takes the earlier moment: the age is never too low.
"""

from __future__ import annotations

from msgspec.structs import replace

from tickfence.client.errors import StaleReport
from tickfence.readers.reports import FreshReport

MAX_AGE_S = 3.0
"""The usual limit. The server calls a report stale when its data is two seconds old; the third is for the network."""


def aged(report: FreshReport, passed_s: float, *, stale: bool = False) -> FreshReport:
    """Return ``report`` with the ages that it has some time after it was read.

    Args:
        report: As the server sent it.
        passed_s: Seconds since the server read it.
        stale: Whether the server has called it stale since then.
    """
    passed_ms, fresh = max(0, round(passed_s * 1000)), report.freshness
    age = fresh.data_age_ms
    fresh = replace(
        fresh,
        read_at=fresh.read_at + passed_ms,
        report_age_ms=fresh.report_age_ms + passed_ms,
        data_age_ms=None if age is None else age + passed_ms,
    )
    if stale and not fresh.stale:
        fresh = replace(fresh, stale=True, status="down", reason="the server calls the report stale now")
    return replace(report, freshness=fresh)


def require_fresh(report: FreshReport, max_age_s: float | None) -> FreshReport:
    """Return ``report`` if you can act on it.

    Args:
        report: With its age now.
        max_age_s: How old its market data may be, seconds; ``None``: any age, and what the server calls stale, too.

    Raises:
        StaleReport: It is older, its age is not known, or the server calls it stale.
    """
    if max_age_s is None:
        return report
    fresh, limit_ms = report.freshness, round(max_age_s * 1000)
    if fresh.stale or fresh.data_age_ms is None or max(fresh.data_age_ms, 0) > limit_ms:
        raise StaleReport(report.symbol, fresh.data_age_ms, limit_ms, fresh.reason)
    return report
