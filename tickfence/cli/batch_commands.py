"""``celery backfill`` and ``celery batch``: reports made again from recorded data, by batch workers."""

from __future__ import annotations

from typing import Any

import click

from tickfence.cli import options

_TIME = "UTC unless it says otherwise, like 2026-11-26T10:00"


@click.command()
@click.option("--from", "from_", metavar="TIME", help=f"The start: {_TIME}.")
@click.option("--to", metavar="TIME", help="The end, not included. Default: the end of the recording.")
@click.option("--symbols", metavar="SYMBOL,...", help="Default: every recorded symbol.")
@click.option("--every", metavar="live|DURATION", default="live", show_default=True, help="Time between two reports of a symbol, like 250ms or 1s; live: when the live ones were.")  # fmt: skip
@click.option("--output", metavar="FOLDER", help="Where the reports go. Default: reports/job=JOB in NT_RECORDINGS.")
@click.option("--resume", metavar="JOB", help="Continue an interrupted job, or retry what was set aside.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, once, at the end.")
@click.pass_context
def backfill(context: click.Context, /, **asked: Any) -> None:
    """Compute past reports again from the recordings in NT_RECORDINGS.

    Sends each hour of each symbol to one of the live batch workers (`celery -A tasks worker -Q node-001.batch`). You
    may interrupt it at any time: --resume continues.
    """
    options.load("backfill").run(context.obj.app, **asked)


@click.group()
def batch() -> None:
    """Show the jobs of `celery backfill`, and the batch workers."""


@batch.command("list")
@options.output
def list_(**output: Any) -> None:
    """Show the batch workers, and the jobs of the last week."""
    options.show("batch", None, **output)


@batch.command("show")
@click.argument("job")
@options.output
def show(job: str, **output: Any) -> None:
    """Show the partitions of JOB."""
    options.show("batch", job, **output)
