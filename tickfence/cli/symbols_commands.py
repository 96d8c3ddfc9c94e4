"""``celery symbols``: which symbols are reported on, changed while everything runs."""

from __future__ import annotations

from typing import Any

import click

from tickfence.cli import options
from tickfence.cli.options import Waiting

_names = click.argument("names", metavar="SYMBOL...", nargs=-1, required=True)


def _change(verb: str, names: tuple[str, ...], **how: Any) -> None:
    asked = options.symbols_named(names)
    options.load("operate").change_symbols(verb, asked, **how)


@click.group()
def symbols() -> None:
    """Show and change the symbols that are reported on.

    The leading beat, the nodes and the ingests follow within a second. SYMBOLS is what they start with where Redis
    holds no symbols yet.
    """


@symbols.command("list")
@options.output
def list_(**output: Any) -> None:
    """Show the symbols, and who changed them last."""
    options.show("symbols", **output)


@symbols.command(cls=Waiting)
@_names
@options.change
def add(names: tuple[str, ...], **how: Any) -> None:
    """Begin to report on SYMBOL."""
    _change("add", names, **how)


@symbols.command(cls=Waiting)
@_names
@options.change
def remove(names: tuple[str, ...], **how: Any) -> None:
    """End the reports on SYMBOL, and delete its data."""
    _change("remove", names, **how)


@symbols.command(cls=Waiting)
@_names
@options.change
def pause(names: tuple[str, ...], **how: Any) -> None:
    """Stop the reports on SYMBOL for a while.

    Its market data is still received, so that it is soon back.
    """
    _change("pause", names, **how)


@symbols.command(cls=Waiting)
@_names
@options.change
def resume(names: tuple[str, ...], **how: Any) -> None:
    """Report on SYMBOL again.

    After a pause, or after the leading beat has set it aside because two nodes got stuck on it.
    """
    _change("resume", names, **how)


@symbols.command(cls=Waiting)
@click.option(
    "-f", "--file", type=click.File(encoding="utf-8"), required=True, help="One symbol a line; - is standard input."
)
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--allow-empty", is_flag=True, help="Accept a file without a symbol, which removes all.")
@options.change
def apply(file: Any, dry_run: bool, allow_empty: bool, **how: Any) -> None:
    """Report on the symbols of a file, and on no others.

    Each line of the file is a symbol, optionally followed by the word paused; # begins a comment. Keep the file under
    version control.
    """
    options.load("operate").apply_file(file, dry_run=dry_run, allow_empty=allow_empty, **how)
