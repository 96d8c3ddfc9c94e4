"""The simulator's OKX dialect as its clients see it: a real process behind real sockets."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.oracles.okx_book import Json, TrueBook, recorded
from tests.tools.simulator.exchange_process import ROOT, Exchange
from tools.simulator.okx.connection import CONTROL_MESSAGES_PER_HOUR

CAPTURE = ROOT.parent / "shared" / "captures" / "okx"
NAME = "BTC-USDT"
Scenario = Callable[[aiohttp.ClientWebSocketResponse], Awaitable[None]]


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with Exchange(
        "--symbols", "BTCUSDT,okx:BTC-USDT", "--orders-per-second", "60", "--trades-per-second", "40"
    ) as running:
        yield running


def with_client(exchange: Exchange, scenario: Scenario) -> None:
    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    socket = await session.ws_connect(f"{exchange.ws}/ws/v5/public")
                except aiohttp.WSServerHandshakeError as error:
                    assert error.status == 429, "three connections a second are allowed"
                    await asyncio.sleep(0.1)
                else:
                    break
            async with socket:
                await scenario(socket)

    asyncio.run(asyncio.wait_for(run(), 30))


async def ask(socket: aiohttp.ClientWebSocketResponse, operation: str, *channels: str, name: str = NAME) -> None:
    args = [{"channel": channel, "instId": name} for channel in channels]
    await socket.send_json({"id": "1", "op": operation, "args": args})


async def messages(socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[Json]:
    async for message in socket:
        yield json.loads(message.data)


async def next_one(socket: aiohttp.ClientWebSocketResponse, wanted: Callable[[Json], Any]) -> Json:
    async for message in messages(socket):
        if wanted(message):
            return message
    raise AssertionError(f"the connection ended with {socket.close_code} before the wanted message")


async def next_book(socket: aiohttp.ClientWebSocketResponse) -> tuple[str, Json]:
    message = await next_one(socket, lambda one: "action" in one)
    return message["action"], message["data"][0]


async def fault(exchange: Exchange, name: str, **parameters: object) -> int:
    return await asyncio.to_thread(exchange.fault, name, **parameters)


def get(exchange: Exchange, path: str) -> tuple[int, Json]:
    try:
        with urllib.request.urlopen(exchange.http + path, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_book_begins_with_a_snapshot_and_its_updates_connect(exchange: Exchange) -> None:
    async def scenario(socket: aiohttp.ClientWebSocketResponse) -> None:
        await ask(socket, "subscribe", "books")
        assert (await next_one(socket, lambda one: "event" in one))["arg"] == {"channel": "books", "instId": NAME}
        book = TrueBook()
        for number in range(10):
            action, data = await next_book(socket)
            assert (action, data["prevSeqId"] == -1) == (("update", False) if number else ("snapshot", True))
            book.take(action, data)
            assert book.checksum == data["checksum"]
        assert all(380 < len(side) <= 400 for side in (book.bids, book.asks))
        assert max(book.bids) < min(book.asks)
        await ask(socket, "unsubscribe", "books")
        await next_one(socket, lambda one: one.get("event") == "unsubscribe")
        await ask(socket, "subscribe", "books")
        assert (await next_book(socket))[0] == "snapshot"

    with_client(exchange, scenario)


def test_trades_are_put_together_and_their_matches_can_be_asked_for(exchange: Exchange) -> None:
    async def scenario(socket: aiohttp.ClientWebSocketResponse) -> None:
        await ask(socket, "subscribe", "trades", "tickers")
        told = [
            (await next_one(socket, lambda one: one.get("arg", {}).get("channel") == "trades" and "data" in one))[
                "data"
            ][0]
            for _ in range(8)
        ]
        assert {int(one["count"]) for one in told} > {1}
        last = int(told[-1]["tradeId"])
        _, answer = await asyncio.to_thread(
            get, exchange, f"/api/v5/market/history-trades?instId={NAME}&after={last + 1}&limit=100"
        )
        single = {int(one["tradeId"]): one for one in answer["data"]}
        for before, one in zip([None, *told], told, strict=False):
            ids = range(int(one["tradeId"]) - int(one["count"]) + 1, int(one["tradeId"]) + 1)
            assert before is None or ids[0] == int(before["tradeId"]) + 1
            parts = [single[number] for number in ids]
            assert sum(float(part["sz"]) for part in parts) == pytest.approx(float(one["sz"]))
            assert {(part["px"], part["side"]) for part in parts} == {(one["px"], one["side"])}
        ticker = (await next_one(socket, lambda one: one.get("arg", {}).get("channel") == "tickers" and "data" in one))[
            "data"
        ][0]
        assert float(ticker["low24h"]) <= float(ticker["last"]) <= float(ticker["high24h"])

    with_client(exchange, scenario)


def test_what_cannot_be_subscribed_to_is_refused_by_name(exchange: Exchange) -> None:
    async def scenario(socket: aiohttp.ClientWebSocketResponse) -> None:
        await socket.send_str("ping")
        assert (await socket.receive()).data == "pong"
        await ask(socket, "subscribe", "books", "trades", name="NOSUCH-USDT")
        for channel in ("books", "trades"):
            refused = await next_one(socket, lambda _: True)
            assert (refused["event"], refused["code"], refused["id"]) == ("error", "60018", "1")
            assert f"channel:{channel},instId:NOSUCH-USDT doesn't exist" in refused["msg"]
        for wrong in ("{", "[]", '{"op":"subscribe","args":[{}]}', '{"op":"dance","args":[]}'):
            await socket.send_str(wrong)
            assert (await next_one(socket, lambda _: True))["code"] == "60012"
        await fault(exchange, "refuse", symbol="okx:BTC-USDT", code="60014")
        await ask(socket, "subscribe", "books")
        assert (await next_one(socket, lambda _: True))["code"] == "60014"
        await fault(exchange, "refuse", symbol="okx:BTC-USDT", code="")
        for _ in range(CONTROL_MESSAGES_PER_HOUR):
            await ask(socket, "unsubscribe", "tickers")
        assert (await next_one(socket, lambda one: one["event"] == "error"))["code"] == "60014"

    with_client(exchange, scenario)


def test_rest_tells_the_rules_and_what_is_not_listed(exchange: Exchange) -> None:
    _, answer = get(exchange, f"/api/v5/public/instruments?instType=SPOT&instId={NAME}")
    [rules] = answer["data"]
    assert (rules["state"], rules["tickSz"], rules["baseCcy"], rules["quoteCcy"]) == ("live", "0.1", "BTC", "USDT")
    exchange.fault("listing", symbol="okx:BTC-USDT", status="suspend")
    assert get(exchange, "/api/v5/public/instruments?instType=SPOT")[1]["data"][0]["state"] == "suspend"
    exchange.fault("listing", symbol="okx:BTC-USDT", listed=False)
    assert get(exchange, f"/api/v5/public/instruments?instType=SPOT&instId={NAME}")[1]["code"] == "51001"
    exchange.fault("listing", symbol="okx:BTC-USDT", status="live")
    assert get(exchange, "/api/v5/public/instruments")[0] == 400
    answers = [get(exchange, "/api/v5/public/time")[0] for _ in range(25)]
    assert 429 in answers


def test_faults_of_the_book(exchange: Exchange) -> None:
    async def scenario(socket: aiohttp.ClientWebSocketResponse) -> None:
        await ask(socket, "subscribe", "books")
        book = TrueBook()
        book.take(*await next_book(socket))

        async def until(seen: Callable[[Json], bool]) -> Json:
            while True:
                action, data = await next_book(socket)
                if seen(data):
                    return data
                book.take(action, data)

        await fault(exchange, "heartbeat", symbol="okx:BTC-USDT")
        quiet = await until(lambda data: data["prevSeqId"] == data["seqId"])
        assert (quiet["bids"], quiet["asks"], quiet["seqId"]) == ([], [], book.seq_id)
        await fault(exchange, "reset", symbol="okx:BTC-USDT")
        again = await until(lambda data: data["seqId"] < data["prevSeqId"])
        assert again["prevSeqId"] == book.seq_id
        book.take("update", again)
        assert await fault(exchange, "checksum", symbol="okx:BTC-USDT") == 1
        wrong = await until(lambda data: data["checksum"] != true_checksum(book, data))
        assert wrong["prevSeqId"] == book.seq_id
        book.take("update", wrong)
        assert await fault(exchange, "skip", symbol="okx:BTC-USDT", count=2) == 1
        await until(lambda data: data["prevSeqId"] != book.seq_id)

    def true_checksum(book: TrueBook, data: Json) -> int:
        copy = TrueBook()
        copy.bids, copy.asks, copy.seq_id = dict(book.bids), dict(book.asks), book.seq_id
        copy.take("update", data)
        return copy.checksum

    with_client(exchange, scenario)


def test_the_end_of_connections_and_of_channels_is_told(exchange: Exchange) -> None:
    async def scenario(socket: aiohttp.ClientWebSocketResponse) -> None:
        await ask(socket, "subscribe", "books", "trades")
        await next_book(socket)
        await fault(exchange, "connections", channel="books")
        assert (await next_one(socket, lambda one: "connCount" in one))["event"] == "channel-conn-count-error"
        later = [await next_one(socket, lambda one: "data" in one) for _ in range(5)]
        assert {one["arg"]["channel"] for one in later} == {"trades"}
        assert await fault(exchange, "shutdown", seconds=0.1, venue="binance") == 0
        assert await fault(exchange, "shutdown", seconds=0.1, venue="okx") == 1
        notice = await next_one(socket, lambda one: one.get("event") == "notice")
        assert notice["code"] == "64008"
        async for _ in messages(socket):
            pass
        assert socket.close_code == 1001

    with_client(exchange, scenario)


def test_rubbish_that_connects_leaves_no_gap(exchange: Exchange) -> None:
    async def scenario(socket: aiohttp.ClientWebSocketResponse) -> None:
        await ask(socket, "subscribe", "books")
        newest = (await next_book(socket))[1]["seqId"]
        assert await fault(exchange, "rubbish", kind="negative-price", symbol="okx:BTC-USDT") == 1
        while True:
            _, data = await next_book(socket)
            assert data["prevSeqId"] == newest
            newest = data["seqId"]
            if data["bids"] and data["bids"][0][0].startswith("-"):
                break
        assert (await next_book(socket))[1]["prevSeqId"] == newest

    with_client(exchange, scenario)


@pytest.mark.skipif(not Path(f"{CAPTURE}.ws").exists(), reason="no recorded capture here")
def test_a_recording_is_replayed_in_its_dialect(start_exchange: Callable[..., Exchange]) -> None:
    exchange = start_exchange("--replay", str(CAPTURE), "--speed", "max")
    expected = [
        message
        for message in recorded(CAPTURE)
        if message.get("arg", {}).get("channel") == "books" and "data" in message
    ]

    async def scenario(socket: aiohttp.ClientWebSocketResponse) -> None:
        for name in ("BTC-USDT", "UNI-USD-SWAP"):
            await ask(socket, "subscribe", "books", "trades", "tickers", name=name)
        got: list[Json] = []
        while len(got) < len(expected):
            got.append(await next_one(socket, lambda one: "action" in one))
        assert got == expected
        await ask(socket, "unsubscribe", "books")
        await next_one(socket, lambda one: one.get("event") == "unsubscribe")
        await ask(socket, "subscribe", "books")
        action, data = await next_book(socket)
        book = TrueBook()
        for message in expected:
            if message["arg"]["instId"] == NAME:
                book.take(message["action"], message["data"][0])
        assert (action, data["seqId"], data["checksum"]) == ("snapshot", book.seq_id, book.checksum)

    with_client(exchange, scenario)
    _, answer = get(exchange, "/api/v5/public/instruments?instType=SWAP&instId=UNI-USD-SWAP")
    assert answer["data"][0]["tickSz"] == "0.001"
