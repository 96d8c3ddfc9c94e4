"""One source, as one recorder knows it: its lease, up to where it is read, and what nothing is decided about. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from tickfence.recorder.carries import Carries
from tickfence.recorder.frames import Entry, Frame, Held, Mine, Polled, Read, Waiting, digest
from tickfence.recorder.gaps import Gaps
from tickfence.recorder.recording_lease import (
    Claim,
    Granted,
    Positions,
    Start,
    acquire_command,
    next_positions,
    note_command,
    parse_granted,
    parse_noted,
    parse_starts,
    release_command,
    starts_command,
)
from tickfence.recorder.sources import LOOKED_AT, Source, Value
from tickfence.recordings.kinds import Kind
from tickfence.redis_access.command import Request, checked
from tickfence.streams.codec import NO_ENTRY, split_id

READ_LIMIT = 1_000
"""Entries of one stream in one read; what is left comes with the next."""

_CHANGED = object()


class Recording:
    """One source. Its methods return requests, or take what became of them.

    A round goes: :meth:`acquire` where it is not held, :meth:`read`, then ``taken`` into the log, :meth:`logged`,
    :meth:`note`, and what is in ``decided`` into the log as well.

    Args:
        source: what is recorded.
        recorder: name of the recorder.
        ttl_ms: how long a lease lasts from each note.

    Attributes:
        held: whether the lease was this recorder's when Redis was last asked.
        own: whether it was the last to have it, as far as it knows: Redis may have lost that.
        forgotten: whether Redis has lost what it knew of the lease.
        holder: the recorder that had it when it was refused.
        taken: what the last read has found. It is not in the log yet.
        decided: frames for the log that say what is this recorder's own. Their loss is no harm: Redis knows.
        more: whether a limit cut the last read short.
        gaps: what is missing.
    """

    def __init__(self, source: Source, recorder: str, ttl_ms: int) -> None:
        self.source = source
        self.held = self.own = self.forgotten = False
        self._from_log = False  # what `own` says comes from the log alone: others may have had the source since
        self.holder = ""
        self.taken: list[Waiting] = []
        self.decided: list[Frame] = []
        self.more = False
        self._recorder, self._ttl_ms = recorder, ttl_ms
        self._token = 0
        self._positions: dict[str, str] = {}
        self._noted: dict[str, str] = {}
        self._begins: dict[str, str] = {}
        self._unnoted: set[str] = set()
        self._waiting: dict[int, list[Waiting]] = {}
        self._looks: dict[str, Any] = {}
        self._carries = Carries()
        self.gaps = Gaps()

    def replay(self, frame: Frame) -> None:
        """Take a frame that a process before this one has left in the log, in order."""
        if isinstance(frame, Held):
            self._begin(frame.token, frame.positions)
            self.own = self._from_log = True
        elif isinstance(frame, Mine):
            self._waiting.pop(frame.token, None)
            if frame.token == self._token:
                self.own = frame.positions is None
                if self.own:
                    self._is_noted()
        else:
            self._wait(frame)

    @property
    def waiting(self) -> bool:
        """Whether nothing is decided about some of what is in the log."""
        return any(self._waiting.values())

    @property
    def unclear(self) -> bool:
        """Whether Redis is to be asked who began since.

        That decides about what was read under a token that is over. After a start it also shows who was the last to have
        the source: this process knows its own log only.
        """
        return (self._from_log and not self.held) or any(
            not (self.held and token == self._token) for token, frames in self._waiting.items() if frames
        )

    @property
    def undecided(self) -> list[Frame]:
        """What must not be lost when the log begins a new segment."""
        if not self.held and not self.waiting:
            return []
        waiting = [frame for frames in self._waiting.values() for frame in frames]
        return [Held(self.source.name, self._token, dict(self._noted)), *waiting]

    def acquire(self) -> Request:
        """Ask for the lease; the log's own end is where to go on if nobody has recorded since."""
        beyond = {kind: self._positions[kind] for kind in self._unnoted}
        claim = Claim(self._token, self._noted, self._begins, beyond)
        return acquire_command(self.source.key, self._recorder, self._ttl_ms, claim), self._take_grant

    def read(self, now_ms: int, *, values: bool) -> list[Request]:
        """Read what is new.

        Args:
            now_ms: the Redis server's time.
            values: look at the values as well.
        """
        self.taken, self.more = [], False
        self.gaps.reading()
        requests: list[Request] = []
        for streams in self.source.streams:
            after = [self._positions.get(kind, NO_ENTRY) for kind in streams]
            command = ("XREAD", "COUNT", READ_LIMIT, "STREAMS", *streams.values(), *after)
            kinds = {key.encode(): kind for kind, key in streams.items()}
            requests.append((command, partial(self._take_entries, kinds, now_ms)))
        for kind, value in self.source.values.items() if values else ():
            requests.append((value.look or value.read, partial(self._take_look, kind, value, now_ms)))
        return requests

    def read_more(self, now_ms: int) -> list[Request]:
        """Read the large values that have changed since they were last looked at, and find out what is missing."""
        changed = [(kind, value) for kind, value in self.source.values.items() if self._looks.get(kind) is _CHANGED]
        return [(value.read, partial(self._take_value, kind, now_ms)) for kind, value in changed] + self.gaps.ask()

    def logged(self) -> None:
        """What was taken is in the log for good."""
        for frame in self.taken:
            self._wait(frame)
        self.taken = []
        self.gaps.logged()

    def note(self) -> Request:
        """Note what is in the log, and renew the lease."""
        positions = {kind: self._positions[kind] for kind in self._unnoted}
        begins = {kind: at for kind, at in self._begins.items() if kind in positions}
        command = note_command(self.source.key, self._token, self._ttl_ms, begins, positions)
        return command, self._take_noted

    def ask_starts(self) -> Request:
        """Ask where others have begun, to decide what is this recorder's own."""
        return starts_command(self.source.key), lambda reply: self._take_starts(parse_starts(checked(reply)))

    def lose(self) -> None:
        """Ask for the lease again: the note was answered by an error."""
        self.held = False

    def release(self) -> Request:
        """Give the lease back."""
        self.held = self.own = False
        return release_command(self.source.key, self._token), checked

    def _wait(self, frame: Waiting) -> None:
        self._waiting.setdefault(frame.token, []).append(frame)
        if frame.token != self._token:
            return  # a token before: Redis knows where the next one began
        if isinstance(frame, Polled):
            position = frame.digest
        else:
            position = frame.entries[-1][0].decode()
            if frame.kind not in self._positions:
                self._begins[frame.kind] = _before(frame.entries[0][0])
        self._positions[frame.kind] = position
        self._unnoted.add(frame.kind)

    def _begin(self, token: int, positions: Positions) -> None:
        self._token, self._positions, self._noted = token, dict(positions), dict(positions)
        self._unnoted, self._begins = set(), {}

    def _is_noted(self) -> None:
        self._noted = dict(self._positions)
        self._unnoted, self._begins = set(), {}

    def _take_grant(self, reply: Any) -> None:
        granted = parse_granted(checked(reply))
        self._from_log = False
        if not isinstance(granted, Granted):
            self.own, self.holder = False, granted
            return
        self.held = self.own = True
        self.forgotten, self.holder = False, ""
        self._begin(granted.token, granted.positions)
        self._looks, self._carries = {}, Carries()
        self.decided.append(Held(self.source.name, self._token, dict(self._positions)))
        self._decide(granted.starts)

    def _take_entries(self, kinds: dict[bytes, str], now_ms: int, reply: Any) -> None:
        found = checked(reply) or ()
        for key, entries in found.items() if isinstance(found, dict) else found:
            flat: list[Entry] = [(entry_id, _flat(fields)) for entry_id, fields in entries]
            self.gaps.look(kinds[key], key.decode(), self._positions.get(kinds[key]), flat[0])
            self.taken.append(Read(self.source.name, self._token, kinds[key], flat))
            self.more = self.more or len(flat) >= READ_LIMIT
            if kinds[key] == Kind.BASES:
                named = (self._carries.named(fields[1]) for _, fields in flat if len(fields) == 2)
                self.taken += [self._polled(Kind.CARRIES, now_ms, [carry]) for carry in named if carry is not None]

    def _take_look(self, kind: str, value: Value, now_ms: int, reply: Any) -> None:
        seen = checked(reply)
        if value.look is None:
            self._take_value(kind, now_ms, seen)
        elif seen and seen != self._looks.get(kind):
            self._looks[kind] = _CHANGED

    def _take_value(self, kind: str, now_ms: int, reply: Any) -> None:
        found = checked(reply)
        value = found if isinstance(found, list) else [found]
        if self.source.values[kind].look is not None:
            self._looks[kind] = (found or b"")[:LOOKED_AT]
        if all(part is None for part in value) or digest(value) == self._positions.get(kind):
            return
        if kind != Kind.CARRIES or self._carries.saw(value[0], now_ms):
            self.taken.append(self._polled(kind, now_ms, value))

    def _polled(self, kind: str, now_ms: int, value: list[bytes | None]) -> Polled:
        return Polled(self.source.name, self._token, kind, now_ms, value)

    def _take_noted(self, reply: Any) -> None:
        starts = parse_noted(checked(reply))
        self.gaps.noted(accepted=starts is None)
        if starts is None:
            if self._waiting.pop(self._token, None):
                self.decided.append(Mine(self.source.name, self._token))
            self._is_noted()
        else:
            self.held = False
            self.forgotten = all(start.token != self._token for start in starts)
            self.own = self.forgotten
            self._decide(starts)

    def _take_starts(self, starts: Sequence[Start]) -> None:
        self._from_log = False
        self.own = self.own and (not starts or starts[-1].token <= self._token)
        self._decide(starts)

    def _decide(self, starts: Sequence[Start]) -> None:
        for token in [token for token in self._waiting if not (self.held and token == self._token)]:
            kinds = {frame.kind for frame in self._waiting[token] if isinstance(frame, Read)}
            positions = next_positions(starts, token, sorted(kinds))
            if positions is not None:
                del self._waiting[token]
                self.decided.append(Mine(self.source.name, token, dict(positions)))


def _flat(fields: Any) -> Sequence[bytes]:
    return [part for pair in fields.items() for part in pair] if isinstance(fields, dict) else fields


def _before(entry_id: bytes) -> str:
    milliseconds, sequence = split_id(entry_id)
    return f"{milliseconds}-{sequence - 1}" if sequence else f"{milliseconds - 1}-{2**64 - 1}"
