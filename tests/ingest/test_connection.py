"""What ingest does about refused handshakes and requests, about pings, and about silence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from ingest.connection import URL_STREAMS
from ingest.feed import Feed
from ingest.pacing import Allowance
from ingest.rest import DepthQueue, Priority, RestClient, RestError
from ingest.silence import Silence
from ingest.venues.binance import Binance
from tests.ingest.scripted_exchange import ScriptedExchange, scripted_exchange
from tests.ingest.writing import until

SYMBOL = "BTCUSDT"
DEPTH = {"lastUpdateId": 7, "bids": [["2", "1"]], "asks": [["3", "1"]]}
PAGE = "<HTML><H1>403 ERROR</H1>Request blocked.</HTML>"


@asynccontextmanager
async def feeding(
    exchange: ScriptedExchange, silence: Silence, symbols: list[str] | None = None, **options: float
) -> AsyncIterator[tuple[RestClient, list[bytes]]]:
    """One feed and a REST client of the same address."""
    messages: list[bytes] = []
    binance = Binance(symbols or [SYMBOL])
    async with aiohttp.ClientSession() as session:
        feed = Feed(
            session,
            binance,
            exchange.ws,
            symbols or [SYMBOL],
            on_message=lambda _, message: messages.append(message),
            on_open=lambda _: None,
            openings=Allowance(100, 300.0),
            silence=silence,
            **options,
        )
        task = asyncio.create_task(feed.run())
        try:
            yield RestClient(session, exchange.http, binance, silence), messages
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("status", [403, 418, 429, 503])
def test_a_refused_handshake_silences_the_whole_address(status: int) -> None:
    async def test() -> None:
        silence = Silence()
        async with scripted_exchange() as exchange:
            refusals = [web.Response(status=status, headers={"Retry-After": "1"})]
            exchange.answer = lambda request: (
                web.json_response(DEPTH) if request.path.endswith("depth") else refusals.pop() if refusals else None
            )
            async with feeding(exchange, silence) as (rest, _):
                await until(silence.left_s, "the silence")
                await rest.depth(SYMBOL, Priority.GAP)
                await until(lambda: exchange.sockets, "the next connection")
            first, second = exchange.asked("/stream")
            [depth] = exchange.asked("/api/v3/depth")
            assert min(second, depth) - first >= 0.95

    asyncio.run(test())


def test_a_refused_request_stops_handshakes_too_but_no_open_connection() -> None:
    async def test() -> None:
        silence = Silence()
        async with scripted_exchange() as exchange:
            exchange.answer = lambda request: (
                web.Response(status=429, headers={"Retry-After": "1"}) if request.path.endswith("depth") else None
            )
            async with feeding(exchange, silence) as (rest, messages):
                await until(lambda: exchange.sockets, "the connection")
                with pytest.raises(RestError):
                    await rest.depth(SYMBOL, Priority.GAP)
                [socket] = exchange.sockets
                await socket.send_str("still heard")
                await until(lambda: messages, "the message")
                refused_at = exchange.asked("/api/v3/depth")[0]
                await socket.close()
                await until(lambda: len(exchange.asked("/stream")) == 2, "another connection")
                assert exchange.asked("/stream")[1] - refused_at >= 0.95

    asyncio.run(test())


def test_after_one_403_the_symbol_is_asked_for_again_when_the_silence_is_over() -> None:
    async def test() -> None:
        now = [0.0]
        silence = Silence(lambda: now[0])
        loaded = asyncio.Event()
        refusals = [web.Response(status=403, text=PAGE, content_type="text/html")]
        async with scripted_exchange() as exchange, aiohttp.ClientSession() as session:
            exchange.answer = lambda _: refusals.pop() if refusals else web.json_response(DEPTH)
            depths = DepthQueue(RestClient(session, exchange.http, Binance([SYMBOL]), silence))
            depths.want(SYMBOL, Priority.START)
            task = asyncio.create_task(depths.run(lambda *_: loaded.set() or True))
            await until(silence.left_s, "the silence")
            now[0] += silence.left_s()
            await asyncio.wait_for(loaded.wait(), 5)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(test())


def test_pings_alone_keep_a_connection_alive() -> None:
    async def test() -> None:
        async with scripted_exchange() as exchange, feeding(exchange, Silence(), silence_s=0.4):
            await until(lambda: exchange.sockets, "the connection")
            [socket] = exchange.sockets
            for number in range(10):
                await socket.ping(b"%d" % number)
                await until(lambda: len(exchange.pongs) == number + 1, "the pong")  # noqa: B023
                await asyncio.sleep(0.1)
            assert exchange.pongs == [b"%d" % number for number in range(10)]
            assert len(exchange.asked("/stream")) == 1
            await until(lambda: len(exchange.asked("/stream")) == 2, "another connection after real silence")

    asyncio.run(test())


def test_a_url_stays_short_whatever_the_names() -> None:
    symbols = [f"币安人生币安人生币安人生{number:03d}USDT" for number in range(60)]

    async def test() -> None:
        async with scripted_exchange() as exchange, feeding(exchange, Silence(), symbols):
            await until(lambda: exchange.sockets, "the connection")
            [(_, url)] = exchange.requests
            assert len(url) < 8_000
            assert 0 < url.count("usdt@") < min(URL_STREAMS, 180)

    asyncio.run(test())
    assert json.loads(Binance(symbols).requests(True, ["币安人生usdt@trade"], 1)[0][0])["params"] == [
        "币安人生usdt@trade"
    ]
