"""How old a report is when it is read, and whether it may be relied on. No I/O."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from analytics.report import DEGRADED_MS, OK_MS

Status = Literal["ok", "degraded", "down"]
_WORSE: tuple[Status, ...] = ("ok", "degraded", "down")


class Freshness(Struct, frozen=True, gc=False):
    """A report's age when it was read, all by the Redis server's clock.

    The report's own ``data_age_ms`` and ``ingestion.status`` are from when it was written; a report that nobody
    rewrites shows them for as long as it is kept.
    """

    read_at: Annotated[int, Meta(description="When it was read, ms since the epoch.")]
    report_age_ms: Annotated[int, Meta(ge=0, description="Since the report was written.")]
    data_age_ms: Annotated[int | None, Meta(description="Since the newest market data in it; null if there is none.")]
    status: Annotated[Status, Meta(description="`ingestion.status` as it would be written now.")]
    stale: Annotated[bool, Meta(description="True when the status is `down`: do not act on this report.")]
    reason: Annotated[str | None, Meta(description="Why it is stale, in one sentence.")] = None


class Ingestion(Struct, frozen=True, gc=False):
    """``ingestion`` of a report."""

    status: Status
    last_update: int | None = None


class Written(Struct, frozen=True, gc=False):
    """What a report says of its own age."""

    updated_at: int = msgspec.field(name="updatedAt")
    ingestion: Ingestion


def freshness(report: Written, now_ms: int, period_ms: int) -> Freshness:
    """Judge ``report`` at ``now_ms``.

    A report no older than ``period_ms``, the time after which the next one is due, is as good as when it was written.
    From then on it ages with the time it is late, by the limits that ``ingestion.status`` has.
    """
    report_age = max(0, now_ms - report.updated_at)
    last_update = report.ingestion.last_update
    data_age = None if last_update is None else max(0, now_ms - last_update)
    late = max(0, report_age - period_ms)
    status: Status = "down"
    if last_update is not None:
        age = max(0, report.updated_at - last_update) + late
        by_age: Status = "ok" if age < OK_MS else "degraded" if age < DEGRADED_MS else "down"
        status = max(by_age, report.ingestion.status, key=_WORSE.index)
    return Freshness(now_ms, report_age, data_age, status, status == "down", _reason(status, late, data_age))


def _reason(status: Status, late_ms: int, data_age_ms: int | None) -> str | None:
    if status != "down":
        return None
    if data_age_ms is None:
        return "no market data has been received yet"
    if late_ms >= OK_MS:
        return f"the report has not been rewritten for {late_ms / 1000:.1f} s"
    return f"no market data has come for {data_age_ms / 1000:.1f} s"
