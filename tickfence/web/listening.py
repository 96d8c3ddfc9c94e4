"""The socket that the server listens on, and what its connections inherit."""

from __future__ import annotations

import socket

BACKLOG = 1024
_SEND_BUFFER = 64 * 1024
"""What the kernel keeps for a client that does not read; by default it would be megabytes of outdated state."""
_DEAD_AFTER_MS = 30_000
"""A client that takes nothing for so long is cut off by the kernel (Linux)."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        OSError: there is no such address, or its port is taken.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit these.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_AFTER_MS)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
