"""The prompts: questions that people often ask, worded so that a model uses the tools well."""

from __future__ import annotations

from typing import Annotated

from mcp.server.mcpserver import MCPServer
from pydantic import Field

from tickfence.mcp.tool import symbol_name
from tickfence.mcp.why import facts
from tickfence.readers.reader import Reader

_Symbol = Annotated[str, Field(description="Like BTCUSDT or okx:BTC-USDT.")]

_RULES = """\
Rules: call tools, never guess a number. If `freshness.stale` is true, say so first and draw no conclusion from that report.
A field that is left out is not known; it is not 0. Answer in at most six short sentences, with units and UTC times.
"""


def add_prompts(server: MCPServer, reader: Reader) -> None:
    """Add the prompts to ``server``."""

    @server.prompt(title="What changed?")
    def what_changed(
        symbol: _Symbol,
        minutes: Annotated[str, Field(description="How far back, 1 to 60.")] = "10",
    ) -> str:
        """What has changed for one symbol in the last minutes."""
        return (
            f"What has changed for {symbol_name(symbol)} in the last {minutes} minutes?\n\n"
            f"Call get_changes with that symbol and these minutes. Tell first what moved, then walls and anomalies that came "
            f"or went, then trouble with the data. Name the times that `gaps` and `notes` call unknown.\n{_RULES}"
        )

    @server.prompt(title="Is the market healthy?")
    def market_health() -> str:
        """Whether all symbols get fresh reports, and which of them look unusual."""
        return (
            "Is the market healthy now?\n\n"
            "Call scan without arguments, and list_symbols. Then call compare for the symbols that scan lists, at most 20. "
            "Tell first how many symbols have no fresh report and why, then the worst anomalies with their notes, then the "
            f"symbols with a health below 50. If nothing is wrong, say that in one sentence.\n{_RULES}"
        )

    @server.prompt(title="Compare two symbols")
    def compare_symbols(first: _Symbol, second: _Symbol) -> str:
        """How two symbols differ now: price, spread, depth, flow, health."""
        return (
            f"How do {symbol_name(first)} and {symbol_name(second)} differ now?\n\n"
            "Call compare with both. Then call get_report for each with the sections depth, flow and anomalies. Tell which is "
            "cheaper to trade (spread, depth), where buyers or sellers press (imbalance, net flow), and which is more "
            f"unusual. Two quote currencies are not the same currency.\n{_RULES}"
        )

    @server.prompt(title="Why is there no report?")
    async def why_no_report(symbol: _Symbol) -> str:
        """Why a symbol has no report, or a stale one: with what the cluster says about it now."""
        name = symbol_name(symbol)
        told = "\n".join(f"- {fact}" for fact in await facts(reader, name))
        return (
            f"Why is there no report of {name} that I can act on?\n\nThis is known now:\n{told}\n\n"
            "Call get_changes with the symbol to see when its data was late or missing, and who wrote. Then name the most "
            f"likely cause and the next step. If the report is fresh, say that nothing is wrong.\n{_RULES}"
        )
