"""Groups of real Redis servers: a master behind Sentinel, and a cluster of three masters."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from redis.cluster import ClusterNode, key_slot

from tests.processes import wait_until
from tickfence.keys import Keys
from tools.local import ports
from tools.local.embedded_redis import find_server, server_command, wait_until_ready

SERVICE = "mymaster"
SLOTS = 16_384
_TAKEN: set[int] = set()


class Server:
    """One server process on a free loopback port."""

    def __init__(self, *options: str, sentinel_of: int | None = None) -> None:
        self.port = _pick()
        self._folder = Path(tempfile.mkdtemp(prefix="tickfence-group-"))
        command = [*server_command(self.port, self._folder), *options]
        if sentinel_of is not None:
            config = self._folder / "sentinel.conf"
            config.write_text(_sentinel_config(self.port, self._folder, sentinel_of))
            command = [find_server(), str(config), "--sentinel"]
        with (self._folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        self.client = redis.Redis(port=self.port, socket_timeout=5)
        try:
            wait_until_ready(self.port, process=self.process)
        except BaseException:
            self.close()
            raise

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End it, and remove its files."""
        self.kill()
        self.client.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class _Group:
    def __init__(self) -> None:
        self._servers = ExitStack()

    def _start(self, *options: str, sentinel_of: int | None = None) -> Server:
        return self._servers.enter_context(Server(*options, sentinel_of=sentinel_of))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._servers.close()


class SentinelGroup(_Group):
    """A master, its replica, and a Sentinel that watches both."""

    def __init__(self) -> None:
        super().__init__()
        try:
            self.first = self._start()
            self.second = self._start("--replicaof", ports.LOOPBACK, str(self.first.port))
            in_step = "the replica to be in step"
            wait_until(lambda: self.second.client.info("replication")["master_link_status"] == "up", in_step)
            self.sentinel = self._start(sentinel_of=self.first.port)
            known = "Sentinel to know the replica"
            wait_until(lambda: self.sentinel.client.sentinel_master(SERVICE)["num-slaves"] == 1, known, 15)
        except BaseException:
            self._servers.close()
            raise

    def url(self, db: int = 0, *before: str) -> str:
        """For ``REDIS_URL``; ``before`` are addresses (host:port) of other Sentinels, which come first."""
        return f"redis+sentinel://{','.join((*before, f'{ports.LOOPBACK}:{self.sentinel.port}'))}/{SERVICE}/{db}"

    def master_port(self) -> int:
        """Port of the master, as Sentinel says."""
        return int(self.sentinel.client.sentinel_get_master_addr_by_name(SERVICE)[1])

    def switch(self) -> None:
        """Make Sentinel promote the replica of a healthy master, as soon as it finds it fit for that."""

        def accepted() -> bool:
            try:
                return bool(self.sentinel.client.execute_command("SENTINEL", "FAILOVER", SERVICE))
            except redis.ResponseError:  # NOGOODSLAVE
                return False

        wait_until(accepted, "Sentinel to find the replica fit", 15)

    def wait_for_promotion(self, server: Server | None = None) -> None:
        """Wait until the replica, or another server, is the master."""
        promoted = server or self.second
        wait_until(
            lambda: self.master_port() == promoted.port and promoted.client.role()[0] == b"master",
            "the replica's promotion",
            20,
        )

    def demote(self, server: Server, master: Server) -> None:
        """Make a master that was replaced a replica, as Sentinel does after ten seconds, and wait until it is in step."""
        server.client.replicaof(ports.LOOPBACK, str(master.port))
        wait_until(lambda: server.client.info("replication")["master_link_status"] == "up", "the replica to be in step")


