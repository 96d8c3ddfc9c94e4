"""Request weight per client address and minute, as Binance counts it: 429 above the limit, 418 for clients that go on.

Source: Binance REST API, "Limits" (IP limits, `Retry-After`, bans that start at two minutes).
"""

from __future__ import annotations

from dataclasses import dataclass

MINUTE = 60
BAN_SECONDS = 120
REFUSALS_BEFORE_BAN = 30


@dataclass(slots=True)
class _Client:
    minute: int = 0
    used: int = 0
    refused: int = 0
    banned_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a request.

    Attributes:
        status: 200 (serve it), 429 or 418.
        retry_after: seconds to wait after 429 or 418.
        used: the weight used in this minute.
    """

    status: int
    retry_after: int
    used: int


class WeightLimit:
    """At most `limit` weight per client address and minute of the clock, as at the exchange."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._clients: dict[str, _Client] = {}

    def spend(self, address: str, weight: int, now: float) -> Verdict:
        """Counts a request of `weight` at `now` (seconds) and decides whether it is served."""
        client = self._clients.setdefault(address, _Client())
        if now < client.banned_until:
            return Verdict(418, _seconds(client.banned_until - now), client.used)
        minute = int(now // MINUTE)
        if minute != client.minute:
            client.minute, client.used, client.refused = minute, 0, 0
        if client.used + weight <= self.limit:
            client.used += weight
            return Verdict(200, 0, client.used)
        client.refused += 1
        if client.refused > REFUSALS_BEFORE_BAN:
            client.banned_until = now + BAN_SECONDS
            return Verdict(418, BAN_SECONDS, client.used)
        return Verdict(429, _seconds((minute + 1) * MINUTE - now), client.used)


def _seconds(delay: float) -> int:
    return max(1, int(delay) + 1)
