"""Scripts are found again after Redis forgot them, and no error in a pipeline is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from redis.exceptions import ResponseError

from tickfence.coordination.lease import RELEASE, Write, acquire_command, parse_grant, parse_outcomes, write_command
from tickfence.coordination.owner import Owner
from tickfence.keys import Keys
from tickfence.redis_access.scripts import execute
from tools.local.embedded_redis import EmbeddedRedis

A = Owner("node-001", "a")
SCRIPTS = sorted((Path(__file__).parents[2] / "tickfence").rglob("*.lua"))


def pipeline(client: redis.Redis):
    return client.pipeline(transaction=False)


def test_scripts_nobody_loaded_are_loaded_on_the_way(redis_client: redis.Redis) -> None:
    pipe = pipeline(redis_client)
    pipe.set("before", 1)
    pipe.execute_command(*acquire_command(Keys().lease("BTCUSDT"), A, 1, 60_000))
    pipe.execute_command(*acquire_command(Keys().lease("ETHUSDT"), A, 1, 60_000))
    pipe.get("before")
    replies = execute(pipe)
    assert [replies[0], replies[3]] == [True, b"1"]
    assert parse_grant(replies[1]).granted
    assert parse_grant(replies[2]).granted
    assert len(pipe) == 0


def test_scripts_lost_half_way_through_a_pipeline_cost_nothing(redis_client: redis.Redis) -> None:
    pipe = pipeline(redis_client)
    pipe.execute_command(*acquire_command(Keys().lease("BTCUSDT"), A, 1, 60_000))
    grant = parse_grant(execute(pipe)[0])
    one = Write(Keys().lease("BTCUSDT"), grant.token, grant.seq + 1, {Keys().report("BTCUSDT"): b"one"})
    pipe.execute_command(*write_command(A, [one], 60_000, 60_000))
    pipe.script_flush()
    two = Write(Keys().lease("BTCUSDT"), grant.token, grant.seq + 2, {Keys().report("BTCUSDT"): b"two"})
    pipe.execute_command(*write_command(A, [two], 60_000, 60_000))
    commands = list(pipe.command_stack)
    replies = pipe.execute(raise_on_error=False)
    assert isinstance(replies[2], redis.exceptions.NoScriptError)

    redis_client.script_flush()
    pipe.command_stack = [commands[0], commands[2]]
    replies = execute(pipe)
    assert [outcome.accepted for reply in replies for outcome in parse_outcomes(reply)] == [True, True]
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
    pipe = pipeline(redis_client)
    pipe.execute_command(*RELEASE.command([Keys().lease("BTCUSDT")], [str(A)]))
    pipe.hgetall("text")
    pipe.execute_command(*RELEASE.command([Keys().lease("ETHUSDT")], [str(A)]))
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        execute(pipe)
    assert len(pipe) == 0


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
