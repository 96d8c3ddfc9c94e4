"""Clients for every form of ``REDIS_URL``, blocking and asyncio, with one set of rules.

Nothing here is tried again and nothing waits for long: the caller knows what may be sent twice, and when.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import redis
import redis.asyncio
from redis.backoff import NoBackoff

from tickfence.redis_access.address import parse_cluster, parse_sentinel
from tickfence.redis_access.client_name import name_only, named, named_asyncio
from tickfence.redis_access.switched_master import FollowingAsyncConnection, FollowingConnection


def connect(url: str, *, name: str, timeout_s: float = 1.0, dedicated: bool = False) -> Any:
    """A blocking client, whose calls end within about ``timeout_s``.

    Args:
        url: ``redis://``, ``rediss://``, ``redis+sentinel://`` or ``redis+cluster://``, see
            :mod:`tickfence.redis_access.address`. With Sentinel, every new connection goes to the server that is the
            master at that time, and ends when Sentinel replaces it.
        name: shown by ``CLIENT LIST``, where there is this command.
        timeout_s: for connecting, and for each reply.
        dedicated: single commands (not pipelines) share one connection, ``client.connection``. A cluster's client has
            one connection for each server, whatever this says.

    Raises:
        redis.exceptions.RedisClusterException: no node of the cluster can be reached. The other clients connect with
            their first command.
    """
    connected = name_only(name) if parse_cluster(url) else named(name)
    options = _options(redis, timeout_s) | {"socket_timeout": timeout_s, "redis_connect_func": connected}
    return _client(redis, url, options, dedicated)


def connect_asyncio(url: str, *, name: str, timeout_s: float) -> Any:
    """An asyncio client. It limits the time for connecting only: put :func:`asyncio.timeout` around your calls.

    redis-py's own limit is :func:`asyncio.wait_for`, which may lose a cancellation before Python 3.12:
    https://github.com/python/cpython/issues/86296

    Args:
        url: as for :func:`connect`.
        name: shown by ``CLIENT LIST``, but for a cluster's.
        timeout_s: for connecting.
    """
    options = _options(redis.asyncio, timeout_s)
    if parse_cluster(url) is None:
        options["redis_connect_func"] = named_asyncio(name)
    return _client(redis.asyncio, url, options)


def asyncio_pool(url: str, *, name: str, timeout_s: float) -> Any:
    """An asyncio pool, for connections that are made one by one.

    Args:
        url: as for :func:`connect`, but no cluster's: name one of its nodes, by ``redis://``.
        name: shown by ``CLIENT LIST``.
        timeout_s: for connecting.
    """
    options = _options(redis.asyncio, timeout_s) | {"redis_connect_func": named_asyncio(name)}
    return _pool(redis.asyncio, url, options)


def is_cluster(client: Any) -> bool:
    """Whether the client is that of a Redis Cluster, where one command touches keys of one slot only."""
    return isinstance(client, (redis.RedisCluster, redis.asyncio.RedisCluster))


def forget_connections(client: Any) -> None:
    """Close the connections that a blocking client keeps. After Redis restarted, each of them would fail once."""
    if is_cluster(client):
        client.disconnect_connection_pools()
    else:
        client.connection_pool.disconnect()


async def forget_asyncio_connections(client: Any) -> None:
    """Close the connections that an asyncio client keeps and that nobody uses now."""
    if is_cluster(client):
        await client.aclose()  # the next command opens it, and it learns the slots then
    else:
        await client.connection_pool.disconnect(inuse_connections=False)


# `library` is redis or redis.asyncio: redis-py has everything twice, under the same names.


def _options(library: ModuleType, timeout_s: float) -> dict[str, Any]:
    return {
        "socket_timeout": None,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
        "health_check_interval": 0,
        "retry": library.retry.Retry(NoBackoff(), 0),
    }


def _client(library: ModuleType, url: str, options: dict[str, Any], dedicated: bool = False) -> Any:
    cluster = parse_cluster(url)
    if cluster is not None:
        nodes = [library.cluster.ClusterNode(host, port) for host, port in cluster.nodes]
        return library.RedisCluster(
            startup_nodes=nodes, username=cluster.username, password=cluster.password, **options
        )
    client = library.Redis(connection_pool=_pool(library, url, options), single_connection_client=dedicated)
    client.auto_close_connection_pool = True  # so that close() ends the connection: others watch for that
    return client


def _pool(library: ModuleType, url: str, options: dict[str, Any]) -> Any:
    watched = parse_sentinel(url)
    if watched is None:
        return library.ConnectionPool.from_url(url, **options)
    # Only sentinel_kwargs reach the Sentinels; without a limit a dead one would be retried for seconds. Each has half
    # the time, so that there is time to ask the next one.
    limit_s = options["socket_connect_timeout"] / 2
    asking = {"socket_timeout": limit_s, "socket_connect_timeout": limit_s, "retry": options["retry"]}
    manager = library.Sentinel(list(watched.sentinels), sentinel_kwargs=asking)
    account = {"username": watched.username, "password": watched.password}
    options["connection_class"] = FollowingConnection if library is redis else FollowingAsyncConnection
    return library.SentinelConnectionPool(watched.service, manager, db=watched.db, **account, **options)
