"""Faults on demand, seen from a client's side."""

from __future__ import annotations

import asyncio
import json
import urllib.error
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal, InvalidOperation

import aiohttp
import pytest

from tests.tools.simulator.exchange_process import Exchange, Json, events, next_event
from tools.simulator.rubbish import HUGE_BYTES, RUBBISH

STREAMS = "btcusdt@depth@100ms/btcusdt@trade/btcusdt@ticker"
Scenario = Callable[[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse], Awaitable[object]]


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with Exchange("--symbols", "BTCUSDT,ETHUSDT", "--orders-per-second", "60") as running:
        yield running


def with_client(exchange: Exchange, scenario: Scenario, streams: str = STREAMS) -> object:
    async def run() -> object:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{exchange.ws}/stream?streams={streams}", max_msg_size=0) as socket,
        ):
            await socket.receive()
            return await scenario(session, socket)

    return asyncio.run(asyncio.wait_for(run(), 30))


def is_diff(event: Json) -> bool:
    return str(event.get("stream", "")).endswith("@depth@100ms")


async def fault(exchange: Exchange, name: str, **parameters: object) -> int:
    return await asyncio.to_thread(exchange.fault, name, **parameters)


def test_drop_cuts_without_a_handshake_or_with_a_code(exchange: Exchange) -> None:
    async def cut(_: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> int | None:
        assert await fault(exchange, "drop") == 1
        async for _event in events(socket):
            pass
        return socket.close_code

    async def closed(_: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> int | None:
        assert await fault(exchange, "drop", code=1012) == 1
        async for _event in events(socket):
            pass
        return socket.close_code

    assert with_client(exchange, cut) == 1006
    assert with_client(exchange, closed) == 1012


def test_skip_leaves_a_gap_of_so_many_diffs_in_one_symbol(exchange: Exchange) -> None:
    async def scenario(_: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        last: dict[str, int] = {}

        async def next_gap() -> str | None:
            diff = (await next_event(socket, lambda _: True))["data"]
            gap = diff["U"] != last.get(diff["s"], diff["U"] - 1) + 1
            last[diff["s"]] = diff["u"]
            return diff["s"] if gap else None

        while len(last) < 2:
            assert await next_gap() is None
        assert await fault(exchange, "skip", symbol="BTCUSDT", count=2) == 1
        while (gap := await next_gap()) is None:
            pass
        assert gap == "BTCUSDT"
        assert [await next_gap() for _ in range(10)] == [None] * 10

    with_client(exchange, scenario, "btcusdt@depth@100ms/ethusdt@depth@100ms")


@pytest.mark.parametrize("kind", [kind for kind, rubbish in RUBBISH.items() if rubbish.connects])
def test_false_diffs_connect_on_both_sides(exchange: Exchange, kind: str) -> None:
    async def scenario(_: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> Json:
        last = (await next_event(socket, is_diff))["data"]["u"]
        assert await fault(exchange, "rubbish", kind=kind, symbol="BTCUSDT") == 1
        false: Json | None = None
        async for event in events(socket):
            if not is_diff(event):
                continue
            diff = event["data"]
            if diff.get("U") == last + 1 and is_plausible(diff):
                last = diff["u"]
                if false is not None:
                    return false
            else:
                assert false is None, "one message was asked for"
                false = diff
                if isinstance(diff.get("U"), int):
                    assert diff["U"] == diff["u"] == last + 1
                last += 1
        raise AssertionError("no more events")

    false = with_client(exchange, scenario)
    assert isinstance(false, dict)


def is_plausible(diff: Json) -> bool:
    """What a careful client checks of a diff by itself."""
    if "padding" in diff:
        return False
    try:
        levels = [[Decimal(price), Decimal(quantity)] for price, quantity in [*diff["b"], *diff["a"]]]
    except (InvalidOperation, TypeError, ValueError, KeyError):
        return False
    bids = [Decimal(price) for price, quantity in diff["b"] if Decimal(quantity)]
    asks = [Decimal(price) for price, quantity in diff["a"] if Decimal(quantity)]
    return all(
        price.is_finite() and quantity.is_finite() and price > 0 and quantity >= 0 for price, quantity in levels
    ) and (not bids or not asks or max(bids) < min(asks))


@pytest.mark.parametrize("kind", [kind for kind, rubbish in RUBBISH.items() if not rubbish.connects])
def test_other_rubbish_leaves_the_diffs_connected(exchange: Exchange, kind: str) -> None:
    async def scenario(_: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        last = (await next_event(socket, is_diff))["data"]["u"]
        assert await fault(exchange, "rubbish", kind=kind, symbol="BTCUSDT") == 1
        rubbish = 0
        for _message in range(30):
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.ERROR:
                assert kind == "not-utf8"
                return
            try:
                event = json.loads(message.data)
                data = event["data"]
            except (ValueError, TypeError, KeyError, RecursionError):
                rubbish += 1
                continue
            if is_diff(event) and data["s"] == "BTCUSDT" and data["U"] == last + 1 and data["U"] <= data["u"]:
                last = data["u"]
            elif is_diff(event) or not is_true_event(data):
                rubbish += 1
            if rubbish and is_diff(event) and data["u"] == last:
                break
        assert rubbish == 1

    with_client(exchange, scenario)


def is_true_event(data: Json) -> bool:
    if data["e"] == "trade":
        return isinstance(data["t"], int) and data["m"] in (True, False) and float(data["p"]) > 0
    return isinstance(data["c"], str)


def test_the_huge_message_is_ten_megabytes(exchange: Exchange) -> None:
    async def scenario(_: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> int:
        await fault(exchange, "rubbish", kind="huge", symbol="BTCUSDT")
        return max([len((await socket.receive()).data) for _ in range(20)])

    size = with_client(exchange, scenario)
    assert isinstance(size, int)
    assert size > HUGE_BYTES


def test_rubbish_goes_to_one_connection_if_asked(exchange: Exchange) -> None:
    async def scenario(session: aiohttp.ClientSession, first: aiohttp.ClientWebSocketResponse) -> None:
        async with session.ws_connect(f"{exchange.ws}/ws/btcusdt@depth@100ms") as second:
            await second.receive()
            assert await fault(exchange, "rubbish", kind="not-an-object", symbol="BTCUSDT", connection=1) == 1
            # Other than an event it is an array.
            await next_event(second, lambda event: not isinstance(event, dict))
            for _ in range(5):
                assert isinstance(await next_event(first, lambda _: True), dict)

    with_client(exchange, scenario)


def test_pause_holds_events_back_and_loses_none(exchange: Exchange) -> None:
    async def scenario(_: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        diff = (await next_event(socket, is_diff))["data"]
        assert await fault(exchange, "pause", seconds=1.0) == 1
        waited = 0
        while waited < 800:
            before, diff = diff, (await next_event(socket, is_diff))["data"]
            assert diff["U"] == before["u"] + 1
            waited = diff["E"] - before["E"]

    with_client(exchange, scenario)


def test_shutdown_is_announced_then_closes(exchange: Exchange) -> None:
    async def scenario(_: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> int | None:
        assert await fault(exchange, "shutdown", seconds=0.2) == 1
        await next_event(socket, lambda event: event.get("e") == "serverShutdown")
        async for _event in events(socket):
            pass
        return socket.close_code

    assert with_client(exchange, scenario) == 1001


@pytest.mark.parametrize(("status", "retry_after"), [(429, 7), (418, 120), (500, None)])
def test_rest_requests_are_refused_so_many_times(exchange: Exchange, status: int, retry_after: int | None) -> None:
    async def scenario() -> list[tuple[int, str | None]]:
        assert await fault(exchange, "rest", status=status, count=2, retry_after=retry_after) == 2
        answers = []
        async with aiohttp.ClientSession() as session:
            for _ in range(3):
                async with session.get(f"{exchange.http}/api/v3/depth?symbol=BTCUSDT") as answer:
                    answers.append((answer.status, answer.headers.get("Retry-After")))
        return answers

    refused = (status, None if retry_after is None else str(retry_after))
    assert asyncio.run(scenario()) == [refused, refused, (200, None)]


def test_rest_delay_lets_the_next_request_wait(exchange: Exchange) -> None:
    async def scenario() -> None:
        await fault(exchange, "rest_delay", seconds=30, count=1)
        async with aiohttp.ClientSession() as session:
            with pytest.raises(TimeoutError):
                await session.get(f"{exchange.http}/api/v3/time", timeout=aiohttp.ClientTimeout(total=0.3))
            async with session.get(f"{exchange.http}/api/v3/time") as answer:
                assert answer.status == 200

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("explode", {}, "must be one of drop, skip"),
        ("skip", {}, "missing required field `symbol`"),
        ("skip", {"symbol": "NOSUCH"}, "not listed"),
        ("rubbish", {"kind": "odd", "symbol": "BTCUSDT"}, "must be one of not-json"),
        ("rest", {"status": 200}, "400 to 599"),
        ("pause", {"seconds": "long"}, "Expected `float`"),
        ("drop", {"colour": 1}, "unknown field"),
    ],
)
def test_a_fault_that_cannot_be_had_says_what_can(exchange: Exchange, name: str, parameters: Json, words: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        exchange.fault(name, **parameters)
    assert error.value.code == 400
    assert words in json.load(error.value)["error"]


def test_the_state_tells_of_feed_and_connections(exchange: Exchange) -> None:
    async def scenario(_: aiohttp.ClientSession, __: aiohttp.ClientWebSocketResponse) -> Json:
        return await asyncio.to_thread(exchange.state)

    state = with_client(exchange, scenario)
    assert isinstance(state, dict)
    assert state["feed"]["source"] == "live"
    assert [one["streams"] for one in state["connections"]] == [STREAMS.split("/")]
