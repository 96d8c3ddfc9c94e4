"""Replays: a client that keeps its books as documented sees the recorded books, at every update."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from tests.processes import wait_until
from tests.tools.simulator.exchange_process import (
    COMMITTED_CAPTURE,
    RECORDED_CAPTURE,
    ROOT,
    Exchange,
    Json,
    LocalBook,
    events,
    next_event,
)
from tools.simulator import capture

Start = Callable[..., Exchange]

CAPTURES = [
    COMMITTED_CAPTURE,
    pytest.param(
        RECORDED_CAPTURE,
        marks=pytest.mark.skipif(not Path(f"{RECORDED_CAPTURE}.ws").exists(), reason="no recorded capture here"),
    ),
]


def recorded_lines(stem: Path) -> list[Json]:
    """The capture's messages, read without the simulator's code."""
    lines = Path(f"{stem}.ws").read_text().splitlines()[1:]
    return [json.loads(line.partition(": ")[2]) for line in lines if line]


def recorded_books(stem: Path) -> dict[str, LocalBook]:
    """Each symbol's book after every update, from the files alone."""
    books = {}
    for line in Path(f"{stem}.http").read_text().splitlines():
        if line:
            url, _, answer = line.partition(" -> ")
            symbol = url.split("symbol=")[1].split("&")[0]
            books[symbol] = LocalBook(json.loads(answer.partition(": ")[2]))
    for message in recorded_lines(stem):
        if "@depth" in message["stream"]:
            books[message["data"]["s"]].apply(message["data"])
    return books


def concerns(symbol: str, event: Json) -> bool:
    return bool(event.get("data", {}).get("s") == symbol)


async def snapshot(session: aiohttp.ClientSession, exchange: Exchange, symbol: str) -> Json:
    async with session.get(f"{exchange.http}/api/v3/depth?symbol={symbol}&limit=1000") as answer:
        body: Json = await answer.json()
        return body


async def follow(exchange: Exchange, stem: Path, *, ask_first: bool = False) -> tuple[dict[str, LocalBook], list[Json]]:
    """Subscribe to all recorded streams one message each, ask for a symbol's snapshot at its first diff, go on to the end."""
    streams = list(dict.fromkeys(message["stream"] for message in recorded_lines(stem)))
    symbols = {stream.split("@")[0].upper() for stream in streams if "@depth" in stream}
    books: dict[str, LocalBook] = {}
    waiting: dict[str, list[Json]] = {}
    asked: dict[str, asyncio.Task[Json]] = {}
    received = []
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{exchange.ws}/stream") as socket:
        await socket.send_json({"method": "SUBSCRIBE", "params": streams[:1], "id": 1})
        await socket.send_json({"method": "SUBSCRIBE", "params": streams[1:], "id": 2})
        await next_event(socket, lambda event: event.get("id") == 2)
        if ask_first:
            asked = {symbol: asyncio.create_task(snapshot(session, exchange, symbol)) for symbol in symbols}
        async for event in events(socket):
            if "stream" not in event:
                continue
            received.append(event)
            if "@depth" not in event["stream"]:
                continue
            symbol = event["data"]["s"]
            waiting.setdefault(symbol, []).append(event["data"])
            if symbol not in asked:
                asked[symbol] = asyncio.create_task(snapshot(session, exchange, symbol))
            if asked[symbol].done():
                book = books.setdefault(symbol, LocalBook(asked[symbol].result()))
                for diff in waiting.pop(symbol):
                    book.apply(diff)
        for symbol, diffs in waiting.items():
            book = books.setdefault(symbol, LocalBook(await asked[symbol]))
            for diff in diffs:
                book.apply(diff)
    return books, received


@pytest.mark.parametrize("stem", CAPTURES)
@pytest.mark.parametrize("speed", ["max", "40"])
def test_a_correct_client_has_the_recorded_books_at_every_update(start_exchange: Start, stem: Path, speed: str) -> None:
    exchange = start_exchange("--replay", str(stem), "--speed", speed, "--exit-at-end")
    books, received = asyncio.run(asyncio.wait_for(follow(exchange, stem), 60))
    assert received == recorded_lines(stem)
    expected = recorded_books(stem)
    assert books.keys() == expected.keys()
    for symbol, book in books.items():
        assert book.history == expected[symbol].history
    status, errors = exchange.wait()
    assert status == 0
    assert f"replay finished: {len(received)} messages" in errors
    assert "continues without" not in errors


@pytest.mark.parametrize("stem", CAPTURES)
def test_a_client_that_asks_for_its_snapshots_before_the_first_diff_has_the_same_books(
    start_exchange: Start, stem: Path
) -> None:
    exchange = start_exchange("--replay", str(stem), "--speed", "max", "--exit-at-end")
    books, _ = asyncio.run(asyncio.wait_for(follow(exchange, stem, ask_first=True), 60))
    expected = recorded_books(stem)
    for symbol, book in expected.items():
        assert books[symbol].history == book.history


