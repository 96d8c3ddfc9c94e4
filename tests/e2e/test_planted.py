"""A market that shows it: what is planted at the exchange appears in the reports, and disappears with its removal."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from tests.e2e.observer import Report, picture, reports
from tests.processes import wait_until
from tests.tools.simulator.planting import plant, planted, remove
from tools.local.ports import LOOPBACK
from tools.local.roles import INGESTS, Ports, without_settings
from tools.local.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

COST = {"low": 2.5, "medium": 5.0, "high": 10.0}
Found = Callable[[Report], dict[str, Any] | None]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One node and one beat, waiting for market data; the slow cycle is twice a second."""
    environment = without_settings(os.environ) | {"NT_SLOW_PERIOD_MS": "500"}
    with Stack(tmp_path_factory.mktemp("stack"), environment, Ports.choose(usual=False)) as stack:
        stack.start(["redis", "simulator", "node-001", "beat-1"])
        yield stack


@pytest.fixture
def data(stack: Stack) -> Iterator[redis.Redis]:
    """The data plane, with market data flowing."""
    with stack.redis_client() as client:
        wait_until(lambda: client.zcard("nt:nodes"), lambda: f"a node: {picture(stack)}", 20)
        if not stack.states()["ingest-1"].running:
            stack.start(INGESTS)
        yield client


def test_the_volume_profile_appears_after_ten_trades(stack: Stack, data: redis.Redis) -> None:
    seen_without = set()
    missing = set(stack.settings.symbols)

    def all_have_one() -> bool:
        for symbol in list(missing):
            pipe = data.pipeline(transaction=True)
            text, trades = pipe.get(f"report:{symbol}").xlen(f"md:{{{symbol}}}:trades").execute()
            liquidity = json.loads(text or "{}").get("liquidity", {})
            if "volume_profile" in liquidity:
                assert 10 <= liquidity["volume_profile"]["trade_count"] <= trades
                missing.discard(symbol)
            elif "walls" in liquidity:
                seen_without.add(symbol)
        return not missing

    wait_until(all_have_one, lambda: f"a volume profile of {missing}: {picture(stack)}", 30)
    assert seen_without, "no report was seen from before the tenth trade"


