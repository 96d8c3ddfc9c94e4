"""The live page on the real stack, as its user sees it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import chromium, visit
from tests.e2e.observer import picture
from tests.processes import wait_until
from tools.local.ports import LOOPBACK, answers
from tools.local.roles import NODES
from tools.local.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def test_the_page_shows_the_market_and_what_a_kill_does_to_it(browser: Browser, stack: Stack) -> None:
    symbols = sorted(stack.settings.symbols)
    port = stack.ports.web
    wait_until(lambda: answers(port), lambda: f"the page is served: {stack.log('web')}", timeout_s=40)
    with visit(browser, f"http://{LOOPBACK}:{port}") as opened:
        page = opened.open()
        expect(page.locator("#market tbody a")).to_have_text(symbols, timeout=40_000)
        expect(page.locator("#market .status[data-status=ok]")).to_have_count(len(symbols), timeout=40_000)
        expect(page.locator("#nodes-count")).to_have_text("3 of 3 work")
        expect(page.locator("#nodes .leader")).to_have_text(re.compile(r"leads, term \d{13}"))
        prices = page.locator("#market tbody .col-price")
        before = dict(zip(symbols, prices.all_inner_texts(), strict=True))

        def all_moved() -> bool:
            now = prices.all_inner_texts()
            return len(now) == len(symbols) and all(n != before[s] for s, n in zip(symbols, now, strict=True))

        wait_until(all_moved, lambda: f"all prices move: {picture(stack)}", timeout_s=40, every_s=0.1)

        owned = page.locator("#market tbody tr").evaluate_all(
            "rows => rows.map((row) => [row.querySelector('a').textContent, row.querySelector('.owner').textContent])"
        )
        victim = dict(owned)["BTCUSDT"]
        orphans = [symbol for symbol, owner in owned if owner == victim]
        assert victim in NODES
        stack.kill(victim)
        recoloured = """([orphans, victim, colour]) => orphans.every((symbol) => {
            const row = document.querySelector(`#market tbody a[href="#/${symbol}"]`).closest("tr");
            return row.querySelector(".owner").textContent !== victim && row.dataset.owner !== colour;
        }) && document.querySelector("#timeline").textContent.includes(victim)
           && document.querySelector("#timeline .mark[data-weight=bad]") !== null"""
        page.wait_for_function(recoloured, arg=[orphans, victim, str(int(victim[-3:]) - 1)], timeout=2_000)
        expect(page.locator("#nodes-count")).to_contain_text("2 of 3 work")
        stack.start_role(victim)
        expect(page.locator("#nodes-count")).to_have_text("3 of 3 work", timeout=20_000)

        page.locator('#market a[href="#/BTCUSDT"]').click()
        expect(page.locator(".card-depth .count").first).to_contain_text("imbalance")
        drawn = "document.querySelector('.depth-chart canvas').toDataURL()"
        page.wait_for_function(f"before => {drawn} !== before", arg=page.evaluate(drawn))
        expect(page.locator(".card-history li").first).to_contain_text("BTCUSDT")
        page.keyboard.press("Escape")
        expect(page.locator("#market tbody a")).to_have_text(symbols)
