"""A node's cycle on a Redis Cluster: the symbols of one message lie on several masters."""

from __future__ import annotations

import json
import time

from tasks.cycles import FAST, run_cycle
from tasks.node import Node
from tests.redis_groups import ClusterGroup
from tests.tasks.market import KEYS, Market
from tickfence.coordination.dispatch import Dispatch
from tickfence.settings import Settings

SYMBOLS = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "ADAUSDT", "DOTUSDT"]


def test_all_symbols_of_one_message_are_written() -> None:
    with ClusterGroup() as group:
        node = Node(Settings.from_environment({"REDIS_URL": group.url}), "node-001")
        now = group.masters[0].client.time()
        node.clock.observe(time.monotonic(), time.monotonic(), now[0] * 1000 + now[1] / 1000)
        for symbol in SYMBOLS:
            market = Market(group.masters[group.master_of(symbol)].client, symbol)
            market.now_ms = node.clock.now_ms  # type: ignore[method-assign]
            market.open()
        assert len({group.master_of(symbol) for symbol in SYMBOLS}) == 3
        for _ in range(2):
            run_cycle(node, FAST, SYMBOLS, Dispatch(str(node.owner), 1, 1, node.clock.now_ms()), 60_000)
        for symbol in SYMBOLS:
            assert json.loads(group.client.get(KEYS.report(symbol)))["symbol"] == symbol
            assert node.symbols[symbol].lease.seq == node.symbols[symbol].lease.token + 2