def test_what_is_planted_is_reported_while_it_is_there_and_not_before_or_after(stack: Stack, data: redis.Redis) -> None:
    exchange = f"{LOOPBACK}:{stack.ports.simulator}"

    def look() -> dict[str, Report]:
        found = reports(data, stack.settings.symbols)
        for report in found.values():
            known = "anomalies" in report
            cost = sum(COST[one["severity"]] for one in report.get("anomalies", []))
            assert health(report) == (max(0.0, 10.0 - cost) if known else 0.0)
        return found

    def wait_for(symbol: str, found: Found, severity: str) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            one = found(look()[symbol])
            return one if one and one["severity"] == severity else None

        return wait_until(there, lambda: f"{severity} in {look()[symbol]}", 40, 0.05)

    def wait_for_absence(symbol: str, found: Found) -> None:
        wait_until(lambda: found(look()[symbol]) is None, lambda: f"its absence from {look()[symbol]}", 45, 0.05)

    wait_until(
        lambda: all("liquidity" in r for r in look().values()) and len(look()) == len(stack.settings.symbols),
        lambda: f"reports of all symbols: {picture(stack)}",
        30,
    )
    before = look()

    wall = plant(exchange, "wall", symbol="BTCUSDT", side="bid")
    large = plant(exchange, "wall", symbol="ETHUSDT", side="ask", times=4)
    largish = plant(exchange, "wall", symbol="BNBUSDT", side="ask", distance=40, times=2.3)
    vacuum = plant(exchange, "vacuum", symbol="BTCUSDT", side="ask", levels=10)
    thin = plant(exchange, "vacuum", symbol="ETHUSDT", side="bid", levels=6)
    thinner = plant(exchange, "vacuum", symbol="BNBUSDT", side="ask", levels=3)
    spoofer = plant(exchange, "spoofer", symbol="BNBUSDT", side="bid", distance=150)
    iceberg = plant(exchange, "iceberg", symbol="SOLUSDT", side="bid")
    slow_iceberg = plant(exchange, "iceberg", symbol="DOTUSDT", side="ask", trades=9)
    plant(exchange, "crash", symbol="ADAUSDT")
    expected: dict[tuple[str, str], tuple[Found, str]] = {
        ("spoofer", "BNBUSDT"): (anomaly("spoofing", spoofer), "high"),
        ("wall", "BTCUSDT"): (wall_at(wall), "high"),
        ("wall", "ETHUSDT"): (wall_at(large), "medium"),
        ("wall", "BNBUSDT"): (wall_at(largish), "low"),
        ("vacuum", "BTCUSDT"): (vacuum_at(vacuum), "high"),
        ("vacuum", "ETHUSDT"): (vacuum_at(thin), "medium"),
        ("vacuum", "BNBUSDT"): (vacuum_at(thinner), "low"),
        ("iceberg", "SOLUSDT"): (anomaly("iceberg", iceberg), "high"),
        ("iceberg", "DOTUSDT"): (anomaly("iceberg", slow_iceberg), "low"),
        ("crash", "ADAUSDT"): (anomaly("flash_crash_risk"), "high"),
    }
    for (name, symbol), (found, _) in expected.items():
        if name != "crash":  # a random market may be lopsided and sold into by itself
            assert found(before[symbol]) is None

    shown = {}
    for (name, symbol), (found, severity) in expected.items():
        shown[name, symbol] = wait_for(symbol, found, severity)
        if name == "spoofer":
            assert health(look()["BNBUSDT"]) == 0
            remove(exchange, name, symbol)
    assert shown["spoofer", "BNBUSDT"]["pulls"] >= 3
    assert shown["iceberg", "SOLUSDT"]["trades"] >= 20
    assert 5 <= shown["iceberg", "DOTUSDT"]["trades"] < 10
    assert shown["crash", "ADAUSDT"]["signals"] == ["wide_spread", "imbalance", "sell_acceleration"]
    crashed = look()["ADAUSDT"]
    assert crashed["spread_bps"] > 20
    assert crashed["depth"]["imbalance"] < -0.3

    for name, symbol in list(expected)[1:]:
        remove(exchange, name, symbol)
    assert planted(exchange) == {}
    for (name, symbol), (found, _) in expected.items():
        if name != "crash":
            wait_for_absence(symbol, found)
    wait_until(lambda: look()["ADAUSDT"]["spread_bps"] < 20, lambda: f"the gap closes: {look()['ADAUSDT']}", 30)
    wait_for_absence("ADAUSDT", anomaly("flash_crash_risk"))
    wait_until(lambda: health(look()["BNBUSDT"]) > 0, "points for a market without a spoofer")


def health(report: Report) -> float:
    """The points for anomalies."""
    [points] = [part["score"] for part in report["health"]["components"] if part["metric"] == "anomalies"]
    return float(points)


def wall_at(where: dict[str, Any]) -> Found:
    return lambda report: only(
        wall
        for wall in report["liquidity"]["walls"]
        if (wall["side"], wall["price"], wall["qty"]) == (where["side"], float(where["price"]), float(where["qty"]))
    )


def vacuum_at(where: dict[str, Any]) -> Found:
    return lambda report: only(
        vacuum
        for vacuum in report["liquidity"]["vacuums"]
        if (vacuum["from"], vacuum["to"], vacuum["levels"])
        == (float(where["from"]), float(where["to"]), where["levels"])
    )


def anomaly(kind: str, where: dict[str, Any] | None = None) -> Found:
    """The anomaly of this type, at this price on this side where one is given."""
    return lambda report: only(
        one
        for one in report["anomalies"]
        if one["type"] == kind
        and (where is None or (one["side"], one["price"]) == (where["side"], float(where["price"])))
    )


def only(found: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    """The one that was found, if any."""
    ones = list(found)
    assert len(ones) <= 1
    return ones[0] if ones else None
