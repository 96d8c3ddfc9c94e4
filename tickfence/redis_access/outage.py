"""Trying again: how long to wait, and how often to say so."""

from __future__ import annotations

import logging
import time

from redis.backoff import DecorrelatedJitterBackoff


class Backoff(DecorrelatedJitterBackoff):
    """Waits between attempts, in seconds: from ``base`` up to ``cap``, each at most three times the one before.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    Example:
        >>> backoff = Backoff(base=0.05, cap=0.25)
        >>> backoff.next_s(), 0.05 <= backoff.next_s() <= 0.15
        (0.05, True)
        >>> backoff.reset()  # after a success
    """

    def next_s(self) -> float:
        """Seconds to wait before the next attempt."""
        return self.compute(0)  # it goes by the last wait, not by the number of failures


class Outage:
    """Counts failures to reach something, from the first until it answers again.

    It is logged when it begins, every few seconds while it lasts, and when it is over: not at each of the tries, of
    which there are at least four a second. So reports are back within 2 s of Redis.

    Args:
        what: as the log names it.
        logger: where to log.
        say_every_s: seconds between two lines while it lasts.

    Attributes:
        since: when the first of these failures was (monotonic seconds); ``None`` while it answers.

    Example:
        >>> outage = Outage("the data plane", logging.getLogger("example"))
        >>> 0 < outage.failed(ConnectionError("refused")) <= 0.02
        True
        >>> outage.over()
    """

    def __init__(self, what: str, logger: logging.Logger, *, say_every_s: float = 5.0) -> None:
        self._what, self._logger, self._say_every_s = what, logger, say_every_s
        self.since: float | None = None
        self._said = 0.0
        self._backoff = Backoff(base=0.02, cap=0.25)

    def failed(self, error: Exception) -> float:
        """Note one failure; return the seconds to wait before the next try."""
        now = time.monotonic()
        if self.since is None:
            self.since = self._said = now
            self._logger.warning("cannot reach %s: %s", self._what, error)
        elif now - self._said >= self._say_every_s:
            self._said = now
            self._logger.warning("cannot reach %s for %.0f s: %s", self._what, now - self.since, error)
        return self._backoff.next_s()

    def over(self) -> None:
        """Note that it answers."""
        if self.since is None:
            return
        self._logger.info("reached %s again after %.2f s", self._what, time.monotonic() - self.since)
        self.since = None
        self._backoff.reset()
