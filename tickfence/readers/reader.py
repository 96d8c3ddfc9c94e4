"""What the HTTP API and the MCP server answer from: symbols, reports and the cluster's state."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tickfence.analytics.freshness import Freshness, Idle, explained, freshness
from tickfence.coordination.desired import Desired
from tickfence.coordination.desired_store import parse_version, version_command
from tickfence.coordination.verdicts import parse_verdicts
from tickfence.instrument import Instrument, is_instrument
from tickfence.readers.archive import Archive
from tickfence.readers.cluster import Cluster, fetch_cluster
from tickfence.readers.data_plane import DataPlane
from tickfence.readers.listed_pairs import ListedPairs
from tickfence.readers.pairs import AcrossVenues, across_venues, grouped
from tickfence.readers.quoting import quoted
from tickfence.readers.reports import BadReport, Head, decode_head, fetch_reports
from tickfence.readers.symbols import idle_symbols, stored_desired
from tickfence.settings import Settings

_LISTED = 10  # names that an error lists
_LONGEST = 61  # characters of a name


class UnknownName(LookupError):
    """There is nothing of that name.

    Attributes:
        kind: What was asked for.
        accepted: Some names that there are, the nearest first.
    """

    kind = "name"

    def __init__(self, given: str, known: Sequence[str]) -> None:
        capitals = {name.upper(): name for name in known}
        near = [capitals[name] for name in difflib.get_close_matches(given[:_LONGEST].upper(), capitals, n=3)]
        self.accepted = [*near, *(name for name in known if name not in near)][:_LISTED]
        hidden = len(known) - len(self.accepted)
        more = f", and {hidden} more" if hidden else ""
        there = f"there are {', '.join(self.accepted)}{more}" if known else "there is none at all"
        super().__init__(f"there is no {self.kind} {quoted(given)}; {there}")


class UnknownSymbol(UnknownName):
    """There is no such symbol."""

    kind = "symbol"


class UnknownPair(UnknownName):
    """No symbol is of such a pair."""

    kind = "pair"


class NoReport(LookupError):
    """The symbol is known and has no report now."""

    def __init__(self, symbol: str, idle: Idle | None = None) -> None:
        why = f"; {explained(idle)}" if idle else " now; /readyz and the nodes' logs may tell why"
        super().__init__(f"{symbol} is known, but has no report{why}")


class Found(NamedTuple):
    """One symbol's report as it was read."""

    symbol: str
    report: bytes
    head: Head
    fresh: Freshness


class Stored(NamedTuple):
    """What Redis holds of several symbols.

    Attributes:
        now_ms: When it was read, server ms.
        reports: Each symbol's report as JSON; ``None`` if there is none, and for a symbol that operators have removed.
        idle: The symbols that nobody is to work on, and why: others than these, too.
    """

    now_ms: int
    reports: Mapping[str, bytes | None]
    idle: Mapping[Instrument, Idle]


class Reports(NamedTuple):
    """The reports of several symbols.

    Attributes:
        asked: The symbols.
        now_ms: When they were read, server ms.
        found: The reports.
        missing: Symbols without a report.
        bad: Why a report cannot be read, by symbol.
        idle: As in :class:`Stored`.
    """

    asked: Sequence[str]
    now_ms: int
    found: list[Found]
    missing: list[str]
    bad: dict[str, BadReport]
    idle: Mapping[Instrument, Idle]


