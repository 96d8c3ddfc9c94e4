"""``celery history``: what the reports of a symbol said over time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.markup import escape

from tickfence.cli import session
from tickfence.cli.fitting import Column, FittingTable
from tickfence.cli.session import NotAccepted, NothingThere, Unreachable, View
from tickfence.cli.style import SEVERITY, STATUS, coloured, number
from tickfence.instrument import Instrument
from tickfence.readers.archive import Recorded, Recordings
from tickfence.readers.cluster import server_ms
from tickfence.readers.columns import csv_of
from tickfence.readers.data_plane import Unavailable, Unreadable
from tickfence.readers.history import (
    History,
    before_joint,
    fields_named,
    joined,
    next_since,
    parse_recent,
    recent_commands,
)
from tickfence.readers.when import BadRange, iso, parse_range
from tickfence.settings import Settings

_FIRST_OUT = ("token", "vacuums", "walls", "last_price", "net_flow", "health", "orders_per_sec", "anomalies", "status")
_HEADINGS = {"time_ms": "time", "orders_per_sec": "trades/s", "spread_bps": "spread, bps"}
_COLOURS = {"severity": SEVERITY, "status": STATUS}


def read(
    client: Any, settings: Settings, symbol: Instrument, since: str, until: str, step: str, fields: str, limit: int
) -> View:
    """Read the oldest ``limit`` rows of a range."""
    found, names = _read(client, settings, symbol, since, until, step, fields, limit)
    asked = found.asked
    data = {"symbol": symbol, "since": asked.since_ms, "until": asked.until_ms, "stepMs": asked.step_ms}
    return View(data | {"columns": found.columns(names), "more": found.more, "note": found.notes}, _table(found, names))


def write_csv(*arguments: Any) -> None:
    """Write them as CSV to standard output; ``arguments`` are those of :func:`read` after the settings."""
    with session.connected("history") as (client, settings):
        found, names = session.reach(settings, lambda: _read(client, settings, *arguments))
        session.say(csv_of(found.columns(names)).replace("\r\n", "\n").rstrip("\n"))
        for line in filter(None, (found.notes, _more(found))):
            session.remark(line)


def _read(
    client: Any, settings: Settings, symbol: Instrument, since: str, until: str, step: str, fields: str, limit: int
) -> tuple[History, Sequence[str]]:
    try:
        names = fields_named(fields)
        asked = parse_range(since, until, server_ms(client), step)
    except BadRange as error:
        raise NotAccepted(str(error)) from None
    pipe = client.pipeline(transaction=False)
    for command in recent_commands(settings.keys, symbol, asked):
        pipe.execute_command(*command)
    recent = parse_recent(settings.keys, symbol, pipe.execute(), asked)
    older = before_joint(asked, recent)
    try:
        recordings = Recordings(settings.nt_recordings)
        recorded = Recorded() if older is None else recordings.history(symbol, older, names, limit + 1)
    except Unreadable:
        raise
    except Unavailable as error:
        raise Unreachable(str(error)) from None
    found = joined(symbol, asked, recorded, recent, limit)
    if not found.rows:
        raise NothingThere(found.note or f"{symbol} has no history from {iso(asked.since_ms)} to {iso(asked.until_ms)}")
    return found, names


def _table(found: History, names: Sequence[str]) -> FittingTable:
    spare = {name: len(_FIRST_OUT) - place for place, name in enumerate(_FIRST_OUT)}
    columns = [
        Column(
            _HEADINGS.get(name, name.replace("_", " ")),
            right=name not in ("time_ms", *_COLOURS),
            spare=spare.get(name, 0),
        )
        for name in names
    ]
    caption = " ".join(filter(None, (found.notes and f"{found.notes}.", _more(found))))
    table = FittingTable(*columns, title=escape(f"{found.symbol}, the newest last"), caption=escape(caption) or None)
    for row in found.rows:
        table.add_row(*(_cell(name, getattr(row, name)) for name in names))
    return table


def _cell(name: str, value: Any) -> str:
    if name == "time_ms":
        return f"{datetime.fromtimestamp(value / 1000).astimezone():%d %b %H:%M:%S}"
    if value is None:
        return ""
    if name in _COLOURS:
        return coloured(value, _COLOURS[name].get(value))
    return str(value) if name == "token" else number(float(value))


def _more(found: History) -> str:
    if not found.more:
        return ""
    return f"There are more: --since {next_since(found.rows[-1].time_ms, found.asked.step_ms)}"
