"""Any history of kills, pauses and lost data: what recorders write to files is each entry once. On a real Redis."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tickfence.coordination.clock import ServerClock
from tickfence.keys import Keys
from tickfence.recorder import recording
from tickfence.recorder.frames import Polled, Read, Waiting, decided, digest
from tickfence.recorder.rounds import Rounds
from tickfence.recorder.wal import WriteAheadLog, frames
from tickfence.redis_access.scripts import send
from tickfence.streams.codec import Snapshot, encode_snapshot, split_id

KEYS = Keys()
SYMBOL = "AAUSDT"
STREAMS = {"trades": KEYS.trades(SYMBOL), "diffs": KEYS.book(SYMBOL)}
FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None
RECORDERS = ["recorder-1", "recorder-2"]

recorders = st.sampled_from(RECORDERS)


class Process:
    """One recorder on its disk, which outlives it."""

    def __init__(self, name: str, folder: Path, client: redis.Redis, files: dict[tuple[str, int], list[str]]) -> None:
        self.name, self.folder, self.client, self.files = name, folder, client, files
        self.round: Iterator[None] | None = None
        self.start()

    def start(self) -> None:
        self.log = WriteAheadLog(self.folder)
        self.closed, self.log.closed = self.log.closed, []
        # A lease of no length: only the fence keeps others out.
        self.rounds = Rounds(KEYS, self.name, self.log, 0, ServerClock())

    def step(self, wanted: set[str]) -> bool:
        """Go on with the round, or begin one; return whether it is over."""
        if self.round is None:
            self.round = self.rounds.steps(self.client, wanted, values=True)
        if next(self.round, self) is self:
            self.round = None
        return self.round is None

    def whole_round(self, wanted: set[str]) -> None:
        while not self.step(wanted):
            pass

    def kill(self, torn: bytes) -> None:
        self.round = None
        self.log.close()
        with self.log.segment.path.open("ab") as file:
            file.write(torn)
        self.start()

    def undecided(self) -> Iterator[str]:
        for one in self.rounds.recordings.values():
            yield from self.names(frame for frame in one.undecided if isinstance(frame, Read | Polled))

    def rotate(self) -> None:
        self.closed += self.rounds.rotate()

    def convert(self, *, killed: bool) -> None:
        if self.closed:
            segment = self.closed[0]
            self.files[self.name, segment.number] = list(self.names(decided(frames(segment.path))))
            if not killed:
                segment.path.unlink()
                del self.closed[0]

    @staticmethod
    def names(some: Iterable[Waiting]) -> Iterator[str]:
        for frame in some:
            if isinstance(frame, Polled):
                yield f"{frame.kind} {frame.digest}"
            else:
                yield from (f"{frame.kind} {entry_id.decode()}" for entry_id, _ in frame.entries)


class RecorderMachine(RuleBasedStateMachine):
    """Two recorders that both want the symbol whenever it pleases them."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__()
        self.client = client
        client.flushall()
        self.folder = Path(tempfile.mkdtemp(dir=FAST))
        self.files: dict[tuple[str, int], list[str]] = {}
        self.processes = {name: Process(name, self.folder / name, client, self.files) for name in RECORDERS}
        self.number = 0
        self.streamed: set[str] = set()
        self.lost: set[str] = set()
        self.must: set[str] = set()

    @rule(count=st.integers(1, 5), kind=st.sampled_from(sorted(STREAMS)))
    def market(self, count: int, kind: str) -> None:
        for _ in range(count):
            self.number += 1
            entry_id = f"{1_000 + self.number // 3}-{self.number}"
            self.client.xadd(STREAMS[kind], {"p": "1"}, id=entry_id)
            self.streamed.add(f"{kind} {entry_id}")

    @rule()
    def snapshot(self) -> None:
        self.number += 1
        book = Snapshot(last_update_id=self.number, stream_id="0-0", bids=[], asks=[], time=1)
        self.client.set(KEYS.snapshot(SYMBOL), encode_snapshot(book))

    @rule(name=recorders, wanted=st.booleans(), steps=st.integers(1, 4))
    def go_on(self, name: str, wanted: bool, steps: int) -> None:
        for _ in range(steps):
            self.processes[name].step({SYMBOL} if wanted else set())

    @rule(name=recorders, wanted=st.booleans())
    def finish_round(self, name: str, wanted: bool) -> None:
        self.processes[name].whole_round({SYMBOL} if wanted else set())

    @rule(name=recorders, torn=st.sampled_from([b"", b"\x05", b"\x05\x00\x00\x00\x01\x02\x03\x04\x05\x06", bytes(40)]))
    def kill(self, name: str, torn: bytes) -> None:
        self.processes[name].kill(torn)

    @rule(name=recorders)
    def note_whose_reply_is_lost(self, name: str) -> None:
        held = [one for one in self.processes[name].rounds.recordings.values() if one.held]
        send(self.client, [one.note()[0] for one in held], raise_errors=False)

    @rule(name=recorders)
    def lose_the_connection(self, name: str) -> None:
        """The round ends in the middle, and the process goes on."""
        self.processes[name].round = None

    @rule(name=recorders)
    def rotate(self, name: str) -> None:
        process = self.processes[name]
        process.round = None
        process.rotate()

    @rule(name=recorders, killed=st.booleans())
    def convert(self, name: str, killed: bool) -> None:
        self.processes[name].convert(killed=killed)

    @rule()
    def redis_comes_back_empty(self) -> None:
        noted: dict[str, Any] = {kind: self.client.hget(KEYS.recording(SYMBOL), f"at:{kind}") for kind in STREAMS}
        # A recorder that is killed before it logs the answer to its note cannot know that it was accepted.
        unanswered = {row for process in self.processes.values() for row in process.undecided()}
        for row in self.streamed - self.lost - unanswered:
            kind, entry_id = row.split()
            if noted[kind] and split_id(entry_id) <= split_id(noted[kind]):
                self.must.add(row)
        self.lost |= self.streamed
        self.client.flushall()
        self.client.script_flush()

    def teardown(self) -> None:
        try:
            self.check()
        finally:
            for process in self.processes.values():
                process.log.close()
            shutil.rmtree(self.folder)

    def check(self) -> None:
        first, second = self.processes.values()
        for kind in STREAMS:
            self.market(1, kind)
        for process in (first, second):
            while process.round is not None:
                process.step({SYMBOL})
        for _ in range(3):
            second.whole_round(set())
            first.whole_round({SYMBOL})
        while first.rounds.more:
            first.whole_round({SYMBOL})
        for process in (first, second):
            assert not any(one.waiting for one in process.rounds.recordings.values())
            process.rotate()
            while process.closed:
                process.convert(killed=False)
        rows = Counter(row for one in self.files.values() for row in one)
        assert {row: times for row, times in rows.items() if times > 1} == {}
        streamed = {row for row in rows if not row.startswith("snapshots")}
        assert streamed <= self.streamed
        assert (self.streamed - self.lost) | self.must <= streamed
        shown: Any = self.client.get(KEYS.snapshot(SYMBOL))
        assert shown is None or f"snapshots {digest([shown])}" in rows


def test_each_entry_once_whatever_happens(redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "READ_LIMIT", 3)
    run_state_machine_as_test(
        lambda: RecorderMachine(redis_client),  # type: ignore[arg-type]
        settings=settings(max_examples=30, stateful_step_count=25, deadline=None, derandomize=True),
    )


def test_one_that_was_stopped_does_not_keep_what_a_killed_one_claims(redis_client: redis.Redis) -> None:
    machine = RecorderMachine(redis_client)
    machine.market(1, "diffs")
    machine.go_on("recorder-2", True, 1)
    machine.go_on("recorder-1", True, 3)
    machine.kill("recorder-1", b"")
    machine.teardown()


def test_one_that_was_stopped_does_not_keep_what_redis_forgot_to_be_anothers(redis_client: redis.Redis) -> None:
    machine = RecorderMachine(redis_client)
    machine.market(1, "diffs")
    machine.go_on("recorder-1", True, 3)
    machine.finish_round("recorder-2", True)
    machine.redis_comes_back_empty()
    machine.teardown()
