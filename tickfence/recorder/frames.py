"""What a recorder writes to its log: what it has read, and which of that is its own.

A frame of :class:`Read` or :class:`Polled` waits until a :class:`Mine` of its token decides about it. Only what is
decided goes into files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b

import msgspec

from tickfence.streams.codec import split_id

Entry = tuple[bytes, Sequence[bytes]]
"""A stream's entry as on the wire: its id, and its fields, name and value in turn."""


class Held(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """A recorder goes on with a source from here.

    Attributes:
        source: name of the source.
        token: under which it reads from now on.
        positions: from where.
    """

    source: str
    token: int
    positions: dict[str, str]


class Read(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Entries that were read from a stream.

    Attributes:
        source: name of the source.
        token: under which they were read.
        kind: of the entries.
        entries: oldest first.
    """

    source: str
    token: int
    kind: str
    entries: list[Entry]


class Polled(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A value that was there.

    Attributes:
        source: name of the source.
        token: under which it was read.
        kind: of the value.
        read_ms: when, server ms.
        value: of a string its bytes; of a hash the values of its fields.
    """

    source: str
    token: int
    kind: str
    read_ms: int
    value: list[bytes | None]

    @property
    def digest(self) -> str:
        """By which another recorder knows that this value is recorded."""
        return digest(self.value)


class Mine(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """What was read under a token before this is the recorder's own; or only the first part of it.

    Attributes:
        source: name of the source.
        token: under which it was read.
        positions: the last entry of each kind that is; ``None``: all.
    """

    source: str
    token: int
    positions: dict[str, str] | None = None


Waiting = Read | Polled
Frame = Held | Read | Polled | Mine

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Frame).decode


def encode(frame: Frame) -> bytes:
    """The frame as it stands in the log."""
    return _encode(frame)


def decode(data: bytes) -> Frame:
    """The frame that :func:`encode` has made.

    Raises:
        msgspec.DecodeError: it has not.
    """
    frame: Frame = _decode(data)
    return frame


def digest(value: Sequence[bytes | None]) -> str:
    """A short name of a polled value."""
    return blake2b(_encode(value), digest_size=8).hexdigest()


def decided(frames: Iterable[Frame]) -> Iterator[Waiting]:
    """The frames that are the recorder's own, in the order in which that was decided; each cut to what is."""
    waiting: dict[tuple[str, int], list[Waiting]] = {}
    for frame in frames:
        if isinstance(frame, Mine):
            yield from first_part(waiting.pop((frame.source, frame.token), []), frame.positions)
        elif not isinstance(frame, Held):
            waiting.setdefault((frame.source, frame.token), []).append(frame)


def first_part(waiting: Sequence[Waiting], positions: dict[str, str] | None) -> Iterator[Waiting]:
    """What of ``waiting`` comes up to ``positions``; all of it where they are ``None``."""
    if positions is None:
        yield from waiting
        return
    last_polled = {
        frame.kind: number
        for number, frame in enumerate(waiting)
        if isinstance(frame, Polled) and positions.get(frame.kind) == frame.digest
    }
    for number, frame in enumerate(waiting):
        if isinstance(frame, Polled):
            if number <= last_polled.get(frame.kind, -1):
                yield frame
        elif frame.kind in positions:
            end = split_id(positions[frame.kind])
            if entries := [entry for entry in frame.entries if split_id(entry[0]) <= end]:
                yield msgspec.structs.replace(frame, entries=entries)
