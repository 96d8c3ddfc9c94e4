"""Which symbols ingest follows, out of what is stored in a real Redis, and what it does when that is lost or unreadable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import redis

from ingest.desired_symbols import EVERY_S, START_WAIT_S, DesiredSymbols
from ingest.shard import of_shard
from tests.ingest.writing import until
from tickfence.coordination import desired as states
from tickfence.coordination.desired_store import read_desired, replace_desired, seed_desired, write_back
from tickfence.keys import Keys
from tickfence.settings import BadSetting, Settings
from tools.local.embedded_redis import EmbeddedRedis

KEYS = Keys()
SEED = ("AAUSDT", "BBUSDT")
TWO_LOOKS_S = 2 * EVERY_S + 0.2

Change = Callable[[states.Desired], states.Desired]


def change(client: redis.Redis, make: Change) -> None:
    """One operator's change."""
    before = read_desired(client, KEYS)
    assert before is not None
    assert replace_desired(client, KEYS, before.version, make(before), "test", "a change") is not None


@asynccontextmanager
async def followed(
    server: EmbeddedRedis, shard: str = ""
) -> AsyncIterator[list[tuple[tuple[str, ...], tuple[str, ...]]]]:
    """What is followed, with each change of it."""
    calls: list[tuple[tuple[str, ...], tuple[str, ...]]] = []

    def follow(symbols: Sequence[str], removed: Sequence[str]) -> None:
        calls.append((tuple(symbols), tuple(removed)))

    task = asyncio.create_task(DesiredSymbols(server.url(), KEYS, SEED, shard).run(follow))
    try:
        yield calls
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_symbols_is_followed_until_something_is_stored(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    async def test() -> None:
        async with followed(redis_server) as calls:
            await until(lambda: calls, "SYMBOLS", START_WAIT_S / 2)
            seed_desired(redis_client, KEYS, states.seed(["BBUSDT", "CCUSDT"]), "test")
            await until(lambda: len(calls) == 2, "what is stored", TWO_LOOKS_S)
            change(redis_client, lambda old: states.pause(states.add(old, ["DDUSDT"], 1), ["BBUSDT"], 1))
            await until(lambda: len(calls) == 3, "the change", TWO_LOOKS_S)
            change(redis_client, lambda old: states.remove(old, ["CCUSDT"], 2))
            await until(lambda: len(calls) == 4, "the removal", TWO_LOOKS_S)
        assert [symbols for symbols, _ in calls] == [
            SEED,
            ("BBUSDT", "CCUSDT"),
            ("BBUSDT", "CCUSDT", "DDUSDT"),
            ("BBUSDT", "DDUSDT"),
        ]

    asyncio.run(test())


def test_what_was_removed_before_the_start_is_told_once(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    async def test() -> None:
        now_ms = int(time.time() * 1000)
        seed_desired(redis_client, KEYS, states.seed(["AAUSDT", "BBUSDT", "CCUSDT"]), "test")
        change(redis_client, lambda old: states.remove(old, ["CCUSDT"], now_ms))
        async with followed(redis_server) as calls:
            await until(lambda: calls, "what is stored")
            change(redis_client, lambda old: states.remove(old, ["BBUSDT"], now_ms))
            await until(lambda: len(calls) == 2, "the change")
        assert calls == [(("AAUSDT", "BBUSDT"), ("CCUSDT",)), (("AAUSDT",), ())]

    asyncio.run(test())


@pytest.mark.parametrize("trouble", ["lost", "another type", "unreadable", "older"])
def test_a_stored_state_that_is_of_no_use_changes_nothing(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, trouble: str
) -> None:
    async def test() -> None:
        seed_desired(redis_client, KEYS, states.seed(["AAUSDT", "CCUSDT"]), "test")
        followed_state = read_desired(redis_client, KEYS)
        assert followed_state is not None
        async with followed(redis_server) as calls:
            await until(lambda: calls, "what is stored")
            redis_client.delete(KEYS.desired)
            if trouble == "another type":
                redis_client.set(KEYS.desired, "text")
            elif trouble == "unreadable":
                redis_client.hset(KEYS.desired, mapping={"version": "many", "symbol:XXUSDT": "{}"})
            elif trouble == "older":
                old = states.fields(states.seed(["XXUSDT"])) | {"version": followed_state.version - 1}
                redis_client.hset(KEYS.desired, mapping=old)
            await asyncio.sleep(TWO_LOOKS_S)
            assert len(calls) == 1
            if trouble in ("another type", "unreadable"):
                redis_client.delete(KEYS.desired)
            write_back(redis_client, KEYS, followed_state)
            change(redis_client, lambda old: states.add(old, ["DDUSDT"], 1))
            await until(lambda: len(calls) == 2, "the next change")
        assert [symbols for symbols, _ in calls] == [("AAUSDT", "CCUSDT"), ("AAUSDT", "CCUSDT", "DDUSDT")]

    asyncio.run(test())


def test_without_redis_it_starts_with_symbols_after_a_second(own_redis_server: Callable[..., EmbeddedRedis]) -> None:
    server = own_redis_server(append_only=True)
    with server.client() as client:
        seed_desired(client, KEYS, states.seed(["CCUSDT"]), "test")
    server.kill()

    async def test() -> None:
        started = time.monotonic()
        async with followed(server) as calls:
            await until(lambda: calls, "SYMBOLS")
            assert START_WAIT_S - 0.05 <= time.monotonic() - started < START_WAIT_S + 1
            await asyncio.to_thread(server.start)
            await until(lambda: len(calls) == 2, "what is stored")
        assert [symbols for symbols, _ in calls] == [SEED, ("CCUSDT",)]

    asyncio.run(test())


def test_ingests_share_the_symbols_by_their_names(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    names = [f"S{number}USDT" for number in range(40)]

    async def test() -> None:
        async with followed(redis_server, "1/2") as first, followed(redis_server, "2/2") as second:
            await until(lambda: first and second, "SYMBOLS")
            assert sorted(first[0][0] + second[0][0]) == sorted(SEED)
            seed_desired(redis_client, KEYS, states.seed(names), "test")
            await until(lambda: len(first) == len(second) == 2, "what is stored")
            change(redis_client, lambda old: states.remove(states.add(old, ["NEWUSDT"], 1), [names[0]], 1))
            await until(lambda: len(first) == len(second) == 3, "the change")
        mine, others = set(first[1][0]), set(second[1][0])
        assert not mine & others
        assert mine | others == set(names)
        assert len(mine) > 5 < len(others)
        # Nobody's symbol has gone to the other.
        assert set(first[2][0]) - {"NEWUSDT"} == mine - {names[0]}
        assert set(second[2][0]) - {"NEWUSDT"} == others - {names[0]}

    asyncio.run(test())


def test_every_symbol_has_one_shard() -> None:
    names = [f"S{number}USDT" for number in range(3_000)]
    parts = [of_shard(names, f"{number}/3") for number in (1, 2, 3)]
    assert sorted(name for part in parts for name in part) == sorted(names)
    assert all(900 < len(part) < 1_100 for part in parts)
    assert of_shard(names, "") == of_shard(names, "1/1") == tuple(names)


@pytest.mark.parametrize("value", ["0/2", "3/2", "1/0", "1", "1/", "/2", "a/b", "1/100", "1/2/3", "-1/2", " 1/2"])
def test_a_bad_shard_has_one_clear_message(value: str) -> None:
    with pytest.raises(BadSetting, match=f"^NT_INGEST_SHARD={value}: must be i/n.*like 1/2$"):
        Settings.from_environment({"NT_INGEST_SHARD": value})
