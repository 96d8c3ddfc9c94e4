"""Trying again while Redis is away: how long to wait, and how often to say so."""

from __future__ import annotations

import logging
import time

from tickfence.redis_access.connect import pauses

_SAY_EVERY_S = 5.0


class Outage:
    """Counts failures to reach something, from the first until it answers again.

    It is logged when it begins, every 5 s while it lasts, and when it is over: not at each of the four tries a
    second.

    Example:
        >>> outage = Outage("the data plane", logging.getLogger("example"))
        >>> 0 < outage.failed(ConnectionError("refused")) <= 0.02
        True
        >>> outage.over()
    """

    def __init__(self, what: str, logger: logging.Logger) -> None:
        self._what, self._logger = what, logger
        self._since: float | None = None
        self._said = 0.0
        self._waits = pauses()

    def failed(self, error: Exception) -> float:
        """Note one failure; return the seconds to wait before the next try."""
        now = time.monotonic()
        if self._since is None:
            self._since = self._said = now
            self._logger.warning("cannot reach %s: %s", self._what, error)
        elif now - self._said >= _SAY_EVERY_S:
            self._said = now
            self._logger.warning("cannot reach %s for %.0f s: %s", self._what, now - self._since, error)
        return next(self._waits)

    def over(self) -> None:
        """Note that it answers."""
        if self._since is None:
            return
        self._logger.info("reached %s again after %.2f s", self._what, time.monotonic() - self._since)
        self._since = None
        self._waits = pauses()
