"""Error replies as Redis 6.2 and 7 send them: whether the server cannot serve, or one key is wrong."""

from __future__ import annotations

import pytest
import redis
from redis import exceptions
from redis._parsers.base import BaseParser

from tickfence.redis_access.connect import connect
from tickfence.redis_access.errors import REDIS_ERRORS, cannot_serve, not_offered
from tickfence.redis_access.scripts import send
from tools.local import ports

IN_SCRIPT_62 = "ERR Error running script (call to f_35034056af5055a8): @user_script:58: @user_script: 58: "
IN_SCRIPT_7 = " script: 35034056af5055a8d5bf92dbf570cf5111080954, on @user_script:58."

SERVERS = [
    "READONLY You can't write against a read only replica.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "MISCONF Redis is configured to save RDB snapshots, but it is currently not able to persist on disk.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "LOADING Redis is loading the dataset in memory",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    "NOREPLICAS Not enough good replicas to write.",
    "CLUSTERDOWN The cluster is down",
    "TRYAGAIN Multiple keys request during rehashing of slot",
]
KEYS = [
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "BUSYGROUP Consumer Group name already exists",
    "ERR Invalid stream ID specified as stream command argument",
    "ERR no such key: READONLY or OOM",
    "NOSCRIPT No matching script. Please use EVAL.",
    "NOPERM No permissions to access a key",
    "NOPERM this user has no permissions to access one of the keys used as arguments",
    "CROSSSLOT Keys in request don't hash to the same slot",
]
NOT_PERMITTED = [
    "NOPERM this user has no permissions to run the 'hset' command or its subcommand",
    "NOPERM User node has no permissions to run the 'hset' command",
]
NOT_KNOWN = ["ERR unknown command 'CLIENT', with args beginning with: 'LIST'", "ERR unknown subcommand 'LIST'."]


def in_scripts(texts: list[str]) -> list[str]:
    return [one for text in texts for one in (text, f"{IN_SCRIPT_62}-{text}", text + IN_SCRIPT_7)]


def parsed(text: str) -> Exception:
    return BaseParser.parse_error(text)


def in_pipeline(text: str) -> Exception:
    """The error of one command among several, as redis-py raises it."""
    error = parsed(text)
    redis.client.Pipeline.annotate_exception(None, error, 1, ("EVALSHA", "35034056", "(of pipeline caused error: )\n"))  # type: ignore[arg-type]
    return error


@pytest.mark.parametrize("text", [*in_scripts(SERVERS), *NOT_PERMITTED, "MOVED 3999 127.0.0.1:6381"])
def test_what_the_server_cannot_do_for_any_key_is_its_failure(text: str) -> None:
    assert cannot_serve(parsed(text))
    assert cannot_serve(in_pipeline(text))


@pytest.mark.parametrize("text", [*in_scripts(KEYS), *NOT_KNOWN])
def test_what_is_wrong_with_one_key_is_not(text: str) -> None:
    assert not cannot_serve(parsed(text))
    assert not cannot_serve(in_pipeline(text))


def test_a_reply_that_is_no_error_is_no_failure() -> None:
    assert not cannot_serve(b"OOM command not allowed")
    assert not cannot_serve(None)


@pytest.mark.parametrize("text", [*NOT_PERMITTED, *NOT_KNOWN])
def test_a_command_that_is_not_there_or_not_permitted_is_not_offered(text: str) -> None:
    assert not_offered(parsed(text))


@pytest.mark.parametrize("text", SERVERS)
def test_a_server_that_cannot_serve_may_offer_the_command_all_the_same(text: str) -> None:
    assert not not_offered(parsed(text))


@pytest.mark.parametrize("scheme", ["redis://{}", "redis+cluster://{}", "redis+sentinel://{}/mymaster"])
def test_a_server_that_is_not_there_is_unavailable_in_every_form_of_the_url(scheme: str) -> None:
    url = scheme.format(f"127.0.0.1:{ports.pick(None)}")
    with pytest.raises(REDIS_ERRORS) as caught:
        connect(url, name="test").get("key")
    assert cannot_serve(caught.value)


def test_a_refusal_reaches_the_caller_of_a_pipeline_as_one(redis_client: redis.Redis) -> None:
    """Errors as the running server words them, and as both kinds of pipeline hand them on."""
    redis_client.config_set("min-replicas-to-write", 1)
    try:
        pipe = redis_client.pipeline(transaction=False).get("key").set("key", "value")
        commands = [("GET", "key"), ("SET", "key", "value")]
        for execute in (pipe.execute, lambda: send(redis_client, commands)):
            with pytest.raises(exceptions.ResponseError) as caught:
                execute()
            assert cannot_serve(caught.value)
        with pytest.raises(exceptions.ResponseError) as caught:
            redis_client.eval("return redis.call('SET', KEYS[1], 'value')", 1, "key")
        assert cannot_serve(caught.value)
    finally:
        redis_client.config_set("min-replicas-to-write", 0)
