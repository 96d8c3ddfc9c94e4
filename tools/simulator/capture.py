"""Reads a recorded session: what an exchange sent, and when.

A capture named STEM is three files:

- `STEM.ws`: one line `<url> <-> <unix time>`, then one line `<unix time>: <json>` for each message of a combined stream,
  as received;
- `STEM.http`: one line `<url> -> <unix time>: <json>` for each REST answer;
- `STEM.exchangeInfo.json`: the body of `GET /api/v3/exchangeInfo`.

Empty lines are skipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

DEPTH_PATH = "/api/v3/depth"


class BadCapture(ValueError):
    """A capture that cannot be replayed; its text names the file, the line and what is wrong."""


class Diff(msgspec.Struct, frozen=True):
    """The fields of a recorded `depthUpdate` event that an order book needs."""

    symbol: str = msgspec.field(name="s")
    first: int = msgspec.field(name="U")
    last: int = msgspec.field(name="u")
    bids: list[tuple[str, str]] = msgspec.field(name="b")
    asks: list[tuple[str, str]] = msgspec.field(name="a")


class Message(msgspec.Struct, frozen=True):
    """One WebSocket message: its Unix time (seconds), stream and recorded payload; the diff if it is one."""

    time: float
    stream: str
    payload: bytes
    diff: Diff | None


class Snapshot(msgspec.Struct, frozen=True):
    """One order book from REST; `time` is its Unix time in seconds."""

    time: float
    symbol: str
    last_update_id: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class Capture(msgspec.Struct, frozen=True):
    """A whole capture, in the recorded order."""

    messages: list[Message]
    snapshots: list[Snapshot]
    symbols: list[dict[str, Any]]


class _Wrapped(msgspec.Struct):
    stream: str
    data: msgspec.Raw


class _Depth(msgspec.Struct):
    lastUpdateId: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class _ExchangeInfo(msgspec.Struct):
    symbols: list[dict[str, Any]]


def load(stem: str) -> Capture:
    """The whole capture with this stem.

    Raises:
        BadCapture: a file cannot be read, or a line is malformed; it names the first error.
    """
    ws, http, info = (Path(f"{stem}.{ending}") for ending in ("ws", "http", "exchangeInfo.json"))
    return Capture(list(_messages(ws)), list(_snapshots(http)), _symbols(info))


def _messages(path: Path) -> Iterator[Message]:
    all_lines = lines(path)
    _, header = next(all_lines, (1, b""))
    _, arrow, started = header.partition(b" <-> ")
    if not arrow or unix_time(started) is None:
        raise BadCapture(f"{path}:1: must be '<url> <-> <unix time>', not {shown(header)}")
    for number, line in all_lines:
        when, colon, text = line.partition(b": ")
        seconds = unix_time(when)
        if not colon or seconds is None:
            raise BadCapture(f"{path}:{number}: must be '<unix time>: <json>', not {shown(line)}")
        try:
            wrapped = msgspec.json.decode(text, type=_Wrapped)
            is_diff = "@depth" in wrapped.stream and b'"depthUpdate"' in bytes(wrapped.data)
            diff = msgspec.json.decode(wrapped.data, type=Diff) if is_diff else None
        except msgspec.MsgspecError as error:
            raise BadCapture(f"{path}:{number}: not a message of a combined stream: {error}") from None
        yield Message(seconds, wrapped.stream, bytes(wrapped.data), diff)


def _snapshots(path: Path) -> Iterator[Snapshot]:
    for number, line in lines(path):
        url, arrow, answer = line.partition(b" -> ")
        when, colon, text = answer.partition(b": ")
        seconds = unix_time(when)
        if not arrow or not colon or seconds is None:
            raise BadCapture(f"{path}:{number}: must be '<url> -> <unix time>: <json>', not {shown(line)}")
        parts = urlsplit(url.decode(errors="replace"))
        if parts.path != DEPTH_PATH:
            continue
        symbol = parse_qs(parts.query).get("symbol", [""])[0]
        if not symbol:
            raise BadCapture(f"{path}:{number}: the depth request names no symbol: {shown(url)}")
        try:
            depth = msgspec.json.decode(text, type=_Depth)
        except msgspec.MsgspecError as error:
            raise BadCapture(f"{path}:{number}: not an order book: {error}") from None
        yield Snapshot(seconds, symbol, depth.lastUpdateId, depth.bids, depth.asks)


def _symbols(path: Path) -> list[dict[str, Any]]:
    try:
        symbols = msgspec.json.decode(_read(path), type=_ExchangeInfo).symbols
    except msgspec.MsgspecError as error:
        raise BadCapture(f"{path}: not an exchangeInfo answer: {error}") from None
    for symbol in symbols:
        if not isinstance(symbol.get("symbol"), str):
            raise BadCapture(f"{path}: a symbol without a name: {shown(str(symbol).encode())}")
    return symbols


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not empty, with their numbers.

    Raises:
        BadCapture: it cannot be read.
    """
    for number, line in enumerate(_read(path).splitlines(), 1):
        if line.strip():
            yield number, line


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadCapture(f"{path}: cannot be read: {error.strerror}") from None


def unix_time(text: bytes) -> float | None:
    """A Unix time in seconds; None if the text is none."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


def shown(text: bytes) -> str:
    """The beginning of a line, for an error."""
    return repr(text[:60].decode(errors="replace"))
