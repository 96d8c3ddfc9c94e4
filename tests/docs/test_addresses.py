"""The web server answers at every address that its pages name."""

from __future__ import annotations

import http.client
import re

import pytest

from tests.docs.checkout import Checkout
from tests.docs.pages import ROOT, spans
from tools.local.ports import LOOPBACK

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

ABOUT_IT = [ROOT / "docs" / name for name in ("web.md", "quick-start.md", "runbook.md")]
ADDRESSES = sorted(
    {span for page in ABOUT_IT for span in spans(page.read_text()) if re.match(r"/(?!v1$)([a-z]|$)", span)}
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_it_answers(address: str, checkout: Checkout) -> None:
    connection = http.client.HTTPConnection(LOOPBACK, checkout.ports["8000"], timeout=20)
    try:
        connection.request("GET", address.replace("{symbol}", "BTCUSDT").replace("<id>", "0-0"))
        # MCP takes POST only: tests/docs/test_blocks.py.
        assert connection.getresponse().status == (405 if address == "/mcp" else 200)
    finally:
        connection.close()
