"""The programs and MCP servers of the pages work beside a real `make run`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.docs.checkout import Checkout
from tests.docs.pages import PAGES, ROOT, blocks

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

OTHER_TESTS = {ROOT / "docs" / "extensions.md", ROOT / "docs" / "alerts.md"}
"""Their programs read no reports: tests/tasks/test_extensions.py, tests/alerts/test_alerts_process.py."""
OF_RECORDINGS = {ROOT / "docs" / "recordings.md", ROOT / "docs" / "batch.md"}
"""Their programs need recorded data: tests/recordings/test_page.py, tests/batch/test_backfill_command.py."""
PROGRAMS = [
    text
    for page in PAGES
    if page not in OF_RECORDINGS | OTHER_TESTS
    for language, text in blocks(page.read_text())
    if language == "python"
]
DATA = [text for page in PAGES for language, text in blocks(page.read_text()) if language == "json"]
MCP_SERVERS = sorted({text for text in DATA if "mcpServers" in text})


@pytest.mark.parametrize("text", PROGRAMS)
def test_a_program_reads_reports_or_their_history(text: str, checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(checkout.here(text))
    done = checkout.type(f"python {tmp_path}/program.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert ("HistoryRow(time_ms=" if "history:" in text else " ms ago by node-00") in done.stdout


def test_data_is_json() -> None:
    assert all(json.loads(text) for text in DATA)


@pytest.mark.parametrize("text", MCP_SERVERS)
def test_an_mcp_client_gets_a_report(text: str, checkout: Checkout, tmp_path: Path) -> None:
    [(_, server)] = json.loads(checkout.here(text.replace("<this folder>", str(checkout.folder))))["mcpServers"].items()

    async def ask() -> Any:
        # From another folder, as such clients do.
        to = server["url"] if "url" in server else stdio_client(StdioServerParameters(**server, cwd=tmp_path))
        async with Client(to) as client:
            return await client.call_tool("get_report", {"symbol": "BTCUSDT"})

    answer = anyio.run(ask)
    assert not answer.is_error
    assert answer.structured_content["symbol"] == "BTCUSDT"
