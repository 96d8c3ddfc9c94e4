"""Trades that skip some ids wait a moment for those before them.

The exchange numbers the trades of a symbol without a gap, and ids in a stream only rise. (Some exchanges tell several at
once, which have all the numbers from `Trade.first_id` to `Trade.trade_id`.) A trade that is appended too early shuts out
all trades before it. So a trade whose predecessor is missing waits, and what is missing may come from
three places, in this order:

1. The same connection: trades of one millisecond may come out of order (`ORDER_S`).
2. Another ingest: this one may have just started or reconnected. It asks Redis for the newest trade of the stream.
3. The exchange's history over REST, if nobody has appended anything for a while (`STANDSTILL_S`).

After `MAXIMUM_WAIT_S` the waiting trades go. Then the others are missing for good, and readers see that by the ids.

This is the hold-back queue of ordered multicast (Coulouris et al., "Distributed Systems", 5th ed., section 15.4).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import NamedTuple

from ingest.events import Trade
from tickfence.instrument import Instrument

ORDER_S = 0.1
"""How long only the own connection is waited for."""
STANDSTILL_S = 0.3
"""Nobody else appends if no stream that is waited for has grown for this long."""
FETCH_AFTER_S = 1.0
"""The exchange is asked after this time in any case: the other ingest may be too slow."""
MAXIMUM_WAIT_S = 2.0
SHORT_WAIT_S = 0.6
"""Instead, in the minute after waiting did not help."""
SHORT_FOR_S = 60.0
FETCH_AGAIN_S = 0.3
FETCH_MAXIMUM = 5_000
"""Trades of one gap that are fetched, the newest ones."""
ASK_EVERY_S = 0.02
ASK_MAXIMUM = 100

Id = tuple[int, int]
"""Of a stream entry: exchange time in ms, trade id."""


class Held(NamedTuple):
    """A trade, and when it was received, ms on the Redis server's clock."""

    trade: Trade
    received_ms: int


class Queue:
    """What waits of one symbol.

    Attributes:
        front: the newest trade id that did not have to wait; -1 before the first.
        trades: by first id, in the order in which they came.
        arrived: when each of them came, monotonic seconds.
        first: the lowest of these ids.
        since: when the one came that has waited longest.
        newest: the newest entry of the stream, once it is known.
        ask_at: when to ask for that entry.
        fetch_at: when the exchange may be asked; infinite while it is.
        fetched: how many trades it gave for this gap.
    """

    __slots__ = ("arrived", "ask_at", "fetch_at", "fetched", "first", "front", "newest", "since", "trades")

    def __init__(self, front: int) -> None:
        self.front = front
        self.trades: dict[int, Held] = {}
        self.arrived: dict[int, float] = {}
        self.next_gap()

    def next_gap(self) -> None:
        """Wait for the trades between `front` and the lowest that waits."""
        self.first = min(self.trades, default=0)
        self.since = next(iter(self.arrived.values()), 0.0)
        self.newest: Id | None = None
        self.ask_at = self.since + ORDER_S
        self.fetch_at = 0.0
        self.fetched = 0

    def add(self, held: Held, now: float) -> None:
        """Let a trade wait that came at ``now``."""
        first_id = held.trade.first_id
        self.trades[first_id], self.arrived[first_id] = held, now
        if len(self.trades) == 1:
            self.next_gap()
        self.first = min(self.first, first_id)


