"""The nodes and the leading beat, as clients get them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from tickfence.coordination.membership import NodeState
from tickfence.readers.cluster import Cluster
from tickfence.timeline.text import leader_name


class Node(Struct, frozen=True, rename="camel", gc=False):
    """One node, one process start."""

    node: str
    host: str
    pid: int
    incarnation: str
    heartbeat_age_ms: Annotated[int, Meta(ge=0)]
    symbols: Annotated[int, Meta(ge=0, description="How many symbols are assigned to it.")]
    reports_per_sec: Annotated[
        float | None, Meta(description="Reports of it in the last second; null while no stream of all symbols is open.")
    ]
    weight: Annotated[float, Meta(description="What operators want, else NT_NODE_WEIGHT.")]
    alive: Annotated[
        bool,
        Meta(description="Its heartbeat is younger than NT_HEARTBEAT_TTL_MS, and its connection to Redis is open."),
    ]
    state: Annotated[
        NodeState,
        Meta(
            description="Alive: `alive`; `cordoned`: it gets no further symbols; `drained`: it is to have none; "
            "`stuck`: it does not work. Not alive: `left` in order; `gone`: its connection is closed; `silent`: no heartbeat."
        ),
    ]


class Leader(Struct, frozen=True, gc=False):
    """The beat that leads."""

    leader: Annotated[str, Meta(description="Its name and its incarnation, which every start changes.")]
    name: Annotated[str, Meta(description="What operators call it: NT_NAME, or beat@host and the incarnation's start.")]
    term: int


class Nodes(Struct, frozen=True, rename="camel"):
    """The nodes, sorted by id, and the beat that leads, null while none does."""

    now: int
    nodes: list[Node]
    leader: Leader | None
    reports_per_sec: Annotated[
        float | None,
        Meta(description="Reports of all writers in the last second; null while no stream of all symbols is open."),
    ] = None


def nodes_of(cluster: Cluster, rates: Mapping[str, float] | None) -> Nodes:
    """Return the nodes that have a heartbeat, and the leader.

    Args:
        cluster: The state.
        rates: The reports a second of each writer; ``None`` if they are not known.
    """
    nodes = [
        Node(
            node=node.name,
            host=node.record.host,
            pid=node.record.pid,
            incarnation=node.record.owner.incarnation,
            heartbeat_age_ms=node.heartbeat_age_ms,
            symbols=len(node.symbols),
            reports_per_sec=None if rates is None else round(rates.get(node.name, 0.0), 1),
            weight=node.weight,
            alive=node.alive,
            state=node.state,
        )
        for node in cluster.nodes
        if node.heartbeat_age_ms is not None
    ]
    leader = cluster.leader
    total = None if rates is None else round(sum(rates.values()), 1)
    return Nodes(cluster.now_ms, nodes, leader and Leader(leader.name, leader_name(leader.name), leader.term), total)
