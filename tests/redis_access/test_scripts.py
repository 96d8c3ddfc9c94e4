"""Scripts are found again after Redis forgot them, and no error in a pipeline is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from redis.exceptions import ResponseError

from tickfence.coordination.lease import (
    RELEASE,
    Write,
    Written,
    acquire_command,
    parse_grant,
    parse_outcomes,
    write_command,
)
from tickfence.coordination.owner import Owner
from tickfence.keys import Keys
from tickfence.redis_access.command import Command
from tickfence.redis_access.scripts import send
from tools.local.embedded_redis import EmbeddedRedis

A = Owner("node-001", "a")
SCRIPTS = sorted((Path(__file__).parents[2] / "tickfence").rglob("*.lua"))


def acquire(symbol: str) -> Command:
    return acquire_command(Keys().lease(symbol), A, 1, 60_000)


def test_scripts_nobody_loaded_are_loaded_on_the_way(redis_client: redis.Redis) -> None:
    commands = [("SET", "before", 1), acquire("BTCUSDT"), acquire("ETHUSDT"), ("GET", "before")]
    replies = send(redis_client, commands)
    assert [replies[0], replies[3]] == [b"OK", b"1"]
    assert parse_grant(replies[1]).granted
    assert parse_grant(replies[2]).granted


def test_scripts_lost_half_way_through_a_pipeline_cost_nothing(redis_client: redis.Redis) -> None:
    grant = parse_grant(send(redis_client, [acquire("BTCUSDT")])[0])

    def write(number: int, value: bytes) -> Command:
        values = {Keys().report("BTCUSDT"): value}
        return write_command(
            A, [Write(Keys().lease("BTCUSDT"), grant.token, grant.seq + number, values)], 60_000, 60_000
        )

    send(redis_client, [write(1, b"one")])
    one, _, two = send(redis_client, [write(1, b"one"), ("SCRIPT", "FLUSH"), write(2, b"two")])
    assert parse_outcomes(one) == [Written.REPEATED]
    assert parse_outcomes(two) == [Written.WRITTEN]
    assert redis_client.get(Keys().report("BTCUSDT")) == b"two"


def test_a_restarted_server_is_no_error(own_redis_server: Callable[..., EmbeddedRedis]) -> None:
    server = own_redis_server()
    with server.client() as client:
        assert RELEASE.run(client, [Keys().lease("BTCUSDT")], [str(A)]) == 0
        server.kill()
        server.start()
        client.connection_pool.disconnect()
        assert RELEASE.run(client, [Keys().lease("BTCUSDT")], [str(A)]) == 0


@pytest.mark.parametrize("scripts_known", [True, False])
def test_an_error_anywhere_in_the_pipeline_is_raised(redis_client: redis.Redis, scripts_known: bool) -> None:
    if scripts_known:
        RELEASE.run(redis_client, [Keys().lease("BTCUSDT")], [str(A)])
    redis_client.set("text", "x")
    first, last = (RELEASE.command([Keys().lease(symbol)], [str(A)]) for symbol in ("BTCUSDT", "ETHUSDT"))
    commands = [first, ("HGETALL", "text"), last]
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        send(redis_client, commands)
    replies = send(redis_client, commands, raise_errors=False)
    assert [replies[0], replies[2]] == [0, 0]
    assert isinstance(replies[1], ResponseError)


def test_an_error_inside_a_script_is_raised(redis_client: redis.Redis) -> None:
    redis_client.set(Keys().lease("BTCUSDT"), "not a hash")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        RELEASE.run(redis_client, [Keys().lease("BTCUSDT")], [str(A)])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_names_each_key_and_argument_it_uses(path) -> None:
    lines = path.read_text().splitlines()
    header = "\n".join(line for line in lines if line.startswith("--"))
    body = "\n".join(line for line in lines if not line.startswith("--"))
    for name in ("KEYS", "ARGV"):
        for number in range(1, 10):
            assert f"{name}[{number}]" not in body or f"{name}[{number}]" in header
    assert "Returns" in header
