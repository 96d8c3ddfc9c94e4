"""Recording, round after round: read, append to the log and sync, note.

A process may be killed or stopped between any two steps. What the log holds and Redis has not noted is read again by the
next recorder, or decided on when this one starts again; see :mod:`tickfence.recorder.recording_lease`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from tickfence.coordination.clock import ServerClock
from tickfence.keys import Keys
from tickfence.monitoring import recorder_metrics as metrics
from tickfence.monitoring.log_limit import LogLimit
from tickfence.recorder.frames import Frame
from tickfence.recorder.recording import Recording
from tickfence.recorder.sources import source
from tickfence.recorder.wal import Segment, WriteAheadLog
from tickfence.redis_access.command import Request
from tickfence.redis_access.errors import ResponseError, cannot_serve
from tickfence.redis_access.scripts import send

logger = logging.getLogger(__name__)

AT_ONCE = 50
"""Sources whose entries are in memory together."""
REMEMBERED_S = 600.0
"""For how long a recorder knows up to where it has recorded a source that it gave back, in case Redis forgets it."""

Ask = Callable[[Recording], Iterable[Request]]


class Rounds:
    """All that one recorder records.

    Args:
        keys: of the deployment.
        recorder: its name.
        log: its write-ahead log; what is left in it is taken over.
        ttl_ms: how long a lease lasts from each note.
        clock: the Redis server's time.

    Attributes:
        recordings: by the name of their source.
    """

    def __init__(self, keys: Keys, recorder: str, log: WriteAheadLog, ttl_ms: int, clock: ServerClock) -> None:
        self.recordings: dict[str, Recording] = {}
        self._keys, self._recorder, self._log, self._ttl_ms, self._clock = keys, recorder, log, ttl_ms, clock
        self._noted: dict[str, float] = {}
        self._say, self._say_gaps = LogLimit(5.0), LogLimit(60.0)
        for frame in log.left:
            self._recording(frame.source).replay(frame)
        log.left = []

    @property
    def held(self) -> list[str]:
        """Names of the sources whose lease this recorder has."""
        return [name for name, recording in self.recordings.items() if recording.held]

    def redis_forgot(self) -> bool:
        """Whether Redis has turned out to have lost what it knew of a lease, since this was last asked."""
        forgotten = [recording for recording in self.recordings.values() if recording.forgotten]
        for recording in forgotten:
            recording.forgotten = False
        return bool(forgotten)

    def owns(self, name: str) -> bool:
        """Whether this recorder was the last to have a source, as far as it knows."""
        return name in self.recordings and self.recordings[name].own

    @property
    def more(self) -> bool:
        """Whether a limit cut a read short, so that the next round should begin at once."""
        return any(recording.held and recording.more for recording in self.recordings.values())

    @property
    def lag_s(self) -> float:
        """Seconds since the oldest note of a source that is held."""
        now = time.monotonic()
        return max((now - self._noted.get(name, now) for name in self.held), default=0.0)

    def steps(self, client: Any, wanted: Collection[str], *, values: bool, read: bool = True) -> Iterator[None]:
        """Do one round; a step ends at each ``yield``.

        Args:
            client: the data plane.
            wanted: names of the sources that this recorder is to have.
            values: look at the values as well as at the streams.
            read: ``False`` only finishes what was read before, and gives leases back.

        Raises:
            NotWritten: the disk does not take it.
            redis.exceptions.RedisError: Redis cannot serve now.
        """
        every = [self._recording(name) for name in wanted] + [
            recording for name, recording in self.recordings.items() if name not in wanted
        ]
        free = [one for one in every if read and not one.held and one.source.name in wanted]
        self._exchange(client, free, lambda one: [one.acquire()])
        self._tell_taken(free)
        yield
        for start in range(0, len(every), AT_ONCE):
            some = [one for one in every[start : start + AT_ONCE] if one.held]
            if read:
                yield from self._read(client, some, values=values)
            yield from self._note(client, some)
        unclear = [one for one in every if one.unclear]
        self._exchange(client, unclear, lambda one: [one.ask_starts()])
        self._append(unclear)
        done = [one for one in every if one.held and not one.waiting and one.source.name not in wanted]
        self._exchange(client, done, lambda one: [one.release()])
        yield
        self._forget(wanted)

    def rotate(self) -> list[Segment]:
        """Begin a new segment of the log and return those before, to be converted.

        Raises:
            NotWritten: the disk does not take it.
        """
        self._append(list(self.recordings.values()))
        kept: list[Frame] = [frame for recording in self.recordings.values() for frame in recording.undecided]
        return self._log.rotate(kept)

    def _forget(self, wanted: Collection[str]) -> None:
        now = time.monotonic()
        for name, one in list(self.recordings.items()):
            old = now - self._noted.setdefault(name, now) > REMEMBERED_S
            if old and name not in wanted and not one.held and not one.waiting:
                del self.recordings[name], self._noted[name]

    def _recording(self, name: str) -> Recording:
        if name not in self.recordings:
            self.recordings[name] = Recording(source(self._keys, name), self._recorder, self._ttl_ms)
        return self.recordings[name]

    def _read(self, client: Any, some: list[Recording], *, values: bool) -> Iterator[None]:
        now_ms = self._clock.now_ms()
        self._exchange(client, some, lambda one: one.read(now_ms, values=values))
        self._exchange(client, some, lambda one: one.read_more(now_ms))
        yield
        self._append(some, taken=True)
        for one in some:
            one.logged()
        yield

    def _note(self, client: Any, some: list[Recording]) -> Iterator[None]:
        self._exchange(client, some, lambda one: [one.note()], failed=Recording.lose)
        yield
        self._append(some)
        now = time.monotonic()
        for one in some:
            self._tell_gaps(one)
            if one.held:
                self._noted[one.source.name] = now
            else:
                metrics.refused.inc()
                logger.info("recording lost", extra={"source": one.source.name})
        yield

    def _append(self, some: list[Recording], *, taken: bool = False) -> None:
        """Append what is decided; with ``taken`` also what was read, and wait until the disk has it."""
        frames: list[Frame] = [frame for one in some for frame in (*one.decided, *(one.taken if taken else ()))]
        if frames:
            self._log.append(frames, sync=taken)
        for one in some:
            one.decided = []

    def _exchange(
        self, client: Any, some: list[Recording], ask: Ask, failed: Callable[[Recording], None] | None = None
    ) -> None:
        """Send the requests of several sources at once; what is wrong with one of them stays its own."""
        requests = [(one, request) for one in some for request in ask(one)]
        if not requests:
            return
        replies = send(client, [command for _, (command, _) in requests], raise_errors=False)
        for reply in replies:
            if isinstance(reply, Exception) and cannot_serve(reply):
                raise reply
        for (one, (_, take)), reply in zip(requests, replies, strict=True):
            try:
                take(reply)
            except (ResponseError, ValueError) as error:
                metrics.errors.labels(metrics.Failure.SOURCE).inc()
                if failed is not None:
                    failed(one)
                if self._say.allows(one.source.name) is not None:
                    logger.warning("cannot record", extra={"source": one.source.name, "error": str(error)})

    def _tell_taken(self, free: list[Recording]) -> None:
        for one in free:
            if one.held:
                metrics.taken.inc()
                logger.info("recording", extra={"source": one.source.name})

    def _tell_gaps(self, one: Recording) -> None:
        missed, one.gaps.missed = one.gaps.missed, []
        for gap in missed:
            metrics.gaps.labels(gap.kind).inc()
        if missed and (held_back := self._say_gaps.allows(one.source.name)) is not None:
            shown = ", ".join(f"{gap.kind} between {gap.after} and {gap.before}" for gap in missed)
            extra = {"source": one.source.name, "missing": shown, "held_back": held_back}
            logger.warning("Redis had trimmed entries before they were read: they are not recorded", extra=extra)
