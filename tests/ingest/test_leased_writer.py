"""A symbol that one ingest writes at a time, on a real Redis: what the others begin with, and what is given back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
import redis

from ingest.events import SymbolRules, Ticker
from tests.ingest.unnumbered import SYMBOL, Ingest, Market, Reader
from tests.ingest.writing import KEYS, counted, ids, run, running, until
from tickfence.keys import Keys
from tools.local.embedded_redis import EmbeddedRedis

TTL_S = 1.0
"""Longer than any lease lasts."""


class World:
    """A market, ingests of it, and a reader."""

    def __init__(self, client: redis.Redis, url: str) -> None:
        self.client, self.url = client, url
        self.ahead_s = 0.0
        self.market = Market()
        self.reader = Reader(client)
        self.ingests: list[Ingest] = []

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s

    def ingest(self, *, trade_ids: bool = True) -> Ingest:
        self.ingests.append(Ingest(self.url, self.market, monotonic=self.monotonic, trade_ids=trade_ids))
        return self.ingests[-1]

    def moves(self, updates: int, *heard_by: Ingest) -> None:
        self.market.updates += updates
        for ingest in heard_by:
            ingest.hear()

    def trades(self) -> list[int]:
        """The exchange's numbers of the trades in the stream: a trade of this market has its number as its quantity."""
        return [int(fields[b"q"]) for _, fields in self.client.xrange(KEYS.trades(SYMBOL))]

    def lease_is_over(self) -> None:
        """Because who had it did not renew it, and others may ask."""
        self.client.hset(KEYS.writer(SYMBOL), "until", 1)
        self.ahead_s += TTL_S

    async def until(self, condition: Callable[[], object], what: str) -> None:
        def met() -> object:
            for ingest in self.ingests:
                ingest.writer.wake()
            return condition()

        await until(met, what)

    async def until_overtaken(self, by: Ingest, within_s: float) -> bool:
        """Let up to so much time pass; return whether ``by`` writes then."""
        end = self.ahead_s + within_s
        while self.ahead_s < end and not by.writes:
            self.ahead_s += 0.1
            for ingest in self.ingests:
                ingest.writer.wake()
            await asyncio.sleep(0.01)
        return by.writes

    async def until_read(self) -> None:
        await self.until(lambda: self.reader.read() == self.market.updates, "the market as it is")


