"""The example answers of the API's description."""

from __future__ import annotations

from tickfence.analytics.flow import Flow
from tickfence.analytics.freshness import Freshness
from tickfence.analytics.health import Component, Health
from tickfence.analytics.report import SCHEMA_VERSION, Depth, Ingestion, Level, Writer
from tickfence.coordination.membership import NodeState
from tickfence.readers.reports import FreshReport
from tickfence.readers.rows import Row
from tickfence.web.board import Absent, Outage, Rows, State
from tickfence.web.events import Event
from tickfence.web.nodes import Leader, Node, Nodes
from tickfence.web.problems import Kind, problem

AT = 1_700_000_000_000
_LEADER = Leader("beat-1/7c4f9a1be2d43786", "beat-1", AT - 90_000)

REPORT = FreshReport(
    schema_version=SCHEMA_VERSION,
    writer=Writer("node-002", AT - 60_000),
    updated_at=AT,
    symbol="BTCUSDT",
    venue="binance",
    base="BTC",
    quote="USDT",
    generated_at="2023-11-14T22:13:20.000Z",
    data_age_ms=42,
    ingestion=Ingestion("ok", True, AT + 3, AT - 42, "trading"),
    last_price=67_123.45,
    change_24h_pct=-1.5,
    best_bid=Level(67_123.4, 1.25),
    best_ask=Level(67_123.5, 0.75),
    spread_bps=0.0149,
    mid_price=67_123.45,
    micro_price=67_123.4625,
    depth=Depth([Level(67_123.4, 1.25)], [Level(67_123.5, 0.75)], 1.25, 0.75, 0.25),
    flow=Flow(30, 12.4, -3.25),
    health=Health(95.0, [Component("freshness", 40), Component("spread", 30), Component("anomalies", 25)]),
    freshness=Freshness(AT + 120, 120, 162, "ok", False),
)
ROW = Row(
    *(
        "BTCUSDT",
        "ok",
        67_123.45,
        -1.5,
        0.0149,
        0.25,
        -3.25,
        12.4,
        30,
        95.0,
        162,
        "node-002",
        AT - 60_000,
        AT,
        "trading",
    ),
    *("binance", "BTC-USDT"),
)
NODES = Nodes(
    AT, [Node("node-002", "host-1", 4242, "5f0c9a1be2d43786", 110, 2, 8.0, 1.0, True, NodeState.ALIVE)], _LEADER
)
EVENT = Event(
    f"{AT - 60_000}-0",
    AT - 60_000,
    "moved",
    "node died",
    "A node died: BTCUSDT from node-003 to node-002.",
    generation=AT - 60_001,
    moves={"BTCUSDT": ("node-003", "node-002")},
    by=_LEADER.leader,
    term=_LEADER.term,
)
STATE = State(AT, 250, [ROW], NODES.nodes, NODES.leader, [EVENT])
ROWS = Rows(AT, [ROW])
OUTAGE = Outage(1_020, "Redis is away: no answer within 2 s")
ABSENT = Absent(AT, "BTCUSDT", "BTCUSDT has no report now")

PROBLEMS = {
    401: problem(Kind.TOKEN_NEEDED, "send the header Authorization: Bearer <token>, with the value of NT_WEB_TOKEN"),
    404: problem(Kind.UNKNOWN_SYMBOL, "there is no symbol 'BTCUSD'; there are BTCUSDT", ["BTCUSDT"]),
    422: problem(Kind.BAD_PARAMETER, "there is no parameter 'symbol'; there are symbols"),
    429: problem(Kind.CLIENT_REQUESTS, "one client may make 200 requests a second"),
    502: problem(
        Kind.BAD_REPORT, "BTCUSDT has no readable report: what Redis holds is not one line with a JSON object"
    ),
    503: problem(Kind.DATA_UNAVAILABLE, "Redis is away: no answer within 2 s"),
}
WRONG_HOST = problem(
    Kind.WRONG_HOST, "Host 'evil.example' is not accepted; add it to NT_WEB_ALLOWED_HOSTS", ["localhost"]
)
