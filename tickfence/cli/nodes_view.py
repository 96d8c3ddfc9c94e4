"""``celery nodes``: the nodes, and which beat leads."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from tickfence.cli import session
from tickfence.cli.fitting_table import Column, FittingTable
from tickfence.cli.session import NothingThere, View
from tickfence.cli.state import NodeState, State, read_state
from tickfence.cli.style import STATUS, coloured, duration, node_colours
from tickfence.settings import Settings

_NAMED = 8
_COLUMNS = (
    Column("node"),
    Column("state"),
    Column("host", spare=3),
    Column("pid", right=True, spare=4),
    Column("up for", right=True, spare=2),
    Column("heartbeat", right=True, spare=1),
    Column("weight", right=True, spare=5),
    Column("symbols", wraps=16),
)


def run(*, as_json: bool, watch: bool) -> None:
    """Show it."""
    session.run("nodes", look, as_json=as_json, watch=watch)


def look(client: Any, settings: Settings) -> View:
    """Read it."""
    state = read_state(client, settings)
    if not state.nodes and state.lead is None:
        if not settings.nt_enable_multi_instance:
            raise NothingThere(session.NO_COORDINATION)
        raise NothingThere(
            "there is no node and no beat in this Redis. Beside `make run`, tell which Redis that uses: . .local/env"
        )
    return View(_data(state), _table(state))


def _data(state: State) -> dict[str, Any]:
    lead = state.lead
    return {
        "leader": None if lead is None else {"leader": lead.leader, "term": lead.term, "leftMs": lead.left_ms},
        "generation": state.assignment.generation,
        "nodes": [
            {
                "node": node.name,
                "state": node.state,
                "host": node.record.host,
                "pid": node.record.pid,
                "incarnation": node.record.owner.incarnation,
                "startedAt": node.record.started_at,
                "heartbeatAgeMs": node.heartbeat_age_ms,
                "weight": node.record.weight,
                "metricsUrl": node.record.metrics_url,
                "symbols": list(node.symbols),
            }
            for node in state.nodes
        ],
    }


def _table(state: State) -> FittingTable:
    lead = state.lead
    if lead is None:
        caption = "[bold red]no beat leads[/]"
    else:
        caption = f"{escape(lead.leader)} leads, term {lead.term}, for {duration(lead.left_ms)} unless renewed"
    live = sum(node.state == "alive" for node in state.nodes)
    table = FittingTable(*_COLUMNS, title=f"{live} live nodes", caption=caption)
    colours = node_colours([node.name for node in state.nodes])
    for node in state.nodes:
        record = node.record
        table.add_row(
            coloured(node.name, colours[node.name]),
            coloured(node.state, STATUS[node.state]),
            escape(record.host),
            str(record.pid or ""),
            duration(state.now_ms - record.started_at) if record.started_at and node.state == "alive" else "",
            "none" if node.heartbeat_age_ms is None else f"{duration(node.heartbeat_age_ms)} ago",
            f"{record.weight:g}",
            _symbols(node),
        )
    return table


def _symbols(node: NodeState) -> str:
    named = " ".join(node.symbols[:_NAMED])
    return f"{len(node.symbols)}: {named}{' ...' if len(node.symbols) > _NAMED else ''}" if node.symbols else "0"
