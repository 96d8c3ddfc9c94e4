"""What the server asks of a source of market data; :mod:`tools.simulator.live` and :mod:`tools.simulator.replay` are the two."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

from tools.simulator.market import Market


class Feed(Protocol):
    """A source of events, and of the REST answers that fit them."""

    symbols: Collection[str]

    async def run(self) -> None:
        """Publish events to the hub until cancelled."""

    async def depth(self, symbol: str, limit: int) -> bytes:
        """Body of `GET /api/v3/depth` for a listed symbol; ``limit`` levels a side at most."""

    def exchange_info(self, symbols: Collection[str]) -> list[dict[str, Any]]:
        """The ``symbols`` of `GET /api/v3/exchangeInfo`, for listed ones."""

    def ticker_24hr(self, symbol: str) -> dict[str, Any] | None:
        """One entry of `GET /api/v3/ticker/24hr`; None where the source does not have it."""

    def pause(self, seconds: float) -> None:
        """Stand still for so long: no events, and none missed afterwards."""

    def quote(self, symbol: str) -> tuple[int, str, str, str]:
        """(update id that connects to the last sent diff, best bid, best ask, a usual quantity), for made-up diffs."""

    def spend_update_id(self, symbol: str) -> None:
        """Count that update id as used, so that the next true diff connects to a made-up one."""

    def market(self, symbol: str) -> Market | None:
        """The market of a listed symbol; None where the source has only its events."""

    def state(self) -> dict[str, Any]:
        """How far the feed is, for `GET /simulator/state`."""
