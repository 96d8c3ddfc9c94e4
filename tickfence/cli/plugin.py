"""The commands as Celery's command line loads them, through its entry-point group ``celery.commands``.

Every ``celery`` process loads this module at its start, workers and beats included. So it imports little more than
click; each command imports its view when it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

from tickfence import celery_environment  # noqa: F401 - before celery reads its options
from tickfence.instrument import Instrument, parse_instrument

Command = Callable[..., None]


def _run(name: str, *arguments: Any, **output: bool) -> None:
    try:
        view, session = import_module(f"tickfence.cli.{name}_view"), import_module("tickfence.cli.session")
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        why = f"this needs the package {package}, which is not installed: pip install 'tickfence[cli]'"
        raise click.ClickException(why) from None
    session.run(name, view.read, *arguments, **output)


def symbol_named(text: str) -> Instrument:
    """Return the symbol that ``text`` names in upper or lower case.

    Raises:
        click.BadParameter: It cannot be a symbol.
    """
    try:
        return parse_instrument(text.upper())
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _output(command: Command) -> Command:
    """Add the options that every command has."""
    as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
    watch = click.option("--watch", is_flag=True, help="Refresh twice a second until Ctrl-C.")
    return as_json(watch(command))


@click.command()
@click.argument("symbol")
@_output
def show(symbol: str, **output: Any) -> None:
    """Show the report of SYMBOL, like BTCUSDT."""
    _run("show", symbol_named(symbol), **output)


@click.command()
@click.option("--node", help="Only the symbols of this node.")
@_output
def owners(node: str | None, **output: Any) -> None:
    """Show which node owns which symbol."""
    _run("owners", node, **output)


@click.command()
@_output
def nodes(**output: Any) -> None:
    """Show the nodes and the leading beat."""
    _run("nodes", **output)


@click.command()
@click.argument("symbols", metavar="SYMBOL...", nargs=-1, required=True)
@_output
def explain(symbols: tuple[str, ...], **output: Any) -> None:
    """Explain why a symbol is on its node.

    Shows what the leading beat decides by: the score of each node, the bonus of the present owner, how long the symbol
    is held, and how many symbols each node may have.
    """
    _run("explain", list(dict.fromkeys(map(symbol_named, symbols))), **output)


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many events to show.")
@_output
def timeline(limit: int, **output: Any) -> None:
    """Show the latest events: nodes, moves, leaders and conflicts, each with its reason."""
    _run("timeline", limit, **output)
