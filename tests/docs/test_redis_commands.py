"""The redis-cli commands that need a server other than the stack's: run with a real one."""

from __future__ import annotations

import subprocess

import pytest

from tests.docs.pages import commands
from tests.redis_groups import SERVICE, ClusterGroup, SentinelGroup
from tools.local.embedded_redis import EmbeddedRedis, find_cli

pytestmark = pytest.mark.e2e


def the_command(start: str) -> str:
    """The one command of the pages that starts like this."""
    [found] = {text for text in commands() if text.startswith(start)}
    return found


def shown_by(command: str) -> str:
    done = subprocess.run(
        command.replace("redis-cli", str(find_cli())),
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_command_that_deletes_market_data_deletes_nothing_else() -> None:
    with EmbeddedRedis() as server, server.client() as client:
        client.mset({"md:{BTCUSDT}:trades": "", "md:{BTCUSDT}:book": "", "report:BTCUSDT": "", "nt:assignment": ""})
        shown_by(the_command("redis-cli --scan").replace("redis-cli", f"redis-cli -p {server.port}"))
        assert sorted(client.keys()) == [b"nt:assignment", b"report:BTCUSDT"]


def test_sentinel_names_its_master() -> None:
    with SentinelGroup() as group:
        command = the_command("redis-cli -p 26379").replace("26379", str(group.sentinel.port))
        assert str(group.first.port) in shown_by(command.replace("<service>", SERVICE))


def test_a_cluster_that_is_whole_needs_no_fix() -> None:
    with ClusterGroup() as group:
        command = the_command("redis-cli --cluster").replace("<host>:<port>", f"127.0.0.1:{group.masters[0].port}")
        assert "All 16384 slots covered" in shown_by(command)
