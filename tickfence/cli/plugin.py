"""The commands as Celery's command line loads them, through its entry-point group ``celery.commands``."""

from __future__ import annotations

from typing import Any

import click

from tickfence import celery_environment  # noqa: F401 - before celery reads its options
from tickfence.cli import options
from tickfence.cli.audit_commands import audit
from tickfence.cli.batch_commands import backfill, batch
from tickfence.cli.nodes_commands import nodes
from tickfence.cli.symbols_commands import symbols

__all__ = ["audit", "backfill", "batch", "explain", "history", "nodes", "owners", "show", "symbols", "timeline"]


@click.command()
@click.argument("symbol")
@options.output
def show(symbol: str, **output: Any) -> None:
    """Show the report of SYMBOL, like BTCUSDT."""
    options.show("show", options.symbol_named(symbol), **output)


@click.command()
@click.option("--node", help="Only the symbols of this node.")
@options.output
def owners(node: str | None, **output: Any) -> None:
    """Show which node owns which symbol."""
    options.show("owners", node, **output)


@click.command()
@click.argument("symbols", metavar="SYMBOL...", nargs=-1, required=True)
@options.output
def explain(symbols: tuple[str, ...], **output: Any) -> None:
    """Explain why a symbol is on its node.

    Shows what the leading beat decides by: the score of each node, the bonus of the present owner, how long the symbol
    is held, and how many symbols each node may have.
    """
    options.show("explain", options.symbols_named(symbols), **output)


@click.command()
@click.argument("symbol")
@click.option("--since", default="-10m", show_default=True, metavar="TIME", help="Like -10m, 2026-11-26T10:00Z, or ms.")
@click.option("--until", default="now", show_default=True, metavar="TIME", help="Like --since.")
@click.option(
    "--step", default="", metavar="SPAN", help="Only the last row of each step, like 10s. Default: every row."
)
@click.option("--fields", default="", metavar="NAME,...", help="Like mid_price,spread_bps. Default: all.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=1000, show_default=True, help="How many rows to show.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of a table.")
@options.output
def history(
    symbol: str, since: str, until: str, step: str, fields: str, limit: int, as_csv: bool, **output: Any
) -> None:
    """Show what the reports of SYMBOL said over time: from Redis, and from recordings where that is older."""
    asked = (options.symbol_named(symbol), since, until, step, fields, limit)
    if as_csv and any(output.values()):
        raise click.UsageError("give --csv without --json and --watch")
    if as_csv:
        options.load("history_view").write_csv(*asked)
    else:
        options.show("history", *asked, **output)


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many events to show.")
@options.output
def timeline(limit: int, **output: Any) -> None:
    """Show the latest events: nodes, moves, leaders and conflicts, each with its reason."""
    options.show("timeline", limit, **output)
