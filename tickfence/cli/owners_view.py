"""``celery owners``: which node owns which symbol, and whether its report is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from rich.markup import escape

from tickfence.analytics.freshness import freshness
from tickfence.cli.fitting import Column, FittingTable
from tickfence.cli.session import NothingThere, View
from tickfence.cli.style import STATUS, coloured, duration, node_colours
from tickfence.instrument import Instrument
from tickfence.readers.cluster import Cluster, read_cluster, server_ms
from tickfence.readers.reports import BadReport, decode_head
from tickfence.settings import Settings
from tickfence.timeline.text import leader_name

_AT_ONCE = 200
_COLUMNS = (
    Column("symbol"),
    Column("owner", wraps=10),
    Column("token", right=True, spare=2),
    Column("lease for", right=True, spare=3),
    Column("report", right=True),
    Column("status", spare=1),
)


class Row(Struct, frozen=True, rename="camel"):
    """One symbol.

    Attributes:
        symbol: Its name.
        owner: The node it is assigned to.
        holder: The node that holds its lease, if any.
        token: The lease's fencing token.
        lease_left_ms: Time until the lease ends unless it is renewed.
        writer: The node that wrote its report, if there is one.
        report_age_ms: Age of the report.
        status: Whether you can rely on the report now, as every reader judges it; ``unreadable`` if it is not a report
            of this schema version.
        reason: Why the report is stale, if it is.
    """

    symbol: Instrument
    owner: str | None
    holder: str | None
    token: int | None
    lease_left_ms: int | None
    writer: str | None = None
    report_age_ms: int | None = None
    status: str = "down"
    reason: str | None = None


def read(client: Any, settings: Settings, node: str | None = None) -> View:
    """Read one row a symbol, or only the rows of ``node``.

    Raises:
        NothingThere: No symbol is owned, or there is no such node.
    """
    cluster = read_cluster(client, settings)
    names = sorted(cluster.symbols(settings.symbols))
    # Nobody may have worked on one of SYMBOLS ever; what operators want is shown before it has a report.
    rows = [row for row in read_rows(client, settings, cluster, names) if row.owner or row.writer or cluster.desired]
    if not rows:
        if cluster.desired is not None:
            raise NothingThere("there is no symbol: operators have removed all of them")
        raise NothingThere(
            "no symbol is owned: no beat has assigned one in this Redis, and there is no report. "
            "For the stack of `make run`, set its addresses first: . .local/env"
        )
    if node is not None:
        known = sorted({one.name for one in cluster.nodes} | set(filter(None, map(_place, rows))))
        if node not in known:
            raise NothingThere(f"there is no node {node!r}; there are {', '.join(known)}")
        rows = [row for row in rows if node in (row.owner, row.holder)]
    data = {
        "generation": cluster.assignment.generation,
        "leader": cluster.leader and cluster.leader.name,
        "symbols": msgspec.to_builtins(rows),
    }
    return View(data, _table(cluster, rows))


def read_rows(client: Any, settings: Settings, cluster: Cluster, symbols: Sequence[Instrument]) -> list[Row]:
    """Return the rows of ``symbols``. A round trip reads 200 of them."""
    rows = []
    for first in range(0, len(symbols), _AT_ONCE):
        part = symbols[first : first + _AT_ONCE]
        pipe = client.pipeline(transaction=False)
        for symbol in part:
            pipe.hmget(settings.keys.lease(symbol), "owner", "token", "until")
            pipe.get(settings.keys.report(symbol))
        replies = iter(pipe.execute())
        now_ms = server_ms(client)
        rows += [_row(cluster, settings, now_ms, symbol, next(replies), next(replies)) for symbol in part]
    return rows


def _row(
    cluster: Cluster,
    settings: Settings,
    now_ms: int,
    symbol: Instrument,
    lease: Sequence[bytes | None],
    report: bytes | None,
) -> Row:
    holder, token, until = lease
    idle = cluster.idle.get(symbol)
    row = Row(
        symbol=symbol,
        owner=cluster.node_of(symbol),
        holder=holder.decode().rpartition("/")[0] if holder else None,
        token=int(token) if token else None,
        lease_left_ms=max(0, int(until) - now_ms) if until and holder else None,
        status=idle or "down",
    )
    if report is None:
        return row
    try:
        head = decode_head(symbol, report)
    except BadReport as error:
        return replace(row, status="unreadable", reason=str(error))
    fresh = freshness(head, now_ms, settings.nt_report_period_ms, idle)
    return replace(
        row,
        writer=head.writer.node_id,
        report_age_ms=fresh.report_age_ms,
        status=fresh.status,
        reason=fresh.reason,
    )


def _place(row: Row) -> str:
    """The node that the symbol is on; without coordination, the one that writes. "" while it is on none."""
    return row.owner or ("" if row.status in ("paused", "set aside") else row.writer or "")


def _age(row: Row) -> str:
    """The report's age, in red while you cannot rely on it."""
    if row.report_age_ms is None:
        return "none" if row.status == "paused" else "[bold red]none[/]"
    return coloured(f"{duration(row.report_age_ms)} ago", "bold red" if row.status == "down" else None)


def _table(cluster: Cluster, rows: Sequence[Row]) -> FittingTable:
    colours = node_colours(set(filter(None, map(_place, rows))))
    counts = Counter(map(_place, rows))
    held = [f"{counts[node]} on {coloured(node, colour)}" for node, colour in colours.items()]
    if counts[""]:
        held.append(f"{counts['']} on no node")
    leader = f"{leader_name(cluster.leader.name)} leads" if cluster.leader else "no beat leads"
    table = FittingTable(
        *_COLUMNS,
        title=f"{len(rows)} symbols: {', '.join(held)}",
        caption=escape(f"generation {cluster.assignment.generation}, {leader}"),
    )
    for row in rows:
        owner = _place(row)
        shown = coloured(owner, colours.get(owner))
        if row.owner and row.holder and row.holder != row.owner:
            shown += f" [bold red](lease: {row.holder})[/]"
        table.add_row(
            escape(row.symbol),
            shown,
            str(row.token or ""),
            "" if row.lease_left_ms is None else duration(row.lease_left_ms),
            _age(row),
            coloured(row.status, STATUS.get(row.status, "bold red")),
        )
    return table
