"""The overview: the table of all symbols, the nodes, the timeline."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import visit
from tests.processes import wait_until
from tests.web.page.conftest import SYMBOLS, Served
from tickfence.coordination.desired import NodeMode, add, pause, set_mode
from tickfence.instrument import Instrument


@pytest.fixture(scope="module")
def served(serving: Callable[..., AbstractContextManager[Served]]) -> Iterator[Served]:
    """One of this module's own: it counts what happens, and kills a node."""
    with serving() as served:
        yield served


def row(symbol: str) -> str:
    """Selector of a symbol's row."""
    return f'#market tbody tr:has(a[href="#/{symbol}"])'


def shown_symbols(page: Page) -> list[str]:
    return page.locator("#market tbody a").all_inner_texts()


def test_all_symbols_are_shown_by_owner_and_their_prices_move(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin) as opened:
        page = opened.open()
        expect(page.locator("#market tbody tr")).to_have_count(len(SYMBOLS))
        assert shown_symbols(page) == sorted(SYMBOLS)
        for symbol in SYMBOLS:
            owner = served.scene.owner(symbol)
            expect(page.locator(row(symbol))).to_have_attribute("data-owner", str(int(owner[-3:]) - 1))
            expect(page.locator(f"{row(symbol)} .col-owner")).to_have_text(owner)
        cell = page.locator(f"{row('BTCUSDT')} .col-price")
        before = cell.inner_text()
        expect(cell).not_to_have_text(before)
        expect(page.locator(f"{row('BTCUSDT')} .col-status")).to_have_text("ok")
        expect(page.locator("#connection")).to_have_text("Live")
        expect(page.locator("#summary")).to_contain_text("6 of 6")
        cut_off = "cells => cells.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent)"
        assert page.locator("#market th, #market td").evaluate_all(cut_off) == []


def test_each_row_has_the_line_of_its_history_and_one_answer_has_them_all(browser: Browser, served: Served) -> None:
    served.scene.remember("BTCUSDT", seconds=600)
    with visit(browser, served.origin) as opened:
        page = opened.open()
        line = page.locator(f"{row('BTCUSDT')} .col-line polyline")
        expect(line).to_have_attribute("points", re.compile(r"^([\d.]+,[\d.]+ ){19,21}84\.0,[\d.]+$"))
        expect(page.locator(f"{row('ETHUSDT')} .col-line")).to_have_text("")
        assert len([url for url in opened.requests if "sparklines?" in url]) == 1
        page.locator("#market thead th.col-line").get_by_role("button").click()
        expect(page.locator("#market tbody a").first).to_have_text("BTCUSDT")


def test_every_report_is_shown_and_not_only_when_rows_are_sorted_again(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin) as opened:
        page = opened.open()
        expect(page.locator(f"{row('BTCUSDT')} .col-status")).to_have_text("ok")
        page.evaluate(
            """selector => {
                window.changes = 0;
                const watched = { childList: true, characterData: true, subtree: true };
                new MutationObserver(() => (changes += 1)).observe(document.querySelector(selector), watched);
            }""",
            f"{row('BTCUSDT')} .col-price",
        )
        before = served.scene.cycles
        wait_until(lambda: served.scene.cycles >= before + 12, "three seconds of reports")
        assert page.evaluate("window.changes") > (served.scene.cycles - before) / 2


def test_price_ticks_say_their_direction_and_keep_still_for_who_wants_less_motion(
    browser: Browser, served: Served
) -> None:
    ticking = "#market .col-price[data-tick=up], #market .col-price[data-tick=down]"
    sign = f"getComputedStyle(document.querySelector('{ticking}'), '::before').content"
    for motion, shown in (("no-preference", True), ("reduce", False)):
        with visit(browser, served.origin, reduced_motion=motion) as opened:
            page = opened.open()
            page.wait_for_selector(ticking)
            assert (page.evaluate(sign) in ('"▲"', '"▼"')) is shown


