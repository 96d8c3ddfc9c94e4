"""What happened, as clients get it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tickfence.readers.reader import Reader
from tickfence.timeline import events, text

NEWEST = 200
"""How many events a client gets that has none."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event. The fields after `text` depend on its kind."""

    id: str
    at: Annotated[int, Meta(description="Server ms.")]
    kind: Annotated[str, Meta(description="`node`, `moved`, `leader`, `conflict`, `symbol` or `desired`.")]
    reason: str
    text: Annotated[str, Meta(description="What happened, in one sentence.")]
    node: str | None = None
    incarnation: str | None = None
    generation: int | None = None
    moves: Annotated[
        dict[str, tuple[str | None, str | None]] | None,
        Meta(description="Symbol -> [node before, node now]; null is no node."),
    ] = None
    by: str | None = None
    leader: str | None = None
    term: int | None = None
    symbol: str | None = None
    holder: str | None = None
    nodes: Annotated[str | None, Meta(description="Nodes that got stuck with the symbol, comma-separated.")] = None
    version: Annotated[int | None, Meta(description="Of the desired state.")] = None
    what: Annotated[str | None, Meta(description="What an operator asked for.")] = None


async def fetch_events(reader: Reader, after: str, limit: int) -> tuple[int, list[Event]]:
    """Return the server's time in ms, and at most ``limit`` events, oldest first.

    Args:
        reader: Reads them.
        after: An event's id: only later events are returned. ``""``, or one that Redis has lost: the newest are.
        limit: Maximum number of events.

    Raises:
        Unavailable: Redis does not answer.
    """
    newest = events.read_command(reader.keys, limit=limit)
    if after:
        command = events.read_command(reader.keys, after, limit)
        now_ms, [entries, last] = await reader.plane.read([command, events.read_command(reader.keys, limit=1)])
        if last and events.place(last[0][0]) < events.place(after):  # Redis has lost that one: its clock may be behind
            now_ms, [entries] = await reader.plane.read([newest])
    else:
        now_ms, [entries] = await reader.plane.read([newest])
    return now_ms, [event_answer(event) for event in events.parse(entries)]


def event_columns(listed: Sequence[Event]) -> dict[str, list[Any]]:
    """Return the fields of events as columns."""
    return {name: [getattr(event, name) for event in listed] for name in Event.__struct_fields__}


def event_answer(event: events.Event) -> Event:
    """Return an event as clients get it."""
    try:
        return msgspec.convert(text.to_json(event), Event)
    except msgspec.ValidationError:  # a field has another type than its kind should: keep what every event has
        return Event(event.id, event.at_ms, event.kind, event.reason, text.sentence(event))
