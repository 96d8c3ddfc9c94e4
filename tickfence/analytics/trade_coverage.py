"""Since when every trade of the exchange is known."""

from collections.abc import Sequence

NEVER = 2**62
"""Later than any time: nothing is covered."""


class TradeCoverage:
    """Decides since when the trades of one symbol are complete.

    Two facts prove that no trade is missing:

    - **Between two trades**: the exchange numbers the trades of a symbol without a gap. So the trades are complete from
      the start of the last run of consecutive ids (*chain*) to the newest trade.
    - **After the newest trade**: every trade changes the order book, and both come over one connection. So no trade
      followed while the update ids of the book diffs connect, up to the exchange's time of the newest diff.

    Together: if the newest trade is not older than the start of the run of connected diffs, the trades are complete after
    the start of the chain. Otherwise nothing is covered: trades may have been missed before the run, and then ingest keeps
    the next ones back until it knows those, while the diffs go on. The next trade decides: if it has the very next id,
    nothing was missed and the earlier coverage is back; if not, its own time starts a new chain. As long as a symbol has
    never traded, the run of diffs covers what came after its first diff; the first trade takes that into its chain.

    A loaded snapshot of the book ends no run, and starts none. A new object claims that all trades are there, for
    callers without ids; :meth:`begin` claims that none are.

    Attributes:
        after_ms: every trade after this time (exchange time, ms) is known; `NEVER` if nothing is covered, 0 if all are.
        update_id: the last update id of the run of diffs.
        connected_ms: exchange time of the first diff of that run, ms.

    Example:
        >>> coverage = TradeCoverage()
        >>> coverage.begin()
        >>> coverage.add_trades([7, 8], [1_000, 2_000])
        >>> coverage.add_diff(11, 12, 5_000)
        >>> coverage.after_ms == NEVER  # 9 may have been traded before 5,000
        True
        >>> coverage.add_trades([9], [6_000])
        >>> coverage.after_ms
        1000
    """

    __slots__ = (
        *("_chained_ms", "_connected", "_never_traded", "_newest_id", "_newest_ms", "_oldest_id"),
        *("after_ms", "connected_ms", "update_id"),
    )

    def __init__(self) -> None:
        self.after_ms = self._chained_ms = self._newest_ms = self.connected_ms = 0
        self.update_id = NEVER
        self._oldest_id: int | None = None
        self._newest_id: int | None = None
        self._never_traded = False
        self._connected = True

    def begin(self) -> None:
        """Claim nothing: no trade and no diff was seen."""
        self.after_ms = self._chained_ms = self.connected_ms = NEVER
        self._newest_ms = self.update_id = -1
        self._oldest_id = self._newest_id = None
        self._never_traded = self._connected = False

    def claim(self, after_ms: int) -> None:
        """Take the caller's word for it: the trades up to now are complete after this time."""
        self._chained_ms = after_ms
        self._decide()

    def never_traded(self) -> None:
        """Note that there was no trade until now: the next one is the first of all."""
        self._never_traded = True

    def resume(self, update_id: int, connected_ms: int) -> None:
        """Continue a run of diffs that another owner of the symbol has seen, from `connected_ms` to `update_id`.

        It counts once its last diff is read again, or the next one.
        """
        self.update_id, self.connected_ms = update_id, connected_ms
        self._decide()

    def add_trades(self, ids: Sequence[int], times_ms: Sequence[int]) -> None:
        """Adds the trades that follow, in the order of the stream.

        Args:
            ids: the exchange's numbers.
            times_ms: exchange times.
        """
        newest_id = self._newest_id
        for trade_id, time_ms in zip(ids, times_ms, strict=True):
            if newest_id is None and self._never_traded:
                self._oldest_id, self._chained_ms = trade_id, min(time_ms, self.connected_ms)
            elif newest_id is None or trade_id != newest_id + 1:
                self._oldest_id, self._chained_ms = trade_id, time_ms
            newest_id = trade_id
        self._newest_id = newest_id
        if times_ms:
            self._newest_ms = times_ms[-1]
            self._decide()

    def add_older_trades(self, ids: Sequence[int], times_ms: Sequence[int]) -> bool:
        """Adds the trades right before all that were added, oldest first.

        Returns:
            False if they do not connect: older ones add nothing then.
        """
        connect = True
        for trade_id, time_ms in zip(reversed(ids), reversed(times_ms), strict=True):
            connect = self._oldest_id is not None and trade_id == self._oldest_id - 1
            if not connect:
                break
            self._oldest_id, self._chained_ms = trade_id, time_ms
        self._decide()
        return connect

    def add_diff(self, first_update_id: int, last_update_id: int, time_ms: int) -> None:
        """Adds a book diff, with the exchange's time. Diffs that were added before do no harm."""
        known = self.update_id
        if last_update_id < known or (last_update_id == known and self._connected):
            return
        self.update_id = last_update_id
        if first_update_id > known + 1:
            self.connected_ms = time_ms
        elif self._connected:
            return
        self._connected = True
        self._decide()

    def drop(self, until_ms: int) -> None:
        """Trades up to this time are not kept."""
        if self._chained_ms < until_ms:
            self._chained_ms = until_ms
            self._decide()

    def _decide(self) -> None:
        if not self._connected:
            self.after_ms = NEVER
        elif self._newest_ms >= self.connected_ms:
            self.after_ms = self._chained_ms
        else:
            self.after_ms = self.connected_ms if self._never_traded and self._newest_id is None else NEVER
