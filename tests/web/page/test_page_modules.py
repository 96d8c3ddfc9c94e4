"""The page's own arithmetic: numbers, spans, colours, and the reading of server-sent events."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

from tests.browser import visit
from tickfence.web.app import STATIC

MINUS, UNKNOWN = "\N{MINUS SIGN}", "\N{EN DASH}"


ORIGIN = "http://page.test"  # answered by the test: no server is needed for arithmetic


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """A page beside the modules, which are taken from their files."""

    def answer(route: Route) -> None:
        path = STATIC / route.request.url.removeprefix(f"{ORIGIN}/static/")
        if path.is_file():
            route.fulfill(path=path)
        else:
            route.fulfill(body="<title>modules</title>", content_type="text/html")

    with visit(browser, ORIGIN) as opened:
        opened.page.route("**/*", answer)
        yield opened.open()


@pytest.fixture(scope="module")
def call(page: Page) -> Callable[..., Any]:
    """Calls a function of a module of the page: ``call("format", "fixed", 1.5, 2)``."""

    def run(module: str, function: str, *arguments: Any) -> Any:
        return page.evaluate(
            f"""async (given) => (await import("/static/app/{module}.js")).{function}(...given)""", list(arguments)
        )

    return run


def test_how_many_nodes_work_and_what_is_with_the_others(call: Callable[..., Any]) -> None:
    def told(*states: str) -> str:
        nodes = [{"node": f"node-{number:03d}", "state": state} for number, state in enumerate(states, 1)]
        return str(call("nodes", "workingText", nodes))

    assert told() == ""
    assert told("alive", "alive") == "2 of 2 work"
    assert told("alive", "stuck", "alive") == "2 of 3 work, node-002 is stuck"
    assert told("cordoned", "gone", "silent", "drained") == (
        "1 of 4 work, node-001 is cordoned, node-002 and node-003 are dead, node-004 is drained"
    )
    assert told(*["left"] * 3, "alive") == "1 of 4 work, 3 are dead"


@pytest.mark.parametrize(
    ("function", "arguments", "text"),
    [
        ("fixed", (63792.5, 2), "63,792.50"),
        ("fixed", (-0.5, 1), f"{MINUS}0.5"),
        ("fixed", (None, 2), UNKNOWN),
        ("signed", (2.345, 2), "+2.35"),
        ("signed", (-0.001, 2), "0.00"),
        ("signed", (-1, 1), f"{MINUS}1.0"),
        ("quantity", (0,), "0"),
        ("quantity", (12345.6,), "12,346"),
        ("quantity", (12.345,), "12.35"),
        ("quantity", (0.001234,), "0.00123"),
        ("quantity", (2_500_000,), "2.50 M"),
        ("quantity", (4_322_200_000,), "4.32 B"),
        ("quantity", (-7.5e12,), f"{MINUS}7.50 T"),
        ("quantity", (None,), UNKNOWN),
        ("signedQuantity", (3,), "+3.00"),
        ("span", (149,), "0.1 s"),
        ("span", (42_900,), "42 s"),
        ("span", (600_000,), "10 min"),
        ("span", (86_400_000,), "24 h"),
        ("span", (None,), UNKNOWN),
        ("decimalsOf", (0.5212,), 4),
        ("decimalsOf", (1e-7,), 7),
        ("decimalsOf", (2.5e-12,), 13),
        ("uncovered", (12, 30), "12 of 30 s"),
        ("uncovered", (30, 30), UNKNOWN),
        ("uncovered", (None, 30), UNKNOWN),
        ("decimalsOf", (64000,), 0),
        ("count", (1, "symbol"), "1 symbol"),
        ("count", (1000, "symbol"), "1,000 symbols"),
    ],
)
def test_numbers_as_people_read_them(
    call: Callable[..., Any], function: str, arguments: tuple[Any, ...], text: Any
) -> None:
    assert call("format", function, *arguments) == text


def test_rows_become_csv_with_quotes_where_they_are_needed(call: Callable[..., Any]) -> None:
    lines = str(call("overview", "csv", [{"symbol": 'a,"b"', "price": 0.5, "owner": None}])).split("\r\n")
    assert lines[0].startswith("symbol,venue,pair,owner,token,status,")
    assert lines[1] == '"a,""b""",,,,,,,,,0.5,,,,,,'


def test_nodes_with_numbers_have_the_colours_in_turn_and_every_node_always_the_same(call: Callable[..., Any]) -> None:
    assert [call("nodes", "colourOf", f"node-{n:03}") for n in range(1, 10)] == [0, 1, 2, 3, 4, 5, 6, 7, 0]
    named = [call("nodes", "colourOf", name) for name in ("alpha", "beta", "alpha", "beta", "gamma")]
    assert named[:2] == named[2:4]
    assert all(0 <= colour < 8 for colour in named)


