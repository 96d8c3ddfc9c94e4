"""The proxy on the way to the exchange, if the environment names one.

The variables are those of curl and most other programs: ``HTTPS_PROXY`` for https and wss, ``HTTP_PROXY`` for http and
ws, ``ALL_PROXY`` for both, ``NO_PROXY`` for the hosts that need none. They may be written in lower case. aiohttp alone
looks for ``WSS_PROXY``, and supports no SOCKS proxy.
"""

from __future__ import annotations

import ssl
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError, ProxyType

from tickfence.redis_access.address import masked

TRANSPORT_ERRORS = (
    *(aiohttp.ClientError, OSError, TimeoutError),
    *(ProxyError, ProxyConnectionError, ProxyTimeoutError),
)
"""What a request or a handshake raises when it does not get through, with or without a proxy."""

_VARIABLES = {"https": ("https",), "wss": ("wss", "https"), "http": ("http",), "ws": ("ws", "http")}
"""Scheme of an address -> which ``*_PROXY`` to look for; ALL_PROXY comes last."""

_HTTP = ("http", "https")
_SOCKS = {
    "socks5": ProxyType.SOCKS5,
    "socks5h": ProxyType.SOCKS5,
    "socks4": ProxyType.SOCKS4,
    "socks4a": ProxyType.SOCKS4,
}
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SOCKS_PORT = 1080


class BadProxy(ValueError):
    """A variable names a proxy that cannot be used. Its text is the one line to show."""


class Proxy(NamedTuple):
    """A proxy.

    Attributes:
        url: its address, maybe with a user and a password.
        scheme: of that address.
        host: its name or address.
        port: its port.
        user: its user; empty if it needs none.
        password: of that user.
    """

    url: str
    scheme: str
    host: str
    port: int
    user: str
    password: str


def proxy_for(address: str) -> Proxy | None:
    """The proxy for the URL ``address``, as the environment says; ``None`` if it is reached directly.

    Raises:
        BadProxy: it cannot be used. The text names the variable and what is accepted.
    """
    parts = urlsplit(address)
    if parts.hostname is None or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxies = getproxies()
    for name in (*_VARIABLES[parts.scheme], "all"):
        if url := proxies.get(name):
            return _parsed(f"{name.upper()}_PROXY", url)
    return None


def _parsed(variable: str, text: str) -> Proxy:
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in (*_HTTP, *_SOCKS):
        accepted = ", ".join(f"{scheme}://" for scheme in (*_HTTP, *_SOCKS))
        raise BadProxy(f"{variable}={masked(text)}: must be a host and port after one of {accepted}")
    port = port or _DEFAULT_PORTS.get(parts.scheme, _SOCKS_PORT)
    return Proxy(url, parts.scheme, host, port, unquote(parts.username or ""), unquote(parts.password or ""))


def shown(proxy: Proxy | None) -> str:
    """The proxy for the log, without its password."""
    return "none" if proxy is None else masked(proxy.url)


def open_session(url: str, proxy: Proxy | None) -> aiohttp.ClientSession:
    """A session for ``url`` that goes through ``proxy``; call it in a coroutine.

    A tunnel by CONNECT carries TLS and WebSockets (RFC 6455, section 4.1); plain http is requested of the proxy itself
    (RFC 9110, section 7.1).
    """
    if proxy is None:
        return aiohttp.ClientSession()
    if proxy.scheme in _HTTP and not url.startswith("ws:"):
        # The user is given apart, because errors of aiohttp show the whole address.
        account = aiohttp.BasicAuth(proxy.user, proxy.password, "utf-8") if proxy.user or proxy.password else None
        address = f"{proxy.scheme}://{urlsplit(proxy.url).netloc.rpartition('@')[2]}"
        return aiohttp.ClientSession(proxy=address, proxy_auth=account)
    tunnel = ProxyConnector(
        proxy.host,
        proxy.port,
        proxy_type=_SOCKS.get(proxy.scheme, ProxyType.HTTP),
        username=proxy.user,
        password=proxy.password,
        rdns=proxy.scheme != "socks4",  # whose protocol has no names
        proxy_ssl=ssl.create_default_context() if proxy.scheme == "https" else None,
    )
    return aiohttp.ClientSession(connector=tunnel)
