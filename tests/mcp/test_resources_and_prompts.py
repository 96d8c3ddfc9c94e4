"""Resources, completion and prompts of the MCP server, asked by the SDK's client; and how registries describe it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
import redis
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from mcp.types import PromptReference, ResourceTemplateReference
from msgspec import Meta, Struct

from tests.mcp.asking import asked
from tests.web.reporting import Cluster
from tickfence.coordination.desired import pause
from tickfence.instrument import Instrument
from tickfence.mcp.resources import REPORT

ROOT = Path(__file__).parents[2]
Ask = Callable[[Callable[[Client], Awaitable[None]]], None]


@pytest.fixture
def cluster(redis_client: redis.Redis) -> Cluster:
    return Cluster(redis_client)


@pytest.fixture
def ask(redis_client: redis.Redis) -> Ask:
    url = "redis://{host}:{port}/{db}".format(**redis_client.connection_pool.connection_kwargs)
    return lambda question: asked(url, question)


def test_reports_and_symbols_are_resources(cluster: Cluster, ask: Ask) -> None:
    cluster.assign(dict.fromkeys(("AAUSDT", "BBUSDT", "kraken:BTC/USD"), "node-001"))
    written = {symbol: cluster.report(symbol) for symbol in ("AAUSDT", "kraken:BTC/USD")}

    async def question(client: Client) -> None:
        [template] = (await client.list_resource_templates()).resource_templates
        assert (template.uri_template, template.mime_type) == (REPORT, "application/json")
        assert "stale" in (template.description or "")
        [symbols] = (await client.list_resources()).resources
        [content] = (await client.read_resource(str(symbols.uri))).contents
        assert json.loads(content.text)["symbols"] == ["AAUSDT", "BBUSDT", "kraken:BTC/USD"]
        for name in ("AAUSDT", "aausdt", "kraken:BTC/USD", "kraken%3ABTC%2FUSD"):
            [content] = (await client.read_resource(f"report://{name}")).contents
            report = json.loads(content.text)
            assert report.pop("freshness")["stale"] is False
            assert report == written[report["symbol"]]
        for name, text in (("BBUSDT", "BBUSDT is known, but has no report"), ("AAUSD", "there is no symbol 'AAUSD'")):
            with pytest.raises(MCPError, match=text):
                await client.read_resource(f"report://{name}")

    ask(question)


def test_names_are_completed(cluster: Cluster, ask: Ask) -> None:
    cluster.assign(dict.fromkeys(("ZAAUSDT", "AAUSDT", "BBUSDT", "kraken:AA/USD"), "node-001"))

    async def question(client: Client) -> None:
        async def completed(ref: Any, name: str, begun: str) -> list[str]:
            found: list[str] = (await client.complete(ref, {"name": name, "value": begun})).completion.values
            return found

        template, prompt = ResourceTemplateReference(uri=REPORT), PromptReference(name="compare_symbols")
        assert await completed(template, "symbol", "aa") == ["AAUSDT", "ZAAUSDT", "kraken:AA/USD"]
        assert await completed(prompt, "second", "KRAK") == ["kraken:AA/USD"]
        assert await completed(PromptReference(name="what_changed"), "minutes", "1") == []

    ask(question)


def test_prompts_name_the_tools_and_the_symbols(cluster: Cluster, ask: Ask) -> None:
    cluster.node("node-002")
    cluster.assign({"AAUSDT": "node-002"})

    async def question(client: Client) -> None:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        prompts = {prompt.name: prompt for prompt in (await client.list_prompts()).prompts}
        assert prompts.keys() == {"what_changed", "market_health", "compare_symbols", "why_no_report"}

        async def text(name: str, **given: str) -> str:
            [message] = (await client.get_prompt(name, given)).messages
            found: str = message.content.text
            assert any(tool in found for tool in tools) and "stale" in found
            return found

        assert "AAUSDT in the last 5 minutes" in await text("what_changed", symbol="aausdt", minutes="5")
        assert "AAUSDT in the last 10 minutes" in await text("what_changed", symbol="AAUSDT")
        assert "AAUSDT and okx:AA-USDT" in await text("compare_symbols", first="AAUSDT", second="okx:AA-USDT")
        assert "scan" in await text("market_health")
        why = await text("why_no_report", symbol="AAUSDT")
        assert "AAUSDT is known, but has no report" in why
        assert "node-002 has the symbol; that node is alive" in why and "no beat leads" in why
        cluster.lead("beat-1/5f0c")
        cluster.report("AAUSDT")
        cluster.want(lambda desired, now_ms: pause(desired, [Instrument("AAUSDT")], now_ms))
        why = await text("why_no_report", symbol="AAUSDT")
        assert "stale: an operator has paused the symbol" in why and "beat-1 leads" in why
        assert "no node has the symbol; 1 of 1 nodes" in await text("why_no_report", symbol="BBUSDT")
        assert "there is no symbol 'AAUSD'" in await text("why_no_report", symbol="AAUSD")

    ask(question)


class _Argument(Struct, tag_field="type", forbid_unknown_fields=True):
    value: str


class _Positional(_Argument, tag="positional"):
    pass


class _Named(_Argument, tag="named"):
    name: Annotated[str, Meta(pattern="^--")]


class _Stdio(Struct, forbid_unknown_fields=True):
    type: Literal["stdio"]


class _Variable(Struct, rename="camel", forbid_unknown_fields=True):
    name: str
    description: str
    is_required: bool = False
    is_secret: bool = False
    placeholder: str = ""


class _Package(Struct, rename="camel", forbid_unknown_fields=True):
    registry_type: Literal["pypi"]
    identifier: str
    version: str
    runtime_hint: Literal["uvx"]
    runtime_arguments: list[_Named | _Positional]
    package_arguments: list[_Named | _Positional]
    transport: _Stdio
    environment_variables: list[_Variable]


class _Server(Struct, forbid_unknown_fields=True, rename={"schema": "$schema"}):
    """The part of the registry's schema of 2025-12-11 that server.json uses."""

    schema: Literal["https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"]
    name: Annotated[str, Meta(min_length=3, max_length=200, pattern=r"^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$")]
    title: Annotated[str, Meta(min_length=1, max_length=100)]
    description: Annotated[str, Meta(min_length=1, max_length=100)]
    version: Annotated[str, Meta(max_length=255, pattern=r"^\d+\.\d+\.\d+$")]
    packages: list[_Package]


def test_the_registrys_entry_names_this_version_and_an_extra_that_there_is() -> None:
    entry = msgspec.json.decode((ROOT / "server.json").read_bytes(), type=_Server)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [package] = entry.packages
    assert (package.identifier, package.version, entry.version) == (project["name"], *[project["version"]] * 2)
    [runtime], [argument] = package.runtime_arguments, package.package_arguments
    assert isinstance(runtime, _Named) and (runtime.name, runtime.value) == ("--with", "tickfence[mcp]")
    assert "mcp" in project["optional-dependencies"] and argument.value == "mcp"
    # The registry looks for this line in the package's description before it lists the server.
    assert f"<!-- mcp-name: {entry.name} -->" in (ROOT / project["readme"]).read_text()
