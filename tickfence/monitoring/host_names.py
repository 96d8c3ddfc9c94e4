"""Which names a request may have in its ``Host`` header: the one rule of the web server, the metrics ports and Flower.

A foreign site can make a name of its own resolve to this machine, and then its pages read this server as their own site
(DNS rebinding). The header reveals it. Such a name has a dot: an IP address needs no DNS, and a name without a dot exists in
the local network only.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

EXAMPLES = ("127.0.0.1", "[::1]", "localhost")
"""Accepted everywhere."""

_PORT = re.compile(r":[0-9]*\Z")
_LOCAL = re.compile(r"[a-z0-9_-]{1,63}")


def accepted(host: str, names: Collection[str]) -> bool:
    """Return whether a request with this ``Host`` header is answered.

    Args:
        host: The header's value, with or without a port.
        names: Further names that are accepted, in lower case.

    Example:
        >>> [accepted(host, ()) for host in ("localhost:8000", "10.0.0.7", "[::1]:80", "node-001", "evil.example")]
        [True, True, True, True, False]
    """
    name = _PORT.sub("", host).lower()
    return name in names or _LOCAL.fullmatch(name) is not None or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        if name.startswith("[") and name.endswith("]"):
            ipaddress.IPv6Address(name[1:-1])
        else:
            ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True
