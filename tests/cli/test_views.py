"""What the commands find and show, on a real Redis that the test fills."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click
import pytest
import redis
from rich.console import Console, RenderableType

from tickfence.cli import explain_view, nodes_view, owners_view, show_view, timeline_view
from tickfence.cli.options import symbol_named
from tickfence.cli.session import NothingThere, View
from tickfence.cli.style import coloured, duration, number
from tickfence.coordination.controller import MoveReason
from tickfence.coordination.desired import NodeMode, pause, remove, seed, set_mode, set_weight
from tickfence.coordination.desired_store import seed_desired
from tickfence.coordination.leadership import LeaderReason
from tickfence.coordination.owner import Owner
from tickfence.coordination.verdicts import Verdicts
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.settings import Settings
from tickfence.timeline import events
from tools.local.embedded_redis import EmbeddedRedis

KEYS = Keys()

SETTINGS = Settings.from_environment({})
SYMBOLS = {"BTCUSDT": "node-001/a", "ETHUSDT": "node-002/b", "OLDUSDT": "node-003/c"}


def text(picture: RenderableType, width: int = 160) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(picture)
    return captured.get()


def now_ms(client: redis.Redis) -> int:
    seconds, microseconds = client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def report(now: int, **other: Any) -> dict[str, Any]:
    """One with every section."""
    levels = [{"price": 100.0 - n, "qty": 1.0 + n} for n in range(20)]
    return {
        "schemaVersion": "2.0",
        "writer": {"nodeId": "node-001", "writerToken": 17},
        "updatedAt": now,
        "symbol": "BTCUSDT",
        "venue": "binance",
        "generated_at": "2026-01-01T00:00:00.000Z",
        "data_age_ms": 30,
        "ingestion": {"status": "ok", "fresh": True, "exchange_time": now, "last_update": now - 30},
        "last_price": 67123.45,
        "change_24h_pct": -1.5,
        "volume_24h": 12.0,
        "spread_bps": 0.0149,
        "depth": {"bids": levels, "asks": levels, "imbalance": -0.25},
        "flow": {"window_sec": 30, "orders_per_sec": 4.6, "net_flow": -1.9},
        "liquidity": {
            "walls": [{"side": "bid", "price": 99.0, "qty": 40.0, "severity": "high"}],
            "vacuums": [{"from": 90.0, "to": 91.0, "levels": 4, "severity": "low"}],
            "volume_profile": {"POC": 100.5, "VAL": 99.5, "VAH": 101.5, "window_sec": 1800, "trade_count": 81},
        },
        "anomalies": [
            {
                "type": "flash_crash_risk",
                "severity": "high",
                "note": "The spread is wide and the book is lopsided.",
                "signals": ["wide_spread", "imbalance"],
            },
            {
                "type": "spoofing",
                "severity": "low",
                "note": "A large ask was taken away.",
                "side": "ask",
                "price": 105.0,
                "pulls": 3,
                "changes": 4,
            },
        ],
        "health": {"score": 88.5, "components": [{"metric": "freshness", "score": 40}]},
    } | other


@pytest.fixture
def client(redis_client: redis.Redis) -> redis.Redis:
    """Two live nodes and one that left; the lease of ETHUSDT is still another's, OLDUSDT has no report."""
    now = now_ms(redis_client)
    redis_client.hset(KEYS.assignment, mapping={"term": 1, "generation": 7, **SYMBOLS})
    redis_client.hset(KEYS.dispatcher, mapping={"leader": "beat@host/5f0c", "term": 5, "until": now + 60_000})
    for number_, (name, incarnation) in enumerate([("node-001", "a"), ("node-002", "b"), ("node-003", "c")]):
        fields = {
            "incarnation": incarnation,
            "client_id": 0,
            "weight": 1 + number_,
            "host": "[b]host",
            "pid": 40 + number_,
        }
        redis_client.hset(KEYS.node(name), mapping={**fields, "started_at": now - 65_000})
    redis_client.zadd(KEYS.nodes, {"node-001": now, "node-002": now})
    redis_client.hset(KEYS.node("node-003"), "left", now)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        lease = {"owner": "node-001/a", "token": 17, "until": now + 60_000}
        redis_client.hset(KEYS.lease(symbol), mapping=lease)
        redis_client.set(KEYS.report(symbol), json.dumps(report(now, symbol=symbol)))
    return redis_client


