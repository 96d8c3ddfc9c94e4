"""Events of any age without a seam: the last thousand are in Redis, older ones in recordings, as in :mod:`.history`."""

from __future__ import annotations

from typing import NamedTuple

from tickfence.keys import Keys
from tickfence.readers.archive import Recorded
from tickfence.readers.data_plane import Command
from tickfence.readers.reader import Reader
from tickfence.readers.when import iso
from tickfence.timeline import events
from tickfence.timeline.events import Event, Place

_END = (1 << 63, 0)


class Span(NamedTuple):
    """A part of the timeline.

    Attributes:
        begin: The place of the first event in it, or before that.
        end: The place of the first event after it.
    """

    begin: Place = (0, 0)
    end: Place = _END


class PastEvents(NamedTuple):
    """Events, oldest first.

    Attributes:
        events: The events.
        more: Whether there are further ones in the span, after the last.
        note: Why older ones are missing, in one sentence; ``None`` if none are, as far as anyone knows.
    """

    events: list[Event]
    more: bool = False
    note: str | None = None


async def read_events(reader: Reader, asked: Span, limit: int) -> PastEvents:
    """Return the oldest ``limit`` events of a span.

    Raises:
        Unavailable: Redis does not answer, or recordings cannot be read now.
    """
    _, [entries, first] = await reader.plane.read(_commands(reader.keys, asked, limit + 1))
    recent = events.parse(entries)
    joint = min((events.place(entry) for entry, _ in (*entries[:1], *first)), default=None)
    older = asked._replace(end=min(asked.end, joint or asked.end))
    recorded: Recorded[Event] = Recorded()
    if older.begin < older.end:
        recorded = await reader.archive.events(older.begin, older.end, limit + 1)
    found = {event.id: event for event in (*recorded.rows, *recent)}.values()
    note = (
        recorded.note and f"Redis has {f'the events from {iso(joint[0])}' if joint else 'no events'}; {recorded.note}"
    )
    return PastEvents(list(found)[:limit], len(found) > limit, note)


def _commands(keys: Keys, asked: Span, limit: int) -> list[Command]:
    """The events of a span, then the oldest of all, in this order: see :func:`.history.recent_commands`."""
    begin, end = (f"{ms}-{number}" for ms, number in asked)
    return [("XRANGE", keys.events, begin, f"({end}", "COUNT", limit), ("XRANGE", keys.events, "-", "+", "COUNT", 1)]
