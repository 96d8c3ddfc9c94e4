"""The answer of `get_changes`: what changed, who wrote meanwhile, what there is now. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct

from tickfence.analytics.fields import SEVERITIES
from tickfence.analytics.freshness import SymbolStatus
from tickfence.mcp.changes import LISTED, Changes
from tickfence.readers.reports import FreshReport
from tickfence.timeline.events import Event, Kind
from tickfence.timeline.text import sentence

WALLS = 4
"""Walls of each side that are listed: the largest."""

_Findings = Annotated[list[dict[str, Any]], Meta(description="As in get_report.")]


class Present(Struct, frozen=True):
    """What the current report shows."""

    status: SymbolStatus
    stale: bool
    reason: str | None
    node: str
    walls: _Findings
    walls_left_out: Annotated[int, Meta(description="Smaller ones.")]
    anomalies: _Findings
    anomalies_left_out: int


class Happened(Struct, frozen=True):
    """One event of the timeline that concerns the symbol."""

    at: int
    text: str


class SymbolChanges(Changes, frozen=True, kw_only=True):
    """What changed for one symbol in a range of time, as far as its history tells."""

    symbol: str
    since: int
    until: int
    events: Annotated[list[Happened], Meta(description="Of the symbol's ownership, oldest first.")]
    events_left_out: int
    present: Annotated[Present | None, Meta(description="Null without a report.")]
    notes: Annotated[list[str], Meta(description="What is missing in this answer, and why.")]

    @classmethod
    def of(
        cls,
        found: Changes,
        symbol: str,
        since: int,
        until: int,
        events: Sequence[Happened],
        current: Present | None,
        notes: list[str],
    ) -> SymbolChanges:
        """Return the answer: ``found`` in ``symbol`` from ``since`` to ``until``, with the newest of ``events``."""
        return cls(
            **{name: getattr(found, name) for name in Changes.__struct_fields__},
            symbol=symbol,
            since=since,
            until=until,
            events=list(events[-LISTED:]),
            events_left_out=max(0, len(events) - LISTED),
            present=current,
            notes=notes,
        )


def present(report: FreshReport) -> Present:
    """Return what ``report`` shows: the largest walls of each side, and the worst anomalies."""
    liquidity = report.liquidity
    walls = [] if liquidity is UNSET or liquidity.walls is UNSET else liquidity.walls
    largest = []
    for side in ("bid", "ask"):
        largest += sorted((wall for wall in walls if wall.side == side), key=lambda wall: -wall.qty)[:WALLS]
    anomalies = [] if report.anomalies is UNSET else report.anomalies
    worst = sorted(anomalies, key=lambda one: SEVERITIES.index(one.severity), reverse=True)[:LISTED]
    return Present(
        report.freshness.status,
        report.freshness.stale,
        report.freshness.reason,
        report.writer.node_id,
        msgspec.to_builtins(largest),
        len(walls) - len(largest),
        msgspec.to_builtins(worst),
        len(anomalies) - len(worst),
    )


def happened(events: Iterable[Event], symbol: str) -> list[Happened]:
    """Return the events that concern ``symbol``; of a move of several symbols only its own part."""
    return [Happened(event.at_ms, sentence(own)) for event in events if (own := _own(event, symbol))]


def _own(event: Event, symbol: str) -> Event | None:
    """Return what an event says of ``symbol``, if anything."""
    match event.kind:
        case Kind.MOVED if symbol in event.moves:
            moves = json.dumps({symbol: event.moves[symbol]})
            return event._replace(fields=event.fields | {"moves": moves})
        case Kind.CONFLICT | Kind.SYMBOL if event.fields.get("symbol") == symbol:
            return event
        case Kind.DESIRED if symbol in event.fields.get("what", "").split():
            return event
    return None
