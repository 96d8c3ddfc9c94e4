"""The MCP server, asked by the SDK's own client: on stdio, and over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import httpx2
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from tests.analytics.schema_check import errors
from tests.role_process import ROOT
from tests.web.reporting import Cluster
from tests.web.web_process import WebProcess
from tickfence.coordination.desired import pause
from tickfence.instrument import Instrument
from tools.local.embedded_redis import EmbeddedRedis

pytestmark = pytest.mark.usefixtures("redis_client")  # the shared server is empty then

ANSWERS_WITHIN_S = 0.15
TOKEN = "a-token-of-some-length"
_INITIALIZE = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}

Connect = Callable[[], Any]
Ask = Callable[[Client], Awaitable[None]]
Asked = Callable[[Ask], None]


@asynccontextmanager
async def on_stdio(url: str, mode: str = "auto") -> AsyncIterator[Client]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NT_")}
    environment |= {"REDIS_URL": url, "SYMBOLS": "AAUSDT,BBUSDT"}
    process = StdioServerParameters(command=sys.executable, args=["-m", "tickfence", "mcp"], env=environment, cwd=ROOT)
    async with Client(stdio_client(process), mode=mode) as client:
        yield client


@asynccontextmanager
async def over_http(web: WebProcess, mode: str = "auto") -> AsyncIterator[Client]:
    async with Client(f"http://127.0.0.1:{web.port}/mcp", mode=mode) as client:
        yield client


def ask_once(connect: Connect, ask: Ask) -> None:
    """Ask with a client that is connected for this alone."""

    async def run() -> None:
        async with connect() as client:
            await ask(client)

    anyio.run(run)


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    """An event loop for as long as the module's client on stdio lives."""
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="module")
def client_on_stdio(portal: BlockingPortal, redis_server: EmbeddedRedis) -> Iterator[Client]:
    """One process for all that is asked on stdio."""
    with portal.wrap_async_context_manager(on_stdio(redis_server.url())) as client:
        yield client


@pytest.fixture(params=["stdio", "http"])
def asked(request: pytest.FixtureRequest, web: WebProcess) -> Asked:
    """Asks with a client that is connected in one of the two ways."""
    if request.param == "http":
        return partial(ask_once, partial(over_http, web))
    portal, client = request.getfixturevalue("portal"), request.getfixturevalue("client_on_stdio")
    return lambda ask: portal.call(ask, client)


