"""`get_report` of chosen sections, `scan`, and what every tool refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import pytest
import redis

from tests.analytics.schema_check import errors
from tests.mcp.asking import Answer, answer
from tests.web.reporting import Cluster
from tickfence.analytics.report import Report
from tickfence.mcp.scan import LISTED, NAMED, TYPES
from tickfence.mcp.sections import SECTIONS, chosen
from tickfence.mcp.server import server
from tickfence.readers.reader import Reader
from tickfence.settings import Settings

Ask = Callable[..., Answer]
MOST_TEXT = 30_300
"""Characters of JSON that describe all tools to a client: it reads them before it has asked anything."""

ALWAYS = {
    *("schemaVersion", "writer", "updatedAt", "symbol", "venue", "base", "quote"),
    *("generated_at", "data_age_ms", "ingestion"),
}


@pytest.fixture
def cluster(redis_client: redis.Redis) -> Cluster:
    return Cluster(redis_client)


@pytest.fixture
def ask(redis_client: redis.Redis) -> Ask:
    url = "redis://{host}:{port}/{db}".format(**redis_client.connection_pool.connection_kwargs)
    return lambda tool, **arguments: answer(url, tool, **arguments)


def spoofing(severity: str, price: float = 101.0) -> dict[str, Any]:
    return {
        **{"type": "spoofing", "severity": severity, "note": f"{severity} at {price:g}."},
        **{"side": "ask", "price": price, "pulls": 3, "changes": 4},
    }


def tools() -> list[Any]:
    async def listed() -> list[Any]:
        reader = Reader(Settings.from_environment({}))
        found = await server(reader).list_tools()
        await reader.close()
        return found

    return anyio.run(listed)


def test_chosen_sections_come_alone(cluster: Cluster, ask: Ask) -> None:
    written = cluster.report("AAUSDT")
    found = ask("get_report", symbol="AAUSDT", sections=["quote", "walls"])
    assert found.data
    quote = {"best_bid", "best_ask", "spread_bps", "mid_price", "micro_price"}
    assert {*found.data, "base", "quote"} == {*ALWAYS, *quote, "liquidity", "freshness"}
    assert found["liquidity"] == {"walls": written["liquidity"]["walls"]}
    assert {name: found[name] for name in quote} == {name: written[name] for name in quote}
    for told in ("bid 100 (1), ask 100.02 (0.5)", "walls: high, bid 99.96: 6", "not asked for: price, depth, flow, "):
        assert told in found.text
    for other in ("price 100", "vacuums: ", "health 84.5", "anomaly: "):
        assert f"\n{other}" not in found.text


def test_without_a_choice_everything_comes(cluster: Cluster, ask: Ask) -> None:
    written = cluster.report("AAUSDT")
    found = ask("get_report", symbol="AAUSDT")
    assert found.data and {**found.data, "freshness": None} == {**written, "freshness": None}
    assert "not asked for" not in found.text


def test_one_pair_is_compared_on_its_venues(cluster: Cluster, ask: Ask) -> None:
    cluster.assign({"okx:AA-USDT": "node-001", "AAUSDT": "node-001"})
    for symbol, bid in (("AAUSDT", 99.0), ("okx:AA-USDT", 99.5)):
        cluster.listed(symbol, "AA", "USDT")
        cluster.report(symbol, best_bid={"price": bid, "qty": 2.0})
    found = ask("compare", pair="AA-USDT")
    assert [row["symbol"] for row in found["rows"]] == ["AAUSDT", "okx:AA-USDT"]
    assert [row["venue"] for row in found["rows"]] == ["binance", "okx"]
    assert found["acrossVenues"]["bestBid"] == {"symbol": "okx:AA-USDT", "venue": "okx", "price": 99.5, "qty": 2.0}
    assert found.text.startswith("AA-USDT: best bid 99.5 (2) at okx:AA-USDT, best ask 100.02 (0.5) at ")
    cluster.report("AAUSDT", best_bid={"price": 100.5, "qty": 2.0}, best_ask={"price": 101.0, "qty": 1.0})
    assert "; crossed: the bid is 47.8755 bps above the ask, without fees" in ask("compare", pair="AA-USDT").text
    assert ask("get_report", symbol="okx:AA-USDT")["venue"] == "okx"
    assert "there is no pair 'AA-USD'; there are AA-USDT" in ask("compare", pair="AA-USD").text
    assert ask("compare", pair="AA-USDT", symbols=["AAUSDT"]).text.endswith("give either symbols or pair")


@pytest.mark.parametrize("section", SECTIONS)
def test_each_section_alone_fits_the_published_schema(cluster: Cluster, ask: Ask, section: str) -> None:
    written = cluster.report("AAUSDT")
    found = ask("get_report", symbol="AAUSDT", sections=[section])
    [schema] = [tool.output_schema for tool in tools() if tool.name == "get_report"]
    assert errors(found.data, schema, schema) == []
    assert found.data and {name: found[name] for name in found.data.keys() & written.keys() - {"liquidity"}} == {
        name: written[name] for name in found.data.keys() & written.keys() - {"liquidity"}
    }


def test_every_member_of_a_report_is_in_a_section_or_in_every_answer() -> None:
    members = {field.encode_name for field in msgspec.structs.fields(Report)}
    whole: dict[str, Any] = {member: {} for member in members}
    none = set(chosen(whole, []))
    assert none == ALWAYS
    each = [set(chosen(whole, [section])) - none for section in SECTIONS]
    assert all(each) and set.union(*each) == members - ALWAYS


def test_a_scan_lists_the_worst_first_and_counts_what_it_leaves_out(cluster: Cluster, ask: Ask) -> None:
    cluster.report("AAUSDT", anomalies=[spoofing("low"), spoofing("medium")])
    cluster.report("BBUSDT", anomalies=[spoofing("high")])
    cluster.report("CCUSDT", anomalies=[spoofing("medium", price) for price in range(101, 106)])
    found = ask("scan", anomaly="spoofing", severity="medium")
    assert [(match["symbol"], match["severity"]) for match in found["matches"]] == [
        ("BBUSDT", "high"),
        ("CCUSDT", "medium"),
        ("AAUSDT", "medium"),
    ]
    assert found["matches"][2]["anomalies"] == [spoofing("medium")] and found["matches"][2]["left_out"] == 0
    assert len(found["matches"][1]["anomalies"]) == LISTED and found["matches"][1]["left_out"] == 5 - LISTED
    assert (found["searched"], found["left_out"], found["not_searched"]) == (3, 0, {})
    assert found.text.splitlines()[0] == "3 symbols searched, 3 with spoofing anomalies of severity medium or worse"
    one = ask("scan", limit=1)
    assert [match["symbol"] for match in one["matches"]] == ["BBUSDT"] and one["left_out"] == 2
    assert "2 further symbols left out, none worse" in one.text
    assert ask("scan", anomaly="iceberg")["matches"] == []


def test_a_scan_names_what_it_could_not_search(cluster: Cluster, ask: Ask) -> None:
    symbols = [f"S{number:02}USDT" for number in range(30)]
    cluster.assign(dict.fromkeys([*symbols, "QUIETUSDT", "JUDGEUSDT", "BADUSDT", "NONEUSDT"], "node-001"))
    for symbol in symbols:
        cluster.report(symbol, age_ms=600_000, anomalies=[spoofing("high")])
    cluster.report("QUIETUSDT", anomalies=[])
    unjudged = cluster.report("JUDGEUSDT")
    del unjudged["anomalies"]
    cluster.client.set("report:JUDGEUSDT", json.dumps(unjudged))
    cluster.client.set("report:BADUSDT", "{}")
    found = ask("scan")
    assert found["matches"] == [] and found["searched"] == 1
    assert found["not_searched"] == {
        "stale": {"count": 30, "symbols": symbols[:NAMED]},
        "not judged": {"count": 1, "symbols": ["JUDGEUSDT"]},
        "unreadable": {"count": 1, "symbols": ["BADUSDT"]},
        "no report": {"count": 1, "symbols": ["NONEUSDT"]},
    }
    assert f"not searched, stale: {', '.join(symbols[:NAMED])} and 10 more" in found.text


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("list_symbols", {}),
        ("get_report", {"symbol": "AAUSDT"}),
        ("compare", {"symbols": ["AAUSDT"]}),
        ("scan", {}),
        ("get_changes", {"symbol": "AAUSDT"}),
        ("get_history", {"symbol": "AAUSDT"}),
    ],
)
def test_every_tool_refuses_arguments_that_it_does_not_know(
    cluster: Cluster, ask: Ask, name: str, arguments: dict[str, Any]
) -> None:
    cluster.report("AAUSDT")
    assert ask(name, **arguments).data is not None
    refused = ask(name, **arguments, symbl="BBUSDT")
    [schema] = [tool.input_schema for tool in tools() if tool.name == name]
    accepted = ", ".join(schema["properties"]) or "none"
    assert refused.data is None and schema["additionalProperties"] is False
    assert refused.text == f"bad arguments of {name}: there is no 'symbl'; accepted: {accepted}"


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        (
            "get_report",
            {"symbol": "AAUSDT", "sections": ["wall"]},
            "sections.0='wall': Input should be 'price', 'quote',",
        ),
        ("get_report", {"symbol": "AAUSDT", "sections": []}, "at least 1 item"),
        ("get_report", {}, "symbol is missing"),
        ("scan", {"anomaly": "layering"}, "anomaly='layering': Input should be 'any', 'spoofing', 'iceberg'"),
        ("scan", {"severity": "severe"}, "severity='severe': Input should be 'low', 'medium' or 'high'"),
        ("scan", {"limit": 51}, "limit='51': Input should be less than or equal to 50"),
        ("scan", {"a": 1, "b": 2, "c": 3, "d": 4}, "there is no 'a', 'b', 'c' and 1 more; accepted: anomaly,"),
    ],
)
def test_what_is_not_accepted_is_refused_with_one_line(
    ask: Ask, tool: str, arguments: dict[str, Any], told: str
) -> None:
    refused = ask(tool, **arguments)
    assert refused.data is None and told in refused.text and "\n" not in refused.text


def test_what_describes_the_tools_stays_small() -> None:
    texts = [json.dumps(tool.model_dump(mode="json", by_alias=True, exclude_none=True)) for tool in tools()]
    assert sum(map(len, texts)) < MOST_TEXT


def test_a_scan_offers_every_kind_of_anomaly() -> None:
    [schema] = [tool.input_schema for tool in tools() if tool.name == "scan"]
    assert schema["properties"]["anomaly"]["enum"] == ["any", *TYPES]
