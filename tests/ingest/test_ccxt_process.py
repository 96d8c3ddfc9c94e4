"""Bitstamp's recording through ccxt itself, ingest and a node: every report shows a book of an independent replay.

ccxt is an extra: `make test-ccxt` installs it and runs these tests.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tasks.node import Node
from tests.ingest.ingest_process import IngestProcess
from tests.oracles import bitstamp_book
from tests.oracles.fast_report import fast_report
from tests.processes import wait_until
from tests.tasks.cycle_runs import KEYS, report, run
from tests.tools.simulator.exchange_process import RECORDED_CAPTURE, Exchange
from tickfence.settings import Settings
from tools.local.embedded_redis import EmbeddedRedis

pytest.importorskip("ccxt")

STEM = RECORDED_CAPTURE.parent / "bitstamp"
PAIRS = {f"ccxt:bitstamp:{base}/{quote}": f"{base}{quote}".lower() for base, quote in
         (("ETH", "USD"), ("XRP", "EUR"), ("ADA", "EUR"), ("BAT", "BTC"))}  # fmt: skip
ETH = "ccxt:bitstamp:ETH/USD"
NUMBERS = ("mid_price", "micro_price", "spread_bps", "last_price")

pytestmark = [
    pytest.mark.skipif(not Path(f"{STEM}.ws").exists(), reason="no recorded capture here"),
    pytest.mark.timeout(400),
]

Sides = tuple[dict[float, float], dict[float, float]]


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with Exchange("--replay", str(STEM), "--speed", "10") as one:
        yield one


def ingest(exchange: Exchange, server: EmbeddedRedis, symbols: str, **variables: object) -> IngestProcess:
    return IngestProcess(
        symbols=symbols,
        redis_url=server.url(),
        ws=exchange.ws,
        rest=exchange.http,
        NT_VENUE_URLS=f"ccxt.bitstamp.ws={exchange.ws},ccxt.bitstamp.rest={exchange.http}",
        **{"NT_SNAPSHOT_INTERVAL_MS": 150_000} | variables,  # so that no diff is trimmed
    )


def sent(exchange: Exchange) -> Any:
    with urllib.request.urlopen(f"{exchange.http}/simulator/state", timeout=5) as answer:
        return json.loads(answer.read())


def fault(exchange: Exchange, name: str, **parameters: object) -> None:
    request = urllib.request.Request(f"{exchange.http}/simulator/faults/{name}", json.dumps(parameters).encode())
    urllib.request.urlopen(request, timeout=5).close()


def node(server: EmbeddedRedis, client: redis.Redis) -> Node:
    made = Node(Settings.from_environment({"REDIS_URL": server.url(), "NT_LEASE_TTL_MS": "600000"}), "node-001")
    before = time.monotonic()
    seconds, microseconds = client.time()
    made.clock.observe(before, time.monotonic(), seconds * 1000 + microseconds / 1000)
    return made


def best(sides: Sides, count: int) -> Sides:
    bids, asks = sides
    return {p: bids[p] for p in sorted(bids, reverse=True)[:count]}, {p: asks[p] for p in sorted(asks)[:count]}


def shown(found: dict[str, Any]) -> Sides:
    bids, asks = ({level["price"]: level["qty"] for level in found["depth"][side]} for side in ("bids", "asks"))
    return bids, asks


def written(client: redis.Redis, symbol: str) -> Iterator[tuple[int, Sides]]:
    """The book that Redis holds, and after each later entry; with the number of levels that are known of it."""
    snapshot = json.loads(client.get(KEYS.snapshot(symbol)))
    sides = dict(map(tuple, snapshot["bids"])), dict(map(tuple, snapshot["asks"]))
    newest, count = snapshot["lastUpdateId"], snapshot.get("told") or 1_000
    low, high = snapshot.get("lowestBid") or 0.0, snapshot.get("highestAsk") or float("inf")
    yield count, sides
    for entry_id, fields in client.xrange(KEYS.book(symbol)):
        update_id = int(entry_id.split(b"-")[1])
        if update_id <= newest:
            continue
        assert int(fields[b"U"]) == newest + 1
        newest = update_id
        for side, name in zip(sides, (b"b", b"a"), strict=True):
            for price, quantity in json.loads(fields[name]):
                side[price] = quantity
        known = (
            {p: q for p, q in sides[0].items() if q and p >= low},
            {p: q for p, q in sides[1].items() if q and p <= high},
        )
        yield count, known


def test_a_recording_through_ccxt(exchange: Exchange, redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    truth = {symbol: bitstamp_book.states(STEM, pair) for symbol, pair in PAIRS.items()}
    last = {symbol: best(states[-1], 20) for symbol, states in truth.items()}
    one = node(redis_server, redis_client)
    reports = dict.fromkeys(PAIRS, 0)

    def look() -> bool:
        run(one, *PAIRS)
        found = {symbol: report(redis_client, symbol) for symbol in PAIRS}
        for symbol, each in found.items():
            if each is not None and "best_bid" in each:
                assert shown(each) in [best(state, 20) for state in truth[symbol]]
                reports[symbol] += 1
        return sent(exchange)["status"] == "finished" and all(
            each is not None and "best_bid" in each and shown(each) == last[symbol] for symbol, each in found.items()
        )

    with ingest(exchange, redis_server, ",".join(PAIRS)) as process:
        wait_until(look, "reports of the recording's end", 200)
        assert process.metric('nt_ingest_books_in_sync{venue="ccxt"}') == len(PAIRS)
        assert process.metric("nt_ingest_rejected_total") == 0
        assert process.stop() == 0
    assert all(count >= 3 for count in reports.values())
    for symbol, pair in PAIRS.items():
        entries = redis_client.xrange(KEYS.trades(symbol))
        got = [(fields[b"p"].decode(), fields[b"q"].decode(), fields[b"s"] == b"b") for _, fields in entries]
        assert [(float(p), float(q), buy) for p, q, buy in got] == [
            (float(p), float(q), buy) for p, q, buy in bitstamp_book.trades(STEM, pair)
        ]
        trades = [
            (int(entry_id.split(b"-")[0]), float(price), float(quantity), is_buy)
            for (entry_id, _), (price, quantity, is_buy) in zip(entries, got, strict=True)
        ]
        bids, asks = truth[symbol][-1]
        info = {name.decode(): value.decode() for name, value in redis_client.hgetall(KEYS.info(symbol)).items()}
        expected = fast_report(bids, asks, trades, {}, 0, 0, newest_diff=1, tick_size=info["tick_size"])
        found = report(redis_client, symbol)
        for name in NUMBERS:
            assert found.get(name) == pytest.approx(expected.get(name), abs=5e-5)
        assert (found["best_bid"], found["best_ask"]) == (expected["best_bid"], expected["best_ask"])
        assert found["depth"]["imbalance"] == pytest.approx(expected["depth"]["imbalance"], abs=5e-5)
        base, quote = symbol.rpartition(":")[2].split("/")
        assert (found["venue"], found["base"], found["quote"], info["status"]) == ("ccxt", base, quote, "trading")
        states = iter(truth[symbol])
        for count, book in written(redis_client, symbol):
            assert any(best(book, count) == _within(book, best(state, count)) for state in states)


def _within(book: Sides, truth: Sides) -> Sides:
    """Of the true book, what the levels of ``book`` reach over."""
    (bids, asks), low, high = truth, min(book[0]), max(book[1])
    return {p: q for p, q in bids.items() if p >= low}, {p: q for p, q in asks.items() if p <= high}


def test_a_lost_connection_and_symbols_that_cannot_be_followed(
    exchange: Exchange, redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    wrong = ("ccxt:bitstamp:ETH/USDX", "ccxt:bitstmap:ETH/USD")
    with ingest(exchange, redis_server, ",".join((ETH, *wrong))) as process:
        wait_until(lambda: redis_client.xlen(KEYS.book(ETH)) > 3, "updates of the book", 90)
        before = redis_client.xlen(KEYS.book(ETH))
        fault(exchange, "drop")
        wait_until(lambda: process.metric('nt_ingest_resyncs_total{reason="disconnected"}') == 1, "a lost book", 60)
        wait_until(lambda: redis_client.xlen(KEYS.book(ETH)) > before, "updates of the book again", 60)
        told = {line.get("symbol") or line.get("exchange"): line["error"] for line in process.log() if "error" in line}
        assert process.stop() == 0
    assert (
        told[wrong[0]] == "bitstamp does not list ETH/USDX; it has ETH/USD, ETH/USDT, ETH/USDC"[: len(told[wrong[0]])]
    )
    assert told["bitstmap"].startswith("ccxt streams no exchange bitstmap; it has bitstamp")
    assert all(redis_client.hget(KEYS.info(symbol), "status") == b"delisted" for symbol in wrong)
    book = [sides for _, sides in written(redis_client, ETH)][-1]
    assert best(book, 20) in [best(state, 20) for state in bitstamp_book.states(STEM, "ethusd")]
