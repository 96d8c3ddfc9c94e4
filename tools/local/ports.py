"""Which loopback ports to use: the usual one where it is free, another where it is not."""

from __future__ import annotations

import random
import socket
import sys
import time
from collections.abc import Container
from itertools import chain

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


class Claim:
    """Keeps other stacks on this machine from choosing a port, for as long as this object lives.

    A role binds its port seconds after it was chosen, and until then the port looks free to everybody. Only Linux has
    names that end with their holder; elsewhere nobody is kept from anything.

    Raises:
        OSError: another has it.
    """

    def __init__(self, port: int) -> None:
        self._name = socket.socket(socket.AF_UNIX)
        if sys.platform == "linux":
            self._name.bind(f"\0tickfence-port-{port}")

    def __del__(self) -> None:
        self._name.close()


def choose(preferred: int | None = None, *, taken: Container[int] = ()) -> tuple[int, Claim]:
    """``preferred`` where it is free, else any free port; never one of ``taken``, nor one that another has claimed.

    Raises :exc:`RuntimeError` when no free port was found.
    """
    drawn = (random.randint(_FIRST, _LAST) for _ in range(_TRIES))
    for port in drawn if preferred is None else chain([preferred], drawn):
        if port not in taken and is_free(port):
            try:
                return port, Claim(port)
            except OSError:
                continue
    raise RuntimeError(f"no free port between {_FIRST} and {_LAST} on {LOOPBACK} after {_TRIES} tries")


def pick(preferred: int | None = None, *, taken: Container[int] = ()) -> int:
    """The port that `choose` gives, for one who binds it at once."""
    return choose(preferred, taken=taken)[0]
