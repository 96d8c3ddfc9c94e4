"""What ``celery audit`` finds, for people and for programs: each :class:`tasks.audit.Audit`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from tickfence.cli import session
from tickfence.cli.backfill_request import absolute, parse_symbols, parse_time, recorded, told
from tickfence.cli.fitting import Column, FittingTable
from tickfence.cli.session import NothingThere
from tickfence.readers.when import iso
from tickfence.recordings.kinds import Kind
from tickfence.recordings.recording import Recording
from tickfence.recordings.store import BadRecordings
from tickfence.settings import load_for_reader

_COLUMNS = (
    Column("symbol"),
    Column("compared", right=True),
    Column("equal", right=True),
    Column("not warm", right=True),
    Column("equal anyway", right=True, spare=1),
    Column("why not", wraps=20),
)


def run(*, from_: str | None, to: str | None, symbols: str | None, as_json: bool) -> None:
    """Run ``celery audit``.

    Raises:
        click.ClickException: there is nothing to compare.
        SystemExit: with status 1, where something differs.
    """
    url, named = absolute(load_for_reader().nt_recordings), parse_symbols(symbols)
    now_ms = round(time.time() * 1000)
    try:
        recording = Recording(url)
        spans = recorded(recording, named)
        missing = [name for name in named if name not in spans]
        live = {name: recording.span(Kind.BASES, name) for name in spans}
    except BadRecordings as error:
        raise session.NotAccepted(str(error)) from None
    if missing:
        raise NothingThere(f"nothing is recorded of {', '.join(missing)} in {url}; leave out --symbols for all that is")
    known = [span for span in live.values() if span is not None]
    if not known:
        raise NothingThere(f"no live reports are recorded in {url}: NT_HISTORY_MINUTES=0 turns that off")
    from_ms = min(first for first, _ in known) if from_ is None else parse_time("--from", from_, now_ms)
    to_ms = max(last for _, last in known) + 1 if to is None else parse_time("--to", to, now_ms)
    try:
        found = list(_tasks().audit(recording, list(spans), from_ms, to_ms))
    except BadRecordings as error:
        raise session.NotAccepted(str(error)) from None
    if as_json:
        session.say(json.dumps(_data(found)))
    else:
        session.console().print(_picture(found))
    if any(each.different for each in found):
        raise SystemExit(1)
    if not any(each.compared for each in found):
        raise NothingThere(f"no report from {iso(from_ms)} to {iso(to_ms)} could be compared; {told(spans)}")


def _tasks() -> Any:
    """:mod:`tasks.audit`. The roles are no part of this package: they come with ``celery -A tasks``."""
    try:
        return import_module("tasks.audit")
    except ModuleNotFoundError as error:
        if error.name not in ("tasks", "tasks.audit"):
            raise
        raise click.ClickException("the roles are not here: run this where `celery -A tasks` finds them") from None


def _data(found: Iterable[Any]) -> list[dict[str, Any]]:
    return [
        {
            "symbol": each.symbol,
            "compared": each.compared,
            "equal": each.equal,
            "notWarm": dict(each.not_warm),
            "equalAnyway": each.equal_anyway,
            "sections": each.sections,
            "different": each.different,
            "first": each.first
            and {
                "time": each.first.at_ms,
                "kind": str(each.first.kind),
                "member": each.first.member,
                "live": each.first.live,
                "rebuilt": each.first.rebuilt,
                "owner": each.first.owner,
            },
        }
        for each in found
    ]


def _picture(found: Iterable[Any]) -> RenderableType:
    table, lines = FittingTable(*_COLUMNS), []
    for each in found:
        why = ", ".join(f"{reason} {count:,}" for reason, count in each.not_warm.items())
        not_warm = sum(each.not_warm.values())
        also = (f"{not_warm:,}", f"{each.equal_anyway:,}", why) if not_warm else ("", "", "")
        table.add_row(each.symbol, f"{each.compared:,}", f"{each.equal:,}", *also)
        if each.first is not None:
            lines.append(Text(_sentence(each.symbol, each.first, each.different), style="bold red"))
    return Group(table, *lines)


def _sentence(symbol: str, first: Any, count: int) -> str:
    what = f"{first.member or 'a member'} of the report" if first.kind == "report" else "the slow sections"
    made = f"{first.rebuilt} made again" if first.rebuilt else "could not be made again"
    return (
        f"{symbol}: {count:,} differ. First: {what} at {iso(first.at_ms)} by {first.owner}: {first.live} live, {made}"
    )
