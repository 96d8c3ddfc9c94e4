"""``celery backfill`` and ``celery batch``: reports made again from recorded data, by batch workers."""

from __future__ import annotations

from typing import Any

import click

from tickfence.cli import options

_TIME = "like -1h, 2026-11-26T10:00 (UTC unless it says otherwise), or ms"


@click.command()
@click.option("--from", "from_", metavar="TIME", help=f"The start: {_TIME}.")
@click.option("--to", metavar="TIME", help="The end, not included; like --from. Default: the end of the recording.")
@click.option("--symbols", metavar="SYMBOL,...", help="Default: every recorded symbol.")
@click.option("--every", metavar="live|SPAN", help="live (the default): a report at each time at which the inputs of a live one are recorded, about every two seconds, with the same bytes. A span like 250ms or 1s: a report at each multiple of it.")  # fmt: skip
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
