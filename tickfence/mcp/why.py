"""What the cluster says about one symbol that lacks a report: facts, one a line."""

from __future__ import annotations

from tickfence.analytics.freshness import explained
from tickfence.instrument import Instrument
from tickfence.readers.cluster import Cluster
from tickfence.readers.data_plane import Unavailable
from tickfence.readers.reader import NoReport, Reader, UnknownName
from tickfence.readers.reports import BadReport
from tickfence.timeline.text import leader_name


async def facts(reader: Reader, symbol: str) -> list[str]:
    """Return what is known of the report of ``symbol``, of the node that should write it, and of the beat that leads."""
    try:
        cluster = await reader.cluster()
        found = await reader.report(symbol)
    except Unavailable as error:
        return [f"nothing can be read: {error}"]
    except UnknownName as error:
        return [str(error)]
    except (NoReport, BadReport) as error:
        report = str(error)
    else:
        fresh = found.fresh
        age = f"was written {fresh.report_age_ms} ms ago by {found.head.writer.node_id}"
        report = f"the report {age}, {f'stale: {fresh.reason}' if fresh.stale else f'fresh, status {fresh.status}'}"
    return [report, _placed(cluster, Instrument(symbol)), _led(cluster)]


def _placed(cluster: Cluster, symbol: Instrument) -> str:
    if idle := cluster.idle.get(symbol):
        return explained(idle)
    name = cluster.node_of(symbol)
    if name is None:
        living = sum(node.works for node in cluster.nodes)
        return f"no node has the symbol; {living} of {len(cluster.nodes)} nodes may have symbols"
    node = next((node for node in cluster.nodes if node.name == name), None)
    if node is None:
        return f"{name} has the symbol, and that node is not known"
    age = "no heartbeat" if node.heartbeat_age_ms is None else f"last heartbeat {node.heartbeat_age_ms} ms ago"
    return f"{name} has the symbol; that node is {node.state.value}, {age}"


def _led(cluster: Cluster) -> str:
    return (
        f"{leader_name(cluster.leader.name)} leads and dispatches"
        if cluster.leader
        else "no beat leads: nothing is dispatched"
    )
