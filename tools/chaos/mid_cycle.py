"""Stops a node after it has read its data and before it writes the report: the case for which fencing exists."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Collection

from tools.chaos.monitor import source
from tools.chaos.stack_under_test import StackError, StackUnderTest
from tools.local.ports import LOOPBACK

_WITHIN_S = 30.0
_REFRESH_S = 1.0
_ARRIVES_S = 0.03


def stop_mid_cycle(stack: StackUnderTest, node: str) -> float:
    """SIGSTOP a node that has asked Redis for market data and has not sent the report yet.

    Redis' ``MONITOR`` shows when it asks. If the node has sent its write by the time it stops, it resumes milliseconds
    later, and its next cycle is tried. On a busy machine many stops come too late.

    Returns:
        When it was stopped: Unix time, s.

    Raises:
        StackError: every stop within 30 s came too late.
    """
    pid, report = stack.pid(node), f'"{stack.settings.keys.report("")}'.encode()
    deadline = time.monotonic() + _WITHIN_S
    refresh_at = 0.0
    sources: set[bytes] = set()
    stops = 0
    with (
        stack.client() as client,
        socket.create_connection((LOOPBACK, stack.deployment.ports.redis), timeout=2) as monitor,
    ):
        monitor.sendall(b"CLIENT SETNAME chaos:mid-cycle\r\nMONITOR\r\n")
        rest = b""
        while (now := time.monotonic()) < deadline:
            if now >= refresh_at:  # a cut connection is replaced by another one
                sources = {c["addr"].encode() for c in client.client_list() if c["name"] == f"work:{node}"}
                refresh_at = now + _REFRESH_S
            seen, rest = _lines(monitor, rest, refresh_at - now)
            if not _asks(seen, sources, report):
                continue
            os.kill(pid, signal.SIGSTOP)
            at = time.time()
            stops += 1
            quiet = time.monotonic() + _ARRIVES_S
            while (left := quiet - time.monotonic()) > 0:
                more, rest = _lines(monitor, rest, left)
                seen += more
            if not _wrote(seen, sources, report):
                return at
            os.kill(pid, signal.SIGCONT)
    raise StackError(f"{node} could not be stopped between reading and writing: {stops} stops in {_WITHIN_S:.0f} s")


def _lines(monitor: socket.socket, rest: bytes, timeout_s: float) -> tuple[list[bytes], bytes]:
    """The lines that arrive within ``timeout_s``, and the incomplete last line."""
    if not select.select([monitor], [], [], max(timeout_s, 0.0))[0]:
        return [], rest
    if not (more := monitor.recv(1 << 20)):
        raise StackError("Redis closed the MONITOR connection")
    lines = (rest + more).split(b"\r\n")
    return lines[:-1], lines[-1]


def _asks(lines: Collection[bytes], sources: Collection[bytes], report: bytes) -> bool:
    return any(source(line) in sources for line in lines) and not _wrote(lines, sources, report)


def _wrote(lines: Collection[bytes], sources: Collection[bytes], report: bytes) -> bool:
    return any(b'"EVAL' in line[:80] and report in line and source(line) in sources for line in lines)
