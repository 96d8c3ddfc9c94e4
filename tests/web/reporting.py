"""What nodes and beats leave in Redis, written as they write it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import redis

from tests import appending
from tickfence.analytics.history_row import HistoryRow, pack
from tickfence.analytics.report import Report
from tickfence.coordination.assignment_store import StoredAssignment, publish_assignment
from tickfence.coordination.desired import Desired, seed
from tickfence.coordination.desired_store import read_desired, replace_desired, seed_desired
from tickfence.coordination.owner import Owner
from tickfence.coordination.verdicts import Verdicts
from tickfence.instrument import Instrument, split
from tickfence.keys import Keys
from tickfence.streams import append
from tickfence.timeline.events import Fields, queue_append

_PAGE = Path(__file__).parents[2] / "docs" / "report.md"
EXAMPLE: dict[str, Any] = json.loads(re.findall(r"```json\n(.*?)```", _PAGE.read_text(), re.DOTALL)[-1])
"""The report that docs/report.md shows."""

KEYS = Keys()
INCARNATION = "5f0c9a1be2d43786"


class Cluster:
    """What a cluster of nodes shows in Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def now_ms(self) -> int:
        seconds, microseconds = self.client.time()
        return seconds * 1000 + microseconds // 1000

    def report(
        self,
        symbol: str,
        *,
        node: str = "node-001",
        age_ms: int = 0,
        data_age_ms: int = 50,
        exchange_ahead_ms: int = 0,
        **fields: Any,
    ) -> dict[str, Any]:
        """Write a report ``age_ms`` ago, from data that was ``data_age_ms`` old then, and an exchange with its own clock."""
        at = self.now_ms() - age_ms
        written = EXAMPLE | {
            "symbol": symbol,
            "venue": split(symbol)[0],
            "writer": {"nodeId": node, "writerToken": 7},
            "updatedAt": at,
            "data_age_ms": data_age_ms,
            "ingestion": {
                "status": "ok",
                "fresh": True,
                "exchange_time": at + exchange_ahead_ms,
                "last_update": at - data_age_ms,
            },
            **fields,
        }
        text = msgspec.json.encode(msgspec.convert(written, Report))
        self.client.set(KEYS.report(symbol), text)
        return dict(json.loads(text))

    def node(self, name: str = "node-001", *, silent_ms: int = 0) -> None:
        """Register a node that was last heard ``silent_ms`` ago."""
        record = {"incarnation": INCARNATION, "client_id": 0, "weight": 1.0, "host": "here", "pid": 42}
        self.client.hset(KEYS.node(name), mapping=record)
        self.client.zadd(KEYS.nodes, {name: self.now_ms() - silent_ms})

    def lead(self, leader: str = "beat@here/1", term: int = 5, *, for_ms: int = 60_000) -> None:
        self.client.hset(KEYS.dispatcher, mapping={"leader": leader, "term": term, "until": self.now_ms() + for_ms})

    def assign(self, owners: Mapping[str, str], generation: int = 1) -> None:
        placed = {symbol: Owner(node, INCARNATION) for symbol, node in owners.items()}
        publish_assignment(self.client, KEYS, 5, StoredAssignment(0, generation, {}), placed)

    def want(self, change: Callable[[Desired, int], Desired]) -> None:
        """Change what operators want, beginning with AAUSDT and BBUSDT."""
        seed_desired(self.client, KEYS, seed(map(Instrument, ("AAUSDT", "BBUSDT"))), "test")
        before = read_desired(self.client, KEYS)
        assert before
        assert replace_desired(self.client, KEYS, before.version, change(before, self.now_ms()), "test", "a change")

    def blame(self, symbol: str) -> None:
        """Two nodes got stuck while they worked on ``symbol``."""
        owners = {Owner(f"node-00{number}", INCARNATION): self.now_ms() for number in (1, 2)}
        self.client.hset(KEYS.dispatcher, "verdicts", Verdicts({}, {Instrument(symbol): owners}).to_json())

    def event(self, fields: Fields) -> None:
        queue_append(self.client, KEYS, fields)

    def history(self, symbol: str, *rows: HistoryRow) -> None:
        with self.client.pipeline(transaction=False) as pipe:
            for row in rows:
                pipe.xadd(KEYS.history(symbol), {"r": pack(row)}, id=f"{row.time_ms + 3}-0")
            pipe.execute()

    def listed(self, symbol: str, base: str, quote: str) -> None:
        """What the exchange's listing says of a symbol."""
        self.client.hset(KEYS.info(symbol), mapping={"base": base, "quote": quote})

    def trade(self, symbol: str, time_ms: int, price: str) -> None:
        packed = append.packed_trade(time_ms, time_ms, price, "0.5", True, time_ms)
        appending.add(self.client, KEYS.trades(symbol), packed)