class ClusterGroup(_Group):
    """A Redis Cluster of three masters, each with a third of the slots; the first may have a replica."""

    def __init__(self, *, replica: bool = False, full_coverage: bool = True) -> None:
        super().__init__()
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
        options += ("--cluster-require-full-coverage", "yes" if full_coverage else "no")
        try:
            self.masters = [self._start(*options) for _ in range(3)]
            self._join(self.masters)
            self.replica = self._start(*options) if replica else None
            if self.replica is not None:
                self._join_replica(self.replica)
            self.client = redis.RedisCluster(
                startup_nodes=[ClusterNode(ports.LOOPBACK, master.port) for master in self.masters]
            )
            self._servers.callback(self.client.close)
        except BaseException:
            self._servers.close()
            raise

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """No master answers within this block; after it, wait until the cluster serves again."""
        for master in self.masters:
            master.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for master in self.masters:
                master.process.send_signal(signal.SIGCONT)
        for master in self.masters:
            wait_until(lambda m=master: _state(m)[0] == "ok", "the cluster to serve again", 15)

    @property
    def url(self) -> str:
        """For ``REDIS_URL``."""
        return "redis+cluster://" + ",".join(f"{ports.LOOPBACK}:{master.port}" for master in self.masters)

    def master_of(self, symbol: str) -> int:
        """Number of the master that has the keys of a symbol, before any :meth:`move`."""
        return self.holder(_slot(symbol))

    def holder(self, slot: int) -> int:
        """Number of the master that has a slot at first."""
        return min(3 * slot // SLOTS, 2)

    def move(self, symbol: str, target: Server) -> None:
        """Move the slot of a symbol with all its keys, as a resharding does."""
        self.move_slot(_slot(symbol), target)

    def move_slot(self, slot: int, target: Server, pause_s: float = 0.0) -> None:
        """Move a slot from the master that it has at first, as a resharding does.

        Args:
            slot: its number.
            target: another master.
            pause_s: how long to wait after each key. Then some of them are here and some there.
        """
        source = self.masters[self.holder(slot)]
        source_id, target_id = (server.client.cluster("MYID").decode() for server in (source, target))
        target.client.cluster("SETSLOT", slot, "IMPORTING", source_id)
        source.client.cluster("SETSLOT", slot, "MIGRATING", target_id)
        while keys := source.client.cluster("GETKEYSINSLOT", slot, 1):
            source.client.migrate(ports.LOOPBACK, target.port, keys, 0, 5000)
            time.sleep(pause_s)
        for server in (target, source):
            server.client.cluster("SETSLOT", slot, "NODE", target_id)

    def _join(self, servers: list[Server]) -> None:
        for number, server in enumerate(servers):
            server.client.cluster("SET-CONFIG-EPOCH", number + 1)
            first, after = (-(-SLOTS * n // len(servers)) for n in (number, number + 1))
            server.client.cluster("ADDSLOTS", *range(first, after))
            server.client.cluster("MEET", ports.LOOPBACK, servers[0].port)
        for server in servers:
            wait_until(lambda s=server: _state(s) == ("ok", str(SLOTS), "3"), "the cluster to be complete", 15)

    def _join_replica(self, replica: Server) -> None:
        first = self.masters[0].client.cluster("MYID").decode()
        replica.client.cluster("MEET", ports.LOOPBACK, self.masters[0].port)
        known = "the replica to know the others"
        wait_until(lambda: first in str(replica.client.cluster("NODES")), known)
        wait_until(lambda: _state(replica)[1:] == (str(SLOTS), "3"), known)
        replica.client.cluster("REPLICATE", first)
        wait_until(
            lambda: replica.client.info("replication")["master_link_status"] == "up", "the replica to be in step"
        )
        for server in self.masters[1:]:  # they elect it
            wait_until(lambda s=server: f"{ports.LOOPBACK}:{replica.port}" in s.client.cluster("NODES"), known)


def _slot(symbol: str) -> int:
    return key_slot(Keys().book(symbol).encode())


def _state(server: Server) -> tuple[str, str, str]:
    info = server.client.cluster("INFO")
    return info["cluster_state"], info["cluster_slots_assigned"], info["cluster_size"]


def _sentinel_config(port: int, folder: Path, master_port: int) -> str:
    return (
        f"port {port}\nbind {ports.LOOPBACK}\ndir {folder}\n"
        f"sentinel monitor {SERVICE} {ports.LOOPBACK} {master_port} 1\n"
        f"sentinel down-after-milliseconds {SERVICE} 500\n"
        f"sentinel failover-timeout {SERVICE} 5000\n"
    )


def _pick() -> int:
    """A free port that leaves the one of the cluster's bus, 10,000 above, free too."""
    while True:
        port = ports.pick(taken=_TAKEN)
        _TAKEN.add(port)
        if ports.is_free(port + 10_000):
            return port
