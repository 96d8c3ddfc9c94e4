"""Why a symbol is where it is: the leading beat's decision, computed anew. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from functools import partial

from msgspec import Struct

from tickfence.coordination.assignment import assign, capacities
from tickfence.coordination.hrw import scores
from tickfence.instrument import Instrument


class Rules(Struct, frozen=True, rename="camel"):
    """What is decided by: see the settings of these names."""

    sticky: float
    load_factor: float
    min_hold_ms: int
    rebalance_interval_ms: int


class Candidate(Struct, frozen=True, rename="camel"):
    """One live node, as a place for the symbol.

    Attributes:
        score: of the two names alone, times the node's weight.
        bid: the score with the present owner's bonus; the highest bid that finds room wins.
        holds: symbols it would have.
        room: symbols it may have.
    """

    node: str
    weight: float
    score: float
    bid: float
    holds: int
    room: int

    @property
    def full(self) -> bool:
        return self.holds >= self.room


class Explanation(Struct, frozen=True):
    """Why one symbol is on one node.

    Attributes:
        owner: node the symbol is assigned to, alive or not.
        computed: node that the next rebalance would give it to, or, if its owner is not alive, the beat at once; ``None``
            without any live node.
        candidates: the live nodes, the highest bid first.
        because: the reason, in one sentence.
        orphan: whether its owner is not alive.
    """

    symbol: str
    owner: str | None
    computed: str | None
    candidates: list[Candidate]
    because: str
    orphan: bool = False

    @property
    def agrees(self) -> bool:
        """Whether nothing is to be done."""
        return self.owner == self.computed and not self.orphan


def explain_all(
    assigned: Mapping[Instrument, str], weights: Mapping[str, float], rules: Rules, gone: Collection[Instrument] = ()
) -> dict[Instrument, Explanation]:
    """Explain every symbol.

    Parameters:
        assigned: symbol -> node.
        weights: live node -> weight.
        gone: symbols of a process that is not alive, though another one of its name may be.
    """
    present = {symbol: node for symbol, node in assigned.items() if node in weights and symbol not in gone}
    choose = partial(assign, assigned, weights, sticky=rules.sticky, load_factor=rules.load_factor)
    # Orphans are given away while all others stay where they are; those wait for the next rebalance.
    placed = choose(present, pinned=assigned) if len(present) < len(assigned) else present
    settled = choose(placed)
    if not settled:
        return {
            symbol: Explanation(
                symbol, node, None, [], f"{node} is not alive, nor is any other node: it cannot move", orphan=True
            )
            for symbol, node in assigned.items()
        }
    symbols, nodes = sorted(assigned), sorted(weights)
    table = scores(symbols, nodes, [weights[node] for node in nodes])
    room = capacities(len(symbols), weights, rules.load_factor)
    counts = {True: Counter(placed.values()), False: Counter(settled.values())}
    found = {}
    for symbol, row in zip(symbols, table.tolist(), strict=True):
        orphan = symbol not in present
        bonus = {} if orphan else {present[symbol]: 1 + rules.sticky}
        holds = counts[orphan]
        candidates = [
            Candidate(node, weights[node], score, score * bonus.get(node, 1), holds[node], room[node])
            for node, score in zip(nodes, row, strict=True)
        ]
        candidates.sort(key=lambda one: (-one.bid, one.node))
        owner, computed = assigned[symbol], (placed if orphan else settled)[symbol]
        because = _because(owner, computed, candidates, rules, orphan=orphan)
        found[symbol] = Explanation(symbol, owner, computed, candidates, because, orphan)
    return found


def _because(owner: str, computed: str, candidates: list[Candidate], rules: Rules, *, orphan: bool) -> str:
    by_node = {one.node: one for one in candidates}
    passed_over = candidates[: [one.node for one in candidates].index(computed)]
    why = _why(by_node[computed], passed_over, candidates, rules, orphan=orphan)
    if orphan:
        whose = f"the process of {owner} that owns it" if owner in by_node else owner
        return f"{whose} is not alive; it goes to {computed} at once: {why}"
    if owner == computed:
        return f"{owner} owns it: {why}"
    wait = f"{rules.rebalance_interval_ms / 1000:g} s"
    return (
        f"it goes from {owner} to {computed} at the next rebalance, which is every {wait}, "
        f"once it has been held for {rules.min_hold_ms / 1000:g} s: {why}"
    )


def _why(
    best: Candidate, passed_over: list[Candidate], candidates: list[Candidate], rules: Rules, *, orphan: bool
) -> str:
    if len(candidates) == 1:
        return "there is no other live node"
    if passed_over:
        full = " and ".join(f"{one.node} ({one.holds} of {one.room})" for one in passed_over)
        are = "are" if len(passed_over) > 1 else "is"
        of_what = "" if orphan else " of symbols that score higher there"
        return f"{full} {are} full{of_what}, and of the others its score is the highest"
    higher = [one.node for one in candidates if one.score > best.score]
    if higher:
        return f"{' and '.join(higher)} would score higher, but by less than the {rules.sticky:.0%} bonus of the owner"
    return "its score is the highest"
