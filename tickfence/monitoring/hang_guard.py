"""Ends a process whose main thread hangs, so that its supervisor starts another one."""

from __future__ import annotations

import faulthandler
import time

from tickfence.monitoring.log_writer import writer

CONNECTING_S = 120.0
"""Seconds that may pass while a server is looked for: a resolver without an answer may take a minute to say so."""
ARM_EVERY_S = 1.0
"""Least time after which the watch is set again; each time costs the start of a thread of C."""


class HangGuard:
    """Ends the process with the stack of all threads in its log, unless :meth:`alive` is called in time.

    The time is watched by a thread of C (:mod:`faulthandler`), so it also ends a process in which no line of Python
    runs any more. The exit status is 1, and nothing is cleaned up.

    What is stopped from outside (``SIGSTOP``, ``docker pause``) for longer than that ends when it goes on.

    Args:
        bound_s: seconds that may pass between two calls of :meth:`alive`; 0 turns the guard off.

    Example:
        >>> guard = HangGuard(bound_s=30)
        >>> guard.alive()  # from now on at least every 30 s
        >>> guard.stop()
    """

    def __init__(self, bound_s: float) -> None:
        self._bound_s, self._arm_every_s = bound_s, min(ARM_EVERY_S, bound_s / 4)
        self._allowed_s = 0.0
        self._arm_again = 0.0

    def alive(self, within_s: float = 0.0) -> None:
        """Say that the main thread goes on.

        Args:
            within_s: seconds that may pass until the next call, where what comes now may take longer than usual, like :data:`CONNECTING_S`.
        """
        if not self._bound_s:
            return
        now, allowed_s = time.monotonic(), max(self._bound_s, within_s)
        if now >= self._arm_again or allowed_s != self._allowed_s:
            self._allowed_s, self._arm_again = allowed_s, now + self._arm_every_s
            faulthandler.dump_traceback_later(allowed_s, exit=True, file=writer.destination)

    def stop(self) -> None:
        """Watch no more."""
        if self._bound_s:
            faulthandler.cancel_dump_traceback_later()
            self._arm_again = 0.0
