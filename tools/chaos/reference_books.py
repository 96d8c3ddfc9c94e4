"""Order books to compare published reports with, kept by a second, independent implementation.

Each book is kept as the exchange documents it: buffer the diffs, load a snapshot, apply the diffs that follow it, start
again after a gap. Nothing is shared with the product but the exchange.
https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams#how-to-manage-a-local-order-book-correctly
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
import time
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from heapq import nlargest, nsmallest
from typing import Any, Self

import aiohttp
import msgspec

from tools.chaos.history import Book, Record

LEVELS = 20
_RETRY_S = 0.2
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def digest(bids: Sequence[tuple[float, float]], asks: Sequence[tuple[float, float]]) -> str:
    """Sixteen hexadecimal digits that identify levels of a book.

    Args:
        bids: (price, quantity), best first.
        asks: the same.
    """
    numbers = [number for level in (*bids, (-1.0, -1.0), *asks) for number in level]
    return blake2b(struct.pack(f"{len(numbers)}d", *numbers), digest_size=8).hexdigest()


class Levels:
    """The levels of one book. No I/O."""

    def __init__(self) -> None:
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}

    def change(self, bids: Iterable[Sequence[Any]], asks: Iterable[Sequence[Any]]) -> None:
        """Set the quantity of each (price, quantity); 0 removes a level."""
        for side, levels in ((self._bids, bids), (self._asks, asks)):
            for price, quantity in levels:
                if float(quantity):
                    side[float(price)] = float(quantity)
                else:
                    side.pop(float(price), None)

    def digest(self) -> str:
        """:func:`digest` of the twenty best levels of each side."""
        bids, asks = nlargest(LEVELS, self._bids), nsmallest(LEVELS, self._asks)
        return digest([(price, self._bids[price]) for price in bids], [(price, self._asks[price]) for price in asks])


class ReferenceBook:
    """The book of one symbol. No I/O.

    Attributes:
        update_id: of the last diff; ``None`` until a snapshot connects, and after a gap.
    """

    def __init__(self) -> None:
        self.update_id: int | None = None
        self._levels = Levels()
        self._buffered: list[dict[str, Any]] = []

    def load(self, depth: dict[str, Any]) -> bool:
        """Start from a REST snapshot; False if the buffered diffs do not connect to it."""
        connecting = [diff for diff in self._buffered if diff["u"] > depth["lastUpdateId"]]
        if connecting and connecting[0]["U"] > depth["lastUpdateId"] + 1:
            return False
        self._buffered = []
        self._levels = Levels()
        self._levels.change(depth["bids"], depth["asks"])
        self.update_id = depth["lastUpdateId"]
        for diff in connecting:
            self.apply(diff)
        return True

    def apply(self, diff: dict[str, Any]) -> bool:
        """Apply a diff; False if a snapshot is needed first."""
        if self.update_id is not None and diff["U"] > self.update_id + 1:
            self.update_id, self._buffered = None, []
        if self.update_id is None:
            self._buffered.append(diff)
            return False
        if diff["u"] > self.update_id:
            self._levels.change(diff["b"], diff["a"])
            self.update_id = diff["u"]
        return True

    def digest(self) -> str:
        """As :meth:`Levels.digest`."""
        return self._levels.digest()


class Follower:
    """Follows an exchange in a thread of its own, within the ``with`` block.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    async def follow(self) -> None:
        """Follow until cancelled."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._task = self._loop.create_task(self.follow())
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # end of the ``with`` block
            self._loop.run_until_complete(self._task)
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())


class ReferenceBooks(Follower):
    """Follows the exchange within the ``with`` block, and appends a :class:`Book` for every update.

    Args:
        ws_url: of the exchange's WebSockets.
        rest_url: of its REST interface.
        symbols: whose books to keep.
        records: where to append.
    """

    def __init__(self, ws_url: str, rest_url: str, symbols: Sequence[str], records: list[Record]) -> None:
        super().__init__("reference books")
        self._ws_url, self._rest_url, self._symbols = ws_url, rest_url, symbols
        self._records = records
        self._books: dict[str, ReferenceBook] = {}

    async def follow(self) -> None:
        """Connect again and again."""
        streams = "/".join(f"{symbol.lower()}@depth@100ms" for symbol in self._symbols)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_connect=2)) as session:
            while True:
                self._books = {symbol: ReferenceBook() for symbol in self._symbols}
                try:
                    async with (
                        session.ws_connect(f"{self._ws_url}/stream?streams={streams}", max_msg_size=0) as socket,
                        asyncio.TaskGroup() as tasks,
                    ):
                        loading = tasks.create_task(self._load(session))
                        async for message in socket:
                            if isinstance(message.data, str | bytes):
                                self._apply(message.data)
                        loading.cancel()
                except (aiohttp.ClientError, OSError, ExceptionGroup) as error:
                    if isinstance(error, ExceptionGroup) and error.subgroup(_unexpected):
                        raise
                await asyncio.sleep(_RETRY_S)

    def _apply(self, text: str | bytes) -> None:
        try:
            diff = _decode(text)["data"]
            symbol, first, last = diff["s"], diff["U"], diff["u"]
        except (msgspec.DecodeError, KeyError, TypeError):
            return  # rubbish, injected as a fault; the correct diffs continue
        if symbol not in self._books or not isinstance(first, int) or not isinstance(last, int):
            return
        if self._books[symbol].apply(diff):
            self._note(symbol)

    def _note(self, symbol: str) -> None:
        book = self._books[symbol]
        if book.update_id is not None:
            self._records.append(Book(time.time(), symbol, book.update_id, book.digest()))

    async def _load(self, session: aiohttp.ClientSession) -> None:
        while True:
            await asyncio.sleep(_RETRY_S)
            for symbol, book in self._books.items():
                if book.update_id is not None:
                    continue
                parameters = {"symbol": symbol, "limit": "5000"}
                async with session.get(f"{self._rest_url}/api/v3/depth", params=parameters) as answer:
                    if answer.status == 200 and book.load(_decode(await answer.read())):
                        self._note(symbol)


def _unexpected(error: BaseException) -> bool:
    return not isinstance(error, aiohttp.ClientError | OSError)
