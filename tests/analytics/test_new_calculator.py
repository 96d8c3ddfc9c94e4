"""A new anomaly, or a new part of `liquidity`, is one new file: the report, its schema and every reader have it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tickfence

ANOMALY = '''
from tickfence.analytics.anomalies import Anomaly
from tickfence.analytics.fields import Count, Price, Side


class FewBuyers(Anomaly, frozen=True, tag="few_buyers"):
    """Fewer bids than asks."""

    order = 4
    side: Side
    price: Price
    bids: Count

    @classmethod
    def find(cls, market):
        count = len(market.bid_prices)
        note = f"Bids left: {count}."
        return [cls("low", note, "bid", market.bid_prices[0], count)] if count < len(market.ask_prices) else []
'''

CALCULATOR = '''
from tickfence.analytics.fields import Finding, Price

ORDER = 9


class Reach(Finding, frozen=True):
    """How far the book reaches."""

    lowest: Price
    highest: Price

    @property
    def note(self):
        return f"from {self.lowest:g} to {self.highest:g}"


def find(market) -> Reach:
    return Reach(market.bid_prices[-1], market.ask_prices[-1])
'''

SCRIPT = """
import json, sys
from msgspec import json as msgjson
import redis
from rich.console import Console
from tickfence.analytics import report, slow_cycle
from tickfence.analytics.freshness import freshness
from tickfence.analytics.report import Report
from tickfence.analytics.symbol_state import SymbolState
from tickfence.cli import show_view
from tickfence.keys import Keys
from tickfence.settings import Settings
from tickfence.readers.reports import FreshReport, with_freshness
from tickfence.mcp.summary import report_text

client = redis.Redis.from_url(sys.argv[1])
now = int(client.time()[0]) * 1000
state = SymbolState("BTCUSDT")
state.load_snapshot(1, [(99.0, 1.0)], [(101.0, 1.0), (102.0, 1.0)], now)
slow_cycle.run(state, now)
other = SymbolState("BTCUSDT")
other.load_snapshot(1, [(99.0, 1.0)], [(101.0, 1.0)], now)
other.restore_slow(slow_cycle.run(state, now))
written = report.build(other, now, "node-001", 1)
client.set(Keys().report("BTCUSDT"), written)
answer = with_freshness(written, freshness(msgjson.decode(written, type=Report), now, 250))
console = Console(width=160)
with console.capture() as shown:
    console.print(show_view.read(client, Settings(), "BTCUSDT").picture)
print(json.dumps({
    "report": json.loads(written),
    "schema": msgjson.schema(Report),
    "answer": json.loads(answer),
    "mcp": report_text(msgjson.decode(answer, type=FreshReport)),
    "show": shown.get(),
}))
"""


@pytest.fixture
def found(tmp_path: Path, redis_server) -> dict:
    """What a product with the two files more makes of a market."""
    product = tmp_path / "tickfence"
    shutil.copytree(tickfence.__path__[0], product, ignore=shutil.ignore_patterns("static", "swagger", "__pycache__"))
    (product / "analytics" / "anomalies" / "few_buyers.py").write_text(ANOMALY)
    (product / "analytics" / "liquidity" / "reach.py").write_text(CALCULATOR)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", SCRIPT, redis_server.url()]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_a_new_calculator_is_one_file(found: dict) -> None:
    note = "Bids left: 1."
    anomaly = {"type": "few_buyers", "severity": "low", "note": note, "side": "bid", "price": 99.0, "bids": 1}
    assert found["report"]["anomalies"][-1] == anomaly
    assert found["report"]["liquidity"]["reach"] == {"lowest": 99.0, "highest": 102.0}
    assert found["report"]["health"]["components"][-1] == {"metric": "anomalies", "score": 2.5}
    assert found["schema"]["$defs"]["FewBuyers"]["properties"]["bids"] == {"type": "integer", "minimum": 0}
    assert "reach" in found["schema"]["$defs"]["Liquidity"]["properties"]
    assert found["answer"]["anomalies"][-1] == anomaly  # of which the page takes its text
    for text in (f"anomaly: few buyers, low, {note}", "reach: from 99 to 102"):
        assert text in found["mcp"]
    for text in ("few buyers", note, "reach", "from 99 to 102"):
        assert text in found["show"]
