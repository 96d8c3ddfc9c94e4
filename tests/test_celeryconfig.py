"""Celery's settings of the broker: those that the transport in question knows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tickfence import settings

SHOW = """
import json
from tasks.celery_app import app
connection = app.connection_for_read()
queue = app.amqp.queues["node-001"]
print(json.dumps({
    "driver": connection.transport.driver_type,
    "uri": connection.as_uri(include_password=True),
    "options": sorted(app.conf.broker_transport_options),
    "prefix": app.conf.broker_transport_options.get("global_keyprefix"),
    "ssl": bool(app.conf.broker_use_ssl),
    "heartbeat": app.conf.broker_heartbeat,
    "queue": [queue.name, queue.routing_key, queue.durable, queue.queue_arguments],
}))
"""


def told(broker: str, **variables: str) -> dict[str, Any]:
    """What a process that is given this broker makes of it."""
    shown = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=Path(settings.__file__).parents[1],
        env={**os.environ, "CELERY_BROKER_URL": broker, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(shown.stdout)
    return found


def test_redis_gets_its_own_options_and_plain_queues() -> None:
    found = told("redis://localhost:7000/3")
    assert (found["driver"], found["ssl"]) == ("redis", False)
    assert {"priority_steps", "socket_timeout"} <= set(found["options"])
    assert found["queue"] == ["node-001", "node-001", True, None]


def test_deployments_that_share_a_redis_share_no_queue() -> None:
    assert told("redis://localhost:7000/3")["prefix"] == ""
    assert told("redis://localhost:7000/3", NT_NAMESPACE="staging")["prefix"] == "staging:"


def test_rabbitmq_gets_its_own_options_heartbeats_and_bounded_queues() -> None:
    found = told("amqp://ann:secret@localhost:7000/ticks")
    assert (found["driver"], found["uri"]) == ("amqp", "amqp://ann:secret@localhost:7000/ticks")
    assert (found["options"], found["ssl"], found["heartbeat"]) == (["host", "read_timeout", "write_timeout"], False, 2)
    *_, durable, arguments = found["queue"]
    assert durable
    assert set(arguments) == {"x-queue-type", "x-max-length", "x-overflow", "x-expires"}


def test_rabbitmq_over_tls() -> None:
    found = told("amqps://ann:secret@localhost/ticks?ssl_cert_reqs=required")
    assert (found["driver"], found["uri"], found["ssl"]) == ("amqp", "amqps://ann:secret@localhost:5671/ticks", True)
