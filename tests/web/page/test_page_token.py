"""The page of a server that asks for a bearer token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import violations, visit
from tests.web.page.conftest import SYMBOLS, Served

TOKEN = "a-token-of-the-test-0123"


@pytest.fixture(scope="module")
def locked(serving: Callable[..., AbstractContextManager[Served]]) -> Iterator[Served]:
    with serving(NT_WEB_TOKEN=TOKEN) as served:
        yield served


def test_it_asks_until_the_token_is_right_and_keeps_it_for_the_tab(browser: Browser, locked: Served) -> None:
    with visit(browser, locked.origin, allowed="401") as opened:
        page = opened.open("/#/BTCUSDT")
        expect(page.get_by_role("dialog")).to_contain_text("This page asks for a token")
        expect(page.locator("#token")).to_be_focused()
        assert violations(page) == []
        for _ in range(3):  # at the second one a browser asks no more
            page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_visible()
        expect(page.locator("#token")).to_be_focused()
        page.keyboard.type("something-else-entirely")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text("That token was not accepted")
        page.get_by_label("Token", exact=True).fill(TOKEN)
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("dialog")).to_be_hidden()
        expect(page.locator(".card-depth .count").first).to_contain_text("imbalance")
        page.reload()
        expect(page.locator("#connection")).to_have_text("Live")
        assert page.evaluate("localStorage.length") == 0


def test_a_token_in_the_address_is_taken_out_of_it(browser: Browser, locked: Served) -> None:
    with visit(browser, locked.origin) as opened:
        page = opened.open(f"/?token={TOKEN}")
        expect(page.locator("#market tbody tr")).to_have_count(len(SYMBOLS))
        assert page.url == f"{locked.origin}/"
        sent_on = [url for url in opened.requests[1:] if TOKEN in url]
        assert sent_on == []
