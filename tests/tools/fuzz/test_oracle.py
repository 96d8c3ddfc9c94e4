"""The oracle accepts the product's report of a market, and refuses it as soon as one number is another."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from tickfence.analytics import report
from tickfence.analytics.symbol_state import SymbolState
from tickfence.instrument import Instrument
from tools.fuzz import oracle
from tools.fuzz.world import KINDS, Market

NOW_MS = 1_700_000_000_000


def market(kind: str) -> Market:
    one = Market("FUZZUSDT", KINDS[kind], Random(5))
    for ms in range(NOW_MS - 40_000, NOW_MS, 100):
        one.step(ms)
        one.take_diff()
    return one


def reported(one: Market) -> dict[str, Any]:
    """The product's report of a whole market."""
    state = SymbolState(Instrument(one.symbol), float(one.price_text(1)))
    bids, asks = (
        [(float(one.price_text(t)), float(one.lots_text(n))) for t, n in side.top(500)] for side in (one.bids, one.asks)
    )
    state.load_snapshot(one.update_id, bids, asks, NOW_MS)
    state.add_trades(
        one.times,
        [float(one.price_text(trade.ticks)) for trade in one.trades],
        [float(one.lots_text(trade.lots)) for trade in one.trades],
        [trade.is_buy for trade in one.trades],
        NOW_MS,
    )
    found: dict[str, Any] = json.loads(report.build(state, NOW_MS, "node-001", 1))
    return found


def differences(found: dict[str, Any], one: Market) -> list[str]:
    return [each.what for each in (*oracle.of_book(found, one, one.update_id), *oracle.of_trades(found, one))]


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"deep", "told"}))
def test_a_true_report_is_accepted(kind: str) -> None:
    one = market(kind)
    assert differences(reported(one), one) == []


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "depth.bids": lambda found: found["depth"]["bids"].pop(),
    "depth.asks": lambda found: found["depth"]["asks"][3].update(qty=1e6),
    "depth.total_bid_qty": lambda found: found["depth"].update(total_bid_qty=1.0),
    "depth.imbalance": lambda found: found["depth"].pop("imbalance"),
    "best_ask": lambda found: found["best_ask"].update(price=1.0),
    "mid_price": lambda found: found.update(mid_price=found["mid_price"] + 0.001),
    "micro_price": lambda found: found.update(micro_price=round(found["micro_price"], 2) + 0.01),
    "spread_bps": lambda found: found.update(spread_bps=found["spread_bps"] + 0.0001),
    "flow.orders_per_sec": lambda found: found["flow"].update(orders_per_sec=found["flow"]["orders_per_sec"] + 0.1),
    "flow.net_flow": lambda found: found["flow"].update(net_flow=found["flow"]["net_flow"] + 1e-7),
    "last_price": lambda found: found.update(last_price=1.0),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_number_that_is_not_true_is_found(name: str) -> None:
    one = market("medium")
    found = reported(one)
    CHANGES[name](found)
    assert differences(found, one) == [name]


def test_an_update_id_that_never_was_is_found() -> None:
    one = market("medium")
    [found] = oracle.of_book(reported(one), one, one.update_id + 1)
    assert found.what == "update id"
