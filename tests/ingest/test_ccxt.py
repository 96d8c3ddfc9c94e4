"""Reading through ccxt: books by comparing, trades and tickers as ccxt gives them, and one symbol's life. No ccxt is needed."""

from __future__ import annotations

import asyncio
import random
import sys
import types
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import venues
from ingest.book_sync import BookSync
from ingest.events import HALTED, TRADING, BookSnapshot, Diff, Refused, Rejected, SymbolRules, Ticker, Trade
from ingest.pacing import LogLimit
from ingest.venue import Snapshots
from ingest.venues.ccxt import exchange, subscription
from ingest.venues.ccxt.book import FEW, MOST, ComparedBook
from ingest.venues.ccxt.exchange import Exchange
from ingest.venues.ccxt.subscription import Subscription
from ingest.venues.ccxt.values import NewTrades, rules, ticker, unusable
from tickfence.instrument import Instrument
from tickfence.monitoring.ingest_metrics import Refusal

S = Instrument("ccxt:bitstamp:BTC/USD")
NOW = 1_787_628_957_300

Side = list[list[float]]


def test_without_ccxt_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ccxt", None)
    with pytest.raises(venues.NoVenue) as caught:
        venues.load("ccxt")
    assert str(caught.value) == "venue ccxt needs ccxt, which is not installed: pip install '.[ccxt]'"


def book(bids: Side, asks: Side, **more: object) -> dict[str, Any]:
    return {"bids": bids, "asks": asks, "timestamp": NOW, "nonce": None} | more


def ladder(prices: Sequence[float], quantity: float = 1.0) -> Side:
    return [[float(price), quantity] for price in prices]


def taken(sync: BookSync, event: BookSnapshot | Diff | None) -> BookSync:
    if type(event) is Diff:
        assert sync.on_diff(sync.number(event), NOW)
    elif event is not None:
        assert sync.on_snapshot(event, NOW)
    return sync


def held(sync: BookSync) -> tuple[dict[float, float], dict[float, float]]:
    bids, asks = sync.book.levels()
    return dict(bids), dict(asks)


def test_what_changes_is_a_diff_and_what_does_not_is_nothing() -> None:
    one = ComparedBook(S)
    first = one.first(book([[10.0, 1.0], [9.0, 2.0]], [[11.0, 3.0]]), 0)
    assert (first.time_ms, first.told, first.depth.bids) == (NOW, 2, [(10.0, 1.0), (9.0, 2.0)])
    assert one.next(book([[10.0, 1.0], [9.0, 2.0]], [[11.0, 3.0]]), 0) is None
    diff = one.next(book([[10.0, 1.5], [8.0, 4.0]], [[11.0, 3.0]], timestamp=None), NOW + 5)
    assert diff == Diff(S, NOW + 5, 0, 0, [(9.0, 0.0), (10.0, 1.5), (8.0, 4.0)], [])


def test_ccxts_book_may_change_by_itself_afterwards() -> None:
    one, bids = ComparedBook(S), [[10.0, 1.0]]
    one.first(book(bids, [[11.0, 1.0]]), 0)
    bids[0][1] = 7.0
    diff = one.next(book(bids, [[11.0, 1.0]]), 0)
    assert type(diff) is Diff
    assert diff.bids == [(10.0, 7.0)]


side_of_orders = st.dictionaries(st.integers(1, 60), st.floats(0.1, 9.0), max_size=60)


@given(st.lists(st.tuples(side_of_orders, side_of_orders), min_size=1, max_size=8))
def test_a_channel_of_few_levels_is_followed_exactly(states: list[tuple[dict[int, float], dict[int, float]]]) -> None:
    one, sync = ComparedBook(S), BookSync(S, Snapshots.STREAM)
    for bids, asks in states:
        shown = book(
            [[float(p), bids[p]] for p in sorted(bids, reverse=True)][:20],
            [[float(100 + p), asks[p]] for p in sorted(asks)][:20],
        )
        taken(sync, one.first(shown, 0) if sync.why else one.next(shown, 0))
        assert held(sync) == (dict(map(tuple, shown["bids"])), dict(map(tuple, shown["asks"])))


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_nothing_false_is_known_of_a_book_that_began_with_an_answer_of_limited_depth(seed: int, moves: int) -> None:
    """The exchange has 400 levels a side and changes of all; its first answer has 100, so deeper ones come as they change."""
    chance = random.Random(seed)
    true = {float(p): 1.0 for p in range(1, 401)}, {float(p): 1.0 for p in range(401, 801)}
    shown = {p: q for p, q in true[0].items() if p > 300}, {p: q for p, q in true[1].items() if p <= 500}
    one, sync = ComparedBook(S), BookSync(S, Snapshots.STREAM)

    def ccxts() -> dict[str, Any]:
        bids, asks = ([[p, side[p]] for p in sorted(side)] for side in shown)
        return book(bids[::-1], asks)

    taken(sync, one.first(ccxts(), 0))
    for _ in range(moves):
        middle = max(true[0])
        for price in range(int(middle), int(middle) + chance.randint(0, 30)):  # the market rises
            for sides in (true, shown):
                sides[1].pop(float(price + 1), None)
                sides[0][float(price + 1)] = 2.0
        deep = float(chance.randint(1, 300))
        true[0][deep] = shown[0][deep] = chance.uniform(0.5, 3.0)
        taken(sync, one.next(ccxts(), 0))
        for side, truth, better in ((sync.book.bids, true[0], 1), (sync.book.asks, true[1], -1)):
            horizon = side.horizon
            known = {p: q for p, q in truth.items() if horizon is None or p * better >= horizon * better}
            assert dict(zip(*side.top(len(side)), strict=True)) == known