def test_server_sent_events_may_be_cut_anywhere(page: Page) -> None:
    text = 'event: rows\r\ndata: {"a":\r\ndata: 1}\r\n\r\n: ping\n\ndata:plain\n\nevent: none\n\nid: 7\rdata: x\r\r\n'
    whole = [
        {"event": "rows", "data": '{"a":\n1}'},
        {"event": "message", "data": "plain"},
        {"event": "message", "data": "x"},
    ]
    cut = """async (text) => {
        const { SseParser } = await import("/static/app/event_stream.js");
        const read = (pieces) => {
            const parser = new SseParser();
            return JSON.stringify(pieces.flatMap((piece) => parser.push(piece)));
        };
        const results = [read([text]), read([...text])];
        for (let at = 0; at <= text.length; at += 1) results.push(read([text.slice(0, at), text.slice(at)]));
        return [...new Set(results)];
    }"""
    assert [json.loads(result) for result in page.evaluate(cut, text)] == [whole]


def test_the_tries_to_connect_again_are_spaced_out(call: Callable[..., Any]) -> None:
    shortest_and_longest = [
        [call("event_stream", "backoff", n, random) for random in (0, 1)] for n in (1, 2, 3, 9, 500)
    ]
    assert shortest_and_longest == [[125, 250], [250, 500], [500, 1000], [4000, 8000], [4000, 8000]]


def test_rows_of_the_server_are_put_in_between_and_those_that_were_watched_stay(page: Page) -> None:
    shown = page.evaluate(
        """async () => {
            const { Past, SPANS } = await import("/static/app/past.js");
            const past = new Past("X");
            const report = (updatedAt, last_price) => past.add({ updatedAt, last_price, depth: { imbalance: 0.5 } });
            for (const [ms, price] of [[20_000, 1], [20_250, 2], [20_250, 9], [24_000, 5]]) report(ms, price);
            past.merge([[8_900, 0], [20_900, 9], [22_000, 3], [23_000, 4], [24_900, 9]]);
            const prices = () => past.columns(30_000).last_price;
            const shown = [prices(), past.columns(8_900 + SPANS[0].ms + 1).last_price, past.columns(30_000).imbalance];
            past.choose(SPANS[1]);
            return [...shown, prices(), past.columns(30_000).time_ms];
        }"""
    )
    prices, later, imbalance, in_steps, times = shown
    assert prices == [0, None, 2, 3, 4, 5]  # what is older than five seconds before the next row ends the line
    assert later == prices[2:]
    assert imbalance == [None, None, 0.5, None, None, 0.5]
    assert (in_steps, times) == ([0, None, 5], [8_900, 8_901, 24_000])


def test_a_line_of_the_board_goes_on_with_the_rows_own_prices(call: Callable[..., Any]) -> None:
    points = [[0, 4.0], [30_000, 5.0], [60_000, 6.0]]
    assert call("sparklines", "continued", points, [89_000, 7.0], 30_000, 900_000) == [*points[:2], [89_000, 7.0]]
    assert call("sparklines", "continued", points, [905_000, 7.0], 30_000, 900_000) == [*points[1:], [905_000, 7.0]]
    assert (call("sparklines", "changeOver", points), call("sparklines", "changeOver", points[:1])) == (50, None)
    assert call("sparklines", "polyline", points, 120_000, 60, 10) == "30.0,10.0 45.0,5.0 60.0,0.0"
    assert call("sparklines", "polyline", points[:1], 120_000, 60, 10) == ""


def imported(module: Path, pattern: str = r'^(?:import|export)\b[^"]*?"(\.\.?/[^"]+)"') -> set[Path]:
    """The modules that a module imports; default: those without which it does not start."""
    return {(module.parent / name).resolve() for name in re.findall(pattern, module.read_text(), re.MULTILINE)}


def needed(modules: set[Path]) -> set[Path]:
    """These modules, and all that they import."""
    all_of_them: set[Path] = set()
    found = modules
    while found:
        all_of_them |= found
        found = set().union(*map(imported, found)) - all_of_them
    return all_of_them


def test_the_page_asks_at_once_for_all_modules_that_it_needs_and_for_no_others() -> None:
    main = (STATIC / "app" / "main.js").resolve()
    first = needed({main})
    later = needed(set().union(*(imported(module, r'import\("(\.[^"]+)"\)') for module in first))) - first
    assert len(first) > 10 and len(later) > 10

    def names(modules: set[Path]) -> list[str]:
        return sorted(str(module.relative_to(STATIC.resolve())) for module in modules)

    preloaded = re.findall(r'"modulepreload" href="static/([^"]+)"', (STATIC / "index.html").read_text())
    assert sorted(preloaded) == names(first - {main})
    of_symbols = re.findall(r'^ +"([a-z/_.A-Z]+\.js)",$', (STATIC / "app" / "early_start.js").read_text(), re.MULTILINE)
    assert sorted(of_symbols) == names(later)
    every = {path.resolve() for path in (STATIC / "app").rglob("*.js") if path.name != "early_start.js"}
    assert every <= first | later
