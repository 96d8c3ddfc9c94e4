"""What the server needs of a source of market data, such as live.py and replay.py."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from tools.simulator.market import Market
from tools.simulator.okx.source import Source


class Feed(Protocol):
    """A source of events and of the REST answers that fit them.

    Attributes:
        symbols: what is listed at Binance.
    """

    symbols: Collection[str]

    @property
    def okx(self) -> Mapping[str, Source]:
        """What is listed at OKX, by its name there."""

    async def run(self) -> None:
        """Publishes events to the hub until it is cancelled."""

    async def depth(self, symbol: str, limit: int) -> bytes:
        """Body of `GET /api/v3/depth` for a listed symbol, with at most `limit` levels per side."""

    def exchange_info(self, symbols: Collection[str]) -> list[dict[str, Any]]:
        """The `symbols` of `GET /api/v3/exchangeInfo`, for listed symbols."""

    def trades(self, symbol: str, from_id: int | None, limit: int) -> list[dict[str, Any]]:
        """Body of `GET /api/v3/historicalTrades`: the first `limit` known trades from an id on; without one the newest."""

    def ticker_24hr(self, symbol: str) -> dict[str, Any] | None:
        """One entry of `GET /api/v3/ticker/24hr`; None if the source has none."""

    def pause(self, seconds: float) -> None:
        """Stops the feed for some seconds: no event is sent, and none is lost."""

    def quote(self, symbol: str) -> tuple[int, str, str, str]:
        """(update id that connects to the last diff, best bid, best ask, a usual quantity), for malformed diffs."""

    def spend_update_id(self, symbol: str) -> None:
        """Counts that update id as used, so that the next real diff connects to a malformed one."""

    def market(self, symbol: str) -> Market | None:
        """The market of a listed symbol; None if the source has only events."""

    def state(self) -> dict[str, Any]:
        """The progress of the feed, for `GET /simulator/state`."""