def test_a_book_turns_out_to_be_told_as_a_whole_up_to_its_first_end() -> None:
    one = ComparedBook(S)
    first = one.first(book(ladder(range(200, 100, -1)), ladder(range(201, 301))), 0)
    assert first.told == 50
    assert len(first.depth.bids) == 50
    wider = one.next(book(ladder(range(200, 99, -1)), ladder(range(201, 301))), 0)
    assert type(wider) is BookSnapshot
    assert (wider.told, wider.depth.lowest_bid, wider.depth.highest_ask) == (None, 101.0, 300.0)
    assert (len(wider.depth.bids), len(wider.depth.asks)) == (100, 100)


def test_a_market_that_left_what_is_known_needs_a_new_book() -> None:
    one = ComparedBook(S)
    one.first(book(ladder(range(200, 100, -1)), ladder(range(201, 301))), 0)
    shown = book(ladder(range(140, 20, -1)), ladder(range(141, 301)))
    one.next(shown, 0)
    snapshot, enough = one.again(shown, 0)
    assert (len(snapshot.depth.bids), enough) == (40, False)
    _, enough = one.again(book(ladder(range(190, 20, -1)), ladder(range(191, 301))), 0)
    assert enough


def test_no_more_levels_than_a_report_looks_at_are_compared() -> None:
    one = ComparedBook(S)
    first = one.first(book(ladder(range(9_000, 0, -1)), ladder(range(9_001, 9_101))), 0)
    assert (first.told, len(first.depth.bids), len(first.depth.asks)) == (MOST, MOST, 100)
    assert FEW < MOST


@pytest.mark.parametrize(
    ("bids", "time", "reason"),
    [
        ([["10", 1.0]], NOW, Refusal.WRONG_TYPE),
        ([[10.0, None]], NOW, Refusal.WRONG_TYPE),
        ([[float("nan"), 1.0]], NOW, Refusal.NOT_A_NUMBER),
        ([[-1.0, 1.0]], NOW, Refusal.BAD_PRICE),
        ([[10.0, -1.0]], NOW, Refusal.BAD_QUANTITY),
        ([[10.0, 1.0]], "now", Refusal.BAD_TIME),
        ([[10.0, 1.0]], 0, Refusal.BAD_TIME),
    ],
)
def test_a_book_that_cannot_be_true(bids: list[list[Any]], time: object, reason: Refusal) -> None:
    one = ComparedBook(S)
    with pytest.raises(Rejected) as first:
        one.first(book(bids, [], timestamp=time), 0)
    one.first(book([], []), 0)
    with pytest.raises(Rejected) as later:
        one.next(book(bids, [], timestamp=time), 0)
    assert {(each.value.reason, each.value.book_symbol) for each in (first, later)} == {(reason, S)}


TRADE = {"id": "7", "timestamp": NOW, "side": "sell", "price": 3805.44, "amount": 1e-08}


def test_trades_have_no_number_and_are_told_once() -> None:
    trades = NewTrades(S)
    one = Trade(S, NOW, 0, "3805.44", "0.00000001", False)
    assert trades.take([TRADE, TRADE | {"id": "8", "side": "buy", "price": "3805.440"}]) == [
        one,
        Trade(S, NOW, 0, "3805.440", "0.00000001", True),
    ]
    assert trades.take([TRADE, TRADE | {"id": "8"}]) == []
    without = TRADE | {"id": None}
    assert trades.take([without, without]) == [one, one]


