"""What happened, as clients get it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tickfence.timeline import events, text
from tickfence.web.data_plane import DataPlane

NEWEST = 200
"""Events that one gets who has seen none."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event. It has the fields after `text` that belong to its kind."""

    id: str
    at: Annotated[int, Meta(description="Server ms.")]
    kind: Annotated[str, Meta(description="`node`, `moved`, `leader` or `conflict`.")]
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


async def read_events(plane: DataPlane, after: str, limit: int) -> tuple[int, list[Event]]:
    """Server ms, and at most ``limit`` events, oldest first: those after the id ``after``; where it is "", the newest.

    Raises:
        web.data_plane.Unavailable: Redis is away.
    """
    now_ms, [entries] = await plane.read([events.read_command(after, limit)])
    return now_ms, [_event(event) for event in events.parse(entries)]


def _event(event: events.Event) -> Event:
    try:
        return msgspec.convert(text.to_json(event), Event)
    except msgspec.ValidationError:  # a field is not of its kind: what is sure of every event remains
        return Event(event.id, event.at_ms, event.kind, event.reason, text.sentence(event))
