"""When to try again what has failed for one symbol."""

from __future__ import annotations

import math

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 30.0

SAME_TROUBLE_S = 5.0
"""A failure within this time of the last attempt is the same trouble. The slow cycle runs only every two seconds."""


class Retry:
    """The pauses between attempts: none before the first retry, then 0.25 s, doubling up to 30 s.

    A fault that lasts must not cost a cold read in every cycle. A fault that has passed must not cost a second report.
    So the pauses start from none again when a failure comes late: more than 5 s after the last attempt, and later than
    the next pause would have been.

    Attributes:
        at: monotonic seconds of the next attempt.

    Example:
        >>> retry = Retry()
        >>> for now_s in (10.0, 10.1, 10.4):
        ...     retry.failed(now_s)
        >>> round(retry.at - 10.4, 2)
        0.5
    """

    __slots__ = ("_pause_s", "at")

    def __init__(self) -> None:
        self.at = -math.inf
        self._pause_s = 0.0

    def failed(self, now_s: float) -> None:
        """Note a failure at `now_s` (monotonic seconds)."""
        if now_s - self.at > max(SAME_TROUBLE_S, self._pause_s):
            self._pause_s = 0.0
        self.at = now_s + self._pause_s
        self._pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, 2 * self._pause_s))