class TestOwners:
    def test_each_symbol_with_its_owner_lease_and_report(self, client: redis.Redis) -> None:
        found = owners_view.read(client, SETTINGS).data
        assert (found["generation"], found["leader"]) == (7, "beat@host/5f0c")
        rows = {row["symbol"]: row for row in found["symbols"]}
        assert list(rows) == sorted(SYMBOLS)
        assert 0 < rows["BTCUSDT"].pop("leaseLeftMs") <= 60_000
        assert rows["BTCUSDT"].pop("reportAgeMs") < 60_000
        assert rows["BTCUSDT"] == {
            "symbol": "BTCUSDT",
            "owner": "node-001",
            "holder": "node-001",
            "token": 17,
            "writer": "node-001",
            "status": "ok",
            "reason": None,
        }
        assert (rows["ETHUSDT"]["owner"], rows["ETHUSDT"]["holder"]) == ("node-002", "node-001")
        assert set(rows["OLDUSDT"].values()) == {"OLDUSDT", "node-003", "down", None}

    def test_a_report_that_nobody_rewrites_is_never_ok(self, client: redis.Redis) -> None:
        client.set(KEYS.report("BTCUSDT"), json.dumps(report(now_ms(client) - 152_000)))
        view = owners_view.read(client, SETTINGS)
        [row] = [row for row in view.data["symbols"] if row["symbol"] == "BTCUSDT"]
        assert row["status"] == "down" and row["reason"].startswith("the report has not been rewritten for 15")
        console = Console(width=160, force_terminal=True, color_system="standard")
        with console.capture() as captured:
            console.print(view.picture)
        [line] = [line for line in captured.get().splitlines() if "BTCUSDT" in line]
        assert "\x1b[1;31m15" in line and "\x1b[1;31mdown\x1b[0m" in line

    def test_what_operators_want_is_shown_before_it_is_so(self, client: redis.Redis) -> None:
        a, b, c = map(Instrument, ("BTCUSDT", "ETHUSDT", "NEWUSDT"))
        seed_desired(client, KEYS, pause(seed([a, b, c]), [a], 1), "test")
        rows = {row["symbol"]: row for row in owners_view.read(client, SETTINGS).data["symbols"]}
        assert {symbol: row["status"] for symbol, row in rows.items()} == {
            "BTCUSDT": "paused",
            "ETHUSDT": "ok",
            "NEWUSDT": "down",
            "OLDUSDT": "down",
        }
        client.hdel(KEYS.assignment, "BTCUSDT")
        shown = text(owners_view.read(client, SETTINGS).picture)
        assert "4 symbols: 1 on node-002, 1 on node-003, 2 on no node" in shown
        [line] = [line for line in shown.splitlines() if "BTCUSDT" in line]
        assert "paused" in line and "node-001" not in line
        with pytest.raises(NothingThere, match=r"there are node-001, node-002, node-003$"):
            owners_view.read(client, SETTINGS, "node-9")

    def test_as_a_table(self, client: redis.Redis) -> None:
        shown = text(owners_view.read(client, SETTINGS).picture)
        assert "3 symbols: 1 on node-001, 1 on node-002, 1 on node-003" in shown
        assert "node-002 (lease: node-001)" in shown
        assert "none" in next(line for line in shown.splitlines() if "OLDUSDT" in line)
        assert "generation 7, beat@host/5f0c leads" in shown

    def test_those_of_one_node(self, client: redis.Redis) -> None:
        found = owners_view.read(client, SETTINGS, "node-001").data
        assert [row["symbol"] for row in found["symbols"]] == ["BTCUSDT", "ETHUSDT"]  # it has that lease still
        with pytest.raises(NothingThere, match="no node 'node-9'; there are node-001, node-002, node-003"):
            owners_view.read(client, SETTINGS, "node-9")

    def test_without_coordination_the_writer_is_the_owner(self, redis_client: redis.Redis) -> None:
        alone = {"nodeId": "single", "writerToken": 1}
        redis_client.set(KEYS.report("BTCUSDT"), json.dumps(report(now_ms(redis_client), writer=alone)))
        view = owners_view.read(redis_client, SETTINGS)
        assert [(row["symbol"], row["owner"], row["writer"]) for row in view.data["symbols"]] == [
            ("BTCUSDT", None, "single")
        ]
        assert "1 symbols: 1 on single" in text(view.picture)

    def test_a_report_that_is_none_counts_for_nothing(self, client: redis.Redis) -> None:
        client.set(KEYS.report("BTCUSDT"), "rubbish")
        row = owners_view.read(client, SETTINGS).data["symbols"][0]
        assert (row["writer"], row["status"]) == (None, "unreadable")

    def test_an_empty_redis(self, redis_client: redis.Redis) -> None:
        with pytest.raises(NothingThere, match="no symbol is owned"):
            owners_view.read(redis_client, SETTINGS)

    def test_a_thousand_symbols(self, redis_client: redis.Redis) -> None:
        redis_client.hset(KEYS.assignment, mapping={"generation": 1, **{f"S{n}": "node-001/a" for n in range(1000)}})
        assert len(owners_view.read(redis_client, SETTINGS).data["symbols"]) == 1000


