"""Replays a capture of OKX so that a client sees what the recording client saw, at any speed.

The replay starts when a client is subscribed to a channel of the capture and no subscription was added for a second.
Subscribers get each message unchanged. The recorded intervals between messages are divided by `speed`. A client that
reads slowly slows the replay down; nothing is dropped.

Before the recorded snapshot of a book was sent, a subscription to it gets nothing: the recorded one comes at its time. A
later subscription begins with the book as of the last message, so that a client that lost one can synchronise.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Collection, Mapping
from typing import Any

from tools.simulator.hub import Hub
from tools.simulator.okx import wire
from tools.simulator.okx.capture import Capture, Message

logger = logging.getLogger(__name__)

_UNREAD_BYTES = 2**20
_DRAIN_SECONDS = 10.0
_TRADES_KEPT = 5_000


class Replayed:
    """One instrument of a capture, as of the last message sent."""

    def __init__(self, name: str, rules: dict[str, Any]) -> None:
        self._name = name
        self._rules = rules
        self._bids: dict[str, str] = {}
        self._asks: dict[str, str] = {}
        self._ids: tuple[int, int] | None = None
        self._time_ms = 0
        self._trades: deque[dict[str, Any]] = deque(maxlen=_TRADES_KEPT)

    def take(self, content: dict[str, Any]) -> None:
        """Takes the content of a message that was sent."""
        kind = content["arg"]["channel"]
        if kind == wire.TRADES:
            self._trades.extend(content["data"])
        elif kind == wire.BOOKS:
            [data] = content["data"]
            if content["action"] == "snapshot":
                self._bids, self._asks = {}, {}
            self._ids, self._time_ms = (data["prevSeqId"], data["seqId"]), int(data["ts"])
            for side, levels in ((self._bids, data["bids"]), (self._asks, data["asks"])):
                for price, size, *_ in levels:
                    if float(size):
                        side[price] = size
                    else:
                        side.pop(price, None)

    def snapshot(self) -> bytes | None:
        """As Source.snapshot()."""
        return self._book("snapshot", *self._best(), previous=-1)

    def heartbeat(self) -> bytes:
        """As Source.heartbeat()."""
        return self._book("update", [], [], previous=self.spend_seq_id()[0]) or b""

    def rules(self) -> dict[str, Any]:
        """As Source.rules()."""
        return dict(self._rules)

    def past_trades(self, before_id: int | None, limit: int) -> list[dict[str, Any]]:
        """As Source.past_trades()."""
        known = [one for one in reversed(self._trades) if before_id is None or int(one["tradeId"]) < before_id]
        return known[:limit]

    def restart_ids(self) -> None:
        """Does nothing: recorded ids are fixed."""

    def spend_seq_id(self) -> tuple[int, int]:
        """As Source.spend_seq_id(). Recorded ids are fixed, so the next update does not connect to a malformed one."""
        _, newest = self._ids or (-1, 0)
        return newest, newest + 1

    def quote(self) -> tuple[str, str, str]:
        """As Source.quote()."""
        bids, asks = self._best()
        return bids[0][0] if bids else "1", asks[0][0] if asks else "2", "1"

    def _best(self) -> tuple[list[wire.Text], list[wire.Text]]:
        bids = sorted(self._bids.items(), key=lambda level: -float(level[0]))
        return bids, sorted(self._asks.items(), key=lambda level: float(level[0]))

    def _book(self, action: str, bids: list[wire.Text], asks: list[wire.Text], *, previous: int) -> bytes | None:
        if self._ids is None:
            return None
        crc = wire.checksum(*self._best())
        ids = {"previous": previous, "seq_id": self._ids[1]}
        return wire.book(self._name, action, bids, asks, time_ms=self._time_ms, crc=crc, **ids)


class OkxReplayFeed:
    """Replays a capture: `speed` 1 is as recorded, `math.inf` as fast as clients read."""

    def __init__(self, capture: Capture, speed: float, hub: Hub, *, exit_at_end: bool = False) -> None:
        self._hub = hub
        self._speed = speed
        self._exit_at_end = exit_at_end
        self._messages = capture.messages
        rules = {one["instId"]: one for one in capture.instruments}
        names = dict.fromkeys(message.name for message in capture.messages)
        unknown = {"instType": "SPOT", "state": "live"}
        self.okx: Mapping[str, Replayed] = {
            name: Replayed(name, rules.get(name, {**unknown, "instId": name})) for name in names
        }
        self.symbols: Collection[str] = ()
        self._sent = 0
        self._status = "waiting for subscribers"
        self._resume_at = 0.0

    async def run(self) -> None:
        """Replays once, then returns if `exit_at_end` is set, else idles."""
        await self._hub.wait_for_subscribers({message.channel for message in self._messages})
        self._status = "running"
        loop = asyncio.get_running_loop()
        offset = loop.time() - self._messages[0].time / self._speed
        for message in self._messages:
            while (pause := self._resume_at - loop.time()) > 0:
                await asyncio.sleep(pause)
                offset += pause
            await asyncio.sleep(max(0.0, offset + message.time / self._speed - loop.time()))
            await self._send(message)
        self._status = "finished"
        logger.info("replay finished: %d messages", self._sent)
        await self._hub.let_clients_read(0, _DRAIN_SECONDS)
        if not self._exit_at_end:
            await asyncio.Event().wait()

    async def depth(self, symbol: str, limit: int) -> bytes:
        """As Feed.depth(); nothing is listed at Binance."""
        raise KeyError(symbol, limit)

    def exchange_info(self, symbols: Collection[str]) -> list[dict[str, Any]]:  # noqa: ARG002 - nothing is listed there
        """As Feed.exchange_info()."""
        return []

    def trades(self, symbol: str, from_id: int | None, limit: int) -> list[dict[str, Any]]:  # noqa: ARG002
        """As Feed.trades()."""
        return []

    def ticker_24hr(self, symbol: str) -> dict[str, Any] | None:  # noqa: ARG002
        """As Feed.ticker_24hr()."""
        return None

    def pause(self, seconds: float) -> None:
        """As Feed.pause()."""
        self._resume_at = asyncio.get_running_loop().time() + seconds

    def quote(self, symbol: str) -> tuple[int, str, str, str]:
        """As Feed.quote()."""
        raise KeyError(symbol)

    def spend_update_id(self, symbol: str) -> None:
        """As Feed.spend_update_id()."""
        raise KeyError(symbol)

    def market(self, symbol: str) -> None:
        """None: a recorded market takes no orders."""

    def state(self) -> dict[str, Any]:
        """As Feed.state()."""
        return {"source": "replay", "status": self._status, "sent": self._sent, "messages": len(self._messages)}

    async def _send(self, message: Message) -> None:
        self._hub.channel(message.channel).publish(message.payload)
        self.okx[message.name].take(message.content)
        self._hub.flush()
        self._sent += 1
        await self._hub.let_clients_read(_UNREAD_BYTES, _DRAIN_SECONDS)
