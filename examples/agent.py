"""An agent that answers "what changed?" over MCP.

    pip install 'tickfence[mcp]'
    python examples/agent.py BTCUSDT --minutes 10

It takes the question from the server's prompt `what_changed`, and the facts from the tool `get_changes`. This one prints the
facts. To have a language model word the answer, hand `question` and `facts` to it where the comment says so.
"""

from __future__ import annotations

import argparse
import os

import anyio
import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent


async def answer(url: str, token: str | None, symbol: str, minutes: int) -> str:
    """Return what has changed for ``symbol`` in the last ``minutes``.

    Raises:
        SystemExit: The server refuses; the text says why.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        prompt = await client.get_prompt("what_changed", {"symbol": symbol, "minutes": str(minutes)})
        question = text_of([message.content for message in prompt.messages])
        called = await client.call_tool("get_changes", {"symbol": symbol, "minutes": minutes})
    facts = text_of(called.content)
    if called.is_error:
        raise SystemExit(f"error: {facts}")
    # A language model would get `question` and `facts` here; `called.structured_content` has the numbers.
    return f"{question.splitlines()[0]}\n\n{facts}"


def text_of(parts: object) -> str:
    """Return the text in the parts of a message or of an answer."""
    assert isinstance(parts, list)
    return "\n".join(part.text for part in parts if isinstance(part, TextContent))


def main() -> None:
    """Read the command line and print the answer."""
    parser = argparse.ArgumentParser(description='Answer "what changed?" for a symbol.')
    parser.add_argument("symbol", metavar="SYMBOL")
    parser.add_argument("--minutes", type=int, default=10, help="how far back, 1 to 60")
    parser.add_argument("--url", default="http://localhost:8000/mcp", help="where the MCP server answers")
    given = parser.parse_args()
    print(anyio.run(answer, given.url, os.environ.get("NT_WEB_TOKEN"), given.symbol, given.minutes))


if __name__ == "__main__":
    main()
