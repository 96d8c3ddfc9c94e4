"""Both clients against a real web server: reports, their age, errors, history, streams."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.client.conftest import SETTINGS, TOKEN, InLoop, Statuses, address
from tests.web.reporting import KEYS, Cluster
from tests.web.web_process import WebProcess
from tickfence import Client
from tickfence.analytics.history_row import HistoryRow
from tickfence.client import (
    BadAnswer,
    FreshReport,
    Lost,
    NoReport,
    StaleReport,
    Unauthorized,
    Unavailable,
    UnknownSymbol,
    Unreachable,
)
from tickfence.coordination.owner import Owner
from tickfence.timeline.events import NodeReason, node_event
from tools.local import ports
from tools.local.embedded_redis import EmbeddedRedis

Connect = Callable[..., Any]


def rows(now_ms: int, count: int) -> list[HistoryRow]:
    """One row a second until now; every second one has no mid price and no anomalies."""
    return [
        HistoryRow(
            **{"time_ms": now_ms - 1_000 * (count - number), "token": 7, "health": 90.0, "status": "ok"},
            **({"mid_price": 100.0 + number, "anomalies": 1, "severity": "low"} if number % 2 else {}),
        )
        for number in range(count)
    ]


def test_a_report_is_typed_and_refuses_to_be_stale(connect: Connect, cluster: Cluster, server: WebProcess) -> None:
    written = cluster.report("AAUSDT")
    report = connect().report("AAUSDT")
    assert isinstance(report, FreshReport)
    shown = json.loads(msgspec.json.encode(report))
    assert shown.pop("freshness")["data_age_ms"] >= 50
    assert shown == written

    cluster.report("AAUSDT", age_ms=5_000)
    with pytest.raises(
        StaleReport, match=r"AAUSDT: the market data is \d+,\d\d\d ms old, and the limit is 4,000 ms"
    ) as old:
        connect(max_age=4).report("AAUSDT")
    assert (old.value.symbol, old.value.max_age_ms) == ("AAUSDT", 4_000)
    assert old.value.age_ms >= 5_050
    assert connect().report("AAUSDT").freshness.data_age_ms >= 5_050
    with Client(address(server.port), token=TOKEN) as usual, pytest.raises(StaleReport, match="limit is 3,000 ms"):
        usual.report("AAUSDT")


def test_what_the_server_calls_stale_is_stale_at_any_limit_but_none(connect: Connect, cluster: Cluster) -> None:
    cluster.report("AAUSDT", age_ms=70_000)
    with pytest.raises(StaleReport, match=r"has not been rewritten for \d+\.\d s$"):
        connect(max_age=600).report("AAUSDT")
    assert connect(max_age=None).report("AAUSDT").freshness.stale


def test_several_reports_come_with_why_the_others_do_not(connect: Connect, cluster: Cluster) -> None:
    cluster.report("AAUSDT", age_ms=70_000)
    cluster.report("kraken:BTC/USD")
    for found in (connect().reports(), connect().reports(["AAUSDT", "BBUSDT", "kraken:BTC/USD"])):
        assert list(found.fresh) == ["kraken:BTC/USD"]
        assert {symbol: type(why) for symbol, why in found.refused.items()} == {
            "AAUSDT": StaleReport,
            "BBUSDT": NoReport,
        }
    assert connect().report("kraken:BTC/USD").symbol == "kraken:BTC/USD"
    cluster.client.set(KEYS.report("BBUSDT"), b'{"schemaVersion":"9.0"}')
    assert isinstance(connect().reports("BBUSDT").refused["BBUSDT"], BadAnswer)
    with pytest.raises(BadAnswer, match="BBUSDT has no readable report of schema version"):
        connect().report("BBUSDT")


def test_errors_say_what_to_do(connect: Connect, cluster: Cluster) -> None:
    cluster.report("AAUSDT")
    with pytest.raises(UnknownSymbol, match="there is no symbol") as unknown:
        connect().report("AAUSD")
    assert unknown.value.nearest[0] == "AAUSDT"
    with pytest.raises(UnknownSymbol):
        next(connect().stream("AAUSD"))
    with pytest.raises(NoReport) as none:
        connect().report("BBUSDT")
    assert none.value.retryable and none.value.retry_after_s == 1
    for token in (None, "another-token-of-some-length"):
        with pytest.raises(Unauthorized, match="Authorization: Bearer"):
            connect(token=token).report("AAUSDT")
        with pytest.raises(Unauthorized):
            next(connect(token=token).stream("AAUSDT"))
    for call in (lambda: connect().report("A" * 70_000), lambda: next(connect().stream("A" * 70_000))):
        with pytest.raises(BadAnswer, match="too long"):
            call()
    with pytest.raises(Unreachable, match="no connection"):
        connect(url=address(ports.pick())).report("AAUSDT")


def test_history_comes_as_arrays_page_by_page(connect: Connect, cluster: Cluster) -> None:
    now = cluster.now_ms()
    planted = rows(now, 10_050)
    cluster.history("AAUSDT", *planted)
    client = connect()
    whole = client.history("AAUSDT", datetime.fromtimestamp(now / 1000 - 20_000, UTC), fields=["mid_price", "severity"])
    assert whole.fields == ("time_ms", "mid_price", "severity")
    assert len(whole) == len(planted) and whole.complete
    assert whole["time_ms"].tolist() == [row.time_ms for row in planted]
    assert whole.times.dtype == np.dtype("datetime64[ms]")
    prices = whole["mid_price"]
    assert prices.dtype == np.float64
    assert math.isnan(prices[0]) and prices[1] == 101.0
    assert whole["severity"][:2].tolist() == ["", "low"]
    table = whole.arrow()
    assert table.column_names == ["time", "mid_price", "severity"]
    assert table["severity"].null_count == table["mid_price"].null_count == 5_025

    some = client.history("AAUSDT", "-1h", step="10s", max_rows=5)
    assert (len(some), some.complete) == (5, False)
    assert some["token"].dtype == np.int64
    assert some["anomalies"].dtype == some["walls"].dtype == np.float64
    assert np.isnan(some["walls"]).all()
    with pytest.raises(KeyError):
        whole["spread_bps"]
    with pytest.raises(ValueError, match="time zone"):
        client.history("AAUSDT", datetime(2026, 1, 1))


def test_symbols_nodes_and_events(connect: Connect, cluster: Cluster) -> None:
    cluster.node("node-001")
    cluster.lead()
    cluster.event(node_event(NodeReason.JOINED, Owner("node-001", "aa"), 7))
    client = connect()
    assert client.symbols() == ["AAUSDT", "BBUSDT", "kraken:BTC/USD"]
    nodes = client.nodes()
    assert [node.node for node in nodes.nodes] == ["node-001"] and nodes.leader
    [event] = client.events().events
    assert event.kind == "node"
    assert client.events(after=event.id).events == []


def test_what_has_not_changed_is_not_sent_again(server: WebProcess, cluster: Cluster) -> None:
    cluster.history("AAUSDT", *rows(cluster.now_ms(), 30))
    seen = Statuses()
    with Client(address(server.port), token=TOKEN, transport=seen) as client:
        since, until = cluster.now_ms() - 60_000, cluster.now_ms()
        first, second = (client.history("AAUSDT", since, until) for _ in range(2))
        assert seen.seen == [200, 304]
        assert second["time_ms"].tolist() == first["time_ms"].tolist()
        cluster.history("AAUSDT", *rows(until + 950, 1))
        assert len(client.history("AAUSDT", since, until)) == 31
        assert seen.seen == [200, 304, 200]


def test_a_stream_tells_each_report_once_and_when_there_is_none(connect: Connect, cluster: Cluster) -> None:
    told = connect().stream("AAUSDT")
    lost = next(told)
    assert isinstance(lost, Lost) and lost.symbols == ("AAUSDT",) and isinstance(lost.error, NoReport)
    written = cluster.report("AAUSDT")
    assert next(told).updated_at == written["updatedAt"]
    cluster.report("AAUSDT", age_ms=70_000)
    lost = next(told)
    assert isinstance(lost.error, StaleReport)
    written = cluster.report("AAUSDT")
    assert next(told).updated_at == written["updatedAt"]


def test_one_stream_has_several_symbols(connect: Connect, cluster: Cluster) -> None:
    for symbol in ("AAUSDT", "BBUSDT"):
        cluster.report(symbol)
    told = connect().stream(["AAUSDT", "BBUSDT"])
    assert {next(told).symbol for _ in range(2)} == {"AAUSDT", "BBUSDT"}


def test_streams_come_back_and_go_on_with_the_newest(cluster: Cluster, data: EmbeddedRedis) -> None:
    port, cluster_url = ports.pick(), data.url()
    clients = [make(address(port), token=TOKEN, max_age=60, timeout=60) for make in (Client, InLoop)]
    before = cluster.report("AAUSDT")["updatedAt"]
    with WebProcess(cluster_url, port=port, **SETTINGS) as first:
        first.wait_until_up()
        streams = [client.stream("AAUSDT") for client in clients]
        assert [next(told).updated_at for told in streams] == [before] * 2
        data.pause()
        try:
            assert [type(next(told).error) for told in streams] == [Unavailable] * 2
        finally:
            data.resume()
        assert [next(told).updated_at for told in streams] == [before] * 2, "it ends the outage"
        first.process.kill()
    lost = [next(told) for told in streams]
    assert [(type(one), type(one.error)) for one in lost] == [(Lost, Unreachable)] * 2
    with WebProcess(cluster_url, port=port, **SETTINGS):
        assert [next(told).updated_at for told in streams] == [before] * 2
        newer = cluster.report("AAUSDT")["updatedAt"]
        assert [next(told).updated_at for told in streams] == [newer] * 2
    for client in clients:
        client.close()


def test_a_stream_gives_up_when_its_patience_is_over(connect: Connect) -> None:
    told = connect(url=address(ports.pick())).stream("AAUSDT", patience=0.2)
    assert isinstance(next(told), Lost)
    with pytest.raises(Unreachable):
        next(told)
    with pytest.raises(ValueError, match="at least one symbol"):
        connect().reports([])
    with pytest.raises(ValueError, match="at least one symbol"):
        next(connect().stream([]))
