"""The best prices of one pair on several venues."""

from __future__ import annotations

import asyncio

import msgspec
import redis
from hypothesis import given
from hypothesis import strategies as st

from tests.web.reporting import Cluster
from tickfence.analytics.freshness import Freshness, SymbolStatus
from tickfence.analytics.report import Level, Trading
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.readers.data_plane import DataPlane
from tickfence.readers.listed_pairs import ListedPairs
from tickfence.readers.pairs import AcrossVenues, Pair, across_venues, grouped
from tickfence.readers.reader import Found, Reports
from tickfence.readers.reports import BadReport, decode_head

NOW = 1_700_000_000_000
PAIR = Pair("BTC", "USD")
SYMBOLS = ["BTCUSD", "kraken:BTC/USD", "coinbase:BTC-USD", "ccxt:bitstamp:BTC/USD"]

levels = st.none() | st.builds(Level, st.integers(1, 9).map(float), st.integers(1, 3).map(float))
statuses = st.sampled_from(["ok", "ok", "ok", "degraded", "down", "paused"])
tradings = st.sampled_from([None, "trading", "trading", "halted", "delisted"])


def found(symbol: str, bid: Level | None, ask: Level | None, status: SymbolStatus, trading: Trading | None) -> Found:
    """A report of a symbol, as it was read."""
    ingestion = {"status": "ok", "fresh": True, "exchange_time": NOW, "last_update": NOW - 50, "trading": trading}
    report = {
        **{"schemaVersion": "2.0", "updatedAt": NOW, "venue": "v", "best_bid": bid, "best_ask": ask},
        **{"ingestion": {name: value for name, value in ingestion.items() if value is not None}},
        **{"writer": {"nodeId": "n", "writerToken": 1}, "health": {"score": 1.0}, "flow": {"window_sec": 30}},
    }
    text = msgspec.json.encode({name: value for name, value in report.items() if value is not None})
    stale = status not in ("ok", "degraded")
    return Found(
        symbol, text, decode_head(symbol, text), Freshness(NOW, 0, 50, status, stale, "old" if stale else None)
    )


def reports(*given: Found, **others: dict[str, object]) -> Reports:
    there = [one.symbol for one in given]
    missing = [symbol for symbol in SYMBOLS if symbol not in there]
    return Reports(SYMBOLS, NOW, list(given), missing, others.get("bad", {}), others.get("idle", {}))  # type: ignore[arg-type]


def across(*given: Found, **others: dict[str, object]) -> AcrossVenues:
    return across_venues(PAIR, reports(*given, **others))


@given(st.lists(st.tuples(levels, levels, statuses, tradings), max_size=len(SYMBOLS)))
def test_the_best_is_of_the_fresh_ones_alone(
    given: list[tuple[Level | None, Level | None, SymbolStatus, Trading | None]],
) -> None:
    one = across(*(found(symbol, *each) for symbol, each in zip(SYMBOLS, given, strict=False)))
    assert [quote.symbol for quote in one.venues] == SYMBOLS
    counted = [each for each in given if each[2] == "ok" and each[3] in (None, "trading")]
    bids = [bid.price for bid, *_ in counted if bid]
    asks = [ask.price for _, ask, *_ in counted if ask]
    assert (one.best_bid and one.best_bid.price) == max(bids, default=None)
    assert (one.best_ask and one.best_ask.price) == min(asks, default=None)
    for best, side in ((one.best_bid, "bid"), (one.best_ask, "ask")):
        if best:
            [quote] = [quote for quote in one.venues if quote.symbol == best.symbol]
            assert quote.fresh and getattr(quote, side) == Level(best.price, best.qty)
            same = [getattr(other, side) for other in one.venues if other.fresh and getattr(other, side)]
            assert best.qty == max(level.qty for level in same if level.price == best.price)
    for quote in one.venues:
        assert quote.fresh == (quote.reason is None)


def test_a_bid_above_another_venues_ask_is_told() -> None:
    one = across(
        found(SYMBOLS[0], Level(100.0, 1.0), Level(101.0, 1.0), "ok", "trading"),
        found(SYMBOLS[1], Level(98.0, 1.0), Level(99.0, 1.0), "ok", None),
    )
    assert one.spread_bps == -100.503
    assert [quote.venue for quote in one.venues] == ["binance", "kraken", "coinbase", "ccxt"]


def test_why_a_venue_does_not_count() -> None:
    level = Level(100.0, 1.0)
    one = across(
        found(SYMBOLS[0], level, level, "ok", "halted"),
        found(SYMBOLS[1], level, level, "degraded", None),
        bad={SYMBOLS[2]: BadReport("not readable")},
        idle={Instrument(SYMBOLS[3]): "paused"},
    )
    assert [(quote.status, quote.reason) for quote in one.venues] == [
        ("ok", "the exchange has halted it"),
        (
            "degraded",
            "its report is degraded: the market data is more than a second old, or one side of the book is empty",
        ),
        ("down", "not readable"),
        ("paused", "an operator has paused the symbol, so its report is not rewritten"),
    ]
    assert one.best_bid is None and one.best_ask is None and one.spread_bps is None


def test_usd_is_not_usdt() -> None:
    pairs = {
        "a:1": Pair("BTC", "USD"),
        "b:1": Pair("BTC", "USDT"),
        "c:1": Pair("BTC", "USD"),
        "d:1": Pair("btc", "USD"),
    }
    assert grouped(pairs) == {"BTC-USD": ["a:1", "c:1"], "BTC-USDT": ["b:1"], "btc-USD": ["d:1"]}


def test_the_listing_tells_the_pair_once_it_is_there(redis_client: redis.Redis) -> None:
    cluster = Cluster(redis_client)
    cluster.listed("okx:BTC-USD", "BTC", "USD")
    cluster.listed("BTCUSDT", "", "")

    async def ask() -> None:
        plane = DataPlane("redis://{host}:{port}/{db}".format(**redis_client.connection_pool.connection_kwargs))
        listed = ListedPairs(plane, Keys())
        assert await listed.of(["okx:BTC-USD", "BTCUSDT", "x:1"]) == {"okx:BTC-USD": PAIR}
        redis_client.delete("md:{okx:BTC-USD}:info")  # Redis may lose it: a listing does not change
        assert await listed.of(["okx:BTC-USD"]) == {"okx:BTC-USD": PAIR}
        cluster.listed("BTCUSDT", "BTC", "USDT")
        assert await listed.of(["BTCUSDT"]) == {"BTCUSDT": Pair("BTC", "USDT")}
        await plane.close()

    asyncio.run(ask())
