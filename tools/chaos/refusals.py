"""Fenced writes that changed nothing, as Redis' ``MONITOR`` shows them."""

from __future__ import annotations

from tools.chaos.history import Refused
from tools.chaos.monitor_line import parse

_LEASE, _END = b"lease:{report:", b"}"


class Refusals:
    """Turns MONITOR's lines into refusals. No I/O.

    A call of ``fenced_write.lua`` names leases and the keys to write; the script then does ``HSET`` of each lease
    whose write it accepts, before any other client's command. A lease in the call without its ``HSET`` is a write that
    was refused or was a repetition, or a script that Redis did not know.
    """

    def __init__(self) -> None:
        self._time = 0.0
        self._owner = ""
        self._asked: set[bytes] = set()

    def read(self, line: bytes) -> list[Refused]:
        """Take in one line; what it shows to have been refused before it."""
        if b'"HSET" "lease:{report:' in line and b" lua] " in line[:80]:
            shown = parse(line, most=2)
            self._asked.discard(_symbol(shown.arguments[1]) if shown else b"")
            return []
        if b'"EVAL' not in line[:80]:
            return []
        found = [Refused(self._time, symbol.decode(), self._owner) for symbol in sorted(self._asked)]
        self._asked = set()
        head = parse(line, most=3)
        keys = int(head.arguments[2]) if head else 0
        if keys < 2:  # acquiring has the lease alone
            return found
        shown = parse(line, most=4 + keys)
        if shown and shown.arguments[3].startswith(_LEASE) and not shown.arguments[4].startswith(_LEASE):
            self._asked = {_symbol(key) for key in shown.arguments[3 : 3 + keys] if key.startswith(_LEASE)}
            self._time, self._owner = shown.time, shown.arguments[3 + keys].decode()
        return found


def _symbol(lease: bytes) -> bytes:
    return lease[len(_LEASE) : -len(_END)]
