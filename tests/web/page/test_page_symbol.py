"""The view of one symbol."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from tests.browser import violations, visit
from tests.web.page.conftest import Served, serve
from tickfence.instrument import split
from tickfence.keys import Keys

KEYS = Keys()

DRAWN = "document.querySelector('{} canvas').toDataURL()"


def moves(page: Page, chart: str) -> bool:
    """Whether a chart shows something else after a while."""
    before = page.evaluate(DRAWN.format(chart))
    page.wait_for_function(f"before => {DRAWN.format(chart)} !== before", arg=before)
    return True


def is_drawn(page: Page, chart: str) -> int:
    """How many colours a chart's canvas has."""
    colours = """name => {
        const canvas = document.querySelector(`${name} canvas`);
        const pixels = new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
        return new Set(pixels).size;
    }"""
    return int(page.evaluate(colours, chart))


def test_the_charts_move(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin) as opened:
        page = opened.open("/#/BTCUSDT")
        expect(page.locator(".card-depth .count").first).to_contain_text("imbalance")
        assert is_drawn(page, ".depth-chart") > 20
        assert moves(page, ".depth-chart")
        assert moves(page, ".price-chart")
        expect(page.locator(".depth-chart")).to_have_attribute("aria-label", re.compile(r"best bid [\d,.]+, best ask"))
        expect(page.locator(".price-chart")).to_have_attribute("aria-label", re.compile("point of control"))


def test_the_report_is_told_in_full(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin) as opened:
        page = opened.open("/#/BTCUSDT")
        head = page.locator(".symbol-head")
        expect(head.locator("h1")).to_have_text("BTCUSDT")
        expect(head.locator(".owner")).to_have_text(served.scene.owner("BTCUSDT"))
        expect(head.locator(".token")).to_have_text(re.compile(r"token \d{13}"))
        expect(head.locator(".status")).to_have_text("ok")
        expect(page.locator(".card-walls tbody tr")).to_have_count(1)
        expect(page.locator(".card-walls tbody")).to_contain_text("high")
        expect(page.locator(".card-vacuums tbody tr td").nth(2)).to_have_text("3")
        expect(page.locator(".card-anomalies tbody")).to_contain_text("5 trades took 1.4 from the bid at")
        expect(page.locator(".card-health li")).to_have_count(4)
        expect(page.locator(".card-health .score")).to_have_text("84.5 of 100")
        expect(page.locator(".card-profile")).to_contain_text("13 trades in 30 min")
        for name in ("VAH", "POC", "VAL"):
            expect(page.locator(f".card-profile dd[data-name={name}]")).to_contain_text("bps")
        expect(page.locator(".card-history li").first).to_contain_text("BTCUSDT")
        assert "BTCUSDT" in page.title()


def test_the_price_under_the_pointer_is_read_out(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin) as opened:
        page = opened.open("/#/BTCUSDT")
        expect(page.locator(".card-depth .count").first).to_contain_text("imbalance")
        page.locator(".depth-chart .u-over").hover(position={"x": 60, "y": 60})
        expect(page.locator(".card-depth .read-out")).to_have_text(
            re.compile("^[\\d,.]+: [\\d.]+ bid up to here, \N{MINUS SIGN}[\\d.]+ bps")
        )


def test_a_chart_is_painted_only_in_sight(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin, viewport={"width": 412, "height": 500}) as opened:
        opened.page.add_init_script(
            """const clear = CanvasRenderingContext2D.prototype.clearRect;
            CanvasRenderingContext2D.prototype.clearRect = function (...area) {
                this.canvas.paints = (this.canvas.paints ?? 0) + 1;
                return clear.apply(this, area);
            };"""
        )
        page = opened.open("/#/BTCUSDT")
        expect(page.locator(".card-depth .count").first).to_contain_text("imbalance")

        def painted(chart: str, times: int) -> int:
            """How often a chart is painted by when it, or another one, has been painted some more times."""
            canvas = page.locator(f".{chart} canvas").first
            page.wait_for_function(
                "([canvas, paints]) => canvas.paints >= paints", arg=[canvas.element_handle(), times]
            )
            return int(canvas.evaluate("canvas => canvas.paints"))

        price = painted("price-chart", 5)
        depth = painted("depth-chart", 0)
        painted("price-chart", price + 5)
        assert painted("depth-chart", 0) == depth
        page.locator(".depth-chart").scroll_into_view_if_needed()
        painted("depth-chart", depth + 5)


