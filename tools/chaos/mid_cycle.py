"""Stop a node between what it reads and what it writes: the moment for which fencing exists."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Collection

from tools.chaos.lab import Lab, LabError
from tools.chaos.monitor_line import source
from tools.local.ports import LOOPBACK

_WITHIN_S = 30.0
_LOOK_ANEW_S = 1.0
_ARRIVES_S = 0.03


def stop_mid_cycle(lab: Lab, node: str) -> float:
    """SIGSTOP a node that has asked Redis for its market data and not yet sent what it makes of them.

    Redis' ``MONITOR`` shows when it asks. It is stopped then; if it turns out to have sent its write nevertheless, it
    goes on at once, milliseconds later, and the next cycle is tried. On a busy machine most stops come too late.

    Returns the time at which it was stopped; raises :exc:`tools.chaos.lab.LabError` when it was not to be caught in time.
    """
    pid = lab.pid(node)
    deadline = time.monotonic() + _WITHIN_S
    look_anew = 0.0
    sources: set[bytes] = set()
    stops = 0
    with lab.client() as client, socket.create_connection((LOOPBACK, lab.ports.redis), timeout=2) as monitor:
        monitor.sendall(b"CLIENT SETNAME chaos:mid-cycle\r\nMONITOR\r\n")
        rest = b""
        while (now := time.monotonic()) < deadline:
            if now >= look_anew:  # a node whose connection was cut has another one
                sources = {c["addr"].encode() for c in client.client_list() if c["name"] == f"work:{node}"}
                look_anew = now + _LOOK_ANEW_S
            seen, rest = _lines(monitor, rest, look_anew - now)
            if not _asks(seen, sources):
                continue
            os.kill(pid, signal.SIGSTOP)
            at = time.time()
            stops += 1
            quiet = time.monotonic() + _ARRIVES_S
            while (left := quiet - time.monotonic()) > 0:
                more, rest = _lines(monitor, rest, left)
                seen += more
            if not _wrote(seen, sources):
                return at
            os.kill(pid, signal.SIGCONT)
    raise LabError(f"{node} was not to be caught between reading and writing: {stops} stops in {_WITHIN_S:.0f} s")


def _lines(monitor: socket.socket, rest: bytes, timeout_s: float) -> tuple[list[bytes], bytes]:
    """The lines that arrive next, within ``timeout_s``, and what follows the last whole one."""
    if not select.select([monitor], [], [], max(timeout_s, 0.0))[0]:
        return [], rest
    if not (more := monitor.recv(1 << 20)):
        raise LabError("Redis closed the connection on which it showed what a node asks")
    lines = (rest + more).split(b"\r\n")
    return lines[:-1], lines[-1]


def _asks(lines: Collection[bytes], sources: Collection[bytes]) -> bool:
    return any(source(line) in sources for line in lines) and not _wrote(lines, sources)


def _wrote(lines: Collection[bytes], sources: Collection[bytes]) -> bool:
    return any(b'"EVAL' in line[:80] and b'"report:' in line and source(line) in sources for line in lines)
