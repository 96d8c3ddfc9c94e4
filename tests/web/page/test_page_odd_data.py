"""What the page makes of data that is missing, huge, or means to be more than data."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Browser, expect

from tests.browser import visit
from tests.web.page.conftest import Served

HOSTILE = "<img src=x onerror=alert(1)>"
FIELDS = ("price", "changePct", "spreadBps", "imbalance", "netFlow", "ordersPerSec", "health", "ageMs", "token")
NOW = 1_800_000_000_000


def row(symbol: str, value: float | None, **more: Any) -> dict[str, Any]:
    known = {"symbol": symbol, "status": "down", "owner": None, "updatedAt": None}
    return {**dict.fromkeys(FIELDS, value), **known, **more}


def test_missing_huge_and_hostile_values_stay_data(browser: Browser, served: Served) -> None:
    rows = [
        row("NONEUSDT", None),
        row("HUGEUSDT", 123_456_789_012_345, owner=HOSTILE, updatedAt=NOW),
        row("TINYUSDT", 0.00000001, owner="node-001", updatedAt=NOW),
    ]
    node = {"node": HOSTILE, "host": None, "pid": None, "incarnation": None, "heartbeatAgeMs": None}
    node |= {"symbols": 1, "reportsPerSec": None, "weight": 1, "alive": True, "state": "alive"}
    moves = {HOSTILE: [None, HOSTILE], "HUGEUSDT": [HOSTILE, None]}
    event = {"id": "1-0", "at": NOW, "kind": "moved", "reason": HOSTILE, "text": f"{HOSTILE}: {HOSTILE}"}
    state = {"now": NOW, "periodMs": 250, "symbols": rows, "nodes": [node], "leader": None}
    state["events"] = [{**event, "moves": moves}]
    with visit(browser, served.origin) as opened:
        body = f"event: state\ndata: {json.dumps(state)}\n\n"
        opened.page.route("**/stream", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
        page = opened.open()
        expect(page.locator("#market tbody tr")).to_have_count(3)
        expect(page.locator("#nodes tbody th")).to_have_text(HOSTILE)
        expect(page.locator("#nodes .leader")).to_have_text("No beat leads: nothing is dispatched.")
        expect(page.locator("#timeline .events > li")).to_contain_text(HOSTILE)
        assert page.locator("main img").count() == 0
        huge, none, tiny = (page.locator("#market tbody tr").nth(place) for place in range(3))
        expect(huge.locator(".col-owner")).to_have_text(HOSTILE)
        expect(huge.locator(".col-netFlow")).to_have_text("+123.46 T")
        assert huge.locator(".col-price").evaluate("cell => getComputedStyle(cell).textOverflow") == "ellipsis"
        expect(none.locator(".col-status")).to_have_text("no report")
        expect(none.locator(".col-owner")).to_have_text("nobody")
        for name in (
            "price",
            "changePct",
            "spreadBps",
            "imbalance",
            "netFlow",
            "ordersPerSec",
            "health",
            "age",
        ):
            expect(none.locator(f".col-{name}")).to_have_text("\N{EN DASH}")
        expect(tiny.locator(".col-price")).to_have_text("0.00000001")