class TestNodes:
    def test_who_lives_and_who_does_not(self, client: redis.Redis) -> None:
        client.zadd(KEYS.nodes, {"node-002": now_ms(client) - 5000})
        found = nodes_view.read(client, SETTINGS).data
        assert [(node["node"], node["state"], node["symbols"]) for node in found["nodes"]] == [
            ("node-001", "alive", ["BTCUSDT"]),
            ("node-002", "silent", ["ETHUSDT"]),
            ("node-003", "left", ["OLDUSDT"]),
        ]
        assert found["leader"]["leader"] == "beat@host/5f0c"
        assert found["nodes"][1]["heartbeatAgeMs"] >= 5000

    def test_which_beats_send(self, client: redis.Redis) -> None:
        assert "send" not in text(nodes_view.read(client, SETTINGS).picture)
        client.hset(KEYS.dispatcher, "shards", '[5,[["beat@host/5f0c",5],["beat-2/7a1d",6]]]')
        view = nodes_view.read(client, SETTINGS)
        assert view.data["shards"] == [{"beat": "beat@host/5f0c", "term": 5}, {"beat": "beat-2/7a1d", "term": 6}]
        assert "beat-2 and beat@host/5f0c send" in " ".join(text(view.picture).split())

    def test_a_connection_that_is_gone(self, client: redis.Redis) -> None:
        client.hset(KEYS.node("node-001"), "client_id", client.client_id())
        client.hset(KEYS.node("node-002"), "client_id", 999_999)
        states = [node["state"] for node in nodes_view.read(client, SETTINGS).data["nodes"]]
        assert states == ["alive", "gone", "left"]

    def test_as_a_table(self, client: redis.Redis) -> None:
        shown = text(nodes_view.read(client, SETTINGS).picture)
        assert "2 of 3 nodes work, node-003 is stopped" in shown
        assert "beat@host/5f0c leads, term 5, for " in shown
        assert "[b]host" in shown  # as it stands, whatever it looks like to Rich
        assert "1: OLDUSDT" in shown

    def test_states_and_weights_that_operators_want(self, client: redis.Redis) -> None:
        wanted = set_mode(seed([Instrument("BTCUSDT")]), "node-001", NodeMode.CORDONED, 1)
        seed_desired(client, KEYS, set_weight(wanted, "node-002", 0.5, 1), "test")
        verdicts = Verdicts({Owner("node-002", "b"): 1}).to_json()
        client.hset(KEYS.dispatcher, "verdicts", verdicts)
        view = nodes_view.read(client, SETTINGS)
        assert [(node["state"], node["weight"]) for node in view.data["nodes"]] == [
            ("cordoned", 1.0),
            ("stuck", 0.5),
            ("left", 3.0),
        ]
        shown = text(view.picture)
        assert "1 of 3 nodes work, node-001 is cordoned, node-002 is stuck, node-003 is stopped" in shown

    def test_no_leader(self, client: redis.Redis) -> None:
        client.hset(KEYS.dispatcher, "until", 1)
        view = nodes_view.read(client, SETTINGS)
        assert view.data["leader"] is None
        assert "no beat leads" in text(view.picture)

    def test_an_empty_redis(self, redis_client: redis.Redis) -> None:
        with pytest.raises(NothingThere, match="no node and no beat"):
            nodes_view.read(redis_client, SETTINGS)


