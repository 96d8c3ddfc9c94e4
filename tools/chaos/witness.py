"""Watches the market-data streams of Redis while recorders work: which trade or diff could be read, and when.

It shares no code with the recorders. Ten times a second it looks at every stream in one transaction, and so sees each
entry that Redis keeps, and from when until when it could be read.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import takewhile
from typing import Any, NamedTuple, Self

import redis

from tickfence.keys import Keys

LOOK_EVERY_S = 0.1
MAX_BLIND_S = 0.5
"""Two looks that are further apart prove nothing about the time between them."""

Id = tuple[int, int]
"""Of a stream's entry: exchange time in ms, and the exchange's number. They compare as Redis compares ids."""
Fields = Mapping[bytes, bytes]


class What(StrEnum):
    """Kinds of market data, named as the recorded files are."""

    TRADES = "trades"
    DIFFS = "diffs"


class Span(NamedTuple):
    """A time without a break: Unix time, s."""

    since: float
    until: float


@dataclass
class Entry:
    """One entry of a stream.

    Attributes:
        fields: what it held, the newest version last: Redis may have lost it, and another ingest written it again.
        spans: when it could be read.
    """

    fields: list[Fields]
    spans: list[Span] = field(default_factory=list)


class Look(NamedTuple):
    """One look at a stream.

    Attributes:
        at: Unix time, s.
        first: id of its oldest entry; ``None`` if it has none.
        length: how many it has.
        entries: those from the last one that is known, in order.
    """

    at: float
    first: Id | None
    length: int
    entries: Sequence[tuple[Id, Fields]]


class WitnessedStream:
    """What looks at one stream have shown. No I/O.

    Attributes:
        entries: all that were ever there, by id.
        unseen: ids between which entries may have come and gone unseen, because Redis was away, or lost its data.
    """

    def __init__(self) -> None:
        self.entries: dict[Id, Entry] = {}
        self.unseen: list[tuple[Id, Id]] = []
        self._there: deque[tuple[Id, float]] = deque()
        self._looked_at = 0.0

    @property
    def newest(self) -> Id:
        """The newest entry at the last look; ``(0, 0)`` if there was none."""
        return self._there[-1][0] if self._there else (0, 0)

    def continues(self, look: Look) -> bool:
        """Whether nothing but the oldest entries has gone since the last look: then this one shows all that came."""
        if not self._there:
            return self._looked_at > 0 and look.length == len(look.entries)
        known = len(look.entries) > 0 and look.entries[0] == (self.newest, self.entries[self.newest].fields[-1])
        dropped = sum(1 for _ in takewhile(lambda there: look.first is None or there[0] < look.first, self._there))
        return known and look.length == len(self._there) - dropped + len(look.entries) - 1

    def take(self, look: Look) -> None:
        """Take a look that :meth:`continues` the last one."""
        if look.at - self._looked_at > MAX_BLIND_S:
            there = list(self._there)
            self.end()
            self._there.extend((id_, look.at) for id_, _ in there)
        for id_, fields in look.entries[1:] if self._there else look.entries:
            self._note(id_, fields)
            self._there.append((id_, look.at))
        while self._there and (look.first is None or self._there[0][0] < look.first):
            self._close(*self._there.popleft())
        self._looked_at = look.at

    def begin_again(self, look: Look) -> None:
        """Take a look that holds the whole stream, after a time of which nothing is known.

        What came and went in that time came behind the newest entry that is still there: behind that one Redis may have
        lost entries, and taken others with lower ids than theirs.
        """
        if self._looked_at:
            here = dict(look.entries)
            kept = max((id_ for id_, _ in self._there if here.get(id_) == self.entries[id_].fields[-1]), default=(0, 0))
            self.unseen.append((kept, (int(look.at * 1000), 2**64)))
        self.end()
        self._looked_at = look.at
        self.take(look)

    def end(self) -> None:
        """The last look was the last one for now: what was there then could be read until then."""
        while self._there:
            self._close(*self._there.popleft())

    def _note(self, id_: Id, fields: Fields) -> None:
        entry = self.entries.setdefault(id_, Entry([]))
        if fields in entry.fields:
            entry.fields.remove(fields)
        entry.fields.append(fields)

    def _close(self, id_: Id, since: float) -> None:
        if self._looked_at > since:
            self.entries[id_].spans.append(Span(since, self._looked_at))


class Witness:
    """Watches the streams of some symbols within the ``with`` block.

    Enter it before the stream's writers start: what was dropped before its first look counts as never written.

    Args:
        keys: of the deployment.
        symbols: whose streams to watch.
        recorders: names of the recorders.
        connect: returns a new client of the data plane.

    Attributes:
        streams: (symbol, kind) -> what was seen.
        registered: process id of a recorder -> when its registration was first seen: Unix time, s.
        looked_at: when the last complete look at all streams began: Unix time, s.
    """

    def __init__(
        self, keys: Keys, symbols: Iterable[str], recorders: Iterable[str], connect: Callable[[], redis.Redis]
    ) -> None:
        self._connect = connect
        self._keys = {
            (symbol, what): key(symbol)
            for symbol in symbols
            for what, key in ((What.TRADES, keys.trades), (What.DIFFS, keys.book))
        }
        self._records = [keys.recorder_group.record(name) for name in recorders]
        self.registered: dict[int, float] = {}
        self.streams = {watched: WitnessedStream() for watched in self._keys}
        self.looked_at = 0.0
        self._server = ""
        self._ended = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def await_look(self, timeout_s: float = 10.0) -> None:
        """Wait for a look that begins from now on.

        Raises:
            RuntimeError: there is none in time.
        """
        now, deadline = time.time(), time.monotonic() + timeout_s
        while self.looked_at < now:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the witness of recordings could not look at the streams within {timeout_s:g} s")
            time.sleep(LOOK_EVERY_S / 10)

    def stop(self) -> None:
        """End watching.

        Raises:
            RuntimeError: watching failed, so :attr:`streams` proves nothing.
        """
        self._ended.set()
        self._thread.join()
        for stream in self.streams.values():
            stream.end()
        if self._error:
            raise RuntimeError(f"the witness of recordings failed: {self._error!r}") from self._error

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                try:
                    with self._connect() as client:
                        self._watch(client)
                except (redis.RedisError, OSError):
                    self._ended.wait(LOOK_EVERY_S)  # Redis is away, as a fault; the next look tells for how long
        except Exception as error:  # noqa: BLE001 - told by stop()
            self._error = error

    def _watch(self, client: redis.Redis) -> None:
        while not self._ended.is_set():
            began = time.time()
            after = {watched: stream.newest for watched, stream in self.streams.items()}
            before, (self._server, looks) = self._server, self._look(client, after)
            for watched, look in looks.items():
                stream = self.streams[watched]
                if self._server == before and stream.continues(look):
                    stream.take(look)
                else:
                    stream.begin_again(self._look(client, {watched: (0, 0)})[1][watched])
            self.looked_at = began
            self._ended.wait(min(max(began + LOOK_EVERY_S - time.time(), 0.0), LOOK_EVERY_S))

    def _look(
        self, client: redis.Redis, after: Mapping[tuple[str, What], Id]
    ) -> tuple[str, dict[tuple[str, What], Look]]:
        """Look at some streams, at each from one of its ids on; returns also the run id of the server."""
        transaction = client.pipeline(transaction=True)
        transaction.info("server")
        for watched, id_ in after.items():
            transaction.xlen(self._keys[watched])
            transaction.xrange(self._keys[watched], count=1)
            transaction.xrange(self._keys[watched], min=f"{id_[0]}-{id_[1]}")
        for record in self._records:
            transaction.hget(record, "pid")
        server, *replies = transaction.execute()
        at, looks = time.time(), {}
        for pid in replies[3 * len(after) :]:
            if pid:
                self.registered.setdefault(int(pid), at)
        del replies[3 * len(after) :]
        for watched, length, oldest, new in zip(after, replies[::3], replies[1::3], replies[2::3], strict=True):
            first = _id(oldest[0][0]) if oldest else None
            looks[watched] = Look(at, first, length, [(_id(id_), fields) for id_, fields in new])
        return server["run_id"], looks


def _id(text: bytes) -> Id:
    milliseconds, _, number = text.partition(b"-")
    return int(milliseconds), int(number)
