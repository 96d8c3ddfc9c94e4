"""What can be planted into a market: that it shows, that it stays, that the market stays one that can be."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools.simulator.exchange_process import COMMITTED_CAPTURE, Exchange
from tests.tools.simulator.planting import plant, planted, remove
from tests.tools.simulator.test_market import NAMES, apply, book, history, markets
from tools.simulator import symbols
from tools.simulator.market import Activity, Diff, Market, Trade
from tools.simulator.plants import (
    PLANTS,
    Crash,
    Iceberg,
    PlantedCrash,
    PlantedIceberg,
    PlantedSpoofer,
    PlantedVacuum,
    PlantedWall,
    Spoofer,
    Vacuum,
    Wall,
)
from tools.simulator.plants.plant import BadPlant

STEPS_PER_SECOND = 20
BUSY = Activity(orders_per_second=200, trades_per_second=50, ticks_per_root_second=30)

sides = pytest.mark.parametrize("side", ["bid", "ask"])
names = pytest.mark.parametrize("name", NAMES)
SideName = Literal["bid", "ask"]


def market(name: str = "BTCUSDT", activity: Activity | None = None) -> Market:
    one = Market(symbols.instrument(name), 1, activity)
    for _ in range(100):
        one.step()
    one.take_diff()
    return one


def run(one: Market, seconds: float) -> Iterator[tuple[int, list[Trade], Diff | None]]:
    """Step by step: its number, its trades, and every other step the diff, as the simulator publishes them."""
    for number in range(round(seconds * STEPS_PER_SECOND)):
        yield number, one.step(), one.take_diff() if number % 2 else None


def p95(one: Market) -> float:
    quantities = sorted(q for side in (one.bids, one.asks) for _, q in side.levels())
    return quantities[len(quantities) * 95 // 100]


@given(
    one=markets,
    plan=st.lists(
        st.one_of(
            st.sampled_from(["step", "step", "step", "publish", "snapshot", *[f"remove {name}" for name in PLANTS]]),
            st.builds(Wall, st.just(""), st.sampled_from(["bid", "ask"]), st.integers(1, 100)),
            st.builds(Vacuum, st.just(""), st.sampled_from(["bid", "ask"]), st.integers(1, 50), st.integers(1, 20)),
            st.builds(Spoofer, st.just(""), st.sampled_from(["bid", "ask"]), st.integers(1, 100)),
            st.builds(Iceberg, st.just(""), st.sampled_from(["bid", "ask"]), st.integers(1, 100), st.integers(1, 600)),
            st.builds(Crash, st.just(""), st.floats(1, 1000)),
        ),
        min_size=1,
        max_size=150,
    ),
)
@settings(max_examples=150, deadline=None)
def test_whatever_is_planted_the_book_never_crosses_and_the_diffs_tell_all_of_it(one: Market, plan: list[Any]) -> None:
    there: dict[str, Any] = {}
    bids, asks, last = book(one.bids), book(one.asks), one.update_id

    def publish() -> None:
        nonlocal last
        if diff := one.take_diff():
            assert (diff.first, diff.last) == (last + 1, one.update_id)
            last = diff.last
            apply(bids, diff.bids)
            apply(asks, diff.asks)
        assert (bids, asks) == (book(one.bids), book(one.asks))

    for action in plan:
        if action == "step":
            for _ in range(5):
                one.step()
        elif action == "publish":
            publish()
        elif isinstance(action, str):
            name = action.removeprefix("remove ")
            if name in there:
                there.pop(name).remove()
        else:
            name, make = next((name, make) for name, (kind, make) in PLANTS.items() if isinstance(action, kind))
            alone = make.alone or any(plant.alone for plant in there.values())
            if name in there or (there and alone):
                continue
            with suppress(BadPlant):
                there[name] = make(one, action)
        assert one.bids.best < one.asks.best
        for side in (one.bids, one.asks):
            prices = list(book(side))
            assert (prices[0], prices[-1], len(prices)) == (side.best, side.worst, side.count)
            assert min(prices) >= 1
    publish()
    for plant_ in there.values():
        plant_.remove()
    assert (one.plants, one.reserved, one.pinned_fair) == ([], set(), None)


@sides
@names
def test_a_wall_stays_as_it_is_while_the_market_around_it_goes_on(name: str, side: SideName) -> None:
    one = market(name, BUSY)
    wall = PlantedWall(one, Wall(name, side, distance=7))
    price, quantity = int(wall.shown["price"]), wall.shown["qty"]
    its_side, other = (one.bids, one.asks) if side == "bid" else (one.asks, one.bids)
    assert quantity > 4 * p95(one)
    trades = 0
    for _, fills, _ in run(one, 20):
        assert its_side.quantity(price) == quantity
        assert (other.best - price) * its_side.inward > 0
        assert all(fill.price != price for fill in fills)
        trades += len(fills)
    assert trades > 100
    wall.remove()
    assert its_side.quantity(price) <= p95(one)
    later = [one.step() for _ in range(400)]
    assert any(later), "the market goes on"


@sides
@names
@pytest.mark.parametrize("levels", [3, 6, 10])
def test_a_vacuum_is_a_run_of_just_so_many_levels(name: str, side: SideName, levels: int) -> None:
    one = market(name)
    vacuum = PlantedVacuum(one, Vacuum(name, side, levels=levels))
    usual = one.instrument.level_steps

    def thin() -> list[int]:
        return sorted(p for side in (one.bids, one.asks) for p, q in side.levels() if q < usual / 20)

    expected = list(range(int(vacuum.shown["from"]), int(vacuum.shown["to"]) + 1))
    assert len(expected) == levels
    for _ in run(one, 20):
        assert set(expected) <= set(thin())
        assert expected[0] - 1 not in thin()
        assert expected[-1] + 1 not in thin()
    vacuum.remove()
    assert not set(expected) & set(thin())


@sides
@names
def test_a_spoofer_is_far_away_and_comes_and_goes_without_a_trade(name: str, side: SideName) -> None:
    one = market(name)
    spoofer = PlantedSpoofer(one, Spoofer(name, side))
    price, quantity = int(spoofer.shown["price"]), spoofer.shown["qty"]
    assert quantity > 4 * p95(one)
    seen = []
    for _, fills, diff in run(one, 20):
        assert all(fill.price != price for fill in fills)
        bid, ask = one.bids.best, one.asks.best
        assert abs(price - (bid + ask) / 2) > 3 * (ask - bid)
        if diff:
            assert price not in (diff.asks if side == "bid" else diff.bids)
            changes = diff.bids if side == "bid" else diff.asks
            if price in changes:
                seen.append(changes[price])
    assert seen == [quantity, 0] * (len(seen) // 2) + [quantity] * (len(seen) % 2)
    assert seen.count(0) > 3 * 20 / 3
    spoofer.remove()
    assert price not in book(one.bids) | book(one.asks)


@sides
@names
@pytest.mark.parametrize("trades", [5, 10, 20, 120, 600])
def test_an_iceberg_trades_so_often_and_shows_the_same(name: str, side: SideName, trades: int) -> None:
    one = market(name)
    iceberg = PlantedIceberg(one, Iceberg(name, side, trades=trades))
    price, quantity = int(iceberg.shown["price"]), int(iceberg.shown["qty"])
    its_side = one.bids if side == "bid" else one.asks
    fills: list[Trade] = []
    shown: list[int] = []
    for _, new, diff in run(one, 31):
        hits = [fill for fill in new if fill.price == price]
        assert all(fill.buyer_is_maker == (side == "bid") for fill in hits)
        assert shown or not hits, "no trade before the level was seen"
        fills += hits
        assert its_side.best == price
        if diff:
            shown += [q for q in [(diff.bids if side == "bid" else diff.asks).get(price)] if q is not None]
    assert trades <= len(fills) <= trades * 31 / 30 + 1
    assert sum(fill.quantity for fill in fills) > 0.04 * quantity * trades
    assert all(0.9 * quantity <= q <= quantity for q in shown)
    iceberg.remove()
    assert not 0.9 * quantity <= its_side.quantity(price) <= 1.1 * quantity


@names
def test_a_crash_is_a_wide_spread_heavy_asks_and_sales_that_speed_up(name: str) -> None:
    one = market(name)
    before = one.bids.best
    crash = PlantedCrash(one, Crash(name))
    assert one.bids.best < before
    sold: list[int] = []
    for number, fills, _ in run(one, 20):
        bid, ask = one.bids.best, one.asks.best
        assert (ask - bid) / ((ask + bid) / 2) > 20 / 10_000
        if number > STEPS_PER_SECOND:  # the book below the gap is thin at first
            bids, asks = (sum(q for _, q in side.levels(20)) for side in (one.bids, one.asks))
            assert (bids - asks) / (bids + asks) < -0.3
        sold.append(sum(fill.quantity for fill in fills if fill.buyer_is_maker))
        if number < 18 * STEPS_PER_SECOND:
            recent, earlier = (
                sum(sold[-5 * STEPS_PER_SECOND :]),
                sum(sold[-10 * STEPS_PER_SECOND : -5 * STEPS_PER_SECOND]),
            )
            assert recent > 0
            assert recent >= 2 * earlier
    assert one.bids.best < crash.shown["best_bid"]
    crash.remove()
    for _ in run(one, 30):
        pass
    bid, ask = one.bids.best, one.asks.best
    assert (ask - bid) / ((ask + bid) / 2) < 20 / 10_000, "the market has closed the gap"


def test_a_crash_ends_before_the_price_does() -> None:
    one = market("DOTUSDT")
    start = one.bids.best
    PlantedCrash(one, Crash("DOTUSDT"))
    for _ in run(one, 900):
        pass
    assert 0.8 * start < one.bids.best < 0.92 * start


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Wall("BTCUSDT", "ask", distance=1024), "room for 1023"),
        (Wall("ZZ", "bid", distance=100_000), "room for"),
        (Vacuum("BTCUSDT", "bid", distance=1000, levels=30), "room for 1023"),
        (Spoofer("BTCUSDT", distance=2000), "room for"),
        (Iceberg("BTCUSDT", distance=2000), "room for"),
    ],
)
def test_what_a_market_has_no_room_for_is_refused_and_leaves_it_as_it_was(given: Any, words: str) -> None:
    untouched, one = market(given.symbol), market(given.symbol)
    make = next(make for kind, make in PLANTS.values() if isinstance(given, kind))
    with pytest.raises(BadPlant, match=words):
        make(one, given)
    assert history(one, 50) == history(untouched, 50)


def test_two_plants_cannot_have_the_same_price() -> None:
    one = market()
    wall = PlantedWall(one, Wall("BTCUSDT", distance=20))
    with pytest.raises(BadPlant, match=f"price {wall.shown['price']}"):
        PlantedVacuum(one, Vacuum("BTCUSDT", distance=10, levels=10))


def test_the_fair_price_stands_still_until_the_last_plant_is_gone() -> None:
    one = market(activity=BUSY)
    wall, spoofer = PlantedWall(one, Wall("BTCUSDT")), PlantedSpoofer(one, Spoofer("BTCUSDT"))
    held = one.pinned_fair
    spoofer.remove()
    assert one.pinned_fair == held
    best = one.bids.best
    for _ in range(400):
        one.step()
        assert abs(one.bids.best - best) < 20
    wall.remove()
    assert one.pinned_fair is None
    for _ in range(400):
        one.step()
    assert abs(one.bids.best - best) > 20


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with Exchange("--symbols", "BTCUSDT,ETHUSDT") as running:
        yield running


def depth(exchange: Exchange, symbol: str) -> dict[str, str]:
    with urllib.request.urlopen(f"{exchange.http}/api/v3/depth?symbol={symbol}&limit=5000", timeout=10) as answer:
        found = json.load(answer)
    return dict(found["bids"] + found["asks"])


def test_over_http_it_is_planted_listed_and_removed(exchange: Exchange) -> None:
    wall = plant(exchange.address, "wall", symbol="BTCUSDT", side="bid", distance=15, times=9)
    vacuum = plant(exchange.address, "vacuum", symbol="BTCUSDT", levels=4)
    iceberg = plant(exchange.address, "iceberg", symbol="ETHUSDT")
    levels = depth(exchange, "BTCUSDT")
    assert levels[wall["price"]] == wall["qty"]
    assert levels[vacuum["from"]] == levels[vacuum["to"]] == "0.00001000"
    assert depth(exchange, "ETHUSDT")[iceberg["price"]] == iceberg["qty"] == "12.00000000"
    assert planted(exchange.address) == {"BTCUSDT": {"wall": wall, "vacuum": vacuum}, "ETHUSDT": {"iceberg": iceberg}}
    for name, symbol in (("wall", "BTCUSDT"), ("vacuum", "BTCUSDT"), ("iceberg", "ETHUSDT")):
        remove(exchange.address, name, symbol)
    assert depth(exchange, "BTCUSDT")[wall["price"]] == "0.40000000"
    assert planted(exchange.address) == {}


Request = Callable[[str], object]


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda at: plant(at, "tree", symbol="BTCUSDT"), "must be one of wall, vacuum, spoofer, iceberg, crash"),
        (lambda at: plant(at, "wall"), "missing required field `symbol`"),
        (lambda at: plant(at, "wall", symbol="NOSUCH"), "not listed"),
        (lambda at: plant(at, "wall", symbol="BTCUSDT", side="top"), "Invalid enum value"),
        (lambda at: plant(at, "wall", symbol="BTCUSDT", distance=0), ">= 1"),
        (lambda at: plant(at, "wall", symbol="BTCUSDT", colour="red"), "unknown field"),
        (lambda at: plant(at, "spoofer", symbol="BTCUSDT"), "has a spoofer already"),
        (lambda at: plant(at, "crash", symbol="BTCUSDT"), "has a spoofer, which allows no crash beside it"),
        (lambda at: plant(at, "wall", symbol="ETHUSDT"), "has a crash, which allows no wall beside it"),
        (lambda at: remove(at, "wall", "BTCUSDT"), "BTCUSDT has no wall"),
        (lambda at: remove(at, "wall", ""), "not listed"),
        (lambda at: remove(at, "tree", "BTCUSDT"), "must be one of"),
    ],
)
def test_what_cannot_be_planted_or_removed_is_told(exchange: Exchange, ask: Request, words: str) -> None:
    plant(exchange.address, "spoofer", symbol="BTCUSDT")
    plant(exchange.address, "crash", symbol="ETHUSDT")
    try:
        with pytest.raises(urllib.error.HTTPError) as error:
            ask(exchange.address)
        assert error.value.code == 400
        assert words in json.load(error.value)["error"]
    finally:
        remove(exchange.address, "spoofer", "BTCUSDT")
        remove(exchange.address, "crash", "ETHUSDT")


def test_nothing_is_planted_in_a_replay(start_exchange: Callable[..., Exchange]) -> None:
    running = start_exchange("--replay", str(COMMITTED_CAPTURE))
    with urllib.request.urlopen(f"{running.http}/api/v3/exchangeInfo", timeout=10) as answer:
        listed = json.load(answer)["symbols"]
    with pytest.raises(urllib.error.HTTPError) as error:
        plant(running.address, "wall", symbol=listed[0]["symbol"])
    assert "a recording cannot be changed" in json.load(error.value)["error"]