class Reader:
    """Reads one deployment; a process needs one.

    Every method that reads raises `Unavailable` while Redis does not answer.

    Args:
        settings: The deployment's.

    Example:
        >>> reader = Reader(Settings.from_environment({}))
        >>> (await reader.report("BTCUSDT")).fresh.stale  # doctest: +SKIP
        False
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.keys = settings.keys
        self.plane = DataPlane(settings.redis_url)
        self.archive = Archive(settings.nt_recordings)
        self._pairs = ListedPairs(self.plane, self.keys)
        self._desired: Desired | None = None

    async def close(self) -> None:
        """Close the connections, and ask recordings no more."""
        self.archive.close()
        await self.plane.close()

    async def cluster(self) -> Cluster:
        """Return the nodes, the leading beat and the assignment."""
        return await fetch_cluster(self.plane, self.settings)

    async def symbols(self) -> tuple[str, ...]:
        """Return all symbols."""
        return (await self.cluster()).symbols(self.settings.symbols)

    async def all_reports(self) -> Reports:
        """Return the reports of all symbols. A symbol that disappears meanwhile, because Redis lost its data, is missing."""
        return await self._fetch(await self.symbols())

    async def reports(self, symbols: Sequence[str]) -> Reports:
        """Return the reports of ``symbols``. An unreadable report does not hide the others.

        Raises:
            UnknownSymbol: One of them is unknown.
        """
        reports = await self._fetch(symbols)
        if reports.missing:
            await self.require_known(*reports.missing)
        return reports

    async def report(self, symbol: str) -> Found:
        """Return one symbol's report.

        Raises:
            UnknownSymbol: The symbol is unknown.
            NoReport: It has no report now.
            BadReport: Its report cannot be read.
        """
        reports = await self.reports([symbol])
        if reports.bad:
            raise reports.bad[symbol]
        if reports.missing:
            raise NoReport(symbol, reports.idle.get(Instrument(symbol)))
        return reports.found[0]

    async def pairs(self) -> dict[str, list[str]]:
        """Return the symbols of each pair, by the pair's name."""
        return grouped(await self._pairs.of(await self.symbols()))

    async def across_venues(self, name: str) -> AcrossVenues:
        """Return the best prices of the pair ``name``, like BTC-USD, on each venue and of all.

        Raises:
            UnknownPair: No symbol is of that pair.
        """
        listed = await self._pairs.of(await self.symbols())
        pairs = grouped(listed)
        symbols = pairs.get(name) or pairs.get(name.upper())
        if not symbols:
            raise UnknownPair(name, sorted(pairs))
        return across_venues(listed[symbols[0]], await self._fetch(symbols))

    async def require_known(self, *symbols: str) -> None:
        """Check that all ``symbols`` are known.

        Raises:
            UnknownSymbol: The first one that is not.
        """
        known = await self.symbols()
        for symbol in symbols:
            if symbol not in known:
                raise UnknownSymbol(symbol, known)

    async def stored(self, symbols: Sequence[str]) -> Stored:
        """Return what Redis holds of ``symbols``.

        The desired state is read again when its version has changed; the version comes with the reports.
        """
        beside = [version_command(self.keys), ("HGET", self.keys.dispatcher, "verdicts")]
        now_ms, reports, [version, verdicts] = await fetch_reports(
            self.plane, self.keys, list(filter(is_instrument, symbols)), beside
        )
        if parse_version(version) != (self._desired.version if self._desired else 0):
            _, [fields] = await self.plane.read([("HGETALL", self.keys.desired)])
            self._desired = stored_desired(fields)
        removed = self._desired.removed if self._desired else {}
        idle = idle_symbols(self._desired, parse_verdicts(verdicts or b""), now_ms)
        return Stored(now_ms, {**reports, **dict.fromkeys(reports.keys() & removed.keys())}, idle)

    async def _fetch(self, symbols: Sequence[str]) -> Reports:
        now_ms, texts, idle = await self.stored(symbols)
        found, bad = [], {}
        for symbol, report in texts.items():
            if report is None:
                continue
            try:
                head = decode_head(symbol, report)
            except BadReport as error:
                bad[symbol] = error
            else:
                period_ms = self.settings.nt_report_period_ms
                fresh = freshness(head, now_ms, period_ms, idle.get(Instrument(symbol)))
                found.append(Found(symbol, report, head, fresh))
        return Reports(symbols, now_ms, found, [symbol for symbol in symbols if texts.get(symbol) is None], bad, idle)
