"""One venue at work, read by a library."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence

from ingest.book_sync import BookSync
from ingest.events import DELISTED, SymbolRules
from ingest.intake import Intake
from ingest.renewals import Renewals
from ingest.venue import LibraryVenue
from ingest.venue_part import VenuePart
from ingest.writer import Writer
from tickfence.instrument import Instrument
from tickfence.monitoring import ingest_metrics as metrics


class LibraryMarket(VenuePart):
    """A venue that a library connects to and reads.

    Args:
        venue: reads.
        urls: replace the exchanges' own, see `ingest.venue.LibraryVenue.run`.
        books: the order book of every symbol that is followed, of all venues.
        writer: of all venues. It knows the symbols by the time they are followed here.
        now_ms: the Redis server's time.
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
        super().__init__(venue, books)
        self._venue, self._urls = venue, urls
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

    def fetch_trades(self, symbol: Instrument, first_id: int, count: int) -> bool:  # noqa: ARG002
        """As `VenuePart.fetch_trades`: a library gives no trades of the past."""
        return False

    def _work(self) -> Iterable[Coroutine[None, None, None]]:
        yield self._venue.run(self._intake, self._urls, self._now_ms)

    def _change(self, added: Sequence[Instrument], gone: Collection[Instrument]) -> None:  # noqa: ARG002
        for symbol in gone:
            self._rules.pop(symbol, None)
        self._venue.follow(self.symbols)

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
