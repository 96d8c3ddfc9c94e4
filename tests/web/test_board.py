"""Who is sent what, when state changes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.web.reporting import EXAMPLE
from tickfence.analytics.freshness import Idle
from tickfence.coordination.membership import NodeState
from tickfence.instrument import Instrument
from tickfence.web.board import Board, Cursor
from tickfence.web.events import NEWEST, Event
from tickfence.web.nodes import Leader, Node

NOW = 1_700_000_000_000
NODE = Node("node-001", "here", 1, "aa", 10, 2, None, 1.0, True, NodeState.ALIVE)


def report(symbol: str, at: int = NOW, node: str = "node-001", **fields: Any) -> bytes:
    ingestion = {"status": "ok", "fresh": True, "exchange_time": at, "last_update": at - 50, "trading": "halted"}
    writer = {"nodeId": node, "writerToken": 7}
    written = {"symbol": symbol, "updatedAt": at, "ingestion": ingestion, "writer": writer, **fields}
    return json.dumps(EXAMPLE | written, separators=(",", ":")).encode()


def frames(text: bytes) -> list[tuple[str, Any]]:
    found = re.findall(r"event: (\w+)\ndata: (.*)\n\n", text.decode())
    assert len(re.findall("\n\n", text.decode())) == len(found)
    return [(name, json.loads(data)) for name, data in found]


def event(number: int) -> Event:
    return Event(f"{number}-0", number, "node", "joined", f"node {number}")


class Market:
    """A board with some symbols."""

    def __init__(self, *symbols: str) -> None:
        self.board = Board(250)
        self.reports: dict[str, bytes | None] = {symbol: report(symbol) for symbol in symbols}
        self.owners = dict.fromkeys(symbols, "node-001")
        self.idle: dict[Instrument, Idle] = {}

    def update(
        self, now: int = NOW, *events: Event, nodes: list[Node] | None = None, **changed: bytes | None
    ) -> list[str]:
        self.reports |= changed
        self.board.begin(now)
        self.board.put_table(tuple(symbol for symbol in self.reports if symbol != "WATCHED"))
        new = self.board.put_reports(self.reports, self.owners, self.idle)
        self.board.put_events(events)
        if nodes is not None:
            self.board.put_nodes(nodes, Leader("beat", "beat", 1))
        return list(new)

    def news(self, cursor: Cursor) -> list[tuple[str, Any]]:
        return frames(self.board.table_news(cursor))


def test_a_new_watcher_gets_the_whole_state_and_then_what_changed() -> None:
    market, cursor = Market("AA", "BB"), Cursor()
    market.update(NOW, event(1), nodes=[NODE])
    [(name, state)] = market.news(cursor)
    assert (name, state["now"], state["periodMs"]) == ("state", NOW, 250)
    assert [row["symbol"] for row in state["symbols"]] == ["AA", "BB"]
    assert [node["node"] for node in state["nodes"]] == ["node-001"]
    assert (state["leader"], [e["id"] for e in state["events"]]) == (
        {"leader": "beat", "name": "beat", "term": 1},
        ["1-0"],
    )
    assert market.news(cursor) == []
    market.update(NOW + 250, BB=report("BB", NOW + 240, last_price=101.5))
    [(name, rows)] = market.news(cursor)
    assert (name, rows["now"], [(r["symbol"], r["price"]) for r in rows["rows"]]) == (
        "rows",
        NOW + 250,
        [("BB", 101.5)],
    )


def test_a_row_holds_what_the_report_says_and_null_for_what_it_leaves_out() -> None:
    market, cursor = Market("AA"), Cursor()
    market.update(
        NOW + 30,
        AA=report(
            "AA", flow={"window_sec": 12, "orders_per_sec": 2.5}, depth={"bids": [], "asks": []}, change_24h_pct=-1.5
        ),
    )
    [(_, state)] = market.news(cursor)
    [row] = state["symbols"]
    wanted = {"symbol": "AA", "status": "ok", "price": EXAMPLE["last_price"], "changePct": -1.5}
    wanted |= {"spreadBps": EXAMPLE["spread_bps"], "imbalance": None, "netFlow": None, "ordersPerSec": 2.5}
    wanted |= {"health": EXAMPLE["health"]["score"], "ageMs": 80, "owner": "node-001", "token": 7, "updatedAt": NOW}
    wanted |= {"flowWindowSec": 12, "trading": "halted", "venue": "binance", "pair": None}
    assert row == wanted


def test_a_slow_watcher_gets_the_newest_of_each_row_once() -> None:
    market, slow, quick = Market("AA", "BB", "CC"), Cursor(), Cursor()
    market.update()
    market.news(slow), market.news(quick)
    for number in range(1, 50):
        at = NOW + number * 250
        market.update(at, AA=report("AA", at, last_price=float(number)), CC=report("CC", at))
        assert len(market.news(quick)) == 1
    market.update(at, BB=report("BB", at))
    [(_, rows)] = market.news(slow)
    assert [(row["symbol"], row["updatedAt"]) for row in rows["rows"]] == [("AA", at), ("BB", at), ("CC", at)]
    assert rows["rows"][0]["price"] == 49.0


def test_a_report_that_is_not_rewritten_is_told_when_its_status_changes_and_not_in_between() -> None:
    market, cursor = Market("AA"), Cursor()
    market.update()
    market.news(cursor)
    told = []
    for later in range(250, 10_000, 250):
        market.update(NOW + later)
        told += [(later, row["status"], row["ageMs"]) for _, rows in market.news(cursor) for row in rows["rows"]]
    assert told == [(1250, "degraded", 1300), (2250, "down", 2300)]


def test_one_who_comes_later_is_told_the_age_as_it_is_then() -> None:
    market = Market("AA")
    market.update()
    market.update(NOW + 30_000)
    market.update(NOW + 60_000)
    [(_, state)] = market.news(Cursor())
    assert (state["symbols"][0]["ageMs"], state["symbols"][0]["status"]) == (60_050, "down")
    [(_, told)] = frames(market.board.report_news("AA", Cursor()))
    assert told["freshness"]["report_age_ms"] == 60_000


def test_a_symbol_without_a_report_has_the_node_it_is_assigned_to() -> None:
    market, cursor = Market("AA"), Cursor()
    market.update(AA=None)
    [(_, state)] = market.news(cursor)
    assert (state["symbols"][0]["owner"], state["symbols"][0]["status"]) == ("node-001", "down")
    market.owners["AA"] = "node-002"
    market.update()
    [(_, rows)] = market.news(cursor)
    assert rows["rows"][0]["owner"] == "node-002"
    market.update()
    assert market.news(cursor) == []


def test_a_symbol_that_is_paused_says_so_with_and_without_a_report() -> None:
    market, cursor, one = Market("AA", "BB"), Cursor(), Cursor()
    market.update(BB=None)
    market.news(cursor), market.board.report_news("AA", one)
    market.idle = {Instrument("AA"): "paused", Instrument("BB"): "set aside"}
    market.update()
    [(_, rows)] = market.news(cursor)
    assert [(row["symbol"], row["status"]) for row in rows["rows"]] == [("AA", "paused"), ("BB", "set aside")]
    assert rows["rows"][0]["owner"] is None, "the writer of the last report does not work on it any more"
    [(_, told)] = frames(market.board.report_news("AA", one))
    assert (told["freshness"]["status"], told["freshness"]["stale"]) == ("paused", True)
    [(_, absent)] = frames(market.board.report_news("BB", Cursor()))
    assert absent["text"].startswith("BB has no report now: two nodes got stuck while they worked on the symbol")
    market.idle = {}
    market.update()
    [(_, rows)] = market.news(cursor)
    assert [(row["symbol"], row["status"]) for row in rows["rows"]] == [("AA", "ok"), ("BB", "down")]


def test_rubbish_at_a_reports_key_is_no_report(caplog: pytest.LogCaptureFixture) -> None:
    market, cursor = Market("AA", "BB"), Cursor()
    market.update(AA=b'{"updatedAt": "x"}')
    [(_, state)] = market.news(cursor)
    assert [(row["symbol"], row["price"] is None) for row in state["symbols"]] == [("AA", True), ("BB", False)]
    market.update()
    market.update(AA=b'{"updatedAt": "y"}')
    assert [record.symbol for record in caplog.records] == ["AA"]  # type: ignore[attr-defined]
    market.update(AA=report("AA"))
    market.update(AA=b"{}")
    assert len(caplog.records) == 2


def test_a_change_of_the_table_is_a_new_state() -> None:
    market, cursor = Market("AA"), Cursor()
    market.update()
    market.news(cursor)
    market.update(BB=report("BB"))
    [(name, state)] = market.news(cursor)
    assert (name, [row["symbol"] for row in state["symbols"]]) == ("state", ["AA", "BB"])


def test_events_are_told_once_and_in_order() -> None:
    market, cursor = Market("AA"), Cursor()
    market.update(NOW, event(1))
    market.news(cursor)
    market.update(NOW, event(2), event(3))
    market.update(NOW, event(4))
    assert [(name, data["id"]) for name, data in market.news(cursor)] == [
        ("event", "2-0"),
        ("event", "3-0"),
        ("event", "4-0"),
    ]
    assert market.news(cursor) == []


def test_one_who_missed_more_events_than_are_kept_gets_a_new_state() -> None:
    market, cursor = Market("AA"), Cursor()
    market.update()
    market.news(cursor)
    market.update(NOW, *map(event, range(NEWEST)))
    assert len(market.news(cursor)) == NEWEST
    market.update(NOW, *map(event, range(NEWEST, 2 * NEWEST + 1)))
    [(name, state)] = market.news(cursor)
    assert (name, len(state["events"])) == ("state", NEWEST)


def test_an_event_that_is_read_again_is_not_told_again() -> None:
    market, cursor = Market("AA"), Cursor()
    market.update(NOW, event(1), event(2))
    market.news(cursor)
    market.update(NOW, event(2), event(3))
    assert [data["text"] for name, data in market.news(cursor) if name == "event"] == ["node 3"]


def test_an_outage_is_told_and_after_it_comes_a_new_state() -> None:
    market, cursor, late = Market("AA"), Cursor(), Cursor()
    market.update()
    market.news(cursor)
    market.board.lose(1_000, "Redis is away: refused")
    assert market.news(cursor) == [("outage", {"awayForMs": 1_000, "text": "Redis is away: refused"})]
    assert market.news(cursor) == []
    assert [name for name, _ in market.news(late)] == ["outage"]
    market.update()
    assert [name for name, _ in market.news(cursor)] == ["state"]
    assert [name for name, _ in market.news(late)] == ["state"]


def test_an_update_tells_which_reports_are_new() -> None:
    market = Market("AA", "BB", "CC")
    assert market.update() == ["AA", "BB", "CC"]
    later = {"AA": report("AA", NOW + 1), "BB": report("BB", NOW + 1, "node-002"), "CC": None}
    assert market.update(NOW, **later) == ["AA", "BB"]
    assert market.update() == []


def test_a_watcher_of_one_symbol_gets_its_report_when_it_changed() -> None:
    market, cursor = Market("AA", "BB"), Cursor()
    market.update(NOW + 10)
    [(name, data)] = frames(market.board.report_news("AA", cursor))
    fresh = {
        "read_at": NOW + 10,
        "report_age_ms": 10,
        "data_age_ms": 60,
        "status": "ok",
        "stale": False,
        "reason": None,
    }
    assert (name, data) == (
        "report",
        json.loads(report("AA")) | {"freshness": fresh},
    )
    market.update(BB=report("BB", NOW + 1))
    assert market.board.report_news("AA", cursor) == b""
    market.update(NOW + 9_250)
    [(_, data)] = frames(market.board.report_news("AA", cursor))
    assert data["freshness"]["reason"] == "the report has not been rewritten for 9.0 s"
    market.update(AA=None)
    [(name, data)] = frames(market.board.report_news("AA", cursor))
    assert (name, data["symbol"]) == ("absent", "AA")


def test_a_symbol_that_is_only_watched_is_not_in_the_table() -> None:
    market, table, one = Market("AA", "WATCHED"), Cursor(), Cursor()
    market.update()
    [(_, state)] = market.news(table)
    assert [row["symbol"] for row in state["symbols"]] == ["AA"]
    market.board.report_news("WATCHED", one)
    market.update(WATCHED=report("WATCHED", NOW + 1))
    assert market.news(table) == []
    assert market.board.report_news("WATCHED", one) != b""


def test_what_many_are_sent_is_encoded_once() -> None:
    market = Market("AA")
    market.update()
    assert market.board.table_news(Cursor()) is market.board.table_news(Cursor())
    assert market.board.report_news("AA", Cursor()) is market.board.report_news("AA", Cursor())
