"""The metrics page of a process."""

from __future__ import annotations

import logging
import socket
import time
import urllib.request
from collections.abc import Callable

import pytest
from redis.exceptions import RedisError

from tasks.node import Node
from tests.processes import wait_until
from tickfence.monitoring import exporter, node_metrics
from tickfence.settings import Settings
from tools.local.embedded_redis import EmbeddedRedis
from tools.local.ports import pick


def page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        return reply.read().decode()


def test_metrics_are_served_under_their_names() -> None:
    port = pick()
    assert exporter.serve(port, "127.0.0.1", node_metrics.registry) == port
    node_metrics.lease_conflicts.inc(0)
    text = page(port)
    assert "nt_lease_conflicts_total " in text
    assert "_created" not in text


def test_the_page_of_a_node_with_a_thousand_symbols_takes_less_than_50_ms() -> None:
    node = Node(Settings.from_environment({}), "node-of-a-thousand")
    for number in range(1000):
        node.reporter(f"S{number}").lease.held_at = time.monotonic() + 3600
    port = pick()
    exporter.serve(port, "127.0.0.1", node_metrics.registry)
    durations = []
    for _ in range(5):
        started = time.perf_counter()
        text = page(port)
        durations.append((time.perf_counter() - started) * 1000)
    assert 'nt_symbols_assigned{node="node-of-a-thousand"} 1000.0' in text
    assert min(durations) < 50
    assert len([line for line in text.splitlines() if not line.startswith("#")]) < 200
    node_metrics.symbols_assigned.remove("node-of-a-thousand")


def test_a_node_that_has_never_reached_redis_has_no_time_of_a_heartbeat(
    own_redis_server: Callable[..., EmbeddedRedis],
) -> None:
    server = own_redis_server()
    node = Node(Settings.from_environment({"REDIS_URL": server.url()}), "node-to-come")
    series = ("nt_node_heartbeat", {"node": "node-to-come"})
    server.stop()
    with pytest.raises(RedisError):
        node.register("", pytest.fail)
    assert node_metrics.registry.get_sample_value(*series) is None
    server.start()
    node.register("", pytest.fail)
    wait_until(lambda: node_metrics.registry.get_sample_value(*series), "the first heartbeat")
    node.leave()


def test_port_0_serves_nothing() -> None:
    assert exporter.serve(0, "127.0.0.1", node_metrics.registry) is None


def test_a_taken_port_is_a_clear_message_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with caplog.at_level(logging.ERROR):
            assert exporter.serve(port, "127.0.0.1", node_metrics.registry) is None
    [line] = caplog.messages
    assert f"NT_METRICS_PORT={port} on 127.0.0.1 cannot be opened" in line
    assert "its own port" in line


def test_an_address_that_is_not_this_hosts_is_a_clear_message_too(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert exporter.serve(pick(), "192.0.2.1", node_metrics.registry) is None
    assert "on 192.0.2.1 cannot be opened" in caplog.text


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "[::1]"),
        ("metrics.example", "metrics.example"),
        ("0.0.0.0", socket.gethostname()),
        ("::", socket.gethostname()),
    ],
)
def test_a_page_has_an_address_that_others_can_go_to(host: str, shown: str) -> None:
    assert exporter.page_url(9101, host) == f"http://{shown}:9101/metrics"


def test_no_page_has_no_address() -> None:
    assert exporter.page_url(None, "0.0.0.0") == ""