@pytest.fixture
def world(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> Iterator[World]:
    return World(redis_client, redis_server.url())


Test = Callable[[], Awaitable[None]]


@pytest.mark.parametrize("trade_ids", [True, False])
def test_a_new_writer_begins_with_its_book_and_the_trades_that_are_missing(world: World, trade_ids: bool) -> None:
    async def test() -> None:
        first, second = world.ingest(trade_ids=trade_ids), world.ingest(trade_ids=trade_ids)
        async with running(first):
            await world.until(lambda: first.writes, "the first")
            world.moves(5, first, second)
            await world.until_read()
        world.moves(7, first, second)  # nobody writes these
        world.lease_is_over()
        async with running(second):
            await world.until_read()
            await world.until(lambda: world.trades() == list(range(1, 13)), "each trade once")

    run(test)


def test_what_was_on_its_way_when_another_took_over_is_refused(world: World) -> None:
    async def test() -> None:
        first, second = world.ingest(), world.ingest()
        async with running(first):
            await world.until(lambda: first.writes, "the first")
            world.moves(3, first, second)
            await world.until_read()
        world.moves(4, first)  # what the first has, and the second will hear
        fenced = counted("nt_ingest_fenced_total")
        async with running(second):
            world.lease_is_over()
            await world.until(lambda: second.writes, "the second")
            second.hear()
            await world.until_read()
            before = ids(world.client, KEYS.book(SYMBOL))
            async with running(first):
                await world.until(lambda: not first.writes, "the first to know")
            assert ids(world.client, KEYS.book(SYMBOL)) == before
            assert counted("nt_ingest_fenced_total") > fenced
            assert world.trades() == list(range(1, 8))

    run(test)


def test_small_values_are_the_writers(world: World) -> None:
    def set_values(ingest: Ingest, last: str) -> None:
        ingest.writer.set_ticker(Ticker(SYMBOL, last, "1", "1", "1", "1"))
        ingest.writer.set_info(SYMBOL, SymbolRules("0.01", last, "trading"))

    def stored() -> tuple[bytes | None, bytes | None]:
        return world.client.hget(KEYS.ticker(SYMBOL), "last"), world.client.hget(KEYS.info(SYMBOL), "step_size")

    async def test() -> None:
        first, second = world.ingest(), world.ingest()
        async with running(first):
            await world.until(lambda: first.writes, "the first")
            async with running(second):
                set_values(second, "2")
                set_values(first, "1")
                await world.until(lambda: stored() == (b"1", b"1"), "those of the first")
                assert stored() == (b"1", b"1")
        async with running(second):
            world.lease_is_over()
            await world.until(lambda: stored() == (b"2", b"2"), "those of the second")

    run(test)


def test_a_writer_that_is_cut_off_from_its_exchange_is_overtaken_within_a_second(world: World) -> None:
    async def test() -> None:
        first, second = world.ingest(), world.ingest()
        async with running(first):
            await world.until(lambda: first.writes, "the first")
            async with running(second):
                world.moves(5, first, second)
                await world.until_read()
                assert not await world.until_overtaken(second, 1.5), "nobody has heard more"
                world.moves(5, second)
                assert await world.until_overtaken(second, 1.0)
                await world.until_read()
                await world.until(lambda: not first.writes, "the first to know")
                first.hear()
                world.moves(5, first)
                assert not await world.until_overtaken(first, 3.0), "not at once again"
                assert await world.until_overtaken(first, 3.0), "but when the second stays behind"
                await world.until_read()

    run(test)


def test_who_has_lost_its_own_book_overtakes_nobody(world: World) -> None:
    async def test() -> None:
        first, second = world.ingest(), world.ingest()
        async with running(first):
            await world.until(lambda: first.writes, "the first")
            async with running(second):
                world.moves(9, second)
                second.lose_book()
                assert not await world.until_overtaken(second, 1.5)

    run(test)


def test_who_stops_in_order_gives_its_lease_back_after_its_last_entry(world: World) -> None:
    async def test() -> None:
        first, second = world.ingest(), world.ingest()
        async with running(first):
            await world.until(lambda: first.writes, "the first")
            world.moves(3, first, second)
            await first.writer.drain(5)
        assert world.client.hget(KEYS.writer(SYMBOL), "owner") == b""
        assert world.trades() == [1, 2, 3]
        async with running(second):
            await world.until_read()

    run(test)


def test_nothing_is_lost_when_redis_loses_everything(world: World) -> None:
    async def test() -> None:
        one = world.ingest()
        async with running(one):
            world.moves(3, one)
            await world.until_read()
            world.client.flushall()
            world.moves(4, one)
            world.reader = Reader(world.client)
            await world.until_read()
            assert world.trades()[-4:] == [4, 5, 6, 7]

    run(test)


def test_a_symbol_that_is_removed_leaves_no_lease(world: World) -> None:
    async def test() -> None:
        one = world.ingest()
        async with running(one):
            world.moves(3, one)
            await world.until_read()
            del one.books[SYMBOL]
            one.writer.remove([SYMBOL])
            await world.until(lambda: not world.client.exists(*Keys().market_data(SYMBOL)), "nothing of it")

    run(test)


def test_numbers_that_run_out_go_on_under_a_new_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.writer_leases.NEW_TOKEN_AT", 4)

    async def test() -> None:
        one = world.ingest(trade_ids=False)
        async with running(one):
            for _ in range(20):
                world.moves(1, one)
                await world.until_read()
        tokens = {number >> 20 for number in ids(world.client, KEYS.book(SYMBOL))}
        assert len(tokens) > 1
        assert world.trades() == list(range(1, 21))

    run(test)


def test_a_book_whose_numbers_begin_anew_is_written_under_a_new_token(world: World) -> None:
    async def test() -> None:
        one = world.ingest()
        async with running(one):
            world.moves(3, one)
            await world.until_read()
            one.start_book_again()
            world.moves(2, one)
            await world.until_read()

    run(test)


def test_numbers_that_trades_are_given_tell_when_some_may_have_been_missed(world: World) -> None:
    async def test() -> None:
        one = world.ingest(trade_ids=False)
        async with running(one):
            await world.until(lambda: one.writes, "the lease")
            world.moves(2, one)
            one.writer.on_connection_lost([SYMBOL])
            world.moves(2, one)
            await world.until(lambda: len(world.trades()) == 4, "all trades")
        first, *others = ids(world.client, KEYS.trades(SYMBOL))
        assert [number - first for number in others] == [1, 3, 4]

    run(test)