class TestReport:
    def test_as_json_it_is_what_stands_in_redis(self, client: redis.Redis) -> None:
        stands = json.loads(client.get(KEYS.report("BTCUSDT")) or "")
        assert show_view.read(client, SETTINGS, "BTCUSDT").data == stands

    @pytest.mark.parametrize("width", [160, 70])
    def test_every_section_is_shown(self, client: redis.Redis, width: int) -> None:
        shown = text(show_view.read(client, SETTINGS, "BTCUSDT").picture, width)
        assert max(len(line) for line in shown.splitlines()) <= width
        wanted = ["BTCUSDT", "67,123.45", "-1.50 %", "0.01 bps", "node-001", "17", "88.5 of 100", "-1.9000"]
        wanted += [
            "imbalance -0.2500",
            "100.5",
            "99.5 to 101.5, 81",
            "bid 99: 40",
            "90 to 91, 4 levels",
        ]
        wanted += ["flash crash risk", "The spread is wide and the book", "spoofing", "A large ask was taken away."]
        assert [one for one in wanted if one not in shown] == []
        assert "stale" not in shown
        assert "by the exchange" not in shown

    def test_what_is_not_covered_or_halted_is_told(self, client: redis.Redis) -> None:
        ingestion = report(now_ms(client))["ingestion"] | {"trading": "halted"}
        flow = {"window_sec": 12, "orders_per_sec": 4.6}
        client.set(KEYS.report("BTCUSDT"), json.dumps(report(now_ms(client), flow=flow, ingestion=ingestion)))
        shown = text(show_view.read(client, SETTINGS, "BTCUSDT").picture)
        assert "halted by the exchange" in shown
        assert "trades known for" in shown and "12 of 30 s" in shown and "4.6" in shown
        assert "net flow" not in shown

    def test_a_report_that_nobody_rewrites_is_stale(self, client: redis.Redis) -> None:
        client.set(KEYS.report("BTCUSDT"), json.dumps(report(now_ms(client) - 5_250)))
        shown = text(show_view.read(client, SETTINGS, "BTCUSDT").picture)
        assert "stale: the report has not been rewritten for 5.0 s" in shown
        assert "BTCUSDT binance down" in shown  # it says ok of itself

    def test_the_least_that_a_report_may_hold(self, client: redis.Redis) -> None:
        optional = ("data_age_ms", "last_price", "change_24h_pct", "volume_24h", "spread_bps", "liquidity")
        least = {k: v for k, v in report(now_ms(client)).items() if k not in (*optional, "anomalies")}
        least |= {"depth": {"bids": [], "asks": []}, "flow": {"window_sec": 0}}
        least |= {"ingestion": {"status": "down", "fresh": False, "exchange_time": 0}}
        client.set(KEYS.report("BTCUSDT"), json.dumps(least))
        assert "down" in text(show_view.read(client, SETTINGS, "BTCUSDT").picture)

    def test_a_symbol_that_is_paused_or_removed(self, client: redis.Redis) -> None:
        a, b, c = map(Instrument, ("BTCUSDT", "ETHUSDT", "OLDUSDT"))
        seed_desired(client, KEYS, remove(pause(seed([a, b, c]), [a, c], 1), [b], 1), "test")
        shown = text(show_view.read(client, SETTINGS, "BTCUSDT").picture)
        assert "BTCUSDT binance paused" in shown and "paused: an operator has paused the symbol" in shown
        with pytest.raises(NothingThere, match="no report of OLDUSDT: an operator has paused the symbol"):
            show_view.read(client, SETTINGS, "OLDUSDT")
        with pytest.raises(click.BadParameter, match="there is no symbol 'ETHUSDT'"):
            show_view.read(client, SETTINGS, "ETHUSDT")
        with pytest.raises(NothingThere, match="BTCUSDT is on no node: an operator has paused the symbol"):
            explain_view.read(client, SETTINGS, ["BTCUSDT"])

    def test_a_symbol_without_a_report_is_not_an_unknown_one(self, client: redis.Redis) -> None:
        with pytest.raises(NothingThere, match="no report of OLDUSDT"):
            show_view.read(client, SETTINGS, "OLDUSDT")
        with pytest.raises(
            click.BadParameter, match="there is no symbol 'BTCUSD'; there are BTCUSDT, ETHUSDT, OLDUSDT"
        ):
            show_view.read(client, SETTINGS, "BTCUSD")

    def test_rubbish_at_its_key(self, client: redis.Redis) -> None:
        client.set(KEYS.report("BTCUSDT"), "{}")
        with pytest.raises(NothingThere, match="what stands at report:BTCUSDT is no report"):
            show_view.read(client, SETTINGS, "BTCUSDT")


