"""The metrics page of a process."""

from __future__ import annotations

import logging
import socket
import urllib.request

import pytest

from local.ports import pick
from monitoring import exporter, node_metrics


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


def test_port_0_serves_nothing() -> None:
    assert exporter.serve(0, "127.0.0.1", node_metrics.registry) is None


def test_a_taken_port_is_a_clear_message_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with caplog.at_level(logging.ERROR):
            assert exporter.serve(port, "127.0.0.1", node_metrics.registry) is None
    [line] = caplog.messages
    assert f"NT_METRICS_PORT={port} on 127.0.0.1 cannot be opened" in line
    assert "a port of its own" in line


def test_an_address_that_is_not_this_hosts_is_a_clear_message_too(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert exporter.serve(pick(), "192.0.2.1", node_metrics.registry) is None
    assert "on 192.0.2.1 cannot be opened" in caplog.text
