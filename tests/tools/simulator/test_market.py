from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickfence.instrument import is_instrument
from tools.simulator import symbols
from tools.simulator.book_side import Side
from tools.simulator.market import Activity, Diff, Market, Trade
from tools.simulator.trade_history import KEPT, TradeHistory

NAMES = ["BTCUSDT", "ADAUSDT", "DOTUSDT", "ZZ", "KILUUSDT"]

markets = st.builds(
    Market,
    st.sampled_from(NAMES).map(symbols.instrument),
    st.integers(0, 2**32),
    st.builds(
        Activity,
        orders_per_second=st.sampled_from([0.0, 16.0, 200.0]),
        trades_per_second=st.sampled_from([0.0, 5.0, 200.0]),
        levels=st.sampled_from([20, 50, 400]),
        ticks_per_root_second=st.sampled_from([0.0, 1.5, 30.0, 1000.0]),
    ),
)


def book(side: Side) -> dict[int, int]:
    return dict(side.levels())


def apply(levels: dict[int, int], changes: dict[int, int]) -> None:
    for price, quantity in changes.items():
        if quantity:
            levels[price] = quantity
        else:
            levels.pop(price, None)


@given(market=markets, steps=st.integers(1, 300))
@settings(max_examples=60, deadline=None)
def test_the_book_is_never_crossed_and_its_sides_know_their_best_and_worst(market: Market, steps: int) -> None:
    for _ in range(steps):
        market.step()
        assert market.bids.best < market.asks.best
        for side in (market.bids, market.asks):
            prices = [price for price, _ in side.levels()]
            assert prices[0] == side.best
            assert prices[-1] == side.worst
            assert len(prices) == side.count
            assert min(prices) >= 1


@given(market=markets, plan=st.lists(st.sampled_from(["step", "publish", "snapshot"]), min_size=1, max_size=300))
@settings(max_examples=80, deadline=None)
def test_every_snapshot_plus_the_diffs_after_it_gives_the_book_exactly(market: Market, plan: list[str]) -> None:
    snapshots: list[tuple[int, dict[int, int], dict[int, int]]] = []
    diffs: list[Diff] = []
    last = market.update_id
    for action in [*plan, "step", "publish"]:
        if action == "step":
            market.step()
        elif action == "snapshot":
            snapshots.append((market.update_id, book(market.bids), book(market.asks)))
        elif diff := market.take_diff():
            assert diff.first == last + 1
            assert diff.last >= diff.first
            last = diff.last
            diffs.append(diff)
    for update_id, bids, asks in snapshots:
        for diff in diffs:
            if diff.last > update_id:
                apply(bids, diff.bids)
                apply(asks, diff.asks)
        assert bids == book(market.bids)
        assert asks == book(market.asks)


@given(seed=st.integers(0, 2**32), told=st.sampled_from([20, 40]))
@settings(max_examples=20, deadline=None)
def test_diffs_tell_nothing_of_levels_beyond_the_told_ones(seed: int, told: int) -> None:
    activity = Activity(orders_per_second=200.0, levels=100, told_levels=told)
    market = Market(symbols.instrument("BTCUSDT"), seed, activity)
    untold = 0
    for _ in range(100):
        market.step()
        changed = [dict(side.changed) for side in (market.bids, market.asks)]
        diff = market.take_diff()
        if diff is None:
            continue
        for side, all_of_them, shown in zip((market.bids, market.asks), changed, (diff.bids, diff.asks), strict=True):
            last = side.levels(told)[-1][0]
            assert shown == {price: new for price, new in all_of_them.items() if (price - last) * side.inward >= 0}
            untold += len(all_of_them) - len(shown)
    assert untold


@given(count=st.integers(0, 3 * KEPT), first=st.integers(-10, 3 * KEPT + 10), limit=st.integers(1, 1000))
@settings(max_examples=30, deadline=None)
def test_the_newest_trades_are_found_by_their_ids(count: int, first: int, limit: int) -> None:
    made = [(1_000 + i, Trade(i, 100 + i % 7, 1 + i % 5, i % 2 == 0)) for i in range(count)]
    history = TradeHistory()
    for one in made:
        history.add(*one)
    assert list(history.find(None, limit)) == made[-limit:]
    found = list(history.find(first, limit))
    if count - first <= KEPT:
        assert found == [one for one in made if one[1].trade_id >= first][:limit]


