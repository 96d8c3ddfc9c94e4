"""The writer against real Redis servers that restart, lose their data, freeze, and are shared with a second writer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import count

import pytest
import redis

from ingest.book_sync import BookSync
from ingest.events import Depth, SymbolRules, Ticker
from ingest.holdback import MAXIMUM_WAIT_S, ORDER_S
from ingest.lane import BATCH_ENTRIES
from tests.ingest.writing import (
    KEYS,
    NOW,
    OTHER,
    SYMBOL,
    Process,
    assert_reader_agrees,
    counted,
    diffs,
    reader_book,
    run,
    running,
    trades,
    until,
    until_one_holds_back,
)
from tickfence.keys import Keys
from tickfence.monitoring.ingest_metrics import SnapshotReason
from tickfence.streams import codec
from tools.local.embedded_redis import EmbeddedRedis

CONNECTS = "nt_ingest_redis_connects_total"
DROPPED = "nt_ingest_dropped_total"


def test_entries_arrive_in_order_under_the_exchange_s_ids(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    async def test() -> None:
        process = Process(redis_server.url())
        async with running(process):
            for number in range(1, 1_501):
                process.diff(number)
                process.trade(number)
            await process.writer.drain(10)
        assert diffs(redis_client) == trades(redis_client) == list(range(1, 1_501))
        [(entry_id, fields)] = redis_client.xrange(KEYS.trades(SYMBOL), count=1)
        assert (entry_id, fields) == (
            f"{NOW + 1}-1".encode(),
            {b"p": b"10.5", b"q": b"1", b"s": b"b", b"r": str(NOW).encode()},
        )
        assert_reader_agrees(redis_client, process)

    run(test)


def test_a_snapshot_tells_which_entry_it_includes(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    async def test() -> None:
        process = Process(redis_server.url())
        process.diff(1)
        async with running(process):
            await until(lambda: redis_client.exists(KEYS.snapshot(SYMBOL)), "the snapshot")
        snapshot = codec.decode_snapshot(redis_client.get(KEYS.snapshot(SYMBOL)))
        assert snapshot == codec.Snapshot(
            last_update_id=1, stream_id=f"{NOW + 1}-1", bids=[(10.0, 1.0)], asks=[(20.0, 1.0)], time=NOW
        )
        assert codec.decode_snapshot(redis_client.get(KEYS.snapshot(OTHER))).stream_id == "0-0"

    run(test)


def test_a_book_that_is_out_of_sync_is_not_written(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    async def test() -> None:
        process = Process(redis_server.url())
        process.books[SYMBOL].lose("doubt")
        async with running(process):
            await until(lambda: redis_client.exists(KEYS.snapshot(OTHER)), "the other's snapshot")
        assert not redis_client.exists(KEYS.snapshot(SYMBOL))

    run(test)


def test_ticker_and_info(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    async def test() -> None:
        process = Process(redis_server.url())
        process.writer.set_ticker(Ticker(SYMBOL, "10.5", "-1.5", "11", "9", "1000"))
        process.writer.set_info(SYMBOL, SymbolRules("0.01", "0.001", "trading"))
        async with running(process):
            await until(lambda: redis_client.exists(KEYS.ticker(SYMBOL), KEYS.info(SYMBOL)) == 2, "both hashes")
        ticker = codec.decode_ticker(redis_client.hmget(KEYS.ticker(SYMBOL), codec.TICKER_FIELDS))
        assert ticker is not None
        assert ticker[:5] == (10.5, -1.5, 11.0, 9.0, 1000.0)
        info = codec.decode_info(redis_client.hmget(KEYS.info(SYMBOL), codec.INFO_FIELDS))
        assert info == codec.SymbolInfo(0.01, 0.001, "trading")

    run(test)


def test_ticker_and_info_are_written_again_after_redis_lost_them(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    both = (KEYS.ticker(SYMBOL), KEYS.info(SYMBOL))

    async def test() -> None:
        process = Process(redis_server.url())
        process.writer.set_ticker(Ticker(SYMBOL, "10.5", "-1.5", "11", "9", "1000"))
        process.writer.set_info(SYMBOL, SymbolRules("0.01", "0.001", "trading"))
        async with running(process):
            process.diff(1)
            await until(lambda: redis_client.exists(*both, KEYS.book(SYMBOL)) == 3, "both hashes")
            before = [redis_client.hgetall(key) for key in both]
            redis_client.flushall()
            process.diff(2)  # the market's next data
            await until(lambda: redis_client.exists(*both) == 2, "both hashes again")
            assert [redis_client.hgetall(key) for key in both] == before

    run(test)


@pytest.mark.parametrize("lost", ["flushed", "restarted"])
def test_whatever_is_lost_is_back_each_time(own_redis_server: Callable[..., EmbeddedRedis], lost: str) -> None:
    server = own_redis_server()
    both = (KEYS.ticker(SYMBOL), KEYS.info(SYMBOL))

    async def test() -> None:
        first, second = Process(server.url()), Process(server.url())
        for process in (first, second):
            for symbol in (SYMBOL, OTHER):
                process.writer.set_ticker(Ticker(symbol, "10.5", "-1.5", "11", "9", "1000"))
                process.writer.set_info(symbol, SymbolRules("0.01", "0.001", "trading"))
        async with running(first, second):
            first.writer.want_snapshot(SYMBOL, SnapshotReason.CORRECTED)
            numbers = iter(range(1, 1_000_000))

            def complete(client: redis.Redis) -> bool:
                number = next(numbers)
                for process in (first, second):  # the market's next data
                    process.diff(number)
                    process.trade(number)
                    process.writer.wake()
                all_hashes = (*both, KEYS.ticker(OTHER), KEYS.info(OTHER))
                marked = client.hexists(KEYS.info(SYMBOL), "book_from")
                return marked and client.exists(*all_hashes, KEYS.snapshot(SYMBOL), KEYS.snapshot(OTHER)) == 6

            def hashes(client: redis.Redis) -> list[dict[bytes, bytes]]:
                found = [client.hgetall(key) for key in both]
                found[0].pop(b"r")  # when the ticker came: each process has a time of its own
                return found

            with server.client() as client:
                await until(lambda: complete(client), "everything")
                before = hashes(client)
            for _ in range(3):
                if lost == "flushed":
                    with server.client() as client:
                        client.flushall()
                else:
                    server.stop()
                    await asyncio.to_thread(server.start)
                with server.client() as client:
                    await until(lambda: complete(client), "everything again")
                    assert hashes(client) == before
                    assert_reader_agrees(client, first, OTHER)

    run(test)


def test_two_processes_leave_one_copy_and_the_survivor_goes_on(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    async def test() -> None:
        first, second = Process(redis_server.url()), Process(redis_server.url())
        async with running(second):
            async with running(first):
                for number in range(1, 401):
                    for process in (first, second) if number % 3 else (second, first):
                        process.diff(number)
                        process.trade(number)
                    if number % 7 == 0:
                        await asyncio.sleep(0)
                    if number % 50 == 0:
                        await until(lambda: len(diffs(redis_client)) > 10, "some entries")
            # The first is gone, with whatever it had not sent.
            for number in range(401, 501):
                second.diff(number)
                second.trade(number)
            await second.writer.drain(10)
        assert diffs(redis_client) == trades(redis_client) == list(range(1, 501))
        assert_reader_agrees(redis_client, second)

    run(test)


def test_a_process_that_starts_does_not_overtake_one_that_lags(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    async def test() -> None:
        lagging, newcomer = Process(redis_server.url()), Process(redis_server.url())
        async with running(lagging, newcomer):
            for number in range(1, 11):
                lagging.trade(number)
            await until(lambda: trades(redis_client) == list(range(1, 11)), "the first trades")
            for number in range(21, 31):  # the exchange is at 21 when it starts, the other still at 10
                newcomer.trade(number)
            await until(lambda: newcomer.writer.waiting == 10, "it to wait")
            for number in range(11, 26):
                lagging.trade(number)
                await asyncio.sleep(0.01)
            await until(lambda: trades(redis_client)[-1] == 30, "its own trades")
            for number in range(26, 36):
                lagging.trade(number)
                newcomer.trade(number)
            await newcomer.writer.drain(10)
        assert trades(redis_client) == list(range(1, 36))

    run(test)


def test_time_without_redis_is_no_reason_to_overtake(own_redis_server: Callable[..., EmbeddedRedis]) -> None:
    server = own_redis_server(append_only=True)

    async def test() -> None:
        lagging, newcomer = Process(server.url()), Process(server.url())
        async with running(lagging):
            for number in range(1, 11):
                lagging.trade(number)
            await lagging.writer.drain(10)
        for number in range(11, 26):
            lagging.trade(number)
        async with running(newcomer):
            newcomer.trade(21)
            with server.client() as client:
                await until_one_holds_back(client)
            server.kill()
            away_since, connects = time.monotonic(), counted(CONNECTS)
            await until(lambda: time.monotonic() - away_since > MAXIMUM_WAIT_S, "a time without Redis")
            await asyncio.to_thread(server.start)
            await until(lambda: counted(CONNECTS) > connects, "it to connect")
            async with running(lagging):
                await lagging.writer.drain(10)
                for number in range(22, 27):
                    newcomer.trade(number)
                await newcomer.writer.drain(10)
        with server.client() as client:
            assert trades(client) == list(range(1, 27))

    run(test)


def test_what_waits_for_another_ingest_fits_the_buffer_while_redis_takes_no_writes(
    own_redis_server: Callable[..., EmbeddedRedis],
) -> None:
    server = own_redis_server()

    async def test() -> None:
        first, second = Process(server.url()), Process(server.url(), buffer_entries=50)
        async with running(first):
            first.trade(1)
            await first.writer.drain(10)
        with server.client() as client:
            client.config_set("maxmemory", 1)
            async with running(second):
                connects = counted(CONNECTS)
                for number in range(10, 410):
                    second.trade(number)
                    await asyncio.sleep(0.002)
                    assert second.writer.waiting <= 100
                assert counted(CONNECTS) > connects + 2
                await until(lambda: second.writer.waiting >= 50, "what was sent to be refused, and to wait again")
                client.config_set("maxmemory", 0)
                await until(lambda: trades(client)[-1] == 409, "the last trade")
                assert trades(client) == [1, *range(360, 410)]

    run(test)


def test_more_than_half_of_the_buffer_does_not_wait(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    async def test() -> None:
        first, second = Process(redis_server.url()), Process(redis_server.url(), buffer_entries=50)
        async with running(first):
            first.trade(1)
            await first.writer.drain(10)
        async with running(second):
            for number in range(10, 35):
                second.trade(number)
            await until_one_holds_back(redis_client)
            assert second.writer.waiting == 25
            second.trade(35)
            await until(lambda: trades(redis_client)[-1] == 35, "all to go", timeout_s=MAXIMUM_WAIT_S / 2)
        assert trades(redis_client) == [1, *range(10, 36)]

    run(test)


def test_many_that_waited_go_in_batches_and_in_order(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    async def test() -> None:
        first, second = Process(redis_server.url()), Process(redis_server.url())
        async with running(first):
            first.trade(1)
            await first.writer.drain(10)
            async with running(second):
                for number in range(10, 10 + 2 * BATCH_ENTRIES + 1):
                    second.trade(number)
                await until_one_holds_back(redis_client)
                assert second.writer.waiting == 2 * BATCH_ENTRIES + 1
                for number in range(2, 10):
                    first.trade(number)
                await second.writer.drain(10)
        assert trades(redis_client) == list(range(1, 10 + 2 * BATCH_ENTRIES + 1))

    run(test)


def test_trades_that_no_process_has_are_not_waited_for_without_end(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, caplog: pytest.LogCaptureFixture
) -> None:
    before = counted("nt_ingest_trades_missing_total")

    async def test() -> None:
        first, second = Process(redis_server.url()), Process(redis_server.url())
        async with running(first):
            for number in range(1, 11):
                first.trade(number)
            await first.writer.drain(10)
        async with running(second):
            for number in range(21, 31):
                second.trade(number)
            second.diff(1)  # the book does not wait
            await until(lambda: diffs(redis_client) == [1], "the book")
            assert (trades(redis_client)[-1], second.writer.waiting) == (10, 10)
            await until(lambda: trades(redis_client)[-1] == 30, "the trades")
            second.trade(33)  # a gap right after one for which waiting did not help
            await until(lambda: trades(redis_client)[-1] == 33, "the next trade", timeout_s=MAXIMUM_WAIT_S * 0.75)
        assert trades(redis_client) == [*range(1, 11), *range(21, 31), 33]
        [line] = [record for record in caplog.records if "neither another ingest" in record.message]
        assert (line.__dict__["symbol"], line.__dict__["trades"]) == (SYMBOL, 10)
        assert counted("nt_ingest_trades_missing_total") - before == 12

    run(test)


def test_trades_of_one_connection_that_come_out_of_order_are_appended_in_order(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    missing, copies = counted("nt_ingest_trades_missing_total"), counted("nt_ingest_duplicates_total", where="ingest")
    came = [139, 140, 145, 147, 143, 141, 142, 144, 146, 152, 151, 150, 149, 148, 153]

    async def test() -> None:
        process = Process(redis_server.url())
        async with running(process):
            for number in came:
                process.trade(number, time_ms=NOW)
            await process.writer.drain(10)
            process.trade(156, time_ms=NOW)
            await asyncio.sleep(ORDER_S / 2)
            process.trade(155, time_ms=NOW)
            process.trade(154, time_ms=NOW)
            process.trade(155, time_ms=NOW)
            await process.writer.drain(10)
        assert trades(redis_client) == list(range(139, 157))
        assert counted("nt_ingest_trades_missing_total") == missing
        assert counted("nt_ingest_duplicates_total", where="ingest") - copies == 1

    run(test)


def test_trades_that_nobody_has_are_fetched_from_the_exchange(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    before = counted("nt_ingest_trades_missing_total")

    async def test() -> None:
        asked: list[tuple[str, int, int]] = []
        first = Process(redis_server.url())
        async with running(first):
            for number in range(1, 11):
                first.trade(number)
            await first.writer.drain(10)
        # Started again it knows from the stream alone what it has missed; later, after a lost connection, by itself.
        second = Process(redis_server.url(), fetch_trades=lambda *question: asked.append(question) is None)
        async with running(second):
            for first_new, missing in ((21, 10), (36, 5)):
                numbers = range(first_new, first_new + 10)
                for number in numbers:
                    second.trade(number)
                await until(lambda: asked, "a question for the trades before")
                symbol, first_id, count = asked.pop()
                assert (symbol, first_id, count) == (SYMBOL, numbers[0] - missing, missing)
                second.fetched(range(first_id, first_id + count))
                await second.writer.drain(1)
        assert trades(redis_client) == list(range(1, 46))
        [(entry_id, _)] = redis_client.xrange(KEYS.trades(SYMBOL), f"{NOW + 15}", count=1)
        assert entry_id == f"{NOW + 15}-15".encode(), "under its own time"
        assert counted("nt_ingest_trades_missing_total") == before

    run(test)


def test_a_clock_that_goes_back_leaves_no_hole(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    async def test() -> None:
        first, second = Process(redis_server.url()), Process(redis_server.url())
        async with running(first):
            for number in range(1, 6):
                first.diff(number)
                first.trade(number)
            for number in range(6, 11):
                first.diff(number, time_ms=NOW - 5_000 + number)
                first.trade(number, time_ms=NOW - 5_000 + number)
            await first.writer.drain(10)
        assert diffs(redis_client) == trades(redis_client) == list(range(1, 11))
        # A process that starts now learns the newest id from Redis, and goes on above it.
        for book in second.books.values():
            book.lose("start")
            book.on_depth(Depth(10, [(10.0, 10.0)], [(20.0, 1.0)]), NOW)
        connects = counted(CONNECTS)
        async with running(second):
            await until(lambda: counted(CONNECTS) > connects, "the newest ids")
            second.diff(11, time_ms=NOW - 4_000)
            second.trade(11, time_ms=NOW - 4_000)
            await second.writer.drain(10)
        assert diffs(redis_client) == trades(redis_client) == list(range(1, 12))

    run(test)


@pytest.mark.parametrize("loses_data", [True, False], ids=["empty", "kept"])
def test_after_a_restart_of_redis_everything_is_there_again(
    own_redis_server: Callable[..., EmbeddedRedis], loses_data: bool
) -> None:
    server = own_redis_server(append_only=True)

    async def test() -> None:
        process = Process(server.url())
        async with running(process):
            for number in range(1, 101):
                process.diff(number)
                process.trade(number)
            await process.writer.drain(10)
            if loses_data:
                server.stop()
            else:
                server.kill()
            for number in range(101, 201):
                process.diff(number)
                process.trade(number)
            await asyncio.to_thread(server.start)
            await process.writer.drain(10)
            with server.client() as client:
                await until(lambda: client.exists(KEYS.snapshot(SYMBOL), KEYS.snapshot(OTHER)) == 2, "the snapshots")
                assert diffs(client) == trades(client) == list(range(101 if loses_data else 1, 201))
                assert_reader_agrees(client, process)
                assert_reader_agrees(client, process, OTHER)

    run(test)


def test_a_stream_lost_under_an_open_connection_is_noticed_and_all_books_are_written_again(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    async def test() -> None:
        process = Process(redis_server.url())
        async with running(process):
            process.diff(1)
            process.diff(1, symbol=OTHER)
            process.trade(1)
            await process.writer.drain(10)
            redis_client.flushall()
            process.diff(2)
            process.trade(2)
            await until(lambda: redis_client.exists(KEYS.snapshot(SYMBOL), KEYS.snapshot(OTHER)) == 2, "the snapshots")
            await process.writer.drain(10)
        assert diffs(redis_client) == trades(redis_client) == [2]
        assert_reader_agrees(redis_client, process)
        assert_reader_agrees(redis_client, process, OTHER)

    run(test)


def test_a_stream_lost_while_away_is_noticed_though_the_snapshot_is_there(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    async def test() -> None:
        process = Process(redis_server.url())
        async with running(process):
            await until(lambda: redis_client.exists(KEYS.snapshot(SYMBOL)), "the first snapshot")
            for number in range(1, 6):
                process.diff(number)
            await process.writer.drain(10)
            redis_client.delete(KEYS.book(SYMBOL))
            [ours] = [client for client in redis_client.client_list() if client["name"] == "ingest"]
            redis_client.client_kill_filter(_id=ours["id"])
            process.diff(6)
            await until(
                lambda: codec.decode_snapshot(redis_client.get(KEYS.snapshot(SYMBOL))).last_update_id == 6,
                "the book written again",
            )

    run(test)


def test_what_does_not_fit_the_buffer_is_counted_and_the_book_is_written_again(
    own_redis_server: Callable[..., EmbeddedRedis],
) -> None:
    server = own_redis_server(append_only=True)

    async def test() -> None:
        process = Process(server.url(), buffer_entries=20)
        async with running(process):
            for number in range(1, 11):
                process.diff(number)
            await process.writer.drain(10)
            server.kill()
            before = counted(DROPPED, reason="buffer_full")
            for number in range(11, 111):
                process.diff(number)
            await asyncio.to_thread(server.start)
            await process.writer.drain(10)
            with server.client() as client:
                found = diffs(client)
                assert counted(DROPPED, reason="buffer_full") - before == 110 - len(found) > 0
                assert found[-20:] == list(range(91, 111))
                await until(
                    lambda: codec.decode_snapshot(client.get(KEYS.snapshot(SYMBOL))).last_update_id == 110,
                    "the book written again",
                )
                assert_reader_agrees(client, process)

    run(test)


def test_a_frozen_redis_costs_nothing(own_redis_server: Callable[..., EmbeddedRedis]) -> None:
    server = own_redis_server()

    async def test() -> None:
        process = Process(server.url())
        async with running(process):
            for number in range(1, 51):
                process.diff(number)
            await process.writer.drain(10)
            server.pause()
            for number in range(51, 151):
                process.diff(number)
            # Long enough for the batch to be given up: it may have been carried out, and is sent again.
            await until(lambda: process.writer.waiting == 100, "the batch put back")
            server.resume()
            await process.writer.drain(10)
            with server.client() as client:
                assert diffs(client) == list(range(1, 151))
                assert_reader_agrees(client, process)

    run(test)


def test_what_was_on_its_way_when_the_writer_was_stopped_waits_again(
    own_redis_server: Callable[..., EmbeddedRedis],
) -> None:
    async def test() -> None:
        server = own_redis_server()
        process = Process(server.url())
        async with running(process):
            process.diff(1)
            await process.writer.drain(10)
            server.pause()
            for number in range(2, 12):
                process.diff(number)
            await until(lambda: process.writer.waiting == 0, "the batch on its way")
        assert process.writer.waiting == 10
        server.resume()
        async with running(process):
            await process.writer.drain(10)
            with server.client() as client:
                assert diffs(client) == [*range(1, 12)]

    run(test)


def test_an_exchange_that_numbers_from_the_start_again_replaces_stream_and_snapshot(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    async def test() -> None:
        process = Process(redis_server.url())
        async with running(process):
            process.books[SYMBOL].lose("test")
            process.books[SYMBOL].on_depth(Depth(9_000, [(10.0, 1.0)], [(20.0, 1.0)]), NOW)
            for number in range(9_001, 9_006):
                process.diff(number)
            process.writer.want_snapshot(SYMBOL, "interval")
            await process.writer.drain(10)
            await until(
                lambda: codec.decode_snapshot(redis_client.get(KEYS.snapshot(SYMBOL))).last_update_id == 9_005,
                "a snapshot of the old count",
            )
            fresh = BookSync(SYMBOL)
            fresh.on_depth(Depth(50, [(11.0, 1.0)], [(20.0, 1.0)]), NOW)
            process.books[SYMBOL] = fresh
            process.writer.want_snapshot(SYMBOL, "sync")
            for number in range(51, 54):
                process.diff(number, time_ms=NOW + 20_000 + number)
            await process.writer.drain(10)
            await until(
                lambda: codec.decode_snapshot(redis_client.get(KEYS.snapshot(SYMBOL))).last_update_id < 100,
                "the snapshot replaced",
            )
        assert diffs(redis_client) == [51, 52, 53]
        assert_reader_agrees(redis_client, process)

    run(test)


def test_a_corrected_book_replaces_what_is_stored_and_tells_from_which_update_on(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    async def test() -> None:
        process = Process(redis_server.url())
        later = NOW + 50  # another ingest has heard more
        wrong = codec.Snapshot(last_update_id=7, stream_id="0-0", bids=[(9.0, 1.0)], asks=[], time=later)
        redis_client.set(KEYS.snapshot(SYMBOL), codec.encode_snapshot(wrong))
        async with running(process):
            process.diff(1)
            process.writer.want_snapshot(SYMBOL, SnapshotReason.CORRECTED)
            await until(lambda: redis_client.hget(KEYS.info(SYMBOL), "book_from"), "the mark")
        stored = codec.decode_snapshot(redis_client.get(KEYS.snapshot(SYMBOL)))
        assert stored.last_update_id == int(redis_client.hget(KEYS.info(SYMBOL), "book_from")) == 1
        assert_reader_agrees(redis_client, process)
        assert not redis_client.hexists(KEYS.info(OTHER), "book_from")

    run(test)


def test_a_snapshot_tells_how_far_the_book_is_known(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    async def test() -> None:
        process = Process(redis_server.url())
        book = process.books[SYMBOL]
        book.lose("test")
        book.on_depth(Depth(50, [(11.0, 1.0)], [(20.0, 1.0)], 11.0, 20.0), NOW)
        async with running(process):
            await until(lambda: redis_client.exists(KEYS.snapshot(SYMBOL)), "the snapshot")
        stored = codec.decode_snapshot(redis_client.get(KEYS.snapshot(SYMBOL)))
        assert (stored.lowest_bid, stored.highest_ask) == (11.0, 20.0)

    run(test)


def test_without_permission_to_delete_everything_waits_and_nothing_is_lost(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        process = Process(redis_server.url().replace("://", "://appender:secret@", 1))
        async with running(process):
            process.diff(1)
            process.diff(2)
            await process.writer.drain(10)
            fresh = BookSync(SYMBOL)
            fresh.on_depth(Depth(0, [(11.0, 1.0)], [(20.0, 1.0)]), NOW)
            process.books[SYMBOL] = fresh
            process.diff(1, time_ms=NOW + 20_000)
            process.diff(2, time_ms=NOW + 20_001)

            def said() -> bool:
                return any("'del' command" in getattr(record, "error", "") for record in caplog.records)

            await until(said, "a line in the log")
            assert process.writer.waiting > 0
            redis_client.execute_command("ACL", "SETUSER", "appender", "+del")
            await process.writer.drain(10)
            assert diffs(redis_client) == [1, 2]
            await until(lambda: reader_book(redis_client).last_update_id == 2, "the new book")
            assert_reader_agrees(redis_client, process)

    redis_client.execute_command("ACL", "SETUSER", "appender", "on", ">secret", "~*", "&*", "+@all", "-del")
    try:
        run(test)
    finally:
        redis_client.execute_command("ACL", "DELUSER", "appender")


def test_without_permission_to_append_everything_waits_and_nothing_is_lost(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    refused, missing = counted(DROPPED, reason="redis_error"), counted("nt_ingest_trades_missing_total")

    async def test() -> None:
        process = Process(redis_server.url().replace("://", "://appender:secret@", 1))
        async with running(process):
            process.diff(1)
            process.trade(1)
            await process.writer.drain(10)
            redis_client.execute_command("ACL", "SETUSER", "appender", "-xadd")
            connects = counted(CONNECTS)
            for number in count(2):
                process.diff(number)
                process.trade(number)
                await asyncio.sleep(0.01)
                if counted(CONNECTS) > connects + 5:
                    break
            assert len(trades(redis_client)) < number
            redis_client.execute_command("ACL", "SETUSER", "appender", "+xadd")
            await process.writer.drain(10)
            assert diffs(redis_client) == trades(redis_client) == list(range(1, number + 1))
            assert_reader_agrees(redis_client, process)

    redis_client.execute_command("ACL", "SETUSER", "appender", "on", ">secret", "~*", "&*", "+@all")
    try:
        run(test)
    finally:
        redis_client.execute_command("ACL", "DELUSER", "appender")
    assert (counted(DROPPED, reason="redis_error"), counted("nt_ingest_trades_missing_total")) == (refused, missing)


def test_while_another_program_s_script_keeps_redis_busy_everything_waits_and_nothing_is_lost(
    own_redis_server: Callable[..., EmbeddedRedis],
) -> None:
    server = own_redis_server()
    refused, missing = counted(DROPPED, reason="redis_error"), counted("nt_ingest_trades_missing_total")
    spin = "local t = redis.call('TIME')[1] + 3 while tonumber(redis.call('TIME')[1]) < t do end"

    async def test() -> None:
        first, second = Process(server.url()), Process(server.url())
        async with running(first, second):
            with server.client() as client:
                client.config_set("lua-time-limit", 200)
                busy = asyncio.create_task(asyncio.to_thread(client.eval, spin, 0))
                number = 0
                while not busy.done():
                    number += 1
                    for process in (first, second):
                        process.diff(number)
                        process.trade(number)
                    if number % 50 == 0:
                        first.writer.want_snapshot(SYMBOL, "interval")
                    await asyncio.sleep(0.01)
                await asyncio.gather(first.writer.drain(10), second.writer.drain(10))
                assert diffs(client) == trades(client) == list(range(1, number + 1))
                assert_reader_agrees(client, first)

    run(test)
    assert (counted(DROPPED, reason="redis_error"), counted("nt_ingest_trades_missing_total")) == (refused, missing)


def test_a_write_that_redis_refuses_is_counted_and_the_others_go_on(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    async def test() -> None:
        process = Process(redis_server.url())
        async with running(process):
            process.diff(1)
            await process.writer.drain(10)
            redis_client.set(KEYS.trades(SYMBOL), "not a stream")
            before = counted(DROPPED, reason="redis_error")
            process.trade(1)
            process.diff(2)
            await process.writer.drain(10)
            assert counted(DROPPED, reason="redis_error") - before == 1
        assert diffs(redis_client) == [1, 2]

    run(test)


def test_a_key_that_is_no_stream_when_ingest_starts_stops_its_own_data_only(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    async def test() -> None:
        redis_client.set(KEYS.trades(SYMBOL), "not a stream")
        before = counted(DROPPED, reason="redis_error")
        process = Process(redis_server.url())
        async with running(process):
            process.trade(1)
            process.diff(1)
            process.diff(1, symbol=OTHER)
            await process.writer.drain(10)
        assert diffs(redis_client) == diffs(redis_client, OTHER) == [1]
        assert counted(DROPPED, reason="redis_error") - before == 1

    run(test)


def test_every_key_is_the_deployments_own(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    async def test() -> None:
        process, other = Process(redis_server.url(), keys=Keys("staging")), Process(redis_server.url())
        for one in (process, other):
            one.writer.set_ticker(Ticker(SYMBOL, "10.5", "-1.5", "11", "9", "1000"))
            one.writer.set_info(SYMBOL, SymbolRules("0.01", "0.001", "trading"))
        async with running(process):
            process.diff(1)
            process.trade(1)
            await process.writer.drain(10)
            await until(lambda: len(redis_client.keys()) == 6, "every kind of key")
            assert all(key.startswith(b"staging:md:") for key in redis_client.keys("*"))
            async with running(other):  # the other deployment starts from nothing
                other.trade(7)
                await other.writer.drain(10)
        assert trades(redis_client) == [7]

    run(test)


def test_trades_older_than_31_minutes_and_diffs_older_than_three_intervals_go(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    minute = 60_000

    async def test() -> None:
        process = Process(redis_server.url(), interval_ms=1_000)
        async with running(process):
            for number in range(1, 501):
                process.trade(number, time_ms=NOW + number)
                process.diff(number, time_ms=NOW + number)
            await process.writer.drain(10)
            process.trade(501, time_ms=NOW + 31 * minute)
            process.diff(501, time_ms=NOW + 2_000)
            await process.writer.drain(10)
            assert (len(trades(redis_client)), len(diffs(redis_client))) == (501, 501)
            process.trade(502, time_ms=NOW + 32 * minute)
            process.diff(502, time_ms=NOW + 4_000)
            await process.writer.drain(10)
        # A stream drops whole nodes of 100 entries.
        assert len(trades(redis_client)) <= 102
        assert len(diffs(redis_client)) <= 102

    run(test)


def test_diffs_tell_what_is_known_of_the_trades_before_them(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    async def test() -> None:
        process = Process(redis_server.url())
        async with running(process):
            process.trade(1)
            await until(lambda: trades(redis_client) == [1], "the first trade of all, which waits")
            process.diff(1)
            process.diff(2)
            process.trade(3)
            process.diff(3)
            process.trade(2)
            process.diff(4)
            process.writer.on_connection_lost([SYMBOL])
            process.diff(5)
            process.diff(6)
            await until(lambda: diffs(redis_client) == [1, 2, 3, 4, 5, 6], "all diffs")
        entries = redis_client.xrange(KEYS.book(SYMBOL))
        known = [codec.decode_diff(entry_id, fields).trades.name for entry_id, fields in entries]
        assert known == ["BROKEN", "KNOWN", "HELD", "KNOWN", "BROKEN", "KNOWN"]

    run(test)


def test_a_diff_of_an_earlier_version_says_nothing_of_trades(redis_client: redis.Redis) -> None:
    redis_client.xadd(KEYS.book(SYMBOL), {"U": 1, "b": "[]", "a": "[]", "r": NOW}, id=f"{NOW}-1")
    [(entry_id, fields)] = redis_client.xrange(KEYS.book(SYMBOL))
    assert codec.decode_diff(entry_id, fields).trades is codec.TradesUpTo.KNOWN
