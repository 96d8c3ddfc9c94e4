"""Events and commands on a Redis Cluster, whose keys lie on several servers."""

from __future__ import annotations

import json

from beat_schedule.journal import AssignmentChange, EventRecorder, Observation
from tests.cli.test_views import SYMBOLS, now_ms, report
from tests.redis_groups import ClusterGroup
from tickfence.cli import explain_view, nodes_view, owners_view, show_view, symbols_view, timeline_view
from tickfence.cli.operate import change
from tickfence.cli.request import symbols_request
from tickfence.cli.waiting import look
from tickfence.coordination.assignment_store import StoredAssignment, publish_assignment
from tickfence.coordination.controller import Move
from tickfence.coordination.desired import DesiredSymbol, SymbolState, seed
from tickfence.coordination.desired_store import seed_desired
from tickfence.coordination.leadership import LeaderReason
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.redis_access.connect import connect
from tickfence.settings import Settings

KEYS = Keys()

OWNERS = {symbol: Owner.parse(owner) for symbol, owner in SYMBOLS.items()}


def test_what_is_told_and_shown() -> None:
    with ClusterGroup() as group:
        settings = Settings.from_environment({"REDIS_URL": group.url})
        client, now = connect(group.url, name="test"), now_ms(group.masters[0].client)
        generation = publish_assignment(client, Keys(), 5, StoredAssignment(0, 1, {}), OWNERS).generation
        for symbol, owner in OWNERS.items():
            client.hset(KEYS.node(owner.node), mapping={"incarnation": owner.incarnation, "client_id": 0, "weight": 1})
            client.zadd(KEYS.nodes, {owner.node: now + 60_000})
            client.hset(KEYS.lease(symbol), mapping={"owner": str(owner), "token": 17, "until": now + 60_000})
            client.set(KEYS.report(symbol), json.dumps(report(now, symbol=symbol)))
        moves = [Move(symbol, None, owner, "orphan") for symbol, owner in OWNERS.items()]
        found = Observation(
            5, LeaderReason.FIRST, set(OWNERS.values()), {}, (), AssignmentChange(generation, moves, first=True)
        )
        EventRecorder("beat", Keys()).record(client, found)

        kinds = [event["kind"] for event in timeline_view.read(client, settings, 20).data]
        assert kinds == ["leader", "node", "node", "node", "moved"]
        rows = owners_view.read(client, settings).data["symbols"]
        assert [(row["owner"], row["holder"], row["token"]) for row in rows] == [
            (owner.node, owner.node, 17) for _, owner in sorted(OWNERS.items())
        ]
        states = [node["state"] for node in nodes_view.read(client, settings).data["nodes"]]
        assert states == ["alive", "alive", "alive"]
        assert [one["lastMove"]["to"] for one in explain_view.read(client, settings, list(OWNERS)).data] == [
            owner.node for owner in OWNERS.values()
        ]
        assert show_view.read(client, settings, "BTCUSDT").data["symbol"] == "BTCUSDT"

        seed_desired(client, KEYS, seed(OWNERS), "beat")
        bitcoin, ripple = Instrument("BTCUSDT"), Instrument("XRPUSDT")
        assert [one.text for one in change(client, settings, symbols_request("add", [ripple]), "ann").outcomes] == [
            "added XRPUSDT"
        ]
        change(client, settings, symbols_request("pause", [bitcoin]), "ann")
        shown = {row["symbol"]: row["state"] for row in symbols_view.read(client, settings).data["symbols"]}
        assert shown == dict.fromkeys(OWNERS, "active") | {bitcoin: "paused", ripple: "active"}
        seen = look(client, settings, dict.fromkeys([bitcoin, ripple], DesiredSymbol(SymbolState.ACTIVE)))
        assert seen.markets[bitcoin].report is not None and seen.markets[ripple].left == 0
        client.close()
