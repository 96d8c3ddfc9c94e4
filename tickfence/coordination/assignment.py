"""Which node each symbol belongs to: a pure function of names, weights and the present assignment."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping

import numpy as np

from tickfence.coordination.hrw import scores
from tickfence.instrument import Instrument


def capacities(symbols: int, weights: Mapping[str, float], load_factor: float) -> dict[str, int]:
    """How many symbols each node may hold.

    ``max(ceil(fair), floor(load_factor * fair))`` with ``fair = symbols * weight / sum(weights)``. Together the
    nodes can always hold every symbol. Source of the bound: V. Mirrokni, M. Thorup, M. Zadimoghaddam, "Consistent
    hashing with bounded loads" (2018).

    Args:
        symbols: number of symbols.
        weights: node -> weight (> 0).
        load_factor: how many fair shares a node may hold, at least 1.

    Returns:
        node -> number of symbols.

    Example:
        >>> capacities(6, {"node-001": 1, "node-002": 1, "node-003": 1}, load_factor=1.25)
        {'node-001': 2, 'node-002': 2, 'node-003': 2}
    """
    total = sum(weights.values())
    fair = {node: symbols * weight / total for node, weight in weights.items()}
    # Division may be off by its last bit: a share that is a whole number must stay one.
    return {n: max(math.ceil(f - 1e-9), math.floor(load_factor * f + 1e-9)) for n, f in fair.items()}


def assign(
    symbols: Collection[Instrument],
    nodes: Mapping[str, float],
    current: Mapping[Instrument, str],
    *,
    pinned: Collection[Instrument] = (),
    sticky: float = 0.02,
    load_factor: float = 1.25,
) -> dict[Instrument, str]:
    """Assign every symbol to a node by weighted HRW with bounded loads.

    Each symbol goes to the node on which it scores highest. If a node gets more than it may hold
    (:func:`capacities`), the symbols with the lowest scores go to their next choice, until all have a place (deferred
    acceptance: D. Gale, L. Shapley, 1962). The result does not depend on the order of symbols and nodes.

    Args:
        symbols: names, each once.
        nodes: live node -> weight (> 0).
        current: symbol -> node that has it now; nodes that are not in ``nodes`` are ignored.
        pinned: symbols that stay on their node if it is live, whatever the scores and the bound say.
        sticky: bonus on the score of the node that has the symbol now; 0.02 is 2 %.
        load_factor: how many fair shares a node may hold, at least 1.

    Returns:
        symbol -> node; empty if there is no node.

    Example:
        >>> assign(["BTCUSDT", "ETHUSDT"], {"node-001": 1, "node-002": 1}, {})
        {'BTCUSDT': 'node-001', 'ETHUSDT': 'node-002'}
    """
    if not nodes:
        return {}
    staying = frozenset(pinned)
    kept = {symbol: current[symbol] for symbol in symbols if symbol in staying and current.get(symbol) in nodes}
    held = Counter(kept.values())
    rows, columns = sorted(symbol for symbol in symbols if symbol not in kept), sorted(nodes)
    position = {node: i for i, node in enumerate(columns)}
    score = scores(rows, columns, [nodes[node] for node in columns])
    for row, symbol in enumerate(rows):
        present = position.get(current.get(symbol, ""))
        if present is not None:
            score[row, present] *= 1 + sticky
    room = {node: max(0, most - held[node]) for node, most in capacities(len(symbols), nodes, load_factor).items()}
    while True:
        choice = score.argmax(axis=1)
        refused = False
        for column, node in enumerate(columns):
            members = np.flatnonzero(choice == column)
            if len(members) <= room[node]:
                continue
            ranked = members[np.argsort(-score[members, column], kind="stable")]
            losers = ranked[room[node] :]
            score[losers, column] = -math.inf
            refused = True
        if not refused:
            return kept | {symbol: columns[choice[row]] for row, symbol in enumerate(rows)}
