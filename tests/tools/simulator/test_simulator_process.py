"""The exchange as its clients see it: a real process behind real sockets."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal

import aiohttp
import pytest

from tests.processes import wait_until
from tests.tools.simulator.exchange_process import ROOT, Exchange, Json, LocalBook, events, next_event

Start = Callable[..., Exchange]


async def call(
    socket: aiohttp.ClientWebSocketResponse, method: str, params: object = None, request_id: int = 1
) -> Json:
    message: Json = {"method": method, "id": request_id}
    await socket.send_json(message if params is None else message | {"params": params})
    return await next_event(socket, lambda event: "id" in event)


def get(exchange: Exchange, path: str) -> tuple[int, Json, dict[str, str]]:
    async def fetch() -> tuple[int, Json, dict[str, str]]:
        async with aiohttp.ClientSession() as session, session.get(exchange.http + path) as answer:
            return answer.status, await answer.json(), {str(k): v for k, v in answer.headers.items()}

    return asyncio.run(fetch())


def test_combined_streams_are_wrapped_and_their_events_typed(exchange: Exchange) -> None:
    async def scenario() -> None:
        streams = [f"btcusdt@{kind}" for kind in ("depth@100ms", "depth", "trade", "aggTrade", "ticker", "bookTicker")]
        url = f"{exchange.ws}/stream?streams={'/'.join(streams)}"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
            seen: dict[str, Json] = {}
            async for event in events(socket):
                seen[event["stream"]] = event["data"]
                if len(seen) == len(streams):
                    break
        assert set(seen) == set(streams)
        kinds = {name: data.get("e") for name, data in seen.items()}
        assert kinds["btcusdt@depth@100ms"] == kinds["btcusdt@depth"] == "depthUpdate"
        assert kinds["btcusdt@trade"] == "trade"
        assert kinds["btcusdt@aggTrade"] == "aggTrade"
        assert kinds["btcusdt@ticker"] == "24hrTicker"
        assert set(seen["btcusdt@bookTicker"]) == set("usbBaA")
        assert all(data["s"] == "BTCUSDT" for data in seen.values())

    asyncio.run(scenario())


def test_a_raw_stream_has_bare_events_until_combined_is_set(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{exchange.ws}/ws/ethusdt@depth@100ms") as socket,
        ):
            assert (await next_event(socket, lambda _: True))["s"] == "ETHUSDT"
            assert await call(socket, "GET_PROPERTY", ["combined"]) == {"result": False, "id": 1}
            assert await call(socket, "SET_PROPERTY", ["combined", True]) == {"result": None, "id": 1}
            assert (await next_event(socket, lambda _: True))["stream"] == "ethusdt@depth@100ms"

    asyncio.run(scenario())


def test_streams_are_added_listed_and_removed_by_message(exchange: Exchange) -> None:
    async def scenario() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{exchange.ws}/ws") as socket:
            both = ["btcusdt@depth@100ms", "ethusdt@depth@100ms"]
            assert await call(socket, "SUBSCRIBE", both, 7) == {"result": None, "id": 7}
            heard: set[str] = set()
            while heard != {"BTCUSDT", "ETHUSDT"}:
                heard.add((await next_event(socket, lambda event: "s" in event))["s"])
            assert await call(socket, "LIST_SUBSCRIPTIONS", request_id=8) == {"result": both, "id": 8}
            assert await call(socket, "UNSUBSCRIBE", both[:1], 9) == {"result": None, "id": 9}
            error = await call(socket, "SUBSCRIBE", ["no stream"], 10)
            assert (error["error"]["code"], error["id"]) == (2, 10)
            # Subscribing once more changes nothing: each event comes once.
            assert await call(socket, "SUBSCRIBE", both[1:], 11) == {"result": None, "id": 11}
            diff = await next_event(socket, lambda event: "s" in event)
            for _ in range(5):
                before, diff = diff, await next_event(socket, lambda event: "s" in event)
                assert (diff["s"], diff["U"]) == ("ETHUSDT", before["u"] + 1)

    asyncio.run(scenario())


def test_the_documented_procedure_gives_the_book_that_rest_shows(start_exchange: Start) -> None:
    exchange = start_exchange("--symbols", "BTCUSDT", "--orders-per-second", "60")

    async def scenario() -> None:
        async with aiohttp.ClientSession() as session:

            async def snapshot() -> Json:
                async with session.get(f"{exchange.http}/api/v3/depth?symbol=BTCUSDT&limit=5000") as answer:
                    body: Json = await answer.json()
                    return body

            async with session.ws_connect(f"{exchange.ws}/ws/btcusdt@depth@100ms") as socket:
                first = await next_event(socket, lambda _: True)
                book = LocalBook(await snapshot())
                book.apply(first)
                inside = compared = 0
                last_event = first["u"]
                # Snapshots fall on the end of a diff or inside one: until each was met.
                while not (inside and compared >= 3):
                    shown = await snapshot()
                    while book.last_update_id < shown["lastUpdateId"]:
                        diff = await next_event(socket, lambda _: True)
                        assert diff["U"] == last_event + 1
                        last_event = diff["u"]
                        if diff["U"] <= shown["lastUpdateId"] < diff["u"]:
                            inside += 1
                            late = LocalBook(shown)
                            late.apply(diff)
                        book.apply(diff)
                    if book.last_update_id == shown["lastUpdateId"]:
                        compared += 1
                        assert (book.bids, book.asks) == (
                            dict(map(tuple, shown["bids"])),
                            dict(map(tuple, shown["asks"])),
                        )
                    else:
                        assert (book.bids, book.asks) == (late.bids, late.asks)

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_all_subscribers_get_the_same_events(exchange: Exchange) -> None:
    async def scenario() -> None:
        url = f"{exchange.ws}/ws/btcusdt@depth@100ms"
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url) as one,
            session.ws_connect(url) as other,
        ):
            first, second = await next_event(one, lambda _: True), await next_event(other, lambda _: True)
            while first["U"] != second["U"]:
                if first["U"] < second["U"]:
                    first = await next_event(one, lambda _: True)
                else:
                    second = await next_event(other, lambda _: True)
            assert first == second
            for _ in range(5):
                assert await next_event(one, lambda _: True) == await next_event(other, lambda _: True)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/v3/depth", -1102),
        ("/api/v3/depth?symbol=NOSUCH", -1121),
        ("/api/v3/depth?symbol=btcusdt", -1100),
        ("/api/v3/depth?symbol=BTCUSDT&limit=ten", -1100),
        ("/api/v3/depth?symbol=BTCUSDT&limit=0", -1130),
        ("/api/v3/exchangeInfo?symbol=NOSUCH", -1121),
        ("/api/v3/exchangeInfo?symbols=BTCUSDT", -1100),
        ("/api/v3/exchangeInfo?symbol=BTCUSDT&symbols=[%22BTCUSDT%22]", -1128),
    ],
)
def test_bad_requests_get_the_exchange_errors(exchange: Exchange, path: str, code: int) -> None:
    status, body, _ = get(exchange, path)
    assert (status, body["code"]) == (400, code)
    assert body["msg"]


def test_depth_has_as_many_levels_as_asked_for_best_first(exchange: Exchange) -> None:
    _, body, _ = get(exchange, "/api/v3/depth?symbol=BTCUSDT&limit=5")
    assert len(body["bids"]) == len(body["asks"]) == 5
    bids, asks = ([Decimal(price) for price, _ in body[side]] for side in ("bids", "asks"))
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    assert len(get(exchange, "/api/v3/depth?symbol=BTCUSDT")[1]["bids"]) == 100
    assert len(get(exchange, "/api/v3/depth?symbol=BTCUSDT&limit=99999")[1]["bids"]) >= 390


def test_exchange_info_lists_what_was_asked_for(exchange: Exchange) -> None:
    def names(query: str) -> list[str]:
        return [symbol["symbol"] for symbol in get(exchange, f"/api/v3/exchangeInfo{query}")[1]["symbols"]]

    assert names("") == ["BTCUSDT", "ETHUSDT", "ADAUSDT"]
    assert names("?symbol=ADAUSDT") == ["ADAUSDT"]
    assert names('?symbols=["ETHUSDT","BTCUSDT"]') == ["ETHUSDT", "BTCUSDT"]
    symbol = get(exchange, "/api/v3/exchangeInfo?symbol=BTCUSDT")[1]["symbols"][0]
    filters = {one["filterType"]: one for one in symbol["filters"]}
    assert symbol["status"] == "TRADING"
    assert (symbol["baseAsset"], symbol["quoteAsset"]) == ("BTC", "USDT")
    assert filters["PRICE_FILTER"]["tickSize"] == "0.10000000"
    assert filters["LOT_SIZE"]["stepSize"] == "0.00001000"


def test_a_changed_listing_is_shown_from_then_on(start_exchange: Start) -> None:
    exchange = start_exchange("--symbols", "BTCUSDT,ETHUSDT")

    def shown(name: str) -> tuple[str, str]:
        [symbol] = get(exchange, f"/api/v3/exchangeInfo?symbol={name}")[1]["symbols"]
        return symbol["status"], symbol["filters"][0]["tickSize"]

    exchange.fault("listing", symbol="BTCUSDT", tick_size="0.00000000", status="HALT")
    assert shown("BTCUSDT") == ("HALT", "0.00000000")
    assert shown("ETHUSDT") == ("TRADING", "0.01000000")
    exchange.fault("listing", symbol="BTCUSDT", listed=False)
    assert get(exchange, "/api/v3/exchangeInfo?symbol=BTCUSDT")[1]["code"] == -1121
    assert len(get(exchange, "/api/v3/exchangeInfo")[1]["symbols"]) == 1
    exchange.fault("listing", symbol="BTCUSDT", status="TRADING")
    assert shown("BTCUSDT") == ("TRADING", "0.00000000")


def test_the_trades_of_the_stream_can_be_asked_for_by_their_ids(exchange: Exchange) -> None:
    async def scenario() -> list[Json]:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{exchange.ws}/ws/btcusdt@trade") as socket,
        ):
            return [await next_event(socket, lambda _: True) for _ in range(5)]

    seen = asyncio.run(asyncio.wait_for(scenario(), 30))
    query = f"/api/v3/historicalTrades?symbol=BTCUSDT&fromId={seen[0]['t']}&limit=5"
    found = get(exchange, query)[1]
    assert [(one["id"], one["price"], one["qty"], one["time"], one["isBuyerMaker"]) for one in found] == [
        (one["t"], one["p"], one["q"], one["T"], one["m"]) for one in seen
    ]
    newest = get(exchange, "/api/v3/trades?symbol=BTCUSDT&limit=3")[1]
    assert [one["id"] - newest[0]["id"] for one in newest] == [0, 1, 2]
    assert newest[-1]["id"] >= seen[-1]["t"]


def test_time_ping_and_24_hour_tickers(exchange: Exchange) -> None:
    assert get(exchange, "/api/v3/ping")[1] == {}
    assert get(exchange, "/api/v3/time")[1]["serverTime"] > 1_600_000_000_000
    assert get(exchange, "/api/v3/ticker/24hr?symbol=BTCUSDT")[1]["symbol"] == "BTCUSDT"
    assert len(get(exchange, "/api/v3/ticker/24hr")[1]) == 3


def test_request_weight_beyond_the_limit_is_refused(start_exchange: Start) -> None:
    exchange = start_exchange("--symbols", "BTCUSDT", "--weight-per-minute", "60")
    answers = [get(exchange, "/api/v3/depth?symbol=BTCUSDT&limit=1000") for _ in range(3)]
    status, body, headers = answers[-1]
    assert (status, body["code"]) == (429, -1003)
    assert 1 <= int(headers["Retry-After"]) <= 61


def test_more_than_1024_streams_end_the_connection(exchange: Exchange) -> None:
    async def scenario() -> int | None:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{exchange.ws}/stream") as socket:
            assert (await call(socket, "SUBSCRIBE", [f"s{i}@trade" for i in range(1024)]))["result"] is None
            await socket.send_json({"method": "SUBSCRIBE", "params": ["one@trade"], "id": 2})
            async for _ in events(socket):
                pass
            return socket.close_code

    assert asyncio.run(scenario()) == 1008


def test_more_than_five_messages_a_second_end_the_connection(exchange: Exchange) -> None:
    async def scenario() -> tuple[int, int | None]:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{exchange.ws}/ws") as socket:
            for number in range(6):
                await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
            return len([event async for event in events(socket)]), socket.close_code

    assert asyncio.run(scenario()) == (5, 1008)


def test_pings_that_are_answered_keep_the_connection_and_others_do_not(start_exchange: Start) -> None:
    exchange = start_exchange("--symbols", "BTCUSDT", "--ping-interval", "0.2", "--pong-timeout", "0.5")

    async def scenario() -> None:
        async with aiohttp.ClientSession() as session:
            url = f"{exchange.ws}/ws/btcusdt@depth@100ms"
            async with session.ws_connect(url) as good, session.ws_connect(url, autoping=False) as silent:
                reading = asyncio.create_task(next_event(good, lambda _: False))
                pings = 0
                while (message := await silent.receive()).type not in (
                    aiohttp.WSMsgType.CLOSE,
                    aiohttp.WSMsgType.CLOSED,
                ):
                    pings += message.type is aiohttp.WSMsgType.PING
                    # An unsolicited pong does not count.
                    if message.type is aiohttp.WSMsgType.PING:
                        await silent.pong(b"")
                assert pings >= 2
                assert silent.close_code == 1008
                assert not reading.done()
                reading.cancel()

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_a_connection_ends_after_its_lifetime_announced(start_exchange: Start) -> None:
    exchange = start_exchange("--symbols", "BTCUSDT", "--connection-lifetime", "1", "--shutdown-notice", "0.4")

    async def scenario() -> tuple[list[Json], int | None]:
        url = f"{exchange.ws}/stream?streams=btcusdt@depth@100ms"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
            return [event async for event in events(socket)], socket.close_code

    received, code = asyncio.run(asyncio.wait_for(scenario(), 30))
    announced = next(i for i, event in enumerate(received) if event.get("e") == "serverShutdown")
    assert set(received[announced]) == {"e", "E"}
    assert "stream" in received[0]
    assert len(received) > announced + 1, "events go on between the announcement and the end"
    assert code == 1001


def test_a_subscriber_that_does_not_read_is_cut_off(start_exchange: Start) -> None:
    exchange = start_exchange("--symbols", "BTCUSDT", "--unread-bytes", "1000000")
    host, port = exchange.address.split(":")
    with socket.create_connection((host, int(port))) as lazy:
        lazy.sendall(
            b"GET /ws/btcusdt@depth@100ms HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        wait_until(lambda: len(exchange.state()["connections"]) == 1, "a connection")
        exchange.fault("rubbish", kind="huge", symbol="BTCUSDT")
        wait_until(lambda: not exchange.state()["connections"], "the connection to be cut")
    assert "unread bytes" in exchange.stop()[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_a_signal_with_status_0_and_closes_connections(start_exchange: Start, number: int) -> None:
    exchange = start_exchange("--symbols", "BTCUSDT")

    async def scenario() -> int | None:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{exchange.ws}/ws/btcusdt@trade") as ws:
            exchange.process.send_signal(number)
            async for _ in ws:
                pass
            return ws.close_code

    assert asyncio.run(scenario()) == 1001
    assert exchange.wait() == (0, "")


def run(*options: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tools.simulator", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stderr


def test_a_taken_port_is_one_clear_line(exchange: Exchange) -> None:
    port = exchange.address.split(":")[1]
    status, errors = run("--port", port, "--symbols", "BTCUSDT")
    assert status == 2
    assert errors == f"error: port {port} on 127.0.0.1 is taken; choose another with --port, or 0 for a free one\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--symbols", "btc"), "capital letters or digits"),
        (("--port", "70000"), "0 to 65535"),
        (("--speed", "fast"), "must be a number"),
        (("--replay", "x", "--from", "yesterday"), "--from: 'yesterday' must be a time like 2025-11-26T10:00"),
        (("--replay", "nowhere://x"), "recordings 'nowhere://x' must be a folder or a URL that fsspec knows"),
        (("--replay", "/no/such/capture"), "/no/such/capture: neither a capture nor a recording"),
    ],
)
def test_a_bad_option_is_refused_naming_it(options: tuple[str, ...], words: str) -> None:
    status, errors = run(*options)
    assert status == 2
    assert words in errors
    assert "Traceback" not in errors


def test_what_it_listens_on_is_the_first_line_and_says_what_it_offers() -> None:
    listed = ("--symbols", "BTCUSDT,ETHUSDT", "--also", "ETHUSDT,XRPUSDT")
    command = [sys.executable, "-m", "tools.simulator", "--port", "0", *listed, "--seed", "9"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
    assert "3 symbols, seed 9" in line
    assert json.loads(line.split("127.0.0.1:")[1].split()[0]) > 0
