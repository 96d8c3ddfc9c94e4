"""What the page shows, written into Redis as beats and nodes write it, without any of them running."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

import redis

from tests import appending
from tests.web.reporting import EXAMPLE, Cluster
from tickfence.analytics.history_row import HistoryRow
from tickfence.coordination.assignment_store import StoredAssignment, publish_assignment
from tickfence.coordination.controller import MoveReason
from tickfence.coordination.desired import Desired, seed
from tickfence.coordination.desired_store import read_desired, replace_desired, seed_desired
from tickfence.coordination.membership import NodeReason
from tickfence.coordination.owner import Owner
from tickfence.coordination.verdicts import Verdicts
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.streams import append
from tickfence.timeline import events
from tickfence.timeline.events import Moves

KEYS = Keys()

PERIOD_S = 0.25
NODES_AT_START = ("node-001", "node-002", "node-003")


_PRICES = {"price", "last_price", "mid_price", "micro_price", "from", "to", "POC", "VAL", "VAH"}


def shifted(part: Any, by: float) -> Any:
    """A part of a report with every price in it moved."""
    if isinstance(part, list):
        return [shifted(item, by) for item in part]
    if isinstance(part, dict):
        return {name: round(value + by, 4) if name in _PRICES else shifted(value, by) for name, value in part.items()}
    return part


class Scene:
    """Nodes that own symbols and write a report of each, four times a second while in the ``with`` block."""

    def __init__(self, client: redis.Redis, symbols: Iterable[str]) -> None:
        self.client = client
        self.silent: set[str] = set()  # symbols that nobody writes any more
        self.changed: dict[str, dict[str, Any]] = {}  # what a symbol's reports hold in place of the example's
        self.cycles = 0  # how often all were written
        self._random = random.Random(1)
        self._prices = {symbol: self._random.randint(1_000, 900_000) / 100 for symbol in symbols}
        self._owners = {node: Owner.start(node) for node in NODES_AT_START}
        self._held = {s: NODES_AT_START[place % 3] for place, s in enumerate(self._prices)}
        self._generation, self._term = 1, self.now_ms()
        self._single = False
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep_writing, name="scene")

    def __enter__(self) -> Self:
        self._publish(MoveReason.FIRST, {symbol: (None, node) for symbol, node in self._held.items()})
        self.write()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def now_ms(self) -> int:
        """The server's time."""
        seconds, microseconds = self.client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    def owner(self, symbol: str) -> str:
        """The node that writes ``symbol``."""
        return self._held[symbol]

    def price(self, symbol: str) -> float:
        """What was last written."""
        return self._prices[symbol]

    def write(self) -> None:
        """One cycle: heartbeats, the lead, a report of each symbol with another price."""
        now = self.now_ms()
        with self._lock, self.client.pipeline(transaction=False) as pipe:
            for number, (node, owner) in enumerate(() if self._single else self._owners.items()):
                pipe.zadd(KEYS.nodes, {node: now})
                registered = {"incarnation": owner.incarnation, "client_id": 0, "weight": 1, "host": "h", "pid": number}
                pipe.hset(KEYS.node(node), mapping=registered)
            if not self._single:
                pipe.hset(KEYS.dispatcher, mapping={"leader": "beat@here/1", "term": self._term, "until": now + 5000})
            for symbol, node in self._held.items():
                if symbol not in self.silent:
                    price = round(self._prices[symbol] + self._random.choice((-0.02, -0.01, 0.01, 0.02)), 2)
                    self._prices[symbol] = price
                    pipe.set(KEYS.report(symbol), json.dumps(self._report(symbol, node, now)))
            pipe.execute()
        self.cycles += 1

    def kill(self, node: str) -> list[str]:
        """``node`` is gone, its symbols go to the others; those symbols."""
        with self._lock:
            gone = self._owners.pop(node)
            self.client.zadd(KEYS.nodes, {node: self.now_ms() - 60_000})
            events.queue_append(self.client, KEYS, events.node_event(NodeReason.DIED, gone, self._term))
            left = sorted(self._owners)
            moves: Moves = {s: (node, left[i % len(left)]) for i, s in enumerate(self._held) if self._held[s] == node}
            self._held |= {symbol: str(now) for symbol, (_, now) in moves.items()}
            self._publish(MoveReason.DIED, moves)
        return list(moves)

    def forget(self, symbol: str) -> None:
        """``symbol`` has no report, and gets none."""
        with self._lock:
            self.silent.add(symbol)
            self.client.delete(KEYS.report(symbol))

    def want(self, change: Callable[[Desired, int], Desired], *, stuck: str, aside: str) -> None:
        """Operators want something else, ``stuck`` is a node that is stuck, and ``aside`` a symbol that is set aside."""
        seed_desired(self.client, KEYS, seed(map(Instrument, self._prices)), "test")
        before, now = read_desired(self.client, KEYS), self.now_ms()
        assert before
        assert replace_desired(self.client, KEYS, before.version, change(before, now), "test", "a change")
        blamed = {Instrument(aside): {Owner(node, "a"): now for node in ("node-001", "node-002")}}
        verdicts = Verdicts({self._owners[stuck]: now}, blamed).to_json()
        self.client.hset(KEYS.dispatcher, "verdicts", verdicts)

    def trade(self, symbol: str, price: str, *, is_buy: bool) -> None:
        """Somebody trades now."""
        now = self.now_ms()
        appending.add(self.client, KEYS.trades(symbol), append.packed_trade(now, now, price, "0.5", is_buy, now))

    def end_coordination(self) -> None:
        """From now on one node writes everything, in single mode: nobody registers and nobody leads."""
        with self._lock:
            self._single = True
            for key in (KEYS.nodes, KEYS.dispatcher, KEYS.assignment):
                self.client.delete(key)

    def want_nothing(self) -> None:
        """As at the start."""
        self.client.delete(KEYS.desired)
        self.client.hdel(KEYS.dispatcher, "verdicts")

    def remember(self, symbol: str, seconds: int) -> None:
        """A history of ``symbol`` until now, at one price."""
        Cluster(self.client).history(
            symbol,
            *(
                HistoryRow(
                    time_ms=ms,
                    token=self._generation,
                    last_price=77.25,
                    spread_bps=1.5,
                    bid_qty=3.0,
                    ask_qty=1.0,
                    health=90.0,
                    status="ok",
                )
                for ms in range(self.now_ms() - seconds * 1000, self.now_ms(), 1000)
            ),
        )

    def conflict(self, symbol: str) -> None:
        """A node is refused the lease of ``symbol``."""
        events.queue_append(self.client, KEYS, events.conflict_event(symbol, "node-003", self._held[symbol]))

    def _report(self, symbol: str, node: str, now_ms: int) -> dict[str, Any]:
        return {
            **shifted(EXAMPLE, self._prices[symbol] - EXAMPLE["last_price"]),
            "symbol": symbol,
            "writer": {"nodeId": node, "writerToken": self._generation},
            "updatedAt": now_ms,
            "data_age_ms": 40,
            "ingestion": {"status": "ok", "fresh": True, "exchange_time": now_ms, "last_update": now_ms - 40},
            "change_24h_pct": 1.25,
            **self.changed.get(symbol, {}),
        }

    def _publish(self, reason: MoveReason, moves: Moves) -> None:
        owners = {symbol: self._owners[node] for symbol, node in self._held.items()}
        before = StoredAssignment(0, self._generation, {})
        self._generation = publish_assignment(self.client, KEYS, self._term, before, owners).generation
        events.queue_append(
            self.client, KEYS, events.moved_event(reason, self._generation, self._term, "beat@here/1", moves)
        )

    def _keep_writing(self) -> None:
        while not self._end.wait(PERIOD_S):
            self.write()
