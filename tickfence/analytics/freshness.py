"""How old a report is when it is read, and whether you can rely on it: the same rule for every reader. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Protocol, TypeGuard

from msgspec import UNSET, Meta, Struct

from tickfence.analytics.report import DEGRADED_MS, OK_MS, Ingestion, Status
from tickfence.analytics.symbol_state import AHEAD_MS

Idle = Literal["paused", "set aside"]
"""Why a symbol gets no reports on purpose: an operator has paused it, or it made two nodes stuck."""

SymbolStatus = Literal["ok", "degraded", "down", "paused", "set aside"]
"""The status of a symbol's report as a reader shows it."""

_WORSE: tuple[Status, ...] = ("ok", "degraded", "down")
_IDLE: Mapping[Idle, str] = {
    "paused": "an operator has paused the symbol, so its report is not rewritten",
    "set aside": "two nodes got stuck while they worked on the symbol, so no node gets it until an operator resumes it",
}


class Freshness(Struct, frozen=True, gc=False):
    """A report's age when it was read, by the Redis server's clock.

    The report's own `data_age_ms` and `ingestion.status` are from the time of writing. A report that is no longer
    rewritten keeps showing them until it expires.
    """

    read_at: Annotated[int, Meta(description="When it was read, ms since the epoch.")]
    report_age_ms: Annotated[int, Meta(ge=0, description="Since the report was written.")]
    data_age_ms: Annotated[
        int | None, Meta(description="Since the newest market data in it; null if that is not known.")
    ]
    status: Annotated[
        SymbolStatus,
        Meta(
            description="`ingestion.status` as it would be written now; `paused` or `set aside` while nobody is to write."
        ),
    ]
    stale: Annotated[
        bool, Meta(description="True when the status is neither `ok` nor `degraded`: do not act on this report.")
    ]
    reason: Annotated[str | None, Meta(description="Why it is stale, in one sentence.")] = None


class Dated(Protocol):
    """A report, or a part of it that has its age."""

    @property
    def updated_at(self) -> int:
        """When it was written, ms since the epoch."""

    @property
    def ingestion(self) -> Ingestion:
        """Its status and the time of its newest market data."""


def is_idle(status: SymbolStatus) -> TypeGuard[Idle]:
    """Whether a status says that nobody is to write the symbol's report."""
    return status in _IDLE


def explained(idle: Idle) -> str:
    """Why a symbol is idle, in one sentence without its full stop."""
    return _IDLE[idle]


def freshness(report: Dated, now_ms: int, period_ms: int, idle: Idle | None = None) -> Freshness:
    """The freshness of a report at `now_ms`.

    A report that is at most `period_ms` old is as good as when it was written, because the next report is not due yet.
    After that it ages by the time that the next report is late, within the limits of `ingestion.status`. A report that
    is dated ahead of `now_ms` ages by the difference: the clock was set back or belongs to another server now, so its
    real age is unknown. So is that of data which is dated more than `AHEAD_MS` ahead of `now_ms` or of its report.

    Args:
        report: the report.
        now_ms: the Redis server's time.
        period_ms: `NT_REPORT_PERIOD_MS`.
        idle: why nobody is to rewrite it, if so. It is stale at once, then, because it will not change any more.
    """
    since = now_ms - report.updated_at
    last_update = report.ingestion.last_update
    ahead = 0 if last_update is UNSET else last_update - min(now_ms, report.updated_at)
    if ahead > AHEAD_MS:
        last_update = UNSET
    data_age = None if last_update is UNSET else max(0, now_ms - last_update)
    late = max(0, abs(since) - period_ms)
    status: Status = "down"
    if last_update is not UNSET:
        age = max(0, report.updated_at - last_update) + late
        by_age: Status = "ok" if age < OK_MS else "degraded" if age < DEGRADED_MS else "down"
        status = max(by_age, report.ingestion.status, key=_WORSE.index)
    if idle is not None:
        return Freshness(now_ms, max(0, since), data_age, idle, True, _IDLE[idle])
    stale = status == "down"
    reason = _reason(since, late, data_age, ahead) if stale else None
    return Freshness(now_ms, max(0, since), data_age, status, stale, reason)


def _reason(since_ms: int, late_ms: int, data_age_ms: int | None, ahead_ms: int) -> str:
    if late_ms >= OK_MS and since_ms < 0:
        return f"the report is dated {-since_ms / 1000:.1f} s ahead of Redis' clock, so its age is not known"
    if ahead_ms > AHEAD_MS:
        return f"the market data is dated {ahead_ms / 1000:.1f} s ahead of Redis' clock, so its age is not known"
    if data_age_ms is None:
        return "the age of the market data is not known: none has come yet, or Redis' clock was wrong"
    if late_ms >= OK_MS:
        return f"the report has not been rewritten for {late_ms / 1000:.1f} s"
    return f"no market data has come for {data_age_ms / 1000:.1f} s"
