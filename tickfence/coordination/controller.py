"""The assignment over time: who moves, when, and why. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from tickfence.coordination.assignment import assign
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument


class MoveReason(StrEnum):
    """Why the assignment changed."""

    FIRST = "first assignment"
    JOINED = "node joined"
    LEFT = "node left"
    DIED = "node died"
    SILENT = "node silent"
    REBALANCE = "rebalance"
    SYMBOLS = "symbols changed"
    DATA_LOST = "data lost"  # Redis came back without what was published


@dataclass(frozen=True)
class MovePolicy:
    """When symbols may move of their own accord. Orphans never wait for any of it.

    Parameters:
        sticky: score bonus of the present owner (0.02 is 2 %).
        load_factor: how many fair shares a node may hold.
        min_hold_ms: how long a symbol stays before a voluntary move; not counted for its very first owner.
        rebalance_interval_ms: how often voluntary moves are looked for when no node came or went.
    """

    sticky: float = 0.02
    load_factor: float = 1.25
    min_hold_ms: int = 2000
    rebalance_interval_ms: int = 2500


class Move(NamedTuple):
    """One symbol's change of hands. ``source`` is ``None`` for a symbol that had no owner."""

    symbol: Instrument
    source: Owner | None
    target: Owner
    reason: str


class AssignmentController:
    """Keeps symbol -> owner in step with the live nodes.

    :meth:`step` is called often and answers with the moves to make, mostly none. Reasons: ``orphan`` (its owner is
    gone, or it never had one), ``join`` (a node came) and ``rebalance`` (better placed elsewhere).

    Example:
        >>> controller = AssignmentController(["BTCUSDT"], MovePolicy())
        >>> controller.step(0, {Owner("node-001", "a"): 1.0})
        [Move(symbol='BTCUSDT', source=None, target=Owner(node='node-001', incarnation='a'), reason='orphan')]
    """

    def __init__(self, symbols: Collection[Instrument], policy: MovePolicy) -> None:
        self.symbols = tuple(symbols)
        self.policy = policy
        self.owners: dict[Instrument, Owner] = {}
        self._since: dict[Instrument, int] = {}
        self._live: frozenset[Owner] = frozenset()
        self._rebalanced = 0

    def adopt(self, owners: Mapping[Instrument, Owner], now_ms: int) -> None:
        """Start from an assignment that is in force already, as a new leader does."""
        self.owners = {symbol: owners[symbol] for symbol in self.symbols if symbol in owners}
        self._since = dict.fromkeys(self.owners, now_ms)
        self._live = frozenset(self.owners.values())
        self._rebalanced = now_ms

    def step(self, now_ms: int, live: Mapping[Owner, float]) -> list[Move]:
        """Bring the assignment in step with ``live`` (owner -> weight; one owner a node id) and tell what moved.

        With nobody live nothing moves: there is nowhere to go.
        """
        came = live.keys() - self._live
        orphaned = any(self.owners.get(symbol) not in live for symbol in self.symbols)
        overdue = now_ms - self._rebalanced >= self.policy.rebalance_interval_ms
        self._live = frozenset(live)
        if not live or not (came or orphaned or overdue):
            return []

        if came or overdue:
            self._rebalanced = now_ms
            pinned = {s for s in self.owners if now_ms - self._since[s] < self.policy.min_hold_ms}
        else:
            pinned = set(self.symbols)  # a node left: its symbols move, all others wait for the next rebalance
        by_node = {owner.node: owner for owner in live}
        chosen = assign(
            self.symbols,
            {owner.node: weight for owner, weight in live.items()},
            {symbol: owner.node for symbol, owner in self.owners.items() if owner in live},
            pinned=pinned,
            sticky=self.policy.sticky,
            load_factor=self.policy.load_factor,
        )
        moves = []
        for symbol in self.symbols:
            source, target = self.owners.get(symbol), by_node[chosen[symbol]]
            if source == target:
                continue
            reason = "orphan" if source not in live else "join" if came else "rebalance"
            moves.append(Move(symbol, source, target, reason))
            self.owners[symbol] = target
            # A first owner is held to nothing: at start the first node up would keep all symbols for a while.
            self._since[symbol] = now_ms if source else now_ms - self.policy.min_hold_ms
        return moves
