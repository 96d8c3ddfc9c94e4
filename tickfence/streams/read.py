"""Reading the streams incrementally, in a pipeline the caller owns.

A node reads many symbols in one round trip:

    >>> pipe = redis.pipeline(transaction=False)
    >>> counts = [queue_read(pipe, symbol, cursors[symbol]) for symbol in symbols]
    >>> replies = iter(pipe.execute(raise_on_error=False))
    >>> for symbol, count in zip(symbols, counts):
    ...     entries = parse_read([next(replies) for _ in range(count)])
    ...     cursors[symbol].advance(entries)

One XREAD over both streams costs less than an XRANGE each, and a key that is missing or was
lost is just an empty reply. Nothing here checks that update ids connect: a stream that was
trimmed or lost under the reader shows as a gap between the book's last update id and
``first_update_id``, and the answer to that is a cold read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from redis.exceptions import RedisError

from tickfence.instrument import Instrument
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
from tickfence.streams.keys import book_key, info_key, snapshot_key, ticker_key, trades_key

READ_LIMIT = 1_000
"""Entries of one stream taken in one warm read; what is left comes with the next."""

TRADES_LIMIT = 20_000
"""Trades taken in one reply; where there are more, `queue_older_trades` takes the next ones."""

COLD_DIFFS_LIMIT = 5_000
"""More than ingest keeps at the longest snapshot interval that the settings accept."""

COLD_COMMANDS = 5
OLDER_COMMANDS = 1


class Pipeline(Protocol):
    """The part of a redis-py pipeline used here, sync or asyncio, made with ``decode_responses=False``."""

    def execute_command(self, *args: Any) -> Any: ...


@dataclass(slots=True)
class Cursor:
    """How far one reader has read the two streams of one symbol."""

    trades_id: str = NO_ENTRY
    book_id: str = NO_ENTRY

    def advance(self, entries: Entries) -> None:
        """Move behind ``entries``; a stream that had nothing new stays where it was."""
        self.trades_id = entries.trades_id or self.trades_id
        self.book_id = entries.book_id or self.book_id


@dataclass(slots=True)
class Entries:
    """What one warm read found, oldest first.

    ``trades_id`` and ``book_id`` are the last ids read, None where there was nothing new.
    ``more`` is True when a limit cut the reply short.
    """

    trades: list[TradeEntry] = field(default_factory=list)
    diffs: list[DiffEntry] = field(default_factory=list)
    ticker: Ticker | None = None
    trades_id: str | None = None
    book_id: str | None = None
    more: bool = False


@dataclass(slots=True)
class ColdStart:
    """What a reader starts with: load ``snapshot``, apply ``diffs``, take ``cursor`` for the reads that follow.

    ``diffs`` are those of the stream, oldest first. Some are older than the snapshot: the book
    has them already, other state may not. The first newer one leaves a gap if the stream was
    trimmed past the snapshot, or holds more since it than one read takes. Without a snapshot the book cannot be known yet: ``diffs`` is empty,
    and a later cold read must try again.

    ``older_trades_before`` is the id of the oldest trade where the limit cut the reply short: there are
    older ones to be had. None where ``trades`` are all that was asked for.
    """

    snapshot: Snapshot | None
    diffs: list[DiffEntry]
    trades: list[TradeEntry]
    ticker: Ticker | None
    info: SymbolInfo | None
    cursor: Cursor
    older_trades_before: str | None = None


def queue_read(
    pipe: Pipeline, symbol: Instrument, cursor: Cursor, *, limit: int = READ_LIMIT, with_ticker: bool = True
) -> int:
    """Queue the commands of a warm read: what is behind ``cursor``, at most ``limit`` entries a stream.

    ``with_ticker=False`` leaves out the statistics of 24 hours, which the exchange sends once a second.

    :return: number of commands queued, so of replies `parse_read` takes.
    """
    pipe.execute_command(
        "XREAD",
        "COUNT",
        limit,
        "STREAMS",
        trades_key(symbol),
        book_key(symbol),
        cursor.trades_id,
        cursor.book_id,
    )
    if not with_ticker:
        return 1
    pipe.execute_command("HMGET", ticker_key(symbol), *TICKER_FIELDS)
    return 2


def parse_read(replies: Sequence[Any], *, limit: int = READ_LIMIT) -> Entries:
    """Decode the replies to `queue_read`; ``limit`` as given there.

    :raises redis.exceptions.RedisError: one of the replies is an error.
    :raises streams.codec.BadEntry: a stored value does not decode.
    """
    streams, *ticker = _checked(replies)
    entries = Entries(ticker=decode_ticker(ticker[0]) if ticker else None)
    for key, found in _streams(streams):
        entries.more = entries.more or len(found) >= limit
        if key.endswith(b":trades"):
            entries.trades = [decode_trade(stream_id, fields) for stream_id, fields in found]
            entries.trades_id = found[-1][0].decode()
        else:
            entries.diffs = [decode_diff(stream_id, fields) for stream_id, fields in found]
            entries.book_id = found[-1][0].decode()
    return entries


def queue_cold_read(
    pipe: Pipeline,
    symbol: Instrument,
    *,
    trades_since_ms: int,
    trades_limit: int = TRADES_LIMIT,
    diffs_limit: int = COLD_DIFFS_LIMIT,
) -> int:
    """Queue the commands of a cold read: all a reader needs that knows nothing.

    The snapshot is read before the stream: a newer one written in between changes nothing, for
    the older one and the diffs after it give the same book. The newest ``trades_limit`` trades
    from ``trades_since_ms`` (exchange time) on are read, and the newest ``diffs_limit`` diffs.

    :return: number of commands queued, so of replies `parse_cold_read` takes.
    """
    pipe.execute_command("GET", snapshot_key(symbol))
    pipe.execute_command("XREVRANGE", book_key(symbol), "+", "-", "COUNT", diffs_limit)
    pipe.execute_command("XREVRANGE", trades_key(symbol), "+", trades_since_ms, "COUNT", trades_limit)
    pipe.execute_command("HMGET", ticker_key(symbol), *TICKER_FIELDS)
    pipe.execute_command("HMGET", info_key(symbol), *INFO_FIELDS)
    return COLD_COMMANDS


def parse_cold_read(replies: Sequence[Any], *, trades_since_ms: int, trades_limit: int = TRADES_LIMIT) -> ColdStart:
    """Decode the replies to `queue_cold_read`; ``trades_since_ms`` and ``trades_limit`` as given there.

    :raises redis.exceptions.RedisError: one of the replies is an error.
    :raises streams.codec.BadEntry: a stored value does not decode.
    """
    text, book, trades, ticker, info = _checked(replies)
    snapshot = decode_snapshot(text) if text is not None else None
    book.reverse()
    diffs: list[DiffEntry] = []
    if snapshot is not None:
        diffs = [decode_diff(stream_id, fields) for stream_id, fields in book]
    return ColdStart(
        snapshot=snapshot,
        diffs=diffs,
        trades=_oldest_first(trades),
        ticker=decode_ticker(ticker),
        info=decode_info(info),
        cursor=Cursor(
            trades_id=trades[0][0].decode() if trades else f"{trades_since_ms}-0",
            book_id=book[-1][0].decode() if book else NO_ENTRY,
        ),
        older_trades_before=_cut_at(trades, trades_limit),
    )


def queue_older_trades(
    pipe: Pipeline, symbol: Instrument, *, before: str, trades_since_ms: int, limit: int = TRADES_LIMIT
) -> int:
    """Queue the command that goes on where a cold read was cut: the newest trades older than the id ``before``.

    :return: number of commands queued, so of replies `parse_older_trades` takes.
    """
    pipe.execute_command("XREVRANGE", trades_key(symbol), f"({before}", trades_since_ms, "COUNT", limit)
    return OLDER_COMMANDS


def parse_older_trades(replies: Sequence[Any], *, limit: int = TRADES_LIMIT) -> tuple[list[TradeEntry], str | None]:
    """Decode the reply to `queue_older_trades`; ``limit`` as given there.

    :return: the trades, oldest first, and what to give as ``before`` for the next ones: None when there are none.
    :raises redis.exceptions.RedisError: the reply is an error.
    :raises streams.codec.BadEntry: a stored value does not decode.
    """
    [trades] = _checked(replies)
    return _oldest_first(trades), _cut_at(trades, limit)


def _oldest_first(newest_first: Sequence[tuple[bytes, Fields]]) -> list[TradeEntry]:
    return [decode_trade(stream_id, fields) for stream_id, fields in reversed(newest_first)]


def _cut_at(newest_first: Sequence[tuple[bytes, Fields]], limit: int) -> str | None:
    return newest_first[-1][0].decode() if len(newest_first) >= limit else None


def _checked(replies: Sequence[Any]) -> Sequence[Any]:
    for reply in replies:
        if isinstance(reply, RedisError):
            raise reply
    return replies


def _streams(reply: Any) -> Iterable[tuple[bytes, list[tuple[bytes, Fields]]]]:
    """XREAD's reply as (key, entries) pairs: a list or a dict, by the protocol's version; None where nothing is new."""
    return reply.items() if isinstance(reply, dict) else reply or ()
