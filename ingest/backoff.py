"""Waits between attempts."""

from __future__ import annotations

import random


class Backoff:
    """Exponential backoff with full jitter: each wait is drawn from 0 to a bound that doubles up to ``longest_s``.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._bound_s = first_s

    def next_s(self) -> float:
        """Seconds to wait before the next attempt."""
        wait = random.uniform(0, self._bound_s)
        self._bound_s = min(2 * self._bound_s, self._longest_s)
        return wait

    def reset(self) -> None:
        """An attempt succeeded: the next wait is short again."""
        self._bound_s = self._first_s