def test_a_new_subscription_may_begin_with_trades_of_the_past() -> None:
    trades = NewTrades(S)
    old, new = TRADE | {"id": "1", "timestamp": NOW - 60_000}, TRADE | {"id": None, "timestamp": NOW + 1}
    assert len(trades.take([old, TRADE, new], NOW)) == 2
    assert trades.take([new], NOW) == []  # it has no id, and is not newer than what came before
    assert len(trades.take([new], 0)) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"side": None}, Refusal.WRONG_TYPE),
        ({"timestamp": None}, Refusal.BAD_TIME),
        ({"price": None}, Refusal.NOT_A_NUMBER),
        ({"price": float("nan")}, Refusal.NOT_A_NUMBER),
        ({"amount": 0.0}, Refusal.BAD_QUANTITY),
    ],
)
def test_a_trade_that_cannot_be_true(change: dict[str, Any], reason: Refusal) -> None:
    refused, good = NewTrades(S).take([TRADE | change | {"id": "6"}, TRADE])
    assert type(refused) is Refused
    assert refused.error.reason is reason
    assert type(good) is Trade


def test_a_ticker() -> None:
    found = {"last": 110.0, "percentage": -0.5, "high": 111.5, "low": 99, "baseVolume": 1e-7}
    assert ticker(S, found) == [Ticker(S, "110.0", "-0.5", "111.5", "99", "0.0000001")]
    assert ticker(S, found | {"high": None}) == []
    [refused] = ticker(S, found | {"low": -1})
    assert type(refused) is Refused


def test_rules_and_markets_that_cannot_be_used() -> None:
    market = {"base": "BTC", "quote": "USD", "precision": {"price": 0.01, "amount": 1e-08}, "active": True}
    assert rules(market, 4) == SymbolRules("0.01", "0.00000001", TRADING, "BTC", "USD")
    assert rules(market | {"active": False, "precision": {"price": 2}}, 2) == SymbolRules(
        "0.01", "", HALTED, "BTC", "USD"
    )
    assert rules({"precision": {"price": 5}}, 3) == SymbolRules("", "", TRADING)
    assert unusable(market) == unusable({"contract": True, "contractSize": 1.0}) == ""
    assert unusable({"contract": True, "contractSize": 0.01}) == "its quantities are contracts of 0.01"
    assert unusable({"inverse": True})


class Library:
    """Stands for ccxt's object of an exchange: each watch waits for what the test puts there."""

    def __init__(self, **has: bool) -> None:
        self.has = has
        self.books: asyncio.Queue[Any] = asyncio.Queue()
        self.trades: asyncio.Queue[Any] = asyncio.Queue()
        self.left: list[str] = []

    async def watch_order_book(self, symbol: str) -> Any:  # noqa: ARG002
        return self._shown(await self.books.get())

    async def watch_trades(self, symbol: str) -> Any:  # noqa: ARG002
        return self._shown(await self.trades.get())

    async def un_watch_order_book(self, symbol: str) -> None:
        self.left.append(symbol)

    @staticmethod
    def _shown(found: Any) -> Any:
        if isinstance(found, BaseException):
            raise found
        return found


class Taken:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def on_events(self, events: Sequence[Any]) -> None:
        self.calls += events

    def on_trades_lost(self, symbols: Iterable[Instrument]) -> None:  # noqa: ARG002
        self.calls.append("trades lost")

    def on_books_lost(self, symbols: Iterable[Instrument]) -> None:  # noqa: ARG002
        self.calls.append("book lost")


BOOK = book([[10.0, 1.0]], [[11.0, 1.0]])


def with_subscription(library: Library, steps: Callable[[Subscription, Taken], Any]) -> list[Any]:
    async def run() -> list[Any]:
        sink = Taken()
        one = Subscription(S, "BTC/USD", library, sink, lambda: NOW, LogLimit())
        task = asyncio.create_task(one.run())
        try:
            await steps(one, sink)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return sink.calls

    return asyncio.run(asyncio.wait_for(run(), 10))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def kinds(calls: Sequence[Any]) -> list[str]:
    return [each if isinstance(each, str) else type(each).__name__ for each in calls]


@pytest.mark.parametrize("failure", [KeyError("anything"), asyncio.CancelledError()])
def test_what_fails_is_lost_and_begins_again(failure: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "FIRST_RETRY_S", 0.01)
    library = Library()

    async def steps(_: Subscription, sink: Taken) -> None:
        library.books.put_nowait(BOOK)
        await until(lambda: len(sink.calls) == 1)
        library.trades.put_nowait([TRADE])
        await until(lambda: len(sink.calls) == 3)
        library.trades.put_nowait(failure)
        await until(lambda: len(sink.calls) == 5)
        library.books.put_nowait(BOOK)
        await until(lambda: len(sink.calls) == 6)

    calls = kinds(with_subscription(library, steps))
    assert calls == ["BookSnapshot", "trades lost", "Trade", "trades lost", "book lost", "BookSnapshot"]


