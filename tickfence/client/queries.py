"""What the clients ask: one exchange for each call. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tickfence.client.errors import BadAnswer, ClientError, NoReport, StaleReport
from tickfence.client.exchange import Answer, Exchange, Known, target
from tickfence.client.freshness import aged, require_fresh
from tickfence.client.history import History, HistoryPage
from tickfence.instrument import as_typed
from tickfence.readers.reports import FreshReport
from tickfence.web.events import Event
from tickfence.web.nodes import Nodes

Time = str | int | datetime
"""A time: ms since 1970, ISO 8601, ``now``, a time ago like ``-10m``, or a `datetime` that knows its time zone."""

MAX_ROWS = 1_000_000
"""Rows of one history at most, unless you say otherwise: 11 days of one a second."""

_PAGE = 10_000  # rows: as many as the server sends at once
_ASKED_AT_ONCE = 100  # symbols: as many as the server takes in one request

T = TypeVar("T")


class Reports(Struct, frozen=True):
    """Reports of several symbols.

    Attributes:
        now_ms: When the server read them, ms since 1970 on its clock.
        fresh: The reports that you can act on, by symbol.
        refused: Why there is none of the others, by symbol: `StaleReport`, `NoReport` or `BadAnswer`.
    """

    now_ms: int
    fresh: dict[str, FreshReport]
    refused: dict[str, ClientError]


class Events(Struct, frozen=True):
    """Events of the cluster, oldest first.

    Attributes:
        now: When they were read, ms since 1970.
        events: The events.
        note: Why older ones are missing, if some are.
    """

    now: int
    events: list[Event]
    note: str | None = None


class _Listed(Struct):
    now: int
    reports: list[msgspec.Raw]
    missing: list[str]
    unreadable: list[str]


class _Symbol(Struct):
    symbol: str


class _Symbols(Struct):
    symbols: list[_Symbol]


class Queries:
    """Makes the exchanges of one client.

    Args:
        max_age_s: How old market data in a report may be; ``None``: any age.
    """

    def __init__(self, max_age_s: float | None) -> None:
        self.max_age_s = max_age_s
        self._known = Known()

    def report(self, symbol: str) -> Exchange[FreshReport]:
        """One symbol's report."""
        data, now = yield from self._known.fetch(target("reports", symbol))
        stale = now is not data and now.headers.get("report-stale") == "true"
        return require_fresh(
            aged(decoded(data.body, FreshReport), now.came_at - data.sent_at, stale=stale), self.max_age_s
        )

    def reports(self, symbols: str | Iterable[str] | None) -> Exchange[Reports]:
        """The reports of ``symbols``, or of all."""
        if symbols is None:
            return (yield from self._several(target("reports")))
        parts, names = [], named(symbols)
        for start in range(0, len(names), _ASKED_AT_ONCE):
            chosen = ",".join(names[start : start + _ASKED_AT_ONCE])
            parts.append((yield from self._several(target("reports", symbols=chosen))))
        fresh = {symbol: report for part in parts for symbol, report in part.fresh.items()}
        return Reports(parts[0].now_ms, fresh, {symbol: why for part in parts for symbol, why in part.refused.items()})

    def symbols(self) -> Exchange[list[str]]:
        """The names of all symbols."""
        data, _ = yield from self._known.fetch(target("symbols"))
        return [one.symbol for one in decoded(data.body, _Symbols).symbols]

    def nodes(self) -> Exchange[Nodes]:
        """The nodes and the leading beat."""
        data, now = yield from self._known.fetch(target("nodes"))
        found = decoded(data.body, Nodes)
        return replace(found, now=_moved_on(found.now, data, now))

    def events(self, since: Time | None, until: Time | None, after: str | None, limit: int) -> Exchange[Events]:
        """Events: the newest, or the oldest of a range."""
        data, now = yield from self._known.fetch(
            target("events", since=written(since), until=written(until), after=after, limit=limit)
        )
        found = decoded(data.body, Events)
        return replace(found, now=_moved_on(found.now, data, now))

    def history(
        self,
        symbol: str,
        since: Time,
        until: Time,
        step: str | None,
        fields: Sequence[str],
        max_rows: int,
    ) -> Exchange[History]:
        """Rows over time, page by page."""
        if max_rows < 1:
            raise ValueError(f"max_rows={max_rows}: must be at least 1")
        pages: list[HistoryPage] = []
        rows, after = 0, None
        begin, end = written(since), written(until)
        while rows < max_rows:
            address = target(
                "reports",
                symbol,
                "history",
                **{"since": begin, "until": end, "step": step, "fields": ",".join(fields) or None},
                limit=min(_PAGE, max_rows - rows),
                after=after,
            )
            data, _ = yield from self._known.fetch(address)
            page = decoded(data.body, HistoryPage)
            pages.append(page)
            rows += len(page.times)
            if page.next is None:
                return History.of(pages, complete=True)
            # The range is what it was at the first page: `now` goes on meanwhile.
            begin, end, after = str(page.since), str(page.until), page.times[-1]
        return History.of(pages, complete=False)

    def _several(self, address: str) -> Exchange[Reports]:
        data, now = yield from self._known.fetch(address)
        listed = decoded(data.body, _Listed)
        fresh: dict[str, FreshReport] = {}
        refused: dict[str, ClientError] = {symbol: NoReport(f"{symbol} has no report now") for symbol in listed.missing}
        refused |= {symbol: BadAnswer(f"{symbol} has no readable report") for symbol in listed.unreadable}
        for text in listed.reports:
            report = aged(decoded(text, FreshReport), now.came_at - data.sent_at)
            try:
                fresh[report.symbol] = require_fresh(report, self.max_age_s)
            except StaleReport as error:
                refused[report.symbol] = error
        return Reports(_moved_on(listed.now, data, now), fresh, refused)


def _moved_on(now_ms: int, data: Answer, now: Answer) -> int:
    """The server's time when `now` came, if it says that `data` is still true."""
    return now_ms + round((now.came_at - data.came_at) * 1000)


def decoded(body: bytes | str | msgspec.Raw, kind: type[T]) -> T:
    """Return the data of an answer.

    Raises:
        BadAnswer: It is not of this kind.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadAnswer(f"the answer is no {kind.__name__} that this client knows: {error}") from error


def named(symbols: str | Iterable[str]) -> tuple[str, ...]:
    """Return one symbol or several as the server names them, each once.

    Raises:
        ValueError: There is none.
    """
    names = tuple(dict.fromkeys(map(as_typed, (symbols,) if isinstance(symbols, str) else symbols)))
    if not names:
        raise ValueError("name at least one symbol")
    return names


def written(time: Time | None) -> str | None:
    """Return a time as the server reads it.

    Raises:
        ValueError: A `datetime` does not know its time zone.
    """
    if not isinstance(time, datetime):
        return None if time is None else str(time)
    if time.utcoffset() is None:
        raise ValueError(f"{time!r} has no time zone; use datetime.now(UTC), for example")
    return str(round(time.timestamp() * 1000))
