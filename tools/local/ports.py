"""Which loopback ports to use: the usual port where it is free, another one where it is not."""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Container
from itertools import chain

LOOPBACK = "127.0.0.1"

# Below the range that Linux and macOS give to outgoing connections: between the choice of a port and its use a second
# later no client takes it as its source port.
_FIRST, _LAST = 20_000, 32_000
_TRIES = 200


def answers(port: int) -> bool:
    """Whether a server accepts connections on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    # A server on 0.0.0.0 does not keep macOS from binding 127.0.0.1, so ask for an answer too.
    if answers(port):
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


class Claim:
    """Keeps other stacks on this machine from choosing a port, as long as this object lives.

    A role binds its port seconds after the choice, and until then the port looks free to everyone. A claim is a name
    that ends with its process. Only Linux has such names; on other systems a claim does nothing.

    Raises:
        OSError: the port is claimed already.
    """

    def __init__(self, port: int) -> None:
        self._name = socket.socket(socket.AF_UNIX)
        if sys.platform == "linux":
            self._name.bind(f"\0tickfence-port-{port}")

    def __del__(self) -> None:
        self._name.close()


def choose(preferred: int | None = None, *, taken: Container[int] = ()) -> tuple[int, Claim]:
    """Choose and claim a free port.

    Args:
        preferred: the port to choose if it is free.
        taken: ports not to choose.

    Raises:
        RuntimeError: no free port was found.
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
    """As :func:`choose`, without a claim: for a server that binds the port at once."""
    return choose(preferred, taken=taken)[0]
