"""``celery symbols list``: the symbols that are wanted, and who changed them last."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from rich.markup import escape

from tickfence.cli import stored
from tickfence.cli.fitting import Column, FittingTable
from tickfence.cli.session import View
from tickfence.cli.style import STATUS, coloured, duration
from tickfence.coordination.desired import Change, Desired, SymbolState
from tickfence.coordination.leadership import parse_leader
from tickfence.instrument import Instrument
from tickfence.readers.cluster import Cluster, read_cluster
from tickfence.settings import Settings

_COLUMNS = (Column("symbol"), Column("state"), Column("for", right=True, spare=1), Column("node", spare=2))


class Row(Struct, frozen=True, rename="camel"):
    """One symbol.

    Attributes:
        symbol: Its name.
        state: ``active``, ``paused``, or ``set aside``: it was in work on two nodes when they got stuck.
        since: When it was added, paused or resumed, server ms.
        node: The node that it is assigned to.
    """

    symbol: Instrument
    state: str
    since: int
    node: str | None


def read(client: Any, settings: Settings) -> View:
    """Read the symbols.

    Raises:
        NothingThere: No desired state is stored yet.
    """
    desired = stored.require(client, settings)
    cluster = read_cluster(client, settings)
    leader = parse_leader(client.hgetall(settings.keys.dispatcher))
    rows = [_row(desired, cluster, symbol) for symbol in desired.listed]
    data = {
        "version": desired.version,
        "followed": leader.desired,
        "symbols": msgspec.to_builtins(rows),
        "changes": list(map(stored.change_to_json, desired.changes)),
    }
    return View(data, _table(rows, cluster, desired, leader.desired))


def _row(desired: Desired, cluster: Cluster, symbol: Instrument) -> Row:
    found = desired.symbols[symbol]
    return Row(symbol, cluster.idle.get(symbol, "active"), found.since_ms, cluster.node_of(symbol))


def _table(rows: list[Row], cluster: Cluster, desired: Desired, followed: int) -> FittingTable:
    paused = sum(row.state == SymbolState.PAUSED for row in rows)
    lines = [_changed(desired.changes[-1])] if desired.changes else []
    if followed < desired.version:
        lines.append("[bold red]no beat follows this yet[/]")
    table = FittingTable(
        *_COLUMNS,
        title=f"{len(rows)} symbols{f', {paused} paused' if paused else ''}",
        caption="\n".join(lines),
    )
    for row in rows:
        since = duration(cluster.now_ms - row.since) if row.since else ""
        table.add_row(
            escape(row.symbol), coloured(row.state, STATUS.get(row.state, "green")), since, escape(row.node or "")
        )
    return table


def _changed(change: Change) -> str:
    at = datetime.fromtimestamp(change.at_ms / 1000).astimezone()
    return escape(f"last change: {at:%d %b %H:%M:%S}, {change.by}: {change.what}")
