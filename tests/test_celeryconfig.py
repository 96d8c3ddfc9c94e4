"""Celery's settings of the broker: those that the transport in question knows."""

from __future__ import annotations

import json
import os
import re
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
    "tls": {name: str(value) for name, value in (app.conf.broker_use_ssl or {}).items()},
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


def test_redis_over_tls_is_checked_unless_the_url_says_otherwise() -> None:
    assert told("rediss://localhost/1")["tls"] == {"ssl_cert_reqs": "2"}
    options = "ssl_cert_reqs=none&ssl_check_hostname=false&ssl_ca_certs=/ca.pem"
    assert told(f"rediss://localhost/1?{options}")["tls"] == {
        "ssl_cert_reqs": "0",
        "ssl_check_hostname": "False",
        "ssl_ca_certs": "/ca.pem",
    }


def reported(*options: str, **variables: str) -> tuple[str, list[str]]:
    """The broker that Celery's command line uses to read and to write, and what it warns of."""
    environment = {name: value for name, value in os.environ.items() if "BROKER" not in name}
    done = subprocess.run(
        [Path(sys.executable).with_name("celery"), "-A", "tasks", *options, "report"],
        cwd=Path(settings.__file__).parents[1],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.findall(r"broker(?:_read|_write)?_url: '(?:redis://)?.*@(\S+)'", done.stdout)
    assert len(found) == 3
    assert len(set(found)) == 1
    return found[0], done.stderr.splitlines()


OTHER = "redis://other:9/9"


BROKERS = ("CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "BROKER_URL", "CELERY_BROKER")


def test_what_belongs_to_other_programs_is_ignored_with_one_line_each() -> None:
    others = {**dict.fromkeys(BROKERS, OTHER), "RESULT_BACKEND": "django-db"}
    broker, warnings = reported(CELERY_BROKER_URL="redis://ours:7000/3", **others)
    assert broker == "ours:7000/3"
    assert warnings == [
        *(f"warning: {name} is ignored; set CELERY_BROKER_URL instead" for name in BROKERS),
        "warning: RESULT_BACKEND is ignored; set CELERY_RESULT_BACKEND instead",
    ]


def test_without_ours_the_default_is_used_and_an_option_is_respected() -> None:
    warning = ["warning: BROKER_URL is ignored; set CELERY_BROKER_URL instead"]
    assert reported(BROKER_URL=OTHER) == ("localhost:6379/1", warning)
    assert reported("--broker", "redis://given:1/2", BROKER_URL=OTHER) == ("given:1/2", [])
