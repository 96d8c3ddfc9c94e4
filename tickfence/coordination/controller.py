"""The assignment over time: who moves, when, and why. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from tickfence.coordination.assignment import assign
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.settings import Settings


class MoveReason(StrEnum):
    """Why the assignment changed."""

    FIRST = "first assignment"
    JOINED = "node joined"
    LEFT = "node left"
    DIED = "node died"
    SILENT = "node silent"
    STUCK = "node stuck"
    DRAINED = "node drained"
    REBALANCE = "rebalance"
    SYMBOLS = "symbols changed"
    DATA_LOST = "data lost"  # Redis came back without the published assignment


@dataclass(frozen=True)
class MovePolicy:
    """When a symbol with a live owner may move. Orphans move at once, whatever this says.

    Attributes:
        sticky: score bonus of the present owner (0.02 is 2 %).
        load_factor: how many fair shares a node may hold.
        min_hold_ms: how long a symbol stays with an owner at least; does not apply to its first owner.
        rebalance_interval_ms: how often better places are looked for when no node joins.
    """

    sticky: float = 0.02
    load_factor: float = 1.25
    min_hold_ms: int = 2000
    rebalance_interval_ms: int = 2500

    @classmethod
    def of(cls, settings: Settings) -> MovePolicy:
        """The policy of a deployment: the leading beat decides by it, and ``explain`` explains by it."""
        return cls(
            sticky=settings.nt_hrw_sticky_pct,
            load_factor=settings.nt_hrw_load_factor,
            min_hold_ms=settings.nt_min_hold_ms,
            rebalance_interval_ms=settings.nt_rebalance_interval_ms,
        )


class Move(NamedTuple):
    """One symbol that changes its owner.

    Attributes:
        symbol: the symbol.
        source: its owner before; ``None`` if it had none.
        target: its owner from now on.
        reason: ``orphan`` (its owner is gone, or it never had one), ``join`` (a node joined) or ``rebalance`` (another
            node suits it better).
    """

    symbol: Instrument
    source: Owner | None
    target: Owner
    reason: str


class Plan(NamedTuple):
    """What the controller does, or would do, at one moment.

    Attributes:
        moves: the symbols that change their owner.
        rebalances: whether symbols with a live owner may move, too; else only orphans do.
        balanced: whether every symbol is where it belongs, so that none will move before something changes.
    """

    moves: list[Move]
    rebalances: bool
    balanced: bool


class AssignmentController:
    """Keeps symbol -> owner in step with the live nodes.

    Args:
        symbols: the symbols to assign.
        policy: when a symbol with a live owner may move.

    Attributes:
        owners: symbol -> owner, as of the last :meth:`step`.

    Example:
        >>> controller = AssignmentController(["BTCUSDT"], MovePolicy())
        >>> controller.step(0, {Owner("node-001", "a"): 1.0})
        [Move(symbol='BTCUSDT', source=None, target=Owner(node='node-001', incarnation='a'), reason='orphan')]
    """

    def __init__(self, symbols: Collection[Instrument], policy: MovePolicy) -> None:
        self.symbols = tuple(symbols)
        self.policy = policy
        self.owners: dict[Instrument, Owner] = {}
        self._since: dict[Instrument, int] = {}  # symbol -> when its owner got it, server ms
        self._live: frozenset[Owner] = frozenset()
        self._placed: frozenset[Owner] | None = None  # who owns all the symbols; None if one may have no owner
        self._shares: tuple[Mapping[Owner, float], frozenset[Owner]] = {}, frozenset()  # weights, cordoned nodes
        self._rebalanced_at = 0
        self._balanced_for: tuple[Mapping[Owner, float], frozenset[Owner]] | None = None  # nothing was to move then

    def adopt(self, owners: Mapping[Instrument, Owner], now_ms: int, known: Collection[Owner] = ()) -> None:
        """Start from an assignment that is in force, as a new leader does.

        Args:
            owners: symbol -> owner; other symbols than ours are ignored.
            now_ms: the server's time. Every symbol counts as moved now.
            known: live nodes that have not just joined, though they may own nothing.
        """
        self.owners = {symbol: owners[symbol] for symbol in self.symbols if symbol in owners}
        self._since = dict.fromkeys(self.owners, now_ms)
        self._placed = self._balanced_for = None
        self._live = frozenset(self.owners.values()).union(known)
        self._rebalanced_at = now_ms

    def replace_symbols(self, symbols: Collection[Instrument]) -> dict[Instrument, Owner]:
        """Assign these symbols from the next :meth:`step` on, and no others.

        Args:
            symbols: the symbols. Those that are new have no owner yet.

        Returns:
            Symbol -> its owner so far, of those that are not assigned any more.
        """
        self.symbols = tuple(symbols)
        self._placed = self._balanced_for = None
        kept = frozenset(self.symbols)
        dropped = {symbol: owner for symbol, owner in self.owners.items() if symbol not in kept}
        for symbol in dropped:
            del self.owners[symbol], self._since[symbol]
        return dropped

    def plan(self, now_ms: int, live: Mapping[Owner, float], cordoned: Collection[Owner] = ()) -> Plan:
        """What :meth:`step` would do now. Changes nothing.

        Args:
            now_ms: the server's time.
            live: owner -> weight; one owner a node id. If it is empty, nothing moves: there is nowhere to go.
            cordoned: those of ``live`` that keep their symbols and get no more. If all are, one that has started again
                gets those that it had.
        """
        joined = live.keys() - self._live
        orphaned = self._orphaned(live)
        # A time ahead of now is from a server clock that was wrong, and holds nothing back.
        overdue = not 0 <= now_ms - self._rebalanced_at < self.policy.rebalance_interval_ms
        # An operator who changes shares waits for the result.
        rebalances = bool(joined) or overdue or self._shares_changed(live, cordoned)
        open_nodes = {owner: weight for owner, weight in live.items() if owner not in cordoned}
        if rebalances and self._balanced_for == (live, frozenset(cordoned)):
            return Plan([], rebalances=True, balanced=True)
        if not (rebalances or orphaned):
            return Plan([], rebalances=False, balanced=False)
        if not open_nodes:
            return Plan(self._started_again(live) if orphaned else [], rebalances=False, balanced=False)

        if rebalances:
            pinned = {s for s in self.owners if 0 <= now_ms - self._since[s] < self.policy.min_hold_ms}
        else:
            pinned = set(self.symbols)  # a node left: its symbols move, all others wait for the next rebalance
        by_node = {owner.node: owner for owner in open_nodes}
        free = [symbol for symbol in self.symbols if not self._stays_on_cordoned(symbol, live, cordoned)]
        chosen = assign(
            free,
            {owner.node: weight for owner, weight in open_nodes.items()},
            {symbol: owner.node for symbol, owner in self.owners.items() if owner in open_nodes},
            pinned=pinned,
            sticky=self.policy.sticky,
            load_factor=self.policy.load_factor,
        )
        moves = []
        for symbol in free:
            source, target = self.owners.get(symbol), by_node[chosen[symbol]]
            if source != target:
                reason = "orphan" if source not in live else "join" if joined else "rebalance"
                moves.append(Move(symbol, source, target, reason))
        return Plan(moves, rebalances, balanced=rebalances and not moves and not pinned)

    def step(self, now_ms: int, live: Mapping[Owner, float], cordoned: Collection[Owner] = ()) -> list[Move]:
        """Carry out the :meth:`plan` for this moment; return the moves, mostly none. Call it often."""
        plan = self.plan(now_ms, live, cordoned)
        self._live = frozenset(live)
        if plan.rebalances:
            self._rebalanced_at = now_ms
        if plan.rebalances or not self._shares[0]:
            self._shares = dict(live), frozenset(cordoned)
        if plan.moves:
            self._placed = self._balanced_for = None
        if plan.balanced:
            self._balanced_for = dict(live), frozenset(cordoned)
        for move in plan.moves:
            self.owners[move.symbol] = move.target
            # The first owner holds nothing back: otherwise the first node up would keep all symbols for a while.
            self._since[move.symbol] = now_ms if move.source else now_ms - self.policy.min_hold_ms
        return plan.moves

    def _orphaned(self, live: Mapping[Owner, float]) -> bool:
        """Whether a symbol has no live owner. It is asked at each poll, so it looks at every symbol only after a change."""
        if self._placed is None:
            owners = {self.owners.get(symbol) for symbol in self.symbols}
            if None in owners:
                return True
            self._placed = frozenset(owner for owner in owners if owner)
        return not self._placed <= live.keys()

    def _shares_changed(self, live: Mapping[Owner, float], cordoned: Collection[Owner]) -> bool:
        """Whether a node that was there at the last rebalance has another weight, or is cordoned or open since."""
        weights, before = self._shares
        return any(
            owner in weights and (weight != weights[owner] or (owner in cordoned) is not (owner in before))
            for owner, weight in live.items()
        )

    def _started_again(self, live: Mapping[Owner, float]) -> list[Move]:
        """The moves of symbols to the next process of the node that had them."""
        by_node = {owner.node: owner for owner in live}
        return [
            Move(symbol, source, by_node[source.node], "orphan")
            for symbol, source in self.owners.items()
            if source not in live and source.node in by_node
        ]

    def _stays_on_cordoned(self, symbol: Instrument, live: Mapping[Owner, float], cordoned: Collection[Owner]) -> bool:
        owner = self.owners.get(symbol)
        return owner in cordoned and owner in live
