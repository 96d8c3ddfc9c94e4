"""``celery explain``: why this node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from rich.console import Group, RenderableType

from tickfence.cli import session
from tickfence.cli.explain import Explanation, Rules, explain_all
from tickfence.cli.fitting_table import Column, FittingTable
from tickfence.cli.session import NothingThere, View, unknown_symbol
from tickfence.cli.state import State, read_state
from tickfence.cli.style import coloured, duration, node_colours
from tickfence.instrument import Instrument
from tickfence.settings import Settings
from tickfence.timeline import events
from tickfence.timeline.events import Kind


class LastMove(NamedTuple):
    """The last time the symbol changed hands, as far as is known."""

    at_ms: int
    reason: str
    before: str | None
    now: str | None


def run(symbols: Sequence[Instrument], *, as_json: bool, watch: bool) -> None:
    """Show it."""
    wanted = list(dict.fromkeys(map(session.symbol_named, symbols)))
    session.run("explain", lambda client, settings: look(client, settings, wanted), as_json=as_json, watch=watch)


def look(client: Any, settings: Settings, symbols: Sequence[Instrument]) -> View:
    """Read what the beat decides by, and decide."""
    state = read_state(client, settings)
    assigned = {symbol: owner.node for symbol, owner in state.assignment.owners.items()}
    if not assigned:
        if not settings.nt_enable_multi_instance:
            raise NothingThere(session.NO_COORDINATION)
        raise NothingThere("no symbol is assigned: no beat leads here, or no node has come yet")
    for symbol in symbols:
        if symbol not in assigned:
            raise unknown_symbol(symbol, list(assigned))
    rules = _rules(settings)
    moves = _last_moves(client, symbols)
    live = {node.record.owner for node in state.nodes if node.state == "alive"}
    gone = {symbol for symbol, owner in state.assignment.owners.items() if owner not in live}
    found = explain_all(assigned, state.weights(), rules, gone)
    data = [_data(state, found[symbol], moves.get(symbol), rules) for symbol in symbols]
    pictures = [_picture(state, found[symbol], moves.get(symbol), rules) for symbol in symbols]
    return View(data, Group(*pictures))


def _rules(settings: Settings) -> Rules:
    return Rules(
        settings.nt_hrw_sticky_pct,
        settings.nt_hrw_load_factor,
        settings.nt_min_hold_ms,
        settings.nt_rebalance_interval_ms,
    )


def _last_moves(client: Any, symbols: Sequence[Instrument]) -> dict[str, LastMove]:
    found: dict[str, LastMove] = {}
    for event in reversed(events.read(client, limit=events.KEPT)):
        if len(found) == len(symbols):
            break
        moves = event.moves if event.kind == Kind.MOVED else {}
        for symbol in moves.keys() & set(symbols) - found.keys():
            found[symbol] = LastMove(event.at_ms, event.reason, *moves[symbol])
    return found


def _held_ms(state: State, move: LastMove | None, rules: Rules) -> int:
    """How long it stays for sure; a first owner is held to nothing."""
    if move is None or move.before is None:
        return 0
    return max(0, move.at_ms + rules.min_hold_ms - state.now_ms)


def _data(state: State, found: Explanation, move: LastMove | None, rules: Rules) -> dict[str, Any]:
    return {
        "symbol": found.symbol,
        "owner": found.owner,
        "computed": found.computed,
        "agrees": found.agrees,
        "because": found.because,
        "generation": state.assignment.generation,
        "nodes": msgspec.to_builtins(found.candidates),
        "heldForMs": _held_ms(state, move, rules),
        "lastMove": move and {"at": move.at_ms, "reason": move.reason, "from": move.before, "to": move.now},
        "rules": msgspec.to_builtins(rules),
    }


def _picture(state: State, found: Explanation, move: LastMove | None, rules: Rules) -> RenderableType:
    colours = node_colours([one.node for one in found.candidates])
    owner = coloured(found.owner, colours.get(found.owner or "", "bold red"))
    table = FittingTable(
        Column("node"),
        Column("score", right=True),
        Column(f"with the owner's {rules.sticky:.0%}", right=True, spare=3),
        Column("weight", right=True, spare=4),
        Column("symbols", right=True, spare=1),
        Column("room for", right=True, spare=2),
        Column(),
        title=f"{found.symbol} is on {owner}",
        caption=_caption(state, found, move, rules),
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


def _caption(state: State, found: Explanation, move: LastMove | None, rules: Rules) -> str:
    lines = [f"Why: {found.because}."]
    if move is not None:
        where = f"from {move.before} " if move.before else ""
        lines.append(f"It came {where}{duration(state.now_ms - move.at_ms)} ago: {move.reason}.")
    if held := _held_ms(state, move, rules):
        lines.append(f"It is held for another {duration(held)}.")
    return "\n".join(lines)
