"""What the HTTP API answers."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.analytics.schema_check import errors
from tests.processes import wait_until
from tests.web.reporting import INCARNATION, Cluster
from tests.web.web_process import Answer, WebProcess
from tickfence.analytics.history_row import HistoryRow
from tickfence.analytics.report import OK_MS
from tickfence.coordination.controller import MoveReason
from tickfence.coordination.desired import NodeMode, add, pause, remove, resume, set_mode, set_weight
from tickfence.coordination.membership import NodeReason
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.timeline.events import moved_event, node_event
from tickfence.web.problems import Kind

KEYS = Keys()

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs" / "report.schema.json").read_text())


def test_a_report_is_as_its_node_wrote_it_with_its_freshness(web: WebProcess, cluster: Cluster) -> None:
    written: dict[str, Any] = {}

    def in_time() -> Answer | None:
        """The answer, unless the machine was so slow that the next report is late."""
        written.update(cluster.report("AAUSDT", age_ms=100))
        answer = web.get("/reports/AAUSDT")
        return answer if int(answer.headers["Report-Age-Ms"]) < OK_MS else None

    answer = wait_until(in_time, "an answer while the report is ok")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    report = answer.json
    fresh = report.pop("freshness")
    assert report == written
    assert fresh["status"] == "ok" and not fresh["stale"] and fresh["reason"] is None
    assert fresh["report_age_ms"] >= 100 and fresh["data_age_ms"] == fresh["report_age_ms"] + 50
    assert answer.headers["Report-Stale"] == "false"
    assert answer.headers["Report-Age-Ms"] == str(fresh["report_age_ms"])


def test_a_report_that_nobody_rewrites_says_that_it_is_stale(web: WebProcess, cluster: Cluster) -> None:
    cluster.report("AAUSDT", age_ms=60_000)
    answer = web.get("/reports/AAUSDT")
    assert answer.status == 200 and answer.headers["Report-Stale"] == "true"
    assert answer.json["data_age_ms"] == 50  # as it was then
    fresh = answer.json["freshness"]
    assert fresh["stale"] and fresh["data_age_ms"] >= 60_000
    assert fresh["reason"].startswith("the report has not been rewritten for ")


def test_a_name_beyond_ascii_is_percent_encoded_in_a_path(web: WebProcess, cluster: Cluster) -> None:
    symbol = "币安人生USDT"
    cluster.assign({symbol: "node-001"})
    cluster.report(symbol)
    for path in (f"/reports/{quote(symbol)}", f"/reports?symbols={quote(symbol)}", f"/prices/{quote(symbol)}"):
        answer = web.get(path)
        assert answer.status == 200, path
        assert symbol in answer.body.decode(), path
    assert web.status(f"/stream/{quote(symbol)}") == 200


@pytest.mark.parametrize("written", ["kraken%3ABTC%2FUSD", "kraken:BTC%2FUSD", "kraken%3aBTC%2fUSD"])
def test_a_slash_in_a_name_is_no_slash_of_the_path(web: WebProcess, cluster: Cluster, written: str) -> None:
    symbol = "kraken:BTC/USD"
    cluster.assign({symbol: "node-001", "kraken:BTC/history": "node-001"})
    cluster.report(symbol)
    cluster.history(symbol, HistoryRow(time_ms=cluster.now_ms() - 1000, token=7, health=90.0, status="ok"))
    for version in ("", "/v1"):
        assert web.get(f"{version}/reports/{written}").json["symbol"] == symbol
        assert web.get(f"{version}/prices/{written}").json["symbol"] == symbol
        assert web.get(f"{version}/profiles/{written}").json["symbol"] == symbol
        assert web.status(f"{version}/stream/{written}") == 200
    found = web.get(f"/v1/reports/{written}/history?limit=1&step=1ms")
    assert (found.json["symbol"], len(found.json["columns"]["time_ms"])) == (symbol, 1)
    assert web.get("/reports?symbols=kraken:BTC/USD").json["reports"][0]["venue"] == "kraken"
    csv = web.get(f"/v1/reports/{written}/history?format=csv")
    assert csv.headers["Content-Disposition"] == 'inline; filename="kraken-BTC-USD-history.csv"'
    assert web.status("/reports/kraken%3ABTC%2Fhistory") == 503  # known, without a report
    assert web.status("/reports/kraken:BTC/USD") == 404
    assert web.get("/reports/kraken%253ABTC%252FUSD").json["title"] == "Unknown symbol"


def test_a_pair_on_each_venue_and_the_best_of_all(web: WebProcess, cluster: Cluster) -> None:
    venues = {"BTCUSDT": (100.0, 100.5), "okx:BTC-USDT": (100.1, 100.6), "kraken:BTC/USDT": (100.9, 101.0)}
    cluster.assign(dict.fromkeys([*venues, "kraken:BTC/USD"], "node-001"))
    for symbol, (bid, ask) in venues.items():
        best = {"best_bid": {"price": bid, "qty": 1.0}, "best_ask": {"price": ask, "qty": 2.0}}
        cluster.report(symbol, age_ms=60_000 if symbol.startswith("kraken") else 0, **best)
        cluster.listed(symbol, "BTC", "USDT")
    cluster.listed("kraken:BTC/USD", "BTC", "USD")
    assert web.status("/pairs/BTC-EUR") == 404  # and is asked for again
    for path in ("/pairs/BTC-USDT", "/v1/pairs/BTC-USDT", "/v1/pairs/btc-usdt"):
        found = web.get(path)
        assert found.status == 200, found.body
        rows = {one["symbol"]: (one["venue"], one["fresh"], one["bid"]["price"]) for one in found.json["venues"]}
        assert rows == {
            "BTCUSDT": ("binance", True, 100.0),
            "okx:BTC-USDT": ("okx", True, 100.1),
            "kraken:BTC/USDT": ("kraken", False, 100.9),
        }
        assert found.json["bestBid"] == {"symbol": "okx:BTC-USDT", "venue": "okx", "price": 100.1, "qty": 1.0}
        assert found.json["bestAsk"] == {"symbol": "BTCUSDT", "venue": "binance", "price": 100.5, "qty": 2.0}
    [quote] = web.get("/v1/pairs/BTC-USD").json["venues"]
    assert (quote["symbol"], quote["status"], quote["bid"]) == ("kraken:BTC/USD", "down", None)
    assert web.get("/v1/pairs").json["pairs"] == {"BTC-USDT": sorted(venues), "BTC-USD": ["kraken:BTC/USD"]}
    problem = web.get("/v1/pairs/ETH-USD").json
    assert (problem["title"], problem["accepted"]) == ("Unknown pair", ["BTC-USD", "BTC-USDT"])


@pytest.mark.parametrize("given", ["NOPEUSDT", "AAUSDT%20", "AAUSDT%00", "%2e%2e", "A" * 500, "%F0%9F%92%A5"])
def test_an_unknown_symbol_is_named_with_those_that_there_are(web: WebProcess, given: str) -> None:
    for path in (
        f"/reports/{given}",
        f"/prices/{given}",
        f"/profiles/{given}",
        f"/stream/{given}",
        f"/reports?symbols={given}%2CX",
    ):
        answer = web.get(path)
        assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json"), path
        problem = answer.json
        assert (problem["status"], problem["title"]) == (404, "Unknown symbol")
        assert set(problem["accepted"]) == {"AAUSDT", "BBUSDT"}
        assert "there are AAUSDT, BBUSDT" in problem["detail"] or "there are BBUSDT, AAUSDT" in problem["detail"]
        assert len(answer.body) < 500


def test_the_nearest_symbol_is_named_first(web: WebProcess) -> None:
    assert web.get("/reports/bbusd").json["accepted"][0] == "BBUSDT"


def test_what_is_no_symbol_names_no_key(web: WebProcess, cluster: Cluster) -> None:
    cluster.report("AAUSDT")
    cluster.client.rename("report:AAUSDT", "report:secret")
    assert web.get("/reports/secret").status == 404


def test_of_many_symbols_some_are_named(web: WebProcess, cluster: Cluster) -> None:
    cluster.assign({f"S{number}USDT": "node-001" for number in range(500)})
    problem = web.get("/reports/S499USDC").json
    assert problem["accepted"][0] == "S499USDT"
    assert problem["detail"].endswith("and 490 more")


def test_a_known_symbol_without_a_report_is_another_matter(web: WebProcess) -> None:
    answer = web.get("/reports/AAUSDT")
    assert (answer.status, answer.json["title"], answer.headers["Retry-After"]) == (503, "No report", "1")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda _: b"{}", "no readable report of schema version 2.0: "),
        (lambda text: text[:-9], "no readable report: "),
        (
            lambda text: text.replace(b'"2.0"', b'"1.1"'),
            "no readable report of schema version 2.0: Invalid enum value '1.1'",
        ),
        (lambda text: text + b"\n", "is not one line with a JSON object"),
        (lambda text: json.dumps(json.loads(text), indent=1).encode(), "is not one line with a JSON object"),
    ],
)
def test_one_report_that_cannot_be_read_is_told_as_such_and_keeps_no_other_back(
    web: WebProcess, cluster: Cluster, change: Callable[[bytes], bytes], told: str
) -> None:
    for symbol in ("AAUSDT", "BBUSDT"):
        cluster.report(symbol)
    cluster.client.set("report:AAUSDT", change(cluster.client.get("report:AAUSDT")))
    answer = web.get("/reports/AAUSDT")
    assert (answer.status, answer.json["title"]) == (502, "Bad report")
    assert answer.json["detail"].startswith("AAUSDT has no readable report") and told in answer.json["detail"]
    answer = web.get("/reports")
    assert (answer.status, answer.json["unreadable"], answer.json["missing"]) == (200, ["AAUSDT"], [])
    assert [report["symbol"] for report in answer.json["reports"]] == ["BBUSDT"]

    def ready() -> bool:
        cluster.report("BBUSDT")
        answer = web.get("/readyz")
        return answer.status == 200 and answer.json["not_fresh"] == ["AAUSDT"]

    wait_until(ready, "it is ready")
    with web.stream() as table, web.stream("/stream/AAUSDT") as one:
        rows = table.until("state")["symbols"]
        assert [(row["symbol"], row["price"] is None) for row in rows] == [("AAUSDT", True), ("BBUSDT", False)]
        assert one.until("report", "absent")["text"] == "AAUSDT has no report now"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("HSET", "nt:dispatcher", "until", "soon"), "nt:dispatcher"),
        (("HSET", "nt:assignment", "generation", "first"), "nt:assignment"),
        (("ZADD", "nt:nodes", "inf", "node-001"), "nt:nodes"),
        (("SET", "nt:assignment", "x"), "Redis refused to be read: "),
    ],
)
def test_what_is_not_tickfences_in_redis_is_told_and_the_streams_wait_for_its_end(
    web: WebProcess, cluster: Cluster, command: tuple[str, ...], told: str
) -> None:
    cluster.node()
    cluster.lead()
    cluster.assign({"AAUSDT": "node-001"})
    cluster.report("AAUSDT")
    with web.stream() as stream:
        stream.until("state")
        cluster.client.execute_command(*command)
        assert told in stream.until("outage")["text"]
        for path in ("/nodes", "/symbols", "/reports"):
            answer = web.get(path)
            assert (answer.status, answer.json["title"]) == (503, "Data unavailable"), path
            assert told in answer.json["detail"]
        cluster.client.delete("nt:dispatcher", "nt:assignment", "nt:nodes")
        assert stream.until("state")["symbols"]


def test_a_name_or_an_event_that_cannot_be_read_harms_nothing_else(web: WebProcess, cluster: Cluster) -> None:
    cluster.node()
    cluster.client.zadd("nt:nodes", {b"\xff\xfe": cluster.now_ms()})
    assert [node["node"] for node in web.get("/nodes").json["nodes"]] == ["node-001"]
    cluster.event({"kind": "leader", "reason": "first", "leader": "beat@here/1", "term": "new"})
    [event] = web.get("/events").json["events"]
    assert event["text"] == "beat@here/1 leads, the first to do so." and "term" not in event


def test_a_trade_that_cannot_be_read_is_told(web: WebProcess, cluster: Cluster) -> None:
    cluster.report("AAUSDT")
    cluster.client.xadd(KEYS.trades("AAUSDT"), {"p": "x"}, id=f"{cluster.now_ms() // 1000 * 1000 - 2000}-1")
    for path, told in (("/prices/AAUSDT", "md:{AAUSDT}:trades: trade "), ("/profiles/AAUSDT", "AAUSDT: trade ")):
        answer = web.get(path)
        assert (answer.status, answer.json["title"]) == (503, "Data unavailable")
        assert answer.json["detail"].startswith(told)


def test_several_reports_at_once(web: WebProcess, cluster: Cluster) -> None:
    cluster.report("AAUSDT")
    answer = web.get("/reports?symbols=AAUSDT,BBUSDT,AAUSDT,BBUSDT")
    assert [report["symbol"] for report in answer.json["reports"]] == ["AAUSDT"]
    assert answer.json["missing"] == ["BBUSDT"]
    cluster.report("BBUSDT", age_ms=60_000)
    answer = web.get("/reports")
    assert [report["freshness"]["stale"] for report in answer.json["reports"]] == [False, True]
    assert (answer.json["missing"], answer.headers["Report-Stale"]) == ([], "true")


def test_which_symbols_there_are_is_asked_once(web: WebProcess, cluster: Cluster) -> None:
    """Asked again, they may be others by then, and the first ones unknown."""
    cluster.client.config_resetstat()
    assert web.get("/reports").json["missing"] == ["AAUSDT", "BBUSDT"]
    assert cluster.client.info("commandstats")["cmdstat_zrange"]["calls"] == 1


def test_the_symbols_are_those_that_are_assigned(web: WebProcess, cluster: Cluster) -> None:
    assert web.get("/symbols").json == {
        "generation": 0,
        "symbols": [{"symbol": symbol, "owner": None, "idle": None} for symbol in ("AAUSDT", "BBUSDT")],
    }
    cluster.assign({"A1USDT": "node-001", "CCUSDT": "node-002", "BBUSDT": "node-001"}, generation=4)
    found = web.get("/symbols").json
    assert [(one["symbol"], one["owner"]) for one in found["symbols"]] == [
        ("BBUSDT", "node-001"),  # the one that SYMBOLS names first
        ("A1USDT", "node-001"),
        ("CCUSDT", "node-002"),
    ]
    assert found["generation"] >= 4


def test_nodes_have_their_heartbeat_and_how_many_symbols_they_own(web: WebProcess, cluster: Cluster) -> None:
    cluster.node("node-002", silent_ms=5_000)
    cluster.node("node-001", silent_ms=-10_000)  # alive for as long as a slow machine takes to look
    cluster.lead("beat@here/1", 5)
    cluster.assign({"AAUSDT": "node-001", "BBUSDT": "node-001"})
    found = web.get("/nodes").json
    one, two = found["nodes"]
    assert 5_000 <= two.pop("heartbeatAgeMs") < 20_000
    assert one.pop("heartbeatAgeMs") < 900
    common = {"host": "here", "pid": 42, "incarnation": INCARNATION, "reportsPerSec": None, "weight": 1.0}
    assert one == {"node": "node-001", "symbols": 2, "alive": True, "state": "alive", **common}
    assert two == {"node": "node-002", "symbols": 0, "alive": False, "state": "silent", **common}
    assert found["leader"] == {"leader": "beat@here/1", "name": "beat@here/1", "term": 5}


def test_symbols_and_nodes_are_as_operators_want_them_at_once(web: WebProcess, cluster: Cluster) -> None:
    cluster.node("node-001", silent_ms=-10_000)
    cluster.node("node-002", silent_ms=-10_000)
    cluster.assign({"AAUSDT": "node-001", "BBUSDT": "node-001"})
    for symbol in ("AAUSDT", "BBUSDT"):
        cluster.report(symbol)
    a, b, c = map(Instrument, ("AAUSDT", "BBUSDT", "CCUSDT"))
    cluster.want(lambda was, now: pause(add(was, [c], now), [a], now))
    cluster.want(lambda was, now: set_mode(set_weight(was, "node-001", 2.5, now), "node-002", NodeMode.DRAINED, now))
    cluster.blame("BBUSDT")
    assert [(one["symbol"], one["idle"]) for one in web.get("/symbols").json["symbols"]] == [
        ("AAUSDT", "paused"),
        ("BBUSDT", "set aside"),
        ("CCUSDT", None),
    ]
    found = web.get("/reports")
    fresh = [one["freshness"] for one in found.json["reports"]]
    assert [(one["status"], one["stale"]) for one in fresh] == [("paused", True), ("set aside", True)]
    assert (found.headers["Report-Stale"], found.json["missing"]) == ("true", ["CCUSDT"])
    assert [(one["state"], one["alive"], one["weight"]) for one in web.get("/nodes").json["nodes"]] == [
        ("alive", True, 2.5),
        ("drained", True, 1.0),
    ]
    cluster.client.delete("report:AAUSDT")
    absent = web.get("/reports/AAUSDT")
    assert absent.status == 503 and "an operator has paused the symbol" in absent.json["detail"]
    cluster.want(lambda was, now: resume(remove(was, [a], now), [b], now))
    cluster.report("BBUSDT")
    assert web.get("/reports/BBUSDT").json["freshness"]["status"] in ("ok", "degraded")
    cluster.report("AAUSDT")  # its last node has not heard of it yet
    assert web.get("/reports/AAUSDT").status == 404
    assert [one["symbol"] for one in web.get("/symbols").json["symbols"]] == ["BBUSDT", "CCUSDT"]
    cluster.client.delete("nt:desired", "nt:dispatcher")
    assert web.get("/reports/AAUSDT").status == 200


def test_reports_stay_readable_beside_a_desired_state_that_tickfence_did_not_write(
    web: WebProcess, cluster: Cluster
) -> None:
    cluster.report("AAUSDT")
    cluster.client.hset("nt:desired", "version", "new")
    assert web.get("/reports/AAUSDT").status == 200
    cluster.client.delete("nt:desired")


def test_a_lead_that_ran_out_is_none(web: WebProcess, cluster: Cluster) -> None:
    cluster.lead(for_ms=-1)
    found = web.get("/nodes").json
    assert found.pop("now") == pytest.approx(cluster.now_ms(), abs=20_000)
    assert found == {"nodes": [], "leader": None, "reportsPerSec": None}


def test_events_are_read_on_from_the_last_one(web: WebProcess, cluster: Cluster) -> None:
    assert web.get("/events").json["events"] == []
    for number in range(5):
        cluster.event(node_event(NodeReason.JOINED, Owner(f"node-{number}", "aa"), 7))
    cluster.event(moved_event(MoveReason.DIED, 9, 7, "beat-1", {"AAUSDT": ("node-3", None)}))
    newest = web.get("/events?limit=3").json["events"]
    assert [event.get("node") for event in newest] == ["node-3", "node-4", None]
    event = newest[-1]
    assert (event["kind"], event["reason"], event["generation"]) == ("moved", "node died", 9)
    assert event["moves"] == {"AAUSDT": ["node-3", None]}
    assert event["text"].startswith("A node died: ") and "symbol" not in event
    assert event["at"] == int(event["id"].split("-")[0])
    after = web.get(f"/events?limit=1&after={newest[0]['id']}").json["events"]
    assert [event["node"] for event in after] == ["node-4"]
    assert web.get(f"/events?after={event['id']}").json["events"] == []


def test_the_price_line_has_the_last_trade_of_each_second(web: WebProcess, cluster: Cluster) -> None:
    second = cluster.now_ms() // 1000 - 30
    for offset, price in ((0, "1"), (999, "2"), (1000, "3"), (5500, "4.25"), (5501, "5")):
        cluster.trade("AAUSDT", second * 1000 + offset, price)
    found = web.get("/prices/AAUSDT?minutes=1").json
    points = [[0, 999, 2.0], [1000, 1000, 3.0], [5501, 5501, 5.0]]
    assert found == {"symbol": "AAUSDT", "points": [[second * 1000 + at, price] for _, at, price in points]}
    cluster.client.delete(KEYS.trades("AAUSDT"))
    assert web.get("/prices/AAUSDT").json["points"] == []


def test_the_profile_is_the_histogram_that_the_reports_three_prices_are_of(web: WebProcess, cluster: Cluster) -> None:
    cluster.report("AAUSDT")
    now = cluster.now_ms()
    cluster.trade("AAUSDT", now - 1_801_000, "99.00")  # older than 30 minutes
    for place, price in enumerate(("100.07", "100.02", "100.04", "100.00", "100.05")):
        cluster.trade("AAUSDT", now - 1000 + place, price)
    cluster.client.hset(KEYS.info("AAUSDT"), mapping={"tick_size": "0.01", "step_size": "0.1", "status": "TRADING"})
    found = web.get("/profiles/AAUSDT").json
    assert (found["windowSec"], found["tradeCount"], found["binWidth"]) == (1800, 5, 0.05)
    assert found["bins"] == [[100.0, 1.5], [100.05, 1.0]]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/events?limit=0", "limit='0': "),
        ("/events?limit=1001", "1000"),
        ("/events?limit=" + "9" * 4000, "limit='9"),
        ("/v1/events?after=x;y", "after='x;y': "),
        ("/v1/events?since=yesterday", "since='yesterday': must be milliseconds since 1970 UTC, ISO 8601 like "),
        ("/v1/reports/AAUSDT/history?until=-2h&since=-1h", "until='-2h': must not be before since='-1h'"),
        ("/v1/reports/AAUSDT/history?step=10", "step='10': must be a whole number with its unit (ms, s, m, h, d)"),
        ("/v1/reports/AAUSDT/history?step=2d", "from 1ms to 1d"),
        ("/v1/reports/AAUSDT/history?fields=mid,x", "there is no field 'mid'; there are time_ms, token, mid_price, "),
        ("/v1/reports/AAUSDT/history?limit=10001", "10000"),
        ("/v1/reports/AAUSDT/history?format=xml", "format='xml': must be 'json' or 'csv'"),
        ("/v1/sparklines?symbols=", "give 1 to 100"),
        ("/prices/AAUSDT?minutes=31", "30"),
        ("/prices/AAUSDT?minutes=-1", "minutes='-1': "),
        ("/prices/AAUSDT?minutes=nan", "minutes='nan': "),
        ("/reports?symbols=", "give 1 to 100"),
        ("/reports?symbols=" + ",".join(f"A{n}" for n in range(101)), "names 101 symbols; give 1 to 100"),
    ],
)
def test_bad_parameters_are_named_with_what_is_accepted(web: WebProcess, path: str, told: str) -> None:
    answer = web.get(path)
    assert (answer.status, answer.headers["Content-Type"]) == (422, "application/problem+json")
    assert told in answer.json["detail"] and len(answer.body) < 400


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/reports?symbol=AAUSDT", "there is no parameter 'symbol'; there are symbols"),
        ("/reports?symbols=AAUSDT&symbols=BBUSDT", "symbols is given 2 times; give it once"),
        ("/v1/events?from=1", "there is no parameter 'from'; there are after, limit, since, until, format"),
        ("/v1/reports/AAUSDT/history?field=x", "there are since, until, step, fields, limit, after, format"),
        ("/symbols?token=secret", "there is no parameter 'token'; this address takes none"),
        ("/stream?%F0%9F%92%A5=1", "this address takes none"),
        ("/stream/AAUSDT?symbols=BBUSDT", "this address takes none"),
    ],
)
def test_a_parameter_is_never_passed_over_in_silence(web: WebProcess, path: str, told: str) -> None:
    answer = web.get(path)
    assert (answer.status, answer.json["title"]) == (422, "Bad parameter")
    assert told in answer.json["detail"]


def test_head_answers_as_get_without_the_body(web: WebProcess, cluster: Cluster) -> None:
    cluster.report("AAUSDT", age_ms=60_000)
    wanted = {"/reports/NOPE": 404, "/mcp": 405}
    for path in ("/", "/docs/start.js", "/healthz", "/reports/AAUSDT", "/reports", "/symbols", "/stream", *wanted):
        answer = web.get(path, method="HEAD")
        assert (answer.status, answer.body) == (wanted.get(path, 200), b""), path
        assert "Content-Security-Policy" in answer.headers
    assert web.get("/reports/AAUSDT", method="HEAD").headers["Report-Stale"] == "true"
    sizes = [web.get("/symbols", method=method).headers["Content-Length"] for method in ("GET", "HEAD")]
    assert sizes[0] == sizes[1] != "0"


def test_it_lives_and_is_ready_once_a_report_is_fresh(web: WebProcess, cluster: Cluster) -> None:
    assert (web.get("/healthz").status, web.get("/healthz").json) == (200, {"status": "ok"})

    def comes(status: int, reason: str, *fresh: str) -> None:
        """Looks stand for a second."""

        def found() -> bool:
            for symbol in fresh:
                cluster.report(symbol)
            answer = web.get("/readyz")
            return answer.status == status and reason in str(answer.json["reason"])

        wait_until(found, reason)

    comes(503, "none of 2 symbols has a fresh report; there is no report at all")
    cluster.report("AAUSDT", age_ms=60_000)
    comes(503, "none of 2 symbols has a fresh report; AAUSDT: the report has not been rewritten for ")
    comes(200, "None", "BBUSDT")
    wanted = {"ready": True, "reason": None, "symbols": 2, "fresh": 1, "paused": 0, "not_fresh": ["AAUSDT"]}
    assert web.get("/readyz").json == wanted
    a, b = map(Instrument, ("AAUSDT", "BBUSDT"))
    cluster.want(lambda was, now: pause(was, [b], now))
    comes(503, "none of 1 symbols has a fresh report; AAUSDT: the report has not been rewritten for ")
    cluster.want(lambda was, now: pause(was, [a], now))
    comes(200, "None")
    assert web.get("/readyz").json == wanted | {"fresh": 0, "paused": 2, "not_fresh": []}


def test_the_description_has_the_schema_of_all_that_is_answered(web: WebProcess, cluster: Cluster) -> None:
    cluster.report("AAUSDT")
    cluster.listed("AAUSDT", "AA", "USDT")
    cluster.node()
    cluster.assign({"AAUSDT": "node-001"})
    cluster.lead()
    cluster.event(node_event(NodeReason.DIED, Owner("node-1", "aa"), 7))
    page = web.get("/openapi.json").json
    given = {"{symbol}": "AAUSDT", "{pair}": "AA-USDT"}
    paths = {re.sub(r"{.*}", lambda name: given[name[0]], path): item["get"] for path, item in page["paths"].items()}
    versioned = ("reports/AAUSDT", "reports", "symbols", "nodes", "events", "prices/AAUSDT", "profiles/AAUSDT")
    versioned += ("pairs", "pairs/AA-USDT")
    new = ("reports/AAUSDT/history", "sparklines", "stream/reports", "trades/AAUSDT")
    assert paths.keys() == {
        *(f"/v1/{path}" for path in (*versioned, *new, "stream", "stream/AAUSDT")),
        *("/healthz", "/readyz"),
    }
    assert {web.status(f"/{path}") for path in (*versioned, "stream", "stream/AAUSDT")} == {200}
    for path, operation in paths.items():
        assert operation["summary"] and operation["description"]
        query = "?symbols=AAUSDT" if path in ("/v1/sparklines", "/v1/stream/reports") else ""
        if "application/json" in operation["responses"]["200"]["content"]:
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
            assert errors(web.get(path + query).json, schema, page) == [], path
        else:
            name, data = next(read_some(web, path + query))
            schema = operation["responses"]["200"]["content"]["text/event-stream"]["x-events"][name]
            assert errors(data, schema, page) == [], path
    assert page["components"]["schemas"]["Depth"] == _components(SCHEMA["$defs"]["Depth"])
    wanted = _components(SCHEMA["$defs"]["Report"]["properties"])
    assert wanted.items() <= page["components"]["schemas"]["FreshReport"]["properties"].items()


def test_a_symbol_is_known_in_lower_case_too(web: WebProcess, cluster: Cluster) -> None:
    cluster.report("AAUSDT")
    cluster.assign({"AAUSDT": "node-001", "okx:AA-USDT": "node-001"})
    for path in ("/reports/aausdt", "/prices/aausdt", "/profiles/aausdt", "/v1/reports/aausdt/history"):
        assert web.get(path).json["symbol"] == "AAUSDT", path
    assert [one["symbol"] for one in web.get("/reports?symbols=aausdt,AAUSDT").json["reports"]] == ["AAUSDT"]
    assert web.status("/reports/okx:aa-usdt") == 404  # a venue's names may differ in case alone


def test_operations_have_names_for_people_and_lists_no_tuples(web: WebProcess) -> None:
    answer = web.get("/openapi.json")
    names = {item["get"]["operationId"] for item in answer.json["paths"].values()}
    assert names == {
        *("getReport", "listReports", "getHistory", "listSparklines", "listSymbols", "getPrices", "getProfile"),
        "getTrades",
        *("listPairs", "getPair", "listNodes", "listEvents", "streamTable", "streamReport", "streamReports"),
        *("getHealth", "getReadiness"),
    }
    assert b"prefixItems" not in answer.body
    points = answer.json["components"]["schemas"]["Prices"]["properties"]["points"]["items"]
    assert (points["minItems"], points["maxItems"]) == (2, 2)
    assert points["items"] == {"anyOf": [{"type": "integer"}, {"type": "number"}]}


def test_what_has_not_changed_is_not_sent_again(web: WebProcess, cluster: Cluster) -> None:
    for symbol in ("AAUSDT", "BBUSDT"):
        cluster.report(symbol)
        cluster.listed(symbol, symbol[:2], "USDT")
    cluster.node(silent_ms=-10_000)
    cluster.lead()
    cluster.event(node_event(NodeReason.JOINED, Owner("node-1", "aa"), 7))
    paths = ("reports/AAUSDT", "reports", "symbols", "nodes", "events", "prices/AAUSDT", "profiles/AAUSDT", "pairs")
    for path in (
        *(f"/v1/{path}" for path in paths),
        "/v1/sparklines?symbols=AAUSDT",
        "/v1/pairs/AA-USDT",
        "/openapi.json",
    ):

        def unchanged(path: str = path) -> bool:
            """On a slow machine the report becomes stale in between, which is a change."""
            for symbol in ("AAUSDT", "BBUSDT"):
                cluster.client.expire(f"report:{symbol}", 300)
            tag = web.get(path).headers["ETag"]
            again = web.get(path, If_None_Match=tag)
            assert again.headers["Cache-Control"] == "private, no-cache"
            return (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)

        wait_until(unchanged, f"304 for {path}")
    tag = web.get("/v1/reports/AAUSDT").headers["ETag"]
    cluster.report("AAUSDT", last_price=8.5)
    changed = web.get("/v1/reports/AAUSDT", If_None_Match=tag)
    assert (changed.status, changed.json["last_price"]) == (200, 8.5)
    again = wait_until(
        lambda: (found := web.get("/v1/reports/AAUSDT", If_None_Match="*")).status == 304 and found, "not sent again"
    )
    assert int(again.headers["Report-Age-Ms"]) >= 0 and again.headers["Report-Stale"] in ("true", "false")
    stale = wait_until(
        lambda: (found := web.get("/v1/reports/AAUSDT")).headers["Report-Stale"] == "true" and found, "it is stale"
    )
    assert stale.headers["ETag"] != changed.headers["ETag"]


def test_long_answers_are_compressed(web: WebProcess, cluster: Cluster) -> None:
    for symbol in ("AAUSDT", "BBUSDT"):
        cluster.report(symbol)
    for path in (
        "/v1/reports",
        "/v1/reports/AAUSDT",
        "/openapi.json",
        "/docs/swagger-ui.css",
        "/static/vendor/uplot/uPlot.esm.js",
    ):
        packed = web.get(path, Accept_Encoding="gzip")
        assert packed.headers["Content-Encoding"] == "gzip", path
        assert len(gzip.decompress(packed.body)) > 1.5 * len(packed.body), path
        assert "Accept-Encoding" in packed.headers["Vary"]
    assert "Content-Encoding" not in web.get("/v1/reports").headers


@pytest.mark.parametrize("path", ["/static/vendor/uplot/uPlot.esm.js", "/"])
def test_files_are_compressed_and_kept_by_clients_but_parts_of_a_file_are_as_they_are(
    web: WebProcess, path: str
) -> None:
    packed, plain = web.get(path, Accept_Encoding="gzip"), web.get(path)
    assert packed.headers["Content-Encoding"] == "gzip" and "Content-Encoding" not in plain.headers
    assert gzip.decompress(packed.body) == plain.body
    assert int(packed.headers["Content-Length"]) == len(packed.body)
    part = web.get(path, Accept_Encoding="gzip", Range="bytes=10-19")
    assert (part.status, part.body) == (206, plain.body[10:20])
    assert "Content-Encoding" not in part.headers
    for answer in (packed, plain, part):
        assert answer.headers["Vary"] == "Accept-Encoding"
        again = web.get(path, Accept_Encoding="gzip", If_None_Match=answer.headers["ETag"])
        assert (again.status, again.body, again.headers["Vary"]) == (304, b"", "Accept-Encoding")
    head = web.get(path, method="HEAD", Accept_Encoding="gzip")
    assert (head.body, head.headers["Content-Length"]) == (b"", packed.headers["Content-Length"])


def test_each_kind_of_problem_has_a_documented_code(web: WebProcess) -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d+) \|", (ROOT / "docs" / "web.md").read_text(), re.MULTILINE)
    told = {kind.code: kind.value[0] for kind in Kind}
    assert {code: int(status) for code, status in rows} == told
    described = web.get("/openapi.json").json["x-problem-codes"]
    assert {code: each["status"] for code, each in described.items()} == told
    given = {path: web.get(path).json["code"] for path in ("/x", "/reports/NOPE", "/reports/AAUSDT", "/reports?x=1")}
    assert list(given.values()) == ["not_found", "unknown_symbol", "no_report", "bad_parameter"]


def read_some(web: WebProcess, path: str) -> Iterator[tuple[str, Any]]:
    with web.stream(path) as stream:
        yield from stream.events()


def test_every_answer_is_described_with_an_example_that_is_right(web: WebProcess) -> None:
    page = web.get("/openapi.json").json
    for path, item in page["paths"].items():
        operation = item["get"]
        for parameter in operation.get("parameters", ()):
            assert parameter["schema"]["examples"] and parameter["description"], (path, parameter["name"])
        described = operation["responses"]
        data = path not in ("/healthz", "/readyz")
        assert {"200", "default", *(("401", "422", "503") if data else ())} <= described.keys()
        assert ("security" in operation) != data
        for status, response in described.items():
            assert response["description"]
            kind, content = next(iter(response.get("content", {"none": None}).items()))
            if status == "304":
                assert kind == "none"
            elif kind == "text/event-stream":
                told = dict(re.findall(r"event: (\w+)\ndata: (.*)\n\n", content["example"]))
                assert told.keys() == content["x-events"].keys()
                for name, schema in content["x-events"].items():
                    assert errors(json.loads(told[name]), schema, page) == [], (path, name)
            else:
                assert errors(content["example"], content["schema"], page) == [], (path, status)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/reports/AAUSDT", "503"),
        ("/v1/reports/NOPE", "404"),
        ("/v1/reports?symbols=NOPE", "404"),
        ("/v1/events?limit=0", "422"),
        ("/v1/prices/NOPE", "404"),
        ("/v1/reports/NOPE/history", "404"),
        ("/v1/reports/AAUSDT/history?since=x", "422"),
        ("/v1/stream/NOPE", "404"),
        ("/v1/stream?x=1", "422"),
        ("/readyz", "503"),
    ],
)
def test_refusals_are_as_described(web: WebProcess, path: str, status: str) -> None:
    page = web.get("/openapi.json").json
    route = re.sub(r"/(AAUSDT|NOPE)\b", "/{symbol}", path.partition("?")[0])
    if path == "/readyz":
        wait_until(lambda: web.get(path).status == int(status), "it is not ready")
    answer = web.get(path)
    described = page["paths"][route]["get"]["responses"][status]["content"]
    assert (str(answer.status), [answer.headers["Content-Type"]]) == (status, list(described))
    assert errors(answer.json, described[answer.headers["Content-Type"]]["schema"], page) == []


def _components(schema: Any) -> Any:
    return json.loads(json.dumps(schema).replace("#/$defs/", "#/components/schemas/"))


def test_the_description_can_be_read_without_the_internet(web: WebProcess) -> None:
    page = web.get("/docs").body.decode()
    assert "http" not in page.replace("tickfence: HTTP API", "")
    for path in ("/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/start.js"):
        assert path in page
        assert web.get(path).status == 200


def test_the_page_is_at_the_root(web: WebProcess) -> None:
    answer = web.get("/")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
