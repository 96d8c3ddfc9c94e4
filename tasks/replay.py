"""One owner's state of a symbol, made again from what is recorded, step by step. Needs the extra ``recordings``.

A replay drives the very objects that a node runs: :class:`tasks.warm_symbol.WarmSymbol`, with a reader that takes from
the recording what the node's reader took from Redis. Each step is a recorded basis.
"""

from __future__ import annotations

from typing import Any

from tasks.left import Left
from tasks.rebuilt import HORIZON, NO_BOOK, NO_START, SLOW, Lacks
from tasks.recorded_entries import RecordedDiffs, id_text, just_before_id
from tasks.recorded_market import POLLED_MS, RecordedMarket
from tasks.recorded_reader import RecordedReader, later
from tasks.symbol_events import Event
from tasks.warm_symbol import WarmSymbol
from tickfence.analytics import basis as bases
from tickfence.analytics import carry, report, slow_cycle
from tickfence.analytics.basis import Basis, Inputs, Start
from tickfence.analytics.level_changes import KEEP_MS as CHANGES_KEEP_MS
from tickfence.analytics.symbol_state import NotPublishable
from tickfence.analytics.trade_window import KEEP_MS, MAX_TRADES
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.streams.codec import SymbolInfo, split_id
from tickfence.streams.read import ColdStart