class TestExplain:
    def test_it_takes_weights_and_symbols_from_redis(self, client: redis.Redis) -> None:
        [found] = explain_view.read(client, SETTINGS, ["BTCUSDT"]).data
        assert (found["owner"], found["generation"]) == ("node-001", 7)
        assert {node["node"]: node["weight"] for node in found["nodes"]} == {"node-001": 1.0, "node-002": 2.0}
        assert sum(node["holds"] for node in found["nodes"]) == 3
        assert found["rules"] == {"sticky": 0.02, "loadFactor": 1.25, "minHoldMs": 2000, "rebalanceIntervalMs": 2500}
        assert (found["lastMove"], found["heldForMs"]) == (None, 0)

    def test_an_owner_that_is_not_alive(self, client: redis.Redis) -> None:
        view = explain_view.read(client, SETTINGS, ["OLDUSDT"])
        assert not view.data[0]["agrees"]
        assert "Why: node-003 is not alive; it goes to " in text(view.picture)

    def test_the_last_move_and_the_hold(self, client: redis.Redis) -> None:
        for reason, moves in (
            (MoveReason.FIRST, {"BTCUSDT": (None, "node-002"), "ETHUSDT": (None, "node-002")}),
            (MoveReason.DIED, {"BTCUSDT": ("node-002", "node-001")}),
        ):
            events.queue_append(client, KEYS, events.moved_event(reason, 7, 5, "beat", moves))  # type: ignore[arg-type]
        settings = Settings.from_environment({"NT_MIN_HOLD_MS": "60000"})
        view = explain_view.read(client, settings, ["BTCUSDT", "ETHUSDT"])
        bitcoin, ether = view.data
        assert (bitcoin["lastMove"]["reason"], bitcoin["lastMove"]["from"]) == ("node died", "node-002")
        assert 0 < bitcoin["heldForMs"] <= 60_000
        assert ether["heldForMs"] == 0  # a first owner is held to nothing
        shown = text(view.picture)
        assert "It came from node-002 " in shown
        assert ": node died." in shown
        assert "It is held for another " in shown

    def test_an_owner_that_is_another_process_of_a_live_node(self, client: redis.Redis) -> None:
        client.hset(KEYS.node("node-001"), "incarnation", "b")
        [found] = explain_view.read(client, SETTINGS, ["BTCUSDT"]).data
        assert not found["agrees"]
        assert found["because"].startswith("the process of node-001 that owns it is not alive; it goes to ")
        assert [node["bid"] == node["score"] for node in found["nodes"]] == [True, True]

    def test_an_unknown_symbol_and_an_empty_redis(self, client: redis.Redis) -> None:
        with pytest.raises(click.BadParameter, match="there is no symbol 'NOPE'; there are BTCUSDT, ETHUSDT, OLDUSDT"):
            explain_view.read(client, SETTINGS, ["NOPE"])
        client.flushall()
        with pytest.raises(NothingThere, match="no symbol is assigned"):
            explain_view.read(client, SETTINGS, ["BTCUSDT"])


@pytest.mark.parametrize("command", ["nodes", "explain"])
def test_without_coordination_it_says_so(redis_client: redis.Redis, command: str) -> None:
    alone = Settings.from_environment({"NT_ENABLE_MULTI_INSTANCE": "false"})
    with pytest.raises(NothingThere, match="coordination is off"):
        if command == "nodes":
            nodes_view.read(redis_client, alone)
        else:
            explain_view.read(redis_client, alone, ["BTCUSDT"])


