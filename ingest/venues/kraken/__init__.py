"""Kraken spot: streams, control messages and limits of its WebSocket v2. It needs no REST request.

`decoding` decodes, `checksum` proves the books, `instruments` has the rules.

Source: https://docs.kraken.com/exchange/guides/websockets/introduction, and the pages of the API reference, "Spot
WebSocket v2".
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import msgspec

from ingest.events import Event
from ingest.venue import BookProof, KeepAlive, Limits, Snapshots, Venue
from ingest.venues.kraken.checksum import ChecksumProof
from ingest.venues.kraken.decoding import BOOK, DEPTH, INSTRUMENT, OF_A_SYMBOL, Decoder
from tickfence.instrument import Instrument, split


class Kraken(Venue):
    """Kraken spot's protocol.

    Streams are named ``channel:symbol``. The channel `instrument` has no symbol: one subscription tells of all.
    """

    ws_url = "wss://ws.kraken.com"
    limits = Limits(
        streams_per_connection=1_000,  # the exchange names no limit
        control_messages_per_s=5.0,  # nor here: above its own it answers "Exceeded msg rate"
        connection_lifetime_s=math.inf,
        connections=(150, 600.0),
        request_weight=(1, 1.0),
        message_bytes=2**23,  # one tells of all pairs
    )
    keep_alive = KeepAlive(ping='{"method":"ping"}', ping_after_s=10.0, silence_s=20.0)  # heartbeats come each second
    snapshots = Snapshots.STREAM
    numbered = False
    book_levels = DEPTH
    shared_streams = (INSTRUMENT,)

    def __init__(self) -> None:
        self._decoder = Decoder()

    def follow(self, symbols: Collection[Instrument]) -> None:
        """Decode the messages of exactly these symbols from now on."""
        self._decoder.follow(symbols)

    def streams(self, symbol: Instrument) -> list[str]:
        """Trades, book and ticker of a symbol."""
        return [f"{channel}:{split(symbol)[1]}" for channel in OF_A_SYMBOL]

    def book_stream(self, symbol: Instrument) -> str:
        """The stream that begins with a snapshot."""
        return f"{BOOK}:{split(symbol)[1]}"

    def url(self, base: str, streams: Sequence[str]) -> str:  # noqa: ARG002 - it names none
        """URL of a connection."""
        return f"{base.rstrip('/')}/v2"

    def requests(self, add: bool, streams: Sequence[str], first_id: int) -> list[tuple[str, Sequence[str]]]:
        """One message for each channel, with all of its symbols. The exchange answers once for each symbol."""
        messages: list[tuple[str, Sequence[str]]] = []
        for channel in (*OF_A_SYMBOL, INSTRUMENT):
            of_channel = [stream for stream in streams if stream.partition(":")[0] == channel]
            if not of_channel:
                continue
            params: dict[str, object] = {"channel": channel}
            if channel in OF_A_SYMBOL:
                params["symbol"] = [stream.partition(":")[2] for stream in of_channel]
            if channel == BOOK:
                params["depth"] = DEPTH
            if add:
                params["snapshot"] = True
            request = {
                "method": "subscribe" if add else "unsubscribe",
                "params": params,
                "req_id": first_id + len(messages),
            }
            messages.append((msgspec.json.encode(request).decode(), of_channel))
        return messages

    def decode(self, message: bytes) -> Sequence[Event]:
        """Decode one message.

        Raises:
            ingest.events.Rejected: it must not be used.
            ingest.events.Unfollowed: it is of a symbol that is not followed any more.
        """
        return self._decoder.decode(message)

    def proof(self, symbol: Instrument) -> BookProof:  # noqa: ARG002 - each book has one
        """The sum of the ten best levels."""
        return ChecksumProof()
