"""Which symbols this process writes, where only one may: those of venues whose updates have no numbers.

Two processes could not tell their copies of such an update apart. So one of them has the symbol's lease and writes it, and
the others stand by with warm books (`tickfence.coordination.standby_lease`). The ids of the writer begin with its token:
``token * 2**20`` is that of the book with which it starts, and each update has the next one. So ids rise over all writers,
and the first update of a new writer does not connect to the last of the one before: readers load the new writer's book. It
changes nothing, and is there at once, for nobody knows when the market moves again.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import msgspec

from ingest.book_sync import BookSync
from ingest.events import Diff, Trade
from ingest.holdback import Held, Id
from ingest.pacing import LogLimit
from ingest.stream_state import StreamState
from tickfence.coordination.standby_lease import StandbyLease
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.monitoring import ingest_metrics as metrics
from tickfence.redis_access.command import UNSENT, Command, Request
from tickfence.redis_access.errors import ResponseError
from tickfence.streams import append

logger = logging.getLogger(__name__)

TTL_MS = 600
"""So long nobody writes a symbol after its writer died. In a Redis that stalls for longer, the lease may change hands."""
ID_BITS = 20
NEW_TOKEN_AT = 1 << (ID_BITS - 1)
"""After so many updates the writer asks for a new token."""
MAX_RECENT = 5_000
"""Trades of a symbol that are kept while they are not known to be in its stream."""
ERROR_AGAIN_S = 1.0
"""Redis is asked again after this long, if it answered by an error."""
BEHIND_S = 0.25
"""A writer is behind if its stream lacks, for so long, updates that are newer than its newest one by more than this."""
OVERTAKE_AFTER_S = 5.0
"""So long a process that wrote a symbol does not overtake the next writer. So two slow ones do not take turns."""


class _Lacks(NamedTuple):
    """An update that the stream of ``writer`` lacks, as far as this process knows, though it was heard by ``since_s``."""

    writer: int
    heard_ms: int
    since_s: float


class WriterLease(StandbyLease):
    """The right to write one symbol, and the trades that a new writer begins with.

    Attributes:
        recent: trades that are not known to be in the stream.
        trades: how many ids the writer has given to trades that have none.
        behind: the token of a writer that is behind this process; 0 if none is.
    """

    __slots__ = ("_lacks", "_overtakes_at", "behind", "recent", "trades")

    def __init__(self, key: str, owner: str) -> None:
        super().__init__(key, owner, TTL_MS)
        self.recent: deque[Held] = deque(maxlen=MAX_RECENT)
        self.trades = self.behind = 0
        self._lacks: _Lacks | None = None
        self._overtakes_at = 0.0

    @property
    def first_id(self) -> int:
        """The id of the book with which the writer starts."""
        return self.token << ID_BITS

    def covers(self, update_id: int) -> bool:
        """Whether this process has the lease, and the update's number is of it. If numbers run out, or start again, ask again."""
        if not self.token:
            return False
        number = update_id - self.first_id
        if not 0 <= number < NEW_TOKEN_AT:
            self.ask_again()
        return 0 <= number < 1 << ID_BITS

    def next_trade_id(self) -> int:
        """The id of a trade to which the exchange gives none."""
        self.trades += 1
        if self.trades >= NEW_TOKEN_AT:
            self.ask_again()
        return self.first_id + self.trades

    def compare(self, writer: int, written_ms: int, heard_ms: int, now_s: float) -> None:
        """Find out whether the writer is behind: cut off from the exchange, or slow. Ask at once then.

        If the exchange is silent to all, none is ahead of the writer, and it goes on.

        Args:
            writer: its token.
            written_ms: exchange time of the newest entry of the book stream.
            heard_ms: the same of the newest update in this process's book, before the stream was read; 0 if the book is not
                known to be right.
            now_s: when ``heard_ms`` was that, monotonic seconds.
        """
        if self._overtakes_at == math.inf:
            self._overtakes_at = now_s + OVERTAKE_AFTER_S
        lacks = self._lacks
        if lacks is None or lacks.writer != writer or written_ms >= lacks.heard_ms or not heard_ms:
            ahead = heard_ms > written_ms + BEHIND_S * 1000
            self._lacks = _Lacks(writer, heard_ms, now_s) if ahead else None
        elif now_s >= max(lacks.since_s + BEHIND_S, self._overtakes_at):
            self._lacks, self.behind = None, writer
            self.on_no_reply()

    def begin(self) -> None:
        """Note that this process begins to write."""
        self.trades = 0
        self._lacks, self._overtakes_at = None, math.inf

    def forget_written(self, newest: Id | None) -> None:
        """Keep only the trades behind the newest entry of the stream."""
        recent = self.recent
        while recent and _is_written(recent[0].trade, newest):
            recent.popleft()


