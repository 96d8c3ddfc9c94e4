"""Redis clients for coordination: short waits, and no retry that nobody asked for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.retry import Retry
from redis.sentinel import Sentinel as SentinelManager
from redis.sentinel import SentinelConnectionPool

from tickfence.redis_access.address import parse_cluster, parse_sentinel


def connect(url: str, *, name: str, timeout_s: float = 1.0, dedicated: bool = False) -> Any:
    """A client that fails within ``timeout_s`` rather than wait.

    redis-py's own retry sleeps for seconds; here the caller decides what may be sent again, and when.

    Parameters:
        url: ``redis://``, ``rediss://``, or ``redis+sentinel://`` (:mod:`tickfence.redis_access.address`): then every
            new connection goes to the server that is the master by then; or ``redis+cluster://``.
        name: shown by ``CLIENT LIST``.
        dedicated: single commands (not pipelines) all go over one connection, ``client.connection``. A cluster's client
            has one for each server, and this changes nothing.
    """
    options: dict[str, Any] = {
        "client_name": name,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
        "health_check_interval": 0,
        "retry": Retry(NoBackoff(), 0),
    }
    cluster = parse_cluster(url)
    if cluster is not None:
        return redis.RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in cluster.nodes],  # type: ignore[no-untyped-call]
            username=cluster.username,
            password=cluster.password,
            **options,
        )
    watched = parse_sentinel(url)
    if watched is None:
        pool = redis.ConnectionPool.from_url(url, **options)
    else:
        account = {"username": watched.username, "password": watched.password}
        # What is not in sentinel_kwargs does not reach the Sentinels: redis-py would retry a dead one for seconds.
        asking = {key: options[key] for key in ("socket_timeout", "socket_connect_timeout", "retry")}
        manager = SentinelManager(list(watched.sentinels), sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
        pool = SentinelConnectionPool(watched.service, manager, db=watched.db, **account, **options)  # type: ignore[no-untyped-call]
    client = redis.Redis(connection_pool=pool, single_connection_client=dedicated)
    client.auto_close_connection_pool = True  # close() ends the connection, as others shall see at once
    return client


def forget_connections(client: Any) -> None:
    """Close what ``client`` keeps open: after Redis restarted, each such connection would fail once."""
    if isinstance(client, redis.RedisCluster):
        client.disconnect_connection_pools()  # type: ignore[no-untyped-call]
    else:
        client.connection_pool.disconnect()


def pauses(first_s: float = 0.02, longest_s: float = 0.25) -> Iterator[float]:
    """Waits between attempts to reach Redis again: doubling, bounded, each with full jitter above half.

    The bound is low on purpose: reports must be back within 2 s of Redis.
    """
    wait = first_s
    while True:
        yield wait * random.uniform(0.5, 1)
        wait = min(2 * wait, longest_s)
