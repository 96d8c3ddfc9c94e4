"""The latest state of everything, and for each client what changed since it last asked. No I/O.

Nothing is queued for a client. It holds a `Cursor`, a few numbers, and asks for what is newer. So a slow client skips
intermediate states and needs no memory meanwhile. What many clients get is encoded once.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from tickfence.analytics.freshness import Idle, SymbolStatus, explained, freshness
from tickfence.instrument import Instrument
from tickfence.readers.reports import BadReport, Head, decode_head, with_freshness
from tickfence.readers.rows import Row, row, row_without_report
from tickfence.web.events import NEWEST, Event
from tickfence.web.nodes import Leader, Node, Nodes

logger = logging.getLogger(__name__)


class State(Struct, frozen=True, rename="camel"):
    """Data of event ``state``: everything."""

    now: int
    period_ms: int
    symbols: list[Row]
    nodes: list[Node]
    leader: Leader | None
    events: list[Event]
    reports_per_sec: float | None = None


class Rows(Struct, frozen=True):
    """Data of event ``rows``: the rows that changed."""

    now: int
    rows: list[Row]


class Outage(Struct, frozen=True, rename="camel"):
    """Data of event ``outage``: Redis does not answer, so what was sent before may be outdated."""

    away_for_ms: int
    text: str


class Absent(Struct, frozen=True):
    """Data of event ``absent``: the symbol has no report now."""

    now: int
    symbol: str
    text: str


@dataclass(slots=True)
class Cursor:
    """What one client has got so far. A new one gets everything: no epoch is -1.

    Attributes:
        update: Number of the last update it got.
        epoch: Number of the last whole state it got.
        event: How many events it got.
        outage: Number of the last outage it was told.
    """

    update: int = 0
    epoch: int = -1
    event: int = 0
    outage: int = 0


def frame(event: str, data: Any) -> bytes:
    """Return a server-sent event with ``data`` as JSON, which contains no line break.

    https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    return b"event: %b\ndata: %b\n\n" % (event.encode(), msgspec.json.encode(data))


class _Line(NamedTuple):
    """One symbol.

    Its report, the node it is assigned to, why nobody is to work on it, its status, its row as JSON; which update changed
    them.
    """

    report: bytes | None
    head: Head | None
    owner: str | None
    idle: Idle | None
    status: SymbolStatus
    row: Raw
    changed: int