class WriterLeases:
    """The leases of the symbols that need one.

    Args:
        keys: every key of the deployment.
        owner: this process start.
        trades: the ids of each trades stream.
        diffs: the ids of each book stream.
        books: the order book of every symbol that is followed.
        clock: monotonic, in seconds.

    Attributes:
        on_granted: called when this process begins to write a symbol.
    """

    def __init__(
        self,
        keys: Keys,
        owner: str,
        trades: Mapping[Instrument, StreamState],
        diffs: Mapping[Instrument, StreamState],
        books: Mapping[Instrument, BookSync],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._owner = owner
        self._trades, self._diffs, self._books = trades, diffs, books
        self._leases: dict[Instrument, WriterLease] = {}
        self._asking: set[Instrument] = set()
        self._releasing = False
        self._logs = LogLimit()
        self.on_granted: Callable[[Instrument, BookSync], None] = lambda *_: None

    def __bool__(self) -> bool:
        return bool(self._leases)

    def __contains__(self, symbol: Instrument) -> bool:
        return symbol in self._leases

    def __getitem__(self, symbol: Instrument) -> WriterLease:
        return self._leases[symbol]

    def get(self, symbol: Instrument) -> WriterLease | None:
        """The lease of a symbol; ``None`` if every process may write it."""
        return self._leases.get(symbol)

    def add(self, symbols: Iterable[Instrument]) -> None:
        """Ask for the leases of these symbols from now on."""
        for symbol in symbols:
            self._leases[symbol] = WriterLease(self._keys.writer(symbol), self._owner)
            self._asking.add(symbol)

    def stop_asking(self, symbols: Iterable[Instrument]) -> None:
        """Ask for these leases no more; what this process has, it has until it is over."""
        self._asking.difference_update(symbols)

    def remove(self, symbol: Instrument) -> None:
        """Forget the lease of a symbol of which nothing is written any more."""
        self._leases.pop(symbol, None)

    def ready(self, symbol: Instrument) -> bool:
        """Whether this process knows what to write: the symbol's book is in sync."""
        book = self._books.get(symbol)
        return book is not None and book.in_sync

    def may_write(self, symbol: Instrument) -> bool:
        """Whether this process may write a symbol, as far as it knows."""
        lease = self._leases.get(symbol)
        return lease is None or lease.token > 0

    def may_write_book(self, symbol: Instrument) -> bool:
        """The same for its whole book."""
        lease = self._leases.get(symbol)
        return lease is None or lease.covers(self._books[symbol].book.last_update_id)

    def requests(self, symbols: Collection[Instrument]) -> list[Request]:
        """Of ``symbols``, the leases that are due to be asked for, renewed or given back."""
        now = self._clock()
        due = [symbol for symbol in self._asking if self._leases[symbol].due(now) and symbol in symbols]
        requests = [request for symbol in due for request in self._ask(symbol, self._leases[symbol])]
        if self._releasing:
            held = [lease for symbol, lease in self._leases.items() if lease.token and symbol in symbols]
            requests += [(lease.release(), partial(_on_released, lease)) for lease in held]
        return requests

    def release(self) -> None:
        """Give every lease back with the next batches, and ask for none."""
        self._asking.clear()
        self._releasing = True

    @property
    def held(self) -> int:
        """How many leases this process has."""
        return sum(lease.token > 0 for lease in self._leases.values())

    def covers(self, diff: Diff) -> bool:
        """Whether this process writes the symbol, and the diff's number is of its lease."""
        lease, newest = self._leases[diff.symbol], self._diffs[diff.symbol].sequence
        if newest >= diff.last_update_id:  # found in Redis, of a later writer
            lease.see(newest >> ID_BITS)
        return lease.covers(diff.last_update_id)

    def keep(self, held: Held) -> None:
        """Keep a trade until it is known to be in the stream."""
        symbol = held.trade.symbol
        lease = self._leases[symbol]
        lease.forget_written(self._trades[symbol].acknowledged)
        lease.recent.append(held)

    def numbered(self, trade: Trade) -> Trade:
        """A trade that this process writes: with an id of its lease, if the exchange gives none."""
        if trade.trade_id:
            return trade
        trade_id = self._leases[trade.symbol].next_trade_id()
        self._trades[trade.symbol].received = trade_id - 1  # it waits for none
        return msgspec.structs.replace(trade, trade_id=trade_id)

    def on_connection_lost(self, symbols: Iterable[Instrument]) -> None:
        """Let ids that are given to trades show that some may have been missed."""
        for symbol in symbols:
            if symbol in self._leases:
                self._leases[symbol].trades += 1

    def fence(self, symbol: Instrument, command: Command, on_reply: Callable[[Any], None]) -> list[Request]:
        """A request that changes one key of a symbol, as it must be sent; none while another process writes the symbol."""
        lease = self._leases.get(symbol)
        if lease is None:
            return [(command, on_reply)]
        if not lease.token:
            return []
        name, key, *arguments = command
        fenced = lease.fenced([key], [(0, (name, *arguments))], ready=self.ready(symbol))
        return [(fenced, partial(self._on_fenced_one, symbol, lease.token, on_reply))]

    def on_fenced(self, symbol: Instrument, token: int, reply: Any) -> Any:
        """Take the reply to commands that were sent under ``token``: each one's reply, or ``None`` if Redis refused all."""
        replies = self._leases[symbol].on_fenced(token, reply, self._clock())
        if replies is None:
            metrics.fenced.inc()
            self._log("another ingest writes the symbol now, or Redis has lost its data; standing by", symbol)
        return replies

    def _on_fenced_one(self, symbol: Instrument, token: int, on_reply: Callable[[Any], None], reply: Any) -> None:
        if reply is not UNSENT and not isinstance(reply, ResponseError):
            replies = self.on_fenced(symbol, token, reply)
            reply = UNSENT if replies is None else replies[0]
        on_reply(reply)

    def _ask(self, symbol: Instrument, lease: WriterLease) -> list[Request]:
        """Ask for a lease; and for the newest entries, unless this process has it: nobody adds to them once it is given."""
        renews = lease.renews
        asked_at, heard_ms = self._clock(), self._books[symbol].newest_ms if self.ready(symbol) else 0
        taken = False
        writer = 0
        trades: Id | None = None

        def on_reply(reply: Any) -> None:
            nonlocal taken, writer
            if reply is UNSENT or isinstance(reply, ResponseError):
                lease.on_no_reply(0.0 if reply is UNSENT else self._clock() + ERROR_AGAIN_S)
                return
            taken = lease.on_reply(reply, self._clock())
            writer = reply[1]
            if taken and renews:
                lease.ask_again()  # Redis had lost it, and more

        def on_trades(reply: Any) -> None:
            nonlocal trades
            trades = None if reply is UNSENT else append.newest_id(reply)

        def on_diffs(reply: Any) -> None:
            if reply is UNSENT or self._leases.get(symbol) is not lease:
                return
            diffs = append.newest_id(reply)
            for newest in (trades, diffs):
                lease.see(newest[1] >> ID_BITS if newest else 0)
            if taken and lease.token:
                self._trades[symbol].resume(trades)
                self._diffs[symbol].resume(diffs)
                self._take_over(symbol, lease)
            elif not lease.token:
                self._trades[symbol].reconcile(trades)
                self._diffs[symbol].reconcile(diffs)
                lease.forget_written(trades)
                lease.compare(writer, diffs[0] if diffs else 0, heard_ms, asked_at)

        behind, lease.behind = lease.behind, 0
        requests: list[Request] = [(lease.ask(ready=self.ready(symbol), behind=behind), on_reply)]
        if not renews:
            requests.append((append.top_command(self._keys.trades(symbol)), on_trades))
            requests.append((append.top_command(self._keys.book(symbol)), on_diffs))
        return requests

    def _take_over(self, symbol: Instrument, lease: WriterLease) -> None:
        lease.begin()
        trades = self._trades[symbol]
        lease.forget_written(trades.acknowledged)
        if trades.acknowledged is None and lease.recent:
            trades.received = lease.recent[0].trade.first_id - 1  # there is none before it to wait for
        metrics.takeovers.inc()
        self._log("writing the symbol from now on", symbol)
        book = self._books[symbol]
        book.renumber(lease.first_id)
        self.on_granted(symbol, book)

    def _log(self, what: str, symbol: Instrument) -> None:
        if (held_back := self._logs.allows(what)) is not None:
            logger.info(what, extra={"symbol": symbol, "held_back": held_back})


def _on_released(lease: WriterLease, reply: Any) -> None:
    if reply is not UNSENT:
        lease.on_released()


def _is_written(trade: Trade, newest: Id | None) -> bool:
    """Whether a trade is in the stream, or shut out of it. One without a number is so by its time."""
    if newest is None:
        return False
    return trade.trade_id <= newest[1] if trade.trade_id else trade.time_ms <= newest[0]
