"""Where a Redis is: one server, the master that Sentinel names, or a cluster."""

from __future__ import annotations

import re
from ssl import VerifyMode
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from redis.backoff import NoBackoff
from redis.retry import Retry

SINGLE_SCHEMES = ("redis", "rediss")
SENTINEL_SCHEMES = ("redis+sentinel", "sentinel")
CLUSTER_SCHEMES = ("redis+cluster",)

TLS_OPTIONS = {
    "ssl_cert_reqs": "none|optional|required",
    "ssl_check_hostname": "true|false",
    "ssl_ca_certs": ".+",
    "ssl_certfile": ".+",
    "ssl_keyfile": ".+",
}
"""The options of a URL with TLS: name -> pattern of its value."""

Account = tuple[str | None, str | None]
Address = tuple[str, int]
"""Host and port."""


class Cluster(NamedTuple):
    """A Redis Cluster.

    Attributes:
        nodes: (host, port) of some of its nodes; the others are found through them.
        username: ``None`` if there is none.
        password: ``None`` if there is none.
    """

    nodes: tuple[Address, ...]
    username: str | None
    password: str | None

    def node_url(self, node: Address) -> str:
        """The URL of one of its nodes alone."""
        return f"redis://{_account(self.username, self.password)}{_host(node)}"


class Sentinel(NamedTuple):
    """A master that Redis Sentinel watches.

    Attributes:
        sentinels: (host, port) of each Sentinel.
        service: the master's name there.
        db: database of the master.
        username: of the master; ``None`` if there is none.
        password: of the master; ``None`` if there is none.
    """

    sentinels: tuple[Address, ...]
    service: str
    db: int
    username: str | None
    password: str | None


def check_server(url: str) -> None:
    """Refuse a ``redis://`` or ``rediss://`` URL that redis-py and kombu read differently.

    Their query options differ. If the database is not a number, redis-py takes 0, and kombu fails.

    Raises:
        ValueError: it is not ``redis://[user:password@]host[:port][/db]``. ``rediss://`` may have the TLS options that
            both understand.
    """
    scheme = _scheme(url)
    if scheme not in SINGLE_SCHEMES:
        return
    form = _TLS_FORM if scheme == "rediss" else _SERVER_FORM
    parts = _split(url, form)
    host_and_port(parts.netloc.rpartition("@")[2], form, default_port=6379)
    if not re.fullmatch("(/[0-9]{0,9})?", parts.path):
        raise ValueError(form)
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        accepted = TLS_OPTIONS.get(name) if scheme == "rediss" else None
        if accepted is None or not re.fullmatch(accepted, value):
            raise ValueError(form)


def parse_sentinel(url: str) -> Sentinel | None:
    """Parse ``redis+sentinel://[user:password@]host:port[,host:port…]/service[/db]``; ``None`` for another scheme.

    Raises:
        ValueError: the scheme is Sentinel's, and the rest is not as above.

    Example:
        >>> parse_sentinel("redis+sentinel://10.0.0.1:26379,10.0.0.2:26379/mymaster/1").service
        'mymaster'
    """
    if _scheme(url) not in SENTINEL_SCHEMES:
        return None
    parts = _split(url, _SENTINEL_FORM)
    path = re.fullmatch("/([^/]+)(?:/([0-9]{0,9}))?", parts.path)
    if path is None or parts.query:
        raise ValueError(_SENTINEL_FORM)
    hosts, (username, password) = _hosts(parts.netloc, _SENTINEL_FORM)
    return Sentinel(hosts, path[1], int(path[2] or 0), username, password)


def parse_cluster(url: str) -> Cluster | None:
    """Parse ``redis+cluster://[user:password@]host:port[,host:port…]``; ``None`` for another scheme.

    Raises:
        ValueError: the scheme is the cluster's, and the rest is not as above.
    """
    if _scheme(url) not in CLUSTER_SCHEMES:
        return None
    parts = _split(url, _CLUSTER_FORM)
    if parts.path.strip("/") or parts.query:
        raise ValueError(_CLUSTER_FORM)  # a cluster has no numbered databases
    hosts, (username, password) = _hosts(parts.netloc, _CLUSTER_FORM)
    return Cluster(hosts, username, password)


