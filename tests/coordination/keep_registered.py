"""A process that registers a node and stays: ``keep_registered.py URL NODE TTL_MS``. It says on its output what happens."""

from __future__ import annotations

import os
import socket
import sys
import threading

from tickfence.coordination.clock import ServerClock
from tickfence.coordination.owner import Owner
from tickfence.coordination.registration import NodeIdInUse, Registration
from tickfence.keys import Keys

KEYS = Keys()


def main() -> None:
    url, node, ttl_ms = sys.argv[1], sys.argv[2], int(sys.argv[3])
    ended = threading.Event()

    def replaced(reason: NodeIdInUse) -> None:
        print("replaced", reason, flush=True)
        ended.set()

    registration = Registration(
        url,
        KEYS.node_group,
        Owner.start(node),
        {"host": socket.gethostname(), "pid": os.getpid(), "weight": 1},
        interval_ms=50,
        ttl_ms=ttl_ms,
        clock=ServerClock(),
        on_replaced=replaced,
    )
    try:
        registration.register()
    except NodeIdInUse as error:
        print("refused", error, flush=True)
        return
    registration.announce()
    print("registered", registration.owner.incarnation, flush=True)
    ended.wait()


if __name__ == "__main__":
    main()
