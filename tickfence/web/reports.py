"""Reading reports: the text as the node wrote it, with how fresh it is added."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from tickfence.analytics.anomalies import notes
from tickfence.analytics.freshness import Freshness
from tickfence.analytics.report import Report
from tickfence.coordination.keys import report_key
from tickfence.web.data_plane import Command, DataPlane
from tickfence.web.sse import encode_json


class FreshReport(Report, frozen=True, kw_only=True):
    """A report as its node wrote it, how fresh it was when it was read, and its anomalies in words, in their order."""

    freshness: Freshness
    anomaly_notes: list[str] | UnsetType = UNSET


_CHUNK = 100  # reports read by one command, so that nobody else waits long for Redis


async def read_reports(plane: DataPlane, symbols: Sequence[str]) -> tuple[int, dict[str, bytes | None]]:
    """Server ms, and each symbol's report as JSON, None where there is none.

    Raises:
        web.data_plane.Unavailable: Redis is away.
    """
    keys = [report_key(symbol) for symbol in symbols]
    commands: list[Command]
    if plane.many_servers:
        commands = [("GET", key) for key in keys]
    else:
        commands = [("MGET", *keys[start : start + _CHUNK]) for start in range(0, len(keys), _CHUNK)]
    now_ms, replies = await plane.read(commands)
    found = replies if plane.many_servers else [report for reply in replies for report in reply]
    return now_ms, dict(zip(symbols, found, strict=True))


def with_freshness(report: bytes, fresh: Freshness) -> bytes:
    """A `FreshReport` as JSON; of the report only the anomalies are decoded."""
    texts = notes(report)
    words = b',"anomaly_notes":%b' % encode_json(texts) if texts else b""
    return b'%b,"freshness":%b%b}' % (report[:-1], encode_json(fresh), words)
