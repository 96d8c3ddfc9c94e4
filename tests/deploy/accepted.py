"""Whether the code accepts a command line of a container."""

from __future__ import annotations

import click
import pytest
from celery.bin.celery import celery
from tornado.options import options as flowers_options

from tickfence.__main__ import parser as readers_parser
from tools.simulator.__main__ import parser as simulators_parser


def accept(words: list[str]) -> None:
    """Fail if a command line would not be accepted."""
    match words:
        case ["celery", "-A", "tasks", "flower", *rest]:
            for word in rest:
                assert word.removeprefix("--").partition("=")[0] in flowers_options, word
        case ["celery", "-A", "tasks", name, *rest]:
            subcommand = celery.commands[name]
            _, left, _ = subcommand.make_parser(click.Context(subcommand)).parse_args(rest)
            assert left == []
        case ["python", "-m", "tools.simulator", *rest]:
            simulators_parser().parse_args(rest)
        case ["python", "-m", "ingest" | "tickfence.recorder" | "tickfence.alerts"]:
            pass
        case ["tickfence", *rest]:
            readers_parser().parse_args(rest)
        case _:
            pytest.fail(f"{words}: not a command of ours")
