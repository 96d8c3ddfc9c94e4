"""A thousand symbols, four times a second: only the rows in sight are in the document."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from playwright.sync_api import Browser, expect

from tests.browser import visit
from tests.web.page.conftest import Served

COUNT = 1000
SYMBOLS = tuple(f"S{number:04}USDT" for number in range(COUNT))


def test_a_thousand_symbols_stay_smooth(
    browser: Browser, serving: Callable[..., AbstractContextManager[Served]]
) -> None:
    with serving(SYMBOLS) as served, visit(browser, served.origin) as opened:
        page = opened.open()
        expect(page.locator("#market-count")).to_have_text("1,000")
        expect(page.locator("#market table")).to_have_attribute("aria-rowcount", "1001")
        assert page.locator("#market tbody tr").count() < 60
        cell = page.locator("#market tbody .col-price").first
        expect(cell).not_to_have_text(cell.inner_text())

        page.locator("#market").hover()
        for _ in range(20):
            page.mouse.wheel(0, 500)
        first = page.locator("#market tbody tr").first
        expect(first).not_to_have_attribute("aria-rowindex", "2")
        assert page.locator("#market tbody tr").count() < 60
        expect(cell).not_to_have_text(cell.inner_text())

        page.locator("#market tbody a").nth(3).focus()
        page.keyboard.press("End")
        expect(page.locator("#market tbody a").last).to_have_text(SYMBOLS[-1])
        assert page.evaluate("document.activeElement.textContent") == SYMBOLS[-1]
        assert page.locator("#market tbody tr").last.get_attribute("aria-rowindex") == "1001"
        assert page.locator("#market tbody tr").count() < 60
