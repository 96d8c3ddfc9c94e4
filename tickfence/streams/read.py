"""Reading one symbol's streams incrementally, without I/O: commands, each with the function that takes its reply.

One XREAD over both streams costs less than an XRANGE each, and a key that is missing or was lost is just an empty
reply. Nothing here checks that update ids connect: a stream that was trimmed or lost under the reader shows as a gap
between the book's last update id and ``first_update_id``, and the answer to that is a cold read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.redis_access.command import Request, checked
from tickfence.streams.codec import (
    INFO_FIELDS,
    NO_ENTRY,
    TICKER_FIELDS,
    DiffEntry,
    Fields,
    Snapshot,
    SymbolInfo,
    Ticker,
    TradeEntry,
    decode_diff,
    decode_info,
    decode_snapshot,
    decode_ticker,
    decode_trade,
)

READ_LIMIT = 1_000
"""Entries of one stream in one warm read; what is left comes with the next."""

TRADES_LIMIT = 20_000
"""Trades in one reply; where there are more, :meth:`StreamReader.older_trades` reads the next ones."""

COLD_DIFFS_LIMIT = 5_000
"""More diffs than ingest keeps at the longest snapshot interval that the settings accept."""


@dataclass(slots=True)
class Entries:
    """What one warm read found, oldest first.

    Attributes:
        trades: the new trades.
        diffs: the new order-book diffs.
        more: whether a limit cut the reply short.
    """

    trades: list[TradeEntry] = field(default_factory=list)
    diffs: list[DiffEntry] = field(default_factory=list)
    more: bool = False


@dataclass(slots=True)
class ColdStart:
    """What a reader starts with: load ``snapshot``, then apply ``diffs``.

    Attributes:
        snapshot: ``None`` where there is none yet. Then the book cannot be known: a later cold read must try again.
        diffs: all diffs of the stream, oldest first; empty without a snapshot. Some are older than the snapshot: the
            book has them already, other state may not. The first newer one leaves a gap if the stream was trimmed past
            the snapshot, or holds more since it than one read takes.
        trades: the newest trades, oldest first.
        ticker: ``None`` where there is none yet.
        info: ``None`` where there is none yet.
        older_trades_before: id of the oldest trade where the limit cut the reply short, so that there are older ones;
            ``None`` where ``trades`` are all.
        trades_id: id of the last trade that was read.
        book_id: id of the last diff that was read.
    """

    snapshot: Snapshot | None = None
    diffs: list[DiffEntry] = field(default_factory=list)
    trades: list[TradeEntry] = field(default_factory=list)
    ticker: Ticker | None = None
    info: SymbolInfo | None = None
    older_trades_before: str | None = None
    trades_id: str = NO_ENTRY
    book_id: str = NO_ENTRY


class StreamReader:
    """Reads one symbol's streams from where it stopped.

    Every method returns commands with the functions that take their replies. Those decode, and hand what they found to
    ``take``. They raise the error that stands in a reply's place, and
    :exc:`tickfence.streams.codec.BadEntry` where a stored value does not decode. Replies are those of a client with
    ``decode_responses=False``.

    Args:
        keys: of the deployment.
        symbol: whose streams.

    Attributes:
        trades_id: id of the last trade that was read.
        book_id: id of the last diff that was read.

    Example:
        >>> reader = StreamReader(Keys(), Instrument("BTCUSDT"))
        >>> command, take_reply = reader.entries(print)
        >>> command[:3]
        ('XREAD', 'COUNT', 1000)
        >>> take_reply(None)
        Entries(trades=[], diffs=[], more=False)
    """

    __slots__ = ("_book", "_info", "_snapshot", "_ticker", "_trades", "book_id", "trades_id")

    def __init__(self, keys: Keys, symbol: Instrument) -> None:
        self._trades, self._book = keys.trades(symbol), keys.book(symbol)
        self._snapshot, self._ticker, self._info = keys.snapshot(symbol), keys.ticker(symbol), keys.info(symbol)
        self.trades_id = self.book_id = NO_ENTRY

    def entries(self, take: Callable[[Entries], None], *, limit: int = READ_LIMIT) -> Request:
        """A warm read: what came after the last entries read, at most ``limit`` of each stream."""
        streams = (self._trades, self._book, self.trades_id, self.book_id)
        # A partial, because a node makes one for each symbol in each cycle: a closure is seven objects for the collector.
        return ("XREAD", "COUNT", limit, "STREAMS", *streams), partial(self._take_entries, take, limit)

    def _take_entries(self, take: Callable[[Entries], None], limit: int, reply: Any) -> None:
        entries = Entries()
        trades_id, book_id = self.trades_id, self.book_id
        for key, found in _streams(checked(reply)):
            entries.more = entries.more or len(found) >= limit
            if key.endswith(b":trades"):
                entries.trades = [decode_trade(stream_id, fields) for stream_id, fields in found]
                trades_id = found[-1][0].decode()
            else:
                entries.diffs = [decode_diff(stream_id, fields) for stream_id, fields in found]
                book_id = found[-1][0].decode()
        self.trades_id, self.book_id = trades_id, book_id
        take(entries)

    def ticker(self, take: Callable[[Ticker | None], None]) -> Request:
        """The statistics of 24 hours."""
        return ("HMGET", self._ticker, *TICKER_FIELDS), lambda reply: take(decode_ticker(checked(reply)))

    def info(self, take: Callable[[SymbolInfo | None], None]) -> Request:
        """The exchange's rules for the symbol."""
        return ("HMGET", self._info, *INFO_FIELDS), lambda reply: take(decode_info(checked(reply)))

    def cold(
        self,
        since_ms: int,
        take: Callable[[ColdStart], None],
        *,
        trades_limit: int = TRADES_LIMIT,
        diffs_limit: int = COLD_DIFFS_LIMIT,
    ) -> list[Request]:
        """A cold read: all that a reader needs that knows nothing.

        The snapshot is read before the stream: a newer one written in between changes nothing, for the older one and
        the diffs after it give the same book. Give what was found to :meth:`start_from`, and warm reads go on behind it.

        Args:
            since_ms: exchange time of the oldest trade to read, ms.
            take: called with the last reply.
            trades_limit: the newest trades that are read.
            diffs_limit: the newest diffs that are read.
        """
        start = ColdStart(trades_id=f"{since_ms}-0")

        def take_snapshot(reply: Any) -> None:
            if checked(reply) is not None:
                start.snapshot = decode_snapshot(reply)

        def take_diffs(reply: Any) -> None:
            if checked(reply) and start.snapshot is not None:
                start.book_id = reply[0][0].decode()
                start.diffs = [decode_diff(stream_id, fields) for stream_id, fields in reversed(reply)]

        def take_trades(reply: Any) -> None:
            if checked(reply):
                start.trades_id = reply[0][0].decode()
                start.trades, start.older_trades_before = _oldest_first(reply), _cut_at(reply, trades_limit)

        def take_ticker(ticker: Ticker | None) -> None:
            start.ticker = ticker

        def take_info(info: SymbolInfo | None) -> None:
            start.info = info
            take(start)

        return [
            (("GET", self._snapshot), take_snapshot),
            (("XREVRANGE", self._book, "+", "-", "COUNT", diffs_limit), take_diffs),
            (("XREVRANGE", self._trades, "+", since_ms, "COUNT", trades_limit), take_trades),
            self.ticker(take_ticker),
            self.info(take_info),
        ]

    def start_from(self, start: ColdStart) -> None:
        """Let warm reads go on behind a cold one."""
        self.trades_id, self.book_id = start.trades_id, start.book_id

    def older_trades(
        self,
        before: str,
        since_ms: int,
        take: Callable[[list[TradeEntry], str | None], None],
        *,
        limit: int = TRADES_LIMIT,
    ) -> Request:
        """Go on where a cold read was cut: the newest trades older than the id ``before``.

        Args:
            before: an id.
            since_ms: exchange time of the oldest trade to read, ms.
            take: called with the trades, oldest first, and with what to give as ``before`` for the next ones; ``None``
                when there are none.
            limit: the trades that are read.
        """
        command = ("XREVRANGE", self._trades, f"({before}", since_ms, "COUNT", limit)
        return command, lambda reply: take(_oldest_first(checked(reply)), _cut_at(reply, limit))


def _oldest_first(newest_first: Sequence[tuple[bytes, Fields]]) -> list[TradeEntry]:
    return [decode_trade(stream_id, fields) for stream_id, fields in reversed(newest_first)]


def _cut_at(newest_first: Sequence[tuple[bytes, Fields]], limit: int) -> str | None:
    return newest_first[-1][0].decode() if len(newest_first) >= limit else None


def _streams(reply: Any) -> Iterable[tuple[bytes, list[tuple[bytes, Fields]]]]:
    """XREAD's reply as (key, entries) pairs: a list or a dict, by the protocol's version; None where nothing is new."""
    return reply.items() if isinstance(reply, dict) else reply or ()
