"""What the page does while the server or Redis is away: says so, and comes back by itself."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import visit
from tests.web.page.conftest import SYMBOLS, Served

NOT_RELOADED = "window.loadedBefore = true"


def test_a_server_that_goes_and_comes_back_needs_no_reload(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin, allowed="net::ERR") as opened:
        page = opened.open()
        expect(page.locator("#connection")).to_have_text("Live")
        page.evaluate(NOT_RELOADED)
        served.stop()
        expect(page.locator("#connection")).to_have_text(re.compile("Reconnecting|Outage"))
        expect(page.locator("#banner")).to_contain_text("trying again by itself")
        expect(page.locator("#banner")).to_contain_text("What you see is from")
        expect(page.locator("#market tbody tr")).to_have_count(len(SYMBOLS))
        served.start()
        expect(page.locator("#connection")).to_have_text("Live", timeout=15_000)
        expect(page.locator("#banner")).to_be_hidden()
        cell = page.locator("#market tbody .col-price").first
        expect(cell).not_to_have_text(cell.inner_text())
        assert page.evaluate("window.loadedBefore") is True


@pytest.mark.parametrize("path", ["/", "/#/BTCUSDT"])
def test_an_outage_of_redis_is_told_and_ends(browser: Browser, served: Served, path: str) -> None:
    with visit(browser, served.origin) as opened:
        page = opened.open(path)
        expect(page.locator("#connection")).to_have_text("Live")
        served.redis.pause()
        try:
            expect(page.locator("#connection")).to_have_text("Outage")
            expect(page.locator("#banner")).to_contain_text("Redis is away")
            expect(page.locator("body")).to_have_class(re.compile("out"))
        finally:
            served.redis.resume()
        expect(page.locator("#connection")).to_have_text("Live", timeout=15_000)
        expect(page.locator("#banner")).to_be_hidden()
