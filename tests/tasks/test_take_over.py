"""A symbol changes hands: the first report of its new owner is the one that the old owner would have written."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tasks.cycles import FAST, SLOW, Cycle, run_cycle
from tasks.node import Node
from tests import appending
from tests.tasks.market import KEYS, Market
from tickfence.analytics import report, slow_cycle
from tickfence.analytics.trade_window import MAX_TRADES
from tickfence.coordination.dispatch import Dispatch
from tickfence.redis_access.scripts import send
from tickfence.settings import Settings
from tickfence.streams import append
from tickfence.streams.read import TRADES_LIMIT
from tools.local.embedded_redis import EmbeddedRedis

S = "BTCUSDT"
PERIOD_MS = 60_000
MINUTE_MS = 60_000


class BusyMarket(Market):
    """A book of 60 prices a side that changes everywhere, and trades of both sides and many sizes.

    There is little 30 to 34 ticks from the middle, and now and then very much anywhere else.
    """

    def __init__(self, client: redis.Redis, seed: int) -> None:
        super().__init__(client, S)
        self.random = random.Random(seed)
        self.book = {inward: {tick: self.quantity(tick) for tick in range(1, 61)} for inward in (1, -1)}

    def open(self) -> None:
        super().open()
        self.book[1][50] = float(self.update_id)  # the first diff's

    def quantity(self, tick: int) -> float:
        if 30 <= tick < 35:
            return self.random.uniform(0.001, 0.01)
        return self.random.choice([0.5, 1.0, 1.5, 40.0, *(self.random.uniform(0.1, 3) for _ in range(20))])

    def snapshot(self, *_: Any) -> None:
        levels = [
            [(price(inward, tick), quantity) for tick, quantity in side.items() if quantity]
            for inward, side in self.book.items()
        ]
        super().snapshot(*levels)

    def change(self) -> None:
        """A diff of six levels, some of which are gone."""
        changes = []
        for inward, side in self.book.items():
            new = {
                tick: self.random.choice([0.0, *[self.quantity(tick)] * 3])
                for tick in self.random.sample(range(1, 61), 3)
            }
            side.update(new)
            changes.append([(price(inward, tick), quantity) for tick, quantity in new.items()])
        super().diff(*changes)

    def deal(self, age_ms: int = 0) -> None:
        self.trade_id += 1
        time_ms = self.now_ms() - 100 - age_ms
        at, quantity = f"{100 + self.random.randrange(-40, 40) / 100:.2f}", f"{self.random.uniform(0.001, 2):.3f}"
        is_buy = self.random.random() < 0.5
        packed = append.packed_trade(time_ms, self.trade_id, at, quantity, is_buy, time_ms + 100)
        appending.add(self.client, KEYS.trades(S), packed)

    def deal_often(self, count: int, age_ms: int, for_ms: int) -> None:
        """``count`` trades evenly from ``age_ms`` ago on, over ``for_ms``."""
        script = """
            for i = 0, ARGV[1] - 1 do
                local ms = string.format('%d', ARGV[2] + math.floor(i * ARGV[3] / ARGV[1]))
                redis.call('XADD', KEYS[1], ms .. '-' .. string.format('%d', ARGV[4] + i),
                    'p', 100 + i % 50 / 100, 'q', '0.5', 's', 'b', 'r', ms)
            end"""
        first = self.now_ms() - age_ms
        self.client.eval(script, 1, KEYS.trades(S), count, first, for_ms, self.trade_id + 1)
        self.trade_id += count


def price(inward: int, tick: int) -> float:
    return round(100 - inward * tick / 100, 2)


@pytest.fixture
def nodes(redis_server: EmbeddedRedis) -> Iterator[Node]:
    """Nodes named node-001, node-002, ..."""
    names = (f"node-{number:03}" for number in range(1, 10))
    environment = {"REDIS_URL": redis_server.url(), "NT_LEASE_TTL_MS": "600000"}
    return (Node(Settings.from_environment(environment), name) for name in names)


def run(node: Node, cycle: Cycle = FAST, generation: int = 1) -> None:
    node.learn_time()
    run_cycle(node, cycle, [S], Dispatch(str(node.owner), generation, 1, node.clock.now_ms()), PERIOD_MS)


def catch_up(node: Node) -> None:
    """Let a node that is not the owner any more read what is new, without asking for the lease."""
    requests = node.symbols[S].warm.read(node.clock.now_ms(), time.monotonic())
    replies = send(node.client, [command for command, _ in requests])
    for (_, take), reply in zip(requests, replies, strict=True):
        take(reply)


def written(client: redis.Redis) -> Any:
    return json.loads(client.get(KEYS.report(S)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_first_report_of_a_new_owner_is_what_the_old_one_would_have_written(
    nodes: Iterator[Node], redis_client: redis.Redis, seed: int
) -> None:
    old, new, market = next(nodes), next(nodes), BusyMarket(redis_client, seed)
    for age_ms in sorted((market.random.randrange(40 * MINUTE_MS) for _ in range(500)), reverse=True):
        market.deal(age_ms + 1000)
    market.open()
    carried_until = ""
    for number in range(200):
        market.change()
        market.deal()
        run(old)
        if number % 16 == 8:
            carried_until = carried_until or market.top
            run(old, SLOW)
        if number == 100:
            market.snapshot()
    # As much as the streams keep at least: what the old owner left behind and the snapshot reach back as far.
    redis_client.xtrim(KEYS.book(S), minid=carried_until, approximate=False)
    for _ in range(5):
        market.change()
        market.deal()

    run(new, generation=2)
    first = written(redis_client)
    assert first["writer"]["nodeId"] == "node-002"
    catch_up(old)
    token = first["writer"]["writerToken"]
    would_have_been = report.build(old.symbols[S].warm.state, first["updatedAt"], "node-002", token)
    assert redis_client.get(KEYS.report(S)) == would_have_been
    assert first["liquidity"].keys() == {"walls", "vacuums", "volume_profile"}
    assert all(first["liquidity"].values())
    assert first["flow"]["orders_per_sec"] > 20
    assert first["flow"]["net_flow"]

    now_ms = first["updatedAt"]
    sections = [json.loads(slow_cycle.run(node.symbols[S].warm.state, now_ms)) for node in (old, new)]
    assert sections[0]["liquidity"] == sections[1]["liquidity"]
    quantities = [node.symbols[S].warm.state.quantities.oldest_first().tolist() for node in (old, new)]
    assert quantities[0] == quantities[1]
    profile = sections[1]["liquidity"]["volume_profile"]
    entries = redis_client.xrange(KEYS.trades(S), f"({first['ingestion']['exchange_time'] - 30 * MINUTE_MS}-{2**63}")
    assert (profile["window_sec"], profile["trade_count"]) == (1800, len(entries))


def test_what_an_owner_leaves_is_not_needed_for_a_report(nodes: Iterator[Node], redis_client: redis.Redis) -> None:
    """Percentiles then start with the snapshot; flow and volume profile are those of the true windows all the same."""
    old, new, market = next(nodes), next(nodes), BusyMarket(redis_client, 1)
    market.deal(32 * MINUTE_MS)
    market.open()
    for _ in range(20):
        market.deal()
    run(old)
    run(old, SLOW)
    redis_client.delete(KEYS.carry(S))
    run(new, generation=2)
    assert written(redis_client)["flow"]["orders_per_sec"] == 2.1
    run(new, SLOW, generation=2)
    run(new, generation=2)
    assert written(redis_client)["liquidity"]["volume_profile"]["trade_count"] == 21


def profile(node: Node, client: redis.Redis) -> tuple[int, int]:
    """Seconds and trades that a volume profile made now is of."""
    run(node, SLOW)
    run(node)
    found = written(client)["liquidity"]["volume_profile"]
    return found["window_sec"], found["trade_count"]


def test_of_a_busy_symbol_the_newest_trades_are_read_first_and_the_others_with_the_next_cycles(
    nodes: Iterator[Node], redis_client: redis.Redis
) -> None:
    node, market = next(nodes), BusyMarket(redis_client, 1)
    market.deal(32 * MINUTE_MS)
    market.deal_often(50_000, 25 * MINUTE_MS, 20 * MINUTE_MS)
    market.open()
    run(node)
    trades = node.symbols[S].warm.state.trades
    assert len(trades) == TRADES_LIMIT
    oldest = int(trades.times(0, 1)[0])
    assert trades.complete_after_ms == oldest
    first = written(redis_client)
    now_ms, flow = first["updatedAt"], first["flow"]
    assert flow["orders_per_sec"] == 0.1
    slow_cycle.run(node.symbols[S].warm.state, now_ms)
    partly = json.loads(slow_cycle.run(node.symbols[S].warm.state, now_ms))["liquidity"]["volume_profile"]
    assert partly["window_sec"] == (first["ingestion"]["exchange_time"] - oldest) // 1000 < 1800
    assert partly["trade_count"] == TRADES_LIMIT - 1, "of the oldest one's millisecond others may be missing"

    market.deal()
    market.change()
    run(node)
    assert len(trades) == 2 * TRADES_LIMIT + 1
    assert trades.complete_after_ms == int(trades.times(0, 1)[0]) < oldest
    run(node)
    assert len(trades) == 50_002
    assert trades.complete_after_ms <= market.now_ms() - 25 * MINUTE_MS
    assert profile(node, redis_client) == (1800, 50_002)
    market.deal()
    assert profile(node, redis_client) == (1800, 50_003)


def test_of_more_trades_than_are_kept_it_is_known_since_when_they_are_complete(
    nodes: Iterator[Node], redis_client: redis.Redis
) -> None:
    node, market = next(nodes), BusyMarket(redis_client, 1)
    market.deal_often(MAX_TRADES + 10_000, 25 * MINUTE_MS, 20 * MINUTE_MS)
    market.open()
    for _ in range(8):
        run(node)
    trades = node.symbols[S].warm.state.trades
    ids = redis_client.xrevrange(KEYS.trades(S), count=MAX_TRADES + 1)
    assert len(trades) == MAX_TRADES
    assert trades.complete_after_ms == int(ids[-1][0].split(b"-")[0])
    assert trades.times(trades.discarded, trades.discarded + 1)[0] >= trades.complete_after_ms
    sent = redis_client.info("commandstats")["cmdstat_xrevrange"]["calls"]
    run(node)
    assert redis_client.info("commandstats")["cmdstat_xrevrange"]["calls"] == sent, "nothing older is asked for"
    seconds, count = profile(node, redis_client)
    assert 1200 < seconds < 1500
    assert count == MAX_TRADES


def test_a_node_too_far_behind_to_read_the_trades_in_between_starts_as_a_new_owner(
    nodes: Iterator[Node], redis_client: redis.Redis
) -> None:
    node, market = next(nodes), BusyMarket(redis_client, 1)
    market.deal(32 * MINUTE_MS)
    market.deal_often(5_000, 20 * MINUTE_MS, MINUTE_MS)
    market.snapshot()
    market.diff()
    run(node)
    market.deal_often(TRADES_LIMIT + 5_000, 10 * MINUTE_MS, MINUTE_MS)
    market.open()
    for _ in range(3):
        run(node)
    assert profile(node, redis_client) == (1800, 30_001 + TRADES_LIMIT - 20_000)


def test_older_trades_are_still_read_after_a_gap_in_the_book(nodes: Iterator[Node], redis_client: redis.Redis) -> None:
    node, market = next(nodes), BusyMarket(redis_client, 1)
    market.deal(32 * MINUTE_MS)
    market.deal_often(TRADES_LIMIT + 5_000, 20 * MINUTE_MS, MINUTE_MS)
    market.open()
    run(node)
    market.diff(lost=3)
    market.snapshot()
    market.deal()
    for _ in range(3):
        run(node)
    assert profile(node, redis_client) == (1800, TRADES_LIMIT + 5_002)
