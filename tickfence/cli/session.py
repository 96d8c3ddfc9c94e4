"""What every command does: connect, read or change, show; once, or until Ctrl-C."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, NamedTuple, NoReturn, TypeVar

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from tickfence.cli.fitting import Screenful
from tickfence.readers.data_plane import Unreadable
from tickfence.redis_access.address import masked
from tickfence.redis_access.connect import connect, forget_connections
from tickfence.redis_access.errors import REDIS_ERRORS
from tickfence.settings import Settings, load_for_reader

_Answer = TypeVar("_Answer")

REFRESH_S = 0.5
FILE_WIDTH = 160
"""Columns of a picture that does not go to a terminal: wide enough for every table."""

UNREADABLE = (*REDIS_ERRORS, Unreadable)
"""Redis does not answer, or a key holds what tickfence did not write."""

NO_COORDINATION = "coordination is off (NT_ENABLE_MULTI_INSTANCE=false): one node writes all reports, no node registers and no beat leads"


class Unreachable(click.ClickException):
    """Redis cannot be reached, or a key holds what tickfence did not write."""

    exit_code = os.EX_UNAVAILABLE


class NothingThere(click.ClickException):
    """What you asked for does not exist at the moment."""

    exit_code = 1


class NotAccepted(click.ClickException):
    """What was given cannot be used."""

    exit_code = 2


class Unwritable(click.ClickException):
    """Standard output cannot be written."""

    exit_code = os.EX_IOERR


class View(NamedTuple):
    """What a command found.

    Attributes:
        data: For programs, as ``json.dumps`` takes it.
        picture: For people.
    """

    data: Any
    picture: RenderableType


def run(name: str, read: Callable[..., View], *arguments: Any, as_json: bool, watch: bool) -> None:
    """Show what ``read`` finds.

    Args:
        name: The command's name; ``CLIENT LIST`` shows it.
        read: Reads what is shown, with a client, the settings and ``arguments``.
        as_json: Print JSON instead of the picture.
        watch: Read and show again, twice a second, until Ctrl-C.

    Raises:
        click.ClickException: Nothing can be shown. Click prints its one line and exits with its status.
    """
    with connected(name) as (client, settings):
        look_up = partial(read, client, settings, *arguments)
        try:
            view = reach(settings, look_up)
            if not watch:
                _show(view, as_json)
            elif as_json or not _is_screen():
                while True:
                    _show(view, as_json)
                    time.sleep(REFRESH_S)
                    view = reach(settings, look_up)
            else:
                _watch(view, look_up, client)
        except KeyboardInterrupt:
            if not watch:
                raise


@contextmanager
def connected(name: str) -> Iterator[tuple[Any, Settings]]:
    """Yield a client of the data plane, and the settings.

    Args:
        name: The command's name; ``CLIENT LIST`` shows it.

    Raises:
        Unwritable: Standard output is closed.
        Unreachable: Redis cannot be reached.
    """
    if sys.stdout is None:
        raise Unwritable("standard output is closed")
    settings = load_for_reader()
    client = reach(settings, lambda: connect(settings.redis_url, name=f"celery:{name}"))
    try:
        yield client, settings
    finally:
        client.close()


def reach(settings: Settings, ask: Callable[[], _Answer]) -> _Answer:
    """Return what ``ask`` returns.

    Raises:
        Unreachable: Redis does not answer, or a key holds what tickfence did not write; one line says which.
    """
    try:
        return ask()
    except UNREADABLE as error:
        raise Unreachable(f"REDIS_URL={masked(settings.redis_url)}: {one_line(error)}") from None


def console() -> Console:
    """Return the terminal, or a console as wide as `FILE_WIDTH` where standard output is none."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # show what the locale's encoding can show
    context = click.get_current_context(silent=True)
    plain = bool(context and context.obj and context.obj.no_color)
    # Rich takes a part of ccxt:gemini:BTC/USD for an emoji.
    return Console(emoji=False, no_color=plain or None, width=None if sys.stdout.isatty() else FILE_WIDTH)


def say(line: str) -> None:
    """Write a line to standard output.

    Raises:
        Unwritable: It cannot be written.
    """
    with _written():
        click.echo(line)


def remark(line: str) -> None:
    """Write a line to standard error: it is no part of what was asked for."""
    click.echo(line, err=True)


@contextmanager
def _written() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader closed the pipe early: click exits without a message
            raise
        raise Unwritable(f"standard output: {error.strerror}") from None


def _show(view: View, as_json: bool) -> None:
    if as_json:
        say(json.dumps(view.data))
        return
    with _written():
        console().print(view.picture)


def _is_screen() -> bool:
    return sys.stdout.isatty() and not console().is_dumb_terminal


def _exit(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _watch(view: View, read: Callable[[], View], client: Any) -> None:
    signal.signal(signal.SIGTERM, _exit)  # the default action would not restore the terminal
    # Nothing else is printed meanwhile. Rich's stand-in for standard output would have no encoding, and be no terminal.
    live = Live(Screenful(view.picture), console=console(), screen=True, auto_refresh=False, redirect_stdout=False)
    try:
        live.start(refresh=True)  # inside the block: Ctrl-C may interrupt it
        while True:
            time.sleep(REFRESH_S)
            problem = ""
            try:
                view = read()
            except UNREADABLE as error:
                forget_connections(client)
                problem = f"Redis does not answer, retrying: {one_line(error)}"
            except click.ClickException as error:  # it may exist again later
                problem = error.format_message()
            shown = Group(Text(problem, style="bold red"), view.picture) if problem else view.picture
            live.update(Screenful(shown), refresh=True)
    finally:
        live.stop()


def one_line(error: Exception) -> str:
    """Return an error's text in one line."""
    return " ".join(str(error).split()) or type(error).__name__
