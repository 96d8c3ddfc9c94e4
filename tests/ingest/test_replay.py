"""A capture ingested: every book, after every update, is the one an independent replay of the same messages gives.

The independent replay stands here in full, works on dicts of decimals, and shares no code with the product.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis

from ingest.book_sync import BookSync
from ingest.events import Diff
from ingest.venues.binance import Binance
from tests.ingest.ingest_process import IngestProcess
from tests.processes import wait_until
from tests.tools.simulator.exchange_process import COMMITTED_CAPTURE, RECORDED_CAPTURE, Exchange
from tests.tools.simulator.recorded_data import record
from tickfence.streams.codec import DiffEntry, TradeEntry, decode_diff, decode_trade
from tools.local.embedded_redis import EmbeddedRedis

Sides = tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]

captures = pytest.mark.parametrize(
    "stem",
    [
        pytest.param(COMMITTED_CAPTURE, id="committed"),
        pytest.param(
            RECORDED_CAPTURE,
            id="recorded",
            marks=pytest.mark.skipif(not Path(f"{RECORDED_CAPTURE}.ws").exists(), reason="no recorded capture here"),
        ),
    ],
)


def messages(stem: Path) -> list[dict[str, Any]]:
    """The WebSocket messages, in order."""
    lines = Path(f"{stem}.ws").read_text().splitlines()
    return [json.loads(line.split(": ", 1)[1]) for line in lines if ": {" in line]


def snapshots(stem: Path) -> dict[str, dict[str, Any]]:
    """The first REST snapshot of each symbol."""
    found: dict[str, dict[str, Any]] = {}
    for line in Path(f"{stem}.http").read_text().splitlines():
        if "/api/v3/depth?symbol=" in line:
            address, answer = line.split(": ", 1)
            found.setdefault(address.split("symbol=")[1].split("&")[0], json.loads(answer))
    return found


def true_books(stem: Path, symbol: str) -> Iterator[tuple[int, Sides]]:
    """The book of a symbol after its snapshot and after each later update: update id and both sides."""
    snapshot = snapshots(stem)[symbol]
    sides: Sides = ({}, {})
    for side, levels in zip(sides, (snapshot["bids"], snapshot["asks"]), strict=True):
        side.update({Decimal(price): Decimal(quantity) for price, quantity in levels})
    last = snapshot["lastUpdateId"]
    yield last, sides
    for message in messages(stem):
        data = message["data"]
        if data.get("e") != "depthUpdate" or data["s"] != symbol or data["u"] <= last:
            continue
        assert data["U"] <= last + 1, "the capture itself has no gap"
        for side, levels in zip(sides, (data["b"], data["a"]), strict=True):
            for price, quantity in levels:
                if Decimal(quantity):
                    side[Decimal(price)] = Decimal(quantity)
                else:
                    side.pop(Decimal(price), None)
        last = data["u"]
        yield last, sides


def as_floats(sides: Sides) -> tuple[dict[float, float], dict[float, float]]:
    bids, asks = ({float(price): float(quantity) for price, quantity in side.items()} for side in sides)
    return bids, asks


@captures
def test_the_local_book_at_every_update(stem: Path) -> None:
    recorded = snapshots(stem)
    symbols = list(recorded)
    exchange = Binance(symbols)
    books = {symbol: BookSync(symbol) for symbol in symbols}
    expected = {symbol: true_books(stem, symbol) for symbol in symbols}
    for symbol, snapshot in recorded.items():
        books[symbol].on_depth(exchange.decode_depth(json.dumps(snapshot).encode()), 0)
    compared = 0
    for message in messages(stem):
        if not message["stream"].endswith("@depth@100ms"):
            continue
        [diff] = exchange.decode(json.dumps(message).encode())
        assert isinstance(diff, Diff)
        if diff.last_update_id <= recorded[diff.symbol]["lastUpdateId"]:
            assert not books[diff.symbol].on_diff(diff, 0)
            continue
        if not compared:
            for symbol in symbols:
                next(expected[symbol])
        assert books[diff.symbol].on_diff(diff, 0)
        update_id, sides = next(expected[diff.symbol])
        book = books[diff.symbol].book
        assert book.last_update_id == update_id
        assert tuple(map(dict, book.levels())) == as_floats(sides)
        compared += 1
    assert compared >= 20
    assert all(next(rest, None) is None for rest in expected.values())


@captures
@pytest.mark.parametrize("speed", ["max", "20"])
def test_what_ingest_writes_gives_the_same_book_at_every_update(
    stem: Path, speed: str, redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    symbols = list(snapshots(stem))
    last = {symbol: [update_id for update_id, _ in true_books(stem, symbol)][-1] for symbol in symbols}

    def newest(symbol: str) -> int:
        top = redis_client.xrevrange(f"md:{{{symbol}}}:book", count=1)
        first = json.loads(redis_client.get(f"md:{{{symbol}}}:snapshot") or "{}").get("lastUpdateId", 0)
        return max(first, int(top[0][0].split(b"-")[1]) if top else 0)

    with (
        Exchange("--replay", str(stem), "--speed", speed) as exchange,
        IngestProcess(
            symbols=",".join(symbols),
            redis_url=redis_server.url(),
            ws=exchange.ws,
            rest=exchange.http,
            NT_SNAPSHOT_INTERVAL_MS=150_000,  # so that the first snapshots stay
        ) as ingest,
    ):
        wait_until(lambda: all(newest(symbol) >= last[symbol] for symbol in symbols), "the end of the capture", 30)
        assert ingest.metric("nt_ingest_books_in_sync") == len(symbols)
        assert ingest.stop() == 0
    for symbol in symbols:
        snapshot = json.loads(redis_client.get(f"md:{{{symbol}}}:snapshot"))
        entries = redis_client.xrange(f"md:{{{symbol}}}:book")
        bids, asks = dict(map(tuple, snapshot["bids"])), dict(map(tuple, snapshot["asks"]))
        got_id = snapshot["lastUpdateId"]
        truth = true_books(stem, symbol)
        for update_id, sides in truth:
            if update_id < got_id:
                continue
            while got_id < update_id:
                entry_id, fields = entries.pop(0)
                if int(entry_id.split(b"-")[1]) <= got_id:
                    continue
                assert int(fields[b"U"]) <= got_id + 1
                got_id = int(entry_id.split(b"-")[1])
                for side, name in ((bids, b"b"), (asks, b"a")):
                    for price, quantity in json.loads(fields[name]):
                        side[price] = quantity
                        if not quantity:
                            del side[price]
            assert got_id == update_id
            assert (bids, asks) == as_floats(sides)
        assert all(int(entry_id.split(b"-")[1]) <= got_id for entry_id, _ in entries)
    recorded = [m["data"] for m in messages(stem) if m["data"].get("e") == "trade"]
    for symbol in symbols:
        got = [
            (entry_id.decode(), fields[b"p"].decode(), fields[b"q"].decode(), fields[b"s"])
            for entry_id, fields in redis_client.xrange(f"md:{{{symbol}}}:trades")
        ]
        assert got == [
            (f"{each['T']}-{each['t']}", each["p"], each["q"], b"s" if each["m"] else b"b")
            for each in recorded
            if each["s"] == symbol
        ]


def test_what_ingest_writes_of_a_replayed_recording_is_what_was_recorded(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    recorded = record(str(tmp_path), ["BTCUSDT", "ETHUSDT"], 12)

    def written(symbol: str) -> tuple[list[TradeEntry], list[DiffEntry]]:
        trades, diffs = (redis_client.xrange(f"md:{{{symbol}}}:{name}") for name in ("trades", "book"))
        return [decode_trade(*entry) for entry in trades], [decode_diff(*entry) for entry in diffs]

    def counts() -> list[int]:
        return [len(entries) for symbol in recorded for entries in written(symbol)]

    with (
        Exchange("--replay", str(tmp_path), "--speed", "20", "--keep-times") as exchange,
        IngestProcess(
            symbols=",".join(recorded),
            redis_url=redis_server.url(),
            ws=exchange.ws,
            rest=exchange.http,
            NT_SNAPSHOT_INTERVAL_MS=150_000,  # so that no diff is trimmed
        ),
    ):
        wanted = [len(entries) for truth in recorded.values() for entries in (truth.trades, truth.diffs)]
        wait_until(lambda: counts() == wanted, f"{wanted} trades and diffs", 30)
    for symbol, truth in recorded.items():
        trades, diffs = written(symbol)
        assert [entry[:5] for entry in trades] == [entry[:5] for entry in truth.trades]
        assert [(*entry[:3], sorted(entry.bids), sorted(entry.asks)) for entry in diffs] == [
            (*entry[:3], sorted(entry.bids), sorted(entry.asks)) for entry in truth.diffs
        ]
        info = redis_client.hgetall(f"md:{{{symbol}}}:info")
        assert (float(info[b"tick_size"]), float(info[b"step_size"]), info[b"status"]) == (0.01, 0.001, b"trading")
        assert float(redis_client.hget(f"md:{{{symbol}}}:ticker", "last")) == 1.5
