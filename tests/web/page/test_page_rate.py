"""Reports a second, and what is said when there is no coordination or no data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import violations, visit
from tests.processes import wait_until
from tests.web.page.conftest import Served

RATE = "#summary dd[data-name=rate]"


@pytest.fixture(scope="module")
def served(serving: Callable[..., AbstractContextManager[Served]]) -> Iterator[Served]:
    """One of this module's own: it ends coordination."""
    with serving() as served:
        yield served


def shown_rates(page: Page, served: Served, cycles: int) -> list[float]:
    """The rates that are shown while the scene writes all reports ``cycles`` times."""
    watch = f"""() => {{
        const seen = (window.seen = []);
        const take = () => seen.push(Number(document.querySelector("{RATE}").textContent));
        new MutationObserver(take).observe(document.querySelector("{RATE}"), {{ childList: true, subtree: true }});
    }}"""
    page.evaluate(watch)
    before = served.scene.cycles
    wait_until(lambda: served.scene.cycles >= before + cycles, "reports")
    return list(page.evaluate("window.seen"))


def test_the_rate_is_true_from_its_first_number_and_not_known_in_an_outage(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin, allowed="503") as opened:
        page = opened.open()
        expect(page.locator(RATE)).not_to_have_text("\N{EN DASH}")
        first = float(page.locator(RATE).inner_text())
        rates = [first, *shown_rates(page, served, 8)]
        assert all(15 <= rate <= 25 for rate in rates), rates  # 24, and less where this machine is slow
        served.redis.pause()
        try:
            expect(page.locator(RATE)).to_have_text("not known")
            expect(page.locator("#summary dd[data-name=nodes]")).to_have_text("not known")
            expect(page.locator("#banner")).to_contain_text("Redis is away")
            expect(page.locator("#banner")).to_contain_text("What you see is from")
        finally:
            served.redis.resume()
        expect(page.locator(RATE)).not_to_have_text("not known")


def test_who_comes_during_an_outage_reads_what_to_do(browser: Browser, served: Served) -> None:
    served.redis.pause()
    try:
        with visit(browser, served.origin, allowed="503") as opened:
            page = opened.open()
            expect(page.locator("#connection")).to_have_text("Outage")
            expect(page.locator("#market-empty")).to_contain_text("No data yet: the server has no answer from Redis")
            expect(page.locator("#market-empty")).to_contain_text("You need not reload")
            banner = page.locator("#banner").inner_text()
            assert "What you see" not in banner and "Error" not in banner and "no answer within" not in banner
            expect(page.locator(RATE)).to_have_text("\N{EN DASH}")
            assert violations(page) == []
            page.goto(f"{served.origin}/#/BTCUSDT")
            expect(page.locator("#symbol > .banner")).to_have_text("No data of BTCUSDT yet. It comes by itself.")
            expect(page.locator(".cards")).to_be_hidden()
            served.redis.resume()
            expect(page.locator(".card-depth .count").first).to_contain_text("imbalance", timeout=40_000)
            expect(page.locator("#symbol > .banner")).to_be_hidden()
            page.keyboard.press("Escape")
            expect(page.locator("#market tbody tr").first).to_be_visible()
            expect(page.locator("#market-empty")).to_be_hidden()
    finally:
        served.redis.resume()


def test_single_mode_says_so(browser: Browser, served: Served) -> None:
    """The last test of this module: coordination does not come back."""
    with visit(browser, served.origin) as opened:
        page = opened.open()
        expect(page.locator("#summary dd[data-name=leader]")).to_have_text("beat@here/1")
        served.scene.end_coordination()
        expect(page.locator("#summary dd[data-name=nodes]")).to_have_text("single mode")
        expect(page.locator("#summary dd[data-name=leader]")).to_have_text("none needed")
        expect(page.locator("#nodes .leader")).to_be_hidden()
        expect(page.locator("#nodes .empty")).to_contain_text("Single mode: one node writes all reports.")
        assert float(page.locator(RATE).inner_text()) > 10