def test_the_history_is_shown_over_any_span_and_exported(browser: Browser, served: Served) -> None:
    served.scene.remember("BNBUSDT", seconds=1_800)
    try:
        with visit(browser, served.origin) as opened:
            page = opened.open("/#/BNBUSDT")
            chart = page.locator(".card-past .line-chart")
            expect(chart.first).to_have_attribute("aria-label", re.compile(r"^Spread, bps over 15 min: [\d.]+ bps$"))
            assert is_drawn(page, ".line-chart") > 5
            expect(page.locator(".card-past header .count")).to_have_text("")
            page.get_by_role("button", name="1 h").click()
            expect(page.locator(".card-past header .count")).to_have_text(re.compile(r"^since \d\d:\d\d:\d\d$"))
            page.locator(".price-chart .u-over").hover(position={"x": 60, "y": 60})
            expect(page.locator(".card-price .read-out")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d: 77\.25$"))
            chart.last.locator(".u-over").hover(position={"x": 60, "y": 60})
            expect(page.locator(".card-past figcaption .count").last).to_have_text(
                re.compile(r": bid 3\.00, ask 1\.00$")
            )
            with page.expect_download() as saved:
                page.get_by_role("button", name="Export CSV").click()
            assert saved.value.suggested_filename == "BNBUSDT-1h.csv"
            lines = saved.value.path().read_text().splitlines()
            assert lines[0].startswith("time_ms,token,mid_price,") and 355 <= len(lines) <= 365
            page.goto(f"{served.origin}/#/SOLUSDT")
            expect(page.locator(".card-past header .count")).to_contain_text("No history is kept")
            expect(page.get_by_role("button", name="Export CSV")).to_be_disabled()
    finally:
        served.scene.client.delete(KEYS.history("BNBUSDT"))


def test_a_report_that_grows_old_is_visibly_stale(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin) as opened:
        page = opened.open("/#/ADAUSDT")
        expect(page.locator(".symbol-head .status")).to_have_text("ok")
        expect(page.locator("#symbol > .banner")).to_be_hidden()
        served.scene.silent.add("ADAUSDT")
        try:
            expect(page.locator(".symbol-head .status")).to_have_text("down")
            expect(page.locator("#symbol > .banner")).to_have_text(
                re.compile(r"^Stale: the report has not been rewritten")
            )
            expect(page.locator("#symbol")).to_have_class(re.compile("stale"))
        finally:
            served.scene.silent.clear()
        expect(page.locator("#symbol > .banner")).to_be_hidden()


def test_what_is_not_covered_or_halted_is_told(browser: Browser, served: Served) -> None:
    profile = {"POC": 100.025, "VAL": 100.0, "VAH": 100.1, "window_sec": 845, "trade_count": 13}
    now = served.scene.now_ms()
    served.scene.changed["SOLUSDT"] = {
        "flow": {"window_sec": 12, "orders_per_sec": 2.5},
        "liquidity": {"volume_profile": profile},
        "ingestion": {"status": "ok", "fresh": True, "exchange_time": now, "last_update": now, "trading": "halted"},
    }
    try:
        with visit(browser, served.origin) as opened:
            page = opened.open("/#/SOLUSDT")
            expect(page.locator("#symbol > .banner")).to_contain_text("The exchange has halted trading of this symbol.")
            flow = page.locator(".symbol-head dd[data-name=flow]")
            expect(flow).to_have_text("12 of 30 s")
            expect(flow).to_have_attribute("title", "Left out: the trades of 12 s are known, it needs 30 s")
            expect(page.locator(".symbol-head dd[data-name=trades]")).to_have_text("2.5")
            expect(page.locator(".card-profile")).to_contain_text("13 trades in 14 min")
            page.keyboard.press("Escape")
            row = page.locator("#market tr", has=page.locator('a[href="#/SOLUSDT"]'))
            expect(row.locator(".col-netFlow")).to_have_text("12 of 30 s")
            expect(row.locator(".col-status")).to_have_text("halted")
    finally:
        served.scene.changed.clear()
    with visit(browser, served.origin) as opened:
        page = opened.open("/#/SOLUSDT")
        expect(page.locator(".symbol-head .status")).to_have_text("ok")
        expect(page.locator("#symbol > .banner")).to_be_hidden()


def test_a_symbol_that_is_not_there_is_said_so(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin, allowed="404") as opened:
        page = opened.open("/#/NOSUCH")
        expect(page.locator("#symbol > .banner")).to_have_text("There is no symbol NOSUCH here.")
        expect(page.locator(".cards")).to_be_hidden()
        page.get_by_role("link", name="All symbols").click()
        expect(page.locator("#overview")).to_be_visible()


def test_opening_and_leaving_a_symbol_leaves_nothing_open(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin) as opened:
        page = opened.open()
        open_streams: set[str] = set()
        page.on("request", lambda request: "/stream/" in request.url and open_streams.add(request.url))
        page.on("requestfailed", lambda request: open_streams.discard(request.url))
        for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
            page.locator(f'#market a[href="#/{symbol}"]').click()
            expect(page.locator(".card-depth .count").first).to_contain_text("imbalance")
            page.keyboard.press("Escape")
            expect(page.locator("#overview")).to_be_visible()
        page.wait_for_timeout(200)
        assert open_streams == set()
        assert page.locator("#symbol canvas").count() == 0


def test_a_symbol_without_a_report_says_so_in_place_of_empty_charts(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin) as opened:
        served.scene.forget("XRPUSDT")
        try:
            page = opened.open("/#/XRPUSDT")
            expect(page.locator("#symbol > .banner")).to_have_text("XRPUSDT has no report now.")
            expect(page.locator(".cards")).to_be_hidden()
        finally:
            served.scene.silent.clear()
        expect(page.locator(".card-depth .count").first).to_contain_text("imbalance")
        expect(page.locator("#symbol > .banner")).to_be_hidden()
        assert page.locator(".depth-chart canvas").bounding_box()["width"] > 300


def test_the_address_takes_any_name_and_the_server_says_which_there_are(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin, allowed="404") as opened:
        page = opened.open("/#/btcusdt")
        expect(page.locator(".card-depth .count").first).to_contain_text("imbalance")
        assert page.url.endswith("/#/BTCUSDT")
        for address, name in (
            ("OKX%3ABTC-USDT", "OKX:BTC-USDT"),
            ("KRAKEN:BTC/USD", "KRAKEN:BTC/USD"),
            ("100%", "100%"),
        ):
            page.goto(f"{served.origin}/#/{address}")
            expect(page.locator("#symbol > .banner")).to_have_text(f"There is no symbol {name} here.")
        page.goto(f"{served.origin}/#/..")
        expect(page.locator("#overview")).to_be_visible()


def test_a_pair_is_shown_on_each_of_its_venues(browser: Browser) -> None:
    venues = ("BTCUSDT", "kraken:BTC/USDT", "okx:BTC-USDT")
    with serve((*venues, "ETHUSDT")) as served, visit(browser, served.origin, allowed="/v1/pairs/") as opened:
        for symbol in venues:
            served.scene.changed[symbol] = {"venue": split(symbol)[0], "base": "BTC", "quote": "USDT"}
            served.scene.client.hset(KEYS.info(symbol), mapping={"base": "BTC", "quote": "USDT"})
        served.scene.changed["okx:BTC-USDT"] |= {"best_bid": {"price": 99_999.0, "qty": 1.0}}
        served.scene.changed["kraken:BTC/USDT"] |= {"best_ask": {"price": 1.0, "qty": 1.0}}
        served.scene.write()
        served.scene.silent.add("okx:BTC-USDT")
        served.scene.remember("kraken:BTC/USDT", seconds=60)
        page = opened.open()
        page.locator("#filter").fill("btc-usdt")
        expect(page.locator("#market tbody a")).to_have_text(venues)
        page.locator("#filter").fill("kraken")
        expect(page.locator("#market tbody a")).to_have_text(["kraken:BTC/USDT"])
        page.locator("#market tbody a").click()
        expect(page.locator("h1:visible")).to_have_text("kraken:BTC/USDT")
        assert page.url.endswith("/#/kraken%3ABTC%2FUSDT")
        rows = page.locator(".card-across tbody tr")
        expect(rows.locator("th > :first-child")).to_have_text(venues)
        stale = re.compile("not counted: the report has not been rewritten for ")
        expect(rows.locator("td:last-child")).to_have_text(["fresh", "fresh", stale])
        expect(page.locator("[data-best=bid]")).to_have_count(1)
        expect(rows.nth(1).locator("[data-best=ask]")).to_have_text("1.00")
        expect(page.locator(".card-across tfoot td:last-child")).to_have_text(
            re.compile("^crossed: .*USDT bids more than kraken:BTC/USDT asks$")
        )
        expect(page.locator(".card-across header")).to_contain_text("2 of 3 are fresh")
        assert violations(page) == []
        page.route("**/v1/pairs/*", lambda route: route.abort())
        expect(page.locator(".card-across header")).to_contain_text("no answer, these are old")
        page.unroute("**/v1/pairs/*")
        with page.expect_download() as download:
            page.get_by_role("button", name="Export CSV").click()
        assert download.value.suggested_filename == "kraken-BTC-USDT-15min.csv"
        rows.nth(2).locator("a").click()
        expect(page.locator("h1:visible")).to_have_text("okx:BTC-USDT")
        page.goto(f"{served.origin}/#/ETHUSDT")
        expect(page.locator(".card-depth .count").first).to_contain_text("imbalance")
        expect(page.locator(".card-across")).to_be_hidden()
