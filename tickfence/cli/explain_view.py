"""``celery explain``: why a symbol is on its node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import click
import msgspec
from rich.console import Group, RenderableType
from rich.markup import escape

from tickfence.analytics.freshness import explained
from tickfence.cli import session
from tickfence.cli.explain import Explanation, explain_all
from tickfence.cli.fitting import Column, FittingTable
from tickfence.cli.session import NothingThere, View
from tickfence.cli.style import coloured, duration, node_colours
from tickfence.coordination.controller import MovePolicy
from tickfence.instrument import Instrument
from tickfence.readers.cluster import Cluster, read_cluster
from tickfence.readers.reader import UnknownSymbol
from tickfence.settings import Settings
from tickfence.timeline import events
from tickfence.timeline.events import Kind


class LastMove(NamedTuple):
    """The symbol's last known change of owner.

    Attributes:
        at_ms: When, server ms.
        reason: Why.
        before: The node that owned it before, if any.
        now: The node that owns it since.
    """

    at_ms: int
    reason: str
    before: str | None
    now: str | None


def read(client: Any, settings: Settings, symbols: Sequence[Instrument]) -> View:
    """Read what the leading beat decides by, and explain ``symbols``.

    Raises:
        NothingThere: No symbol is assigned, or one is idle.
        click.BadParameter: A symbol is unknown.
    """
    cluster = read_cluster(client, settings)
    owners = cluster.assignment.owners
    if not owners:
        unassigned = "no symbol is assigned: no beat leads, or no node has joined yet"
        raise NothingThere(unassigned if settings.nt_enable_multi_instance else session.NO_COORDINATION)
    for symbol in symbols:
        if symbol in cluster.idle:
            raise NothingThere(f"{symbol} is on no node: {explained(cluster.idle[symbol])}")
        if symbol not in owners:
            raise click.BadParameter(str(UnknownSymbol(symbol, sorted(owners))))
    policy = MovePolicy.of(settings)
    moves = _last_moves(client, settings, symbols)
    found = explain_all(owners, cluster.eligible(), policy, cluster.cordoned())
    data = [_data(cluster, found[symbol], moves.get(symbol), policy) for symbol in symbols]
    pictures = [_picture(cluster, found[symbol], moves.get(symbol), policy) for symbol in symbols]
    return View(data, Group(*pictures))


def _last_moves(client: Any, settings: Settings, symbols: Sequence[Instrument]) -> dict[str, LastMove]:
    found: dict[str, LastMove] = {}
    for event in reversed(events.read(client, settings.keys, limit=events.KEPT)):
        if len(found) == len(symbols):
            break
        moves = event.moves if event.kind == Kind.MOVED else {}
        for symbol in moves.keys() & set(symbols) - found.keys():
            found[symbol] = LastMove(event.at_ms, event.reason, *moves[symbol])
    return found


def _held_ms(cluster: Cluster, move: LastMove | None, policy: MovePolicy) -> int:
    """How long it certainly stays. A symbol may leave its first owner at any time."""
    if move is None or move.before is None:
        return 0
    return max(0, move.at_ms + policy.min_hold_ms - cluster.now_ms)


def _data(cluster: Cluster, found: Explanation, move: LastMove | None, policy: MovePolicy) -> dict[str, Any]:
    return {
        "symbol": found.symbol,
        "owner": found.owner,
        "computed": found.computed,
        "agrees": found.agrees,
        "because": found.because,
        "generation": cluster.assignment.generation,
        "nodes": msgspec.to_builtins(found.candidates),
        "heldForMs": _held_ms(cluster, move, policy),
        "lastMove": move and {"at": move.at_ms, "reason": move.reason, "from": move.before, "to": move.now},
        "rules": {
            "sticky": policy.sticky,
            "loadFactor": policy.load_factor,
            "minHoldMs": policy.min_hold_ms,
            "rebalanceIntervalMs": policy.rebalance_interval_ms,
        },
    }


def _picture(cluster: Cluster, found: Explanation, move: LastMove | None, policy: MovePolicy) -> RenderableType:
    colours = node_colours([one.node for one in found.candidates])
    owner = coloured(found.owner, colours.get(found.owner or "", "bold red"))
    table = FittingTable(
        Column("node"),
        Column("score", right=True),
        Column(f"with the owner's {policy.sticky:.0%}", right=True, spare=3),
        Column("weight", right=True, spare=4),
        Column("symbols", right=True, spare=1),
        Column("room for", right=True, spare=2),
        Column(),
        title=f"{escape(found.symbol)} is on {owner}",
        caption=_caption(cluster, found, move, policy),
        caption_justify="left",
    )
    for one in found.candidates:
        bonus = f"{one.bid:.4f}" if one.bid != one.score else ""
        full = one.full and one.node not in (found.owner, found.computed)
        mark = "owner" if one.node == found.owner else "next owner" if one.node == found.computed else ""
        table.add_row(
            coloured(one.node, colours[one.node]),
            f"{one.score:.4f}",
            bonus,
            f"{one.weight:g}",
            str(one.holds),
            str(one.room),
            mark or ("full" if full else ""),
        )
    return table


def _caption(cluster: Cluster, found: Explanation, move: LastMove | None, policy: MovePolicy) -> str:
    lines = [f"Why: {found.because}."]
    if move is not None:
        where = f"from {move.before} " if move.before else ""
        lines.append(f"It came {where}{duration(cluster.now_ms - move.at_ms)} ago: {move.reason}.")
    if held := _held_ms(cluster, move, policy):
        lines.append(f"It is held for another {duration(held)}.")
    return "\n".join(lines)
