"""The writer where Redis is more than one server: behind Sentinel, and on a Redis Cluster of three masters."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from itertools import count, islice

import pytest
import redis

from ingest.book_sync import BookSync
from ingest.events import Depth, SymbolRules, Ticker
from ingest.outbox import DELETE_AGAIN_S
from tests.ingest.writing import (
    KEYS,
    NOW,
    SYMBOL,
    Process,
    assert_reader_agrees,
    counted,
    diffs,
    run,
    running,
    trades,
    until,
)
from tests.redis_groups import ClusterGroup, SentinelGroup, Server
from tools.local import ports

SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "ADAUSDT", "DOTUSDT")


def dropped() -> float:
    return sum(counted("nt_ingest_dropped_total", reason=reason) for reason in ("buffer_full", "redis_error"))


def write(process: Process, numbers: Sequence[int], symbols: Sequence[str] = SYMBOLS) -> None:
    for number in numbers:
        for symbol in symbols:
            process.diff(number, symbol=symbol)


@pytest.mark.parametrize("order", ["kill", "demote"])
def test_after_a_failover_by_sentinel_the_writer_goes_on_with_the_new_master(order: str) -> None:
    async def test() -> None:
        # In front of the Sentinel that answers, one that nobody listens for and one that accepts and says nothing.
        silent = await asyncio.start_server(lambda *_: asyncio.sleep(0), ports.LOOPBACK, 0)
        silent_port = silent.sockets[0].getsockname()[1]
        with SentinelGroup() as group, redis.Redis(port=group.second.port, db=1) as second:
            before = (f"{ports.LOOPBACK}:{ports.pick()}", f"{ports.LOOPBACK}:{silent_port}")
            process = Process(group.url(1, *before))
            async with running(process):
                write(process, range(1, 101), [SYMBOL])
                await process.writer.drain(10)
                await until(lambda: diffs(second) == [*range(1, 101)], "the replica in step")
                if order == "kill":
                    group.first.kill()
                else:
                    group.sentinel.client.execute_command("SENTINEL", "FAILOVER", "mymaster")
                write(process, range(101, 201), [SYMBOL])
                await asyncio.to_thread(group.wait_for_promotion)
                if order == "demote":  # Sentinel itself does so within some ten seconds
                    group.first.client.replicaof(ports.LOOPBACK, group.second.port)
                write(process, range(201, 301), [SYMBOL])
                await until(lambda: diffs(second)[-1] == 300, "the newest at the new master")
            if order == "kill":  # a master that is demoted alive may have taken some that the other never got
                assert diffs(second) == [*range(1, 301)]
            assert_reader_agrees(second, process)
        silent.close()

    was = dropped()
    run(test)
    assert dropped() == was


def test_a_master_that_turns_replica_is_away_until_it_is_master_again() -> None:
    async def test() -> None:
        with SentinelGroup() as group:
            process = Process(f"redis://{ports.LOOPBACK}:{group.second.port}/0")
            async with running(process):
                write(process, range(1, 51), [SYMBOL])
                await until(lambda: process.writer.waiting == 50, "a batch refused and put back")
                assert group.second.client.dbsize() == 0
                group.sentinel.kill()
                group.second.client.replicaof("NO", "ONE")
                await until(lambda: diffs(group.second.client) == [*range(1, 51)], "all of it written")

    was = dropped()
    run(test)
    assert dropped() == was


def test_each_symbol_s_data_go_to_its_master_in_order() -> None:
    async def test() -> None:
        with ClusterGroup() as group:
            assert {group.master_of(symbol) for symbol in SYMBOLS} == {0, 1, 2}
            process = Process(group.url, symbols=SYMBOLS)
            for symbol in SYMBOLS:
                process.writer.set_info(symbol, SymbolRules("0.01", "0.001", "trading"))
                process.writer.set_ticker(Ticker(symbol, "10.5", "-1.5", "11", "9", "1000"))
            async with running(process):
                for number in range(1, 501):
                    write(process, [number])
                    process.trade(number)
                    if number % 100 == 0:
                        await asyncio.sleep(0)
                await process.writer.drain(10)
                for symbol in SYMBOLS:
                    await until(lambda s=symbol: reader_has(group, process, s), f"the book of {symbol}")
                    assert diffs(group.client, symbol) == [*range(1, 501)]
                    assert group.client.exists(KEYS.info(symbol))
                    assert group.client.exists(KEYS.ticker(symbol))
                assert trades(group.client) == [*range(1, 501)]

    run(test)


def writers(master: Server) -> int:
    """Connections of ingest."""
    return sum(client["name"] == "ingest" for client in master.client.client_list())


def served(group: ClusterGroup, symbol: str) -> list[int]:
    """The diffs as a reader gets them: none while the cluster does not serve the symbol's slot."""
    try:
        return diffs(group.client, symbol)
    except (redis.exceptions.ClusterDownError, redis.ConnectionError):
        return []


def reader_has(group: ClusterGroup, process: Process, symbol: str) -> bool:
    """Whether the snapshot is there; then a reader must make the true book of it."""
    if not group.client.exists(KEYS.snapshot(symbol)):
        return False
    assert_reader_agrees(group.client, process, symbol)
    return True


