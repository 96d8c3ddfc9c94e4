"""Error replies as Redis 6.2 and 7 send them: whose fault each is."""

from __future__ import annotations

import pytest
from redis._parsers.base import BaseParser

from tickfence.redis_access.server_errors import is_server_failure

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
]
KEYS = [
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "BUSYGROUP Consumer Group name already exists",
    "ERR Invalid stream ID specified as stream command argument",
    "ERR no such key: READONLY or OOM",
    "NOSCRIPT No matching script. Please use EVAL.",
    "NOPERM this user has no permissions to run the 'hset' command",
]


@pytest.mark.parametrize(
    "text", [one for text in SERVERS for one in (text, f"{IN_SCRIPT_62}-{text}", text + IN_SCRIPT_7)]
)
def test_what_the_server_cannot_do_for_any_key_is_its_failure(text: str) -> None:
    assert is_server_failure(BaseParser.parse_error(text))


@pytest.mark.parametrize("text", [one for text in KEYS for one in (text, f"{IN_SCRIPT_62}-{text}", text + IN_SCRIPT_7)])
def test_what_is_wrong_with_one_key_is_not(text: str) -> None:
    assert not is_server_failure(BaseParser.parse_error(text))
