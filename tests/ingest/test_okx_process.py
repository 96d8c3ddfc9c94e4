"""Ingest between the simulator's OKX and a real Redis: what is written is true, whatever the exchange does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import aiohttp
import pytest
import redis

from tests.ingest.ingest_process import IngestProcess
from tests.oracles.okx_book import TrueBook
from tests.processes import wait_until
from tests.tools.simulator.exchange_process import Exchange
from tickfence.streams.codec import DiffEntry, decode_diff, decode_snapshot, decode_trade
from tools.local.embedded_redis import EmbeddedRedis
from tools.simulator.okx.rubbish import RUBBISH

BTC, ETH, SOL, ADA = LISTED = "okx:BTC-USDT", "okx:ETH-USDT", "okx:SOL-USDT", "okx:ADA-USDT"
UNKNOWN = "okx:NOSUCH-USDT"
NOT_LISTED = "the exchange does not list these symbols, no data will come"
Sides = tuple[dict[float, float], dict[float, float]]


class Running:
    """An exchange, an ingest and a Redis."""

    def __init__(self, exchange: Exchange, ingest: IngestProcess, client: redis.Redis) -> None:
        self.exchange, self.ingest, self.client = exchange, ingest, client

    def diffs(self, symbol: str) -> list[DiffEntry]:
        return [decode_diff(*entry) for entry in self.client.xrange(f"md:{{{symbol}}}:book")]

    def grew(self, symbol: str, trades: int) -> bool:
        """Whether the symbol has more trades than so many."""
        return int(self.client.xlen(f"md:{{{symbol}}}:trades")) > trades

    def connections(self) -> int:
        """How many the exchange has."""
        return sum(one["venue"] == "okx" for one in self.exchange.state()["connections"])

    def stored(self, symbol: str) -> int:
        """The update id of the stored snapshot."""
        return decode_snapshot(self.client.get(f"md:{{{symbol}}}:snapshot")).last_update_id

    def book(self, symbol: str, update_id: int) -> Sides | None:
        """What a reader's book is at an update; None if no snapshot is stored yet, or a newer one."""
        stored = self.client.get(f"md:{{{symbol}}}:snapshot")
        if stored is None or (snapshot := decode_snapshot(stored)).last_update_id > update_id:
            return None
        sides, newest = (dict(snapshot.bids), dict(snapshot.asks)), snapshot.last_update_id
        for diff in self.diffs(symbol):
            if not newest < diff.last_update_id <= update_id:
                continue
            assert diff.first_update_id == newest + 1
            newest = diff.last_update_id
            changed(sides, diff)
        return sides if newest == update_id else None

    def assert_true(self, symbol: str) -> None:
        """Compare a reader's book with what the exchange begins a new subscription with."""

        def same() -> bool:
            truth = asyncio.run(subscribed(self.exchange, symbol.partition(":")[2]))
            deadline = time.monotonic() + 1.0
            while time.monotonic() < deadline:
                if (found := self.book(symbol, truth.seq_id or 0)) is not None:
                    assert found == truth.as_floats()
                    return True
                time.sleep(0.02)
            return False

        wait_until(same, f"a book of {symbol} to compare", 15)

    def lines(self, message: str) -> list[dict[str, object]]:
        return [line for line in self.ingest.log() if line["message"] == message]


def changed(sides: Sides, diff: DiffEntry) -> None:
    """Apply a diff."""
    for side, changes in zip(sides, (diff.bids, diff.asks), strict=True):
        for price, quantity in changes:
            if quantity:
                side[price] = quantity
            else:
                side.pop(price, None)


async def subscribed(exchange: Exchange, name: str) -> TrueBook:
    """The book that a new subscription begins with."""
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{exchange.ws}/ws/v5/public") as socket:
        await socket.send_json({"op": "subscribe", "args": [{"channel": "books", "instId": name}]})
        async for message in socket:
            content = json.loads(message.data)
            if "action" in content:
                book = TrueBook()
                book.take(content["action"], content["data"][0])
                return book
    raise AssertionError("no snapshot")


def start(exchange: Exchange, server: EmbeddedRedis, *symbols: str, **variables: object) -> IngestProcess:
    urls = f"okx.ws={exchange.ws},okx.rest={exchange.http}"
    given = {"symbols": ",".join(symbols), "redis_url": server.url(), "ws": exchange.ws, "rest": exchange.http}
    return IngestProcess(**given, NT_VENUE_URLS=urls, NT_SNAPSHOT_INTERVAL_MS=150_000, **variables)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def running(redis_server: EmbeddedRedis) -> Iterator[Running]:
    with redis_server.client() as client:
        client.flushall()
        with (
            Exchange(
                "--symbols", ",".join(LISTED), "--orders-per-second", "60", "--trades-per-second", "20"
            ) as exchange,
            start(exchange, redis_server, *LISTED, UNKNOWN) as ingest,
        ):
            wait_until(lambda: ingest.metric('nt_ingest_books_in_sync{venue="okx"}') == len(LISTED), "all books", 30)
            yield Running(exchange, ingest, client)


