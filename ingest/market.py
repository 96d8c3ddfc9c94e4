"""One venue at work: its connections, order books, requests and listing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import aiohttp

from ingest.book_sync import BookSync
from ingest.feed import Feed
from ingest.feeds import Feeds
from ingest.intake import Intake
from ingest.listing import Listing
from ingest.pacing import Allowance
from ingest.proxy import open_session, proxy_for
from ingest.renewals import Renewals
from ingest.rest import DepthQueue, Priority, RestClient
from ingest.silence import Silence
from ingest.trade_history import TradeHistory
from ingest.venue import Snapshots, Venue
from ingest.writer import Writer
from tickfence.instrument import Instrument

AUDIT_EVERY_S = 1.0
"""Least time between two audits."""
OPENINGS_SHARE = 0.8
"""Share of the connections that the exchange allows in a time; other programs may use the same address."""

OpenSession = Callable[[str], aiohttp.ClientSession]
"""Opens a session for one address; called in a coroutine."""


def direct_or_proxied(url: str) -> aiohttp.ClientSession:
    """A session for ``url``, through the proxy that the environment names.

    Raises:
        ingest.proxy.BadProxy: the environment names one that cannot be used.
    """
    return open_session(url, proxy_for(url))


class Endpoints(NamedTuple):
    """Where a venue is reached.

    Attributes:
        ws: its WebSocket endpoint.
        rest: its REST endpoint; empty if it has none.
        open_session: opens sessions for them.
    """

    ws: str
    rest: str
    open_session: OpenSession = direct_or_proxied


class Market:
    """Reads one venue and gives its data to the writer. What the venue does costs no other venue anything.

    Make it in a coroutine, and let `run` run once.

    Args:
        venue: the exchange's protocol.
        endpoints: where it is reached.
        books: the order book of every symbol that is followed, of all venues.
        writer: of all venues. It knows the symbols by the time they are followed here.
        now_ms: the Redis server's time.
        audit_share: share of the request weight for comparing books with fresh snapshots.

    Attributes:
        symbols: those of the venue that are followed.
        numbered: see `ingest.venue.Venue`.

    Raises:
        ingest.proxy.BadProxy: the environment names a proxy that cannot be used.
    """

    def __init__(
        self,
        venue: Venue,
        endpoints: Endpoints,
        books: dict[Instrument, BookSync],
        writer: Writer,
        *,
        now_ms: Callable[[], int],
        audit_share: float,
    ) -> None:
        self.symbols: list[Instrument] = []
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._books = books
        self._venue = venue
        self.numbered = venue.numbered
        self._audit_share = audit_share if venue.snapshots is Snapshots.REST else 0.0
        silence = Silence(venue=venue.name)
        self._streams = endpoints.open_session(endpoints.ws)
        self._requests = endpoints.open_session(endpoints.rest)
        self._rest = RestClient(self._requests, endpoints.rest, venue, silence)
        self._depths = DepthQueue(self._rest)
        self._history = TradeHistory(self._rest, venue.limits.trades_per_request)
        self._listing = Listing(self._rest, venue, (), writer.set_info)
        connections, span_s = venue.limits.connections
        openings = Allowance(connections * OPENINGS_SHARE, span_s)

        def feed(symbols: Sequence[Instrument]) -> Feed:
            return Feed(
                self._streams,
                venue,
                endpoints.ws,
                symbols,
                on_message=self._intake.on_message,
                on_open=self._intake.on_open,
                on_lost=self._intake.on_lost,
                openings=openings,
                silence=silence,
            )

        self._feeds = Feeds(venue, feed)
        self._renewals = Renewals(self._feeds.renew_book)
        by_stream = venue.snapshots is Snapshots.STREAM
        self._intake = Intake(
            venue,
            books,
            writer,
            now_ms=now_ms,
            want_depth=self._renewals.want if by_stream else self._depths.want,
            on_synced=self._renewals.got,
            on_rules=self._listing.on_rules,
        )

    async def run(self) -> None:
        """Receive until cancelled.

        Raises:
            ExceptionGroup: a part has failed with an error that it does not expect, which is a defect.
        """
        async with self._streams, self._requests, asyncio.TaskGroup() as group:
            group.create_task(self._feeds.run())
            group.create_task(self._depths.run(self._intake.on_depth))
            group.create_task(self._history.run(self._intake.on_trades))
            group.create_task(self._listing.run())
            group.create_task(self._audit())
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
        self._books |= {symbol: BookSync(symbol, self._venue.snapshots, self._venue.book_levels) for symbol in added}
        self._guarded(lambda: self._change(added, gone))

    def _change(self, added: Sequence[Instrument], gone: Collection[Instrument]) -> None:
        for symbol in added:
            self._books[symbol].proof = self._venue.proof(symbol)
        self._venue.follow(self.symbols)
        self._feeds.remove(gone)
        self._feeds.add(added)
        self._listing.follow(tuple(self.symbols))

    def fetch_trades(self, symbol: Instrument, first_id: int, count: int) -> bool:
        """Ask the exchange for ``count`` trades of the past, from ``first_id`` on; return False if it gives none."""
        return self._history.want(symbol, first_id, count)

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

    async def _audit(self) -> None:
        """Compare the books with fresh snapshots in turn; without weight to spare, one waits for its next turn."""
        for symbol in self._in_turn() if self._audit_share else ():
            if symbol is None:
                await asyncio.sleep(AUDIT_EVERY_S)
                continue
            await asyncio.sleep(max(AUDIT_EVERY_S, self._rest.depth_interval_s(symbol) / self._audit_share))
            if symbol in self._books and self._rest.depth_wait_s(symbol, Priority.AUDIT) <= 0:
                self._intake.audit(symbol)

    def _in_turn(self) -> Iterator[Instrument | None]:
        """Each symbol in turn, again and again; ``None`` while there is none."""
        while True:
            yield from list(self.symbols) or (None,)
