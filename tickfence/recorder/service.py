"""A recorder as a whole: its parts, put together."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import closing
from typing import Any

from tickfence.batch.reading import times_read
from tickfence.coordination.clock import ServerClock
from tickfence.coordination.live_members import live_members
from tickfence.coordination.owner import Owner
from tickfence.coordination.registration import NodeIdInUse, Registration
from tickfence.monitoring import recorder_metrics as metrics
from tickfence.monitoring.log_limit import LogLimit
from tickfence.recorder.converter import Converter
from tickfence.recorder.followed import FollowedSymbols
from tickfence.recorder.patience import Patience
from tickfence.recorder.retention import Retention, Span
from tickfence.recorder.rounds import Rounds
from tickfence.recorder.share import share
from tickfence.recorder.sources import EVENTS
from tickfence.recorder.wal import NotWritten, Segment, WriteAheadLog
from tickfence.recordings.store import Store
from tickfence.redis_access.connect import connect, forget_connections
from tickfence.redis_access.errors import REDIS_ERRORS
from tickfence.redis_access.outage import Backoff, Outage
from tickfence.settings import Settings

logger = logging.getLogger(__name__)

ROUND_S = 0.4
"""Time between the beginnings of two rounds. Diffs must be noted within a second."""
VALUES_S = 1.0
"""Time between two looks at snapshots, tickers and the like."""
SHARE_S = 0.5
"""Time between two looks at the live recorders and the desired symbols."""
SEGMENT_BYTES = 64 * 1024 * 1024
"""A segment of the log that is larger does not wait for the end of its minute."""
START_WITHIN_S = 60.0
FINISH_WITHIN_S = 20.0
"""From :meth:`Recorder.stop` on. The grace periods of Compose and Kubernetes are longer."""


class Recorder:
    """Records what rendezvous hashing gives it, until :meth:`stop`.

    Args:
        settings: of the process.
        log: its write-ahead log.
        store: where files go.
        metrics_url: where its metrics are, for operators; "" where they are nowhere.
    """

    def __init__(self, settings: Settings, log: WriteAheadLog, store: Store, metrics_url: str) -> None:
        self.replaced: NodeIdInUse | None = None
        self._settings, self._log = settings, log
        self._name = settings.process_name("recorder")
        self._clock = ServerClock()
        self._rounds = Rounds(settings.keys, self._name, log, settings.nt_lease_ttl_ms, self._clock)
        self._followed = FollowedSymbols(settings.keys, settings.symbols)
        retention = Retention(store, settings.nt_recordings_days, self._times_read)
        self._converter = Converter(store, self._name, settings.nt_recorder_file_mb * 1_000_000, retention)
        self._stopping = threading.Event()
        self._outage = Outage("the data plane", logger)
        self._client: Any = None
        self._wanted: frozenset[str] = frozenset()
        self._patience = Patience(settings.nt_heartbeat_ttl_ms / 1000)
        self._shared_at = self._valued_at = 0.0
        self._minute = int(time.time() // 60)
        self._say = LogLimit(10.0)
        self._registration = Registration(
            settings.redis_url,
            settings.keys.recorder_group,
            Owner.start(self._name),
            {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "started_at": int(time.time() * 1000),
                "metrics_url": metrics_url,
                "weight": 1,
            },
            interval_ms=settings.nt_heartbeat_interval_ms,
            ttl_ms=settings.nt_heartbeat_ttl_ms,
            clock=self._clock,
            on_replaced=self._replace,
        )
        self._convert(log.closed)
        log.closed = []
        metrics.symbols.set_function(lambda: len([name for name in self._rounds.held if name != EVENTS]))
        metrics.lag.set_function(lambda: self._rounds.lag_s)
        metrics.wal_bytes.set_function(lambda: log.size + self._converter.waiting_bytes)

    def stop(self) -> None:
        """Let :meth:`run` give everything back, write what there is to files, and return."""
        self._stopping.set()

    def run(self) -> None:
        """Record until :meth:`stop`.

        Raises:
            NodeIdInUse: another live recorder has this name.
            redis.exceptions.RedisError: Redis could not be reached for a minute at the start.
        """
        self._register()
        self._registration.announce()
        self._converter.start()
        while not self._stopping.is_set():
            begun = time.monotonic()
            try:
                self._round()
            except NotWritten as error:
                self._wait_for_disk(error)
            except REDIS_ERRORS as error:
                self._failed(error)
            else:
                self._outage.over()
                metrics.heartbeat.set_to_current_time()
                if not self._rounds.more:
                    self._stopping.wait(max(ROUND_S - (time.monotonic() - begun), 0))
        self._finish()

    def _register(self) -> None:
        deadline = time.monotonic() + START_WITHIN_S
        while not self._stopping.is_set():
            try:
                self._registration.register()
                return
            except REDIS_ERRORS as error:
                if time.monotonic() > deadline:
                    raise
                self._stopping.wait(self._outage.failed(error))

    def _round(self) -> None:
        if self._client is None:  # a cluster's client does not exist before a node has answered
            self._client = connect(self._settings.redis_url, name=self._name)
        now = time.monotonic()
        if now - self._shared_at >= SHARE_S:
            self._share()
            self._shared_at = now
        values = now - self._valued_at >= VALUES_S
        for _ in self._rounds.steps(self._client, self._wanted, values=values):
            pass
        if self._rounds.redis_forgot():
            self._disturbed()
        if values:
            self._valued_at = now
        minute = int(time.time() // 60)
        if minute != self._minute or self._log.size > SEGMENT_BYTES:
            self._convert(self._rounds.rotate())
            self._minute = minute

    def _convert(self, segments: Iterable[Segment]) -> None:
        for segment in segments:
            self._converter.add(segment)

    def _times_read(self) -> list[Span]:
        """What batch jobs read now. The converter's thread asks, once an hour."""
        with closing(connect(self._settings.redis_url, name=self._name)) as client:
            return list(times_read(client, self._settings.keys))

    def _share(self) -> None:
        """Find out which sources this recorder is to have."""
        self._followed.look(self._client)
        group, ttl_ms = self._settings.keys.recorder_group, self._settings.nt_heartbeat_ttl_ms
        live = {record.owner.node for record in live_members(self._client, group, ttl_ms)}
        if self._name not in live:
            self._disturbed()
        due = share([*self._followed.symbols, EVENTS], live | {self._name}, self._name)
        self._wanted = self._patience.wanted(due, self._rounds.owns, time.monotonic())

    def _disturbed(self) -> None:
        self._patience.disturbed(time.monotonic())
        self._shared_at = 0.0

    def _failed(self, error: Exception) -> None:
        metrics.errors.labels(metrics.Failure.REDIS).inc()
        self._disturbed()
        if self._client is not None:
            forget_connections(self._client)
        self._stopping.wait(self._outage.failed(error))

    def _wait_for_disk(self, error: NotWritten) -> None:
        """Let other recorders have the symbols while nothing can be logged here."""
        self._registration.withdraw()
        backoff = Backoff(base=0.2, cap=5.0)
        problem: NotWritten | None = error
        while problem is not None and not self._stopping.is_set():
            metrics.errors.labels(metrics.Failure.LOG).inc()
            if self._say.allows("disk") is not None:
                logger.error("nothing is recorded here meanwhile: %s", problem)
            self._give_back()
            self._stopping.wait(backoff.next_s())
            try:
                self._log.check()
                problem = None
            except NotWritten as again:
                problem = again
        if problem is None:
            logger.info("the write-ahead log can be written again")
            self._registration.rejoin()

    def _give_back(self) -> None:
        """Note what is in the log, and give every lease back."""
        try:
            if self._client is not None:
                for _ in self._rounds.steps(self._client, frozenset(), values=False, read=False):
                    pass
        except NotWritten as error:
            logger.debug("what is decided waits: %s", error)
        except REDIS_ERRORS as error:
            logger.warning("cannot give the symbols back, others wait for the leases to end: %s", error)

    def _finish(self) -> None:
        deadline = time.monotonic() + FINISH_WITHIN_S
        try:
            if self._client is not None and self.replaced is None:
                for read in (True, False):
                    for _ in self._rounds.steps(self._client, frozenset(), values=False, read=read):
                        pass
            self._registration.leave()
            self._convert(self._rounds.rotate())
        except NotWritten as error:
            logger.error("what is not in files yet stays in the log: %s", error)
        except REDIS_ERRORS as error:
            logger.warning("cannot give the symbols back, others wait for the leases to end: %s", error)
        self._registration.leave()
        if not self._converter.finish(max(deadline - time.monotonic(), 0.0)):
            logger.error("what is not in files yet stays in the log; the next start of this recorder writes it")

    def _replace(self, reason: NodeIdInUse) -> None:
        self.replaced = reason
        self._stopping.set()
