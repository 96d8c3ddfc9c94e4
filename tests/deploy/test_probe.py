"""The health check of a container, asked of a real page."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from tests.deploy.compose_file import ROOT
from tools.local import ports


@pytest.fixture
def page() -> tuple[str, Gauge]:
    """A page of metrics, and a gauge of one label on it."""
    registry, port = CollectorRegistry(), ports.pick()
    gauge = Gauge("beat_time", "Unix time", ["node"], registry=registry)
    start_http_server(port, ports.LOOPBACK, registry=registry)
    return f"http://{ports.LOOPBACK}:{port}/metrics", gauge


def probe(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tickfence.monitoring.probe", *words],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_page_that_answers_is_well(page: tuple[str, Gauge]) -> None:
    assert probe(page[0]).returncode == 0


def test_nobody_there_is_one_line() -> None:
    found = probe(f"http://{ports.LOOPBACK}:{ports.pick()}/metrics")
    assert found.returncode == 1
    assert found.stderr.startswith("error: http://127.0.0.1:")
    assert found.stderr.count("\n") == 1


def test_a_proxy_for_the_way_out_is_not_asked(page: tuple[str, Gauge]) -> None:
    assert probe(page[0], http_proxy=f"http://{ports.LOOPBACK}:1", no_proxy="").returncode == 0


def test_what_is_no_address_is_one_line() -> None:
    found = probe("127.0.0.1/metrics")
    assert (found.returncode, found.stderr.count("\n")) == (1, 1)
    assert found.stderr.startswith("error: 127.0.0.1/metrics: ")


def test_a_time_must_be_there_and_recent(page: tuple[str, Gauge]) -> None:
    url, gauge = page
    assert f"{url}: no beat_time" in probe(url, "--fresh", "beat_time").stderr
    gauge.labels("node-001").set(time.time() - 60)
    old = probe(url, "--fresh", "beat_time")
    assert old.returncode == 1
    assert "beat_time is 6" in old.stderr
    gauge.labels("node-002").set_to_current_time()
    assert probe(url, "--fresh", "beat_time").returncode == 0