def masked(url: str) -> str:
    """``url`` with ``***`` for its password, to be shown. Any text is accepted.

    Example:
        >>> masked("redis://ann:secret@localhost:6379/0")
        'redis://ann:***@localhost:6379/0'
    """
    # A password may hold any character, so everything up to the last @ may belong to it.
    shown = re.sub(r"\A((?>(?:[^:]*://)?)[^:]*):.*@", r"\1:***@", url, flags=re.DOTALL)
    return re.sub(r"(password=)[^&]*", r"\1***", shown, flags=re.IGNORECASE)


def with_password(url: str, password: str) -> str:
    """``url`` with the password of its user, or of the default user if it names none.

    Raises:
        ValueError: it has a password already.

    Example:
        >>> with_password("redis://ann@localhost:6379/0", "a/b")
        'redis://ann:a%2Fb@localhost:6379/0'
    """
    scheme, _, rest = url.partition("://")
    account, at, _ = re.split("[/?]", rest, maxsplit=1)[0].rpartition("@")
    if ":" in account:
        raise ValueError("must not hold a password")
    return f"{scheme}://{account}:{_quoted(password)}@{rest[len(account + at) :]}"


def kombu_address(url: str) -> tuple[str, dict[str, object]]:
    """``url`` in kombu's form, which differs for Sentinel, and the transport options that it needs.

    Returns:
        The URL for ``broker_url``, and options for ``broker_transport_options``.
    """
    watched = parse_sentinel(url)
    if watched is None:
        return url.replace(";", "%3B"), {}  # kombu reads another server's URL after a ;
    account = _account(watched.username, watched.password)
    # Only sentinel_kwargs reach the Sentinels. Without them redis-py retries a dead one for seconds, and only then asks
    # the next one.
    asking = {"socket_timeout": 1, "socket_connect_timeout": 1, "retry": Retry(NoBackoff(), 0)}
    urls = ";".join(f"sentinel://{account}{_host(sentinel)}/{watched.db}" for sentinel in watched.sentinels)
    return urls, {"master_name": watched.service, "sentinel_kwargs": asking}


def kombu_tls(url: str) -> dict[str, object] | None:
    """The TLS options of ``url`` for ``broker_use_ssl``; ``None`` if it is not ``rediss://``.

    kombu reads them from the URL too, but does not check the server's certificate where the URL has none. Flower reads
    them from here alone.
    """
    if _scheme(url) != "rediss":
        return None
    given = dict(parse_qsl(urlsplit(url).query))
    required = VerifyMode[f"CERT_{given.get('ssl_cert_reqs', 'required').upper()}"]
    options: dict[str, object] = {**given, "ssl_cert_reqs": required}
    if "ssl_check_hostname" in given:
        options["ssl_check_hostname"] = given["ssl_check_hostname"] == "true"
    return options


def host_and_port(text: str, form: str, default_port: int = 0) -> Address:
    """Parse ``host[:port]`` or ``[IPv6 address][:port]``.

    Args:
        text: what to parse.
        form: text of the error.
        default_port: 0 if the port is required.

    Raises:
        ValueError: it is neither.
    """
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?", text)
    port = int(found[3] or default_port) if found else 0
    if found is None or not 0 < port < 65_536:
        raise ValueError(form)
    return found[1] or found[2], port


def _scheme(url: str) -> str:
    return url.partition("://")[0]


def _split(url: str, form: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(form) from None  # the original text may quote the password
    if parts.fragment:
        raise ValueError(form)
    return parts


def _hosts(netloc: str, form: str) -> tuple[tuple[Address, ...], Account]:
    account, _, addresses = netloc.rpartition("@")
    user, _, password = account.partition(":")
    hosts = tuple(host_and_port(address, form) for address in addresses.split(","))
    return hosts, (unquote(user) or None, unquote(password) or None)


def _account(username: str | None, password: str | None) -> str:
    return f"{_quoted(username)}:{_quoted(password)}@" if username or password else ""


def _host(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _quoted(text: str | None) -> str:
    return quote(text or "", safe="")


_SERVER_FORM = "must look like redis://[user:password@]host[:port][/db]"
_TLS_FORM = (
    "must look like rediss://[user:password@]host[:port][/db][?option=value&...], with options among "
    "ssl_cert_reqs=none|optional|required, ssl_check_hostname=true|false, ssl_ca_certs, ssl_certfile and ssl_keyfile"
)
_SENTINEL_FORM = "must look like redis+sentinel://[user:password@]host:port[,host:port]/service[/db]"
_CLUSTER_FORM = "must look like redis+cluster://[user:password@]host:port[,host:port]"
