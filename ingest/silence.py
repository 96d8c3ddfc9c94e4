"""How long the exchange wants to hear nothing from this address.

Sources: Binance, "General API Information", sections "IP Limits" and "HTTP Return Codes": 429 means to back off, 418
that the address is banned, 403 that the firewall has refused the request, and Retry-After says for how long.
RFC 9110, section 10.2.3: Retry-After is a number of seconds or a date.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

logger = logging.getLogger(__name__)

FIRST_S = {429: 30.0, 418: 30.0, 403: 5.0}
"""Silence after an answer that does not say how long. It doubles with each such answer, until one is a success."""
MAXIMUM_UNTOLD_S = 300.0
MAXIMUM_TOLD_S = 3 * 24 * 3600.0
"""The longest ban that an exchange tells of: Binance's."""


class Silence:
    """The pause that every request and every handshake observes, because they share one address.

    Connections that are open stay open.

    Args:
        clock: seconds that never go back.
        venue: the exchange's name, for the log.

    Example:
        >>> silence = Silence()
        >>> silence.refused(429, {"Retry-After": "60"})
        >>> 59 < silence.left_s() <= 60
        True
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, venue: str = "") -> None:
        self._clock = clock
        self._venue = venue
        self._until = 0.0
        self._repeated = 0

    def left_s(self) -> float:
        """Seconds that are left; 0 if there is no silence."""
        return max(self._until - self._clock(), 0.0)

    def accepted(self) -> None:
        """Note a success. One that was on its way when the silence began does not count."""
        if not self.left_s():
            self._repeated = 0

    def refused(self, status: int, headers: Mapping[str, str]) -> None:
        """Note an answer that is no success, of a request or of a handshake.

        Args:
            status: its HTTP status. 403, 418 and 429 begin a silence; 5xx only with Retry-After.
            headers: its headers; upper and lower case are the same.
        """
        if status not in FIRST_S and status < 500:
            return
        left_s = self.left_s()
        wait_s = _told_s(headers)
        if wait_s is None:
            if status not in FIRST_S or left_s:
                return  # it was sent before the silence began, so it repeats nothing
            wait_s = min(FIRST_S[status] * 2.0**self._repeated, MAXIMUM_UNTOLD_S)
            self._repeated += 1
        self._until = max(self._until, self._clock() + wait_s)
        if wait_s > left_s + 1:  # each request that was on its way is told almost the same
            pause = {"venue": self._venue, "status": status, "pause_s": round(wait_s, 3)}
            logger.warning("the exchange wants silence: no request, no new connection", extra=pause)


def _told_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that Retry-After demands; ``None`` if it is not there, not readable, or over."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text)
    else:
        until, now = _date(text), _date(headers.get("Date", ""))
        if until is None:
            return None
        # By the exchange's clock, if it tells: this machine's may be wrong.
        seconds = until.timestamp() - (time.time() if now is None else now.timestamp())
    return min(seconds, MAXIMUM_TOLD_S) if seconds > 0 else None


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return None
