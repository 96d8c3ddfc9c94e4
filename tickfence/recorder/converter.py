"""From closed segments of the log to Parquet files, in a thread of its own: the disk or object store may be slow."""

from __future__ import annotations

import logging
import queue
import re
import threading
import time
from collections import Counter
from typing import Any

from tickfence.monitoring import recorder_metrics as metrics
from tickfence.monitoring.log_limit import LogLimit
from tickfence.recorder.frames import decided
from tickfence.recorder.retention import Retention
from tickfence.recorder.tables import tables
from tickfence.recorder.wal import Segment, frames, good_length
from tickfence.recordings.layout import BAD, HOUR_MS, File, counted
from tickfence.recordings.store import Store
from tickfence.redis_access.outage import Backoff

logger = logging.getLogger(__name__)

LATE_MS = 120_000
"""An hour is closed this long after its end, when its last entries are in files."""

_UNREADABLE = ValueError, TypeError, KeyError, IndexError
"""What a segment raises that another version has written, or a defect. Disks and object stores raise other errors."""
_ATTEMPTS = 3


class Converter:
    """Writes what closed segments hold, one after the other, and deletes them.

    It may be killed at any moment: a segment that is still there is written again, under the same names.

    Args:
        store: where the files go.
        recorder: name of the recorder.
        file_bytes: a file is closed when it has so many, although its hour is not over.
        retention: deletes old days.

    Attributes:
        waiting_bytes: of the segments that wait.
    """

    def __init__(
        self, store: Store, recorder: str, file_bytes: int = 256_000_000, retention: Retention | None = None
    ) -> None:
        self.waiting_bytes = 0
        self._store, self._file_bytes, self._retention = store, file_bytes, retention
        self._recorder = re.sub(r"[^A-Za-z0-9._-]", "-", recorder)[:64]
        self._segments: queue.SimpleQueue[tuple[Segment, int] | None] = queue.SimpleQueue()
        self._closed_until_ms: int | None = None
        self._open: dict[File, int] = {}  # parts that were written since and are not closed, and their bytes
        self._say = LogLimit(10.0)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="converter", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def add(self, segment: Segment) -> None:
        """Convert a segment when those before it are."""
        size = segment.path.stat().st_size
        self.waiting_bytes += size
        self._segments.put((segment, size))

    def finish(self, within_s: float) -> bool:
        """Wait until every segment is converted; return whether they are. What is not, the next start converts."""
        self._segments.put(None)
        self._thread.join(within_s)
        self._ending.set()
        return not self._thread.is_alive()

    def convert(self, segment: Segment, now_ms: int) -> None:
        """Write what a segment holds, close the hours that are over, and delete it; set it aside if it is damaged.

        Args:
            segment: a closed one. Those with lower numbers of the same log are converted.
            now_ms: Unix time, ms.

        Raises:
            OSError, pyarrow.ArrowException: the files cannot be written.
        """
        writer = f"{self._recorder}.{segment.log}"
        for kind, table in tables(decided(frames(segment.path)), self._bad).items():
            written = self._store.write(table, kind, writer, segment.number)
            metrics.rows.labels(kind).inc(len(table))
            metrics.files.labels(metrics.FileState.OPEN).inc(len(written))
            self._open |= written
        self._close(writer, segment.number, (now_ms - LATE_MS) // HOUR_MS * HOUR_MS)
        if (good := good_length(segment.path)) < segment.path.stat().st_size:
            self._set_aside(segment, f"is damaged: what follows its first {good} bytes is not recorded")
        else:
            segment.path.unlink()

    def _close(self, writer: str, number: int, until_ms: int) -> None:
        """Close what is over or large: at the first call whatever there is, then what was written since."""
        sizes: Counter[tuple[str, int]] = Counter()
        for file, size in self._open.items():
            sizes[file.folder, file.hour_ms] += size
        if until_ms == self._closed_until_ms and max(sizes.values(), default=0) < self._file_bytes:
            return
        first = None if self._closed_until_ms is None else min((hour_ms for _, hour_ms in sizes), default=until_ms)
        closed = self._store.close(writer, until_ms, number, first, self._file_bytes)
        metrics.files.labels(metrics.FileState.CLOSED).inc(len(closed))
        left = [file for file in counted([*self._open, *closed]) if not file.closed]
        self._open = {file: self._open[file] for file in left if file.hour_ms + HOUR_MS > until_ms}
        self._closed_until_ms = until_ms

    def _set_aside(self, segment: Segment, why: str) -> None:
        metrics.errors.labels(metrics.Failure.FILES).inc()
        logger.error("%s %s", segment.path.rename(segment.path.with_suffix(BAD)), why)

    def _run(self) -> None:
        while (waiting := self._segments.get()) is not None:
            segment, size = waiting
            self._convert_sometime(segment)
            self.waiting_bytes -= size
            if self._retention is not None:
                self._retention.sweep(int(time.time() * 1000))

    def _convert_sometime(self, segment: Segment) -> None:
        backoff = Backoff(base=0.5, cap=15.0)
        unreadable = 0
        while not self._ending.is_set():
            try:
                self.convert(segment, int(time.time() * 1000))
            except _UNREADABLE as error:  # the segments behind this one must not wait for ever
                unreadable += 1
                if unreadable == _ATTEMPTS:
                    self._set_aside(segment, f"cannot be converted: {type(error).__name__}: {error}")
                    return
                self._ending.wait(backoff.next_s())
            except Exception as error:  # noqa: BLE001 - whatever a file system or an object store raises: nothing is lost
                metrics.errors.labels(metrics.Failure.FILES).inc()
                self._ending.wait(backoff.next_s())
                if self._say.allows("files") is not None:
                    extra: dict[str, Any] = {
                        "recordings": self._store.root,
                        "error": f"{type(error).__name__}: {error}",
                    }
                    logger.error("recorded data cannot be written to files; it waits in the log", extra=extra)
            else:
                return

    def _bad(self, source: str, error: ValueError) -> None:
        metrics.errors.labels(metrics.Failure.ENTRY).inc()
        if self._say.allows(source) is not None:
            logger.warning("an entry is left out", extra={"source": source, "error": str(error)[:500]})
