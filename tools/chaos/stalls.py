"""How busy the machine is: how much later than asked for a sleeping thread wakes."""

from __future__ import annotations

import time

from tools.chaos.history import Stall
from tools.chaos.watch import Watch

_SLEEP_S = 0.01
_LATE_S = 0.03


class StallWatch(Watch):
    """Appends a :class:`tools.chaos.history.Stall` whenever it was woken late: the processes of the stack had to wait for
    the processor then, too."""

    def watch(self) -> None:
        before = time.monotonic()
        while not self.ended.wait(_SLEEP_S):
            now = time.monotonic()
            late = now - before - _SLEEP_S
            if late > _LATE_S:
                self.records.append(Stall(time.time(), late * 1000))
            before = now
