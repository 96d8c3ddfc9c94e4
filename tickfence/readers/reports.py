"""Reading reports: the text that the node wrote, its head, and how fresh it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from tickfence.analytics.freshness import Freshness
from tickfence.analytics.report import SCHEMA_VERSION, Ingestion, Report, Writer
from tickfence.keys import Keys
from tickfence.readers.data_plane import Command, DataPlane

_CHUNK = 100  # reports read by one command, so that no other client of Redis waits long


class FreshReport(Report, frozen=True, kw_only=True):
    """A report as its node wrote it, and how fresh it was when it was read."""

    freshness: Freshness


class _Depth(Struct, frozen=True, gc=False):
    imbalance: float | None = None


class _Flow(Struct, frozen=True, gc=False):
    window_sec: int
    orders_per_sec: float | None = None
    net_flow: float | None = None


class _Health(Struct, frozen=True, gc=False):
    score: float


class Head(Struct, frozen=True, gc=False):
    """The part of a report that a row shows. Decoding skips the rest, which is most of it."""

    schema_version: Literal["2.0"] = msgspec.field(name="schemaVersion")
    updated_at: int = msgspec.field(name="updatedAt")
    ingestion: Ingestion
    writer: Writer
    health: _Health
    flow: _Flow
    venue: str
    depth: _Depth = _Depth()
    base: str = ""
    quote: str = ""
    last_price: float | None = None
    change_24h_pct: float | None = None
    spread_bps: float | None = None


_decode = msgspec.json.Decoder(Head).decode


class BadReport(ValueError):
    """What Redis holds in place of a report is not a report of this schema version; the text says why."""


def decode_head(symbol: str, report: bytes) -> Head:
    """Return the head of a report.

    Args:
        symbol: Whose report it is.
        report: JSON in one line, as nodes write it: an event of a stream needs it so.

    Raises:
        BadReport: It is not a report of this schema version.
    """
    if not report.endswith(b"}") or b"\n" in report or b"\r" in report:
        raise BadReport(f"{symbol} has no readable report: what Redis holds is not one line with a JSON object")
    try:
        return _decode(report)
    except msgspec.DecodeError as error:
        raise BadReport(f"{symbol} has no readable report of schema version {SCHEMA_VERSION}: {error}") from error


def decode_report(symbol: str, report: bytes) -> FreshReport:
    """Return a whole report.

    Args:
        symbol: Whose report it is.
        report: What `with_freshness` returned.

    Raises:
        BadReport: It is not a report of this schema version.
    """
    try:
        return msgspec.json.decode(report, type=FreshReport)
    except msgspec.DecodeError as error:
        raise BadReport(f"{symbol} has no readable report of schema version {SCHEMA_VERSION}: {error}") from error


async def fetch_reports(
    plane: DataPlane, keys: Keys, symbols: Sequence[str], beside: Sequence[Command] = ()
) -> tuple[int, dict[str, bytes | None], list[Any]]:
    """Read reports in one round trip.

    Args:
        plane: Where they are.
        keys: The deployment's.
        symbols: Whose reports.
        beside: Further commands of the same round trip.

    Returns:
        The server's time in ms; each symbol's report as JSON, ``None`` where there is none; the replies to ``beside``.

    Raises:
        Unavailable: Redis does not answer.
    """
    names = [keys.report(symbol) for symbol in symbols]
    commands: list[Command]
    if plane.many_servers:
        commands = [("GET", name) for name in names]
    else:
        commands = [("MGET", *names[start : start + _CHUNK]) for start in range(0, len(names), _CHUNK)]
    now_ms, replies = await plane.read([*commands, *beside])
    read, others = replies[: len(commands)], replies[len(commands) :]
    found = read if plane.many_servers else [report for reply in read for report in reply]
    return now_ms, dict(zip(symbols, found, strict=True)), others


def with_freshness(report: bytes, fresh: Freshness) -> bytes:
    """Return a `FreshReport` as JSON, without decoding the report."""
    return b'%b,"freshness":%b}' % (report[:-1], msgspec.json.encode(fresh))
