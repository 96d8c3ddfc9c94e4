"""The description is a contract: requests that a tool makes up from it, and a client that another one generates from it."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import wait_until
from tests.web.reporting import Cluster
from tests.web.web_process import WebProcess
from tickfence.coordination.membership import NodeReason
from tickfence.coordination.owner import Owner
from tickfence.timeline.events import node_event
from tools.local.embedded_redis import EmbeddedRedis

BIN = Path(sys.executable).parent
SYMBOLS = ("BTCUSDT", "ETHUSDT")  # of the description's examples


@pytest.fixture
def served(redis_server: EmbeddedRedis, cluster: Cluster) -> Iterator[WebProcess]:
    """A server that has answers to the examples, and takes as many requests as the tool likes."""
    over = threading.Event()

    def rewrite() -> None:
        """What a node does."""
        while not over.wait(0.1):
            for symbol in SYMBOLS:
                cluster.report(symbol)

    node = threading.Thread(target=rewrite)
    node.start()
    for symbol in SYMBOLS:
        cluster.listed(symbol, symbol[:3], "USD")
    cluster.assign(dict.fromkeys(SYMBOLS, "node-001"))
    cluster.node()
    cluster.lead()
    cluster.event(node_event(NodeReason.DIED, Owner("node-1", "aa"), 7))
    limits = {"NT_WEB_CLIENT_REQUESTS_PER_S": 0, "NT_WEB_MAX_CLIENT_STREAMS": 1}
    with WebProcess(redis_server.url(), SYMBOLS=",".join(SYMBOLS), **limits) as web:
        yield web.wait_until_up()
    over.set()
    node.join()


def test_all_operations_answer_made_up_requests_as_described(served: WebProcess, tmp_path: Path) -> None:
    """The one stream that a client may have is open: a further one is refused, where it would not end."""
    options = [
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--max-time", "12", "--seed", "18"),
        *("--exclude-checks", "positive_data_acceptance,ignored_auth", "--request-timeout", "5", "--no-color"),
        *("--continue-on-failure", "--warnings", "off"),
    ]
    with served.stream("/v1/stream") as stream:
        stream.until("state")
        wait_until(lambda: served.status("/readyz") == 200, "its reports are fresh")
        ended = subprocess.run(
            [BIN / "schemathesis", "run", f"http://127.0.0.1:{served.port}/openapi.json", *options],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=tmp_path,
        )
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr
    assert "Traceback" not in served.log_text()


def test_a_client_that_is_generated_reads_reports(
    served: WebProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.yml"
    config.write_text("package_name_override: market\npost_hooks: []\n")
    described = tmp_path / "openapi.json"
    described.write_bytes(served.get("/openapi.json").body)
    made = subprocess.run(
        [
            *(BIN / "openapi-python-client", "generate", "--path", described, "--config", config),
            *("--output-path", tmp_path / "market", "--meta", "none", "--fail-on-warning"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    monkeypatch.syspath_prepend(tmp_path)
    client = importlib.import_module("market").Client(base_url=f"http://127.0.0.1:{served.port}")
    report = importlib.import_module("market.api.reports.get_report").sync(client=client, symbol="btcusdt")
    assert (report.symbol, report.freshness.reason) == ("BTCUSDT", None)
    prices = importlib.import_module("market.api.reports.get_prices").sync(client=client, symbol="BTCUSDT")
    assert prices.points == []
    problem = importlib.import_module("market.api.reports.get_report").sync(client=client, symbol="NOPE")
    assert (problem.code, problem.status) == ("unknown_symbol", 404)
