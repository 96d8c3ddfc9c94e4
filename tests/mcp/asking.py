"""An MCP server in the test's own process, asked by the SDK's client, about what a test has planted in Redis."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import anyio
import redis
from mcp.client import Client

from tickfence.analytics.history_row import HistoryRow, pack
from tickfence.keys import Keys
from tickfence.mcp.server import server
from tickfence.readers.reader import Reader
from tickfence.settings import Settings

# On a slow machine a report must still be fresh when it is asked for.
_ENVIRONMENT = {
    **{"SYMBOLS": "AAUSDT,BBUSDT,CCUSDT", "NT_REPORT_PERIOD_MS": "60000"},
    **{"NT_SLOW_PERIOD_MS": "60000", "NT_LEASE_TTL_MS": "120000"},
}


class Answer:
    """An answer's structured content and its text; of a refusal only the text."""

    def __init__(self, text: str, data: Mapping[str, Any] | None) -> None:
        self.text, self.data = text, data

    def __getitem__(self, name: str) -> Any:
        assert self.data is not None, self.text
        return self.data[name]


def asked(url: str, ask: Callable[[Client], Awaitable[None]]) -> None:
    """Run ``ask`` with a client of the server."""

    async def run() -> None:
        reader = Reader(Settings.from_environment(_ENVIRONMENT | {"REDIS_URL": url}))
        async with Client(server(reader), mode="legacy") as client:
            await ask(client)
        await reader.close()

    anyio.run(run)


def answer(url: str, tool: str, **arguments: Any) -> Answer:
    """Return the answer of one tool."""
    found: list[Answer] = []

    async def ask(client: Client) -> None:
        called = await client.call_tool(tool, arguments)
        data = None if called.is_error else called.structured_content
        found.append(Answer(called.content[0].text, data))

    asked(url, ask)
    return found[0]


def plant(client: redis.Redis, symbol: str, rows: Iterable[HistoryRow]) -> None:
    """Append rows as nodes append them."""
    pipe = client.pipeline(transaction=False)
    for row in rows:
        pipe.xadd(Keys().history(symbol), {"r": pack(row)}, id=f"{row.time_ms}-0")
    pipe.execute()
