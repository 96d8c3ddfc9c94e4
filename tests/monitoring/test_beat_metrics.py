"""What a beat's metrics say of its lead, with a real beat and a Redis that goes away."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.observer import metric
from tests.processes import wait_until
from tools.local.embedded_redis import EmbeddedRedis
from tools.local.ports import answers, pick
from tools.local.roles import ROOT, celery

StartBeat = Callable[..., int]


@pytest.fixture
def start_beat(tmp_path: Path) -> Iterator[StartBeat]:
    """Starts a beat on a Redis, with further variables; returns its metrics' port."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(server: EmbeddedRedis, **variables: str) -> int:
        port = pick()
        plain = {name: value for name, value in os.environ.items() if not name.startswith("NT_")}
        addresses = {"REDIS_URL": server.url(), "CELERY_BROKER_URL": server.url(1)}
        with (tmp_path / "beat.log").open("wb") as log:
            processes.append(
                subprocess.Popen(
                    celery("beat"),
                    cwd=ROOT,
                    env=plain | addresses | {"SYMBOLS": "BTCUSDT,ETHUSDT", "NT_METRICS_PORT": str(port)} | variables,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
        wait_until(lambda: answers(port), (tmp_path / "beat.log").read_text, timeout_s=20)
        return port

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_a_leader_that_loses_redis_says_that_it_leads_no_more(
    start_beat: StartBeat, own_redis_server: Callable[..., EmbeddedRedis]
) -> None:
    server = own_redis_server()
    port = start_beat(server)
    wait_until(lambda: metric(port, "nt_dispatcher_leading") == 1, "the lead")
    assert metric(port, "nt_reports_due_per_second") == 8
    assert metric(port, "nt_dispatcher_redis_errors_total") == 0
    server.stop()
    wait_until(lambda: metric(port, "nt_dispatcher_leading") == 0, "the end of the lead")
    wait_until(lambda: metric(port, "nt_dispatcher_redis_errors_total") > 2, "tries that failed")


def test_a_beat_that_reaches_redis_and_not_the_broker_counts_that(
    start_beat: StartBeat, own_redis_server: Callable[..., EmbeddedRedis]
) -> None:
    server, broker = own_redis_server(), own_redis_server()
    port = start_beat(server, CELERY_BROKER_URL=broker.url(1), NT_ENABLE_MULTI_INSTANCE="false")
    wait_until(lambda: metric(port, "nt_messages_sent_total") > 0, "messages")
    assert metric(port, "nt_dispatcher_broker_errors_total") == 0
    broker.stop()
    wait_until(lambda: metric(port, "nt_dispatcher_broker_errors_total") > 2, "tries that failed")
    assert metric(port, "nt_dispatcher_leading") == 1  # without other instances it is the one that sends


def test_where_reports_are_off_none_are_due(
    start_beat: StartBeat, own_redis_server: Callable[..., EmbeddedRedis]
) -> None:
    port = start_beat(own_redis_server(), NT_ENABLE_KV_REPORTS="false")
    assert metric(port, "nt_reports_due_per_second") == 0
