"""What a visitor chooses: it is in the address, and the back button undoes it; keys, zone, exports, links."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import violations, visit
from tests.web.page.conftest import SYMBOLS, Served

LINKS = "Flower=http://127.0.0.1:5555,Grafana=https://grafana.example/d/tickfence"


@pytest.fixture(scope="module")
def served(serving: Callable[..., AbstractContextManager[Served]]) -> Iterator[Served]:
    """One of this module's own: it has links, and a node of it dies."""
    with serving(NT_WEB_LINKS=LINKS) as served:
        yield served


def pressed(page: Page, group: str) -> str:
    return page.locator(f"{group} button[aria-pressed=true]").inner_text()


def test_filter_and_order_are_in_the_address_and_back_undoes_them(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin) as opened:
        page = opened.open("/#/?filter=usdt&sort=price&order=up&events=node")
        by_price = sorted(SYMBOLS, key=served.scene.price)
        expect(page.locator("#market tbody a")).to_have_text(by_price)
        expect(page.locator("#filter")).to_have_value("usdt")
        assert pressed(page, "#timeline-choice") == "Nodes"
        page.locator("#market thead th.col-price button").click()
        expect(page.locator("#market tbody a")).to_have_text(by_price[::-1])
        assert page.url.endswith("/#/?filter=usdt&sort=price&events=node")
        page.locator("#filter").fill("eth")
        expect(page.locator("#market tbody a")).to_have_text(["ETHUSDT"])
        page.locator("#market tbody a").click()
        page.get_by_role("link", name="All symbols").click()
        expect(page.locator("#market tbody a")).to_have_text(["ETHUSDT"])
        assert "filter=eth" in page.url
        for _ in range(3):  # to the symbol, to the overview with the filter, to the order before
            page.go_back()
        expect(page.locator("#market tbody a")).to_have_text(by_price)
        expect(page.locator("#filter")).to_have_value("usdt")


def test_the_range_of_the_charts_is_in_the_address(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin) as opened:
        page = opened.open("/#/BTCUSDT?range=6h")
        assert pressed(page, ".card-price") == "6 h"
        page.keyboard.press("2")
        assert pressed(page, ".card-price") == "1 h"
        assert page.url.endswith("/#/BTCUSDT?range=1h")
        page.go_back()
        expect(page.locator(".card-price button[aria-pressed=true]")).to_have_text("6 h")
        page.get_by_role("button", name="15 min").click()
        assert page.url.endswith("/#/BTCUSDT")


def test_the_book_and_the_newest_trades_are_shown(browser: Browser, served: Served) -> None:
    scene = served.scene
    scene.trade("BTCUSDT", "77.25", is_buy=False)
    with visit(browser, served.origin) as opened:
        page = opened.open("/#/BTCUSDT")
        ladder = page.locator(".card-book tbody tr")
        expect(ladder).to_have_count(12)
        expect(ladder.nth(4).locator("td").nth(1)).to_have_text("6.00")
        expect(ladder.nth(4).locator("td").nth(0)).to_have_text("10.00")  # the sum of the five best bids
        expect(ladder.nth(11).locator("td").nth(5)).to_have_text("8.80")
        trades = page.locator(".card-tape tbody tr")
        expect(trades.first).to_have_text(re.compile(r"^\d\d:\d\d:\d\d\.\d{3}sell77\.250\.500$"))
        scene.trade("BTCUSDT", "77.5", is_buy=True)
        expect(trades.first).to_contain_text("buy77.50")
        expect(trades).to_have_count(2)
        assert violations(page) == []
        page.goto(f"{served.origin}/#/ETHUSDT")
        expect(page.locator(".card-tape .empty")).to_have_text("No trade of the last half hour is known.")


def test_the_keys_are_told_and_the_other_pages_are_linked(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin) as opened:
        page = opened.open()
        page.keyboard.press("?")
        dialog = page.get_by_role("dialog", name="Keys")
        expect(dialog).to_contain_text("filter the symbols")
        assert violations(page) == []
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        hrefs = "links => links.map((link) => [link.textContent, link.getAttribute('href')])"
        expect(page.locator("#links a")).to_have_count(3)
        assert page.locator("#links a").evaluate_all(hrefs) == [
            ["API", "docs"],
            ["Flower", "http://127.0.0.1:5555"],
            ["Grafana", "https://grafana.example/d/tickfence"],
        ]


def test_times_are_local_or_utc_and_the_choice_stays(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin, timezone_id="Asia/Kolkata") as opened:
        page = opened.open()
        time = page.locator("#timeline time").last
        local = time.inner_text()
        page.get_by_role("button", name="Times: local").click()
        expect(page.get_by_role("button", name="Times: UTC")).to_be_visible()
        expect(time).not_to_have_text(local)
        utc = time.inner_text()
        assert str(time.get_attribute("datetime"))[11:19] == utc[:8]
        page.reload()
        expect(page.locator("#timeline time").last).to_have_text(utc)


def test_the_table_is_exported_as_it_is_filtered_and_sorted(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin) as opened:
        page = opened.open("/#/?filter=node-001&sort=price")
        expect(page.locator("#market tbody tr")).to_have_count(2)
        shown = page.locator("#market tbody a").all_inner_texts()
        for form in ("CSV", "JSON"):
            page.locator("#export summary").click()
            with page.expect_download() as saved:
                page.locator("#export").get_by_role("button", name=form).click()
            text = saved.value.path().read_text()
            rows = list(csv.DictReader(text.splitlines())) if form == "CSV" else json.loads(text)["symbols"]
            assert [row["symbol"] for row in rows] == shown
            assert {row["owner"] for row in rows} == {"node-001"}
            assert all(len(str(row["token"])) == 13 for row in rows)
            expect(page.locator("#export div")).to_be_hidden()


def test_a_node_is_opened_and_says_why_it_is_dead(browser: Browser, served: Served) -> None:
    """The last test of this module: the node does not come back."""
    with visit(browser, served.origin) as opened:
        page = opened.open()
        page.locator("#nodes").get_by_role("link", name="node-003").click()
        assert page.url.endswith("/#/node/node-003")
        expect(page.locator("h1:visible")).to_have_text("node-003")
        expect(page.locator(".symbol-head .status")).to_have_text("alive")
        expect(page.locator(".card-symbols tbody tr")).to_have_count(2)
        expect(page.locator(".figures dd[data-name='Reports/s']")).to_have_text(re.compile(r"^[5-9]\.\d$"))
        expect(page.locator(".card-troubles .empty")).to_be_visible()
        assert violations(page) == []
        moved = served.scene.kill("node-003")
        expect(page.locator(".symbol-head .status")).to_have_text("dead")
        expect(page.locator(".symbol-head .why")).to_have_text(re.compile("no heartbeat|connection to Redis is closed"))
        expect(page.locator(".card-troubles .events > li").first).to_contain_text(moved[0])
        expect(page.locator(".card-symbols .empty")).to_have_text("It writes no symbol now.")
        page.keyboard.press("Escape")
        expect(page.locator("#overview")).to_be_visible()
        expect(page.locator("#nodes tbody tr", has_text="node-003").locator(".last-event")).to_contain_text("symbols")
        page.goto(f"{served.origin}/#/node/nobody")
        expect(page.locator("#symbol > .banner")).to_have_text("No node nobody is registered now.")
