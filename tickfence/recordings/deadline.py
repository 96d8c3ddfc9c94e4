"""Until when a question must be answered, whatever it waits for."""

from __future__ import annotations

import math
import time


class Deadline:
    """The end of the time for one question.

    Args:
        within_s: how much time there is from now on; ``None``: no limit.

    Example:
        >>> Deadline(None).left_s() is None
        True
    """

    def __init__(self, within_s: float | None) -> None:
        self._within_s = within_s
        self._ends = math.inf if within_s is None else time.monotonic() + within_s

    def left_s(self) -> float | None:
        """Seconds that are left; ``None`` without a limit.

        Raises:
            TimeoutError: none are.
        """
        if self._within_s is None:
            return None
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"the query took longer than {self._within_s:g} s")
        return left
