"""How busy the machine is: how much later than asked for a sleeping thread wakes."""

from __future__ import annotations

import threading
import time
from typing import Any

from chaos.history import Record, Stall

_SLEEP_S = 0.01
_LATE_S = 0.03


class StallWatch:
    """From entering the ``with`` block to leaving it, appends a :class:`chaos.history.Stall` to ``records`` whenever
    it was woken late: the processes of the stack had to wait for the processor then, too."""

    def __init__(self, records: list[Record]) -> None:
        self._records = records
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stalls", daemon=True)

    def __enter__(self) -> StallWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(_SLEEP_S):
            now = time.monotonic()
            late = now - before - _SLEEP_S
            if late > _LATE_S:
                self._records.append(Stall(time.time(), late * 1000))
            before = now
