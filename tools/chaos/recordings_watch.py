"""Watches what recorders have to record, and judges their files when they have stopped."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import msgspec

from tools.chaos.checker import Violation
from tools.chaos.history import Lived, Record
from tools.chaos.lives import LifeSampler
from tools.chaos.recorded_files import read
from tools.chaos.recordings_check import RecordingsVerdict, check
from tools.chaos.stack_under_test import StackUnderTest
from tools.chaos.witness import Witness
from tools.local.roles import RECORDERS

UP_S = 30.0
STOPPED_S = 60.0


def lives_of(records: Iterable[Record], registered: Mapping[int, float], told_to_stop: float) -> list[Lived]:
    """When recorders lived: from their first registration until they were told to stop.

    Args:
        records: when their processes ran.
        registered: process id -> when its registration was first seen: Unix time, s.
        told_to_stop: Unix time, s.
    """
    lives = [
        msgspec.structs.replace(
            record, since=max(record.since, registered[record.pid]), time=min(record.time, told_to_stop)
        )
        for record in records
        if isinstance(record, Lived) and record.pid in registered
    ]
    return [life for life in lives if life.since < life.time]


class RecordingsWatch:
    """Watches streams and recorders within the ``with`` block. Enter it before the stack starts.

    Args:
        stack: with recorders.
        recordings: the folder that they write into.
    """

    def __init__(self, stack: StackUnderTest, recordings: Path) -> None:
        self._stack, self._recordings = stack, recordings
        self._records: list[Record] = []
        self._lives = LifeSampler(self._records, RECORDERS, stack.pids)
        self._witness = Witness(stack.settings.keys, stack.symbols, RECORDERS, stack.client)
        self._context = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as context:
            context.enter_context(self._witness)
            context.enter_context(self._lives)
            self._context = context.pop_all()
        return self

    def __exit__(self, *_: Any) -> None:
        self._context.close()

    def judge(self) -> tuple[list[Lived], RecordingsVerdict]:
        """Stop the recorders in order, then compare their files with what was in Redis.

        Returns:
            :func:`lives_of` the recorders, and the verdict.

        Raises:
            SupervisionError: a recorder does not end.
            RuntimeError: the witness failed.
        """
        dead = [name for name in RECORDERS if not self._await_up(name)]
        told_to_stop = time.time()
        for name in RECORDERS:
            if self._stack.pid(name):
                self._stack.signal(name, signal.SIGTERM)
        for name in RECORDERS:
            self._stack.await_end(name, STOPPED_S)
        self._witness.await_look()
        self._context.close()
        lives = lives_of(self._records, self._witness.registered, told_to_stop)
        verdict = check(self._witness.streams, lives, read(self._recordings))
        for name in dead:
            log = self._stack.log(name).strip()[-300:]
            verdict.violations.append(Violation(time.time(), name, "recorder not up", f"its log ends: {log}"))
        return lives, verdict

    def _await_up(self, name: str) -> bool:
        """Wait for a recorder: one that is told to stop while it starts leaves its log as it is."""
        deadline = time.monotonic() + UP_S
        while self._stack.pid(name) and time.monotonic() < deadline:
            if time.time() - (self._stack.metric(name, "nt_recorder_heartbeat") or 0.0) < 1.0:
                return True
            time.sleep(0.1)
        return False
