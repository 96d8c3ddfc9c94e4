"""What routes and tools read from, and how they refuse a symbol that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import NamedTuple

from tickfence.analytics.freshness import Freshness, freshness
from tickfence.instrument import is_instrument
from tickfence.settings import Settings
from tickfence.web.data_plane import DataPlane
from tickfence.web.directory import Directory, known_symbols, read_directory
from tickfence.web.feed import Feed
from tickfence.web.problems import Refusal, shown
from tickfence.web.profile import Profiles
from tickfence.web.reports import read_reports
from tickfence.web.rows import BadReport, Head, decode_head

_NAMED = 10


class Found(NamedTuple):
    """One symbol's report as it was read."""

    symbol: str
    report: bytes
    head: Head
    fresh: Freshness


class Read(NamedTuple):
    """What was found of several symbols.

    Attributes:
        asked: the symbols.
        now_ms: when they were read, server ms.
        found: the reports there are.
        missing: symbols that have none now.
        bad: why what stands in the place of a report is none, by symbol.
    """

    asked: Sequence[str]
    now_ms: int
    found: list[Found]
    missing: list[str]
    bad: dict[str, BadReport]


class Backend:
    """The data behind everything; one for the process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.plane = DataPlane(settings.redis_url)
        self.feed = Feed(self.plane, settings)
        self.profiles = Profiles(self.plane)

    async def close(self) -> None:
        """Stop reading, and close the connections."""
        await self.feed.close()
        await self.plane.close()

    async def directory(self) -> Directory:
        """Nodes, leader and assignment.

        Raises:
            web.data_plane.Unavailable: Redis is away. So do all methods here.
        """
        return await read_directory(self.plane, self.settings.nt_heartbeat_ttl_ms)

    async def symbols(self) -> tuple[str, ...]:
        """All symbols there are."""
        return known_symbols((await self.directory()).assignment, self.settings.symbols)

    async def all_reports(self) -> Read:
        """The reports of all symbols. One that ceases to be known meanwhile, as when Redis loses all, is missing."""
        return await self._read(await self.symbols())

    async def reports(self, symbols: Sequence[str]) -> Read:
        """The reports of ``symbols``. One that cannot be read does not keep the others back.

        Raises:
            web.problems.Refusal: 404, one of ``symbols`` is not known.
        """
        read = await self._read(symbols)
        if read.missing:
            self.require_known(read.missing, await self.symbols())
        return read

    async def _read(self, symbols: Sequence[str]) -> Read:
        now_ms, texts = await read_reports(self.plane, list(filter(is_instrument, symbols)))
        found, bad = [], {}
        for symbol, report in texts.items():
            if report is not None:
                try:
                    head = decode_head(symbol, report)
                except BadReport as error:
                    bad[symbol] = error
                    continue
                found.append(Found(symbol, report, head, freshness(head, now_ms, self.settings.nt_report_period_ms)))
        return Read(symbols, now_ms, found, [symbol for symbol in symbols if texts.get(symbol) is None], bad)

    async def report(self, symbol: str) -> Found:
        """One symbol's report.

        Raises:
            web.problems.Refusal: 404, the symbol is not known; 503, it has no report now.
            web.rows.BadReport: what stands in its place is none.
        """
        read = await self.reports([symbol])
        if read.bad:
            raise read.bad[symbol]
        if read.missing:
            detail = f"{symbol} is known, but has no report now; /readyz and the nodes' logs may tell why"
            raise Refusal(503, "No report", detail, headers={"Retry-After": "1"})
        return read.found[0]

    @staticmethod
    def require_known(given: Sequence[str], known: Sequence[str]) -> None:
        """Refuse the first of ``given`` that is not among ``known``, naming the nearest that are.

        Raises:
            web.problems.Refusal: 404.
        """
        for symbol in given:
            if symbol not in known:
                near = difflib.get_close_matches(symbol[:20].upper(), known, n=3)
                accepted = [*near, *(name for name in known if name not in near)][:_NAMED]
                more = f", and {len(known) - len(accepted)} more at /symbols" if len(known) > len(accepted) else ""
                detail = f"there is no symbol {shown(symbol)}; there are {', '.join(accepted)}{more}"
                raise Refusal(404, "Unknown symbol", detail, accepted=accepted)
