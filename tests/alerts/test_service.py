"""The role in this process: rules over planted reports, a real Redis, and targets that answer when the test says so."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis

from tickfence.alerts import service
from tickfence.alerts.firing import Firing, Kind, Message, Outcome
from tickfence.alerts.rules import Rule, Rules, Target
from tickfence.alerts.service import AT_ONCE, Alerts
from tickfence.keys import Keys
from tickfence.readers.reader import Reader, Reports
from tickfence.settings import Settings
from tools.local.embedded_redis import EmbeddedRedis

KEYS = Keys()
SYMBOLS = [f"S{number}USDT" for number in range(3 * AT_ONCE)]


class Told:
    """What the targets were told. Each message for the target `slow` waits for `answer`."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str, Kind]] = []
        self.answer = asyncio.Event()

    async def attempt(self, firing: Firing, message: Message) -> Outcome:
        self.messages.append((message.target, firing.symbol, message.kind))
        if message.target == "slow":
            await self.answer.wait()
        return Outcome.ACCEPTED

    async def close(self) -> None:
        """Nothing."""

    def of(self, target: str) -> list[tuple[str, Kind]]:
        return [(symbol, kind) for of, symbol, kind in self.messages if of == target]


def plant(client: redis.Redis, symbols: list[str], spread: float) -> None:
    now_ms = int(time.time() * 1000)
    flows = {"status": "ok", "fresh": True, "exchange_time": now_ms, "last_update": now_ms}
    about = {"schemaVersion": "2.0", "updatedAt": now_ms, "venue": "v", "ingestion": flows, "spread_bps": spread}
    about |= {"writer": {"nodeId": "n", "writerToken": 1}, "health": {"score": 1}, "flow": {"window_sec": 1}}
    client.mset({KEYS.report(symbol): json.dumps(about) for symbol in symbols})


Run = Callable[..., Any]


@pytest.fixture
def running(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> Run:  # noqa: ARG001 - it is empty then
    variables = {"REDIS_URL": redis_server.url(), "SYMBOLS": ",".join(SYMBOLS), "NT_REPORT_PERIOD_MS": "10000"}
    variables |= {"NT_SLOW_PERIOD_MS": "10000", "NT_LEASE_TTL_MS": "20000"}
    settings = Settings.from_environment(variables)

    @asynccontextmanager
    async def run(told: Told, *targets: str, **rule: Any) -> AsyncIterator[Alerts]:
        rules = Rules({name: Target() for name in targets}, {"wide": Rule("spread_bps", list(targets), **rule)})
        one = Alerts(settings, rules, told)  # type: ignore[arg-type]
        task = asyncio.create_task(one.run())
        yield one
        one.stop()
        await task

    return run


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what changes is in Redis, too
            await asyncio.sleep(0.01)


def in_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    def run(running: Run, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
        asyncio.run(test(running, redis_client, monkeypatch))  # type: ignore[arg-type]

    return run


@in_a_loop
async def test_a_target_that_hangs_takes_nothing_from_the_others(running: Run, client: redis.Redis, _: Any) -> None:
    told = Told()
    plant(client, SYMBOLS, 9.0)
    async with running(told, "slow", "quick", above=5.0):
        await until(lambda: len(told.of("quick")) == len(SYMBOLS))
        assert len(told.of("slow")) == AT_ONCE
        told.answer.set()
        await until(lambda: len(told.of("slow")) == len(SYMBOLS))
    assert len(set(told.messages)) == len(told.messages) == 2 * len(SYMBOLS)


@in_a_loop
async def test_it_ends_only_when_what_is_under_way_has_been_recorded(running: Run, client: redis.Redis, _: Any) -> None:
    told = Told()
    plant(client, SYMBOLS, 9.0)
    async with running(told, "slow", above=5.0, symbols=("S0USDT",)) as one:
        await until(lambda: told.messages)
        one.stop()
        await asyncio.sleep(2 * service.TURN_S)
        assert client.hget(KEYS.alerts_lease, "owner") != b"", "it has the lease until then"
        told.answer.set()
    [record] = [json.loads(text) for name, text in client.hgetall(KEYS.alerts).items() if name != b"token"]
    assert [message["state"] for message in record["messages"]] == ["accepted"]
    assert client.hget(KEYS.alerts_lease, "owner") == b""


@in_a_loop
async def test_a_firing_ends_when_its_rule_looks_at_the_symbol_no_more(
    running: Run, client: redis.Redis, _: Any
) -> None:
    told = Told()
    plant(client, SYMBOLS, 9.0)
    async with running(told, "desk", above=5.0, symbols=("S0USDT",)):
        await until(lambda: told.messages)
    async with running(told, "desk", above=5.0, symbols=("S1USDT",)):
        await until(lambda: len(told.messages) == 3)
    assert set(told.of("desk")) == {("S0USDT", Kind.FIRING), ("S0USDT", Kind.RESOLVED), ("S1USDT", Kind.FIRING)}


@in_a_loop
async def test_a_step_of_redis_clock_ends_no_firing_and_silence_does(
    running: Run, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, looks = Told(), 0

    async def an_hour_later(_: Reader) -> Reports:
        nonlocal looks
        looks += 1
        return Reports(SYMBOLS, int(time.time() * 1000) + 3_600_000, [], SYMBOLS, {}, {})

    plant(client, SYMBOLS, 9.0)
    async with running(told, "desk", above=5.0, symbols=("S0USDT",)):
        await until(lambda: told.messages)
        monkeypatch.setattr(Reader, "all_reports", an_hour_later)
        await until(lambda: looks >= 3)
        assert told.of("desk") == [("S0USDT", Kind.FIRING)]
        monkeypatch.setattr(service, "FORGET_S", 0.1)
        await until(lambda: told.of("desk")[1:] == [("S0USDT", Kind.RESOLVED)])


@in_a_loop
async def test_nothing_fires_above_the_most_firings(
    running: Run, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    monkeypatch.setattr(service, "MOST_FIRINGS", 2)
    plant(client, SYMBOLS, 9.0)
    async with running(told, "desk", above=5.0):
        await until(lambda: len(told.messages) == 2)
        plant(client, SYMBOLS, 1.0)
        await until(lambda: len(told.messages) == 4)
    assert len({symbol for symbol, _ in told.of("desk")}) == 2