class Holdback:
    """The trades that wait for the ones before them.

    Args:
        limit: a number of trades. If more would wait, all of them go.
        fetch: asks the exchange for a symbol's trades: the first id, and how many. `on_fetched` gets the answer. False if the
            exchange gives none.
        clock: monotonic, in seconds.

    Attributes:
        queues: of each symbol whose trades wait.
    """

    def __init__(
        self,
        limit: int,
        fetch: Callable[[Instrument, int, int], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._fetch = fetch
        self._clock = clock
        self.queues: dict[Instrument, Queue] = {}
        self._count = 0
        self._gave_up_at: dict[Instrument, float] = {}
        self._grew_at = 0.0

    def __len__(self) -> int:
        return self._count

    def add(self, front: int, held: Held) -> list[Held]:
        """Take a trade that may have to wait.

        Args:
            front: the newest id of the symbol that this process has passed on; -1 before the first.
            held: the trade.

        Returns:
            The trades that may go now, in their order. One whose id is not above ``front`` goes too: it is a copy, or the
            exchange numbers its trades from the start again.
        """
        symbol, first_id, trade_id = held.trade.symbol, held.trade.first_id, held.trade.trade_id
        queue = self.queues.get(symbol)
        if queue is None:
            if first_id <= front + 1:
                return [held]
            queue = self.queues[symbol] = Queue(front)
        elif first_id <= front + 1 <= trade_id:
            return [held, *self._go(symbol, queue, trade_id)]
        elif trade_id <= front:
            newest_ms = max(waiting.trade.time_ms for waiting in queue.trades.values())
            return [held] if held.trade.time_ms <= newest_ms else [*self._go_all(symbol), held]
        if first_id not in queue.trades:
            queue.add(held, self._clock())
            self._count += 1
        if self._count <= self._limit:
            return []
        return [waiting for each in list(self.queues) for waiting in self._go_all(each)]

    def to_ask(self, symbols: Collection[Instrument]) -> list[Instrument]:
        """Those of ``symbols`` whose newest trade in Redis `on_newest` should get now."""
        if not self.queues:
            return []
        now = self._clock()
        due = (symbol for symbol, queue in self.queues.items() if queue.ask_at <= now and symbol in symbols)
        asked = list(islice(due, ASK_MAXIMUM))
        for symbol in asked:
            queue = self.queues[symbol] = self.queues.pop(symbol)  # the others are next
            queue.ask_at = now + ASK_EVERY_S
        return asked

    def on_newest(self, symbol: Instrument, newest: Id | None) -> tuple[list[Held], int]:
        """Take in the newest id of the symbol's stream; ``None`` if there is no stream to wait for.

        Returns:
            The trades that may go now, in their order, and how many are missing for good before them.
        """
        queue = self.queues.get(symbol)
        if queue is None:
            return [], 0  # they went in the meantime
        now, first = self._clock(), queue.first
        before = first - 1
        lowest = queue.trades[first].trade
        if newest is None or newest >= (lowest.time_ms, lowest.trade_id):
            return self._go(symbol, queue, before), 0
        if queue.newest not in (None, newest):
            self._grew_at = now
        queue.newest = newest
        if before in (queue.front, newest[1]):
            return self._go(symbol, queue, before), 0
        missing = max(before - max(queue.front, newest[1]), 0)  # none if the stream's numbers are from another count
        fetchable = min(missing, FETCH_MAXIMUM - queue.fetched)
        waited, stood = now - queue.since, now - max(queue.since, self._grew_at)
        gave_up_lately = now < self._gave_up_at.get(symbol, -math.inf) + SHORT_FOR_S
        if waited >= (SHORT_WAIT_S if gave_up_lately else MAXIMUM_WAIT_S) or (stood >= STANDSTILL_S and not fetchable):
            if missing:
                self._gave_up_at[symbol] = now
            return self._go(symbol, queue, before), missing
        if now >= queue.fetch_at and (stood >= STANDSTILL_S or waited >= FETCH_AFTER_S):
            queue.fetch_at = math.inf
            if not self._fetch(symbol, first - fetchable, fetchable):
                queue.fetched = FETCH_MAXIMUM
        return [], 0

    def on_fetched(self, symbol: Instrument, trades: Sequence[Trade], received_ms: int) -> None:
        """Take a page of the exchange's answer, oldest first: what connects to the waiting trades waits with them.

        The next page holds the trades before; no trades end the answer.
        """
        queue, now = self.queues.get(symbol), self._clock()
        if queue is None or queue.fetch_at < math.inf:
            return  # it came too late
        for trade in reversed(trades):
            if trade.trade_id != queue.first - 1 or trade.trade_id <= queue.front:
                break
            queue.add(Held(trade, received_ms), now)
            queue.fetched += 1
            self._count += 1
        if not trades:
            queue.fetch_at = now + FETCH_AGAIN_S

    def forget(self, symbol: Instrument) -> None:
        """Drop what waits of a symbol that is not followed any more."""
        queue = self.queues.pop(symbol, None)
        if queue is not None:
            self._count -= len(queue.trades)
        self._gave_up_at.pop(symbol, None)

    def on_connected(self, symbols: Collection[Instrument]) -> None:
        """Let the wait of ``symbols`` start again: Redis was away, perhaps for the other ingest too."""
        now = self._clock()
        for symbol, queue in self.queues.items():
            if symbol in symbols:
                queue.arrived = dict.fromkeys(queue.arrived, now)
                queue.since, queue.newest = now, None

    def _go(self, symbol: Instrument, queue: Queue, front: int) -> list[Held]:
        """Let go what follows on the id ``front`` without a gap."""
        gone = []
        while (held := queue.trades.pop(front + 1, None)) is not None:
            del queue.arrived[front + 1]
            front = held.trade.trade_id
            gone.append(held)
        self._count -= len(gone)
        queue.front = front
        if not queue.trades:
            del self.queues[symbol]
        elif gone:
            queue.next_gap()
        return gone

    def _go_all(self, symbol: Instrument) -> list[Held]:
        gone = []
        while (queue := self.queues.get(symbol)) is not None:
            gone += self._go(symbol, queue, queue.first - 1)
        return gone
