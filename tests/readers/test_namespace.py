"""Two deployments in one Redis: a reader shows the one that ``NT_NAMESPACE`` names."""

from __future__ import annotations

import json

import redis

from tests.cli.processes import typed
from tests.web.reporting import EXAMPLE
from tests.web.web_process import WebProcess
from tickfence.keys import Keys
from tickfence.timeline import events
from tools.local.embedded_redis import EmbeddedRedis

DEPLOYMENTS = {"": "AAUSDT", "staging": "BBUSDT"}
"""Namespace -> its only symbol."""


def fill(client: redis.Redis, namespace: str, symbol: str) -> None:
    """A node that owns the symbol, a leader, and a report."""
    keys = Keys(namespace)
    now = client.time()[0] * 1000
    client.hset(keys.assignment, mapping={"term": 1, "generation": 1, symbol: "node-001/a"})
    client.hset(keys.dispatcher, mapping={"leader": f"beat-{symbol}", "term": 1, "until": now + 60_000})
    client.hset(keys.node("node-001"), mapping={"incarnation": "a", "client_id": 0, "weight": 1})
    client.zadd(keys.nodes, {"node-001": now + 60_000})
    client.hset(keys.lease(symbol), mapping={"owner": "node-001/a", "token": 9, "until": now + 60_000})
    ingestion = EXAMPLE["ingestion"] | {"exchange_time": now}
    report = EXAMPLE | {"symbol": symbol, "updatedAt": now, "ingestion": ingestion}
    client.set(keys.report(symbol), json.dumps(report, separators=(",", ":")))
    client.hset(keys.info(symbol), mapping={"tick_size": "0.01", "step_size": "0.1", "status": "TRADING"})
    events.queue_append(client, keys, events.conflict_event(symbol, "node-001", "node-002"))
    client.xadd(keys.trades(symbol), {"p": "7.5", "q": "1", "s": "b", "r": now}, id=f"{now}-1")


def test_web_and_command_line_show_the_deployment_of_their_namespace(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    for namespace, symbol in DEPLOYMENTS.items():
        fill(redis_client, namespace, symbol)
    for namespace, symbol in DEPLOYMENTS.items():
        with WebProcess(redis_server.url(), NT_NAMESPACE=namespace).wait_until_up() as web:
            assert web.get("/symbols").json["symbols"] == [{"symbol": symbol, "owner": "node-001", "idle": None}]
            assert [report["symbol"] for report in web.get("/reports").json["reports"]] == [symbol]
            assert web.get("/nodes").json["leader"]["leader"] == f"beat-{symbol}"
            assert [event["symbol"] for event in web.get("/events").json["events"]] == [symbol]
            assert [price for _, price in web.get(f"/prices/{symbol}").json["points"]] == [7.5]
            assert web.get(f"/profiles/{symbol}").json["tradeCount"] == 1
        for words, told in (
            (("owners",), f'"symbol": "{symbol}", "owner": "node-001", "holder": "node-001", "token": 9'),
            (("nodes",), f'"leader": "beat-{symbol}"'),
            (("explain", symbol), f'"symbol": "{symbol}"'),
            (("timeline",), f'"symbol": "{symbol}"'),
            (("show", symbol), f'"symbol": "{symbol}"'),
        ):
            shown = typed(redis_server.url(), f"{' '.join(words)} --json", env={"NT_NAMESPACE": namespace})
            assert (shown.exit_code, shown.stderr) == (0, "")
            assert told in shown.stdout
