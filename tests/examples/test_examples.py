"""Every example works as a user starts it, against a real web server."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.client.conftest import TOKEN, address
from tests.processes import wait_until
from tests.web.reporting import Cluster
from tests.web.web_process import WebProcess
from tickfence.analytics.history_row import HistoryRow

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def market(cluster: Cluster) -> Cluster:
    """A minute of history."""
    now = cluster.now_ms()
    for symbol in ("AAUSDT", "kraken:BTC/USD"):
        rows = [
            HistoryRow(
                **{"time_ms": now - 1_000 * (60 - second), "token": 7, "health": 90.0, "status": "ok"},
                **{"mid_price": 100.0 + second % 7, "spread_bps": 2.0, "bid_qty": 1.0 + second % 5, "ask_qty": 2.0},
            )
            for second in range(60)
        ]
        cluster.history(symbol, *rows)
    return cluster


def start(program: str, *arguments: str, server: WebProcess, output: Any = subprocess.PIPE) -> subprocess.Popen[str]:
    """A program as a user starts it, with the server's token."""
    environment = os.environ | {
        **{"NT_WEB_TOKEN": TOKEN, "TICKFENCE_URL": address(server.port), "TICKFENCE_SYMBOL": "AAUSDT"},
    }
    command = [sys.executable, program, *arguments]
    return subprocess.Popen(
        command,
        env=environment,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        # As in a terminal, even if this process runs in the background, which ignores SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


def test_the_spread_alert_fires_once_and_ends(cluster: Cluster, server: WebProcess, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    arguments = ("AAUSDT", "--above", "50", "--seconds", "0.2", "--url", address(server.port))
    with shown.open("w") as output:
        process = start(str(EXAMPLES / "spread_alert.py"), *arguments, server=server, output=output)

    def told(line: str, spread_bps: float) -> bool:
        cluster.report("AAUSDT", spread_bps=spread_bps)
        return line in shown.read_text().splitlines()

    try:
        alert = "ALERT AAUSDT: the spread is 99.5 bps, at least 50 for 0.2 s"
        wait_until(lambda: told(alert, 99.5), shown.read_text, 60, 0.1)
        wait_until(lambda: told("AAUSDT: the spread is normal again", 1.5), shown.read_text, 60, 0.1)
        process.send_signal(signal.SIGINT)
        # A signal between Python's last look and the wait for data is seen when data comes.
        wait_until(lambda: told("", 1.5) or process.poll() is not None, shown.read_text, 20, 0.1)
        assert process.returncode == 0, shown.read_text()
    finally:
        process.kill()
        process.wait()
    assert shown.read_text().count("ALERT") == 1


def test_the_agent_answers_what_changed(market: Cluster, server: WebProcess) -> None:
    market.report("AAUSDT")
    program = str(EXAMPLES / "agent.py")
    url = f"{address(server.port)}/mcp"
    asked = start(program, "aausdt", "--minutes", "5", "--url", url, server=server)
    unknown = start(program, "AAUSD", "--url", url, server=server)
    shown, _ = asked.communicate(timeout=60)
    assert asked.returncode == 0, shown
    assert shown.startswith("What has changed for AAUSDT in the last 5 minutes?\n\nAAUSDT")
    assert "price" in shown
    shown, _ = unknown.communicate(timeout=60)
    assert unknown.returncode == 1 and "there is no symbol 'AAUSD'" in shown and "Traceback" not in shown


def test_the_notebook_runs_from_top_to_bottom(market: Cluster, server: WebProcess, tmp_path: Path) -> None:
    assert market
    notebook = json.loads((EXAMPLES / "history.ipynb").read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = notebook["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells if "outputs" in cell)
    program = tmp_path / "notebook.py"
    program.write_text("\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))
    process = start(str(program), server=server)
    shown, _ = process.communicate(timeout=60)
    assert process.returncode == 0, shown
    assert "60 rows from " in shown and "spread: median 2.0000 bps" in shown
    assert "correlation" in shown and "nan" not in shown


def test_the_grafana_panels_ask_for_what_the_api_answers(market: Cluster, server: WebProcess) -> None:
    board = json.loads((EXAMPLES / "grafana_panel.json").read_text())
    assert board["uid"] and board["title"] and board["schemaVersion"]
    assert {variable["name"] for variable in board["templating"]["list"]} == {"source", "api", "symbol"}
    for one, other in combinations([panel["gridPos"] for panel in board["panels"]], 2):
        assert one["x"] + one["w"] <= other["x"] <= 24 - other["w"]
    now = market.now_ms()
    for panel in board["panels"]:
        assert panel["title"] and panel["description"]
        [target] = panel["targets"]
        assert target["datasource"] == {"type": "yesoreyeram-infinity-datasource", "uid": "${source}"}
        for symbol in ("AAUSDT", "kraken:BTC/USD"):
            url = filled(target["url"], symbol, since=now - 120_000, until=now)
            found = server.get(url, Authorization=f"Bearer {TOKEN}")
            assert found.status == 200, found.body
            first = next(csv.reader([found.body.decode().splitlines()[0]]))
            assert first == [column["selector"] for column in target["columns"]]
            assert len(found.body.decode().splitlines()) > 10


def filled(url: str, symbol: str, **times: Any) -> str:
    """The path of a panel's address with Grafana's variables replaced."""
    values = {
        **{"${api}": "", "${symbol:percentencode}": quote(symbol, safe=""), "${__interval}": "5s"},
        **{"${__from}": str(times["since"]), "${__to}": str(times["until"])},
    }
    for name, value in values.items():
        url = url.replace(name, value)
    assert "$" not in url
    return url
