"""Subscriptions and sending: each event is framed once, and every subscriber gets the same bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from tools.simulator.protocol import frame, frame_head

SETTLED_S = 1.0
_CHECK_S = 0.0005


class Subscriber(Protocol):
    """What the hub needs of a connection: it queues events in `pending`, and `flush` sends them."""

    combined: bool
    pending: list[bytes]

    @property
    def unread_bytes(self) -> int:
        """Bytes that the peer has not read yet."""

    def flush(self) -> None:
        """Sends what is pending."""


class Channel:
    """One stream, such as `btcusdt@depth@100ms`, and its subscribers.

    Attributes:
        filter: if set, it gets each payload first and returns the payload to send, or None to send nothing.
    """

    __slots__ = ("_prefix", "filter", "name", "subscribers")

    def __init__(self, name: str) -> None:
        self.name = name
        self.subscribers: list[Subscriber] = []
        self.filter: Callable[[bytes], bytes | None] | None = None
        self._prefix = f'{{"stream":"{name}","data":'.encode()

    def publish(self, payload: bytes) -> None:
        """Queues an event for all subscribers; the hub's `flush` sends it."""
        if self.filter is not None:
            filtered = self.filter(payload)
            if filtered is None:
                return
            payload = filtered
        self.send(payload, self.subscribers)

    def send(self, payload: bytes, subscribers: Iterable[Subscriber], *, wrapped: bool = True) -> None:
        """Queues a message for some subscribers; `wrapped`: with the wrapper of an event on combined connections."""
        combined = raw = b""
        for subscriber in subscribers:
            if wrapped and subscriber.combined:
                if not combined:
                    head = frame_head(len(self._prefix) + len(payload) + 1)
                    combined = b"%b%b%b}" % (head, self._prefix, payload)
                subscriber.pending.append(combined)
            else:
                raw = raw or frame(payload)
                subscriber.pending.append(raw)


class Hub:
    """All channels and all connections."""

    def __init__(self) -> None:
        self.connections: list[Subscriber] = []
        self.on_change: Callable[[], None] | None = None
        self._channels: dict[str, Channel] = {}

    def channel(self, name: str) -> Channel:
        """The channel of this name, created on first use."""
        if name not in self._channels:
            self._channels[name] = Channel(name)
        return self._channels[name]

    def subscribe(self, subscriber: Subscriber, names: Iterable[str]) -> None:
        """Sends the events of these streams to a subscriber from now on, each event at most once."""
        for name in names:
            subscribers = self.channel(name).subscribers
            if subscriber not in subscribers:
                subscribers.append(subscriber)
        if self.on_change:
            self.on_change()

    def unsubscribe(self, subscriber: Subscriber, names: Iterable[str]) -> None:
        """Stops sending the events of these streams to a subscriber."""
        for name in names:
            channel = self.channel(name)
            channel.subscribers = [one for one in channel.subscribers if one is not subscriber]

    async def wait_for_subscribers(self, names: Collection[str], settled_s: float = SETTLED_S) -> None:
        """Waits until one of these streams is followed and no subscription was added for a while.

        Subscribing may take several control messages.
        """
        changed = asyncio.Event()
        self.on_change = changed.set
        while True:
            changed.clear()
            if not any(self.channel(name).subscribers for name in names):
                await changed.wait()
            try:
                await asyncio.wait_for(changed.wait(), settled_s)
            except TimeoutError:
                if any(self.channel(name).subscribers for name in names):
                    return

    def flush(self) -> None:
        """Sends everything queued, in one write per connection."""
        for connection in list(self.connections):
            if connection.pending:
                connection.flush()

    async def let_clients_read(self, maximum: int, within_s: float) -> bool:
        """Waits until no client has more than `maximum` unread bytes; whether that was so `within_s` seconds."""
        for _ in range(round(within_s / _CHECK_S)):
            if all(one.unread_bytes <= maximum for one in self.connections):
                return True
            await asyncio.sleep(_CHECK_S)
        return False
