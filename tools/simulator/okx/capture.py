"""Reads a recorded session of OKX: what it sent, and when.

A capture named STEM is two files:

- `STEM.ws`: one line `<unix time>: <json>` for each WebSocket message, as received;
- `STEM.http`: one line `<url> -> <unix time>: <json>` for each answer of `GET /api/v5/public/instruments`.

Empty lines, answers to pings and control messages, other channels, and updates of a book before its snapshot are skipped.
Books recorded before the exchange sent sequence ids get some: that is all that differs from the recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from tools.simulator.capture import BadCapture, lines, shown, unix_time
from tools.simulator.okx import wire
from tools.simulator.okx.source import channel

INSTRUMENTS_PATH = "/api/v5/public/instruments"
_FIRST_SEQ_ID, _SEQ_ID_STEP = 1_000, 3


class Message(NamedTuple):
    """One pushed message.

    Attributes:
        time: Unix time, s.
        channel: the hub's name of its channel.
        name: of its instrument.
        payload: as it is sent.
        content: the same, decoded.
    """

    time: float
    channel: str
    name: str
    payload: bytes
    content: dict[str, Any]


class Capture(NamedTuple):
    """A whole capture, in the recorded order."""

    messages: list[Message]
    instruments: list[dict[str, Any]]


def is_capture(stem: str) -> bool:
    """Whether the capture with this stem is one of OKX: its first message is of this protocol."""
    for _, line in lines(Path(f"{stem}.ws")):
        _, _, text = line.partition(b": ")
        try:
            message = msgspec.json.decode(text)
        except msgspec.DecodeError:
            return False
        return isinstance(message, dict) and "arg" in message
    return False


def load(stem: str) -> Capture:
    """The whole capture with this stem.

    Raises:
        BadCapture: a file cannot be read, or a line is malformed; it names the first error.
    """
    messages = list(_messages(Path(f"{stem}.ws")))
    if not messages:
        raise BadCapture(f"{stem}.ws: there is no data of a channel in it")
    return Capture(messages, list(_instruments(Path(f"{stem}.http"))))


def _messages(path: Path) -> Iterator[Message]:
    newest: dict[str, int] = {}
    for number, line in lines(path):
        when, colon, text = line.partition(b": ")
        seconds = unix_time(when)
        if not colon or seconds is None:
            raise BadCapture(f"{path}:{number}: must be '<unix time>: <json>', not {shown(line)}")
        if text == b"pong":
            continue
        try:
            content = msgspec.json.decode(text, type=dict[str, Any])
            if "data" not in content or content["arg"]["channel"] not in wire.CHANNELS:
                continue
            kind, name = content["arg"]["channel"], content["arg"]["instId"]
            if kind == wire.BOOKS:
                if content["action"] != "snapshot" and name not in newest:
                    continue
                if _number(content, name, newest):
                    text = wire.encode(content)
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
            raise BadCapture(f"{path}:{number}: not a message of OKX: {error}") from None
        yield Message(seconds, channel(kind, name), name, text, content)


def _number(content: dict[str, Any], name: str, newest: dict[str, int]) -> bool:
    """Gives a message of a book its sequence ids, if it has none; returns whether it did."""
    [data] = content["data"]
    if "seqId" in data:
        newest[name] = data["seqId"]
        return False
    data["prevSeqId"] = -1 if content["action"] == "snapshot" else newest[name]
    data["seqId"] = newest[name] = newest.get(name, _FIRST_SEQ_ID) + _SEQ_ID_STEP
    return True


def _instruments(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in lines(path):
        url, arrow, answer = line.partition(b" -> ")
        _, colon, text = answer.partition(b": ")
        if not arrow or not colon:
            raise BadCapture(f"{path}:{number}: must be '<url> -> <unix time>: <json>', not {shown(line)}")
        if urlsplit(url.decode(errors="replace")).path == INSTRUMENTS_PATH:
            try:
                yield from msgspec.json.decode(text)["data"]
            except (msgspec.DecodeError, KeyError, TypeError) as error:
                raise BadCapture(f"{path}:{number}: not an answer with instruments: {error}") from None
