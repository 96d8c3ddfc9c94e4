"""``celery audit``: whether live reports equal those made again from what is recorded."""

from __future__ import annotations

from typing import Any

import click

from tickfence.cli import options

_TIME = "like -1h, 2026-11-26T10:00 (UTC unless it says otherwise), or ms"


@click.command()
@click.option("--from", "from_", metavar="TIME", help=f"The start: {_TIME}. Default: the start of the recording.")  # fmt: skip
@click.option("--to", metavar="TIME", help="The end, not included; like --from. Default: the end of the recording.")
@click.option("--symbols", metavar="SYMBOL,...", help="Default: every recorded symbol.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def audit(**asked: Any) -> None:
    """Compute live reports again from the recordings in NT_RECORDINGS, and compare the bytes.

    Needs no Redis. The status is 1 if a report differs. The first difference is shown.
    """
    options.load("audit_view").run(**asked)
