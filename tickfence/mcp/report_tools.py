"""The tools that answer from reports as they are now."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult
from msgspec import Meta
from pydantic import Field

from tickfence.analytics.freshness import Idle
from tickfence.instrument import Instrument
from tickfence.mcp.scan import ANY, Scan, Wanted, scan_text, search
from tickfence.mcp.sections import SECTIONS, Section, chosen, partial_schema
from tickfence.mcp.summary import pair_text, report_text, table_text
from tickfence.mcp.tool import Refused, Symbol, read_only, result, schema_of, symbol_name
from tickfence.readers.cluster import Cluster
from tickfence.readers.pairs import AcrossVenues
from tickfence.readers.reader import Reader
from tickfence.readers.reports import FreshReport, decode_report, with_freshness
from tickfence.readers.rows import Row, row, row_without_report

MAX_COMPARED = 20
MAX_MATCHES = 50
_LONGEST_PAIR = 81


class Listed(msgspec.Struct, frozen=True):
    """All symbols, and those of them that get no reports on purpose."""

    symbols: list[str]
    idle: Annotated[
        dict[str, Idle],
        Meta(
            description="`paused`: an operator has paused it. `set aside`: two nodes got stuck while they worked on it."
        ),
    ] = {}


class Compared(msgspec.Struct, frozen=True, rename="camel"):
    """Several symbols in brief."""

    now: int
    rows: list[Row]
    across_venues: AcrossVenues | None = None


def listed(cluster: Cluster, reader: Reader) -> Listed:
    """Return all symbols of ``cluster``, which ``reader`` has read."""
    symbols = cluster.symbols(reader.settings.symbols)
    return Listed(list(symbols), {symbol: cluster.idle[symbol] for symbol in symbols if symbol in cluster.idle})


def report_tools(reader: Reader) -> list[Tool]:
    """Return the tools, which read through ``reader``."""

    async def get_report(
        symbol: Symbol,
        sections: Annotated[
            list[Section],
            Field(
                description="Only these, for a short answer; without it all.",
                min_length=1,
                max_length=len(SECTIONS),
                examples=[["price", "walls"]],
            ),
        ] = list(SECTIONS),  # noqa: B006 - read only
    ) -> CallToolResult:
        """The market report of one symbol, now.

        Read `freshness` first: if `stale` is true, `reason` says why; do not act on anything else in the report then.
        The rest: last, mid and micro price; best bid and ask, spread in basis points; the 20 best levels of each side
        with their imbalance (-1 all asks, 1 all bids); trades a second and net aggressive volume of the last 30 s
        (above 0: buyers); walls, vacuums and the volume profile (POC, VAL, VAH) of the last 30 min; anomalies with their
        severity, each described in its `note`; health from 0 to 100. `ingestion.trading` tells if the exchange has halted or
        delisted the symbol. A field without enough data is left out, which does not mean 0: `flow.window_sec` and the
        profile's `window_sec` say how much time they cover.
        """
        found = await reader.report(symbol_name(symbol))
        report = with_freshness(found.report, found.fresh)
        text = report_text(decode_report(found.symbol, report), sections)
        return result(text, chosen(msgspec.json.decode(report), sections))

    async def list_symbols() -> CallToolResult:
        """The names of all symbols. Those that get no reports on purpose are marked: paused, or set aside after trouble.

        If another one has no report at the moment, get_report says so.
        """
        found = listed(await reader.cluster(), reader)
        idle = found.idle
        text = ", ".join(f"{symbol} ({idle[symbol]})" if symbol in idle else symbol for symbol in found.symbols)
        return result(text, found)

    async def compare(
        symbols: Annotated[
            list[Symbol] | None,
            Field(
                min_length=1,
                max_length=MAX_COMPARED,
                description=f"A list of 1 to {MAX_COMPARED}; or give pair.",
                examples=[["BTCUSDT", "ETHUSDT"]],
            ),
        ] = None,
        pair: Annotated[
            str | None,
            Field(
                max_length=_LONGEST_PAIR,
                description="Instead of symbols: one pair, on every venue.",
                examples=["BTC-USD"],
            ),
        ] = None,
    ) -> CallToolResult:
        """From 1 to 20 symbols side by side, one row each, in the order you give; or one pair on all its venues.

        With `pair`, `acrossVenues` has the best prices of each venue, and of all fresh ones. USD is not USDT.
        A row has price, change over 24 h in percent, spread in basis points, depth imbalance, net flow, trades a second,
        health, age of the data in ms, and whether the exchange trades it. A row whose `status` is neither `ok` nor `degraded` is stale or has no report: do not act on it. Unknown values are null.
        """
        if (symbols is None) == (pair is None):
            raise Refused("give either symbols or pair")
        across = None if pair is None else await reader.across_venues(pair.strip())
        given = [quote.symbol for quote in across.venues] if across else map(symbol_name, symbols or ())
        names = list(dict.fromkeys(given))
        read = await reader.reports(names)
        rows = {one.symbol: row(one.symbol, one.head, one.fresh) for one in read.found}
        compared = Compared(
            read.now_ms,
            [rows.get(name) or row_without_report(name, read.idle.get(Instrument(name), "down")) for name in names],
            across,
        )
        return result("\n".join(([pair_text(across)] if across else []) + [table_text(compared.rows)]), compared)

    async def scan(
        anomaly: Annotated[Wanted, Field(description="Which kind.", examples=["spoofing"])] = ANY,
        severity: Annotated[
            Literal["low", "medium", "high"], Field(description="At least as severe.", examples=["medium"])
        ] = "low",
        limit: Annotated[int, Field(description="Symbols listed.", ge=1, le=MAX_MATCHES, examples=[10])] = 10,
    ) -> CallToolResult:
        """Which symbols have an anomaly now, of all there are: the worst first, with the anomalies.

        Says how many matches were left out, and which symbols were not searched because their reports are stale or missing: do not take those for quiet.
        """
        found = search(await reader.all_reports(), anomaly, severity, limit)
        return result(scan_text(found, anomaly, severity), found)

    return [
        read_only(get_report, partial_schema(schema_of(FreshReport))),
        read_only(list_symbols, schema_of(Listed)),
        read_only(compare, schema_of(Compared)),
        read_only(scan, schema_of(Scan)),
    ]
