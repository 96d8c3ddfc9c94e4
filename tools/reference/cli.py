"""docs/cli.md: every command and option, from their definitions."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from tickfence import __main__ as program
from tickfence.cli import plugin

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"

_HEAD = """\
# Options of the commands

[Command line](command-line.md) explains what the commands show, and their exit status. The roles `python -m ingest` and `python -m tickfence.recorder` have no options: their [settings](configuration.md) come from the environment. `make reference` writes this page from `tickfence/cli/` and `tickfence/__main__.py`.
"""
_Row = tuple[str, str, str]


def page() -> str:
    """The page's text."""
    commands = [getattr(plugin, name) for name in plugin.__all__]
    parts = [part for command in commands for part in _of_celery("celery -A tasks", command)]
    return _HEAD + "".join([*parts, *_of_program(program.parser())])


def _of_celery(before: str, command: click.Command) -> Iterator[str]:
    name = f"{before} {command.name}"
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _of_celery(name, inner)
        return
    context = click.Context(command)
    arguments = [one.make_metavar(context) for one in command.params if isinstance(one, click.Argument)]
    rows = [
        ("/".join(one.opts) + ("" if one.is_flag else f" {one.make_metavar(context)}"), _default(one), one.help or "")
        for one in command.params
        if isinstance(one, click.Option)
    ]
    yield _section(" ".join([name, *arguments]), command.help or "", rows)


def _of_program(parser: argparse.ArgumentParser) -> Iterator[str]:
    [commands] = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for name, inner in commands.choices.items():
        options = [action for action in inner._actions if action.option_strings and action.dest != "help"]
        rows = [
            (f"{action.option_strings[0]} {action.dest.upper()}", str(action.default), action.help or "")
            for action in options
        ]
        yield _section(f"tickfence {name}", str(inner.description), rows)


def _default(option: click.Option) -> str:
    return str(option.default) if option.show_default and option.default not in (None, "") else ""


def _section(name: str, text: str, rows: Iterable[_Row]) -> str:
    table = "".join(
        f"| `{_cell(option)}` | {f'`{default}`' if default else ''} | {_cell(what)} |\n"
        for option, default, what in rows
    )
    head = "\n| option | default | what it does |\n| --- | --- | --- |\n" if table else ""
    return f"\n## {name}\n\n{_sentence(inspect.cleandoc(text))}\n{head}{table}"


def _cell(text: str) -> str:
    bare = re.sub(r" ?\(?default: %\(default\)s\)?", "", text)
    return _sentence(" ".join(bare.split()).replace("|", "\\|"))


def _sentence(text: str) -> str:
    whole = text[:1].upper() + text[1:]
    return whole if not whole or whole.startswith("-") or whole.endswith(".") else f"{whole}."
