"""RabbitMQ for a broker, Redis for the data: the whole path with real processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.embedded_redis import EmbeddedRedis
from tests.e2e.roles_at import NODES, SYMBOLS, RolesAt
from tests.processes import wait_until
from tests.rabbitmq import RabbitMQ, find_server

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(120),
    pytest.mark.skipif(find_server() is None, reason="needs rabbitmq-server (Debian: apt-get install rabbitmq-server)"),
]


@pytest.fixture
def rabbitmq() -> Iterator[RabbitMQ]:
    with RabbitMQ() as server:
        yield server


def all_written(roles: RolesAt, since_s: float) -> bool:
    """Whether each symbol has a report that was written after ``since_s``, whoever wrote it."""
    found = roles.reports()
    return len(found) == len(SYMBOLS) and all(one["updatedAt"] > since_s * 1000 for one in found.values())


def test_reports_flow_a_killed_node_is_replaced_and_a_restarted_broker_is_found_again(
    rabbitmq: RabbitMQ, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    with redis_server.client() as client:
        client.flushall()
    with RolesAt(redis_server.url(), rabbitmq.url, tmp_path) as roles:
        roles.wait_for_reports(timeout_s=30)

        rabbitmq.kill()
        rabbitmq.start()
        began = time.time()
        wait_until(lambda: all_written(roles, began), "reports after the broker's restart", 20)
        print(f"{time.time() - began:.2f} s from the broker's restart to six reports")
        roles.wait_for_reports()
        assert roles.conflicts() == 0

        roles.kill(NODES[0])
        began = time.time()
        roles.wait_for_reports(NODES[1:])
        print(f"{time.time() - began:.2f} s from the kill to six reports of the other node")
        assert roles.conflicts(NODES[1:]) == 0