class Board:
    """What was last read, by symbol, with the number of the update that changed it.

    Args:
        period_ms: Time after which a report's successor is due.
    """

    def __init__(self, period_ms: int) -> None:
        self.period_ms = period_ms
        self.update = 0
        self._epoch = 0
        self._now_ms = 0
        self._lines: dict[str, _Line] = {}
        self._table: tuple[str, ...] = ()
        self._nodes: list[Node] = []
        self._leader: Leader | None = None
        self._rate: float | None = None
        self._nodes_changed = 0
        self._events: deque[Event] = deque(maxlen=NEWEST)
        self._event_number = 0
        self._outage: Outage | None = None
        self._outage_number = 0
        self._frames: dict[tuple[object, ...], bytes] = {}

    def begin(self, now_ms: int) -> None:
        """Begin an update: what is put from now on was read at ``now_ms`` (server time)."""
        self._next_update()
        self._now_ms = now_ms
        if self._outage is not None:
            self._outage = None
            self._epoch += 1  # clients start again with a whole state

    def lose(self, away_for_ms: int, text: str) -> None:
        """Begin an update in which nothing could be read, for ``away_for_ms`` so far and for the reason ``text``."""
        self._next_update()
        self._outage = Outage(away_for_ms, text)
        self._outage_number += 1

    @property
    def is_lost(self) -> bool:
        """Whether the last update began with `lose`."""
        return self._outage is not None

    def put_table(self, symbols: tuple[str, ...]) -> bool:
        """Set the table's symbols, in this order; return whether they changed."""
        changed = symbols != self._table
        if changed:
            self._table = symbols
            self._epoch += 1
        return changed

    def put_reports(
        self,
        reports: Mapping[str, bytes | None],
        owners: Mapping[str, str],
        idle: Mapping[Instrument, Idle] | None = None,
    ) -> dict[str, Head]:
        """Put what was just read.

        Args:
            reports: All reports, ``None`` for a symbol without one.
            owners: The node that each symbol is assigned to.
            idle: The symbols that nobody is to work on, and why.

        Returns:
            The reports that the update before did not have, by symbol; not those that cannot be read.
        """
        new = {}
        lines = {}
        for symbol, report in reports.items():
            known = self._lines.get(symbol)
            why = (idle or {}).get(Instrument(symbol))
            lines[symbol] = line = self._line(symbol, report, owners.get(symbol), why, known)
            if line.head is not None and (known is None or known.report != report):
                new[symbol] = line.head
        self._lines = lines
        return new

    def put_nodes(self, nodes: list[Node], leader: Leader | None, rate: float | None = None) -> None:
        """Put the nodes, the leader, and how many reports a second all writers write."""
        self._nodes, self._leader, self._rate, self._nodes_changed = nodes, leader, rate, self.update

    def put_events(self, events: Sequence[Event]) -> None:
        """Put those events that are not here, oldest first."""
        if not events:
            return
        known = {event.id for event in self._events}
        new = [event for event in events if event.id not in known]
        self._events.extend(new)
        self._event_number += len(new)

    def table_news(self, cursor: Cursor) -> bytes:
        """Return what is new for a client of the table, as frames, and advance its cursor."""
        if self._outage is not None:
            return self._outage_news(cursor)
        missed = self._event_number - cursor.event
        if cursor.epoch != self._epoch or missed > len(self._events):
            news = self._once(("state",), lambda: frame("state", self._state()))
        else:
            news = self._once(("news", cursor.update, missed), lambda: self._changes(cursor.update, missed))
        self._advance(cursor)
        return news

    def report_news(self, symbols: Iterable[str], cursor: Cursor) -> bytes:
        """Return what is new for a client of these symbols' reports, as frames, and advance its cursor."""
        if self._outage is not None:
            return self._outage_news(cursor)
        news = b"".join(self._news_of(symbol, cursor) for symbol in symbols)
        self._advance(cursor)
        return news

    def _news_of(self, symbol: str, cursor: Cursor) -> bytes:
        line = self._lines.get(symbol)
        if line is None or (line.changed <= cursor.update and cursor.epoch == self._epoch):
            return b""
        return self._once(("report", symbol), lambda: self._report(symbol, line))

    def _next_update(self) -> None:
        self.update += 1
        self._frames.clear()

    def _line(
        self, symbol: str, report: bytes | None, owner: str | None, idle: Idle | None, known: _Line | None
    ) -> _Line:
        if known is not None and report == known.report:
            head = known.head
            if owner == known.owner and self._row(symbol, head, owner, idle).status == known.status:
                return known
        else:
            head = None if report is None else _head(symbol, report, logged=known is not None and _is_bad(known))
        now = self._row(symbol, head, owner, idle)
        return _Line(report, head, owner, idle, now.status, Raw(msgspec.json.encode(now)), self.update)

    def _row(self, symbol: str, head: Head | None, owner: str | None, idle: Idle | None) -> Row:
        if head is None:
            return row_without_report(symbol, idle or "down", owner)
        return row(symbol, head, freshness(head, self._now_ms, self.period_ms, idle))

    def _state(self) -> State:
        # Not the stored rows: their ages were right when they changed.
        lines = [(symbol, self._lines[symbol]) for symbol in self._table]
        rows = [self._row(symbol, line.head, line.owner, line.idle) for symbol, line in lines]
        return State(self._now_ms, self.period_ms, rows, self._nodes, self._leader, list(self._events), self._rate)

    def _changes(self, since: int, missed: int) -> bytes:
        rows = [self._lines[symbol].row for symbol in self._table if self._lines[symbol].changed > since]
        news = [frame("event", event) for event in list(self._events)[len(self._events) - missed :]]
        if rows:
            news.append(frame("rows", {"now": self._now_ms, "rows": rows}))
        if self._nodes_changed > since:
            news.append(frame("nodes", Nodes(self._now_ms, self._nodes, self._leader, self._rate)))
        return b"".join(news)

    def _report(self, symbol: str, line: _Line) -> bytes:
        if line.report is None or line.head is None:
            why = f": {explained(line.idle)}" if line.idle else ""
            return frame("absent", Absent(self._now_ms, symbol, f"{symbol} has no report now{why}"))
        fresh = freshness(line.head, self._now_ms, self.period_ms, line.idle)
        return frame("report", Raw(with_freshness(line.report, fresh)))

    def _outage_news(self, cursor: Cursor) -> bytes:
        if cursor.outage == self._outage_number:
            return b""
        cursor.outage = self._outage_number
        return self._once(("outage",), lambda: frame("outage", self._outage))

    def _once(self, key: tuple[object, ...], encode: Callable[[], bytes]) -> bytes:
        """Return what ``encode`` returns; it is called once an update."""
        if key not in self._frames:
            self._frames[key] = encode()
        return self._frames[key]

    def _advance(self, cursor: Cursor) -> None:
        cursor.update, cursor.epoch, cursor.event = self.update, self._epoch, self._event_number


def _head(symbol: str, report: bytes, *, logged: bool) -> Head | None:
    try:
        return decode_head(symbol, report)
    except BadReport as error:
        if not logged:  # a node of another version writes many of them
            logger.warning("a report cannot be read", extra={"symbol": symbol, "error": str(error)})
        return None


def _is_bad(line: _Line) -> bool:
    return line.report is not None and line.head is None