def test_what_is_written_is_what_the_exchange_has(running: Running) -> None:
    running.assert_true(BTC)
    info = running.client.hgetall(f"md:{{{BTC}}}:info")
    assert (info[b"tick_size"], info[b"base"], info[b"quote"], info[b"status"]) == (b"0.1", b"BTC", b"USDT", b"trading")
    wait_until(lambda: running.client.hget(f"md:{{{BTC}}}:ticker", "last"), "a ticker", 15)

    def trades() -> list[tuple[int, int]]:
        entries = [decode_trade(*entry) for entry in running.client.xrange(f"md:{{{BTC}}}:trades")]
        return [(entry.trade_id - entry.id_count + 1, entry.trade_id) for entry in entries]

    wait_until(lambda: len(trades()) > 5, "trades", 15)
    assert all(first == before + 1 for (_, before), (first, _) in pairwise(trades()))
    assert any(last > first for first, last in trades())


def test_a_symbol_that_is_not_listed_is_told_once_and_costs_no_other(running: Running) -> None:
    [refused] = running.lines("the exchange refused a subscription")
    assert "NOSUCH-USDT" in str(refused["streams"])
    assert "60018" in str(refused["error"])
    assert [line["symbols"] for line in running.lines(NOT_LISTED)] == [[UNKNOWN]]
    assert running.client.hget(f"md:{{{UNKNOWN}}}:info", "status") == b"delisted"


@pytest.mark.parametrize(
    ("fault", "parameters", "reason", "symbol"),
    [
        ("checksum", {}, "checksum", BTC),
        ("skip", {"count": 2}, "gap", ETH),
        ("reset", {}, "update_id_back", SOL),
    ],
)
def test_after_a_fault_the_book_is_subscribed_to_again_and_the_other_goes_on(
    running: Running, fault: str, parameters: dict[str, object], reason: str, symbol: str
) -> None:
    other = ADA
    metric = f'nt_ingest_resyncs_total{{reason="{reason}",venue="okx"}}'
    before, newest = running.ingest.metric(metric), running.stored(other)
    assert running.exchange.fault(fault, symbol=symbol, **parameters) == 1
    wait_until(lambda: running.ingest.metric(metric) == before + 1, "a lost book", 10)
    wait_until(
        lambda: running.ingest.metric('nt_ingest_books_in_sync{venue="okx"}') == len(LISTED), "the book again", 20
    )
    running.assert_true(symbol)
    assert (symbol, reason) in [(line["symbol"], line["reason"]) for line in running.lines("order book out of sync")]
    since = [diff for diff in running.diffs(other) if diff.first_update_id > newest]
    assert all(after.first_update_id == before.last_update_id + 1 for before, after in pairwise(since))


def test_rubbish_is_never_written(running: Running) -> None:
    running.exchange.fault("heartbeat", symbol=ADA)
    for kind in RUBBISH:  # while the book is being subscribed to again, nobody would get it
        wait_until(partial(running.exchange.fault, "rubbish", kind=kind, symbol=ADA), f"{kind} to be sent", 20)
    wait_until(
        lambda: running.ingest.metric('nt_ingest_rejected_total{reason="not_json",venue="okx"}') >= 1, "rubbish", 10
    )
    wait_until(lambda: running.ingest.metric('nt_ingest_books_in_sync{venue="okx"}') == len(LISTED), "the book", 30)
    running.assert_true(ADA)


def test_a_notice_costs_no_update(running: Running) -> None:
    newest = running.stored(ETH)
    assert running.exchange.fault("shutdown", seconds=4, venue="okx") == 1
    wait_until(lambda: running.lines("replacing the connection"), "the next connection", 10)
    [notice] = running.lines("a notice of the exchange")
    assert "64008" in str(notice["notice"])
    wait_until(lambda: running.connections() == 2, "the old and the next connection", 10)
    wait_until(lambda: running.connections() == 1, "the next connection alone", 20)
    diffs = [diff for diff in running.diffs(ETH) if diff.first_update_id > newest]
    assert all(after.first_update_id == before.last_update_id + 1 for before, after in pairwise(diffs))
    running.assert_true(ETH)


def test_trades_of_the_time_without_a_connection_are_loaded(running: Running) -> None:
    def ids() -> list[tuple[int, int]]:
        entries = [decode_trade(*entry) for entry in running.client.xrange(f"md:{{{ETH}}}:trades")]
        return [(entry.trade_id - entry.id_count, entry.trade_id) for entry in entries]

    before = ids()[-1][1]
    assert running.exchange.fault("drop", venue="okx") == 1
    wait_until(lambda: running.lines("connection to the exchange ended"), "the end of the connection", 10)
    wait_until(lambda: ids()[-1][1] > before, "newer trades", 20)
    assert all(after[0] == before[1] for before, after in pairwise(ids()))
    assert running.ingest.metric("nt_ingest_trades_missing_total") == 0


def test_too_many_connections_for_a_channel_is_one_clear_line(running: Running) -> None:
    """The last test of this module: the books are subscribed to again a minute later."""
    wait_until(lambda: running.exchange.fault("connections", channel="books"), "a connection", 20)
    wait_until(lambda: "too many connections for this channel" in running.ingest.log_text(), "the line", 10)
    seen = []
    for _ in range(2):  # what came before that line is written first
        trades = running.client.xlen(f"md:{{{BTC}}}:trades")
        wait_until(partial(running.grew, BTC, trades), "trades that go on", 15)
        seen.append(running.diffs(BTC)[-1])
    assert seen[0] == seen[1]
