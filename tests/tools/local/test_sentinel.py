"""A group of real servers that comes up from the roles' commands alone."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path

import redis

from tests.processes import wait_until
from tickfence.redis_access.address import parse_sentinel
from tools.local import ports
from tools.local.embedded_redis import wait_until_ready
from tools.local.sentinel import SERVERS, SERVICE, SentinelPorts, sentinel_roles


def test_a_group_in_a_folder_of_any_name_replicates_and_is_watched(tmp_path: Path) -> None:
    taken: list[int] = []

    def pick() -> int:
        taken.append(ports.pick(taken=taken))
        return taken[-1]

    where = SentinelPorts.choose(pick)
    folder = tmp_path / 'it is "mine" #1 \\'
    with ExitStack() as context:
        for role in sentinel_roles(where, folder):
            process = subprocess.Popen(role.command, stdout=subprocess.DEVNULL)
            context.callback(process.wait)
            context.callback(process.kill)
            assert role.listens_on is not None
            wait_until_ready(role.listens_on, process=process)
        first, second = (context.enter_context(redis.Redis(port=where.servers[name])) for name in SERVERS)
        first.set("key", "value")
        wait_until(lambda: second.get("key") == b"value", "the replica has the key")
        for port in where.sentinels.values():
            watcher = context.enter_context(redis.Redis(port=port))
            address = watcher.sentinel_get_master_addr_by_name(SERVICE)
            assert int(address[1]) == where.servers[SERVERS[0]]
        assert first.config_rewrite()  # Sentinel has the servers do this: they must be able to


def test_the_address_names_every_sentinel() -> None:
    where = SentinelPorts({"redis-1": 1, "redis-2": 2}, {"sentinel-1": 3, "sentinel-2": 4, "sentinel-3": 5})
    found = parse_sentinel(where.url(1))
    assert found is not None
    assert (found.sentinels, found.service, found.db) == (
        tuple((ports.LOOPBACK, port) for port in (3, 4, 5)),
        SERVICE,
        1,
    )
