"""``celery timeline``: the latest events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.markup import escape

from tickfence.cli.fitting import Column, FittingTable
from tickfence.cli.session import View
from tickfence.cli.style import coloured
from tickfence.settings import Settings
from tickfence.timeline import events
from tickfence.timeline.events import Event, Kind
from tickfence.timeline.text import to_json

_COLUMNS = (Column("time", wraps=12), Column("kind", spare=1), Column("what", wraps=20), Column("why", spare=2))
_COLOURS: Mapping[str, str] = {
    Kind.NODE: "cyan",
    Kind.MOVED: "yellow",
    Kind.LEADER: "magenta",
    Kind.CONFLICT: "bold red",
    Kind.DESIRED: "blue",
    Kind.SYMBOL: "bold red",
}


def read(client: Any, settings: Settings, limit: int) -> View:
    """Read the last ``limit`` events."""
    found = events.read(client, settings.keys, limit=limit)
    return View([to_json(event) for event in found], _table(found))


def _table(found: Iterable[Event]) -> FittingTable:
    table = FittingTable(*_COLUMNS, title="events, the newest last")
    for event in found:
        at = datetime.fromtimestamp(event.at_ms / 1000).astimezone()
        kind = coloured(event.kind, _COLOURS.get(event.kind))
        table.add_row(
            f"{at:%d %b %H:%M:%S}.{event.at_ms % 1000:03d}", kind, escape(to_json(event)["text"]), escape(event.reason)
        )
    return table
