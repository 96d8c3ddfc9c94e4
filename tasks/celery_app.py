"""The Celery application."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.signals import setup_logging

from tickfence.monitoring import logs
from tickfence.settings import load

app = Celery(
    "tickfence",
    include=["tasks.cycles", "tasks.lifecycle", "tasks.probe"],
    amqp="tasks.queues:AMQP",
    control="tasks.send_once:Control",
    events="tasks.send_once:Events",
)
app.config_from_object("celeryconfig")


@setup_logging.connect
def configure_logs(**_: Any) -> None:
    """Every Celery command logs as the rest of the system does."""
    logs.configure(load().nt_log_level)
