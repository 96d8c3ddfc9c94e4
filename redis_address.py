"""Where a Redis is: one server, or whichever one Sentinel says is the master."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

SINGLE_SCHEMES = ("redis", "rediss", "unix")
SENTINEL_SCHEMES = ("redis+sentinel", "sentinel")


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
    account, _, hosts = parts.netloc.rpartition("@")
    user, _, password = account.partition(":")
    path = parts.path.strip("/").split("/")
    sentinels = []
    for address in hosts.split(","):
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(_FORM)
        sentinels.append((host, int(port)))
    if not path[0] or len(path) > 2 or not (len(path) == 1 or path[1].isdigit()):
        raise ValueError(_FORM)
    db = int(path[1]) if len(path) == 2 else 0
    return Sentinel(tuple(sentinels), path[0], db, unquote(user) or None, unquote(password) or None)


def kombu_address(url: str) -> tuple[str, dict[str, object]]:
    """``url`` in kombu's form, which for Sentinel differs from ours, and the transport options that go with it."""
    watched = parse_sentinel(url)
    if watched is None:
        return url, {}
    account = f"{watched.username or ''}:{watched.password}@" if watched.password else ""
    urls = ";".join(f"sentinel://{account}{host}:{port}/{watched.db}" for host, port in watched.sentinels)
    return urls, {"master_name": watched.service}


_FORM = "must look like redis+sentinel://[user:password@]host:port[,host:port]/service[/db]"
