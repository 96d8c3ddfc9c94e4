"""OKX: channels, control messages and limits. `messages` decodes what comes by WebSocket, `rest` what is asked for.

Source: https://www.okx.com/docs-v5/en/, "WebSocket": "Connect", "Subscribe", and the limits of each REST request.

The quantity of a spot instrument (BTC-USDT) is in its base currency. That of every other one (BTC-USD-SWAP,
BTC-USD-260327) is a number of contracts, in its trades, its book and its volume.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import msgspec

from ingest.events import Event, ExchangeInfo, Trade
from ingest.venue import BookProof, KeepAlive, Limits, Request, Snapshots, Venue
from ingest.venues.okx import rest
from ingest.venues.okx.checksum import BookChecksum
from ingest.venues.okx.messages import BOOK_LEVELS, BOOKS, TICKERS, TRADES, UNSUBSCRIBED, Decoder, stream
from tickfence import instrument as names
from tickfence.instrument import Instrument

PUBLIC = "/ws/v5/public"
"""Path of the public channels. The exchange's other addresses, for some regions and for demo trading, have it too."""

MESSAGE_STREAMS = 300
"""Streams in one control message at most. The exchange takes 64 KiB, and counts messages: 480 an hour."""


class Okx(Venue):
    """OKX's public protocol, version 5.

    Its answers tell of each stream of a message alone, so one that is refused holds up no other. Three of the streams that
    a connection may carry belong to a symbol: the exchange recommends fewer than 30 books on one connection. It takes three
    new connections a second from one address. Two ingests there, each with one in 0.8 s, stay below that however they are
    delayed on their way.
    """

    ws_url = "wss://ws.okx.com:8443"
    rest_url = "https://www.okx.com"
    limits = Limits(
        streams_per_connection=3 * 29,
        control_messages_per_s=3.0,
        connection_lifetime_s=math.inf,
        connections=(1, 0.8),
        request_weight=(20, 2.0),
        symbols_per_info=1,
        trades_per_request=rest.MAX_TRADES,
        control_messages_per_hour=480,
    )
    # It ends a connection on which nothing came or went for 30 s, with code 4004.
    keep_alive = KeepAlive(ping="ping", ping_after_s=15.0, silence_s=30.0)
    snapshots = Snapshots.STREAM
    numbered = True
    book_levels = BOOK_LEVELS

    def __init__(self) -> None:
        self._decoder = Decoder()
        self.decode = self._decoder.decode  # type: ignore[method-assign]

    def follow(self, symbols: Collection[Instrument]) -> None:
        """As `Venue.follow`."""
        self._decoder.follow({_name(symbol): symbol for symbol in symbols})

    def streams(self, symbol: Instrument) -> list[str]:
        """As `Venue.streams`."""
        return [stream(channel, _name(symbol)) for channel in (TRADES, BOOKS, TICKERS)]

    def book_stream(self, symbol: Instrument) -> str:
        """As `Venue.book_stream`."""
        return stream(BOOKS, _name(symbol))

    def url(self, base: str, streams: Sequence[str]) -> str:  # noqa: ARG002 - it names none
        """As `Venue.url`."""
        return base if base.endswith(PUBLIC) else base.rstrip("/") + PUBLIC

    def requests(self, add: bool, streams: Sequence[str], first_id: int) -> list[tuple[str, Sequence[str]]]:
        """As `Venue.requests`."""
        parts = [streams[start : start + MESSAGE_STREAMS] for start in range(0, len(streams), MESSAGE_STREAMS)]
        return [(_control(add, part, first_id + number), part) for number, part in enumerate(parts)]

    def decode(self, message: bytes) -> Sequence[Event]:
        """As `Venue.decode`."""
        return self._decoder.decode(message)

    def proof(self, symbol: Instrument) -> BookProof | None:  # noqa: ARG002 - it starts empty
        """As `Venue.proof`."""
        return BookChecksum()

    def trades_request(self, symbol: Instrument, first_id: int, count: int) -> Request:
        """As `Venue.trades_request`."""
        return rest.trades_request(_name(symbol), first_id, count)

    def decode_trades(self, symbol: Instrument, body: bytes) -> list[Trade]:
        """As `Venue.decode_trades`."""
        return rest.decode_trades(symbol, body)

    def info_request(self, symbols: Sequence[Instrument]) -> Request | None:
        """As `Venue.info_request`."""
        return rest.info_request(_name(symbols[0]))

    def decode_info(self, body: bytes) -> ExchangeInfo:
        """As `Venue.decode_info`."""
        return rest.decode_info(body, self._decoder.symbols)

    def refuses_symbol(self, status: int, body: bytes) -> bool:
        """As `Venue.refuses_symbol`."""
        return rest.refuses_symbol(status, body)


def _name(symbol: Instrument) -> str:
    return names.split(symbol)[1]


def _control(add: bool, streams: Sequence[str], request_id: int) -> str:
    args = [dict(zip(("channel", "instId"), name.split(":", 1), strict=True)) for name in streams]
    message = {
        "id": f"{'' if add else UNSUBSCRIBED}{request_id}",
        "op": "subscribe" if add else "unsubscribe",
        "args": args,
    }
    return msgspec.json.encode(message).decode()
