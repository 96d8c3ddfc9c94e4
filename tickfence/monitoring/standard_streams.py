"""Standard output and standard error of a role, which wait for their reader for a bounded time only.

Some text passes the log by: Celery's banner and what it says at a signal, the traceback of a crash, that of
`faulthandler`. Where nobody reads it, it must not stop the process, least of all one that is about to end.
"""

from __future__ import annotations

import io
import os
import select
import stat
import sys
from typing import Any, TextIO

WAIT_MS = 1000
"""How long one print may wait. After that, what is printed is dropped until the reader is back."""


def bound_waits() -> None:
    """Make what this process prints wait for `WAIT_MS` at most. For a role, whose output is for people.

    A pipe or terminal is opened once more, so that it is non-blocking for this process alone: others that have it open
    share that setting otherwise. Where that cannot be done (no Linux, a socket, another user's pipe) nothing changes.
    """
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        original: TextIO | None = getattr(sys, f"__{name}__")
        if original is None or not _reopen(descriptor):
            continue
        raw: Any = _Bounded(descriptor, "w", closefd=False)
        stream = io.TextIOWrapper(
            io.BufferedWriter(raw), encoding=original.encoding, errors=original.errors, line_buffering=True
        )
        if getattr(sys, name) is original:
            setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _reopen(descriptor: int) -> bool:
    if not (stat.S_ISFIFO(os.fstat(descriptor).st_mode) or os.isatty(descriptor)):
        return False  # a file never waits for a reader, and would be written from its start again
    try:
        own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return False
    os.dup2(own, descriptor)
    os.close(own)
    return True


class _Bounded(io.FileIO):
    _stalled = False  # of both streams, which usually have one reader

    def write(self, text: Any) -> int:
        """Write what can be written; what cannot counts as written, and is lost."""
        count = super().write(text)
        if count is None and not self._stalled:
            wait = select.poll()
            wait.register(self, select.POLLOUT)
            wait.poll(WAIT_MS)
            count = super().write(text)
        _Bounded._stalled = count is None
        return len(text) if count is None else count
