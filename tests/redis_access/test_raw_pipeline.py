"""The raw pipeline against a real Redis: order, errors, and a connection that is never handed on half read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from redis import exceptions
from redis.exceptions import DataError, ResponseError

from tests.processes import wait_until
from tests.redis_groups import ClusterGroup
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


@pytest.fixture
def cluster() -> Iterator[ClusterGroup]:
    with ClusterGroup(replica=True, full_coverage=False) as group:
        yield group


SYMBOLS = [f"T{number:02}USDT" for number in range(30)]
WRITES = [("SET", f"{{{symbol}}}", symbol) for symbol in SYMBOLS]
READS = [
    command
    for symbol in SYMBOLS
    for command in (
        ("EVAL", "return redis.call('GET', KEYS[1])", 1, f"{{{symbol}}}"),
        ("XREAD", "COUNT", 10, "STREAMS", f"{{{symbol}}}:a", f"{{{symbol}}}:b", "0-0", "0-0"),
    )
]
FOUND = [reply for symbol in SYMBOLS for reply in (symbol.encode(), None)]


def test_a_cluster_is_asked_nothing_but_the_commands(cluster: ClusterGroup) -> None:
    client = connect(cluster.url, name="raw")
    assert exchange(client, WRITES) == [b"OK"] * len(WRITES)
    for master in cluster.masters:
        master.client.config_resetstat()
    assert exchange(client, READS) == FOUND
    for master in cluster.masters:
        calls = {name: found["calls"] for name, found in master.client.info("commandstats").items()}
        assert set(calls) <= {"cmdstat_eval", "cmdstat_get", "cmdstat_xread", "cmdstat_info", "cmdstat_config"}
    client.close()


def test_a_master_that_dies_costs_its_own_commands_only_and_only_until_a_replica_takes_over(
    cluster: ClusterGroup,
) -> None:
    client = connect(cluster.url, name="raw")
    dying = cluster.masters[0]
    client.set_default_node(client.get_node(port=dying.port, host="127.0.0.1"))
    exchange(client, WRITES)
    wait_until(lambda: dying.client.wait(1, 1000) == 1, "the replica to have the writes")
    there = [cluster.master_of(symbol) == 0 for symbol in SYMBOLS for _ in range(2)]
    assert any(there) and not all(there)
    dying.kill()
    replies = exchange(client, READS)
    assert [isinstance(reply, exceptions.ConnectionError) for reply in replies] == there
    assert all(reply == found for reply, found, lost in zip(replies, FOUND, there, strict=True) if not lost)
    wait_until(lambda: exchange(client, READS) == FOUND, "the replica to serve", 20)
    client.close()


def test_a_slot_that_has_moved_is_followed(cluster: ClusterGroup) -> None:
    client = connect(cluster.url, name="raw")
    exchange(client, WRITES)
    symbol = next(one for one in SYMBOLS if cluster.master_of(one) == 1)
    cluster.move(symbol, cluster.masters[2])
    assert [reply or None for reply in exchange(client, READS)] == FOUND
    assert exchange(client, READS) == FOUND
    client.close()
