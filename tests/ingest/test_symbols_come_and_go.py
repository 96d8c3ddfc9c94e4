"""Symbols that are added and removed while a writer goes on, against a real Redis that two writers share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import redis

from ingest.book_sync import BookSync
from ingest.events import Depth, SymbolRules, Ticker
from ingest.outbox import DELETE_AGAIN_S
from tests.ingest.writing import (
    KEYS,
    NOW,
    OTHER,
    SYMBOL,
    Process,
    assert_reader_agrees,
    diffs,
    run,
    running,
    trades,
    until,
)
from tools.local.embedded_redis import EmbeddedRedis

NEW = "NEWUSDT"


def add(process: Process, symbol: str) -> None:
    """Follow one more symbol, whose book is in sync at once."""
    book = process.books[symbol] = BookSync(symbol)  # type: ignore[index]
    book.on_depth(Depth(0, [(10.0, 1.0)], [(20.0, 1.0)]), NOW)
    process.writer.add([symbol])
    process.writer.want_snapshot(symbol, "sync")


def remove(process: Process, symbol: str) -> None:
    del process.books[symbol]  # type: ignore[arg-type]
    process.writer.remove([symbol])


def left(client: redis.Redis, symbol: str) -> int:
    return int(client.exists(*KEYS.market_data(symbol)))


@asynccontextmanager
async def on_time(*processes: Any) -> AsyncIterator[None]:
    """Running writers, which also do what is due by time alone."""

    async def wake() -> None:
        while True:
            for process in processes:
                process.writer.wake()
            await asyncio.sleep(0.05)

    async with running(*processes):
        waking = asyncio.create_task(wake())
        try:
            yield
        finally:
            waking.cancel()


def test_a_symbol_comes_and_goes_and_the_others_lose_nothing(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    async def test() -> None:
        process = Process(redis_server.url())
        async with on_time(process):
            for number in range(1, 301):
                process.diff(number)
                process.trade(number)
                if number == 50:
                    add(process, NEW)
                if 100 < number <= 150:
                    process.diff(number - 100, symbol=NEW)
                if number == 200:
                    await until(lambda: redis_client.exists(KEYS.snapshot(NEW)), "its book")
                    await process.writer.drain(10)
                    assert diffs(redis_client, NEW) == list(range(1, 51))
                    assert_reader_agrees(redis_client, process, NEW)
                    remove(process, NEW)
                await asyncio.sleep(0)
            await process.writer.drain(10)
            await until(lambda: not left(redis_client, NEW), "nothing of it left")
        assert diffs(redis_client) == trades(redis_client) == list(range(1, 301))
        assert_reader_agrees(redis_client, process)

    run(test)


def test_what_another_ingest_writes_after_the_removal_is_deleted_too(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    async def test() -> None:
        first, second = Process(redis_server.url()), Process(redis_server.url())
        for process in (first, second):
            process.writer.set_info(OTHER, SymbolRules("0.01", "0.001", "trading"))
            process.writer.set_ticker(Ticker(OTHER, "10.5", "-1.5", "11", "9", "1000"))
        async with on_time(first, second):
            first.diff(1, symbol=OTHER)
            second.diff(1, symbol=OTHER)
            await until(lambda: left(redis_client, OTHER) == 4, "all but trades")
            remove(first, OTHER)
            await until(lambda: not left(redis_client, OTHER), "nothing of it")
            second.diff(2, symbol=OTHER)  # it follows half a second later
            await until(lambda: left(redis_client, OTHER), "the other's data")
            removed_at = time.monotonic()
            remove(second, OTHER)
            await until(lambda: not left(redis_client, OTHER), "nothing of it again")
            await asyncio.sleep(max(removed_at + DELETE_AGAIN_S + 0.5 - time.monotonic(), 0))
            first.diff(1)
            await first.writer.drain(10)
            assert not left(redis_client, OTHER)
            # Nothing is known of it any more; it may come again.
            add(first, OTHER)
            first.diff(1, symbol=OTHER)
            await until(lambda: diffs(redis_client, OTHER) == [1], "the symbol again")
        assert diffs(redis_client) == [1]

    run(test)


def test_a_symbol_that_comes_back_at_once_is_not_deleted_after_that(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    async def test() -> None:
        process = Process(redis_server.url())
        async with on_time(process):
            process.diff(1, symbol=OTHER)
            await until(lambda: left(redis_client, OTHER) == 2, "its data")
            remove(process, OTHER)
            await until(lambda: not left(redis_client, OTHER), "nothing of it")
            removed_at = time.monotonic()
            add(process, OTHER)
            process.diff(1, symbol=OTHER)
            process.diff(1)
            await until(lambda: left(redis_client, OTHER) == 2, "its data again")
            await asyncio.sleep(max(removed_at + DELETE_AGAIN_S + 0.3 - time.monotonic(), 0))
            assert diffs(redis_client, OTHER) == [1]
        assert diffs(redis_client) == [1]

    run(test)


def test_a_removal_while_redis_is_away_is_done_when_it_is_back(own_redis_server: Callable[..., EmbeddedRedis]) -> None:
    server = own_redis_server(append_only=True)

    async def test() -> None:
        process = Process(server.url())
        async with on_time(process):
            process.diff(1)
            process.diff(1, symbol=OTHER)
            await process.writer.drain(10)
            server.kill()
            process.diff(2, symbol=OTHER)
            process.diff(2)
            remove(process, OTHER)
            add(process, NEW)
            process.diff(1, symbol=NEW)
            process.diff(3)
            await asyncio.to_thread(server.start)
            with server.client() as client:
                await until(lambda: diffs(client, NEW) == [1], "the new symbol")
                await until(lambda: not left(client, OTHER), "nothing of the other")
                assert diffs(client) == [1, 2, 3]

    run(test)


def test_a_writer_may_follow_nothing(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    async def test() -> None:
        process = Process(redis_server.url(), symbols=())
        async with on_time(process):
            await asyncio.sleep(0.1)
            add(process, SYMBOL)
            process.diff(1)
            await until(lambda: diffs(redis_client) == [1], "its first symbol")
            remove(process, SYMBOL)
            await until(lambda: not left(redis_client, SYMBOL), "nothing of it")

    run(test)
