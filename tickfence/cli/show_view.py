"""``celery show BTCUSDT``: one symbol's report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, Literal

import click
import msgspec
from msgspec import UNSET
from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from tickfence.analytics.fields import Finding
from tickfence.analytics.freshness import Freshness, explained, freshness
from tickfence.analytics.liquidity import findings
from tickfence.analytics.report import Level, Report
from tickfence.cli.fitting import Column, FittingTable, SideBySide
from tickfence.cli.session import NothingThere, View
from tickfence.cli.style import SEVERITY, STATUS, coloured, duration, filled, number
from tickfence.instrument import Instrument
from tickfence.readers.cluster import read_cluster, server_ms
from tickfence.readers.reader import UnknownSymbol
from tickfence.settings import Settings

_LEVELS = 10
_BAR = 16
_decode = msgspec.json.Decoder(Report).decode


def read(client: Any, settings: Settings, symbol: str) -> View:
    """Read the report; as JSON, it is the report as it stands in Redis."""
    cluster = read_cluster(client, settings)
    idle = cluster.idle.get(Instrument(symbol))
    text = None if cluster.is_removed(symbol) else client.get(settings.keys.report(symbol))
    if text is None:
        known = cluster.symbols(settings.symbols)
        if symbol not in known:
            raise click.BadParameter(str(UnknownSymbol(symbol, known)))
        unwritten = f"none was written within {settings.nt_report_ttl_s} s. `celery -A tasks nodes` shows who is alive"
        raise NothingThere(f"there is no report of {symbol}: {explained(idle) if idle else unwritten}")
    try:
        report = _decode(text)
        data = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise NothingThere(f"what stands at {settings.keys.report(symbol)} is no report: {error}") from None
    return View(data, _picture(report, freshness(report, server_ms(client), settings.nt_report_period_ms, idle)))


def _picture(report: Report, fresh: Freshness) -> RenderableType:
    parts: list[RenderableType] = [
        SideBySide(
            _grid("prices", _prices(report)),
            _grid("flow and health", _flow(report)),
            _grid("writer", _writer(report, fresh)),
        ),
        SideBySide(_book(report), _grid("liquidity", list(_sections(report)), justify="left")),
    ]
    if fresh.stale:
        word = "stale" if fresh.status == "down" else fresh.status
        parts.insert(0, coloured(f"{word}: {fresh.reason}", STATUS[fresh.status]))
    if report.ingestion.trading in ("halted", "delisted"):
        parts.insert(0, f"[bold yellow]{report.ingestion.trading} by the exchange[/]")
    title = f"[bold]{escape(report.symbol)}[/] {escape(report.venue)} {coloured(fresh.status, STATUS[fresh.status])}"
    return Panel(Group(*parts), title=title, box=box.ROUNDED, expand=False)


def _grid(title: str, rows: Sequence[tuple[str, str]], justify: Literal["left", "right"] = "right") -> Table:
    table = Table(title=title, show_header=False, box=box.SIMPLE)
    table.add_column(style="dim")
    table.add_column(justify=justify)
    for row in rows:
        table.add_row(*row)
    return table


def _prices(report: Report) -> list[tuple[str, str]]:
    rows = [("last", report.last_price), ("mid", report.mid_price), ("micro", report.micro_price)]
    rows += [("24 h high", report.high_24h), ("24 h low", report.low_24h), ("24 h volume", report.volume_24h)]
    shown = [(name, number(value)) for name, value in rows if value is not UNSET]
    if report.change_24h_pct is not UNSET:
        colour = "green" if report.change_24h_pct >= 0 else "red"
        shown.insert(1, ("24 h", coloured(f"{report.change_24h_pct:+.2f} %", colour)))
    if report.spread_bps is not UNSET:
        shown.append(("spread", f"{report.spread_bps:.2f} bps"))
    return shown


def _flow(report: Report) -> list[tuple[str, str]]:
    shown = [("health", f"[bold]{report.health.score:g}[/] of 100")]
    shown += [(f"  {part.metric}", f"{part.score:g}") for part in report.health.components]
    flow = report.flow
    if flow.orders_per_sec is not UNSET:
        shown.append(("trades a second", f"{flow.orders_per_sec:g}"))
    if flow.net_flow is not UNSET:
        colour = "green" if flow.net_flow >= 0 else "red"
        shown.append(("net flow, 30 s", coloured(f"{flow.net_flow:+,.4f}", colour)))
    else:
        shown.append(("trades known for", f"{flow.window_sec} of 30 s"))
    return shown


def _writer(report: Report, fresh: Freshness) -> list[tuple[str, str]]:
    shown = [
        ("node", report.writer.node_id),
        ("token", str(report.writer.writer_token)),
        ("written", f"{duration(fresh.report_age_ms)} ago"),
    ]
    if fresh.data_age_ms is not None:
        shown.append(("market data", f"{duration(fresh.data_age_ms)} old"))
    return shown


def _book(report: Report) -> RenderableType:
    depth = report.depth
    bids, asks = depth.bids[:_LEVELS], depth.asks[:_LEVELS]
    maximum = max((level.qty for level in [*bids, *asks]), default=0.0)
    imbalance = "" if depth.imbalance is UNSET else f", imbalance {depth.imbalance:+.4f}"
    table = FittingTable(
        Column(right=True, spare=1),
        Column("quantity", right=True),
        Column("bid", right=True),
        Column("ask"),
        Column("quantity"),
        Column(spare=2),
        title=f"book{imbalance}",
        box=box.SIMPLE,
    )
    for bid, ask in zip_longest(bids, asks):
        table.add_row(
            coloured(_bar(bid, maximum), "green"),
            number(bid.qty) if bid else "",
            coloured(number(bid.price), "green") if bid else "",
            coloured(number(ask.price), "red") if ask else "",
            number(ask.qty) if ask else "",
            coloured(_bar(ask, maximum), "red"),
        )
    return table


def _bar(level: Level | None, maximum: float) -> str:
    return filled() * max(1, round(level.qty / maximum * _BAR)) if level and maximum else ""


def _sections(report: Report) -> Iterator[tuple[str, str]]:
    for name, found in findings(report.liquidity) if report.liquidity is not UNSET else ():
        for finding in found:
            yield name, _note(finding)
    for anomaly in report.anomalies or ():
        yield anomaly.kind, _note(anomaly)


def _note(finding: Finding) -> str:
    return coloured(finding.note, SEVERITY.get(getattr(finding, "severity", "")))
