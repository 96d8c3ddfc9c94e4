"""One venue at work that a library reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from ingest.book_sync import BookSync
from ingest.events import DELISTED, SymbolRules
from ingest.intake import Intake
from ingest.renewals import Renewals
from ingest.venue import LibraryVenue, Snapshots
from ingest.writer import Writer
from tickfence.instrument import Instrument
from tickfence.monitoring import ingest_metrics as metrics


class LibraryMarket:
    """What `ingest.market.Market` is for a venue whose library does the I/O: its books, and what is to be written.

    Make it in a coroutine, and let `run` run once.

    Args:
        venue: reads.
        urls: replace the exchanges' own, see `ingest.venue.LibraryVenue.run`.
        books: the order book of every symbol that is followed, of all venues.
        writer: of all venues. It knows the symbols by the time they are followed here.
        now_ms: the Redis server's time.

    Attributes:
        symbols: those of the venue that are followed.
        numbered: see `ingest.venue.LibraryVenue`.
    """

    def __init__(
        self,
        venue: LibraryVenue,
        urls: Mapping[str, str],
        books: dict[Instrument, BookSync],
        writer: Writer,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self.symbols: list[Instrument] = []
        self.numbered = venue.numbered
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._venue, self._urls = venue, urls
        self._books = books
        self._writer = writer
        self._now_ms = now_ms
        self._rules: dict[Instrument, SymbolRules] = {}
        self._renewals = Renewals(self._renew)
        self._intake = Intake(
            venue,
            books,
            writer,
            now_ms=now_ms,
            want_depth=self._renewals.want,
            on_synced=self._renewals.got,
            on_rules=self._on_rules,
        )

    async def run(self) -> None:
        """Receive until cancelled.

        Raises:
            ExceptionGroup: a part has failed with an error that it does not expect, which is a defect.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._venue.run(self._intake, self._urls, self._now_ms))
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
            self._rules.pop(symbol, None)
        self._books |= {symbol: BookSync(symbol, Snapshots.STREAM) for symbol in added}
        self._guarded(lambda: self._venue.follow(self.symbols))

    def fetch_trades(self, symbol: Instrument, first_id: int, count: int) -> bool:  # noqa: ARG002
        """Return False: a library gives no trades of the past."""
        return False

    def tick(self) -> None:
        """Do what is due by time; call it many times a second. If the venue's code fails at that, `run` tells."""
        self._intake.count()
        self._guarded(self._renewals.run_due)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - a defect of the venue's code, which `run` tells
            if not self._failed.done():
                self._failed.set_exception(error)

    def _renew(self, symbol: Instrument) -> None:
        self._venue.renew_book(symbol, lost=not self._books[symbol].in_sync)

    def _on_rules(self, symbol: Instrument, rules: SymbolRules) -> None:
        before = self._rules.get(symbol)
        if before is not None and rules.status == DELISTED:
            rules = before._replace(status=DELISTED)
        if before != rules:
            self._rules[symbol] = rules
            self._writer.set_info(symbol, rules)
        unlisted = sum(each.status == DELISTED for each in self._rules.values())
        metrics.symbols_unlisted.labels(self._venue.name).set(unlisted)
