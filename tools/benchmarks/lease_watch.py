"""Watches the reports and leases of all symbols: who wrote each report, when, and under which token."""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

from tickfence.keys import Keys
from tickfence.redis_access.connect import connect
from tickfence.redis_access.errors import REDIS_ERRORS
from tickfence.redis_access.raw_pipeline import exchange

EVERY_S = 1.0
"""Well below a period, so that no report is replaced unseen."""
_SHARE = 500
"""Symbols that are asked for together: Redis has other work between two of these."""
_HEAD = re.compile(rb'"nodeId":"([^"]+)","writerToken":(\d+)\},"updatedAt":(\d+)')
_HEAD_BYTES = 200


class Seen(NamedTuple):
    """A report that could be read.

    Attributes:
        at_ms: its ``updatedAt``.
        node: who wrote it.
        token: the fencing token of its writer's lease.
    """

    at_ms: int
    node: str
    token: int


class Fall(NamedTuple):
    """A token below one that was read before.

    Attributes:
        at: Unix time at which it was read, s.
        symbol: whose.
        of: where it was read: ``report`` or ``lease``.
        before: the highest token that was read before.
        now: this one.
    """

    at: float
    symbol: str
    of: str
    before: int
    now: int


class LeaseWatch:
    """Reads every report's head and every lease's token again and again, within the ``with`` block.

    Args:
        url: of the data plane.
        symbols: whose reports.

    Attributes:
        seen: symbol -> its reports, in order.
        falls: tokens that fell, of reports and of leases.
        passes: how often all were asked for.
        longest_pass_s: the longest time from one look at a symbol to the next.
    """

    def __init__(self, url: str, symbols: Sequence[str]) -> None:
        keys = Keys()
        self.seen: dict[str, list[Seen]] = defaultdict(list)
        self.falls: list[Fall] = []
        self.passes, self.longest_pass_s = 0, 0.0
        self._symbols = symbols
        self._commands = [
            command
            for symbol in symbols
            for command in (
                ("GETRANGE", keys.report(symbol), 0, _HEAD_BYTES),
                ("HGET", keys.lease(symbol), "token"),
            )
        ]
        self._heads: dict[str, bytes] = {}
        # Apart, because a lease is taken before the first report under its token.
        self._highest: dict[tuple[str, str], int] = defaultdict(int)
        self._url = url
        self._client: Any = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease-watch", daemon=True)

    @property
    def watching(self) -> bool:
        """Whether it still watches: an error ends it."""
        return self._thread.is_alive()

    def __enter__(self) -> Self:
        self._client = connect(self._url, name="lease-watch", timeout_s=2)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        began = time.monotonic()
        pause_s = EVERY_S / 2 / -(-len(self._symbols) // _SHARE)
        while not self._ended.is_set():
            for first in range(0, len(self._symbols), _SHARE):
                try:
                    replies = exchange(self._client, self._commands[2 * first : 2 * (first + _SHARE)])
                except REDIS_ERRORS:  # no server can be reached, or a slot has none: they are asked in the next pass
                    replies = []
                for symbol, head, token in zip(self._symbols[first:], replies[::2], replies[1::2], strict=False):
                    self._note(symbol, head, token)
                if self._ended.wait(pause_s):
                    return
            self._ended.wait(began + EVERY_S - time.monotonic())
            before, began = began, time.monotonic()
            self.longest_pass_s = max(self.longest_pass_s, began - before)
            self.passes += 1

    def _note(self, symbol: str, head: Any, token: Any) -> None:
        if isinstance(head, bytes) and head != self._heads.get(symbol) and (found := _HEAD.search(head)):
            self._heads[symbol] = head
            seen = Seen(int(found[3]), found[1].decode(), int(found[2]))
            self.seen[symbol].append(seen)
            self._note_token(symbol, "report", seen.token)
        if isinstance(token, bytes):
            self._note_token(symbol, "lease", int(token))

    def _note_token(self, symbol: str, of: str, token: int) -> None:
        highest = self._highest[symbol, of]
        if token < highest:
            self.falls.append(Fall(time.time(), symbol, of, highest, token))
        self._highest[symbol, of] = max(highest, token)
