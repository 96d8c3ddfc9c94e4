"""Why a symbol is on its node: the decision of the leading beat, with the numbers behind it. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from msgspec import Struct

from tickfence.coordination.assignment import capacities
from tickfence.coordination.controller import AssignmentController, MovePolicy
from tickfence.coordination.hrw import scores
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument


class Candidate(Struct, frozen=True, rename="camel"):
    """One live node that could own the symbol: its owner, or one that is not cordoned.

    Attributes:
        node: Its node id.
        weight: Its weight.
        score: The HRW score of symbol and node; it includes the weight.
        bid: The score with the present owner's bonus. The highest bid that finds room wins.
        holds: Symbols that it would have.
        room: Symbols that it may have.
    """

    node: str
    weight: float
    score: float
    bid: float
    holds: int
    room: int

    @property
    def full(self) -> bool:
        """Whether it takes no more symbols."""
        return self.holds >= self.room


class Explanation(Struct, frozen=True):
    """Why one symbol is on one node.

    Attributes:
        symbol: The symbol.
        owner: The node it is assigned to, alive or not.
        computed: The node that it goes to: at the next rebalance, or at once if its owner is not alive. ``None`` if no
            node may take it.
        candidates: The live nodes, the highest bid first.
        because: The reason, in one sentence.
        orphan: Whether its owner is not alive.
    """

    symbol: str
    owner: str | None
    computed: str | None
    candidates: list[Candidate]
    because: str
    orphan: bool = False

    @property
    def agrees(self) -> bool:
        """Whether it stays where it is."""
        return self.owner == self.computed and not self.orphan


def explain_all(
    owners: Mapping[Instrument, Owner],
    live: Mapping[Owner, float],
    policy: MovePolicy,
    cordoned: Collection[Owner] = (),
) -> dict[Instrument, Explanation]:
    """Explain every symbol: the controller plans on a copy of the assignment, as the leading beat does.

    Args:
        owners: Symbol -> owner, as assigned.
        live: Live owner -> weight.
        policy: What the beat decides by.
        cordoned: Those of ``live`` that keep their symbols and get no more.
    """
    open_nodes = {owner.node: weight for owner, weight in live.items() if owner not in cordoned}
    controller = AssignmentController(sorted(owners), policy)
    controller.adopt(owners, 0, known=live)
    controller.step(0, live, cordoned)  # moves the orphans; all others wait for the next rebalance
    placed = {symbol: owner.node for symbol, owner in controller.owners.items()}
    next_rebalance = max(policy.rebalance_interval_ms, policy.min_hold_ms)
    plan = controller.plan(next_rebalance, live, cordoned)
    settled = placed | {move.symbol: move.target.node for move in plan.moves}
    weights = {owner.node: weight for owner, weight in live.items()}
    symbols, nodes = sorted(owners), sorted(weights)
    table = scores(symbols, nodes, [weights[node] for node in nodes])
    counts = {True: Counter(placed.values()), False: Counter(settled.values())}
    kept = sum(owner in live and owner in cordoned for owner in owners.values())
    room = {
        **counts[False],  # of a cordoned owner: no more than it has
        **(capacities(len(symbols) - kept, open_nodes, policy.load_factor) if open_nodes else {}),
    }
    found = {}
    for symbol, row in zip(symbols, table.tolist(), strict=True):
        owner = owners[symbol].node
        orphan = owners[symbol] not in live
        bonus = {} if orphan else {owner: 1 + policy.sticky}
        holds = counts[orphan]
        candidates = [
            Candidate(node, weights[node], score, score * bonus.get(node, 1), holds[node], room[node])
            for node, score in zip(nodes, row, strict=True)
            if node in open_nodes or (node == owner and not orphan)
        ]
        candidates.sort(key=lambda one: (-one.bid, one.node))
        computed = (placed if orphan else settled)[symbol] if open_nodes or not orphan else None
        if computed is None:
            others = "every live node is cordoned" if live else "no other node may have it"
            because = f"{owner} is not alive and {others}: it cannot move"
        elif not orphan and owners[symbol] in cordoned:
            because = f"{owner} owns it, and is cordoned: it keeps its symbols and gets no more"
        else:
            because = _because(owner, computed, candidates, policy, orphan=orphan)
        found[symbol] = Explanation(symbol, owner, computed, candidates, because, orphan)
    return found


def _because(owner: str, computed: str, candidates: list[Candidate], policy: MovePolicy, *, orphan: bool) -> str:
    by_node = {one.node: one for one in candidates}
    passed_over = candidates[: [one.node for one in candidates].index(computed)]
    why = _why(by_node[computed], passed_over, candidates, policy, orphan=orphan)
    if orphan:
        process = f"the process of {owner} that owns it" if owner in by_node else owner
        return f"{process} is not alive; it goes to {computed} at once: {why}"
    if owner == computed:
        return f"{owner} owns it: {why}"
    return (
        f"it moves from {owner} to {computed} at the next rebalance (every {policy.rebalance_interval_ms / 1000:g} s), "
        f"once {owner} has held it for {policy.min_hold_ms / 1000:g} s: {why}"
    )


def _why(
    best: Candidate, passed_over: list[Candidate], candidates: list[Candidate], policy: MovePolicy, *, orphan: bool
) -> str:
    if len(candidates) == 1:
        return "no other node may have it"
    if passed_over:
        full = " and ".join(f"{one.node} ({one.holds} of {one.room})" for one in passed_over)
        are = "are" if len(passed_over) > 1 else "is"
        of_what = "" if orphan else " of symbols that score higher there"
        return f"{full} {are} full{of_what}, and of the others its score is the highest"
    higher = [one.node for one in candidates if one.score > best.score]
    if higher:
        return f"{' and '.join(higher)} would score higher, but by less than the {policy.sticky:.0%} bonus of the owner"
    return "its score is the highest"
