"""The raw pipeline against a real Redis: order, errors, and a connection that is never handed on half read."""

from __future__ import annotations

import pytest
import redis
from redis import exceptions
from redis.exceptions import DataError, ResponseError

from tickfence.redis_access.connect import connect
from tickfence.redis_access.raw_pipeline import RawPipeline
from tools.local.embedded_redis import EmbeddedRedis


def test_replies_come_in_order_whatever_their_size(redis_client: redis.Redis) -> None:
    pipe = RawPipeline(redis_client)
    values = [b"x" * (1 << size) for size in range(20)]
    for number, value in enumerate(values):
        pipe.execute_command("SET", f"k{number}", value)
        pipe.execute_command("GET", f"k{number}")
    assert pipe.execute() == [reply for value in values for reply in (b"OK", value)]
    assert pipe.execute() == []  # the queue is empty


def test_an_error_stands_in_its_place_or_is_raised_after_all_is_read(redis_client: redis.Redis) -> None:
    pipe = RawPipeline(redis_client)
    redis_client.set("k", "text")
    for _ in range(2):
        pipe.execute_command("LPUSH", "k", 1)
        pipe.execute_command("GET", "k")
    first, second, *_ = pipe.execute(raise_on_error=False)
    assert isinstance(first, ResponseError)
    assert second == b"text"
    pipe.execute_command("LPUSH", "k", 1)
    pipe.execute_command("GET", "k")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        pipe.execute()
    assert redis_client.get("k") == b"text"


def test_a_connection_that_broke_in_between_is_closed(redis_server: EmbeddedRedis) -> None:
    client = connect(redis_server.url(), name="raw")
    client.set("k", "text")
    pipe = RawPipeline(client)
    pipe.execute_command("GET", "k")
    pipe.execute_command("CLIENT", "KILL", "ID", client.client_id(), "SKIPME", "no")
    pipe.execute_command("GET", "other")
    with pytest.raises(exceptions.ConnectionError):
        pipe.execute()
    assert client.get("k") == b"text"  # not the reply that the broken one still owed
    client.close()


def test_what_cannot_be_sent_leaves_no_connection_behind(redis_client: redis.Redis) -> None:
    pipe = RawPipeline(redis_client)
    pipe.execute_command("SET", "k", object())
    with pytest.raises((TypeError, DataError)):
        pipe.execute()
    assert redis_client.ping()
