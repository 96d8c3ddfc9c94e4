"""Order books to compare reports with, of exchanges whose snapshots come by stream: a second, independent implementation.

A new subscription begins with the whole book. OKX numbers its updates, and one that does not follow on the last one needs a
new subscription. Kraken does not, so each of its books counts by what it holds: :class:`tools.chaos.history.Book`.
https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel
https://docs.kraken.com/api/docs/websocket-v2/book
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import aiohttp

from tools.chaos.history import Book, Record
from tools.chaos.reference_books import Follower, Levels

RETRY_S = 1.5
"""An exchange allows an address few connections a second, and ingests share this one."""


class Told(NamedTuple):
    """What one message tells of a book.

    Attributes:
        name: the exchange's own name of the instrument.
        previous: number of the update that this one follows on; ``None`` for a whole book, or without numbers.
        update_id: its number; 0 without numbers.
        whole: whether the levels are the whole book.
        bids: (price, quantity) pairs.
        asks: the same.
    """

    name: str
    previous: int | None
    update_id: int
    whole: bool
    bids: Sequence[Sequence[Any]]
    asks: Sequence[Sequence[Any]]


def _of_okx(message: Mapping[str, Any]) -> Iterator[Told]:
    if message.get("arg", {}).get("channel") == "books" and "data" in message:
        whole = message["action"] == "snapshot"
        for data in message["data"]:
            ids = None if whole else data["prevSeqId"], data["seqId"]
            bids, asks = ([level[:2] for level in data[side]] for side in ("bids", "asks"))
            yield Told(message["arg"]["instId"], *ids, whole, bids, asks)


def _of_kraken(message: Mapping[str, Any]) -> Iterator[Told]:
    if message.get("channel") == "book":
        for data in message["data"]:
            bids, asks = ([(level["price"], level["qty"]) for level in data[side]] for side in ("bids", "asks"))
            yield Told(data["symbol"], None, 0, message["type"] == "snapshot", bids, asks)


def _ask_okx(operation: str, names: Sequence[str]) -> object:
    return {"op": operation, "args": [{"channel": "books", "instId": name} for name in names]}


def _ask_kraken(operation: str, names: Sequence[str]) -> object:
    return {"method": operation, "params": {"channel": "book", "symbol": list(names), "depth": 1000}}


class Dialect(NamedTuple):
    """How an exchange is read: the path of its WebSocket, its control messages, and what a message tells."""

    path: str
    ask: Any
    read: Any


DIALECTS = {
    "okx": Dialect("/ws/v5/public", _ask_okx, _of_okx),
    "kraken": Dialect("/kraken/v2", _ask_kraken, _of_kraken),
}


class ReferenceStreams(Follower):
    """Follows one exchange within the ``with`` block, and appends a :class:`Book` for every update.

    Args:
        venue: one of :data:`DIALECTS`.
        ws_url: of the simulated exchanges' WebSockets.
        names: the exchange's own names of the instruments.
        records: where to append.
    """

    def __init__(self, venue: str, ws_url: str, names: Sequence[str], records: list[Record]) -> None:
        super().__init__(f"reference books of {venue}")
        self._venue, self._dialect, self._names, self._records = venue, DIALECTS[venue], names, records
        self._url = ws_url + self._dialect.path
        self._books: dict[str, tuple[int, Levels]] = {}

    async def follow(self) -> None:
        """Connect again and again."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_connect=2)) as session:
            while True:
                try:
                    async with session.ws_connect(self._url, max_msg_size=0) as socket:
                        await socket.send_json(self._dialect.ask("subscribe", self._names))
                        async for message in socket:
                            if isinstance(message.data, str):
                                await self._take(socket, message.data)
                except (aiohttp.ClientError, OSError):
                    pass  # a fault
                for name in self._names:
                    self._lose(name)
                await asyncio.sleep(RETRY_S)

    async def _take(self, socket: aiohttp.ClientWebSocketResponse[bool], text: str) -> None:
        if "channel-conn-count-error" in text:
            raise ConnectionError("the exchange sends no books on this connection any more")
        try:
            told = list(self._dialect.read(json.loads(text)))
        except (ValueError, KeyError, TypeError, AttributeError):
            return  # rubbish, injected as a fault; the correct updates continue
        for one in told:
            if not self._apply(one) and self._lose(one.name):
                for operation in ("unsubscribe", "subscribe"):
                    await socket.send_json(self._dialect.ask(operation, [one.name]))

    def _apply(self, told: Told) -> bool:
        """Take what a message tells; False if it does not follow on."""
        newest, levels = self._books.get(told.name, (-1, Levels()))
        if told.whole:
            levels = Levels()
        elif told.name not in self._books or told.previous not in (None, newest):
            return False
        levels.change(told.bids, told.asks)
        self._books[told.name] = told.update_id, levels
        self._records.append(Book(time.time(), f"{self._venue}:{told.name}", told.update_id, levels.digest()))
        return True

    def _lose(self, name: str) -> bool:
        """Forget a book: updates may pass unseen from now on. False if it is so already."""
        lost = self._books.pop(name, None)
        if lost and not lost[0]:
            self._records.append(Book(time.time(), f"{self._venue}:{name}", 0, ""))
        return lost is not None
