"""The streams of changes, over real sockets."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.processes import wait_until
from tests.web.reporting import Cluster
from tests.web.web_process import WebProcess
from tickfence.coordination.membership import NodeReason
from tickfence.coordination.owner import Owner
from tickfence.timeline.events import node_event
from tools.local import ports
from tools.local.embedded_redis import EmbeddedRedis

pytestmark = pytest.mark.usefixtures("redis_client")  # the shared server is empty then


def test_the_table_comes_whole_and_then_as_it_changes(web: WebProcess, cluster: Cluster) -> None:
    cluster.report("AAUSDT")
    cluster.node(silent_ms=-10_000)  # alive for as long as a slow machine takes to look
    cluster.lead()
    cluster.assign({"AAUSDT": "node-001", "BBUSDT": "node-001"})
    with web.stream() as stream:
        assert stream.response.headers["Content-Type"].startswith("text/event-stream")
        assert stream.response.headers["Cache-Control"] == "no-store"
        events = stream.events()
        name, state = next(events)
        assert name == "state"
        assert [(row["symbol"], row["price"] is None) for row in state["symbols"]] == [
            ("AAUSDT", False),
            ("BBUSDT", True),
        ]
        assert [(node["node"], node["symbols"], node["alive"]) for node in state["nodes"]] == [("node-001", 2, True)]
        assert (state["leader"]["term"], state["periodMs"], state["events"]) == (5, 250, [])
        cluster.report("BBUSDT", node="node-002", last_price=7.5)
        rows = next(data for name, data in events if name == "rows" and data["rows"][0]["symbol"] == "BBUSDT")["rows"]
        assert [(row["price"], row["owner"], row["token"]) for row in rows if row["symbol"] == "BBUSDT"] == [
            (7.5, "node-002", 7)
        ]
        cluster.event(node_event(NodeReason.DIED, Owner("node-9", "aa"), 7))
        told = stream.until("event")
        assert (told["kind"], told["node"], told["text"]) == ("node", "node-9", "node-9 died: its connection vanished.")
        cluster.node("node-003")
        assert len(stream.until("nodes")["nodes"]) in (1, 2)
        assert [node["node"] for node in stream.until("nodes")["nodes"]] == ["node-001", "node-003"]


def test_reports_a_second_are_told_with_the_nodes(web: WebProcess, cluster: Cluster) -> None:
    cluster.node()
    cluster.report("AAUSDT")
    with web.stream() as stream:
        for name, data in stream.events():
            cluster.report("AAUSDT")
            if name == "nodes" and (rate := data["nodes"][0]["reportsPerSec"]):
                assert 0 < rate < 10  # six events a second come, and a report is written at each
                break
        assert web.get("/nodes").json["nodes"][0]["reportsPerSec"] > 0


def test_one_symbols_report_comes_whenever_it_was_rewritten(web: WebProcess, cluster: Cluster) -> None:
    first = cluster.report("AAUSDT")
    with web.stream("/stream/AAUSDT") as stream:
        events = stream.events()
        name, report = next(events)
        assert name == "report" and report.pop("freshness")["stale"] is False
        assert report == first
        second = cluster.report("AAUSDT", last_price=8.5)
        cluster.report("BBUSDT")
        name, report = next(events)
        assert (name, report["last_price"], report["updatedAt"]) == ("report", 8.5, second["updatedAt"])
        cluster.client.delete("report:AAUSDT")
        assert stream.until("absent")["symbol"] == "AAUSDT"


def test_the_reports_of_chosen_symbols_come_in_one_stream(web: WebProcess, cluster: Cluster) -> None:
    for symbol in ("AAUSDT", "BBUSDT", "CCUSDT"):
        cluster.report(symbol)
    cluster.assign(dict.fromkeys(("AAUSDT", "BBUSDT", "CCUSDT", "DDUSDT"), "node-001"))
    with web.stream("/v1/stream/reports?symbols=aausdt,CCUSDT,DDUSDT") as stream:
        events = stream.events()
        first = [(name, data["symbol"]) for name, data in (next(events), next(events), next(events))]
        assert first == [("report", "AAUSDT"), ("report", "CCUSDT"), ("absent", "DDUSDT")]
        cluster.report("BBUSDT", last_price=7.5)
        cluster.report("CCUSDT", last_price=8.5)
        name, report = next(event for event in events if event[1].get("last_price") == 8.5)
        assert (name, report["symbol"], report["freshness"]["stale"]) == ("report", "CCUSDT", False)
    for query, code in (
        ("symbols=NOPE,AAUSDT", "unknown_symbol"),
        ("symbols=", "bad_parameter"),
        ("", "bad_parameter"),
    ):
        assert web.get(f"/v1/stream/reports?{query}").json["code"] == code


def test_a_symbol_that_nobody_owns_any_more_can_be_watched_as_long_as_it_has_a_report(
    web: WebProcess, cluster: Cluster
) -> None:
    cluster.assign({"AAUSDT": "node-001"})
    cluster.report("ZZUSDT")
    with web.stream() as table, web.stream("/stream/ZZUSDT") as one:
        assert one.until("report")["symbol"] == "ZZUSDT"
        cluster.report("ZZUSDT", last_price=8.5)
        cluster.report("AAUSDT")
        assert one.until("report")["last_price"] == 8.5
        assert [row["symbol"] for row in table.until("state")["symbols"]] == ["AAUSDT"]
        assert {row["symbol"] for row in table.until("rows")["rows"]} == {"AAUSDT"}


def test_a_known_symbol_without_a_report_is_waited_for(web: WebProcess, cluster: Cluster) -> None:
    with web.stream("/stream/BBUSDT") as stream:
        events = stream.events()
        assert next(events)[0] == "absent"
        cluster.report("BBUSDT")
        assert next(events)[0] == "report"


def test_one_who_does_not_read_gets_the_newest_and_not_all_there_was(web: WebProcess, cluster: Cluster) -> None:
    """What is sent meanwhile is bounded: socket buffers, and no more."""
    symbols = [f"S{number}USDT" for number in range(1000)]
    cluster.assign(dict.fromkeys(symbols, "node-001"))
    for symbol in symbols:
        cluster.report(symbol)
    with web.stream() as idle, web.stream() as quick:
        quick.until("state")
        for price in range(12):
            for symbol in symbols[::2]:
                cluster.report(symbol, last_price=price + 1.0)
            rows = quick.until("rows")
        while not any(row["price"] == 12.0 for row in rows["rows"]):
            rows = quick.until("rows")
        sent = 0
        for name, data in idle.events():
            if name == "rows":
                sent += len(data["rows"])
                if any(row["price"] == 12.0 for row in data["rows"]):
                    break
        assert sent < 12 * 500 / 2


def test_redis_that_goes_away_is_told_and_comes_back_by_itself(own_redis_server: Callable[..., EmbeddedRedis]) -> None:
    server = own_redis_server()
    with WebProcess(server.url(), SYMBOLS="AAUSDT").wait_until_up() as web, server.client() as client:
        cluster = Cluster(client)
        cluster.report("AAUSDT")
        with web.stream() as table, web.stream("/stream/AAUSDT") as one:
            table.until("state"), one.until("report")
            server.kill()
            told = table.until("outage")
            assert told["text"] == "Redis is away: ConnectionError" and told["awayForMs"] >= 0, "it names no server"
            assert table.until("outage")["awayForMs"] > told["awayForMs"]
            one.until("outage")
            assert web.get("/healthz").status == 200
            for path in (
                "/reports/AAUSDT",
                "/nodes",
                "/symbols",
                "/events",
                "/reports",
                "/prices/AAUSDT",
                "/stream/AAUSDT",
            ):
                answer = web.get(path)
                assert (answer.status, answer.json["title"], answer.headers["Retry-After"]) == (
                    503,
                    "Data unavailable",
                    "1",
                )
            assert web.get("/readyz").json["reason"] == "Redis is away: ConnectionError"
            assert "cannot read from Redis: ConnectionError: " in web.log_text()
            with web.stream() as late:
                late.until("outage")
                server.start()
                cluster.report("AAUSDT")
                for stream in (table, late):
                    assert stream.until("state")["symbols"][0]["symbol"] == "AAUSDT"
            assert one.until("report")["symbol"] == "AAUSDT"
        assert web.get("/reports/AAUSDT").status == 200
        assert "Traceback" not in web.log_text()


def test_redis_that_is_not_there_yet_is_waited_for(own_redis_server: Callable[..., EmbeddedRedis]) -> None:
    port = ports.pick()
    with (
        WebProcess(f"redis://{ports.LOOPBACK}:{port}/0", SYMBOLS="AAUSDT").wait_until_up() as web,
        web.stream() as stream,
    ):
        stream.until("outage")
        assert (web.get("/healthz").status, web.get("/readyz").status) == (200, 503)
        own_redis_server(port)
        assert [row["symbol"] for row in stream.until("state")["symbols"]] == ["AAUSDT"]


def test_redis_that_stands_still_is_away(own_redis_server: Callable[..., EmbeddedRedis]) -> None:
    server = own_redis_server()
    with WebProcess(server.url(), SYMBOLS="AAUSDT").wait_until_up() as web, web.stream() as stream:
        stream.until("state")
        server.pause()
        assert "no answer within 2 s" in stream.until("outage")["text"]
        answer = web.get("/nodes")
        assert (answer.status, answer.json["detail"]) == (503, "Redis is away: no answer within 2 s")
        server.resume()
        stream.until("state")


def test_more_streams_than_allowed_are_refused_and_room_is_made_again(redis_server: EmbeddedRedis) -> None:
    with WebProcess(redis_server.url(), NT_WEB_MAX_STREAMS=2).wait_until_up() as web:
        with web.stream(), web.stream() as second:
            second.until("state")
            answer = web.get("/stream")
            assert (answer.status, answer.json["title"]) == (503, "Too many streams")
            assert answer.json["detail"] == "2 streams are open; NT_WEB_MAX_STREAMS allows no more"
            assert web.get("/healthz").status == 200
        wait_until(lambda: web.status("/stream") == 200, "room is made")


def test_one_client_takes_neither_all_streams_nor_all_requests(redis_server: EmbeddedRedis) -> None:
    limits = {"NT_WEB_MAX_CLIENT_STREAMS": 1, "NT_WEB_CLIENT_REQUESTS_PER_S": 5}
    with WebProcess(redis_server.url(), **limits).wait_until_up() as web, web.stream() as stream:
        stream.until("state")
        refused = web.get("/v1/stream")
        assert (refused.status, refused.json["code"]) == (429, "client_streams")
        other = {"X_Forwarded_For": "192.0.2.7"}  # as a proxy on this machine names its clients
        with web.stream("/v1/stream", **other) as second:
            second.until("state")
        answers = [web.get("/v1/symbols") for _ in range(20)]
        refused = next(answer for answer in answers if answer.status == 429)
        assert (refused.json["code"], refused.headers["Retry-After"]) == ("client_requests", "1")
        assert web.get("/v1/symbols", **other).status == 200
        assert web.get("/healthz").status == 200
        wait_until(lambda: web.get("/v1/symbols").status == 200, "the client may ask again")


def test_not_one_more_is_let_in_when_many_come_together(redis_server: EmbeddedRedis, cluster: Cluster) -> None:
    cluster.report("BTCUSDT")
    with WebProcess(redis_server.url(), NT_WEB_MAX_STREAMS=2).wait_until_up() as web, ExitStack() as opened:
        web.get("/healthz")
        address = (ports.LOOPBACK, web.port)
        clients = [opened.enter_context(socket.create_connection(address, timeout=20)) for _ in range(40)]
        for client in clients:
            client.sendall(b"GET /stream/BTCUSDT HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answered = Counter(client.recv(12) for client in clients)
        assert answered == {b"HTTP/1.1 200": 2, b"HTTP/1.1 503": 38}