def test_columns_sort_both_ways_and_say_so(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin) as opened:
        page = opened.open()
        expect(page.locator("#market tbody tr")).to_have_count(len(SYMBOLS))
        by_price = sorted(SYMBOLS, key=served.scene.price)
        head = page.locator("#market thead th.col-price")
        head.get_by_role("button").click()
        expect(head).to_have_attribute("aria-sort", "descending")
        expect(page.locator("#market tbody a")).to_have_text(by_price[::-1])
        head.get_by_role("button").click()
        expect(head).to_have_attribute("aria-sort", "ascending")
        expect(page.locator("#market tbody a")).to_have_text(by_price)
        expect(page.locator("#market thead [aria-sort]")).to_have_count(1)


def test_the_filter_finds_symbols_and_owners_and_says_when_there_is_none(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin) as opened:
        page = opened.open()
        expect(page.locator("#market tbody tr")).to_have_count(len(SYMBOLS))
        page.keyboard.press("/")
        expect(page.locator("#filter")).to_be_focused()
        page.keyboard.type("eth")
        expect(page.locator("#market tbody a")).to_have_text(["ETHUSDT"])
        expect(page.locator("#market-count")).to_have_text("1 of 6")
        page.locator("#filter").fill(served.scene.owner("BTCUSDT"))
        expect(page.locator("#market tbody tr")).to_have_count(2)
        page.locator("#filter").fill("DOGE")
        expect(page.locator("#market-empty")).to_have_text("No symbol, pair, venue, owner or status matches “DOGE”.")
        page.keyboard.press("Escape")
        expect(page.locator("#market tbody tr")).to_have_count(len(SYMBOLS))


def test_from_table_to_symbol_and_back_by_keyboard(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin) as opened:
        page = opened.open()
        expect(page.locator("#market tbody tr")).to_have_count(len(SYMBOLS))
        page.locator("#filter").focus()
        presses = 0
        while not page.evaluate("document.activeElement.matches('#market tbody a')"):
            page.keyboard.press("Tab")
            presses += 1
            assert presses <= 14, "the table cannot be reached with the Tab key"
        for key, symbol in (("ArrowDown", "BNBUSDT"), ("End", "XRPUSDT"), ("ArrowUp", "SOLUSDT"), ("Home", "ADAUSDT")):
            page.keyboard.press(key)
            assert page.evaluate("document.activeElement.textContent") == symbol
        page.keyboard.press("ArrowDown")
        outline = "getComputedStyle(document.activeElement.closest('tr')).outlineStyle"
        assert page.evaluate(outline) == "solid", "the row with the focus looks like the others"
        page.keyboard.press("Enter")
        expect(page.locator("h1").last).to_have_text("BNBUSDT")
        assert page.evaluate("document.activeElement.textContent") == "BNBUSDT"
        expect(page.locator("#overview")).to_be_hidden()
        page.keyboard.press("Escape")
        expect(page.locator("#overview")).to_be_visible()
        assert page.evaluate("document.activeElement.textContent") == "BNBUSDT", "the focus is lost on the way back"


def test_the_focus_stays_with_its_symbol_when_rows_change_places(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin) as opened:
        page = opened.open()
        expect(page.locator("#market tbody tr")).to_have_count(len(SYMBOLS))
        page.locator('#market a[href="#/BTCUSDT"]').focus()
        for _ in range(2):
            page.evaluate("document.querySelector('#market thead .col-price button').click()")
            page.wait_for_timeout(100)  # frames, in which a row may be painted with another symbol
            assert page.evaluate("document.activeElement.textContent") == "BTCUSDT"


