"""The page for everybody: axe finds nothing, a phone needs no sideways scrolling, the policy is strict."""

from __future__ import annotations

import urllib.request

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import violations, visit
from tests.processes import wait_until
from tests.web.page.conftest import SYMBOLS, Served

PHONE = {"viewport": {"width": 375, "height": 720}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
VIEWS = {"overview": "/", "symbol": "/#/BTCUSDT"}


def wait_until_shown(page: Page, view: str) -> None:
    if view == "overview":
        expect(page.locator("#market tbody tr")).to_have_count(len(SYMBOLS))
        expect(page.locator("#timeline li").first).to_be_visible()
    else:
        expect(page.locator(".card-walls tbody tr")).to_have_count(1)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, served: Served, view: str, scheme: str) -> None:
    with visit(browser, served.origin, color_scheme=scheme, reduced_motion="reduce") as opened:
        page = opened.open(VIEWS[view])
        wait_until_shown(page, view)
        assert violations(page) == []


def test_the_chosen_colours_stay_over_a_reload(browser: Browser, served: Served) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with visit(browser, served.origin, color_scheme="light") as opened:
        page = opened.open()
        light = page.evaluate(ground)
        button = page.locator("#theme")
        button.click()  # auto, light, dark
        assert page.evaluate(ground) == light
        button.click()
        dark = page.evaluate(ground)
        assert dark != light
        page.reload()
        assert page.evaluate(ground) == dark
        expect(button).to_have_text("● Dark")
        button.click()
        assert page.evaluate(ground) == light


@pytest.mark.parametrize("view", VIEWS)
def test_new_values_move_nothing(browser: Browser, served: Served, view: str) -> None:
    with visit(browser, served.origin) as opened:
        page = opened.open(VIEWS[view])
        wait_until_shown(page, view)
        page.evaluate(
            """() => {
                window.shifts = [];
                const told = (source) => `${source.node?.nodeName} ${source.node?.textContent}`;
                const take = (list) => shifts.push(...list.getEntries().flatMap((shift) => shift.sources.map(told)));
                new PerformanceObserver(take).observe({ type: "layout-shift" });
            }"""
        )
        before = served.scene.cycles
        wait_until(lambda: served.scene.cycles >= before + 8, "two seconds of reports")
        assert page.evaluate("shifts") == []


@pytest.mark.parametrize("view", VIEWS)
def test_a_phone_needs_no_sideways_scrolling_and_no_thin_fingers(browser: Browser, served: Served, view: str) -> None:
    with visit(browser, served.origin, **PHONE) as opened:
        page = opened.open(VIEWS[view])
        wait_until_shown(page, view)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        cut_off = """() => [...document.querySelectorAll("th, td, dd, h1, h2, button, .owner, .status")]
            .filter((one) => one.offsetParent && !one.closest(".unseen, .list"))
            .filter((one) => one.getBoundingClientRect().right > innerWidth || one.scrollWidth > one.clientWidth + 1)
            .filter((one) => getComputedStyle(one).display !== "inline")
            .map((one) => `${one.tagName} ${one.className} ${one.textContent}`)"""
        assert page.evaluate(cut_off) == []
        small = """() => [...document.querySelectorAll("a, button, input, summary")]
            .filter((one) => one.offsetParent && !one.matches(".skip"))
            .map((one) => [one.textContent, one.getBoundingClientRect()])
            .filter(([, box]) => box.width < 36 || box.height < 40)
            .map(([text, box]) => `${text}: ${box.width} x ${box.height}`)"""
        assert page.evaluate(small) == []


def test_every_control_has_a_name_and_the_order_of_focus_is_that_of_reading(browser: Browser, served: Served) -> None:
    with visit(browser, served.origin) as opened:
        page = opened.open()
        wait_until_shown(page, "overview")
        seen: list[str] = []
        places: list[tuple[int, int]] = []
        for _ in range(40):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                """() => {
                    const one = document.activeElement;
                    const box = one.getBoundingClientRect();
                    const name = one.getAttribute("aria-label") ?? one.textContent ?? "";
                    return [one.tagName, name.trim() || one.getAttribute("aria-labelledby"), box.top, one.id];
                }"""
            )
            tag, name, top, identity = focused
            if tag == "BODY":
                break
            assert name, f"a {tag} without a name"
            seen.append(identity or f"{tag} {name}")
            places.append((round(top), len(places)))
        assert seen[0] == "A Skip to the symbols"
        assert seen.index("theme") < seen.index("filter") < seen.index("A ADAUSDT") < seen.index("nodes")
        assert seen.index("nodes") < seen.index("timeline")


def test_what_is_served_runs_under_a_strict_policy(browser: Browser, served: Served) -> None:
    with urllib.request.urlopen(served.origin) as answer:
        policy = answer.headers["Content-Security-Policy"]
        text = answer.read().decode()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert " style=" not in text
    assert "onclick" not in text
    with visit(browser, served.origin) as opened:
        page = opened.open()
        wait_until_shown(page, "overview")
        blocked = """() => new Promise((resolve) => {
            addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
        })"""
        assert page.evaluate(blocked) == "script-src-elem"
        assert page.evaluate("window.ran") is None
        opened.problems.clear()  # the one just provoked
