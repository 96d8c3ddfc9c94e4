"""What goes wrong, and when: random faults of the exchange, of the way to it, and of the processes themselves.

Each fault says for how long its symbols are disturbed. A cycle in which a symbol has been undisturbed for
`Venue.report_within_s` is one in which there could be a report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from random import Random

from tools.fuzz.venue import DEPTH, TRADE, Venue
from tools.fuzz.virtual_time import VirtualTime
from tools.fuzz.world import TOLD_LEVELS

BOOK_S = 0.03
"""A lost book is back so much later for each one that was lost with it: four are loaded at a time, in 0.1 s on average."""

KNOWN_TRADES = 20

UNTOLD_S = 180.0
"""By then the audit has had its turn, and a change that was never told is known."""


class Faults:
    """The faults of one exchange.

    Args:
        clock: of the process.
        venue: the exchange.
        random: decides.
        empty_redis: empties Redis.
        replace_node: lets another node take all symbols.
        restart_ingest: ends ingest, and starts another one.
        rate: faults a second.
        beat_s: from one diff to the next. No loss is shorter, so that a lost trade's change of the book is lost too.
        untold: whether changes that are never told occur.

    Attributes:
        counts: how often each kind has occurred.
    """

    def __init__(
        self,
        clock: VirtualTime,
        venue: Venue,
        random: Random,
        *,
        empty_redis: Callable[[], None],
        replace_node: Callable[[], None],
        restart_ingest: Callable[[], None],
        rate: float,
        beat_s: float,
        untold: bool,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._untold_until: dict[str, float] = {}
        self._clock, self._venue, self._random = clock, venue, random
        self._until = dict.fromkeys(venue.markets, 0.0)
        self._lag_until = 0.0
        self._refused_until = 0.0
        self._rate, self._beat_s = rate, beat_s
        of_all: dict[str, Callable[[], None]] = {
            "connection closed": self._close,
            "connection silent": self._go_dark,
            "shutdown announced": self._announce,
            "copies": self._copy,
            "trades shuffled": self._shuffle,
            "rest lags": self._lag,
            "rest refuses": self._refuse,
            "rubbish": self._rubbish,
            "redis emptied": lambda: self._disturb_all(empty_redis),
            "other node": replace_node,
            "ingest restarted": lambda: self._disturb_all(restart_ingest),
        }
        of_one: dict[str, Callable[[str], None]] = {
            "diff lost": lambda symbol: self._lose(symbol, DEPTH),
            "trade lost": lambda symbol: self._lose(symbol, TRADE),
            "all of it lost": self._cut,
            "updates renumbered": lambda symbol: self._renumber(symbol, trades=False),
            "all renumbered": lambda symbol: self._renumber(symbol, trades=True),
            "bad diff": self._bad_diff,
            "fall in one diff": lambda symbol: self._jump(symbol, -1),
            "rise in one diff": lambda symbol: self._jump(symbol, 1),
        }
        if not venue.books_by_rest:
            del of_all["rest lags"]
        elif untold:
            of_one["change not told"] = self._leave_untold
        for own, happens in venue.own_faults().items():
            of_one[own] = partial(self._happens_at, happens)
        self._of_all, self._of_one = of_all, of_one
        self._names = [*of_all, *(name for name in of_one for _ in range(2))]

    def step(self, passed_s: float) -> None:
        """Let some faults begin, and end those whose time has come."""
        now = self._clock.now_s
        if self._venue.stale and now >= self._lag_until:
            self._venue.stale.clear()
        if self._venue.dark_until_s > now or self._venue.stale or self._venue.refusals:
            self._disturb(self._venue.markets)
        for symbol in [symbol for symbol, until in self._untold_until.items() if now >= until]:
            self._venue.markets[symbol].untold.clear()
            del self._untold_until[symbol]
        self._venue.shuffle = self._venue.shuffle and self._random.random() > passed_s / 5
        for symbol in self._venue.markets:
            if not self._venue.hears(symbol):
                self._disturb([symbol])
        if self._random.random() < self._rate * passed_s:
            name = self._random.choice(self._names)
            self.counts[name] += 1
            if name in self._of_all:
                self._of_all[name]()
            else:
                self._of_one[name](self._random.choice(list(self._venue.markets)))

    def could_report(self, symbol: str) -> bool:
        """Whether the symbol has been undisturbed for long enough."""
        return self._clock.now_s >= self._until[symbol]

    def _disturb(self, symbols: Collection[str], for_s: float = 0.0) -> None:
        until_s = self._clock.now_s + for_s + self._venue.report_within_s + BOOK_S * len(symbols)
        for symbol in symbols:
            self._until[symbol] = max(self._until[symbol], until_s)

    def _disturb_all(self, happens: Callable[[], None]) -> None:
        self._disturb(self._venue.markets)
        happens()

    def _close(self) -> None:
        for socket in list(self._venue.sockets):
            socket.end(1006)

    def _go_dark(self) -> None:
        self._venue.dark_until_s = self._clock.now_s + self._beat_s * self._random.choice((3, 10, 40, 150))

    def _announce(self) -> None:
        self._venue.shout(self._venue.shutdown)

    def _copy(self) -> None:
        self._venue.twice = self._random.randint(1, 500)

    def _shuffle(self) -> None:
        self._venue.shuffle = True

    def _lag(self) -> None:
        """From now on REST answers as it would have now, until it has caught up."""
        venue = self._venue
        venue.stale = {symbol: venue.depth(symbol, 1000) for symbol in venue.markets}
        self._lag_until = self._clock.now_s + self._random.choice((0.2, 1.0, 3.0))
        if self._random.random() < 0.5:
            self._close()

    def _refuse(self) -> None:
        statuses = (500, 503, 429, 200, 0)
        self._venue.refusals.extend(self._random.choices(statuses, k=self._random.randint(1, 4)))
        if self._random.random() < 0.5:
            self._close()

    def _rubbish(self) -> None:
        self._venue.shout(self._random.choice(self._venue.rubbish))

    def _lose(self, symbol: str, stream: str) -> None:
        if stream is TRADE and len(self._venue.markets[symbol].trades) < KNOWN_TRADES:
            return  # before the first trade that arrives, nothing shows that one was lost
        self._venue.lose[symbol, stream] = self._random.choice((1, 1, 2, 5))
        self._disturb([symbol])

    def _cut(self, symbol: str) -> None:
        for_s = self._beat_s * self._random.choice((1, 3, 30))
        self._venue.cut_until_s[symbol] = self._clock.now_s + for_s
        self._disturb([symbol], for_s)

    def _renumber(self, symbol: str, *, trades: bool) -> None:
        venue = self._venue
        venue.tell_diff(symbol)
        venue.stale.pop(symbol, None)
        venue.markets[symbol].renumber(trades=trades)
        self._disturb([symbol])

    def _bad_diff(self, symbol: str) -> None:
        """In place of the next diff, one that cannot be read."""
        self._lose(symbol, DEPTH)
        self._venue.shout(self._venue.bad_diff(symbol))

    def _happens_at(self, happens: Callable[[str], float], symbol: str) -> None:
        self._disturb([symbol], happens(symbol))

    def _jump(self, symbol: str, sign: int) -> None:
        self._venue.markets[symbol].move(sign * self._random.randint(20, TOLD_LEVELS + 500))
        self._disturb([symbol])

    def _leave_untold(self, symbol: str) -> None:
        self._venue.markets[symbol].change_untold()
        self._untold_until[symbol] = self._clock.now_s + UNTOLD_S
