"""The address of a RabbitMQ, and the settings with which kombu reaches it."""

from __future__ import annotations

import re
import ssl
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from tickfence.redis_access.address import TLS_OPTIONS, host_and_port

AMQP_SCHEMES = ("amqp", "amqps")

_PORTS = {"amqp": 5672, "amqps": 5671}
_FORM = "must look like amqp://[user:password@]host[:port][/vhost]"
_TLS_FORM = (
    "must look like amqps://[user:password@]host[:port][/vhost][?option=value&...], "
    f"with options among {', '.join(TLS_OPTIONS)}"
)


class RabbitMQ(NamedTuple):
    """A RabbitMQ server, as Celery's settings name it.

    Attributes:
        url: ``broker_url``.
        tls: ``broker_use_ssl``; ``None`` for a plain connection.
        host: ``host:port``, with brackets around an IPv6 address, which kombu would leave out.
    """

    url: str
    tls: dict[str, Any] | None
    host: str


def parse_amqp(url: str) -> RabbitMQ | None:
    """Parse ``amqp://[user:password@]host[:port][/vhost]`` or ``amqps://…``.

    Over TLS, the server's certificate is checked against the system's authorities, unless options say otherwise.

    Returns:
        The server, or ``None`` for another scheme.

    Raises:
        ValueError: The scheme is AMQP's and the rest is malformed.

    Example:
        >>> parse_amqp("amqp://ann:secret@rabbit/ticks").host
        'rabbit:5672'
    """
    scheme = url.partition("://")[0]
    if scheme not in AMQP_SCHEMES:
        return None
    form = _TLS_FORM if scheme == "amqps" else _FORM
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(form) from None  # its own words may quote the password
    host, port = host_and_port(parts.netloc.rpartition("@")[2], form, default_port=_PORTS[scheme])
    if parts.fragment or not re.fullmatch("(/(/|[^/]*))?", parts.path):
        raise ValueError(form)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.query and (scheme == "amqp" or not options):
        raise ValueError(form)
    for name, value in options.items():
        if not re.fullmatch(TLS_OPTIONS.get(name, "(?!)"), value):
            raise ValueError(form)
    plain = url.partition("?")[0].replace(";", "%3B")  # kombu takes what follows a ; for another server's URL
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return RabbitMQ(plain, _tls(options, host) if scheme == "amqps" else None, address)


def _tls(options: dict[str, str], host: str) -> dict[str, Any]:
    required = ssl.VerifyMode[f"CERT_{options.get('ssl_cert_reqs', 'required').upper()}"]
    files = {name: options[f"ssl_{name}"] for name in ("ca_certs", "certfile", "keyfile") if f"ssl_{name}" in options}
    if required == ssl.CERT_NONE or options.get("ssl_check_hostname") == "false":
        return {"cert_reqs": required} | files  # py-amqp compares the name where there is one
    return {"cert_reqs": required, "server_hostname": host} | files