def test_tools_are_described_and_only_read(asked: Asked) -> None:
    async def ask(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools.keys() == {"get_report", "list_symbols", "compare", "scan", "get_changes", "get_history"}
        for tool in tools.values():
            assert (
                tool.description
                and "\n  " not in tool.description
                and tool.output_schema
                and tool.output_schema["type"] == "object"
            )
            assert tool.annotations and tool.annotations.read_only_hint
            for parameter in tool.input_schema["properties"].values():
                assert parameter["description"] and parameter["examples"]
        assert "stale" in tools["get_report"].description and "stale" in tools["compare"].description
        assert tools["get_report"].input_schema["required"] == ["symbol"]

    asked(ask)


def test_a_report_comes_structured_and_as_text(asked: Asked, cluster: Cluster) -> None:
    written = cluster.report("AAUSDT")

    async def ask(client: Client) -> None:
        answer = await client.call_tool("get_report", {"symbol": "aausdt"})
        assert not answer.is_error
        report = dict(answer.structured_content)
        assert report.pop("freshness")["data_age_ms"] >= 50
        assert report == written
        [schema] = [tool.output_schema for tool in (await client.list_tools()).tools if tool.name == "get_report"]
        assert errors(answer.structured_content, schema, schema) == []
        text = answer.content[0].text
        for part in (
            "AAUSDT on binance",
            "spread",
            "health 84.5 of 100",
            "written by node-001",
            "0.5 trades a second, net aggressive volume -0.9 in 30 s",
            "13 trades in 30 min",
            "anomaly: iceberg, low, 5 trades took 1.4 from the bid at 100, and 1.4 of it was refilled",
        ):
            assert part in text

    asked(ask)


def test_what_is_not_covered_and_what_is_halted_is_told(asked: Asked, cluster: Cluster) -> None:
    written = cluster.report("AAUSDT")
    ingestion = written["ingestion"] | {"trading": "halted"}

    async def ask(client: Client) -> None:
        for flow, told in (
            ({"window_sec": 9}, "flow left out: trades are known for 9 s, it needs 10 s"),
            (
                {"window_sec": 12, "orders_per_sec": 2.5},
                "2.5 trades a second; net flow left out: trades are known for 12 s",
            ),
        ):
            cluster.report("AAUSDT", flow=flow, ingestion=ingestion)
            answer = await client.call_tool("get_report", {"symbol": "AAUSDT"})
            assert told in answer.content[0].text
            assert "halted by the exchange" in answer.content[0].text
        compared = await client.call_tool("compare", {"symbols": ["AAUSDT"]})
        assert compared.structured_content["rows"][0]["flowWindowSec"] == 12
        assert compared.content[0].text.endswith("| halted")

    asked(ask)


def test_clients_of_the_protocol_before_are_answered_too(
    web: WebProcess, redis_server: EmbeddedRedis, cluster: Cluster
) -> None:
    async def ask(client: Client) -> None:
        cluster.report("AAUSDT")
        answer = await client.call_tool("get_report", {"symbol": "AAUSDT"})
        assert answer.structured_content["symbol"] == "AAUSDT"

    for connect in (partial(on_stdio, redis_server.url()), partial(over_http, web)):
        ask_once(partial(connect, mode="legacy"), ask)


def test_a_stale_report_says_so_in_its_first_line(asked: Asked, cluster: Cluster) -> None:
    cluster.report("AAUSDT", age_ms=60_000)

    async def ask(client: Client) -> None:
        answer = await client.call_tool("get_report", {"symbol": "AAUSDT"})
        assert answer.structured_content["freshness"]["stale"]
        first = answer.content[0].text.splitlines()[0]
        assert first.startswith("AAUSDT on binance, STALE, do not act on it: the report has not been rewritten for ")

    asked(ask)


def test_an_unknown_symbol_and_one_without_a_report_are_clear_errors(asked: Asked) -> None:
    async def ask(client: Client) -> None:
        unknown = await client.call_tool("get_report", {"symbol": "NOPEUSDT"})
        assert unknown.is_error
        assert "there is no symbol 'NOPEUSDT'; there are AAUSDT, BBUSDT" in unknown.content[0].text
        absent = await client.call_tool("get_report", {"symbol": "AAUSDT"})
        assert absent.is_error and "AAUSDT is known, but has no report now" in absent.content[0].text
        other = await client.call_tool("compare", {"symbols": ["AAUSDT", "NOPEUSDT"]})
        assert other.is_error and "there is no symbol 'NOPEUSDT'" in other.content[0].text
        for wrong in ({}, {"symbol": 5}, {"symbol": "A" * 10_000}):
            answer = await client.call_tool("get_report", wrong)
            assert answer.is_error and "symbol" in answer.content[0].text

    asked(ask)


def test_a_name_beyond_ascii_is_a_name_as_any_other(asked: Asked, cluster: Cluster) -> None:
    symbol = "币安人生USDT"
    cluster.assign({symbol: "node-001"}, generation=2)
    cluster.report(symbol)

    async def ask(client: Client) -> None:
        answer = await client.call_tool("get_report", {"symbol": symbol.lower()})
        assert answer.structured_content["symbol"] == symbol
        assert answer.content[0].text.startswith(f"{symbol} on binance")
        assert (await client.call_tool("list_symbols", {})).content[0].text == symbol
        refused = await client.call_tool("get_report", {"symbol": "币安USDT"})
        assert refused.is_error and "'币安USDT'" in refused.content[0].text and symbol in refused.content[0].text

    asked(ask)


def test_symbols_are_listed_and_compared(asked: Asked, cluster: Cluster) -> None:
    async def ask(client: Client) -> None:
        cluster.report("BBUSDT", last_price=7.5, change_24h_pct=-1.5)
        listed = await client.call_tool("list_symbols", {})
        assert listed.structured_content == {"symbols": ["AAUSDT", "BBUSDT"], "idle": {}}
        assert listed.content[0].text == "AAUSDT, BBUSDT"
        compared = await client.call_tool("compare", {"symbols": ["BBUSDT", "AAUSDT", "bbusdt"]})
        rows = compared.structured_content["rows"]
        assert [(row["symbol"], row["price"], row["status"]) for row in rows] == [
            ("BBUSDT", 7.5, "ok"),
            ("AAUSDT", None, "down"),
        ]
        head, first, second = compared.content[0].text.splitlines()
        assert head.startswith("symbol | status | price | change %")
        assert first.startswith("BBUSDT | ok | 7.5 | -1.5 | ") and second.startswith("AAUSDT | down | - | - | ")
        for wrong, told in (
            ([], "symbols='[]': List should have at least 1 item"),
            (["AAUSDT"] * 1000, "List should have at most 20 items"),
            ("AAUSDT,BBUSDT", "symbols='AAUSDT,BBUSDT': Input should be a valid list"),
            ([1], "symbols.0='1': Input should be a valid string"),
        ):
            refused = await client.call_tool("compare", {"symbols": wrong})
            assert refused.is_error and refused.content[0].text.startswith("bad arguments of compare: ")
            assert told in refused.content[0].text and len(refused.content[0].text) < 200

    asked(ask)


def test_a_symbol_that_is_paused_or_set_aside_says_so(asked: Asked, cluster: Cluster) -> None:
    cluster.report("AAUSDT")
    cluster.blame("BBUSDT")
    cluster.want(lambda was, now: pause(was, [Instrument("AAUSDT")], now))

    async def ask(client: Client) -> None:
        listed = await client.call_tool("list_symbols", {})
        assert listed.structured_content["idle"] == {"AAUSDT": "paused", "BBUSDT": "set aside"}
        assert listed.content[0].text == "AAUSDT (paused), BBUSDT (set aside)"
        report = await client.call_tool("get_report", {"symbol": "AAUSDT"})
        assert report.structured_content["freshness"]["status"] == "paused"
        assert "STALE, do not act on it: an operator has paused the symbol" in report.content[0].text
        compared = await client.call_tool("compare", {"symbols": ["AAUSDT", "BBUSDT"]})
        rows = compared.structured_content["rows"]
        assert [(row["status"], row["price"] is None) for row in rows] == [("paused", False), ("set aside", True)]
        absent = await client.call_tool("get_report", {"symbol": "BBUSDT"})
        assert absent.is_error and "BBUSDT is known, but has no report; two nodes got stuck" in absent.content[0].text

    asked(ask)


def test_a_report_that_cannot_be_read_is_a_clear_error_and_keeps_no_other_back(asked: Asked, cluster: Cluster) -> None:
    cluster.report("BBUSDT", last_price=7.5)
    whole = cluster.report("AAUSDT")

    async def ask(client: Client) -> None:
        for wrong in ({}, whole | {"schemaVersion": "1.1"}, whole | {"depth": {"bids": [{"price": "1"}], "asks": []}}):
            cluster.client.set("report:AAUSDT", json.dumps(wrong))
            answer = await client.call_tool("get_report", {"symbol": "AAUSDT"})
            assert answer.is_error and "AAUSDT has no readable report" in answer.content[0].text
        cluster.client.set("report:AAUSDT", "{}")
        compared = await client.call_tool("compare", {"symbols": ["AAUSDT", "BBUSDT"]})
        rows = compared.structured_content["rows"]
        assert [(row["symbol"], row["price"]) for row in rows] == [("AAUSDT", None), ("BBUSDT", 7.5)]

    asked(ask)


def test_answers_come_within_150_ms(asked: Asked, cluster: Cluster) -> None:
    for symbol in ("AAUSDT", "BBUSDT"):
        cluster.report(symbol)
    calls: tuple[tuple[str, dict[str, Any]], ...] = (
        ("get_report", {"symbol": "AAUSDT"}),
        ("list_symbols", {}),
        ("compare", {"symbols": ["AAUSDT", "BBUSDT"]}),
        ("scan", {}),
        ("get_changes", {"symbol": "AAUSDT"}),
        ("get_history", {"symbol": "AAUSDT"}),
    )

    async def ask(client: Client) -> None:
        for name, arguments in calls:
            took = []
            for _ in range(15):
                started = time.perf_counter()
                assert not (await client.call_tool(name, arguments)).is_error
                took.append(time.perf_counter() - started)
            assert sorted(took)[7] < ANSWERS_WITHIN_S, name

    asked(ask)


def test_redis_that_is_away_is_a_clear_error(own_redis_server: Callable[..., EmbeddedRedis]) -> None:
    server = own_redis_server()

    async def ask(client: Client) -> None:
        server.kill()
        answer = await client.call_tool("list_symbols", {})
        assert answer.is_error and "Redis is away: " in answer.content[0].text
        server.start()
        assert not (await client.call_tool("list_symbols", {})).is_error

    ask_once(partial(on_stdio, server.url()), ask)


def test_over_http_the_token_is_needed(redis_server: EmbeddedRedis) -> None:
    with WebProcess(redis_server.url(), NT_WEB_TOKEN=TOKEN).wait_until_up() as web:

        @asynccontextmanager
        async def with_token(token: str) -> AsyncIterator[Client]:
            url, headers = f"http://127.0.0.1:{web.port}/mcp", {"Authorization": f"Bearer {token}"}
            async with (
                httpx2.AsyncClient(headers=headers) as http,
                Client(streamable_http_client(url, http_client=http)) as client,
            ):
                yield client

        async def ask(client: Client) -> None:
            assert not (await client.call_tool("list_symbols", {})).is_error

        ask_once(partial(with_token, TOKEN), ask)
        with pytest.raises(BaseExceptionGroup, match="TaskGroup"):
            ask_once(partial(with_token, "another-token-of-some-length"), ask)


def test_requests_over_http_leave_nothing_in_the_log(web: WebProcess, cluster: Cluster) -> None:
    cluster.report("AAUSDT")

    async def ask(client: Client) -> None:
        for symbol in ("AAUSDT", "NOPEUSDT"):
            await client.call_tool("get_report", {"symbol": symbol})

    before = web.log_text()
    ask_once(partial(over_http, web), ask)
    assert web.log_text() == before


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_over_http_there_is_no_session_and_no_stream(web: WebProcess, method: str) -> None:
    assert web.get("/mcp", method=method).status == 405


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_on_stdio_all_of_the_output_is_protocol_and_a_signal_ends_it(
    redis_server: EmbeddedRedis, number: signal.Signals
) -> None:
    calls: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": _INITIALIZE},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "get_report", "arguments": {"symbol": "NOPE"}}},
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "tickfence", "mcp"],
        cwd=ROOT,
        env={"REDIS_URL": redis_server.url(), "NT_LOG_LEVEL": "DEBUG"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(b"no JSON\n")
        for call in calls:
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **call}).encode() + b"\n")
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [answer["id"] for answer in answers] == [1, 2]
        process.send_signal(number)
        assert process.wait(30) == -number
        assert process.stdout.read() == b""
        assert b"Traceback" not in process.stderr.read()


def test_its_command_says_what_it_is() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tickfence", "mcp", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "speak MCP with one client on standard input and output" in told.stdout
