"""The right of this process to write one symbol, where only one process may, and what a new writer begins with."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from ingest.events import Trade
from ingest.holdback import Held, Id
from tickfence.coordination.standby_lease import StandbyLease

TTL_MS = 600
"""So long nobody writes a symbol after its writer died. In a Redis that stalls for longer, the lease may change hands."""
ID_BITS = 20
NEW_TOKEN_AT = 1 << (ID_BITS - 1)
"""After so many updates the writer asks for a new token."""
MAX_RECENT = 5_000
"""Trades of a symbol that are kept while they are not known to be in its stream."""
BEHIND_S = 0.25
"""A writer is behind if its stream lacks, for so long, updates that are newer than its newest one by more than this."""
OVERTAKE_AFTER_S = 5.0
"""So long a process that wrote a symbol does not overtake the next writer. So two slow ones do not take turns."""


class _Lacks(NamedTuple):
    """An update that the stream of ``writer`` lacks, as far as this process knows, though it was heard by ``since_s``."""

    writer: int
    heard_ms: int
    since_s: float


class WriterLease(StandbyLease):
    """The right to write one symbol, and the trades that a new writer begins with.

    Attributes:
        recent: trades that are not known to be in the stream.
        trades: how many ids the writer has given to trades that have none.
        behind: the token of a writer that is behind this process; 0 if none is.
        answered_at: when Redis has last told who has the lease, monotonic seconds.
    """

    __slots__ = ("_lacks", "_overtakes_at", "answered_at", "behind", "recent", "trades")

    def __init__(self, key: str, owner: str, now_s: float) -> None:
        super().__init__(key, owner, TTL_MS)
        self.answered_at = now_s
        self.recent: deque[Held] = deque(maxlen=MAX_RECENT)
        self.trades = self.behind = 0
        self._lacks: _Lacks | None = None
        self._overtakes_at = 0.0

    @property
    def first_id(self) -> int:
        """The id of the book with which the writer starts."""
        return self.token << ID_BITS

    def covers(self, update_id: int) -> bool:
        """Whether this process has the lease, and the update's number is of it. If numbers run out, or start again, ask again."""
        if not self.token:
            return False
        number = update_id - self.first_id
        if not 0 <= number < NEW_TOKEN_AT:
            self.ask_again()
        return 0 <= number < 1 << ID_BITS

    def next_trade_id(self) -> int:
        """The id of a trade to which the exchange gives none."""
        self.trades += 1
        if self.trades >= NEW_TOKEN_AT:
            self.ask_again()
        return self.first_id + self.trades

    def compare(self, writer: int, written_ms: int, heard_ms: int, now_s: float) -> None:
        """Find out whether the writer is behind: cut off from the exchange, or slow. Ask at once then.

        If the exchange is silent to all, none is ahead of the writer, and it goes on.

        Args:
            writer: its token.
            written_ms: exchange time of the newest entry of the book stream.
            heard_ms: the same of the newest update in this process's book, before the stream was read; 0 if the book is not
                known to be right.
            now_s: when ``heard_ms`` was that, monotonic seconds.
        """
        if self._overtakes_at == math.inf:
            self._overtakes_at = now_s + OVERTAKE_AFTER_S
        lacks = self._lacks
        if lacks is None or lacks.writer != writer or written_ms >= lacks.heard_ms or not heard_ms:
            ahead = heard_ms > written_ms + BEHIND_S * 1000
            self._lacks = _Lacks(writer, heard_ms, now_s) if ahead else None
        elif now_s >= max(lacks.since_s + BEHIND_S, self._overtakes_at):
            self._lacks, self.behind = None, writer
            self.on_no_reply()

    def begin(self) -> None:
        """Note that this process begins to write."""
        self.trades = 0
        self._lacks, self._overtakes_at = None, math.inf

    def forget_written(self, newest: Id | None) -> None:
        """Keep only the trades behind the newest entry of the stream."""
        recent = self.recent
        while recent and _is_written(recent[0].trade, newest):
            recent.popleft()


def _is_written(trade: Trade, newest: Id | None) -> bool:
    """Whether a trade is in the stream, or shut out of it. One without a number is so by its time."""
    if newest is None:
        return False
    return trade.trade_id <= newest[1] if trade.trade_id else trade.time_ms <= newest[0]
