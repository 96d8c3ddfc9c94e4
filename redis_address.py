"""Where a Redis is: one server, whichever one Sentinel says is the master, or a cluster."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

SINGLE_SCHEMES = ("redis", "rediss", "unix")
SENTINEL_SCHEMES = ("redis+sentinel", "sentinel")
CLUSTER_SCHEMES = ("redis+cluster",)

Account = tuple[str | None, str | None]


class Cluster(NamedTuple):
    """A Redis Cluster.

    Attributes:
        nodes: (host, port) of some of its nodes; the others are found through them.
        username, password: ``None`` where there is none.
    """

    nodes: tuple[tuple[str, int], ...]
    username: str | None
    password: str | None


class Sentinel(NamedTuple):
    """A master that Redis Sentinel keeps track of.

    Attributes:
        sentinels: (host, port) of each Sentinel.
        service: the name it has there.
        db, username, password: of the master; ``None`` where there is none.
    """

    sentinels: tuple[tuple[str, int], ...]
    service: str
    db: int
    username: str | None
    password: str | None


def parse_sentinel(url: str) -> Sentinel | None:
    """``redis+sentinel://[user:password@]host:port[,host:port…]/service[/db]``, or ``None`` for another scheme.

    Raises:
        ValueError: the scheme is Sentinel's and the rest is not as above.

    Example:
        >>> parse_sentinel("redis+sentinel://10.0.0.1:26379,10.0.0.2:26379/mymaster/1").service
        'mymaster'
    """
    parts = urlsplit(url)
    if parts.scheme not in SENTINEL_SCHEMES:
        return None
    path = parts.path.strip("/").split("/")
    if not path[0] or len(path) > 2 or not (len(path) == 1 or path[1].isdigit()):
        raise ValueError(_SENTINEL_FORM)
    hosts, (username, password) = _hosts(parts.netloc, _SENTINEL_FORM)
    return Sentinel(hosts, path[0], int(path[1]) if len(path) == 2 else 0, username, password)


def parse_cluster(url: str) -> Cluster | None:
    """``redis+cluster://[user:password@]host:port[,host:port…]``, or ``None`` for another scheme.

    Raises:
        ValueError: the scheme is the cluster's and the rest is not as above.
    """
    parts = urlsplit(url)
    if parts.scheme not in CLUSTER_SCHEMES:
        return None
    if parts.path.strip("/"):
        raise ValueError(_CLUSTER_FORM)  # a cluster has no numbered databases
    hosts, (username, password) = _hosts(parts.netloc, _CLUSTER_FORM)
    return Cluster(hosts, username, password)


def _hosts(netloc: str, form: str) -> tuple[tuple[tuple[str, int], ...], Account]:
    account, _, addresses = netloc.rpartition("@")
    user, _, password = account.partition(":")
    hosts = []
    for address in addresses.split(","):
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(form)
        hosts.append((host, int(port)))
    return tuple(hosts), (unquote(user) or None, unquote(password) or None)


def kombu_address(url: str) -> tuple[str, dict[str, object]]:
    """``url`` in kombu's form, which for Sentinel differs from ours, and the transport options that go with it."""
    watched = parse_sentinel(url)
    if watched is None:
        return url, {}
    account = f"{watched.username or ''}:{watched.password}@" if watched.password else ""
    urls = ";".join(f"sentinel://{account}{host}:{port}/{watched.db}" for host, port in watched.sentinels)
    return urls, {"master_name": watched.service}


_SENTINEL_FORM = "must look like redis+sentinel://[user:password@]host:port[,host:port]/service[/db]"
_CLUSTER_FORM = "must look like redis+cluster://[user:password@]host:port[,host:port]"