def test_a_symbol_that_nobody_writes_is_visibly_stale(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin) as opened:
        page = opened.open()
        expect(page.locator(f"{row('SOLUSDT')} .col-status")).to_have_text("ok")
        served.scene.silent.add("SOLUSDT")
        try:
            expect(page.locator(f"{row('SOLUSDT')} .col-status")).to_have_text("down")
            assert "stale" in str(page.locator(row("SOLUSDT")).get_attribute("class"))
            expect(page.locator("#summary")).to_contain_text("5 of 6")
            age = page.locator(f"{row('SOLUSDT')} .col-age")
            before = float(age.inner_text().removesuffix(" s"))
            expect(age).not_to_have_text(f"{before:.1f} s")
            assert float(age.inner_text().removesuffix(" s")) > before
        finally:
            served.scene.silent.clear()
        expect(page.locator(f"{row('SOLUSDT')} .col-status")).to_have_text("ok")


def test_what_operators_want_and_what_got_stuck_has_its_own_words_and_no_alarm(
    browser: Browser, served: Served
) -> None:
    sol, new = Instrument("SOLUSDT"), Instrument("NEWUSDT")
    served.scene.want(
        lambda was, now: set_mode(pause(add(was, [new], now), [sol], now), "node-001", NodeMode.DRAINED, now),
        stuck="node-003",
        aside="XRPUSDT",
    )
    try:
        with visit(browser, served.origin) as opened:
            page = opened.open()
            for symbol, word in (("SOLUSDT", "paused"), ("XRPUSDT", "set aside"), ("NEWUSDT", "no report")):
                expect(page.locator(f"{row(symbol)} .col-status")).to_have_text(word)
            assert "stale" not in str(page.locator(row("SOLUSDT")).get_attribute("class"))
            expect(page.locator("#summary")).to_contain_text("4 of 6")  # a paused one does not count
            states = page.locator("#nodes tbody .status")
            expect(states).to_have_text(["drained", "alive", "stuck"])
            expect(page.locator("#nodes-count")).to_have_text("1 of 3 work, node-001 is drained, node-003 is stuck")
            page.locator("#filter").fill("set aside")
            expect(page.locator("#market tbody tr")).to_have_count(1)
            page = opened.open("/#/SOLUSDT")
            expect(page.locator(".symbol-head .status")).to_have_text("paused")
            expect(page.locator("#symbol > .banner")).to_have_text(
                "Paused: an operator has paused the symbol, so its report is not rewritten."
            )
    finally:
        served.scene.want_nothing()


def test_the_timeline_tells_what_happens_newest_first(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin) as opened:
        page = opened.open()
        newest = page.locator("#timeline li").first
        expect(page.locator("#timeline .events > li").last).to_contain_text("6 symbols")
        served.scene.conflict("ETHUSDT")
        expect(newest).to_contain_text("ETHUSDT")
        expect(newest).to_contain_text("node-003")
        page.get_by_role("button", name="Leader").click()
        expect(page.locator("#timeline .empty")).to_be_visible()
        page.get_by_role("button", name="Conflicts").click()
        expect(page.locator("#timeline .events > li")).to_have_count(1)
        page.get_by_role("button", name="All", exact=True).click()
        expect(page.locator("#timeline .events > li")).to_have_count(2)


def test_a_dead_node_recolours_its_symbols_and_says_why(browser: Browser, served: Served) -> None:
    """The last test of this module: the node does not come back."""
    with visit(browser, served.origin) as opened:
        page = opened.open()
        expect(page.locator("#nodes-count")).to_have_text("3 of 3 work")
        moved = served.scene.kill("node-002")
        assert len(moved) == 2
        for symbol in moved:
            owner = served.scene.owner(symbol)
            expect(page.locator(row(symbol))).to_have_attribute("data-owner", str(int(owner[-3:]) - 1))
        died, went = page.locator("#timeline .events > li").nth(1), page.locator("#timeline .events > li").nth(0)
        expect(died).to_contain_text("node-002")
        expect(went).to_contain_text(moved[0])
        expect(page.locator("#timeline-count")).to_contain_text("8 symbols moved")
        expect(page.locator("#nodes tbody tr", has_text="node-002").locator(".status")).to_have_text("dead")
        expect(page.locator("#nodes-count")).to_have_text("2 of 3 work, node-002 is dead")
        expect(page.locator("#announcement")).to_contain_text("node-002")
