"""Clients, and how much each of them may ask for."""

from __future__ import annotations

import ipaddress
import time

from starlette.types import Scope

_BURST_S = 2.0
_SWEEP_S = 10.0
READER = "tickfence.reader"
"""The key of a scope that holds the name of the reader, where a token was needed."""


def client_of(scope: Scope) -> str:
    """Return what tells this request's client from others: its reader's name and its address.

    A client has one IPv6 network of 64 bits, so that is its address. An IPv4 address that IPv6 carries is itself.

    Example:
        >>> [client_of({"client": (host, 1)}) for host in ("10.0.0.7", "::ffff:10.0.0.7", "2001:db8::1:2:3:4", "a-proxy")]
        ['@10.0.0.7', '@10.0.0.7', '@2001:db8::', '@a-proxy']
    """
    host = (scope.get("client") or ("", 0))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        pass  # what a proxy calls it
    else:
        if isinstance(address, ipaddress.IPv6Address):
            host = str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False).network_address)
    return f"{scope.get(READER, '')}@{host}"


class Requests:
    """A bucket of tokens for each client: it fills evenly, and every request takes one.

    Args:
        per_s: Requests a second over a longer time; a client that has paused may make two seconds' worth at once. 0: any
            number.
    """

    def __init__(self, per_s: int) -> None:
        self.per_s, self._burst = per_s, per_s * _BURST_S
        self._left: dict[str, tuple[float, float]] = {}  # and when it was so, monotonic seconds
        self._swept = 0.0

    def take(self, client: str) -> bool:
        """Return whether ``client`` may make a request now."""
        if not self.per_s:
            return True
        now = time.monotonic()
        if now - self._swept > _SWEEP_S:
            self._swept = now
            self._left = {name: left for name, left in self._left.items() if now - left[1] < _BURST_S}
        left, at = self._left.get(client, (self._burst, now))
        left = min(self._burst, left + (now - at) * self.per_s)
        self._left[client] = (left - (left >= 1), now)
        return left >= 1
