"""Since when every trade of the exchange is known."""

from collections.abc import Sequence
from itertools import repeat

NEVER = 2**62
"""Later than any time: nothing is covered."""


class TradeCoverage:
    """Decides since when the trades of one symbol are complete.

    Two facts prove that no trade is missing:

    - **Between two trades**: the exchange numbers the trades of a symbol without a gap. So the trades are complete from
      the start of the last run of consecutive ids (*chain*) to the newest trade.
    - **After the newest trade**: every trade changes the order book, and both come over one connection. So no trade
      followed while the update ids of the book diffs connect (a *run*), up to the exchange's time of the newest diff. The
      first diff of a new connection starts a new run, whatever its ids: it may contain what happened before.

    Together: if the newest trade is not older than the start of the run, the trades are complete after the start of the
    chain. Otherwise nothing is covered: trades may have been missed before the run. The next trade decides: if it has the
    very next id, nothing was missed and the earlier coverage is back; if not, its own time starts a new chain. Nothing is
    covered either while ingest holds trades back because those before them are missing.

    A loaded snapshot of the book ends no run, and starts none. A new object claims that all trades are there, for
    callers without ids; :meth:`begin` claims that none are.

    Attributes:
        after_ms: every trade after this time (exchange time, ms) is known; `NEVER` if nothing is covered, 0 if all are.
        update_id: the last update id of the run of diffs.
        connected_ms: exchange time of the first diff of that run, ms.

    Add the diffs of a read before its trades.

    Example:
        >>> coverage = TradeCoverage()
        >>> coverage.begin()
        >>> coverage.add_diff(11, 12, 500)
        >>> coverage.add_trades([7, 8], [1_000, 2_000])
        >>> coverage.after_ms
        1000
        >>> coverage.add_diff(15, 15, 5_000)
        >>> coverage.after_ms == NEVER  # 9 may have been traded before
        True
        >>> coverage.add_trades([9], [6_000])
        >>> coverage.after_ms
        1000
    """

    __slots__ = (
        *("_chained_ms", "_connected", "_diff_ms", "_held", "_newest_id", "_newest_ms", "_oldest_id"),
        *("after_ms", "connected_ms", "update_id"),
    )

    def __init__(self) -> None:
        self.after_ms = self._chained_ms = self._newest_ms = self._diff_ms = self.connected_ms = 0
        self.update_id = NEVER
        self._oldest_id: int | None = None
        self._newest_id: int | None = None
        self._held = False
        self._connected = True

    def begin(self) -> None:
        """Claim nothing: no trade and no diff was seen."""
        self.after_ms = self._chained_ms = self.connected_ms = NEVER
        self._newest_ms = self.update_id = -1
        self._oldest_id = self._newest_id = None
        self._held = self._connected = False

    def claim(self, after_ms: int) -> None:
        """Take the caller's word for it: the trades up to now are complete after this time."""
        self._chained_ms = after_ms
        self._decide()

    def resume(self, update_id: int, connected_ms: int) -> None:
        """Continue a run of diffs that another owner of the symbol has seen, from `connected_ms` to `update_id`.

        It counts once its last diff is read again, or the next one.
        """
        self.update_id, self.connected_ms = update_id, connected_ms
        self._decide()

    def add_trades(self, ids: Sequence[int], times_ms: Sequence[int], counts: Sequence[int] | None = None) -> None:
        """Adds the trades that follow, in the order of the stream.

        Args:
            ids: the exchange's numbers.
            times_ms: exchange times.
            counts: how many numbers up to its own each trade stands for; None: each for its own alone.
        """
        newest_id = self._newest_id
        for trade_id, time_ms, count in zip(ids, times_ms, counts or repeat(1, len(ids)), strict=True):
            if newest_id is None or not trade_id - count <= newest_id < trade_id:
                self._oldest_id, self._chained_ms = trade_id - count + 1, time_ms
            newest_id, self._newest_ms = trade_id, time_ms
        self._newest_id = newest_id
        self._decide()

    def add_older_trades(
        self, ids: Sequence[int], times_ms: Sequence[int], counts: Sequence[int] | None = None
    ) -> bool:
        """Adds the trades right before all that were added, oldest first; the arguments are as those of `add_trades`.

        Returns:
            False if they do not connect: older ones add nothing then.
        """
        connect = True
        backwards = reversed(ids), reversed(times_ms), reversed(counts) if counts else repeat(1, len(ids))
        for trade_id, time_ms, count in zip(*backwards, strict=True):
            first_id = trade_id - count + 1
            connect = self._oldest_id is not None and first_id < self._oldest_id <= trade_id + 1
            if not connect:
                break
            self._oldest_id, self._chained_ms = first_id, time_ms
        self._decide()
        return connect

    def add_diff(
        self, first_update_id: int, last_update_id: int, time_ms: int, held: bool = False, broken: bool = False
    ) -> None:
        """Adds a book diff. Diffs that were added before do no harm.

        Args:
            first_update_id, last_update_id: its ids.
            time_ms: the exchange's time.
            held: whether ingest holds trades back that came before it.
            broken: whether it is the first of a new connection.
        """
        known = self.update_id
        renumbered = last_update_id <= known and time_ms > self._diff_ms > 0
        if not renumbered and (last_update_id < known or (last_update_id == known and self._connected)):
            return
        self.update_id, self._diff_ms = last_update_id, time_ms
        if broken or renumbered or first_update_id > known + 1:
            self.connected_ms = time_ms
        elif self._connected and held == self._held:
            return
        self._connected, self._held = True, held
        self._decide()

    def drop(self, until_ms: int) -> None:
        """Trades up to this time are not kept."""
        if self._chained_ms < until_ms:
            self._chained_ms = until_ms
            self._decide()

    def _decide(self) -> None:
        proven = self._connected and not self._held and self._newest_ms >= self.connected_ms
        self.after_ms = self._chained_ms if proven else NEVER
