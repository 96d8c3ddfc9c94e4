"""MONITOR's lines, as a real server writes them."""

from __future__ import annotations

import socket

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.chaos.monitor import parse, source
from tools.local.embedded_redis import EmbeddedRedis
from tools.local.ports import LOOPBACK


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=30), min_size=1, max_size=4))
def test_any_bytes_are_read_as_they_were_sent(
    redis_server: EmbeddedRedis, redis_client: redis.Redis, arguments: list[bytes]
) -> None:
    with socket.create_connection((LOOPBACK, redis_server.port), timeout=5) as connection:
        connection.sendall(b"MONITOR\r\n")
        lines = connection.makefile("rb")
        assert lines.readline() == b"+OK\r\n"
        redis_client.execute_command("ECHO", arguments[0])
        redis_client.execute_command("DEL", "k", *arguments)
        shown = [parse(lines.readline()[:-2]) for _ in range(2)]
    assert [one and one.arguments for one in shown] == [[b"ECHO", arguments[0]], [b"DEL", b"k", *arguments]]


@pytest.mark.parametrize("line", [b"+OK", b"", b"-ERR unknown command"])
def test_what_shows_no_command_is_none(line: bytes) -> None:
    assert parse(line) is None


def test_no_more_arguments_are_read_than_asked_for() -> None:
    shown = parse(b'+1.5 [0 lua] "SET" "a" "b" "PX" "1"', max_arguments=2)
    assert shown is not None
    assert (shown.time, shown.source, shown.arguments) == (1.5, "lua", [b"SET", b"a"])


@pytest.mark.parametrize("who", ["lua", "127.0.0.1:6379", "[::1]:6379", "unix:/run/redis.sock"])
def test_the_source_alone_is_the_one_of_the_whole_line(who: str) -> None:
    line = b'+1.5 [0 %s] "SET" "a]" "[0 b]"' % who.encode()
    shown = parse(line)
    assert shown is not None
    assert source(line).decode() == shown.source == who
