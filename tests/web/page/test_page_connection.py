"""What the page does while the server or Redis is away: says so, and comes back by itself."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.browser import visit
from tests.processes import wait_until
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
        expect(page.locator("#connection")).to_have_text("Live", timeout=40_000)
        expect(page.locator("#banner")).to_be_hidden()
        cell = page.locator("#market tbody .col-price").first
        expect(cell).not_to_have_text(cell.inner_text())
        assert page.evaluate("window.loadedBefore") is True


@pytest.mark.parametrize(
    ("path", "lost"), [("/", "app/format.js"), ("/", "css/layout.css"), ("/#/BTCUSDT", "app/symbol_view.js")]
)
def test_a_page_that_came_in_part_is_loaded_again(browser: Browser, served: Served, path: str, lost: str) -> None:
    with visit(browser, served.origin, allowed="net::ERR") as opened:
        loads = f"{served.origin}/"
        cut = lambda route: route.abort() if opened.requests.count(loads) < 3 else route.continue_()  # noqa: E731
        opened.page.route(f"**/{lost}", cut)
        page = opened.open(path)
        wait_until(lambda: page.wait_for_timeout(50) is None and opened.requests.count(loads) == 3, "two more loads")
        expect(page.locator("#connection")).to_have_text("Live")
        expect(page.locator("#incomplete")).to_have_count(0)
        wait_until(lambda: page.evaluate("sessionStorage.length") == 0, "the failures are forgotten")


@pytest.mark.parametrize(
    ("path", "lost"), [("/", "app/format.js"), ("/#/BTCUSDT", "app/main.js"), ("/#/BTCUSDT", "app/past.js")]
)
def test_a_page_that_never_comes_whole_says_so_and_is_loaded_no_more(
    browser: Browser, served: Served, path: str, lost: str
) -> None:
    with visit(browser, served.origin, allowed="net::ERR") as opened:
        opened.page.route(f"**/{lost}", lambda route: route.abort())
        opened.page.add_init_script("sessionStorage.setItem('failedStarts', '5')")
        page = opened.open(path)
        expect(page.locator("#incomplete")).to_have_text("A part of this page did not load. Please reload it.")
        assert page.locator("#overview").is_visible() == (path == "/"), "no other view than that of the address flashes"
        assert opened.requests.count(f"{served.origin}/") == 1


def test_a_symbol_whose_view_did_not_load_beside_the_overview_loads_the_page_again(
    browser: Browser, served: Served
) -> None:
    with visit(browser, served.origin, allowed="net::ERR") as opened:
        opened.page.route("**/app/symbol_view.js", lambda route: route.abort(), times=1)
        page = opened.open()
        page.locator("#market tbody a").first.click()
        expect(page.locator(".symbol-head .status")).to_have_text("ok")
        page.go_back()
        expect(page.locator("#market tbody tr").first).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/#/BTCUSDT"])
def test_an_outage_of_redis_is_told_and_ends(browser: Browser, served: Served, path: str) -> None:
    with visit(browser, served.origin, allowed="503") as opened:
        page = opened.open(path)
        expect(page.locator("#connection")).to_have_text("Live")
        served.redis.pause()
        try:
            expect(page.locator("#connection")).to_have_text("Outage")
            expect(page.locator("#banner")).to_contain_text("Redis is away")
            expect(page.locator("body")).to_have_class(re.compile("out"))
        finally:
            served.redis.resume()
        expect(page.locator("#connection")).to_have_text("Live", timeout=40_000)
        expect(page.locator("#banner")).to_be_hidden()


def test_a_server_that_ends_each_stream_at_once_is_asked_less_and_less(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin) as opened:
        asked: list[float] = []

        def end_at_once(route: Route) -> None:
            asked.append(time.monotonic())
            route.fulfill(body="", content_type="text/event-stream")

        opened.page.route("**/stream", end_at_once)
        page = opened.open()
        wait_until(lambda: page.wait_for_timeout(50) is None and len(asked) >= 5, "five tries")
        assert asked[4] - asked[0] >= 0.125 + 0.25 + 0.5 + 1
        expect(page.locator("#banner")).to_contain_text("trying again by itself")


def test_silence_about_a_symbol_is_no_lost_connection(browser: Browser, served: Served) -> None:
    """Nobody writes its report, so there is nothing to say of it; that the server is there, the nodes' state tells."""
    with visit(browser, served.origin) as opened:
        opened.page.clock.install()
        page = opened.open("/#/ADAUSDT")
        expect(page.locator(".symbol-head .status")).to_have_text("ok")
        served.scene.silent.add("ADAUSDT")
        try:
            expect(page.locator("#symbol > .banner")).to_have_text(
                re.compile("^Stale: the report has not been rewritten")
            )
            page.clock.fast_forward(10_000)
            expect(page.locator("#connection")).to_have_text("Live")
        finally:
            served.scene.silent.clear()
        expect(page.locator(".symbol-head .status")).to_have_text("ok")
        asked = [url.removeprefix(served.origin) for url in opened.requests]
        assert asked.count("/v1/stream/ADAUSDT") == 1