class TestTimeline:
    def test_the_last_events(self, redis_client: redis.Redis) -> None:
        for n in range(5):
            events.queue_append(redis_client, KEYS, events.leader_event(LeaderReason.TOOK_OVER, f"beat-{n}", n))
        view = timeline_view.read(redis_client, SETTINGS, 2)
        assert [event["leader"] for event in view.data] == ["beat-3", "beat-4"]
        shown = text(view.picture)
        assert "beat-4 took the lead: the leader before it was gone." in shown
        assert "beat-2" not in shown

    def test_what_others_put_there_is_shown_as_it_is(self, redis_client: redis.Redis) -> None:
        redis_client.xadd(KEYS.events, {"kind": "node", "reason": "[bold]x", "node": "[/] [red]"})
        assert "[/] [red] [bold]x." in text(timeline_view.read(redis_client, SETTINGS, 1).picture)

    def test_none(self, redis_client: redis.Redis) -> None:
        assert timeline_view.read(redis_client, SETTINGS, 20).data == []


VIEWS: dict[str, Callable[[redis.Redis], View]] = {
    "owners": lambda client: owners_view.read(client, SETTINGS),
    "nodes": lambda client: nodes_view.read(client, SETTINGS),
    "explain": lambda client: explain_view.read(client, SETTINGS, ["BTCUSDT"]),
    "show": lambda client: show_view.read(client, SETTINGS, "BTCUSDT"),
    "timeline": lambda client: timeline_view.read(client, SETTINGS, 1),
}


@pytest.mark.parametrize("width", [40, 60, 80])
@pytest.mark.parametrize("name", VIEWS)
def test_names_and_numbers_stay_whole_on_a_narrow_terminal(client: redis.Redis, name: str, width: int) -> None:
    events.queue_append(client, KEYS, events.conflict_event("BTCUSDT", "node-001", "node-002"))
    shown = text(VIEWS[name](client).picture, width)
    assert max(len(line) for line in shown.splitlines()) <= width
    assert "…" not in shown
    assert "BTCUSDT" in shown
    assert "node-001" in shown


@pytest.mark.parametrize("rules", ["+client", "-client"])
def test_a_user_who_may_only_read_is_enough(client: redis.Redis, redis_server: EmbeddedRedis, rules: str) -> None:
    client.execute_command(*f"ACL SETUSER reader on nopass ~* +@read +@connection +time -@write {rules}".split())
    url = redis_server.url().replace("redis://", "redis://reader:any@")
    with redis.Redis.from_url(url) as reader:
        with pytest.raises(redis.exceptions.NoPermissionError):
            reader.set("x", 1)
        assert owners_view.read(reader, SETTINGS).data["symbols"]
        assert nodes_view.read(reader, SETTINGS).data["nodes"]
        assert explain_view.read(reader, SETTINGS, ["BTCUSDT"]).data
        assert show_view.read(reader, SETTINGS, "BTCUSDT").data
        assert timeline_view.read(reader, SETTINGS, 1).data == []


@pytest.mark.parametrize("typed", ["", "BTC/USDT", "B", "x" * 21, "BTCUSDT\n"])
def test_what_cannot_be_a_symbol_is_refused(typed: str) -> None:
    with pytest.raises(click.BadParameter, match="must be 2 to 20"):
        symbol_named(typed)


def test_a_symbol_may_be_typed_in_lower_case() -> None:
    assert symbol_named("btcusdt") == "BTCUSDT"
    assert symbol_named("kraken:BTC/USD") == "kraken:BTC/USD"


def test_what_is_coloured_is_shown_as_it_stands() -> None:
    assert [text(coloured("[b]x", colour)) for colour in ("red", None)] == ["[b]x\n", "[b]x\n"]


def test_times_and_numbers_in_words() -> None:
    assert [duration(ms) for ms in (-5, 999, 1500, 61_000, 700_000, 7_300_000, 180_000_000)] == [
        "0 ms",
        "999 ms",
        "1.5 s",
        "61 s",
        "12 min",
        "2.0 h",
        "50 h",
    ]
    assert [number(value) for value in (67123.45, 0.00001234, 12.0, 1e-9, 0.0)] == [
        "67,123.45",
        "0.00001234",
        "12",
        "0.000000001",
        "0",
    ]
