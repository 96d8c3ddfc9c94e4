"""Binance spot's public wire formats: stream events, REST bodies, control messages. Pure encoding, no I/O.

Sources: Binance's "WebSocket Streams" and "REST API" pages (developers.binance.com, Spot trading). Decimals are text
with eight decimal places; times are milliseconds since the epoch.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from tools.simulator.book_side import Side
from tools.simulator.market import Diff, Market, Trade
from tools.simulator.symbols import Instrument

MAX_STREAMS: Final = 1024
MAX_DEPTH: Final = 5000
DAY_MS: Final = 86_400_000

_HEAD_7, _HEAD_16, _HEAD_64 = struct.Struct("!BB").pack, struct.Struct("!BBH").pack, struct.Struct("!BBQ").pack


def frame(payload: bytes) -> bytes:
    """One unmasked, final WebSocket text frame (RFC 6455 section 5.2), as a server sends it."""
    return frame_head(len(payload)) + payload


def frame_head(size: int) -> bytes:
    """The head of a `frame` whose payload has `size` bytes."""
    if 126 <= size < 65_536:
        return _HEAD_16(0x81, 126, size)
    if size < 126:
        return _HEAD_7(0x81, size)
    return _HEAD_64(0x81, 127, size)


def close_frame(code: int, reason: str) -> bytes:
    """A WebSocket close frame (RFC 6455 section 5.5.1); `reason` has at most 123 bytes."""
    payload = struct.pack("!H", code) + reason.encode()
    return struct.pack("!BB", 0x88, len(payload)) + payload


class Encoder:
    """Encodes one instrument's events, as the payload of a raw stream."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._ticks, price = _decimal_format(instrument.tick_decimals)
        self._steps, quantity = _decimal_format(instrument.step_decimals)
        self._price, self._quantity = price, quantity
        self._level = f'["{price}","{quantity}"]'
        symbol = instrument.symbol
        self._depth_update = f'{{"e":"depthUpdate","E":%d,"s":"{symbol}","U":%d,"u":%d,"b":[%s],"a":[%s]}}'
        self._trade = (
            f'{{"e":"trade","E":%d,"s":"{symbol}","t":%d,"p":"{price}","q":"{quantity}","T":%d,"m":%s,"M":true}}'
        )

    def price(self, ticks: int) -> str:
        """A price as decimal text."""
        return self._price % divmod(ticks, self._ticks)

    def quantity(self, steps: int) -> str:
        """A quantity as decimal text."""
        return self._quantity % divmod(steps, self._steps)

    def depth_update(self, event_ms: int, diff: Diff) -> bytes:
        """`<symbol>@depth`: bids from the highest price down, asks from the lowest up."""
        first, last, bids, asks = diff
        bids_text = self._levels(sorted(bids.items(), reverse=True)) if bids else ""
        asks_text = self._levels(sorted(asks.items())) if asks else ""
        return (self._depth_update % (event_ms, first, last, bids_text, asks_text)).encode()

    def trade(self, event_ms: int, trade: Trade) -> bytes:
        """`<symbol>@trade`."""
        trade_id, price, quantity, maker = trade
        flag = "true" if maker else "false"
        values = (event_ms, trade_id, *divmod(price, self._ticks), *divmod(quantity, self._steps), event_ms, flag)
        return (self._trade % values).encode()

    def rest_trade(self, time_ms: int, trade: Trade) -> dict[str, Any]:
        """One trade of `GET /api/v3/historicalTrades`."""
        turnover = trade.price * trade.quantity
        return rest_trade(
            trade.trade_id, self.price(trade.price), self.quantity(trade.quantity), time_ms, trade.buyer_is_maker
        ) | {"quoteQty": self._in_quote(turnover)}

    def aggregate_trade(self, event_ms: int, trade: Trade) -> bytes:
        """`<symbol>@aggTrade`: each fill is its own aggregate."""
        return _compact(
            {
                "e": "aggTrade",
                "E": event_ms,
                "s": self.instrument.symbol,
                "a": trade.trade_id,
                "p": self.price(trade.price),
                "q": self.quantity(trade.quantity),
                "f": trade.trade_id,
                "l": trade.trade_id,
                "T": event_ms,
                "m": trade.buyer_is_maker,
                "M": True,
            }
        )

    def book_ticker(self, market: Market) -> bytes:
        """`<symbol>@bookTicker`: the best prices now."""
        return _compact({"u": market.update_id, "s": self.instrument.symbol, **self._best(market)})

    def ticker(self, event_ms: int, market: Market) -> bytes:
        """`<symbol>@ticker`: statistics since a simulated opening, shown as the last 24 hours."""
        change, percent, average = self._change(market)
        return _compact(
            {
                "e": "24hrTicker",
                "E": event_ms,
                "s": self.instrument.symbol,
                "p": change,
                "P": percent,
                "w": average,
                "x": self.price(market.open),
                "c": self.price(market.last_price),
                "Q": self.quantity(market.last_quantity),
                **self._best(market),
                "o": self.price(market.open),
                "h": self.price(market.high),
                "l": self.price(market.low),
                "v": self.quantity(market.volume),
                "q": self._turnover(market),
                "O": event_ms - DAY_MS,
                "C": event_ms,
                "F": market.first_trade_id,
                "L": market.trade_id,
                "n": market.trade_id - market.first_trade_id + 1,
            }
        )

    def ticker_24hr(self, now_ms: int, market: Market) -> dict[str, Any]:
        """One symbol of `GET /api/v3/ticker/24hr`."""
        change, percent, average = self._change(market)
        best = self._best(market)
        return {
            "symbol": self.instrument.symbol,
            "priceChange": change,
            "priceChangePercent": percent,
            "weightedAvgPrice": average,
            "prevClosePrice": self.price(market.open),
            "lastPrice": self.price(market.last_price),
            "lastQty": self.quantity(market.last_quantity),
            "bidPrice": best["b"],
            "bidQty": best["B"],
            "askPrice": best["a"],
            "askQty": best["A"],
            "openPrice": self.price(market.open),
            "highPrice": self.price(market.high),
            "lowPrice": self.price(market.low),
            "volume": self.quantity(market.volume),
            "quoteVolume": self._turnover(market),
            "openTime": now_ms - DAY_MS,
            "closeTime": now_ms,
            "firstId": market.first_trade_id,
            "lastId": market.trade_id,
            "count": market.trade_id - market.first_trade_id + 1,
        }

    def depth(self, market: Market, limit: int) -> bytes:
        """`GET /api/v3/depth`: the best `limit` levels per side of the book now."""
        return depth(market.update_id, self._texts(market.bids, limit), self._texts(market.asks, limit))

    def exchange_info(self) -> dict[str, Any]:
        """One symbol of `GET /api/v3/exchangeInfo`."""
        one = self.instrument
        tick, step = self.price(1), self.quantity(1)
        maximum = "9000000.00000000"
        return {
            "symbol": one.symbol,
            "status": "TRADING",
            "baseAsset": one.base,
            "baseAssetPrecision": 8,
            "quoteAsset": one.quote,
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
            "icebergAllowed": True,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": maximum, "tickSize": tick},
                {"filterType": "LOT_SIZE", "minQty": step, "maxQty": maximum, "stepSize": step},
            ],
            "permissions": ["SPOT"],
        }

    def _levels(self, levels: Iterable[tuple[int, int]]) -> str:
        text, ticks, steps = self._level, self._ticks, self._steps
        return ",".join([text % (*divmod(price, ticks), *divmod(quantity, steps)) for price, quantity in levels])

    def _texts(self, side: Side, limit: int) -> list[tuple[str, str]]:
        return [(self.price(price), self.quantity(quantity)) for price, quantity in side.levels(limit)]

    def _best(self, market: Market) -> dict[str, str]:
        def quote(side: Side) -> tuple[str, str]:
            return self.price(side.best), self.quantity(side.quantity(side.best))

        bid, ask = quote(market.bids), quote(market.asks)
        return {"b": bid[0], "B": bid[1], "a": ask[0], "A": ask[1]}

    def _change(self, market: Market) -> tuple[str, str, str]:
        change = market.last_price - market.open
        sign = "-" if change < 0 else ""
        percent = f"{100 * change / market.open:.3f}"
        return sign + self.price(abs(change)), percent, self.price(market.turnover // market.volume)

    def _turnover(self, market: Market) -> str:
        return self._in_quote(market.turnover)

    def _in_quote(self, turnover: int) -> str:
        return f"{turnover / (self._ticks * self._steps):.8f}"


def depth(last_update_id: int, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> bytes:
    """`GET /api/v3/depth`: levels as decimal text, best first."""
    return _compact({"lastUpdateId": last_update_id, "bids": bids, "asks": asks})


def rest_trade(trade_id: int, price: str, quantity: str, time_ms: int, buyer_is_maker: bool) -> dict[str, Any]:
    """One trade of `GET /api/v3/historicalTrades`, without its `quoteQty`."""
    return {
        "id": trade_id,
        "price": price,
        "qty": quantity,
        "time": time_ms,
        "isBuyerMaker": buyer_is_maker,
        "isBestMatch": True,
    }


def exchange_info(now_ms: int, weight_limit: int, symbols: list[dict[str, Any]]) -> bytes:
    """`GET /api/v3/exchangeInfo` with the given `symbols`."""
    limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": weight_limit}
    return _compact(
        {"timezone": "UTC", "serverTime": now_ms, "rateLimits": [limit], "exchangeFilters": [], "symbols": symbols}
    )


def server_shutdown(now_ms: int) -> bytes:
    """The event sent on every connection before the server closes it (Binance, "General WebSocket Streams information")."""
    return b'{"e":"serverShutdown","E":%d}' % now_ms


def rest_error(code: int, text: str) -> bytes:
    """The body of a REST error."""
    return _compact({"code": code, "msg": text})


def _decimal_format(decimals: int) -> tuple[int, str]:
    """(units per 1, a %-format of `divmod(units, units per 1)` with eight decimal places)."""
    places = max(1, decimals)
    return 10**decimals, f"%d.%0{places}d" + "0" * (8 - places)


def _compact(value: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(value)
