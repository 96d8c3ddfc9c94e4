"""Binance spot: stream names, REST paths and limits. `plain` and `checked` decode its messages.

Source: https://developers.binance.com/docs/binance-spot-api-docs, pages "WebSocket Streams", "General API Information"
and "Market Data endpoints".
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from ingest.checks import check_uncrossed, checked_trade, levels, size, typed
from ingest.events import HALTED, TRADING, Depth, Event, ExchangeInfo, Rejected, SymbolRules, Trade
from ingest.venue import KeepAlive, Limits, Request, Snapshots, Venue
from ingest.venues.binance.checked import DEPTH, TICKER, TRADE, CheckedDecoder
from ingest.venues.binance.plain import PlainDecoder
from tickfence.instrument import Instrument
from tickfence.monitoring.ingest_metrics import Refusal

DEPTH_WEIGHTS = ((1_000, 50), (500, 25), (100, 5))
"""Levels a side that one request may ask for, and the weight of that request.

Of 5,000 levels (250) the exchange tells too little: its diffs leave out changes of levels deeper than about 1,000.
"""

INFO_WEIGHT = 20
TRADES_WEIGHT = 25


class _Depth(msgspec.Struct):
    lastUpdateId: int
    bids: msgspec.Raw
    asks: msgspec.Raw


class _HistoricalTrade(msgspec.Struct):
    id: int
    price: str
    qty: str
    time: int
    isBuyerMaker: bool


class _Error(msgspec.Struct):
    code: int


class _Filter(msgspec.Struct):
    filterType: str = ""
    tickSize: str = ""
    stepSize: str = ""


class _Symbol(msgspec.Struct):
    symbol: Instrument
    status: str
    filters: list[_Filter] = []
    baseAsset: str = ""
    quoteAsset: str = ""


class _RateLimit(msgspec.Struct):
    rateLimitType: str
    interval: str
    intervalNum: int
    limit: int


class _Info(msgspec.Struct):
    symbols: list[_Symbol]
    rateLimits: list[_RateLimit] = []


_decode_depth = msgspec.json.Decoder(_Depth).decode
_decode_trades = msgspec.json.Decoder(list[_HistoricalTrade]).decode
_decode_error = msgspec.json.Decoder(_Error).decode
_decode_info = msgspec.json.Decoder(_Info).decode


class Binance(Venue):
    """Binance spot's protocol.

    A REST depth request asks for as many levels as the weight limit of one minute allows for all symbols together. With
    fewer symbols it asks for no more than before: how far a book is known follows from the number of levels that were
    asked for, and an answer may be on its way.

    Args:
        symbols: to follow at first.
    """

    ws_url, rest_url = "wss://stream.binance.com:9443", "https://api.binance.com"
    limits = Limits(
        streams_per_connection=1_024,
        control_messages_per_s=4.0,  # the limit is 5, and pongs count towards it
        connection_lifetime_s=24 * 3600.0,
        connections=(300, 300.0),
        request_weight=(6_000, 60.0),
        used_weight_header="X-MBX-USED-WEIGHT-1M",
        symbols_per_info=100,
        trades_per_request=1_000,
    )
    keep_alive = KeepAlive(ping=None, ping_after_s=0.0, silence_s=30.0)  # the exchange pings every 20 s
    snapshots = Snapshots.REST
    numbered = True
    names_in_url = True

    def __init__(self, symbols: Sequence[Instrument] = ()) -> None:
        self._checked_decoder = CheckedDecoder()
        self._plain_decoder = PlainDecoder(self._checked_decoder.ticker)
        self._checked, self._plain = self._checked_decoder.decode, self._plain_decoder.decode
        self._depth_limit, self._depth_weight = DEPTH_WEIGHTS[0]
        self.follow(symbols)

    def follow(self, symbols: Collection[Instrument]) -> None:
        """Decode the messages of exactly these symbols from now on. Those of a symbol that is left out are `Unfollowed`."""
        self._checked_decoder.follow({name: symbol for symbol in symbols for name in self.streams(symbol)})
        self._plain_decoder.follow(symbols)
        affordable = self.limits.request_weight[0] * 0.8 / max(len(symbols), 1)
        limit = next((limit for limit in DEPTH_WEIGHTS if limit[1] <= affordable), DEPTH_WEIGHTS[-1])
        self._depth_limit, self._depth_weight = min(limit, (self._depth_limit, self._depth_weight))

    def streams(self, symbol: Instrument) -> list[str]:
        """Names of the symbol's trade, diff and ticker streams.

        Trades come first: connected diffs then prove that no trade is missing.
        """
        return [symbol.lower() + suffix for suffix in (TRADE, DEPTH, TICKER)]

    def book_stream(self, symbol: Instrument) -> str:
        """Name of the symbol's diff stream."""
        return symbol.lower() + DEPTH

    def url(self, base: str, streams: Sequence[str]) -> str:
        """URL of a combined stream."""
        return f"{base.rstrip('/')}/stream" + (f"?streams={'/'.join(streams)}" if streams else "")

    def requests(self, add: bool, streams: Sequence[str], first_id: int) -> list[tuple[str, Sequence[str]]]:
        """One SUBSCRIBE or UNSUBSCRIBE control message."""
        message = {"method": "SUBSCRIBE" if add else "UNSUBSCRIBE", "params": list(streams), "id": first_id}
        return [(msgspec.json.encode(message).decode(), streams)]

    def decode(self, message: bytes) -> tuple[Event]:
        """Decode one WebSocket message.

        Raises:
            Rejected: it is none of the messages we subscribed to, or holds a value that cannot be true.
            Unfollowed: it is of a symbol that is not followed any more.
        """
        return (self._plain(message) or self._checked(message),)

    def depth_request(self, symbol: Instrument) -> Request:
        """GET /api/v3/depth."""
        return Request("/api/v3/depth", {"symbol": symbol, "limit": str(self._depth_limit)}, self._depth_weight)

    def decode_depth(self, body: bytes) -> Depth:
        """Decode the answer of /api/v3/depth.

        Raises:
            Rejected: it is not JSON, not of the documented shape, or its best bid is not below its best ask.
        """
        depth = typed(_decode_depth, body, "depth")
        if depth.lastUpdateId <= 0:
            raise Rejected(Refusal.BAD_UPDATE_IDS, f"depth lastUpdateId={depth.lastUpdateId}")
        bids, asks = levels(depth.bids, None), levels(depth.asks, None)
        check_uncrossed(bids, asks)
        return Depth(
            depth.lastUpdateId,
            bids,
            asks,
            lowest_bid=min(bids)[0] if len(bids) >= self._depth_limit else None,
            highest_ask=max(asks)[0] if len(asks) >= self._depth_limit else None,
        )

    def trades_request(self, symbol: Instrument, first_id: int, count: int) -> Request:
        """GET /api/v3/historicalTrades, which gives at most 1,000; aggregate trades would lack the ids."""
        query = {"symbol": symbol, "fromId": str(first_id), "limit": str(count)}
        return Request("/api/v3/historicalTrades", query, TRADES_WEIGHT)

    def decode_trades(self, symbol: Instrument, body: bytes) -> list[Trade]:
        """Decode the answer of /api/v3/historicalTrades.

        Raises:
            Rejected: it is not JSON, not of the documented shape, or holds a value that cannot be true.
        """
        found = typed(_decode_trades, body, f"{symbol} trades")
        found.sort(key=lambda trade: trade.id)
        return [
            checked_trade(symbol, each.time, each.id, each.price, each.qty, not each.isBuyerMaker) for each in found
        ]

    def refuses_symbol(self, status: int, body: bytes) -> bool:
        """Whether the exchange itself does not know the symbol, or takes its name for no name.

        Source: "Error Codes": -1121 BAD_SYMBOL, -1100 ILLEGAL_CHARS, both with the status 400.
        """
        if status != 400:
            return False
        try:
            return typed(_decode_error, body, "error").code in (-1121, -1100)
        except Rejected:
            return False

    def info_request(self, symbols: Sequence[Instrument]) -> Request:
        """GET /api/v3/exchangeInfo. It answers 400 if it does not list one of the symbols."""
        one = len(symbols) == 1
        names = {"symbol": symbols[0]} if one else {"symbols": msgspec.json.encode(symbols).decode()}
        return Request("/api/v3/exchangeInfo", names | {"showPermissionSets": "false"}, INFO_WEIGHT)

    def decode_info(self, body: bytes) -> ExchangeInfo:
        """Decode the answer of /api/v3/exchangeInfo.

        Orders are matched in the status TRADING alone. The others (BREAK, HALT, AUCTION_MATCH, END_OF_DAY and what may
        be added) are `HALTED`.

        Raises:
            Rejected: it is not JSON, or not of the documented shape.
        """
        info = typed(_decode_info, body, "exchangeInfo")
        symbols = {}
        for symbol in info.symbols:
            filters = {each.filterType: each for each in symbol.filters}
            symbols[symbol.symbol] = SymbolRules(
                size(filters.get("PRICE_FILTER", _Filter()).tickSize),
                size(filters.get("LOT_SIZE", _Filter()).stepSize),
                TRADING if symbol.status == "TRADING" else HALTED,
                symbol.baseAsset,
                symbol.quoteAsset,
            )
        weight = next(
            (
                limit.limit
                for limit in info.rateLimits
                if (limit.rateLimitType, limit.interval, limit.intervalNum) == ("REQUEST_WEIGHT", "MINUTE", 1)
            ),
            None,
        )
        return ExchangeInfo(symbols, weight)
