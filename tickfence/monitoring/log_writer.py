"""Log lines are written by a thread of their own, so that no work waits for their reader.

A pipe that nobody reads (a blocking log driver, a stopped pager) and a terminal after Ctrl-S stop each write, and the
thread that makes it.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol

MAX_WAITING = 4096
"""Lines that wait at most; further ones are dropped."""
END_WITHIN_S = 1.0
"""How long the end of the process waits for lines that are not written yet."""


class Destination(Protocol):
    """Where lines go. Writing may block, or raise OSError: the disk is full, the reader has gone."""

    def write(self, text: str) -> None:
        """Write whole lines."""

    def fileno(self) -> int:
        """The file descriptor that they are written to at this moment."""


class StandardError:
    """File descriptor 2.

    While one thread is blocked in `sys.stderr`, every thread that prints there would wait for it.
    """

    def write(self, text: str) -> None:
        """Write whole lines."""
        if sys.__stderr__ is not None:  # otherwise it was closed at the start, and 2 may be any file by now
            _write(2, text)

    def fileno(self) -> int:
        """Standard error's."""
        return 2


class LogFile:
    """A file that another program may rename, as logrotate does: the next lines go to a new one.

    In a process that is detached, standard error leads nowhere. Then it leads to this file from now on: the traceback of
    a crash or of `faulthandler` belongs there.

    Args:
        path: of the file, which is created if it is missing.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._errors_too = _is_null(2)
        self._descriptor = self._open()

    def write(self, text: str) -> None:
        """Write whole lines."""
        if not self._current():
            new = self._open()
            os.close(self._descriptor)
            self._descriptor = new
        _write(self._descriptor, text)

    def fileno(self) -> int:
        """The descriptor of the file that was written to last."""
        return self._descriptor

    def _open(self) -> int:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        if self._errors_too:
            os.dup2(descriptor, 2)
        return descriptor

    def _current(self) -> bool:
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False


def _is_null(descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), Path(os.devnull).stat())
    except OSError:
        return False  # it is closed


def _write(descriptor: int, text: str) -> None:
    rest = memoryview(text.encode(errors="backslashreplace"))
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            wait = select.poll()
            wait.register(descriptor, select.POLLOUT)
            wait.poll()


class LogWriter(logging.Handler):
    """Formats each record at once, and leaves the writing to its thread.

    At most `MAX_WAITING` lines wait. Further ones are dropped and counted, and one line says how many there were when
    those that waited are written. The thread starts with the first line, in a forked child once more.

    Attributes:
        destination: where lines go.
    """

    def __init__(self) -> None:
        super().__init__()
        self.destination: Destination = StandardError()
        self._refused = 0  # counted where lines come from
        self._failed = 0  # counted by the thread
        self._told = 0
        self._waiting: SimpleQueue[str] = SimpleQueue()  # unlike Queue, a signal handler may call it at any moment
        self._thread: threading.Thread | None = None
        self._taken = self._done = 0
        os.register_at_fork(after_in_child=self._start_over)

    @property
    def dropped(self) -> int:
        """How many lines were not written."""
        return self._refused + self._failed

    def emit(self, record: logging.LogRecord) -> None:
        """Let the line of a record wait for the thread. Safe in a signal handler that interrupts another line."""
        if self._waiting.qsize() >= MAX_WAITING:
            self._refused += 1
            return
        try:
            line = self.format(record) + "\n"
        except Exception:  # noqa: BLE001 - as every handler does: `logging` says what is wrong with the call
            self.handleError(record)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()
        self._taken += 1
        self._waiting.put(line)

    def flush(self) -> None:
        """Wait until every line is written, for `END_WITHIN_S` at most; `logging` calls this at the process's end."""
        end = time.monotonic() + END_WITHIN_S
        while self._done < self._taken and time.monotonic() < end:
            time.sleep(0.002)

    def _start_over(self) -> None:
        self._waiting, self._thread = SimpleQueue(), None
        self._taken = self._done = 0

    def _run(self) -> None:
        next_line = None
        while True:
            lines = [next_line or self._waiting.get()]
            next_line = self._gather(lines)
            try:
                self.destination.write("".join(lines))
            except OSError:
                self._failed += len(lines)
            if next_line is None and self.dropped > self._told:
                self._tell()
            self._done += len(lines)

    def _gather(self, lines: list[str]) -> str | None:
        """Add the lines that fit into one write, which a pipe takes as a whole; return the one that does not fit."""
        size = len(lines[0])
        while True:
            try:
                line = self._waiting.get_nowait()
            except Empty:
                return None
            size += len(line)
            if size > select.PIPE_BUF:
                return line
            lines.append(line)

    def _tell(self) -> None:
        count = self.dropped - self._told
        text = "log lines were dropped, because nobody took them"
        record = logging.makeLogRecord(
            {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING", "msg": text, "count": count}
        )
        try:
            self.destination.write(self.format(record) + "\n")
        except OSError:
            return
        self._told += count


writer = LogWriter()
"""The one of this process."""