def test_a_late_client_gets_the_book_as_it_is_now_and_the_connection_stays_open(start_exchange: Start) -> None:
    exchange = start_exchange("--replay", str(COMMITTED_CAPTURE), "--speed", "max")
    last = recorded_lines(COMMITTED_CAPTURE)[-1]

    async def scenario() -> None:
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"{exchange.ws}/stream") as socket:
                streams = list({message["stream"] for message in recorded_lines(COMMITTED_CAPTURE)})
                await socket.send_json({"method": "SUBSCRIBE", "params": streams, "id": 1})
                for symbol in ("ADAUSDT", "DOTUSDT"):
                    await next_event(socket, partial(concerns, symbol))
                    await snapshot(session, exchange, symbol)
                await next_event(socket, lambda event: event == last)
                await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 2})
                await next_event(socket, lambda event: event.get("id") == 2)
            for symbol, book in recorded_books(COMMITTED_CAPTURE).items():
                late = LocalBook(await snapshot(session, exchange, symbol))
                assert late.history[-1] == book.history[-1]

    asyncio.run(asyncio.wait_for(scenario(), 60))
    assert exchange.state()["feed"]["status"] == "finished"


def test_the_replay_waits_where_the_recording_client_took_its_snapshot(start_exchange: Start) -> None:
    exchange = start_exchange("--replay", str(COMMITTED_CAPTURE), "--speed", "max")
    url, _, answer = Path(f"{COMMITTED_CAPTURE}.http").read_text().splitlines()[0].partition(" -> ")
    taken_at, _, recorded = answer.partition(": ")
    symbol = url.split("symbol=")[1].split("&")[0]
    times = [
        float(line.split(": ")[0]) for line in Path(f"{COMMITTED_CAPTURE}.ws").read_text().splitlines()[1:] if line
    ]

    async def scenario() -> None:
        streams = "/".join({message["stream"] for message in recorded_lines(COMMITTED_CAPTURE)})
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{exchange.ws}/stream?streams={streams}"):

            def feed() -> Json:
                state: Json = exchange.state()["feed"]
                return state if symbol in state["status"] else {}

            state = await asyncio.to_thread(wait_until, feed, "the replay to wait")
            assert state["sent"] == len([time for time in times if time <= float(taken_at)])
            # Asking a second time with nothing sent in between gives the same book.
            await asyncio.to_thread(exchange.fault, "pause", seconds=60)
            assert await snapshot(session, exchange, symbol) == json.loads(recorded)
            assert await snapshot(session, exchange, symbol) == json.loads(recorded)

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_exchange_info_is_the_recorded_one(start_exchange: Start) -> None:
    exchange = start_exchange("--replay", str(COMMITTED_CAPTURE))

    async def scenario() -> Json:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{exchange.http}/api/v3/exchangeInfo?symbol=DOTUSDT") as answer,
        ):
            body: Json = await answer.json()
            return body

    recorded = json.loads(Path(f"{COMMITTED_CAPTURE}.exchangeInfo.json").read_text())["symbols"]
    assert asyncio.run(scenario())["symbols"] == [one for one in recorded if one["symbol"] == "DOTUSDT"]


@pytest.mark.parametrize(
    ("ending", "line", "text", "words"),
    [
        ("ws", 1, "no header", r"\.ws:1: must be '<url> <-> <unix time>'"),
        ("ws", 3, "yesterday: {}", r"\.ws:3: must be '<unix time>: <json>'"),
        ("ws", 3, "1.5: {", r"\.ws:3: not a message"),
        ("ws", 3, '1.5: {"data":{}}', r"\.ws:3: not a message"),
        ("ws", 3, '1.5: {"stream":"a@depth","data":{"e":"depthUpdate","U":"x"}}', r"\.ws:3: not a message"),
        ("http", 2, "http://x/api/v3/depth?symbol=A 1.5: {}", r"\.http:2: must be '<url> -> <unix time>: <json>'"),
        ("http", 2, "http://x/api/v3/depth -> 1.5: {}", r"\.http:2: the depth request names no symbol"),
        ("http", 2, 'http://x/api/v3/depth?symbol=A -> 1.5: {"bids":[]}', r"\.http:2: not an order book"),
        ("exchangeInfo.json", 1, "[]", r"\.exchangeInfo\.json: not an exchangeInfo answer"),
        ("exchangeInfo.json", 1, '{"symbols":[{}]}', r"\.exchangeInfo\.json: a symbol without a name"),
    ],
)
def test_a_malformed_line_is_named_by_file_and_number(
    tmp_path: Path, ending: str, line: int, text: str, words: str
) -> None:
    stem = tmp_path / "broken"
    for name in ("ws", "http", "exchangeInfo.json"):
        shutil.copy(f"{COMMITTED_CAPTURE}.{name}", f"{stem}.{name}")
    file = Path(f"{stem}.{ending}")
    lines = file.read_text().splitlines()
    lines[line - 1] = text
    file.write_text("\n".join(lines))
    with pytest.raises(capture.BadCapture, match=words):
        capture.load(str(stem))


def test_a_malformed_capture_ends_the_process_with_one_line(tmp_path: Path) -> None:
    stem = tmp_path / "broken"
    Path(f"{stem}.ws").write_text("no header\n")
    command = [sys.executable, "-m", "tools.simulator", "--port", "0", "--replay", str(stem)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert done.stderr == f"error: {stem}.ws:1: must be '<url> <-> <unix time>', not 'no header'\n"
