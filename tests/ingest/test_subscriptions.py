"""Symbols that come to an open connection and go from it, and subscriptions that the exchange refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from ingest.connection import CONTROL_SHARE
from ingest.events import ControlReply
from ingest.feed import Feed
from ingest.pacing import Allowance
from ingest.refused_streams import FIRST_AGAIN_S, MAXIMUM_AGAIN_S, RefusedStreams
from ingest.silence import Silence
from ingest.venues.binance import Binance
from tests.ingest.scripted_exchange import ScriptedExchange, scripted_exchange
from tests.ingest.writing import counted, until

binance = Binance([])
REFUSED = "nt_ws_subscriptions_refused_total"


def streams(*symbols: str) -> set[str]:
    return {name for symbol in symbols for name in binance.streams(symbol)}


class Following:
    """A feed of some symbols of an exchange, and how often it had all that was wanted."""

    def __init__(self, exchange: ScriptedExchange, session: aiohttp.ClientSession, symbols: list[str]) -> None:
        self.complete = 0
        self.feed = Feed(
            session,
            binance,
            exchange.ws,
            symbols,
            on_message=self.on_message,
            on_open=self.on_open,
            openings=Allowance(100, 300.0),
            silence=Silence(),
        )

    def on_message(self, feed: Feed, message: bytes) -> None:
        [event] = binance.decode(message)
        assert isinstance(event, ControlReply)
        feed.on_reply(event)

    def on_open(self, _: Feed) -> None:
        self.complete += 1


@asynccontextmanager
async def following(*symbols: str) -> AsyncIterator[tuple[ScriptedExchange, Following]]:
    async with scripted_exchange() as exchange, aiohttp.ClientSession() as session:
        one = Following(exchange, session, list(symbols))
        task = asyncio.create_task(one.feed.run())
        try:
            yield exchange, one
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def test_symbols_come_and_go_over_the_open_connection() -> None:
    async def test() -> None:
        async with following("AAUSDT", "BBUSDT") as (exchange, one):
            await until(lambda: one.complete == 1, "the connection")
            one.feed.add(["CCUSDT", "DDUSDT"])
            await until(lambda: one.complete == 2, "the new symbols")
            one.feed.remove(["BBUSDT", "CCUSDT"])
            await until(lambda: exchange.carried == streams("AAUSDT", "DDUSDT"), "the others alone")
            assert [request["method"] for request in exchange.controls] == ["SUBSCRIBE", "UNSUBSCRIBE"]
            assert exchange.controls[0]["params"] == binance.streams("CCUSDT") + binance.streams("DDUSDT")
            assert len(exchange.asked("/stream")) == 1
            [socket] = exchange.sockets
            await socket.close()
            await until(lambda: len(exchange.asked("/stream")) == 2, "another connection")
            await until(lambda: exchange.carried == streams("AAUSDT", "DDUSDT"), "what is wanted now")

    asyncio.run(test())


def test_a_symbol_that_goes_before_it_was_subscribed_to_is_not_left_over() -> None:
    async def test() -> None:
        async with following("AAUSDT") as (exchange, one):
            await until(lambda: one.complete == 1, "the connection")
            one.feed.add(["BBUSDT"])
            await asyncio.sleep(0)
            one.feed.remove(["BBUSDT"])
            one.feed.add(["CCUSDT"])
            await until(lambda: exchange.carried == streams("AAUSDT", "CCUSDT"), "what is wanted")

    asyncio.run(test())


def test_one_bad_name_in_a_subscription_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    good = [f"S{number}USDT" for number in range(10)]
    before = counted(REFUSED)

    async def test() -> None:
        async with following("AAUSDT") as (exchange, one):
            exchange.refused = {"badusdt@trade"}
            await until(lambda: one.complete == 1, "the connection")
            one.feed.add([*good[:7], "BADUSDT", *good[7:]])
            await until(lambda: exchange.carried == streams("AAUSDT", *good), "all the others")
            await until(lambda: counted(REFUSED) - before == 1, "the refusal of one")
            sent = len(exchange.controls)
            one.feed.add(["ZZUSDT"])  # it does not come again with the next one
            await until(lambda: exchange.carried == streams("AAUSDT", "ZZUSDT", *good), "the next symbol")
            assert len(exchange.controls) == sent + 1
            assert len(exchange.asked("/stream")) == 1

    asyncio.run(test())
    [line] = [record for record in caplog.records if "refused a subscription" in record.message]
    assert line.__dict__["streams"] == binance.streams("BADUSDT")


def test_what_was_refused_is_subscribed_to_again_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.refused_streams.FIRST_AGAIN_S", 0.5)
    before = counted(REFUSED)

    async def test() -> None:
        async with following("AAUSDT") as (exchange, one):
            exchange.refused = {"bad1usdt@trade", "bad2usdt@trade"}
            await until(lambda: one.complete == 1, "the connection")
            one.feed.add(["BAD1USDT", "BAD2USDT"])
            await until(lambda: counted(REFUSED) - before == 2, "the refusal of both")
            exchange.refused = set()
            await until(lambda: exchange.carried == streams("AAUSDT", "BAD1USDT", "BAD2USDT"), "both")
            assert set(exchange.controls[-1]["params"]) == streams("BAD1USDT", "BAD2USDT")

    asyncio.run(test())


def test_pauses_grow_while_streams_are_refused_and_are_short_again_later() -> None:
    now = 1_000.0
    refused = RefusedStreams(lambda: now)
    assert refused.add(["a"]) == FIRST_AGAIN_S
    now += FIRST_AGAIN_S / 2
    assert refused.add(["b"]) == FIRST_AGAIN_S / 2, "with the other"
    assert not refused.due
    pauses = []
    for _ in range(50):
        now += refused.left_s or 0.0
        assert refused.due
        refused.clear()
        assert refused.left_s is None
        pauses.append(refused.add(["a", "b"]))
    assert FIRST_AGAIN_S <= min(pauses) < 5 * FIRST_AGAIN_S < max(pauses) <= MAXIMUM_AGAIN_S
    refused.clear()
    now += pauses[-1] + MAXIMUM_AGAIN_S
    assert refused.add(["a"]) == FIRST_AGAIN_S


def test_no_more_control_messages_are_sent_in_an_hour_than_the_exchange_allows(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    limits = Binance.limits._replace(control_messages_per_hour=2.5 / CONTROL_SHARE, control_messages_per_s=100.0)
    monkeypatch.setattr(Binance, "limits", limits)

    async def test() -> None:
        async with following("AAUSDT") as (exchange, one):
            await until(lambda: one.complete == 1, "the connection")
            for number, symbol in enumerate(("BBUSDT", "CCUSDT"), 1):
                one.feed.add([symbol])
                await until(lambda wanted=number: len(exchange.controls) == wanted, "the message")
            one.feed.add(["DDUSDT"])
            await until(lambda: "no more control messages" in caplog.text, "the limit")
            with pytest.raises(TimeoutError):  # twenty times as long as the pause between two messages
                await asyncio.wait_for(until(lambda: len(exchange.controls) > 2, "a third message"), 0.2)
            assert exchange.carried == streams("AAUSDT", "BBUSDT", "CCUSDT")

    asyncio.run(test())


def test_a_bad_name_in_the_url_is_found_by_message() -> None:
    async def test() -> None:
        async with following("AAUSDT", "BADUSDT", "BBUSDT") as (exchange, _):
            exchange.refused = {"badusdt@trade"}
            exchange.answer = lambda request: (
                web.Response(status=400) if "badusdt" in request.query.get("streams", "") else None
            )
            await until(lambda: exchange.carried == streams("AAUSDT", "BBUSDT"), "the others")

    asyncio.run(test())
