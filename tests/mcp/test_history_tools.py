"""`get_changes` and `get_history` against changes that are planted in a real Redis."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from tests.mcp.asking import Answer, answer, asked, plant
from tests.web.reporting import Cluster
from tickfence.analytics.history_row import HistoryRow
from tickfence.coordination.controller import MoveReason
from tickfence.mcp.changes import LISTED
from tickfence.mcp.history import MAX_ROWS, USUAL
from tickfence.timeline import events

Ask = Callable[..., Answer]
WITHIN_S = 0.15
LATE_S = 60
"""So much later than it was planted, a test may ask."""


@pytest.fixture
def cluster(redis_client: redis.Redis) -> Cluster:
    return Cluster(redis_client)


@pytest.fixture
def ask(redis_client: redis.Redis) -> Ask:
    """Asks a tool about what the shared server holds."""
    url = "redis://{host}:{port}/{db}".format(**redis_client.connection_pool.connection_kwargs)
    return lambda tool, **arguments: answer(url, tool, **arguments)


def calm(time_ms: int, **others: Any) -> HistoryRow:
    """A row of a quiet market, but for ``others``."""
    row = {
        "time_ms": time_ms,
        "token": 5,
        "mid_price": 100.0,
        "spread_bps": 2.0,
        "bid_qty": 50.0,
        "ask_qty": 50.0,
        "orders_per_sec": 3.0,
        "net_flow": 1.0,
        "health": 90.0,
        "walls": 2,
        "vacuums": 0,
        "anomalies": 0,
        "last_price": 100.0,
        "status": "ok",
    }
    return HistoryRow(**row | others)


def planted(now_ms: int) -> list[HistoryRow]:
    """Ten minutes, one row a second; what happens in them, by how many seconds ago.

    There are rows of the time before, and of the time until a slow machine comes to ask.
    """
    rows = []
    for ago in range(660, -LATE_S, -1):
        others: dict[str, Any] = {}
        if ago < 300:  # the price falls by 2 %, and 40 % of the bids are gone
            others |= {"mid_price": 98.0, "bid_qty": 30.0}
        if ago == 450:
            others |= {"mid_price": 103.0, "ask_qty": 1.0}
        if 350 <= ago < 390:
            others |= {"spread_bps": 25.0}
        if 200 <= ago < 260:
            others |= {"anomalies": 1 + (ago < 230), "severity": "high" if ago < 230 else "low"}
        if ago < 20:
            others |= {"anomalies": 1, "severity": "medium"}
        if 100 <= ago < 400:
            others |= {"walls": 5}
        if 150 <= ago < 155:
            others |= {"status": "degraded", "health": 60.0}
        if ago < 120:
            others |= {"token": 9}
        if not 500 <= ago < 520:
            rows.append(calm(now_ms - ago * 1000, **others))
    return rows


def test_planted_changes_are_told_as_they_were(redis_client: redis.Redis, cluster: Cluster, ask: Ask) -> None:
    now = cluster.now_ms()
    rows = planted(now)
    plant(redis_client, "AAUSDT", rows)
    report = cluster.report("AAUSDT", node="node-002")
    before = events.conflict_event("AAUSDT", "node-001", "node-002")
    redis_client.xadd("nt:events", dict(before), id=f"{now - 601_000}-0")
    cluster.event(
        events.moved_event(
            MoveReason.DIED,
            9,
            1,
            "beat-1",
            {"AAUSDT": ("node-001", "node-002"), "BBUSDT": ("node-001", "node-003")},
        )
    )
    cluster.event(events.conflict_event("BBUSDT", "node-001", "node-003"))
    found = ask("get_changes", symbol="aausdt", minutes=10)

    def at(ago: int) -> int:
        return now - ago * 1000

    inside = [row.time_ms for row in rows if found["since"] <= row.time_ms < found["until"]]
    assert found["until"] - found["since"] == 600_000 and len(inside) >= 579
    assert (found["rows"], found["covered_since"], found["covered_until"]) == (len(inside), inside[0], inside[-1])
    price, bids, asks = (found["numbers"][name] for name in ("mid_price", "bid_qty", "ask_qty"))
    assert price == {
        **{"trend": "fell", "first": 100.0, "last": 98.0, "low": 98.0, "low_at": at(299)},
        **{"high": 103.0, "high_at": at(450), "median": 98.0},
    }
    assert (bids["trend"], bids["first"], bids["last"], bids["low_at"]) == ("fell", 50.0, 30.0, at(299))
    assert (asks["trend"], asks["low"], asks["low_at"]) == ("steady", 1.0, at(450))
    assert (found["numbers"]["spread_bps"]["trend"], found["numbers"]["spread_bps"]["high_at"]) == ("swung", at(389))
    assert found["numbers"]["imbalance"]["last"] == -0.25
    walls = found["walls"]
    assert (walls["came"], walls["went"], walls["high"]) == (3, 3, 5)
    assert walls["steps"] == [{"at": at(399), "before": 2, "after": 5}, {"at": at(99), "before": 5, "after": 2}]
    anomalies = found["anomalies"]
    assert anomalies["listed"] == [
        {"since": at(259), "until": at(200), "most": 2, "severity": "high", "begun": True},
        {"since": at(19), "until": None, "most": 1, "severity": "medium", "begun": True},
    ]
    assert (anomalies["worst"], anomalies["worst_at"]) == ("high", at(229))
    assert found["disturbances"]["listed"] == [{"since": at(154), "until": at(150), "status": "degraded"}]
    assert found["gaps"]["listed"] == [{"since": at(520), "until": at(499)}]
    assert found["handovers"]["listed"] == [{"at": at(119), "before": 5, "token": 9}]
    assert [event["text"] for event in found["events"]] == ["A node died: AAUSDT from node-001 to node-002."]
    present = found["present"]
    assert (present["node"], present["stale"]) == ("node-002", False)
    assert present["walls"] == report["liquidity"]["walls"] and len(present["anomalies"]) == 2
    assert found["notes"] == []
    for line in (
        "price fell by 2 %: 100 to 98, low 98 at ",
        "bid depth fell by 40 %: 50 to 30, ",
        "spread in bps swung and came back: 2 to 2, ",
        "steady: ask depth 50 (1 to 50)",
        "walls: 2 to 2 (from 2 to 5), at least 3 came and 3 went: ",
        "anomalies: 2 episodes, the worst high from ",
        "anomaly now: iceberg, low, ",
        "walls now: bid 99.96: 6",
        "market data degraded ",
        "another writer from ",
        "nothing is known of that time",
    ):
        assert line in found.text


def test_only_the_minutes_that_are_asked_for_count(redis_client: redis.Redis, cluster: Cluster, ask: Ask) -> None:
    now = cluster.now_ms()
    plant(redis_client, "AAUSDT", planted(now))
    cluster.report("AAUSDT")
    found = ask("get_changes", symbol="AAUSDT", minutes=1)
    assert found["rows"] in (59, 60) and found["numbers"]["mid_price"]["trend"] == "steady"
    assert found["walls"]["steps"] == [] and found["handovers"]["listed"] == []
    assert "walls: 2 all the time" in found.text


def test_what_is_not_covered_is_said(redis_client: redis.Redis, cluster: Cluster, ask: Ask) -> None:
    now = cluster.now_ms()
    plant(redis_client, "AAUSDT", [calm(now - ago * 1000) for ago in range(30, 20, -1)])
    found = ask("get_changes", symbol="AAUSDT")
    assert [(gap["since"] - found["since"], gap["until"]) for gap in found["gaps"]["listed"]] == [
        (0, now - 30_000),
        (now - 21_000 - found["since"], None),
    ]
    assert found["present"] is None and "AAUSDT has no report now" in found.text
    assert len(found["notes"]) == 1 and "Redis has the history" in found["notes"][0]
    nothing = ask("get_changes", symbol="BBUSDT")
    assert nothing["rows"] == 0 and nothing["numbers"] == {} and "no rows of history" in nothing.text
    assert "anomalies: not known" in nothing.text


def test_a_stale_report_is_said_first(redis_client: redis.Redis, cluster: Cluster, ask: Ask) -> None:
    plant(redis_client, "AAUSDT", [calm(cluster.now_ms() - 60_000)])
    cluster.report("AAUSDT", age_ms=600_000)
    found = ask("get_changes", symbol="AAUSDT")
    assert found.text.startswith("AAUSDT is STALE now, do not act on it: ")


def test_long_lists_say_how_much_they_leave_out(redis_client: redis.Redis, cluster: Cluster, ask: Ask) -> None:
    now = cluster.now_ms()
    rows = [
        calm(now - ago * 1000, walls=ago % 2, token=600 - ago, status=("ok", "down")[ago % 2])
        for ago in range(99, -1, -1)
    ]
    plant(redis_client, "AAUSDT", rows)
    for number in range(20):
        cluster.event(events.conflict_event("AAUSDT", f"node-{number:03}", "node-100"))
    found = ask("get_changes", symbol="AAUSDT", minutes=5)
    assert len(found["walls"]["steps"]) == LISTED and found["walls"]["left_out"] == 99 - LISTED
    assert len(found["events"]) == LISTED and found["events_left_out"] == 20 - LISTED
    assert f"{99 - LISTED} older changes left out" in found.text
    assert f"{99 - LISTED} older changes of the writer, {20 - LISTED} older events" in found.text
    assert len(found.text) < 5_000


def test_history_is_a_table_of_the_fields_and_the_step_asked_for(
    redis_client: redis.Redis, cluster: Cluster, ask: Ask
) -> None:
    now = cluster.now_ms()
    rows = planted(now)
    plant(redis_client, "AAUSDT", rows)
    found = ask(
        "get_history", symbol="AAUSDT", since=now - 60_000, until=now + 1, step="10s", fields=["mid_price", "severity"]
    )
    assert found["fields"] == ["time_ms", "mid_price", "severity"]
    steps: dict[int, HistoryRow] = {}
    for row in rows:
        if now - 60_000 <= row.time_ms <= now:
            steps[row.time_ms // 10_000] = row
    assert found["rows"] == [[row.time_ms, row.mid_price, row.severity] for row in steps.values()]
    assert found["next_since"] is None
    assert found.text.splitlines()[1] == "time | mid_price | severity"


def test_history_without_a_step_fits_and_with_a_short_one_goes_on(
    redis_client: redis.Redis, cluster: Cluster, ask: Ask
) -> None:
    now = cluster.now_ms()
    plant(redis_client, "AAUSDT", [calm(now - ago * 1000) for ago in range(599, -1, -1)])
    whole = ask("get_history", symbol="AAUSDT", minutes=10)
    assert whole["fields"] == ["time_ms", *USUAL] and whole["step_ms"] == 10_000
    assert 61 - LATE_S / 10 <= len(whole["rows"]) <= 61 and whole["next_since"] is None
    times: list[int] = []
    since: int | None = now - 599_000
    while since is not None:
        part = ask("get_history", symbol="AAUSDT", since=since, until=now + 1, step="1s", fields=["health"])
        assert len(part["rows"]) <= MAX_ROWS
        assert (part["next_since"] is None) == ("further rows left out" not in part.text)
        times += [at for at, _ in part["rows"]]
        since = part["next_since"]
    assert times == [now - ago * 1000 for ago in range(599, -1, -1)]


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("get_changes", {"symbol": "NOPE"}, "there is no symbol 'NOPE'; there are AAUSDT"),
        ("get_history", {"symbol": "NOPE"}, "there is no symbol 'NOPE'; there are AAUSDT"),
        ("get_history", {"symbol": "A {}:*"}, "there is no symbol 'A {}:*'; there are AAUSDT"),
        ("get_changes", {"symbol": "AAUSDT", "minutes": 61}, "minutes='61': Input should be less than or equal to 60"),
        ("get_history", {"symbol": "AAUSDT", "minutes": 5, "until": "now"}, "give either minutes, or since and until"),
        ("get_history", {"symbol": "AAUSDT", "since": "yesterday"}, "since='yesterday': must be milliseconds since"),
        ("get_history", {"symbol": "AAUSDT", "step": "3"}, "step='3': must be a whole number with its unit"),
        ("get_history", {"symbol": "AAUSDT", "since": "now", "until": "-1m"}, "must not be before since='now'"),
        (
            "get_history",
            {"symbol": "AAUSDT", "fields": ["price"]},
            "fields.0='price': Input should be 'token', 'mid_price'",
        ),
        ("get_changes", {"symbol": "AAUSDT", "minute": 5}, "there is no 'minute'; accepted: symbol, minutes"),
    ],
)
def test_what_is_not_accepted_is_refused_with_one_line(
    ask: Ask, tool: str, arguments: dict[str, Any], told: str
) -> None:
    refused = ask(tool, **arguments)
    assert refused.data is None and told in refused.text and "\n" not in refused.text


def test_a_damaged_row_is_a_clear_error(redis_client: redis.Redis, cluster: Cluster, ask: Ask) -> None:
    redis_client.xadd("history:{report:AAUSDT}", {"r": b"nonsense"}, id=f"{cluster.now_ms()}-0")
    for tool in ("get_changes", "get_history"):
        assert "holds what tickfence did not write" in ask(tool, symbol="AAUSDT").text


def test_an_hour_of_changes_takes_less_than_150_ms_of_processor_time(
    redis_client: redis.Redis, cluster: Cluster
) -> None:
    url = "redis://{host}:{port}/{db}".format(**redis_client.connection_pool.connection_kwargs)
    now = cluster.now_ms()
    plant(redis_client, "AAUSDT", [calm(now - ago * 1000, mid_price=100 + ago / 7) for ago in range(3599, -LATE_S, -1)])
    cluster.report("AAUSDT")
    took = []

    async def many(client: Any) -> None:
        for _ in range(9):
            started = time.process_time()
            found = await client.call_tool("get_changes", {"symbol": "AAUSDT", "minutes": 60})
            took.append(time.process_time() - started)
            assert found.structured_content["rows"] > 3_000

    asked(url, many)
    assert min(took) < WITHIN_S, took
