"""``celery nodes``: the nodes and the leading beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.markup import escape

from tickfence.cli import session
from tickfence.cli.fitting import Column, FittingTable
from tickfence.cli.session import NothingThere, View
from tickfence.cli.style import STATUS, coloured, duration, node_colours
from tickfence.coordination.membership import NodeState
from tickfence.readers.cluster import Cluster, ClusterNode, read_cluster
from tickfence.settings import Settings
from tickfence.timeline.text import leader_name

_NAMED = 8
_OTHERS_NAMED = 2
_STATES = {NodeState.LEFT: "stopped"}
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


def read(client: Any, settings: Settings) -> View:
    """Read the nodes and the leading beat.

    Raises:
        NothingThere: There is none.
    """
    cluster = read_cluster(client, settings)
    if not cluster.nodes and cluster.leader is None:
        if not settings.nt_enable_multi_instance:
            raise NothingThere(session.NO_COORDINATION)
        raise NothingThere(
            "there is no node and no beat in this Redis. For the stack of `make run`, set its addresses first: . .local/env"
        )
    return View(_data(cluster), _table(cluster))


def _data(cluster: Cluster) -> dict[str, Any]:
    leader, left_ms = cluster.leader, _left_ms(cluster)
    return {
        "leader": leader
        and {"leader": leader.name, "name": leader_name(leader.name), "term": leader.term, "leftMs": left_ms},
        "shards": leader and [{"beat": lead.beat, "term": lead.term} for lead in leader.shards.leads],
        "generation": cluster.assignment.generation,
        "nodes": [
            {
                "node": node.name,
                "state": str(node.state),
                "host": node.record.host,
                "pid": node.record.pid,
                "incarnation": node.record.owner.incarnation,
                "startedAt": node.record.started_at,
                "heartbeatAgeMs": node.heartbeat_age_ms,
                "weight": node.weight,
                "metricsUrl": node.record.metrics_url,
                "symbols": list(node.symbols),
            }
            for node in cluster.nodes
        ],
    }


def _table(cluster: Cluster) -> FittingTable:
    leader, left_ms = cluster.leader, _left_ms(cluster)
    if leader is None:
        caption = "[bold red]no beat leads[/]"
    else:
        caption = (
            f"{escape(leader_name(leader.name))} leads, term {leader.term}, for {duration(left_ms)} unless renewed"
        )
        if len(leader.shards.leads) > 1:
            *others, last = sorted({leader_name(lead.beat) for lead in leader.shards.leads})
            senders = f"{', '.join(others)} and {last} send" if others else f"{last} sends"
            caption += f", {escape(senders)}"
    table = FittingTable(*_COLUMNS, title=_working(cluster.nodes), caption=caption)
    colours = node_colours([node.name for node in cluster.nodes])
    for node in cluster.nodes:
        record = node.record
        table.add_row(
            coloured(node.name, colours[node.name]),
            coloured(node.state, STATUS[node.state]),
            escape(record.host),
            str(record.pid or ""),
            duration(cluster.now_ms - record.started_at) if record.started_at and node.alive else "",
            "none" if node.heartbeat_age_ms is None else f"{duration(node.heartbeat_age_ms)} ago",
            f"{node.weight:g}",
            _symbols(node),
        )
    return table


def _working(nodes: Sequence[ClusterNode]) -> str:
    """How many nodes work, and what is with the others, like "2 of 3 nodes work, node-003 is stuck"."""
    others: dict[NodeState, list[str]] = {}
    for node in nodes:
        if node.state != NodeState.ALIVE:
            others.setdefault(node.state, []).append(node.name)
    what = [
        f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} {_STATES.get(state, state)}"
        if len(names) <= _OTHERS_NAMED
        else f"{len(names)} are {_STATES.get(state, state)}"
        for state, names in others.items()
    ]
    return ", ".join([f"{sum(node.works for node in nodes)} of {len(nodes)} nodes work", *what])


def _left_ms(cluster: Cluster) -> int:
    """Time until the lead ends unless it is renewed."""
    return cluster.leader.until_ms - cluster.now_ms if cluster.leader else 0


def _symbols(node: ClusterNode) -> str:
    named = " ".join(node.symbols[:_NAMED])
    return f"{len(node.symbols)}: {named}{' ...' if len(node.symbols) > _NAMED else ''}" if node.symbols else "0"
