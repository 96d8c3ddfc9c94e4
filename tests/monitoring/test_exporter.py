"""The metrics page of a process."""

from __future__ import annotations

import http.client
import logging
import os
import select
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from tasks.node import Node
from tests.processes import wait_until
from tickfence.monitoring import exporter, node_metrics, page_server
from tickfence.settings import Settings
from tools.local.embedded_redis import EmbeddedRedis
from tools.local.ports import pick
from tools.local.roles import ROOT


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


@pytest.mark.parametrize(("host", "status"), [("node-001:9101", 200), ("metrics.example", 200), ("evil.example", 421)])
def test_a_name_that_another_site_made_up_is_refused(host: str, status: int) -> None:
    port = pick()
    exporter.serve(port, "127.0.0.1", node_metrics.registry, ("metrics.example",))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics", headers={"Host": host})
    answer = connection.getresponse()
    assert (answer.status, b"nt_lease_conflicts_total" in answer.read()) == (status, status == 200)
    connection.close()


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


@pytest.fixture(scope="module")
def served() -> int:
    """The port of a page."""
    port = pick()
    assert exporter.serve(port, "127.0.0.1", node_metrics.registry) == port
    return port


def test_a_scrape_works_while_others_hang_and_those_are_few(served: int) -> None:
    began = os.times()
    files = len(list(Path("/proc/self/fd").iterdir()))
    hanging = [socket.create_connection(("127.0.0.1", served)) for _ in range(60)]
    try:
        hanging[-1].sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")  # half a request
        started = time.monotonic()
        assert "nt_node_heartbeat" in page(served)
        assert time.monotonic() - started < 1
        opened = len(list(Path("/proc/self/fd").iterdir())) - files - len(hanging)
        assert opened <= page_server.MAX_CONNECTIONS
        ended = [connection for connection in hanging if select.select([connection], [], [], 0)[0]]
        assert ended == hanging[: len(ended)], "the oldest are ended"
        assert len(ended) >= len(hanging) - page_server.MAX_CONNECTIONS
    finally:
        for connection in hanging:
            connection.close()
    used = os.times()
    assert used.user + used.system - began.user - began.system < 0.5


def test_who_sends_nothing_is_ended_and_leaves_no_line(
    served: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(page_server.RequestHandler, "timeout", 0.1)
    with socket.create_connection(("127.0.0.1", served), timeout=5) as silent:
        assert silent.recv(1) == b""
    assert capfd.readouterr() == ("", "")
    assert caplog.messages == []


def cpu_ticks(pid: int) -> int:
    """CPU time that a process has used, in 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_process_without_a_free_file_does_not_spin_and_serves_again() -> None:
    program = (
        "import os, resource, sys; from tickfence.monitoring import exporter, node_metrics\n"
        f"exporter.serve({(port := pick())}, '127.0.0.1', node_metrics.registry)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "held = []\n"
        "try:\n    while True: held.append(os.open('/dev/null', os.O_RDONLY))\n"
        "except OSError: print('full', flush=True)\n"
        "sys.stdin.readline()\n"
        "for file in held: os.close(file)\n"
        "print('free', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdin
    assert process.stdout
    with process:
        assert process.stdout.readline() == "full\n"
        before = cpu_ticks(process.pid)
        with socket.create_connection(("127.0.0.1", port)):
            time.sleep(0.5)  # what is measured is how much it does meanwhile
            assert cpu_ticks(process.pid) - before < 10
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "free\n"
        assert "nt_node_heartbeat" in page(port)
        process.stdin.close()
