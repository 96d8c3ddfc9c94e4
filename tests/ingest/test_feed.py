"""One share of the streams over real connections: subscribing, replacing, noticing silence."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from hypothesis import given
from hypothesis import strategies as st

from ingest.feed import Feed
from ingest.feeds import SYMBOLS_PER_CONNECTION, Feeds
from ingest.pacing import Allowance
from ingest.silence import Silence
from ingest.venues.binance import Binance
from tests.ingest.writing import counted
from tests.tools.simulator.exchange_process import Exchange

StartExchange = Callable[..., Exchange]


class Received:
    """What a feed handed on."""

    def __init__(self) -> None:
        self.lost = 0
        self.opened = 0
        self.copies = 0
        self.gaps = 0
        self.streams: set[str] = set()
        self._last: dict[str, int] = defaultdict(int)

    def on_open(self, _: Feed) -> None:
        self.opened += 1

    def on_lost(self, _: Feed) -> None:
        self.lost += 1

    def on_message(self, feed: Feed, text: bytes) -> None:
        message = json.loads(text)
        data: dict[str, Any] = message.get("data", {})
        if b"serverShutdown" in text:
            feed.replace("shutdown")
        if "stream" in message:
            self.streams.add(message["stream"])
        if data.get("e") not in ("depthUpdate", "trade"):
            return
        first, last = (data["U"], data["u"]) if data["e"] == "depthUpdate" else (data["t"], data["t"])
        before = self._last[message["stream"]]
        self.copies += last <= before
        self.gaps += before > 0 and first > before + 1
        self._last[message["stream"]] = max(last, before)


@asynccontextmanager
async def running(exchange: Exchange, symbols: list[str], **options: Any) -> AsyncIterator[Received]:
    received = Received()
    async with aiohttp.ClientSession() as session:
        feed = Feed(
            session,
            Binance(symbols),
            exchange.ws,
            symbols,
            on_message=received.on_message,
            on_open=received.on_open,
            on_lost=received.on_lost,
            openings=Allowance(100, 300.0),
            silence=Silence(),
            **options,
        )
        task = asyncio.create_task(feed.run())
        try:
            yield received
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], Any], what: str, timeout_s: float = 15.0) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not condition():
        assert loop.time() < deadline, f"not within {timeout_s} s: {what}"
        await asyncio.sleep(0.01)


def test_more_streams_than_a_url_holds_are_subscribed_to_by_message(start_exchange: StartExchange) -> None:
    exchange = start_exchange("--symbols", "130")
    names = [name.upper() for name in sorted(_listed(exchange))]
    assert len(names) == 130

    async def test() -> None:
        async with running(exchange, names) as received:
            await until(lambda: received.opened, "all subscriptions")
            await until(lambda: len(received.streams) == 390, "every stream to speak")
            [connection] = exchange.state()["connections"]
            assert len(connection["streams"]) == 390

    asyncio.run(test())


def test_trades_come_before_the_diffs_that_prove_them_complete() -> None:
    streams = Binance().streams("BTCUSDT")
    assert streams == ["btcusdt@trade", "btcusdt@depth@100ms", "btcusdt@ticker"]


def _listed(exchange: Exchange) -> list[str]:
    with urllib.request.urlopen(f"{exchange.http}/api/v3/exchangeInfo", timeout=10) as answer:
        return [symbol["symbol"] for symbol in json.load(answer)["symbols"]]


def test_a_connection_near_its_lifetime_is_replaced_without_a_gap(start_exchange: StartExchange) -> None:
    exchange = start_exchange("--symbols", "BTCUSDT,ETHUSDT")

    async def test() -> None:
        before = counted("nt_ws_resubscribe_total", reason="lifetime")
        async with running(exchange, ["BTCUSDT", "ETHUSDT"], lifetime_s=2.0) as received:
            await until(lambda: received.copies, "both connections' copies")
            await until(lambda: received.opened >= 3, "a second change")
            assert received.gaps == 0
        assert counted("nt_ws_resubscribe_total", reason="lifetime") - before >= 2

    asyncio.run(test())


def test_an_exchange_that_cuts_after_its_announcement_costs_nothing(start_exchange: StartExchange) -> None:
    exchange = start_exchange("--symbols", "BTCUSDT", "--connection-lifetime", "4", "--shutdown-notice", "3")

    async def test() -> None:
        ended = counted("nt_ws_resubscribe_total", reason="ended")
        async with running(exchange, ["BTCUSDT"]) as received:
            await until(lambda: received.opened >= 3, "two changes")
            assert received.gaps == 0
        assert counted("nt_ws_resubscribe_total", reason="ended") == ended

    asyncio.run(test())


def test_when_the_old_connection_dies_early_the_new_one_takes_over_at_once(start_exchange: StartExchange) -> None:
    exchange = start_exchange("--symbols", "BTCUSDT")

    async def test() -> None:
        async with running(exchange, ["BTCUSDT"], lifetime_s=2.0) as received:
            await until(lambda: len(exchange.state()["connections"]) == 2, "the second connection")
            exchange.fault("drop")
            copies = received.copies
            await until(lambda: received.opened >= 3, "another connection")
            await until(lambda: received.copies >= copies, "the feed to go on")
            assert received.lost

    asyncio.run(test())


def test_a_silent_connection_is_taken_for_dead(start_exchange: StartExchange) -> None:
    exchange = start_exchange("--symbols", "BTCUSDT")

    async def test() -> None:
        async with running(exchange, ["BTCUSDT"], silence_s=1.5) as received:
            await until(lambda: received.streams, "the first message")
            assert received.lost == 0
            exchange.fault("pause", seconds=3)
            await until(lambda: received.opened >= 2, "a new connection")
            assert received.lost == 1

    asyncio.run(test())


def test_pings_are_answered(start_exchange: StartExchange) -> None:
    exchange = start_exchange("--symbols", "BTCUSDT", "--ping-interval", "0.3", "--pong-timeout", "0.9")

    async def test() -> None:
        async with running(exchange, ["BTCUSDT"]) as received:
            await until(lambda: received.streams, "the first message")
            await asyncio.sleep(2)  # more than two pong timeouts
            assert received.opened == 1

    asyncio.run(test())


class Carried:
    """Feeds that never run, and the symbols of each."""

    def __init__(self) -> None:
        self.feeds: list[Feed] = []
        self.all = Feeds(Binance([]), self.make)

    def make(self, symbols: Sequence[str]) -> Feed:
        session = aiohttp.ClientSession.__new__(aiohttp.ClientSession)  # never opened
        ignored: Any = None
        feed = Feed(
            session,
            Binance([]),
            "ws://127.0.0.1:1",
            symbols,
            on_message=ignored,
            on_open=ignored,
            openings=Allowance(1, 1.0),
            silence=Silence(),
        )
        self.feeds.append(feed)
        return feed

    @property
    def symbols(self) -> list[list[str]]:
        return [feed.symbols for feed in self.feeds]


def test_connections_are_as_few_as_the_limits_allow() -> None:
    names = [f"S{number}" for number in range(1_000)]
    carried = Carried()
    carried.all.add(names)
    assert [len(part) for part in carried.symbols] == [250] * 4
    assert sorted(symbol for part in carried.symbols for symbol in part) == sorted(names)
    assert Binance.limits.streams_per_connection >= 3 * SYMBOLS_PER_CONNECTION


@given(st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 1_999), max_size=700)), max_size=8))
def test_no_symbol_moves_to_another_connection_when_others_come_and_go(changes: list[tuple[bool, set[int]]]) -> None:
    carried, followed = Carried(), set[str]()
    for add, numbers in changes:
        before = {symbol: number for number, part in enumerate(carried.symbols) for symbol in part}
        named = {f"S{number}" for number in numbers}
        changed = named - followed if add else named & followed
        (carried.all.add if add else carried.all.remove)(changed)
        followed ^= changed
        after = {symbol: number for number, part in enumerate(carried.symbols) for symbol in part}
        assert after.keys() == followed
        assert all(after[symbol] == number for symbol, number in before.items() if symbol in followed)
        assert all(len(part) <= SYMBOLS_PER_CONNECTION for part in carried.symbols)
        assert len(carried.all) == sum(map(bool, carried.symbols))
