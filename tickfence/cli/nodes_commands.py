"""``celery nodes``: the nodes, and how many symbols each may have, changed while everything runs."""

from __future__ import annotations

from typing import Any

import click

from tickfence.cli import options
from tickfence.cli.options import Waiting

_names = click.argument("names", metavar="NODE...", nargs=-1, required=True)


def _change(verb: str, names: tuple[str, ...], **how: Any) -> None:
    options.load("operate").change_nodes(verb, tuple(dict.fromkeys(names)), **how)


@click.group(invoke_without_command=True)
@options.output
@click.pass_context
def nodes(context: click.Context, /, **output: bool) -> None:
    """Show the nodes and the leading beat; or change which symbols a node may have."""
    if context.invoked_subcommand is None:
        options.show("nodes", **output)
    elif any(output.values()):
        raise click.UsageError(f"put options after the subcommand: nodes {context.invoked_subcommand} --json")


@nodes.command(cls=Waiting)
@_names
@options.change
def cordon(names: tuple[str, ...], **how: Any) -> None:
    """Give NODE no more symbols. It keeps those that it has."""
    _change("cordon", names, **how)


@nodes.command(cls=Waiting)
@_names
@options.change
def drain(names: tuple[str, ...], **how: Any) -> None:
    """Move all symbols of NODE to other nodes, and give it none."""
    _change("drain", names, **how)


@nodes.command(cls=Waiting)
@_names
@options.change
def uncordon(names: tuple[str, ...], **how: Any) -> None:
    """Let NODE have symbols again, after cordon or drain."""
    _change("uncordon", names, **how)


@nodes.command(cls=Waiting)
@click.argument("name", metavar="NODE")
@click.argument("weight", metavar="NUMBER|default")
@options.change
def weight(name: str, weight: str, **how: Any) -> None:
    """Set the share of the symbols that NODE gets, relative to other nodes.

    NUMBER is above 0, up to 1,000. "default" is the node's own NT_NODE_WEIGHT again.
    """
    options.load("operate").set_weight(name, weight, **how)
