"""Replays a capture so that a correct client sees what the recording client saw, at any speed.

The replay starts when a client is subscribed to a stream of the capture and no subscription was added for a second
(subscribing may take several control messages). Subscribers get each message unchanged. The recorded intervals between
messages are divided by `speed`.

A client keeps its book by the documented procedure: diffs first, then a snapshot, then the diffs after it.

- The first snapshot that is requested while a client is subscribed to the symbol's diffs is the recorded one. So the
  books that follow are the recorded books, update by update, at any speed.
- At the point where the recording client got its first snapshot of a symbol, the replay waits up to five seconds for a
  request, so that a client buffers no more than in reality. After a wait without a request it does not wait again.
- Later snapshots show the book as of the last message sent, so that a client that connects late or loses a message can
  synchronise.

A client that reads slowly slows the replay down; nothing is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from tools.simulator import protocol
from tools.simulator.capture import Capture, Diff, Message, Snapshot
from tools.simulator.hub import Hub
from tools.simulator.okx.source import Source

logger = logging.getLogger(__name__)

SNAPSHOT_WAIT = 5.0
_UNREAD_BYTES = 2**20
_DRAIN_SECONDS = 10.0


class ReplayFeed:
    """Replays a capture: `speed` 1 is as recorded, `math.inf` as fast as clients read."""

    def __init__(self, capture: Capture, speed: float, hub: Hub, *, exit_at_end: bool = False) -> None:
        self._hub = hub
        self._speed = speed
        self._exit_at_end = exit_at_end
        self._messages = capture.messages
        self._info = {str(symbol["symbol"]): symbol for symbol in capture.symbols}
        self.symbols: Collection[str] = self._info.keys()
        self.okx: Mapping[str, Source] = {}
        self._snapshots = capture.snapshots
        firsts = {snapshot.symbol: snapshot for snapshot in reversed(capture.snapshots)}
        self._answered = {symbol: asyncio.Event() for symbol in firsts}
        self._timeline: Sequence[Message | Snapshot] = sorted(
            [*capture.messages, *firsts.values()], key=lambda entry: entry.time
        )
        self._diff_streams = {message.stream for message in capture.messages if message.diff}
        self._sent_diffs: dict[str, list[Diff]] = {}
        self._sent = 0
        self._clock = -math.inf
        self._status = "waiting for subscribers"
        self._resume_at = 0.0
        self._wait_for_snapshots = True

    async def run(self) -> None:
        """Replays once, then returns if `exit_at_end` is set, else idles."""
        await self._hub.wait_for_subscribers({message.stream for message in self._messages})
        self._status = "running"
        loop = asyncio.get_running_loop()
        offset = loop.time() - self._timeline[0].time / self._speed if self._timeline else 0.0
        for entry in self._timeline:
            while (pause := self._resume_at - loop.time()) > 0:
                await asyncio.sleep(pause)
                offset += pause
            await asyncio.sleep(max(0.0, offset + entry.time / self._speed - loop.time()))
            self._clock = max(self._clock, entry.time)
            if isinstance(entry, Message):
                await self._send(entry)
            else:
                waited = await self._snapshot_taken(entry.symbol)
                offset += waited
        self._status = "finished"
        logger.info("replay finished: %d messages", self._sent)
        await self._hub.let_clients_read(0, _DRAIN_SECONDS)
        if not self._exit_at_end:
            await asyncio.Event().wait()

    async def depth(self, symbol: str, limit: int) -> bytes:
        """As Feed.depth()."""
        recorded = next((one for one in self._snapshots if one.symbol == symbol), None)
        if recorded is None:
            return protocol.depth(0, [], [])
        if self._is_followed(symbol) and not self._answered[symbol].is_set():
            self._answered[symbol].set()
            return protocol.depth(recorded.last_update_id, recorded.bids[:limit], recorded.asks[:limit])
        return protocol.depth(*self._book(symbol, limit))

    def exchange_info(self, symbols: Collection[str]) -> list[dict[str, Any]]:
        """As Feed.exchange_info()."""
        return [self._info[symbol] for symbol in symbols]

    def trades(self, symbol: str, from_id: int | None, limit: int) -> list[dict[str, Any]]:
        """As Feed.trades()."""
        stream = f"{symbol.lower()}@trade"
        payloads = [one.payload for one in self._messages[: self._sent] if one.stream == stream]
        known = [
            protocol.rest_trade(one["t"], one["p"], one["q"], one["T"], one["m"])
            for one in map(msgspec.json.decode, payloads)
        ]
        if from_id is None:
            return known[-limit:]
        return [one for one in known if one["id"] >= from_id][:limit]

    def ticker_24hr(self, symbol: str) -> dict[str, Any] | None:  # noqa: ARG002 - a capture has none
        """As Feed.ticker_24hr()."""
        return None

    def pause(self, seconds: float) -> None:
        """As Feed.pause()."""
        self._resume_at = asyncio.get_running_loop().time() + seconds

    def quote(self, symbol: str) -> tuple[int, str, str, str]:
        """As Feed.quote()."""
        last, bids, asks = self._book(symbol, 1)
        sent = self._sent_diffs.get(symbol, [])
        bid, ask = (side[0][0] if side else "1.00000000" for side in (bids, asks))
        return (sent[-1].last if sent else last) + 1, bid, ask, "1.00000000"

    def spend_update_id(self, symbol: str) -> None:
        """Does nothing: recorded ids are fixed, so the next diff does not connect to a malformed one."""

    def market(self, symbol: str) -> None:
        """None: a recorded market takes no orders."""

    def state(self) -> dict[str, Any]:
        """As Feed.state()."""
        return {"source": "replay", "status": self._status, "sent": self._sent, "messages": len(self._messages)}

    def _is_followed(self, symbol: str) -> bool:
        """Whether a client is subscribed to the symbol's diffs."""
        streams = (stream for stream in self._diff_streams if stream.startswith(f"{symbol.lower()}@"))
        return any(self._hub.channel(stream).subscribers for stream in streams)

    async def _send(self, message: Message) -> None:
        self._hub.channel(message.stream).publish(message.payload)
        self._hub.flush()
        self._sent += 1
        if message.diff:
            self._sent_diffs.setdefault(message.diff.symbol, []).append(message.diff)
        await self._hub.let_clients_read(_UNREAD_BYTES, _DRAIN_SECONDS)

    async def _snapshot_taken(self, symbol: str) -> float:
        """Waits for a request for the symbol's snapshot if one is expected; returns the seconds that it took."""
        if not self._is_followed(symbol) or not self._wait_for_snapshots or self._answered[symbol].is_set():
            return 0.0
        loop = asyncio.get_running_loop()
        since = loop.time()
        self._status = f"waiting for a request for the snapshot of {symbol}"
        try:
            await asyncio.wait_for(self._answered[symbol].wait(), SNAPSHOT_WAIT)
        except TimeoutError:
            self._wait_for_snapshots = False
            logger.info(
                "no client requested the snapshot of %s within %g s; the replay continues without it",
                symbol,
                SNAPSHOT_WAIT,
            )
        self._status = "running"
        return loop.time() - since

    def _book(self, symbol: str, limit: int) -> tuple[int, list[tuple[str, str]], list[tuple[str, str]]]:
        """(update id, bids, asks) of the book after the last message sent."""
        recorded = [one for one in self._snapshots if one.symbol == symbol]
        past = [one for one in recorded if one.time <= self._clock]
        start = past[-1] if past else recorded[0]
        last = start.last_update_id
        bids, asks = dict(start.bids), dict(start.asks)
        for diff in self._sent_diffs.get(symbol, []):
            if diff.last <= last:
                continue
            last = diff.last
            for side, changes in ((bids, diff.bids), (asks, diff.asks)):
                for price, quantity in changes:
                    if float(quantity):
                        side[price] = quantity
                    else:
                        side.pop(price, None)
        best_bids = sorted(bids.items(), key=lambda level: -float(level[0]))
        best_asks = sorted(asks.items(), key=lambda level: float(level[0]))
        return last, best_bids[:limit], best_asks[:limit]
