"""A node's reader that takes from a recording, up to where the node had read. Needs the extra ``recordings``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tasks.recorded_entries import AnyEntry, RecordedDiffs, RecordedEntries, RecordedTrades, id_text, just_before
from tasks.recorded_market import POLLED_MS
from tickfence.analytics.trade_window import KEEP_MS
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.redis_access.command import Request
from tickfence.streams.codec import NO_ENTRY, TradeEntry, split_id
from tickfence.streams.read import READ_LIMIT, TRADES_LIMIT, ColdStart, Entries, StreamReader


class RecordedReader(StreamReader):
    """Stands for a node's reader: reads from recorded entries, up to where the node had read.

    Args:
        symbol: whose streams.
        trades, diffs: the entries.

    Attributes:
        upto: ids of the last trade and the last diff to read.
        counts: how many trades and diffs these are where the stream was empty before, whatever it held earlier.
        found: what the next cold read finds.
        older: whether older trades are read with the next read.
    """

    __slots__ = ("_recorded_diffs", "_recorded_trades", "counts", "found", "older", "upto")

    def __init__(self, symbol: Instrument, trades: RecordedTrades, diffs: RecordedDiffs) -> None:
        super().__init__(Keys(), symbol)
        self._recorded_trades, self._recorded_diffs = trades, diffs
        self.upto = NO_ENTRY, NO_ENTRY
        self.counts = 0, 0
        self.found = ColdStart()
        self.older = False

    def entries(self, take: Callable[[Entries], None], *, limit: int = READ_LIMIT) -> Request:  # noqa: ARG002
        """What the node had read since."""
        return (), lambda _: self._take_recorded(take)

    def _take_recorded(self, take: Callable[[Entries], None]) -> None:
        trades = _between(self._recorded_trades, self.trades_id, self.upto[0], self.counts[0])
        diffs = _between(self._recorded_diffs, self.book_id, self.upto[1], self.counts[1])
        self.trades_id, self.book_id = later(self.trades_id, self.upto[0]), later(self.book_id, self.upto[1])
        take(Entries(trades, diffs))

    def ticker(self, take: Callable[..., None]) -> Request:  # noqa: ARG002 - a basis has it
        """Nothing."""
        return (), _ignore

    def info(self, take: Callable[..., None]) -> Request:  # noqa: ARG002 - a basis has it
        """Nothing."""
        return (), _ignore

    def cold(self, since_ms: int, take: Callable[[ColdStart], None], **limits: int) -> list[Request]:  # noqa: ARG002
        """What the node's cold read found."""
        return [((), lambda _: take(self.found))]

    def older_trades(
        self,
        before: str,
        since_ms: int,
        take: Callable[[list[TradeEntry], str | None], None],
        *,
        limit: int = TRADES_LIMIT,
    ) -> Request:
        """As of a stream that keeps what nodes need, and a little more."""
        if not self.older:
            return (), _ignore
        newest = just_before(split_id(before))
        found = self._recorded_trades.newest(newest, limit, max(since_ms, newest[0] - KEEP_MS - POLLED_MS))
        next_before = id_text(RecordedTrades.entry_id(found[0])) if len(found) >= limit else None
        return (), lambda _: take(found, next_before)


def _between(recorded: RecordedEntries[AnyEntry], known: str, upto: str, count: int) -> list[AnyEntry]:
    if known == NO_ENTRY:
        return recorded.newest(split_id(upto), count, 0)
    return recorded.between(split_id(known), split_id(upto))


def later(one: str, other: str) -> str:
    """The later one of two ids."""
    return max(one, other, key=split_id)


def _ignore(reply: Any) -> None:
    """Take nothing of a reply."""
