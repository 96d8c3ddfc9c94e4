"""A Redis master, its replica and three Sentinels, as roles of a stack.

Each has a configuration file, because a failover changes it: Sentinel makes every server write down its new master, so
that a restart does not undo the failover.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.local import ports
from tools.local.embedded_redis import find_server
from tools.local.roles import REDIS_PHASE, Role

SERVERS = ("redis-1", "redis-2")
SENTINELS = ("sentinel-1", "sentinel-2", "sentinel-3")
SERVICE = "tickfence"
QUORUM = 2
DOWN_AFTER_MS = 1000
FAILOVER_TIMEOUT_MS = 5000


@dataclass(frozen=True)
class SentinelPorts:
    """The loopback ports of one Sentinel group.

    Attributes:
        servers: by role name; ``redis-1`` is the first master.
        sentinels: by role name.
    """

    servers: dict[str, int]
    sentinels: dict[str, int]

    @classmethod
    def choose(cls, pick: Callable[[], int]) -> SentinelPorts:
        """Take the ports from ``pick``, which returns another one at each call."""
        return cls({name: pick() for name in SERVERS}, {name: pick() for name in SENTINELS})

    def url(self, db: int) -> str:
        """URL of one database, for ``REDIS_URL`` and ``CELERY_BROKER_URL``."""
        hosts = ",".join(f"{ports.LOOPBACK}:{port}" for port in self.sentinels.values())
        return f"redis+sentinel://{hosts}/{SERVICE}/{db}"


def sentinel_roles(where: SentinelPorts, folder: Path) -> list[Role]:
    """The roles of a group, in starting order. Writes the configuration of each to its own folder in ``folder``.

    Raises:
        RedisUnavailable: there is no Redis server to run.
    """
    first = next(iter(where.servers.values()))
    roles = []
    for name, port in (where.servers | where.sentinels).items():
        own = folder / name
        own.mkdir(parents=True, exist_ok=True)
        file, is_sentinel = own / "redis.conf", name in where.sentinels
        text = _sentinel_config(port, own, first) if is_sentinel else _server_config(port, own, first)
        file.write_text(text)
        command = (find_server(), str(file), *(("--sentinel",) if is_sentinel else ()))
        roles.append(Role(name, command, REDIS_PHASE, listens_on=port))
    return roles


def _server_config(port: int, folder: Path, master: int) -> str:
    follows = "" if port == master else f"replicaof {ports.LOOPBACK} {master}\n"
    # Since Redis 7 a master waits 5 s for more replicas before it sends its data by default.
    return f'{_common(port, folder)}save ""\nappendonly no\nrepl-diskless-sync-delay 0\n{follows}'


def _sentinel_config(port: int, folder: Path, master: int) -> str:
    return (
        f"{_common(port, folder)}"
        f"sentinel monitor {SERVICE} {ports.LOOPBACK} {master} {QUORUM}\n"
        f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n"
        f"sentinel failover-timeout {SERVICE} {FAILOVER_TIMEOUT_MS}\n"
    )


def _common(port: int, folder: Path) -> str:
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    return f'port {port}\nbind {ports.LOOPBACK}\ndir "{quoted}"\n'
