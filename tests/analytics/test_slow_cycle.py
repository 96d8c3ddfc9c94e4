"""The slow cycle on a whole market against the oracle, in the fast report, and after a change of owner."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analytics.random_market import START, Diff, RandomMarket, Trade
from tests.oracles.slow_cycle import PlainMarket
from tickfence.analytics import carry, report, slow_cycle
from tickfence.analytics.symbol_state import NotPublishable, SymbolState


def apply(state: SymbolState, diff: Diff, trades: list[Trade]) -> None:
    add(state, trades)
    state.apply_diff(diff.first_id, diff.last_id, diff.bids, diff.asks, diff.time + 7, diff.time)


def add(state: SymbolState, trades: list[Trade]) -> None:
    columns = [[trade[column] for trade in trades] for column in range(4)]
    state.add_trades(*columns, received_ms=max((trade.time + 7 for trade in trades), default=0))


def started(market: RandomMarket) -> SymbolState:
    state = SymbolState("BTCUSDT", tick_size=0.01)
    state.load_snapshot(market.last_id, market.bids, market.asks, market.time)
    return state


def close(found, expected):
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            close(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            close(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-8)
    else:
        assert found == expected


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10**6), st.integers(1, 30), st.sampled_from([0.01, None]))
def test_slow_cycle_equals_the_oracle(seed, steps_per_cycle, tick_size):
    market = RandomMarket(seed)
    state, plain = started(market), PlainMarket(tick_size)
    state.tick_size = tick_size
    plain.load(market.bids, market.asks)
    seen = set()
    for step in range(350):
        diff, trades = market.step()
        apply(state, diff, trades)
        plain.diff(diff.time, diff.bids, diff.asks)
        plain.trades += trades
        if step % (10 * steps_per_cycle) == 0:
            # Diffs are received 7 ms after their time.
            expected = plain.slow_sections(market.time, market.time + 7)
            found = json.loads(slow_cycle.run(state, market.time + 7))
            assert all(anomaly.pop("note").endswith(".") for anomaly in found["anomalies"])
            close(found, expected)
            seen |= {anomaly["type"] for anomaly in expected["anomalies"]}
    assert len(state.book) == len(plain.bids) + len(plain.asks)


def test_the_random_market_has_everything_to_be_found():
    market = RandomMarket(3)
    state, found = started(market), []
    for _ in range(300):
        apply(state, *market.step())
        sections = json.loads(slow_cycle.run(state, market.time))
        found.append(sections)
    assert {anomaly["type"] for sections in found for anomaly in sections["anomalies"]} >= {"spoofing", "iceberg"}
    assert found[-1]["liquidity"]["volume_profile"]["trade_count"] > 300
    assert any(sections["liquidity"]["walls"] for sections in found)
    assert any(sections["liquidity"]["vacuums"] for sections in found)


def built(state: SymbolState, now: int) -> dict:
    return json.loads(report.build(state, now, "node-001", 1))


def test_slow_sections_are_merged_into_every_fast_report():
    market = RandomMarket(5)
    state = started(market)
    for _ in range(300):
        apply(state, *market.step())
    before = built(state, market.time)
    assert not {"liquidity", "anomalies"} & before.keys()
    sections = json.loads(slow_cycle.run(state, market.time))
    for later in (0, 250, 30_000):
        result = built(state, market.time + later)
        assert result["liquidity"] == sections["liquidity"]
        assert result["anomalies"] == sections["anomalies"]
    old = built(state, market.time + 30_001)
    assert not {"liquidity", "anomalies"} & old.keys()


@pytest.mark.parametrize(
    ("severities", "score"), [([], 10.0), (["low"], 7.5), (["medium", "low"], 2.5), (["high"], 0.0)]
)
def test_anomalies_cost_health(severities, score):
    found = [{"type": "flash_crash_risk", "severity": severity, "note": "", "signals": []} for severity in severities]
    state = started(RandomMarket(5))
    state.restore_slow(json.dumps({"computed_at": START, "liquidity": {}, "anomalies": found}).encode())
    assert built(state, START)["health"]["components"][3] == {"metric": "anomalies", "score": score}


def test_without_enough_data_sections_are_left_out():
    state = SymbolState("BTCUSDT", tick_size=0.01)
    state.load_snapshot(1, [(99.0, 1.0)] * 9, [(101.0, 1.0)], START)
    assert json.loads(slow_cycle.run(state, START)) == {"computed_at": START, "liquidity": {}, "anomalies": []}
    state.apply_diff(2, 2, [(99.0 - place, 1.0) for place in range(9)], [], START)
    assert json.loads(slow_cycle.run(state, START))["liquidity"] == {}
    state.apply_diff(3, 3, [(98.0, 1.0)], [], START)
    assert json.loads(slow_cycle.run(state, START))["liquidity"] == {"walls": [], "vacuums": []}


def test_a_crash_is_seen_in_the_book_and_the_trades():
    state = SymbolState("BTCUSDT")
    state.load_snapshot(1, [(99.0, 1.0)], [(101.0, 9.0)], START)
    state.add_trades([START], [99.0], [5.0], [False], START)
    assert json.loads(slow_cycle.run(state, START))["anomalies"] == [
        {
            "type": "flash_crash_risk",
            "severity": "high",
            "note": "The spread is wide, the book is lopsided and selling speeds up.",
            "signals": ["wide_spread", "imbalance", "sell_acceleration"],
        }
    ]


def test_no_slow_sections_of_a_book_that_is_not_in_sync():
    with pytest.raises(NotPublishable):
        slow_cycle.run(SymbolState("BTCUSDT"), START)


def test_of_two_slow_sections_the_newer_one_is_kept():
    market = RandomMarket(1)
    state, other = started(market), started(market)
    older = slow_cycle.run(other, START)
    newer = slow_cycle.run(other, START + 1)
    state.restore_slow(newer)
    state.restore_slow(older)
    assert state.slow.computed_at == START + 1


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"computed_at":-1}', b"[]", b'{"computed_at":1,"liquidity":{},"anomalies":[{}]}']
)
def test_what_are_no_slow_sections_is_refused(data):
    with pytest.raises(ValueError, match="not the slow sections"):
        SymbolState("BTCUSDT").restore_slow(data)


class Failover:
    """An owner that never stopped, and what a new owner finds in Redis at some moment."""

    def __init__(self, seed: int, carried_at: int, snapshot_at: int, taken_over_at: int) -> None:
        self.market = RandomMarket(seed)
        self.owner = started(self.market)
        self.plain = PlainMarket(None)
        self.plain.load(self.market.bids, self.market.asks)
        diffs, trades = [], []
        for step in range(taken_over_at):
            diff, some = self.market.step()
            diffs.append(diff)
            trades += some
            apply(self.owner, diff, some)
            self.plain.diff(diff.time, diff.bids, diff.asks)
            if step == carried_at:
                self.slow = slow_cycle.run(self.owner, self.market.time)
                self.carried = carry.dump(self.owner, self.market.time)
            if step == snapshot_at:
                snapshot = (diff.last_id, list(self.plain.bids.items()), list(self.plain.asks.items()), diff.time)
        self.heir = SymbolState("BTCUSDT", tick_size=0.01)
        carry.restore(self.heir, self.carried)
        self.heir.restore_slow(self.slow)
        self.heir.load_snapshot(*snapshot)
        add(self.heir, trades)
        for diff in diffs[min(carried_at, snapshot_at) + 1 :]:
            apply(self.heir, diff, [])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("snapshot_at", [690, 700, 719])
def test_a_new_owner_writes_what_the_old_one_would_have_written(seed, snapshot_at):
    nodes = Failover(seed, carried_at=700, snapshot_at=snapshot_at, taken_over_at=725)
    now = nodes.market.time + 10
    assert report.build(nodes.heir, now, "n", 1) == report.build(nodes.owner, now, "n", 1)
    assert "volume_profile" in built(nodes.heir, now)["liquidity"]
    ours, theirs = (json.loads(slow_cycle.run(node, now)) for node in (nodes.heir, nodes.owner))
    assert ours["liquidity"] == theirs["liquidity"]
    if snapshot_at <= 700:
        assert ours == theirs
        assert report.build(nodes.heir, now, "n", 1) == report.build(nodes.owner, now, "n", 1)
    for _ in range(100):
        diff, trades = nodes.market.step()
        for node in (nodes.heir, nodes.owner):
            apply(node, diff, trades)
    ours, theirs = (json.loads(slow_cycle.run(node, now + 10_000)) for node in (nodes.heir, nodes.owner))
    assert ours["liquidity"] == theirs["liquidity"]


def test_a_carry_has_what_was_not_folded_yet():
    state = started(RandomMarket(1))
    state.apply_diff(1001, 1002, [(90.0, 123.0)], [], START)
    heir = SymbolState("BTCUSDT")
    carry.restore(heir, carry.dump(state, START))
    assert heir.quantities.oldest_first()[-1] == 123.0
    assert heir.changes.columns.tolist() == [[START], [90.0], [0.0], [123.0]]
    assert heir.observed_update_id == 1002


def test_a_carry_has_the_changes_that_an_anomaly_may_need():
    state = SymbolState("BTCUSDT")
    state.load_snapshot(1, [(99.0 - place, 100.0) for place in range(30)], [], START)
    state.apply_diff(2, 2, [(50.0, 50.0), (51.0, 49.0), (52.0, 1.0)], [(152.0, 1.0), (153.0, 1.0)], START, START)
    state.add_trades([START], [52.0], [1.0], [False], START)
    heir = SymbolState("BTCUSDT")
    carry.restore(heir, carry.dump(state, START))
    whole, counted = [[50.0, 0.0, 50.0], [52.0, 0.0, 1.0]], [[51.0, 0.0, 0.0], [-152.0, 0.0, 0.0], [-153.0, 0.0, 0.0]]
    assert heir.changes.columns[1:].T.tolist() == whole + counted


@pytest.mark.parametrize(
    ("before", "after"), [([50.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0] * 4, [1.0]), ([1.0, 2.0] * 8, [50.0, 1.0] * 3)]
)
def test_small_changes_keep_a_level_from_being_spoofing_on_a_new_owner_too(before, after):
    owner = SymbolState("BTCUSDT")
    levels = [(99.0 - place, 10.0) for place in range(30)], [(100.0 + place, 10.0) for place in range(30)]
    owner.load_snapshot(1, *levels, START)
    for number, quantity in enumerate(before, 2):
        owner.apply_diff(number, number, [(60.0, quantity)], [], START + number, START + number)
    heir = SymbolState("BTCUSDT")
    carry.restore(heir, carry.dump(owner, START + 100))
    heir.load_snapshot(owner.book.last_update_id, *owner.book.levels(), START + 100)
    for state in (owner, heir):
        for number, quantity in enumerate(after, len(before) + 2):
            state.apply_diff(number, number, [(60.0, quantity)], [], START + 100 + number, START + 100 + number)
        assert json.loads(slow_cycle.run(state, START + 200))["anomalies"] == []


def test_a_carry_is_refused_by_another_symbol_or_a_state_in_use():
    market = RandomMarket(1)
    data = carry.dump(started(market), START)
    with pytest.raises(ValueError, match="of BTCUSDT in version 2, not of ETHUSDT"):
        carry.restore(SymbolState("ETHUSDT"), data)
    with pytest.raises(ValueError, match="already in use"):
        carry.restore(started(market), data)
    restored = SymbolState("BTCUSDT")
    carry.restore(restored, data)
    with pytest.raises(ValueError, match="already in use"):
        carry.restore(restored, data)


@pytest.mark.parametrize("data", [b"", b"\x00", b"junk"])
def test_what_is_no_carry_is_refused(data):
    with pytest.raises(ValueError, match="not a carried state"):
        carry.restore(SymbolState("BTCUSDT"), data)


def test_a_carry_of_another_version_is_told_by_its_version():
    of_version_1 = b"\x95\x01\xa7BTCUSDT\x01\xc4\x01a\xc4\x00"
    with pytest.raises(ValueError, match="of BTCUSDT in version 1, not of BTCUSDT in version 2"):
        carry.restore(SymbolState("BTCUSDT"), of_version_1)


def test_after_a_resync_nothing_is_concluded_from_changes_before_it():
    market = RandomMarket(3)
    state = started(market)
    for _ in range(300):
        apply(state, *market.step())
    state.fold()
    assert state.changes.columns.size
    state.load_snapshot(market.last_id + 50, market.bids, market.asks, market.time)
    assert not state.changes.columns.size
    sections = json.loads(slow_cycle.run(state, market.time))
    assert "spoofing" not in {anomaly["type"] for anomaly in sections["anomalies"]}
    assert "walls" in sections["liquidity"]


def test_a_state_that_is_fed_but_never_read_stays_bounded():
    market = RandomMarket(3)
    state = started(market)
    for _ in range(3000):
        apply(state, *market.step())
    assert len(state._log) < 3 * 4096
    log = state.changes
    log.extend(np.array([[START + 10**9, 1.0, 2.0, 3.0]] * 20_000).T)
    assert log.columns.shape == (4, 2**14)
    log.extend(np.array([[START + 10**9 + 35_000, 1.0, 2.0, 4.0]]).T)
    assert log.columns.tolist() == [[START + 10**9 + 35_000], [1.0], [2.0], [4.0]]


def test_each_level_quantity_counts_once_from_the_first_snapshot_on():
    state = SymbolState("BTCUSDT")
    state.load_snapshot(100, [(99.0, 1.0), (98.0, 0.0)], [(101.0, 2.0)], START)
    assert state.apply_diff(90, 100, [(99.0, 7.0)], [], START) is False
    assert state.apply_diff(95, 101, [(99.0, 3.0), (98.0, 0.0)], [(101.0, 4.0)], START) is True
    state.load_snapshot(200, [(99.0, 8.0)], [(101.0, 9.0)], START)
    assert state.apply_diff(102, 103, [(99.0, 5.0)], [], START) is False
    assert state.apply_diff(102, 103, [(99.0, 5.0)], [], START) is False
    state.fold()
    assert state.quantities.oldest_first().tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert not state.changes.columns.size


def test_changes_have_the_time_of_the_exchange():
    state = started(RandomMarket(1))
    state.apply_diff(1001, 1001, [(90.0, 123.0)], [(110.0, 4.0)], START + 50, START + 20)
    state.apply_diff(1002, 1002, [(90.0, 123.0)], [(110.0, 0.0)], START + 150)
    state.fold()
    assert state.changes.columns.T.tolist() == [
        [START + 20, 90.0, 0.0, 123.0],
        [START + 20, -110.0, 0.0, 4.0],
        [START + 150, -110.0, 4.0, 0.0],
    ]


def test_the_same_tick_size_again_keeps_the_profile():
    state = SymbolState("BTCUSDT", tick_size=0.01)
    profile = state.profile
    state.tick_size = 0.01
    assert state.profile is profile
    state.tick_size = 0.1
    assert state.profile is not profile
    state.tick_size = None
    assert state.profile is None