def test_nothing_is_lost_or_out_of_order_when_a_symbol_moves_to_another_master() -> None:
    async def test() -> None:
        with ClusterGroup() as group:
            process = Process(group.url, symbols=SYMBOLS)
            async with running(process):
                write(process, range(1, 101))
                await process.writer.drain(10)
                target = group.masters[(group.master_of(SYMBOL) + 1) % 3]
                moving = asyncio.create_task(asyncio.to_thread(group.move, SYMBOL, target))
                number = 100
                while not moving.done():
                    number += 1
                    write(process, [number])
                    await asyncio.sleep(0.001)
                await moving
                write(process, range(number + 1, number + 101))
                for symbol in SYMBOLS:
                    await until(lambda s=symbol: diffs(group.client, s)[-1] == number + 100, f"the last of {symbol}")
                    assert diffs(group.client, symbol) == [*range(1, number + 101)]
                assert target.client.exists(KEYS.book(SYMBOL))
                assert_reader_agrees(group.client, process)

    was = dropped()
    run(test)
    assert dropped() == was


def test_a_process_that_starts_does_not_overtake_one_that_lags_on_a_cluster() -> None:
    async def test() -> None:
        with ClusterGroup() as group:
            lagging, newcomer = Process(group.url, symbols=SYMBOLS), Process(group.url, symbols=SYMBOLS)
            async with running(lagging):
                for number in range(1, 11):
                    lagging.trade(number)
                await lagging.writer.drain(10)
                for number in range(21, 31):
                    newcomer.trade(number)  # before it knows the cluster
                async with running(newcomer):
                    await until(lambda: all(writers(master) >= 2 for master in group.masters), "both at each master")
                    for number in range(11, 26):
                        lagging.trade(number)
                        await asyncio.sleep(0.02)
                    await newcomer.writer.drain(10)
                assert trades(group.client) == list(range(1, 31))

    run(test)


def test_symbols_come_and_go_on_a_cluster() -> None:
    *stay, gone, new = SYMBOLS

    async def test() -> None:
        with ClusterGroup() as group:
            process = Process(group.url, symbols=[*stay, gone])
            async with running(process):
                numbers = count(1)
                for number in islice(numbers, 50):
                    for symbol in (*stay, gone):
                        process.diff(number, symbol=symbol)
                process.books[new] = BookSync(new)
                process.books[new].on_depth(Depth(0, [(10.0, 1.0)], [(20.0, 1.0)]), NOW)
                process.writer.add([new])
                process.writer.want_snapshot(new, "sync")
                process.diff(1, symbol=new)
                for number in islice(numbers, 50):
                    for symbol in (*stay, gone):
                        process.diff(number, symbol=symbol)
                    await asyncio.sleep(0)
                del process.books[gone]
                process.writer.remove([gone])

                def settled() -> bool:
                    for symbol in stay:
                        process.diff(next_number[symbol], symbol=symbol)
                        next_number[symbol] += 1
                    process.writer.wake()
                    return not group.client.exists(*KEYS.market_data(gone)) and diffs(group.client, new) == [1]

                next_number = dict.fromkeys(stay, next(numbers))
                until_at = time.monotonic() + DELETE_AGAIN_S + 0.5
                await until(lambda: settled() and time.monotonic() > until_at, "nothing of the removed one")
                await process.writer.drain(10)
                for symbol in stay:
                    await until(lambda s=symbol: reader_has(group, process, s), f"the book of {symbol}")
                    assert diffs(group.client, symbol) == [*range(1, next_number[symbol])]

    was = dropped()
    run(test)
    assert dropped() == was


def test_a_frozen_master_holds_up_its_own_symbols_only() -> None:
    async def test() -> None:
        with ClusterGroup(full_coverage=False) as group:
            process = Process(group.url, symbols=SYMBOLS)
            frozen = group.masters[group.master_of(SYMBOL)]
            others = [s for s in SYMBOLS if group.master_of(s) != group.master_of(SYMBOL)]
            async with running(process):
                write(process, range(1, 101))
                await process.writer.drain(10)
                frozen.process.send_signal(signal.SIGSTOP)
                write(process, range(101, 201))
                for symbol in others:
                    await until(lambda s=symbol: diffs(group.client, s)[-1] == 200, f"{symbol} to go on")
                frozen.process.send_signal(signal.SIGCONT)
                for symbol in SYMBOLS:
                    await until(lambda s=symbol: served(group, s) == [*range(1, 201)], f"all of {symbol}", 20)

    was = dropped()
    run(test)
    assert dropped() == was


def test_a_killed_master_s_symbols_go_on_at_its_replica() -> None:
    async def test() -> None:
        with ClusterGroup(replica=True) as group:
            assert group.replica is not None
            replica = group.replica.client
            process = Process(group.url, symbols=SYMBOLS)
            own = [s for s in SYMBOLS if group.master_of(s) == 0]
            async with running(process):
                write(process, range(1, 101))
                await process.writer.drain(10)
                copied = group.masters[0].client.dbsize()
                await until(lambda: replica.dbsize() == copied, "the replica in step")
                await asyncio.to_thread(group.masters[0].client.wait, 1, 5000)
                group.masters[0].kill()
                write(process, range(101, 201))
                await until(lambda: replica.role()[0] == b"master", "the replica's promotion", 20)
                write(process, range(201, 301))
                for symbol in own:
                    await until(lambda s=symbol: diffs(replica, s) == [*range(1, 301)], f"all of {symbol}")

    was = dropped()
    run(test)
    assert dropped() == was
