"""The commands as Celery's command line gets them, in its entry-point group ``celery.commands``.

Every ``celery`` process loads this module at its start, workers and beats, too. So it imports click alone, and what is
behind a command when that is called.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

Command = Callable[..., None]


def _view(name: str) -> Any:
    return import_module(f"tickfence.cli.{name}_view")


def _output(command: Command) -> Command:
    """The options of all commands that show something."""
    as_json = click.option("--json", "as_json", is_flag=True, help="JSON instead of tables.")
    watch = click.option("--watch", is_flag=True, help="Show it anew, twice a second, until Ctrl-C.")
    return as_json(watch(command))


@click.command()
@click.argument("symbol")
@_output
def report(symbol: str, **output: Any) -> None:
    """The report of SYMBOL, like BTCUSDT.

    Without any argument: Celery's own report, of versions and settings, to include in bug reports.
    """
    _view("report").run(symbol, **output)


@click.command()
@click.option("--node", help="Only the symbols of this node.")
@_output
def owners(node: str | None, **output: Any) -> None:
    """Which node owns which symbol."""
    _view("owners").run(node, **output)


@click.command()
@_output
def nodes(**output: Any) -> None:
    """The nodes, and which beat leads."""
    _view("nodes").run(**output)


@click.command()
@click.argument("symbols", metavar="SYMBOL...", nargs=-1, required=True)
@_output
def explain(symbols: tuple[str, ...], **output: Any) -> None:
    """Why a symbol is on the node that owns it.

    The score of each node, the bonus of the present owner, how long the symbol is held, and how many symbols each node
    may have: what the leading beat decides by, computed anew.
    """
    _view("explain").run(symbols, **output)


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many events.")
@_output
def timeline(limit: int, **output: Any) -> None:
    """What happened of late: nodes, moves, leaders, conflicts, each with its reason."""
    _view("timeline").run(limit, **output)
