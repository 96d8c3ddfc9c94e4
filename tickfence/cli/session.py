"""What every command does: connect, look, show; once, or again and again."""

from __future__ import annotations

import difflib
import errno
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NamedTuple, NoReturn

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from tickfence.cli.screenful import Screenful
from tickfence.instrument import Instrument, parse_instrument
from tickfence.redis_access.address import masked
from tickfence.redis_access.connect import connect, forget_connections
from tickfence.redis_access.errors import UNAVAILABLE
from tickfence.settings import Settings, load

EVERY_S = 0.5
WIDTH_OF_A_FILE = 160

NO_COORDINATION = "coordination is off (NT_ENABLE_MULTI_INSTANCE=false): one node writes all reports, no node registers and no beat leads"


class Unreachable(click.ClickException):
    """Redis cannot be reached, or has not what it should."""

    exit_code = os.EX_UNAVAILABLE


class NothingThere(click.ClickException):
    """What was asked for could be there, and is not."""

    exit_code = 1


class Unwritable(click.ClickException):
    """Standard output does not take what there is to show."""

    exit_code = os.EX_IOERR


class View(NamedTuple):
    """What a command found: for programs, as ``json.dumps`` takes it, and for people."""

    data: Any
    picture: RenderableType


Look = Callable[[Any, Settings], View]
"""Reads Redis, with a client of it."""


def run(name: str, look: Look, *, as_json: bool, watch: bool) -> None:
    """Show what ``look`` finds.

    Parameters:
        name: the command's, shown by ``CLIENT LIST``.
        watch: go on until Ctrl-C.

    Raises:
        click.ClickException: it cannot be shown; click shows its one line, and ends with its status.
    """
    if sys.stdout is None:
        raise Unwritable("standard output is closed")
    settings = load()
    client = reach(settings, lambda: connect(settings.redis_url, name=f"celery:{name}"))
    try:
        view = reach(settings, lambda: look(client, settings))
        if not watch:
            _show(view, as_json)
        elif as_json or not _is_screen():
            while True:
                _show(view, as_json)
                time.sleep(EVERY_S)
                view = reach(settings, lambda: look(client, settings))
        else:
            _watch(view, look, client, settings)
    except KeyboardInterrupt:
        if not watch:
            raise
    finally:
        client.close()


def reach(settings: Settings, ask: Callable[[], Any]) -> Any:
    """What ``ask`` returns; a Redis that cannot be reached is one line and a status."""
    try:
        return ask()
    except UNAVAILABLE as error:
        raise Unreachable(f"REDIS_URL={masked(settings.redis_url)}: {_one_line(error)}") from None


def symbol_named(text: str) -> Instrument:
    """A symbol as it was typed, in upper case."""
    try:
        return parse_instrument(text.upper())
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def unknown_symbol(symbol: str, known: Sequence[str]) -> click.ClickException:
    """The error that names those there are, and the nearest."""
    near = difflib.get_close_matches(symbol, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    listed = ", ".join(sorted(known)[:20]) + (", ..." if len(known) > 20 else "")
    return click.BadParameter(f"{symbol} is not reported on; {hint}there are {len(known)}: {listed}")


def console() -> Console:
    """The terminal, or what standard output leads to, which is wide enough for every table."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a locale without the letters is no reason to show nothing
    context = click.get_current_context(silent=True)
    plain = bool(context and context.obj and context.obj.no_color)
    return Console(no_color=plain or None, width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE)


def _show(view: View, as_json: bool) -> None:
    try:
        if as_json:
            click.echo(json.dumps(view.data))
        else:
            console().print(view.picture)
    except OSError as error:
        if error.errno == errno.EPIPE:  # who reads has seen enough: click ends without a word
            raise
        raise Unwritable(f"standard output: {error.strerror}") from None


def _is_screen() -> bool:
    return sys.stdout.isatty() and not console().is_dumb_terminal


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _watch(view: View, look: Look, client: Any, settings: Settings) -> None:
    signal.signal(signal.SIGTERM, _end)  # by default the process would end at once, and leave the terminal as it is
    live = Live(Screenful(view.picture), console=console(), screen=True, auto_refresh=False)
    try:
        live.start(refresh=True)  # within, since Ctrl-C may come before it has ended
        while True:
            time.sleep(EVERY_S)
            try:
                view = look(client, settings)
                live.update(Screenful(view.picture), refresh=True)
            except UNAVAILABLE as error:
                forget_connections(client)
                line = Text(f"Redis does not answer, trying again: {_one_line(error)}", style="bold red")
                live.update(Screenful(Group(line, view.picture)), refresh=True)
            except click.ClickException as error:  # what there was is there no more, but may come back
                line = Text(error.format_message(), style="bold red")
                live.update(Screenful(Group(line, view.picture)), refresh=True)
    finally:
        live.stop()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
