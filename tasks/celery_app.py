"""The Celery application."""

from __future__ import annotations

from typing import Any

import click
from celery import Celery
from celery.signals import setup_logging

from tickfence.monitoring import logs, standard_streams
from tickfence.settings import load

app = Celery(
    "tickfence",
    include=["tasks.cycles", "tasks.lifecycle", "tasks.probe", "tasks.backfill"],
    amqp="tasks.queues:AMQP",
    control="tasks.send_once:Control",
    events="tasks.send_once:Events",
)
app.config_from_object("celeryconfig")

_context = click.get_current_context(silent=True)
if _context and _context.find_root().invoked_subcommand in ("worker", "beat", "flower"):
    standard_streams.bound_waits()


@setup_logging.connect
def configure_logs(logfile: Any = None, **_: Any) -> None:
    """Every Celery command logs as the rest of the system does; with ``-f FILE``, into that file."""
    logs.configure(load().nt_log_level, file=logfile)
