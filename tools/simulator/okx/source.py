"""What the dialect needs of an instrument, live or replayed."""

from __future__ import annotations

from typing import Any, Protocol

from tools.simulator.okx import PREFIX, wire


class Source(Protocol):
    """One instrument and its newest state. Its events go to the channels of the hub."""

    def snapshot(self) -> bytes | None:
        """The message of `books` that a new subscription begins with; None while there is no book."""

    def rules(self) -> dict[str, Any]:
        """Its entry of `GET /api/v5/public/instruments`."""

    def past_trades(self, before_id: int | None, limit: int) -> list[dict[str, Any]]:
        """Single trades with ids below `before_id`, the newest first."""

    def restart_ids(self) -> None:
        """Lets the sequence ids start again with the next update."""

    def heartbeat(self) -> bytes:
        """The message of `books` that says that nothing has changed."""

    def spend_seq_id(self) -> tuple[int, int]:
        """The newest sequence id and the next one, for a malformed update; real updates then follow on it, if they can."""

    def quote(self) -> tuple[str, str, str]:
        """The best bid, the best ask and a usual quantity, for malformed messages."""


def channel(kind: str, name: str) -> str:
    """The hub's name of a channel.

    >>> channel("books", "BTC-USDT")
    'okx:books:BTC-USDT'
    """
    assert kind in wire.CHANNELS
    return f"{PREFIX}{kind}:{name}"
