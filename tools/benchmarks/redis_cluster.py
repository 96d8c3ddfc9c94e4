"""A Redis Cluster of three masters, each with a replica, on free loopback ports of this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Self

from redis.crc import key_slot

from tools.local import ports
from tools.local.embedded_redis import EmbeddedRedis, RedisUnavailable

MASTERS = 3
SLOTS = 16_384
WITHIN_S = 30.0
BUS = 10_000
"""The port of the cluster's bus is above that of the server by so much."""


class RedisCluster:
    """A cluster that runs within the ``with`` block.

    Args:
        node_timeout_ms: ``cluster-node-timeout``: after so long without an answer a master counts as down.

    Attributes:
        servers: the first masters, then the replica of each, in the same order.
    """

    def __init__(self, node_timeout_ms: int) -> None:
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout_ms)]
        # Since Redis 7 a master waits 5 s for more replicas before it sends its data by default.
        options += ["--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0"]
        taken: list[int] = []
        while len(taken) < 2 * MASTERS:
            port = ports.pick(taken=taken)
            if ports.is_free(port + BUS):
                taken.append(port)
        self.servers = [EmbeddedRedis(port, options=options) for port in taken]
        self._running = ExitStack()

    @property
    def url(self) -> str:
        """For ``REDIS_URL``."""
        return "redis+cluster://" + ",".join(f"{ports.LOOPBACK}:{server.port}" for server in self.servers)

    def first_master_of(self, key: str) -> EmbeddedRedis:
        """The server that has a key until there is a failover."""
        return self.servers[MASTERS * key_slot(key.encode()) // SLOTS]

    def __enter__(self) -> Self:
        try:
            for server in self.servers:
                self._running.enter_context(server)
            self._join()
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _join(self) -> None:
        clients: list[Any] = [self._running.enter_context(server.client()) for server in self.servers]
        for number, client in enumerate(clients):
            client.cluster("SET-CONFIG-EPOCH", number + 1)
            client.cluster("MEET", ports.LOOPBACK, self.servers[0].port)
        masters, replicas = clients[:MASTERS], clients[MASTERS:]
        for number, master in enumerate(masters):
            first, after = (-(-SLOTS * n // MASTERS) for n in (number, number + 1))
            master.cluster("ADDSLOTS", *range(first, after))
        _wait(lambda: all(_info(client)["cluster_known_nodes"] == str(2 * MASTERS) for client in clients))
        for master, replica in zip(masters, replicas, strict=True):
            replica.cluster("REPLICATE", master.cluster("MYID").decode())
        _wait(lambda: all(replica.info("replication").get("master_link_status") == "up" for replica in replicas))
        _wait(lambda: all(_info(client)["cluster_state"] == "ok" for client in clients))
        _wait(lambda: all(str(client.cluster("NODES")).count("slave") == MASTERS for client in clients))


def master_ranges(client: Any) -> list[tuple[int, int, int]]:
    """First slot, last slot and port of its master, of each range of slots, as one of the servers knows it."""
    return [(first, last, master[1]) for first, last, master, *_ in client.execute_command("CLUSTER SLOTS")]


def _info(client: Any) -> dict[str, str]:
    found: dict[str, str] = client.cluster("INFO")
    return found


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        if time.monotonic() > deadline:
            raise RedisUnavailable(f"the cluster is not complete after {WITHIN_S:g} s")
        time.sleep(0.05)
