"""What the declarations of commands share: options, the names in arguments, and how a command loads what it runs.

Every ``celery`` process loads the declarations at its start, workers and beats included. So they import little more than
click; each command imports the rest when it runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import click

from tickfence.instrument import Instrument, as_typed, parse_instrument

Command = Callable[..., None]

WAIT_S = 10.0
_OF_RECORDINGS = ("duckdb", "fsspec", "pyarrow")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?")


def load(module: str) -> ModuleType:
    """Return a module of this package, for example ``"nodes_view"``.

    Raises:
        click.ClickException: A package of the extra ``cli`` or ``recordings`` is missing.
    """
    try:
        return import_module(f"tickfence.cli.{module}")
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        extra = "recordings" if package in _OF_RECORDINGS else "cli"
        why = f"this needs the package {package}, which is not installed: pip install 'tickfence[{extra}]'"
        raise click.ClickException(why) from None


def show(name: str, *arguments: Any, **output: bool) -> None:
    """Show what the module ``<name>_view`` reads."""
    view, session = load(f"{name}_view"), load("session")
    session.run(name, view.read, *arguments, **output)


def symbol_named(text: str) -> Instrument:
    """Return the symbol that ``text`` names, ``BTCUSDT`` also in lower case.

    Raises:
        click.BadParameter: It cannot be a symbol.
    """
    try:
        return parse_instrument(as_typed(text))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def symbols_named(texts: tuple[str, ...]) -> tuple[Instrument, ...]:
    """Return each symbol once, in the given order.

    Raises:
        click.BadParameter: One of them cannot be a symbol.
    """
    return tuple(dict.fromkeys(map(symbol_named, texts)))


def output(command: Command) -> Command:
    """Add the options of a command that shows something."""
    as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
    watch = click.option("--watch", is_flag=True, help="Refresh twice a second until Ctrl-C.")
    return as_json(watch(command))


def change(command: Command) -> Command:
    """Add the options of a command that changes the desired state."""
    wait = click.option(
        "--wait",
        "wait_s",
        metavar="[SECONDS]",
        type=click.FloatRange(0, 3600),
        help=f"Wait until it holds, {WAIT_S:g} seconds unless you say how many. Status 1 if it does not hold by then.",
    )
    by = click.option("--by", metavar="NAME", help="Who changes it, for the record. Default: user@host.")
    as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
    return wait(by(as_json(command)))


class Waiting(click.Command):
    """A command whose ``--wait`` may stand without a number, wherever it stands: ``add --wait BTCUSDT``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give a ``--wait`` that no number follows its default."""
        following = [*args, ""][1:]
        words = [
            f"--wait={WAIT_S}" if word == "--wait" and not _NUMBER.fullmatch(then) else word
            for word, then in zip(args, following, strict=True)
        ]
        return super().parse_args(ctx, words)
