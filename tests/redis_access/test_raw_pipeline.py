"""The raw pipeline against a real Redis: order, errors, and a connection that is never handed on half read."""

from __future__ import annotations

import pytest
import redis
from redis import exceptions
from redis.exceptions import DataError, ResponseError

from tickfence.redis_access.connect import connect
from tickfence.redis_access.raw_pipeline import exchange
from tools.local.embedded_redis import EmbeddedRedis


def test_replies_come_in_order_whatever_their_size(redis_client: redis.Redis) -> None:
    values = [b"x" * (1 << size) for size in range(20)]
    commands = [command for i, value in enumerate(values) for command in (("SET", f"k{i}", value), ("GET", f"k{i}"))]
    assert exchange(redis_client, commands) == [reply for value in values for reply in (b"OK", value)]
    assert exchange(redis_client, []) == []


def test_an_error_stands_in_its_place(redis_client: redis.Redis) -> None:
    redis_client.set("k", "text")
    first, second, third, _ = exchange(redis_client, [("LPUSH", "k", 1), ("GET", "k")] * 2)
    assert isinstance(first, ResponseError)
    assert second == b"text"
    assert isinstance(third, ResponseError)
    assert redis_client.get("k") == b"text"


def test_a_connection_that_broke_in_between_is_closed(redis_server: EmbeddedRedis) -> None:
    client = connect(redis_server.url(), name="raw")
    client.set("k", "text")
    kill = ("CLIENT", "KILL", "ID", client.client_id(), "SKIPME", "no")
    with pytest.raises(exceptions.ConnectionError):
        exchange(client, [("GET", "k"), kill, ("GET", "other")])
    assert client.get("k") == b"text"  # not the reply that the broken one still owed
    client.close()


def test_what_cannot_be_sent_leaves_no_connection_behind(redis_client: redis.Redis) -> None:
    with pytest.raises((TypeError, DataError)):
        exchange(redis_client, [("SET", "k", object())])
    assert redis_client.ping()