class Replay:
    """The state of one owner.

    Args:
        symbol: whose state.
        market: what is recorded.
        left: what owners left.

    Attributes:
        fresh_ms: when the owner's state was new.
        started_ms: when it last started from a snapshot.
    """

    def __init__(self, symbol: Instrument, market: RecordedMarket, left: Left) -> None:
        self._market, self._left = market, left
        self._reader = RecordedReader(symbol, market.trades, market.diffs)
        self._warm = WarmSymbol(symbol, Keys(), _forget_event, self._reader)
        self._lacks = Lacks()
        self._slow_lacks = ""
        self._more = 0, 0  # what the owner had read more of than this replay
        self.fresh_ms = self.started_ms = -1

    def start(self, basis: Basis, start: Start) -> bool:
        """Start from the snapshot, as the owner did; whether that is recorded."""
        inputs = basis.inputs
        if start.fresh:
            self.fresh_ms = inputs.fresh_ms
        taken, horizon = (start.snapshot_id, start.snapshot_ms), (inputs.lowest_bid, inputs.highest_ask)
        snapshot = self._market.snapshot(*taken) or self._market.remade(*taken, *horizon)
        if snapshot is None:
            return False
        self.started_ms = inputs.started_ms
        if not start.fresh:
            self._read_before(start, inputs)
        carried = start.carried and self._left.carry(start.carried, basis.at_ms)
        sections = start.sections and self._left.sections(start.sections, basis.at_ms)
        found = ColdStart(
            snapshot,
            self._market.diffs.between(just_before_id(start.first_diff_id), split_id(inputs.book_id)),
            self._market.trades.between(just_before_id(start.first_trade_id), split_id(inputs.trades_id)),
            info=None
            if start.book_from is None
            else SymbolInfo(inputs.tick_size, None, inputs.trading, start.book_from, inputs.base, inputs.quote),
            older_trades_before=inputs.older_before if start.fresh else None,
            trades_id=inputs.trades_id if start.fresh else later(self._reader.trades_id, inputs.trades_id),
            book_id=inputs.book_id,
        )
        self._more = 0, 0
        self._start(found, sections, carried)
        if start.carried and not carried:
            self._lacks.diffs(self._warm.state, basis.at_ms)
        self._compare_taken(basis)
        return True

    def seed(self, basis: Basis, carried: bytes | None) -> bool:
        """Start in the middle of an owner's time, from what was recorded about then; whether there is a snapshot.

        Args:
            basis: up to where to read.
            carried: a carry that this owner left shortly before; ``None`` where none is recorded.
        """
        inputs = basis.inputs
        self.fresh_ms, self.started_ms = inputs.fresh_ms, inputs.started_ms
        snapshot = self._market.near(basis.inputs, basis.at_ms)
        if snapshot is None:
            return False
        since = min(split_id(snapshot.stream_id), (snapshot.time - POLLED_MS, 0))
        trades_id = split_id(inputs.trades_id)
        found = ColdStart(
            snapshot,
            self._market.diffs.between(since, split_id(inputs.book_id)),
            self._market.trades.newest(trades_id, MAX_TRADES, trades_id[0] - KEEP_MS),
            trades_id=inputs.trades_id,
            book_id=inputs.book_id,
        )
        self._start(found, None, carried)
        state, lacks = self._warm.state, self._lacks
        if carried is None:
            lacks.diffs(state, basis.at_ms)
        lacks.changes_ms = state.market_ms(basis.at_ms) + CHANGES_KEEP_MS  # a carry does not tell the small ones
        lacks.trades, lacks.trades_ms = True, inputs.fresh_ms + KEEP_MS
        self._count_anew(basis)
        return True

    def slow(self, basis: Basis) -> bytes | None:
        """The slow sections; ``None`` where the book is not known."""
        self._read(basis)
        state = self._warm.state
        self._slow_lacks = self._reason(basis)
        if self._warm.cold or not state.publishable:
            return None
        sections = slow_cycle.run(state, basis.at_ms)
        self._left.add(sections)
        if basis.carry is not None:
            self._left.add(carry.dump(state, basis.at_ms))
        return sections

    def report(self, basis: Basis) -> bytes | None:
        """The report; ``None`` where the book is not known."""
        self._read(basis)
        if self._warm.cold:
            return None
        try:
            return report.build(self._warm.state, basis.at_ms, Owner.parse(basis.owner).node, basis.token)
        except NotPublishable:
            return None

    def reason(self, basis: Basis) -> str:
        """Why what was made may differ from what the owner made; empty where it must be the same."""
        if basis.kind is bases.Kind.SLOW:
            return self._slow_lacks
        reason = self._reason(basis)
        state, slow_at = self._warm.state, basis.inputs.slow_at
        if reason or slow_at is None:
            return reason
        return self._slow_lacks if state.slow is not None and state.slow.computed_at == slow_at else SLOW

    def _reason(self, basis: Basis) -> str:
        state, inputs = self._warm.state, basis.inputs
        if self._warm.cold or not state.publishable:
            return NO_BOOK
        if inputs.started_ms != self.started_ms:
            return NO_START
        if (state.book.bids.horizon, state.book.asks.horizon) != (inputs.lowest_bid, inputs.highest_ask):
            return HORIZON
        return self._lacks.reason(state, basis.at_ms)

    def _start(self, found: ColdStart, sections: bytes | None, carried: bytes | None) -> None:
        self._reader.found = found
        self._warm.invalidate("first")
        self._take(sections, carried)

    def _read_before(self, start: Start, inputs: Inputs) -> None:
        """Read what the owner had read before it started again, and leave its book as it was then."""
        before, warm = start.before, self._warm
        book = warm.state.book
        if not warm.cold:
            mine = warm.inputs()
            known, upto = split_id(mine.book_id), split_id(inputs.book_id)
            newest_id = max(before.update_id, before.observed_id)
            diffs = [
                diff
                for diff in self._market.diffs.between(known, upto)
                if diff.last_update_id <= newest_id and (known[0] or diff.last_update_id > book.last_update_id)
            ]
            book_id = id_text(RecordedDiffs.entry_id(diffs[-1])) if diffs else mine.book_id
            self._reader.upto = before.trades_id, book_id
            self._reader.counts = before.trades - mine.trades - self._more[0], len(diffs)
            self._take()
        if before.trades - warm.inputs().trades != self._more[0]:
            self._lacks.trades_ms = warm.state.market_ms(inputs.started_ms) + KEEP_MS
        if warm.state.observed_update_id != before.observed_id:
            self._lacks.diffs(warm.state, inputs.started_ms)
        warm.state.book.in_sync = warm.state.book.in_sync and before.in_sync

    def _read(self, basis: Basis) -> None:
        """Bring the state up to what this was made from."""
        inputs, warm = basis.inputs, self._warm
        if not warm.cold:
            self._reader.upto = inputs.trades_id, inputs.book_id
            missing = self._difference(basis)
            self._reader.counts = missing[0] - self._more[0], missing[1] - self._more[1]
            self._take()
            while (before := warm.inputs().older_before) is not None and before != inputs.older_before:
                self._reader.older = True
                self._take()
                self._reader.older = False
        if warm.cold:  # the recording lacks diffs
            self._start_again(basis)
        self._compare_taken(basis)
        state = warm.state
        state.ticker = inputs.ticker
        state.tick_size, state.trading = inputs.tick_size, inputs.trading
        state.base, state.quote = inputs.base, inputs.quote
        if inputs.book_ms is None:
            state.book_update_ms = None
        if inputs.trade_ms is None:
            state.trade_update_ms = None

    def _take(self, *replies: Any) -> None:
        # Time stands still, so that nothing is read but what the basis names.
        requests = self._warm.read(0, 0.0)
        for number, (_, take) in enumerate(requests):
            take(replies[number] if number < len(replies) else None)

    def _start_again(self, basis: Basis) -> None:
        inputs = basis.inputs
        snapshot = self._market.near(basis.inputs, basis.at_ms)
        if snapshot is None or snapshot.last_update_id <= self._warm.state.book.last_update_id:
            return
        diffs = self._market.diffs.between(split_id(snapshot.stream_id), split_id(inputs.book_id))
        trades = self._market.trades.between(split_id(self._reader.trades_id), split_id(inputs.trades_id))
        self._start(ColdStart(snapshot, diffs, trades, trades_id=inputs.trades_id, book_id=inputs.book_id), None, None)
        self._lacks.diffs(self._warm.state, basis.at_ms)
        self._count_anew(basis)

    def _compare_taken(self, basis: Basis) -> None:
        """Note what the recording lacks of what the owner had read, or the other way round."""
        if basis.inputs.started_ms != self.started_ms:
            return
        trades, diffs = self._difference(basis)
        if (trades, diffs) == self._more:
            return
        if trades != self._more[0]:
            self._lacks.trades_ms = self._warm.state.market_ms(basis.at_ms) + KEEP_MS
        if diffs != self._more[1]:
            self._lacks.diffs(self._warm.state, basis.at_ms)
        self._more = trades, diffs

    def _count_anew(self, basis: Basis) -> None:
        self._more = self._difference(basis)

    def _difference(self, basis: Basis) -> tuple[int, int]:
        mine = self._warm.inputs()
        return basis.inputs.trades - mine.trades, basis.inputs.diffs - mine.diffs


def _forget_event(event: Event) -> None:
    """What happens to a state here happened to its owner before."""
