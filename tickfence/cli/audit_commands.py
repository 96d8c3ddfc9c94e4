"""``celery audit``: whether live reports equal those made again from what is recorded."""

from __future__ import annotations

from typing import Any

import click

from tickfence.cli import options

_TIME = "UTC unless it says otherwise, like 2026-11-26T10:00"


@click.command()
@click.option("--from", "from_", metavar="TIME", help=f"The first reports: {_TIME}. Default: the begin of what is recorded.")  # fmt: skip
@click.option("--to", metavar="TIME", help="The end, which is left out. Default: the end of what is recorded.")
@click.option("--symbols", metavar="SYMBOL,...", help="Default: every recorded symbol.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def audit(**asked: Any) -> None:
    """Make live reports again from recorded inputs, and compare them byte for byte.

    Needs no Redis. Status 1 if a report differs; its first difference is named.
    """
    options.load("audit_view").run(**asked)
