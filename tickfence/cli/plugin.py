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

__all__ = ["audit", "backfill", "batch", "explain", "nodes", "owners", "show", "symbols", "timeline"]


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
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many events to show.")
@options.output
def timeline(limit: int, **output: Any) -> None:
    """Show the latest events: nodes, moves, leaders and conflicts, each with its reason."""
    options.show("timeline", limit, **output)
