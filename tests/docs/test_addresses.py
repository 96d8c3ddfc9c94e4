"""The web server answers at every address that its pages name."""

from __future__ import annotations

import http.client
import re

import pytest

from tests.docs.checkout import Checkout
from tests.docs.pages import ROOT, spans
from tools.local.ports import LOOPBACK

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

ABOUT_IT = [ROOT / "docs" / name for name in ("web.md", "quick-start.md", "runbook.md", "report.md")]
ADDRESSES = sorted(
    {span for page in ABOUT_IT for span in spans(page.read_text()) if re.match(r"/(?!v1$)([a-z]|$)", span)}
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_it_answers(address: str, checkout: Checkout) -> None:
    connection = http.client.HTTPConnection(LOOPBACK, checkout.ports["8000"], timeout=20)
    try:
        path = address.replace("{symbol}", "BTCUSDT").replace("{pair}", "BTC-USDT").replace("<id>", "0-0")
        connection.request("GET", path)
        # MCP takes POST only: tests/docs/test_blocks.py. Kraken is not among the venues of `make run`.
        expected = 405 if address == "/mcp" else 404 if "kraken" in address else 200
        assert connection.getresponse().status == expected
    finally:
        connection.close()
