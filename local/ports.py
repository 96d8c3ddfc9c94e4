"""Which loopback ports to use: the usual one where it is free, another where it is not."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Container

LOOPBACK = "127.0.0.1"

# Below the range that Linux and macOS hand out to outgoing connections: a port picked here and
# bound a second later has not become some client's source port in between.
_FIRST, _LAST = 20_000, 32_000
_TRIES = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.settimeout(1)
        # A server on 0.0.0.0 does not keep macOS from binding 127.0.0.1, so ask for an answer too.
        if probe.connect_ex((LOOPBACK, port)) == 0:
            return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def await_taken(port: int, within_s: float) -> bool:
    """Wait until somebody listens on this loopback port; whether that was within ``within_s``."""
    deadline = time.monotonic() + within_s
    while is_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def pick(preferred: int | None = None, *, taken: Container[int] = ()) -> int:
    """``preferred`` where it is free, else any free port; never one of ``taken``.

    Raises :exc:`RuntimeError` when no free port was found.
    """
    if preferred is not None and preferred not in taken and is_free(preferred):
        return preferred
    for _ in range(_TRIES):
        port = random.randint(_FIRST, _LAST)
        if port not in taken and is_free(port):
            return port
    raise RuntimeError(f"no free port between {_FIRST} and {_LAST} on {LOOPBACK} after {_TRIES} tries")
