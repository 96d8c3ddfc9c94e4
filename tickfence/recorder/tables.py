"""Frames of the log as tables of recorded rows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa

from tickfence.analytics.history_row import unpack
from tickfence.recorder.frames import Entry, Polled, Waiting
from tickfence.recordings import rows
from tickfence.recordings.kinds import Kind
from tickfence.recordings.rows import Row
from tickfence.streams.codec import decode_diff, decode_info, decode_snapshot, decode_ticker, decode_trade

ROWS_AT_ONCE = 2_000
"""Rows of a kind that are Python objects together: those of a whole segment would take many times its size."""

Bad = Callable[[str, ValueError], None]
"""Takes the name of a source, and what is wrong with an entry or value of it."""


def tables(frames: Iterable[Waiting], bad: Bad) -> dict[Kind, pa.Table]:
    """Return the rows of each kind that there are rows of.

    Args:
        frames: which the recorder has decided to be its own.
        bad: called for each entry or value that does not decode. It is left out.
    """
    found: dict[Kind, list[Row]] = {}
    made: dict[Kind, list[pa.Table]] = {}
    for frame in frames:
        kind = Kind(frame.kind)
        into = found.setdefault(kind, [])
        if len(into) >= ROWS_AT_ONCE:
            made.setdefault(kind, []).append(rows.table(kind, into))
            into.clear()
        for one in [frame] if isinstance(frame, Polled) else frame.entries:
            try:
                row = _of_value(one, kind) if isinstance(one, Polled) else _OF_ENTRY[kind](frame.source, one)
            except ValueError as error:
                bad(frame.source, error)
            else:
                if row is not None:
                    into.append(row)
    every = {kind: [*made.get(kind, ()), rows.table(kind, left)] for kind, left in found.items()}
    return {kind: table for kind, parts in every.items() if len(table := pa.concat_tables(parts))}


def _of_value(frame: Polled, kind: Kind) -> Row | None:
    symbol, value = frame.source, frame.value
    if kind is Kind.TICKERS:
        ticker = decode_ticker(value)
        return ticker and rows.ticker(symbol, ticker._replace(received_ms=ticker.received_ms or frame.read_ms))
    if kind is Kind.INFOS:
        info = decode_info(value)
        return info and rows.info(symbol, frame.read_ms, info)
    [data] = value
    if data is None:
        return None
    return (
        rows.snapshot(symbol, decode_snapshot(data))
        if kind is Kind.SNAPSHOTS
        else rows.data(symbol, frame.read_ms, data)
    )


def _only(field: bytes, fields: Sequence[bytes]) -> bytes:
    found = dict(zip(fields[::2], fields[1::2], strict=True)).get(field)
    if found is None:
        raise ValueError(f"an entry has the fields {fields!r}; needed is {field.decode()}")
    return found


def _history(symbol: str, entry: Entry) -> Row:
    return rows.history_row(symbol, entry[0].decode(), unpack(_only(b"r", entry[1])))


def _basis(symbol: str, entry: Entry) -> Row:
    return rows.basis(symbol, entry[0].decode(), _only(b"b", entry[1]))


def _event(_: str, entry: Entry) -> Row:
    texts = [part.decode(errors="replace") for part in entry[1]]
    return rows.event(entry[0].decode(), dict(zip(texts[::2], texts[1::2], strict=True)))


_OF_ENTRY: dict[Kind, Callable[[str, Entry], Row]] = {
    Kind.TRADES: lambda symbol, entry: rows.trade(symbol, decode_trade(entry[0], list(entry[1]))),
    Kind.DIFFS: lambda symbol, entry: rows.diff(symbol, decode_diff(entry[0], list(entry[1]))),
    Kind.HISTORY: _history,
    Kind.BASES: _basis,
    Kind.EVENTS: _event,
}
