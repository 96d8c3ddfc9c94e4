"""The published contract: in step with the model, with the reports, and with its page."""

import json
import re
from pathlib import Path

import pytest

from tests.analytics.fuzz_report import BadReport, Fuzz, check
from tests.analytics.random_market import START, RandomMarket
from tests.analytics.schema_check import errors
from tickfence.analytics import report, slow_cycle
from tickfence.analytics.symbol_state import SymbolState
from tools.reference import schema

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = schema.report_schema()


def reports():
    """Reports as they come: from the first moment of a market on."""
    market = RandomMarket(3)
    state = SymbolState("BTCUSDT", tick_size=0.01)
    state.load_snapshot(market.last_id, market.bids, market.asks, market.time)
    for step in range(300):
        diff, trades = market.step()
        state.add_trades(*([trade[column] for trade in trades] for column in range(4)), received_ms=market.time)
        state.apply_diff(diff.first_id, diff.last_id, diff.bids, diff.asks, diff.time, diff.time)
        if step % 10 == 9:
            slow_cycle.run(state, market.time)
        yield report.build(state, market.time + 3 * step, "node-001", 1)
    state.load_snapshot(market.last_id, [], [], market.time)
    yield report.build(state, market.time, "node-001", 1)


def test_the_schema_in_docs_is_the_one_of_the_model():
    assert schema.PAGE.read_text() == schema.page(), "run: make reference"


def test_reports_keep_to_the_schema():
    seen = set()
    for data in reports():
        check(data)
        found = json.loads(data)
        assert errors(found, SCHEMA, SCHEMA) == []
        seen |= found.keys()
    assert seen == SCHEMA["$defs"]["Report"]["properties"].keys() - {
        "change_24h_pct",
        "high_24h",
        "low_24h",
        "volume_24h",
        "base",
        "quote",
        "extensions",
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"schemaVersion":"2.0"', b'"schemaVersion":"1.1"'),
        (b'"status":"ok"', b'"status":"fine"'),
        (b'"data_age_ms":', b'"data_age_ms":-'),
        (b'"writerToken":1', b'"writerToken":0'),
        (b'"symbol":"BTCUSDT"', b'"symbol":"btc usdt"'),
        (b'"imbalance":', b'"imbalance":7,"was":'),
        (b'"updatedAt":', b'"updated":'),
        (b'"side":"bid"', b'"side":"buy"'),
    ],
)
def test_what_breaks_the_schema_is_seen(old, new):
    data = list(reports())[200]
    assert old in data
    broken = data.replace(old, new, 1)
    assert errors(json.loads(broken), SCHEMA, SCHEMA)
    with pytest.raises(BadReport):
        check(broken)


def test_every_field_is_on_the_page():
    page = (DOCS / "report.md").read_text()
    named = {part for name in re.findall(r"`([\w.]+)`", page) for part in name.split(".")}
    for name, definition in SCHEMA["$defs"].items():
        assert definition.get("properties", {}).keys() <= named, name


def test_the_worked_example_on_the_page_is_what_comes_out():
    page = (DOCS / "report.md").read_text()
    source, expected = (json.loads(text) for text in re.findall(r"```json\n(.*?)```", page, re.DOTALL)[:2])
    now = source["now"]
    state = SymbolState("BTCUSDT", tick_size=source["tick_size"])
    state.load_snapshot(1, source["bids"], source["asks"], now - 1000)
    trades = [(now - age, price, quantity, side == "buy") for age, price, quantity, side in source["trades"]]
    for number, age in enumerate(source["diffs"], 2):
        state.apply_diff(number, number, [], [], now - max(age, source["data_age_ms"]), now - age)
    state.add_trades(*zip(*trades, strict=True), received_ms=now - source["data_age_ms"])
    slow_cycle.run(state, now)
    assert json.loads(report.build(state, now, "node-001", 17)) == expected


def test_a_hundred_thousand_random_updates_make_no_bad_number():
    fuzz = Fuzz(seed=7)
    fuzz.run(100_000)
    assert fuzz.reports > 500
    assert fuzz.gaps > 0


@pytest.mark.parametrize("number", [b"null", b"NaN", b"Infinity", b"-Infinity", b"-0.0", b"-0"])
def test_the_fuzz_sees_a_number_that_is_none(number):
    state = SymbolState("BTCUSDT")
    state.load_snapshot(1, [(99.0, 1.0)], [(101.0, 1.0)], START)
    data = report.build(state, START, "node-001", 1)
    check(data)
    with pytest.raises(BadReport, match="in"):
        check(data.replace(b'"imbalance":0.0', b'"imbalance":' + number))