def history(market: Market, steps: int) -> list[object]:
    return [(market.step(), market.take_diff()) for _ in range(steps)]


@given(name=st.sampled_from(NAMES), seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_the_seed_alone_decides_what_happens(name: str, seed: int) -> None:
    instrument = symbols.instrument(name)
    first = history(Market(instrument, seed), 50)
    assert history(Market(instrument, seed), 50) == first
    assert history(Market(instrument, seed + 1), 50) != first


@given(seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_a_trade_takes_from_the_best_prices_what_it_fills(seed: int) -> None:
    # Without limit orders and without a moving price only trades change what is in the book.
    activity = Activity(orders_per_second=0, trades_per_second=100, levels=60, ticks_per_root_second=0)
    market = Market(symbols.instrument("BTCUSDT"), seed, activity)
    for _ in range(50):
        before = book(market.bids) | book(market.asks)
        trade_id, volume = market.trade_id, market.volume
        trades = market.step()
        after = book(market.bids) | book(market.asks)
        assert [trade.trade_id for trade in trades] == list(range(trade_id + 1, market.trade_id + 1))
        assert sum(trade.quantity for trade in trades) == market.volume - volume
        filled: Counter[int] = Counter()
        for trade in trades:
            assert (trade.price < market.instrument.start_ticks) == trade.buyer_is_maker
            filled[trade.price] += trade.quantity
        for price in filled.keys() & before.keys():
            assert after.get(price, 0) == before[price] - filled[price]


def test_the_default_market_is_as_busy_as_it_says() -> None:
    market = Market(symbols.instrument("BTCUSDT"), 1)
    fills = diffs = levels = 0
    start = market.bids.best
    for _ in range(3000):
        fills += len(market.step()) + len(market.step())
        if diff := market.take_diff():
            diffs += 1
            levels += len(diff.bids) + len(diff.asks)
    assert 4.0 < fills / 300 < 6.5
    assert 9.0 < diffs / 300 <= 10.0
    assert 3.0 < levels / diffs < 7.0
    assert market.bids.best != start
    assert market.bids.count == market.asks.count == 400


def test_a_spent_update_id_is_left_out_of_the_diffs() -> None:
    market = Market(symbols.instrument("BTCUSDT"), 1)
    market.step()
    spent = market.next_first_id
    market.spend_update_id()
    diff = market.take_diff()
    assert diff is not None
    assert diff.first == spent + 1
    assert diff.last == market.update_id


def test_names_are_distinct_valid_and_begin_with_the_known_ones() -> None:
    listed = symbols.parse("1000")
    names = [one.symbol for one in listed]
    assert names[:6] == ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "ADAUSDT", "DOTUSDT"]
    assert len(set(names)) == 1000
    assert all(map(is_instrument, names))
    assert [one.symbol for one in symbols.parse("7")] == names[:7]
    for one in listed:
        assert one.start_ticks > 1000
        assert 0 <= one.tick_decimals <= 8
        assert 0 <= one.step_decimals <= 8


def test_named_symbols_are_split_into_base_and_quote() -> None:
    listed = symbols.parse("NKNUSDT, BLZETH")
    assert [(one.base, one.quote) for one in listed] == [("NKN", "USDT"), ("BLZ", "ETH")]


def test_symbols_of_exchanges_whose_dialect_there_is_not_are_left_out() -> None:
    text = "BTCUSDT,okx:BTC-USDT, coinbase:BTC-USD,kraken:BTC/USD,ccxt:bitstamp:BTC/USD"
    assert [one.symbol for one in symbols.parse(text)] == ["BTCUSDT", "okx:BTC-USDT", "kraken:BTC/USD"]
    assert symbols.left_out(text) == ["coinbase:BTC-USD", "ccxt:bitstamp:BTC/USD"]
    assert symbols.parse("coinbase:BTC-USD") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names like BTCUSDT"),
        ("0", "1 to"),
        ("99999999", "1 to"),
        ("btcusdt", "capital letters or digits"),
        ("BTCUSDT,BTCUSDT", "twice"),
    ],
)
def test_a_bad_symbol_list_is_refused(text: str, words: str) -> None:
    with pytest.raises(symbols.BadSymbols, match=words):
        symbols.parse(text)
