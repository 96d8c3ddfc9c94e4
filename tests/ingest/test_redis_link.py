"""A server that answers and cannot take writes: what was to be written waits, as if it were away."""

from __future__ import annotations

import asyncio

import pytest
import redis

from ingest.redis_connection import Unavailable, to_redis
from ingest.redis_link import RedisLink
from tickfence.streams import append
from tools.local.embedded_redis import EmbeddedRedis


def write(server: EmbeddedRedis) -> Exception | None:
    """One write over a link; what it raises, if anything."""
    outcome: list[Exception | None] = []

    async def use(link: RedisLink) -> None:
        try:
            await link.exchange(append.pack([("SET", "key", "value")]), 1)
            outcome.append(None)
        except Unavailable as error:
            outcome.append(error)
        raise asyncio.CancelledError

    async def run() -> None:
        try:
            await RedisLink(to_redis(server.url()), use).run()
        except asyncio.CancelledError:
            return

    asyncio.run(run())
    return outcome[0]


@pytest.mark.parametrize(("setting", "bad", "good"), [("maxmemory", "1", "0"), ("min-replicas-to-write", "1", "0")])
def test_a_refusal_that_is_the_server_s_is_no_loss(
    redis_client: redis.Redis, redis_server: EmbeddedRedis, setting: str, bad: str, good: str
) -> None:
    assert write(redis_server) is None
    redis_client.config_set(setting, bad)
    try:
        refused = write(redis_server)
    finally:
        redis_client.config_set(setting, good)
    assert refused is not None
    assert write(redis_server) is None