@pytest.mark.parametrize("can_leave", [True, False])
def test_a_lost_book_is_subscribed_to_again_where_ccxt_can(can_leave: bool) -> None:
    library = Library(unWatchOrderBook=can_leave)

    async def steps(one: Subscription, sink: Taken) -> None:
        one.renew(lost=True)  # the first one is on its way
        library.books.put_nowait(BOOK)
        await until(lambda: len(sink.calls) == 1)
        one.renew(lost=True)
        await until(lambda: len(sink.calls) == 2)
        if can_leave:
            library.books.put_nowait(BOOK)
            await until(lambda: len(sink.calls) == 3)

    calls = kinds(with_subscription(library, steps))
    assert calls == (["BookSnapshot", "book lost", "BookSnapshot"] if can_leave else ["BookSnapshot", "BookSnapshot"])
    assert library.left == (["BTC/USD"] if can_leave else [])


def test_nothing_comes_of_a_symbol_that_is_not_followed_any_more() -> None:
    library = Library()

    async def steps(one: Subscription, sink: Taken) -> None:
        library.books.put_nowait(BOOK)
        await until(lambda: len(sink.calls) == 1)
        one.stop()
        library.books.put_nowait(book([[9.0, 1.0]], []))
        library.trades.put_nowait([TRADE])
        await until(lambda: library.trades.empty() and library.books.empty())
        library.trades.put_nowait(KeyError("anything"))
        await until(library.trades.empty)

    assert kinds(with_subscription(library, steps)) == ["BookSnapshot"]


class Listed(Library):
    """Also lists its markets. As in ccxt, every watch waits while they are loaded, and ends that if it is cancelled."""

    precisionMode = 4

    def __init__(self, options: object) -> None:  # noqa: ARG002
        super().__init__(watchOrderBook=True, watchTrades=True)
        self.urls = {"api": "wss://toy.example"}
        self.markets: dict[str, Any] = {}
        self.may_load = asyncio.Event()
        self.may_load.set()
        self.loads = 0
        self.of: dict[str, asyncio.Queue[Any]] = defaultdict(asyncio.Queue)
        self._loading: asyncio.Future[None] | None = None

    async def fetch_markets(self) -> dict[str, Any]:
        self.loads += 1
        await self.may_load.wait()
        return {"A/USD": {}, "B/USD": {}}

    def set_markets(self, markets: dict[str, Any]) -> None:
        self.markets = markets

    async def load_markets(self, reload: bool = False) -> None:
        if reload or self._loading is None:
            self._loading = asyncio.ensure_future(self._load())
        await self._loading

    async def _load(self) -> None:
        self.set_markets(await self.fetch_markets())

    async def watch_trades(self, symbol: str) -> Any:
        await self.load_markets()
        return await self.of[f"trades {symbol}"].get()

    async def watch_order_book(self, symbol: str) -> Any:
        await self.load_markets()
        return self._shown(await self.of[f"book {symbol}"].get())

    async def close(self) -> None:
        pass


def test_a_book_that_fails_while_the_listing_is_loaded_costs_no_other_symbol(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Listed] = []

    def make(options: object) -> Listed:
        made.append(Listed(options))
        return made[0]

    monkeypatch.setitem(sys.modules, "ccxt.pro", types.SimpleNamespace(exchanges=["toy"], toy=make))
    monkeypatch.setattr(exchange, "LIST_EVERY_S", 0.01)
    symbols = {symbol: Instrument(f"ccxt:toy:{symbol}") for symbol in ("A/USD", "B/USD")}

    async def run() -> None:
        sink = Taken()
        one = Exchange("toy", {}, sink, lambda: NOW)
        one.follow(symbols)
        task = asyncio.create_task(one.run())
        await until(lambda: bool(made) and len(made[0].of) == 4)
        library = made[0]
        library.may_load.clear()
        loads = library.loads
        await until(lambda: library.loads > loads)
        for symbol in symbols:
            library.of[f"trades {symbol}"].put_nowait([TRADE])  # the next watch begins while the listing is loaded
        await until(lambda: kinds(sink.calls).count("Trade") == 2)
        library.of["book A/USD"].put_nowait(ValueError("a wrong checksum"))
        await until(lambda: "book lost" in sink.calls)
        library.may_load.set()
        await until(lambda: library.loads > loads + 1)
        library.of["trades B/USD"].put_nowait([TRADE | {"id": "8"}])
        await until(lambda: kinds(sink.calls).count("Trade") == 3)
        assert sink.calls.count("book lost") == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(run(), 10))
