"""What a report, the slow sections or a start from the snapshot were made from, so that they can be made again.

A replay takes the bases of one owner in the order of the stream. It loads at each `start` what that names, reads the
streams up to the ids of each basis, runs the slow cycle at each `slow` one, and then builds the very same bytes. Starts and
slow cycles change the state, so they are numbered: a number that is missing is a basis that was lost. A basis that is there
twice was sent again after a lost reply.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import blake2b
from zlib import crc32

import msgspec
from msgspec import Struct

from tickfence.analytics.symbol_state import Ticker24h

VERSION = 1

_WRITER = b',"writer":{'


class Kind(StrEnum):
    """What was made."""

    REPORT = "report"
    SLOW = "slow"
    START = "start"


class Before(Struct, frozen=True, array_like=True, gc=False):
    """The state as a start found it; all 0 and false where the state is new.

    Attributes:
        update_id: the last one of its book.
        observed_id: the last one of its windows.
        in_sync: whether its book was in order.
        changes_from: update id of the snapshot that its level changes began with; 0 where they were thrown away.
        trades_id: stream id up to which it had read the trades.
        trades: how many it had read since the start before.
    """

    update_id: int
    observed_id: int
    in_sync: bool
    changes_from: int
    trades_id: str
    trades: int


class Start(Struct, frozen=True, array_like=True, gc=False):
    """What a start from the snapshot found.

    Attributes:
        reason: why the book was not trusted, as the metric `nt_cold_starts` says it.
        fresh: whether the state is new: nothing that it read before counts.
        before: the state before it.
        snapshot_id, snapshot_ms: the snapshot's last update id and time.
        first_trade_id, first_diff_id: stream ids of the oldest entries that were read; None where there were none.
        carried, sections: digests of what the last owner left and this one took over; None where it took nothing.
        book_from: the symbol information's mark: a book that was loaded below it was wrong; None without information.
    """

    reason: str
    fresh: bool
    before: Before
    snapshot_id: int
    snapshot_ms: int
    first_trade_id: str | None = None
    first_diff_id: str | None = None
    carried: bytes | None = None
    sections: bytes | None = None
    book_from: int | None = None


class Inputs(Struct, frozen=True, array_like=True, gc=False):
    """The state's inputs at one moment, apart from the streams' entries.

    Attributes:
        trades_id, book_id: stream ids up to which it has read.
        trades, diffs: how many it has read since its last start, with those of the start; older trades do not count.
        started_ms, fresh_ms: `at_ms` of its last start, and of its last fresh one.
        oldest_trade_id: stream id of the oldest trade that it has read since it was new; None without any.
        older_before: where it goes on to read older trades with its next read; None when it has all.
        ticker: the statistics in use; None without any.
        tick_size, trading: the symbol information in use.
        slow_at: `computed_at` of the slow sections in use; None without any.
        lowest_bid, highest_ask: the horizon of its book; None where a side is known to its end.
        book_ms, trade_ms: receive times of the newest diff and trade; None where they count as unknown.
        base, quote: of the symbol information in use, as `tick_size`; a node of an older version does not know them.
    """

    trades_id: str
    book_id: str
    trades: int
    diffs: int
    started_ms: int
    fresh_ms: int
    oldest_trade_id: str | None
    older_before: str | None
    ticker: Ticker24h | None
    tick_size: float | None
    trading: str | None
    slow_at: int | None
    lowest_bid: float | None
    highest_ask: float | None
    book_ms: int | None
    trade_ms: int | None
    base: str = ""
    quote: str = ""


class Head(Struct, frozen=True, array_like=True):
    """How the basis of every version begins."""

    version: int


class Basis(Head, frozen=True, array_like=True, kw_only=True):
    """What one thing was made from.

    Attributes:
        kind: what was made.
        number: counts the starts and slow cycles of one owner of the symbol, from 1. A report has that of the last one.
        at_ms: the `now_ms` of the computation; of a start, the server's time of the read.
        owner: the process start, node/incarnation.
        token: its fencing token.
        inputs: as the computation, or the start, has left them.
        digest: of the report's bytes without its `writer`, or of the slow sections' bytes; empty for a start.
        members: CRC-32 of each member of the report but `writer`, so that a comparison can name the first that differs;
            most bases have none.
        start: of a start only.
        carry: digest of what is left for the next owner; of a slow cycle that wrote it only.
    """

    kind: Kind
    number: int
    at_ms: int
    owner: str
    token: int
    inputs: Inputs
    digest: bytes = b""
    members: dict[str, int] = {}
    start: Start | None = None
    carry: bytes | None = None


encode = msgspec.msgpack.Encoder().encode
"""A basis as MessagePack."""

_decode_head = msgspec.msgpack.Decoder(Head).decode
_decode = msgspec.msgpack.Decoder(Basis).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def decode(data: bytes) -> Basis:
    """The basis that `encode` made.

    Raises:
        ValueError: it is none, or of another version.
    """
    try:
        version = _decode_head(data).version
        if version != VERSION:
            raise ValueError(f"it has version {version}, not {VERSION}")
        return _decode(data)
    except (msgspec.DecodeError, ValueError) as error:
        raise ValueError(f"not a basis: {error}; got {data[:40]!r}") from error


def digest(*parts: bytes) -> bytes:
    """16 bytes of BLAKE2b."""
    hashed = blake2b(digest_size=16)
    for part in parts:
        hashed.update(part)
    return hashed.digest()


def report_digest(report: bytes) -> bytes:
    """The digest of a report's bytes without its `writer`: who wrote it is no part of what it was made from.

    Raises:
        ValueError: the bytes are no report that `report.build()` made.
    """
    begin = report.index(_WRITER)
    return digest(report[:begin], report[report.index(b"}", begin) + 1 :])


def members(report: bytes) -> dict[str, int]:
    """CRC-32 of the bytes of each member of a report but `writer`, by name, in the report's order.

    Raises:
        msgspec.DecodeError: the bytes are no JSON object.
    """
    found = _decode_members(report)
    found.pop("writer", None)
    return {name: crc32(value) for name, value in found.items()}
