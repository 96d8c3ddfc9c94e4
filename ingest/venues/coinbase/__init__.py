"""Coinbase Exchange: streams, control messages, REST paths and limits. `decoding` decodes the WebSocket messages.

Source: https://docs.cdp.coinbase.com/exchange, pages "WebSocket overview", "WebSocket rate limits", "REST rate limits", "Get
single product" and "Get product trades". The channel `level2` has been for customers alone since 2023; `level2_batch` tells
the same every 50 ms.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from urllib.parse import quote

import msgspec

from ingest.checks import size, typed
from ingest.events import DELISTED, HALTED, TRADING, Event, ExchangeInfo, Rejected, SymbolRules, Trade
from ingest.venue import KeepAlive, Limits, Request, Snapshots, Venue
from ingest.venues.coinbase.decoding import BOOK, CHANNELS, Decoder, PastTrade
from tickfence.instrument import Instrument, split


class _Product(msgspec.Struct):
    id: str
    base_currency: str
    quote_currency: str
    base_increment: str
    quote_increment: str
    status: str
    trading_disabled: bool = False
    cancel_only: bool = False
    post_only: bool = False
    auction_mode: bool = False


class _NotFound(msgspec.Struct):
    message: str


_decode_product = msgspec.json.Decoder(_Product).decode
_decode_trades = msgspec.json.Decoder(list[PastTrade]).decode
_decode_not_found = msgspec.json.Decoder(_NotFound).decode


class Coinbase(Venue):
    """Coinbase Exchange's protocol. Streams are named ``channel:product``."""

    ws_url = "wss://ws-feed.exchange.coinbase.com"
    rest_url = "https://api.exchange.coinbase.com"
    limits = Limits(
        streams_per_connection=400,  # the exchange names no limit, and advises to spread products over connections
        control_messages_per_s=5.0,
        connection_lifetime_s=math.inf,
        connections=(8, 1.0),
        request_weight=(10, 1.0),
        trades_per_request=1_000,
        message_bytes=2**24,  # a snapshot has every level
    )
    keep_alive = KeepAlive(ping=None, ping_after_s=0.0, silence_s=20.0)  # a heartbeat of each product comes each second
    snapshots = Snapshots.STREAM
    numbered = False

    def __init__(self) -> None:
        self._decoder = Decoder()

    def follow(self, symbols: Collection[Instrument]) -> None:
        """Decode the messages of exactly these symbols from now on."""
        self._decoder.follow(symbols)

    def streams(self, symbol: Instrument) -> list[str]:
        """Trades, book, ticker and heartbeat of a product."""
        return [f"{channel}:{split(symbol)[1]}" for channel in CHANNELS]

    def book_stream(self, symbol: Instrument) -> str:
        """The stream that begins with a snapshot."""
        return f"{BOOK}:{split(symbol)[1]}"

    def requests(self, add: bool, streams: Sequence[str], first_id: int) -> list[tuple[str, Sequence[str]]]:  # noqa: ARG002
        """One message. The answer has no number, and names all that the connection is subscribed to."""
        products: dict[str, list[str]] = {}
        for stream in streams:
            channel, _, product = stream.partition(":")
            products.setdefault(channel, []).append(product)
        channels = [{"name": channel, "product_ids": named} for channel, named in products.items()]
        request = {"type": "subscribe" if add else "unsubscribe", "channels": channels}
        return [(msgspec.json.encode(request).decode(), streams)]

    def decode(self, message: bytes) -> Sequence[Event]:
        """Decode one message.

        Raises:
            ingest.events.Rejected: it must not be used.
            ingest.events.Unfollowed: it is of a symbol that is not followed any more.
        """
        return self._decoder.decode(message)

    def trades_request(self, symbol: Instrument, first_id: int, count: int) -> Request:
        """GET /products/ID/trades, which gives the newest before an id."""
        return Request(f"{_path(symbol)}/trades", {"after": str(first_id + count), "limit": str(count)})

    def decode_trades(self, symbol: Instrument, body: bytes) -> list[Trade]:
        """Decode the answer of /products/ID/trades.

        Raises:
            ingest.events.Rejected: it is not JSON, not of the documented shape, or holds a value that cannot be true.
        """
        found = typed(_decode_trades, body, f"{symbol} trades")
        found.sort(key=lambda trade: trade.trade_id)
        return [trade.checked(symbol) for trade in found]

    def info_request(self, symbols: Sequence[Instrument]) -> Request:
        """GET /products/ID."""
        return Request(_path(symbols[0]), {})

    def decode_info(self, body: bytes) -> ExchangeInfo:
        """Decode the answer of /products/ID.

        Raises:
            ingest.events.Rejected: it is not JSON, or not of the documented shape.
        """
        product = typed(_decode_product, body, "product")
        no_matching = product.trading_disabled or product.cancel_only or product.post_only or product.auction_mode
        status = TRADING if product.status == "online" and not no_matching else HALTED
        rules = SymbolRules(
            size(product.quote_increment),
            size(product.base_increment),
            DELISTED if product.status == "delisted" else status,
            product.base_currency,
            product.quote_currency,
        )
        return ExchangeInfo({Instrument(f"coinbase:{product.id}"): rules})

    def refuses_symbol(self, status: int, body: bytes) -> bool:
        """Whether there is no such product: 404 with a message in JSON."""
        try:
            return status == 404 and bool(typed(_decode_not_found, body, "error").message)
        except Rejected:
            return False


def _path(symbol: Instrument) -> str:
    return f"/products/{quote(split(symbol)[1], safe='')}"
