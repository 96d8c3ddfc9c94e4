"""What is common to every venue at work: its symbols and their order books, what is due by time, and what ends it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence

from ingest.book_sync import BookSync
from ingest.intake import Intake
from ingest.renewals import Renewals
from ingest.venue import LibraryVenue, Venue
from tickfence.instrument import Instrument


class VenuePart(ABC):
    """Reads one venue and gives its data to the writer. What the venue does costs no other venue anything.

    Make it in a coroutine, and let `run` run once.

    Args:
        venue: what is read.
        books: the order book of every symbol that is followed, of all venues.

    Attributes:
        symbols: those of the venue that are followed.
        numbered: see `ingest.venue.Venue`.
    """

    _intake: Intake
    _renewals: Renewals

    def __init__(self, venue: Venue | LibraryVenue, books: dict[Instrument, BookSync]) -> None:
        self.symbols: list[Instrument] = []
        self.numbered = venue.numbered
        self._told = venue.snapshots, venue.book_levels
        self._books = books
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Receive until cancelled.

        Raises:
            ExceptionGroup: a part has failed with an error that it does not expect, which is a defect.
        """
        async with asyncio.TaskGroup() as group:
            for work in self._work():
                group.create_task(work)
            await self._failed

    def change(self, added: Sequence[Instrument], gone: Collection[Instrument]) -> None:
        """Follow these symbols too, and those no more. What stays is not touched.

        If the venue's code fails at that, `run` tells.
        """
        self.symbols = [symbol for symbol in self.symbols if symbol not in gone] + [*added]
        for symbol in gone:
            del self._books[symbol]
            self._intake.forget(symbol)
            self._renewals.forget(symbol)
        self._books |= {symbol: BookSync(symbol, *self._told) for symbol in added}
        self._guarded(lambda: self._change(added, gone))

    def tick(self) -> None:
        """Do what is due by time; call it many times a second. If the venue's code fails at that, `run` tells."""
        self._intake.count()
        self._guarded(self._renewals.run_due)

    @abstractmethod
    def fetch_trades(self, symbol: Instrument, first_id: int, count: int) -> bool:
        """Ask the exchange for ``count`` trades of the past, from ``first_id`` on; return False if it gives none."""

    @abstractmethod
    def _work(self) -> Iterable[Coroutine[None, None, None]]:
        """What runs until cancelled."""

    @abstractmethod
    def _change(self, added: Sequence[Instrument], gone: Collection[Instrument]) -> None:
        """Let the venue's code follow `symbols`, which is their list with these changes."""

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - a defect of the venue's code, which `run` tells
            if not self._failed.done():
                self._failed.set_exception(error)
