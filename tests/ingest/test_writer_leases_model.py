"""Several ingests of a market without numbers on a real Redis, over any history of lags, deaths, pauses and lost data."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest
import redis
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.ingest.unnumbered import SYMBOL, Ingest, Market, Reader
from tests.ingest.writing import KEYS
from tickfence.streams.codec import split_id
from tools.local.embedded_redis import EmbeddedRedis

INGESTS = range(3)
HOUR_MS = 3_600_000
ID_BITS = 20

ingests = st.sampled_from(INGESTS)


class WriterMachine(RuleBasedStateMachine):
    """Ingests of which each hears the market at its own pace, and a reader that must never see what the market never was."""

    def __init__(self, client: redis.Redis, url: str) -> None:
        super().__init__()
        self.client, self.url = client, url
        client.flushall()
        self.loop = asyncio.new_event_loop()
        self.now = 1_000.0
        self.market = Market()
        self.market.updates = 10
        self.reader = Reader(client)
        self.ingests = {number: self.new() for number in INGESTS}
        self.running: dict[int, asyncio.Task[None]] = {}
        self.highest_token = 0
        self.replica: dict[bytes, bytes] = {}
        for number in INGESTS:
            self.goes_on(number)

    def new(self) -> Ingest:
        return Ingest(self.url, self.market, monotonic=lambda: self.now)

    def work(self, seconds: float = 0.004) -> None:
        """Let all that run do what is due."""
        for ingest in self.ingests.values():
            ingest.writer.wake()
        self.loop.run_until_complete(asyncio.sleep(seconds))
        for task in self.running.values():
            if task.done():
                task.result()

    @rule(updates=st.integers(1, 12))
    def market_moves(self, updates: int) -> None:
        self.market.updates += updates

    @rule(number=ingests, updates=st.integers(1, 20))
    def hears(self, number: int, updates: int) -> None:
        self.ingests[number].hear(updates)

    @rule()
    def all_hear(self) -> None:
        for ingest in self.ingests.values():
            ingest.hear()

    @rule()
    def all_work(self) -> None:
        self.work()

    @rule(number=ingests)
    def loses_its_book(self, number: int) -> None:
        self.ingests[number].lose_book()

    @rule(number=ingests)
    def loads_its_book(self, number: int) -> None:
        self.ingests[number].sync()

    @rule(number=ingests)
    def pauses(self, number: int) -> None:
        """With all that it was about to write."""
        task = self.running.pop(number, None)
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                self.loop.run_until_complete(task)

    @rule(number=ingests)
    def goes_on(self, number: int) -> None:
        if number not in self.running:
            self.running[number] = self.loop.create_task(self.ingests[number].writer.run())

    @rule(number=ingests)
    def dies_and_starts_again(self, number: int) -> None:
        self.pauses(number)
        self.ingests[number] = self.new()
        self.goes_on(number)

    @rule()
    def lease_runs_out(self) -> None:
        if self.client.exists(KEYS.writer(SYMBOL)):
            self.client.hset(KEYS.writer(SYMBOL), "until", 1)
        self.now += 1.0
        self.work()

    @rule()
    def time_passes(self) -> None:
        self.now += 0.3
        self.work()

    @rule()
    def clock_of_redis_goes_back(self) -> None:
        """So what was written before is from an hour ahead."""
        until = self.client.hget(KEYS.writer(SYMBOL), "until")
        if until:
            token = int(self.client.hget(KEYS.writer(SYMBOL), "token"))
            self.client.hset(KEYS.writer(SYMBOL), mapping={"until": int(until) + HOUR_MS, "token": token})
        self.now += 0.3
        self.work()

    @rule()
    def redis_forgets_its_scripts(self) -> None:
        self.client.script_flush()

    @rule()
    def redis_loses_everything(self) -> None:
        self.client.flushall()
        self.client.script_flush()

    @rule()
    def replica_is_up_to_date(self) -> None:
        self.replica = {key: self.client.dump(key) for key in self.client.scan_iter()}

    @rule()
    def replica_becomes_master(self) -> None:
        self.client.flushall()
        for key, value in self.replica.items():
            self.client.restore(key, 0, value)
        self.highest_token = 0
        self.client.client_kill_filter(_type="normal", skipme=True)

    @rule()
    def redis_loses_the_lease(self) -> None:
        self.client.delete(KEYS.writer(SYMBOL))

    @rule()
    def redis_loses_a_stream(self) -> None:
        self.client.delete(KEYS.book(SYMBOL))

    @invariant()
    def tokens_only_grow(self) -> None:
        token = int(self.client.hget(KEYS.writer(SYMBOL), "token") or 0)
        assert token == 0 or token >= self.highest_token
        self.highest_token = max(self.highest_token, token)

    @invariant()
    def the_reader_sees_the_market_or_nothing(self) -> None:
        self.reader.read()
        Reader(self.client).read()

    @invariant()
    def each_token_writes_one_run(self) -> None:
        quantities: dict[int, int] = {}
        for entry_id, fields in self.client.xrange(KEYS.book(SYMBOL)):
            if fields[b"b"] == b"[]":
                continue
            token = split_id(entry_id)[1] >> ID_BITS
            number = int(float(fields[b"b"].split(b",")[1].strip(b"] ")))
            assert number > quantities.get(token, 0)
            quantities[token] = number

    def teardown(self) -> None:
        """When all is well again, one ingest writes, and the reader has the market as it is."""
        try:
            for number in INGESTS:
                self.goes_on(number)
            deadline, writers = time.monotonic() + 10, 0
            while True:
                assert time.monotonic() < deadline, (
                    f"{self.reader.updates} of {self.market.updates} updates were read, {writers} write"
                )
                self.market.updates += 1
                for ingest in self.ingests.values():
                    if not ingest.books[SYMBOL].in_sync:
                        ingest.sync()
                    ingest.hear()
                self.now += 0.3
                self.work()
                writers = sum(ingest.writes for ingest in self.ingests.values())
                if self.reader.read() == self.market.updates and writers == 1:
                    break
        finally:
            for number in INGESTS:
                self.pauses(number)
            self.loop.close()


def test_ingests_never_mix(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.lane.FLUSH_S", 0.0005)
    monkeypatch.setattr("ingest.keep_connected.FIRST_RETRY_S", 0.001)
    monkeypatch.setattr("ingest.keep_connected.MAXIMUM_RETRY_S", 0.002)
    run_state_machine_as_test(
        lambda: WriterMachine(redis_client, redis_server.url()),
        settings=settings(
            max_examples=15, stateful_step_count=20, deadline=None, report_multiple_bugs=False, phases=[Phase.generate]
        ),
    )
