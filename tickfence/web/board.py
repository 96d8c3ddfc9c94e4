"""The newest state of everything, and for each watcher what changed since it last looked. No I/O.

Nothing is queued for a watcher. It holds a `Seen`, a few numbers, and asks for what is newer; so one that is slow gets
the newest state when it is ready, and costs no memory meanwhile. What many watchers are sent is encoded once.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from msgspec import Raw, Struct

from tickfence.analytics.freshness import freshness
from tickfence.analytics.report import Status
from tickfence.web.directory import Leader, Node
from tickfence.web.events import NEWEST, Event
from tickfence.web.reports import with_freshness
from tickfence.web.rows import BadReport, Head, Row, decode_head, row
from tickfence.web.sse import encode_json, frame

logger = logging.getLogger(__name__)


class State(Struct, frozen=True, rename="camel"):
    """Data of event ``state``: all there is."""

    now: int
    period_ms: int
    symbols: list[Row]
    nodes: list[Node]
    leader: Leader | None
    events: list[Event]


class Rows(Struct, frozen=True):
    """Data of event ``rows``: those that changed."""

    now: int
    rows: list[Row]


class Nodes(Struct, frozen=True):
    """Data of event ``nodes``."""

    now: int
    nodes: list[Node]
    leader: Leader | None


class Outage(Struct, frozen=True, rename="camel"):
    """Data of event ``outage``: Redis is away, and what was sent before is all that is known."""

    away_for_ms: int
    text: str


class Absent(Struct, frozen=True):
    """Data of event ``absent``: the symbol has no report now."""

    now: int
    symbol: str
    text: str


@dataclass(slots=True)
class Seen:
    """How far one watcher has seen. As it begins, ``epoch`` is none that there is, so it is sent all."""

    tick: int = 0
    epoch: int = -1
    event: int = 0
    outage: int = 0


class _Line(NamedTuple):
    """One symbol: its report, the node it is assigned to, its status, its row as JSON; when the last three changed."""

    report: bytes | None
    head: Head | None
    owner: str | None
    status: Status
    row: Raw
    changed: int


class Board:
    """What was last read, by symbol, with the tick at which it changed.

    Parameters:
        period_ms: time after which a report's successor is due.
    """

    def __init__(self, period_ms: int) -> None:
        self.period_ms = period_ms
        self.tick = 0
        self._epoch = 0
        self._now_ms = 0
        self._lines: dict[str, _Line] = {}
        self._table: tuple[str, ...] = ()
        self._nodes: list[Node] = []
        self._leader: Leader | None = None
        self._nodes_changed = 0
        self._events: deque[Event] = deque(maxlen=NEWEST)
        self._event_number = 0
        self._outage: Outage | None = None
        self._outage_number = 0
        self._frames: dict[tuple[object, ...], bytes] = {}

    def begin(self, now_ms: int) -> None:
        """Begin a tick: what is put from now on was read at ``now_ms`` (server time)."""
        self._next_tick()
        self._now_ms = now_ms
        if self._outage is not None:
            self._outage = None
            self._epoch += 1  # watchers start again with a whole state

    def lose(self, away_for_ms: int, text: str) -> None:
        """Begin a tick in which nothing could be read."""
        self._next_tick()
        self._outage = Outage(away_for_ms, text)
        self._outage_number += 1

    def put_table(self, symbols: tuple[str, ...]) -> bool:
        """Which symbols the table has, in this order; whether they are others than before."""
        changed = symbols != self._table
        if changed:
            self._table = symbols
            self._epoch += 1
        return changed

    def put_reports(self, reports: Mapping[str, bytes | None], owners: Mapping[str, str]) -> Counter[str]:
        """Take in all reports just read, ``None`` for a symbol without one, and the node each symbol is assigned to.

        Returns how many each node has written since they were read before, as far as that can be seen.
        """
        written: Counter[str] = Counter()
        lines = {}
        for symbol, report in reports.items():
            known = self._lines.get(symbol)
            lines[symbol] = line = self._line(symbol, report, owners.get(symbol), known)
            if known is not None and known.report != report and line.head is not None:
                written[line.head.writer.node_id] += 1
        self._lines = lines
        return written

    def put_nodes(self, nodes: list[Node], leader: Leader | None) -> None:
        """Take in the nodes and the leader."""
        self._nodes, self._leader, self._nodes_changed = nodes, leader, self.tick

    def put_events(self, events: Iterable[Event]) -> None:
        """Take in events that came after those already here, oldest first."""
        for event in events:
            self._events.append(event)
            self._event_number += 1

    def table_news(self, seen: Seen) -> bytes:
        """What a watcher of the table has not seen, as frames; ``seen`` is moved on."""
        if self._outage is not None:
            return self._outage_news(seen)
        missed = self._event_number - seen.event
        if seen.epoch != self._epoch or missed > len(self._events):
            news = self._once(("state",), lambda: frame("state", self._state()))
        else:
            news = self._once(("news", seen.tick, missed), lambda: self._changes(seen.tick, missed))
        self._saw(seen)
        return news

    def report_news(self, symbol: str, seen: Seen) -> bytes:
        """What a watcher of one symbol has not seen, as frames; ``seen`` is moved on."""
        if self._outage is not None:
            return self._outage_news(seen)
        line = self._lines.get(symbol)
        news = b""
        if line is not None and (line.changed > seen.tick or seen.epoch != self._epoch):
            news = self._once(("report", symbol), lambda: self._report(symbol, line))
        self._saw(seen)
        return news

    def _next_tick(self) -> None:
        self.tick += 1
        self._frames.clear()

    def _line(self, symbol: str, report: bytes | None, owner: str | None, known: _Line | None) -> _Line:
        if known is not None and report == known.report:
            head = known.head
            if owner == known.owner and self._row(symbol, head, owner).status == known.status:
                return known
        else:
            head = None if report is None else _head(symbol, report, said=known is not None and _is_bad(known))
        now = self._row(symbol, head, owner)
        return _Line(report, head, owner, now.status, Raw(encode_json(now)), self.tick)

    def _row(self, symbol: str, head: Head | None, owner: str | None) -> Row:
        if head is None:
            return Row(symbol, owner=owner)
        return row(symbol, head, freshness(head, self._now_ms, self.period_ms))

    def _state(self) -> State:
        # Made anew, with their age as it is now.
        rows = [self._row(symbol, self._lines[symbol].head, self._lines[symbol].owner) for symbol in self._table]
        return State(self._now_ms, self.period_ms, rows, self._nodes, self._leader, list(self._events))

    def _changes(self, since: int, missed: int) -> bytes:
        rows = [self._lines[symbol].row for symbol in self._table if self._lines[symbol].changed > since]
        news = [frame("event", event) for event in list(self._events)[len(self._events) - missed :]]
        if rows:
            news.append(frame("rows", {"now": self._now_ms, "rows": rows}))
        if self._nodes_changed > since:
            news.append(frame("nodes", Nodes(self._now_ms, self._nodes, self._leader)))
        return b"".join(news)

    def _report(self, symbol: str, line: _Line) -> bytes:
        if line.report is None or line.head is None:
            return frame("absent", Absent(self._now_ms, symbol, f"{symbol} has no report now"))
        fresh = freshness(line.head, self._now_ms, self.period_ms)
        return frame("report", Raw(with_freshness(line.report, fresh)))

    def _outage_news(self, seen: Seen) -> bytes:
        if seen.outage == self._outage_number:
            return b""
        seen.outage = self._outage_number
        return self._once(("outage",), lambda: frame("outage", self._outage))

    def _once(self, key: tuple[object, ...], encode: Callable[[], bytes]) -> bytes:
        """What ``encode`` makes, made once a tick."""
        if key not in self._frames:
            self._frames[key] = encode()
        return self._frames[key]

    def _saw(self, seen: Seen) -> None:
        seen.tick, seen.epoch, seen.event = self.tick, self._epoch, self._event_number


def _head(symbol: str, report: bytes, *, said: bool) -> Head | None:
    try:
        return decode_head(symbol, report)
    except BadReport as error:
        if not said:  # a node of another version writes one after the other
            logger.warning("a report is left out", extra={"symbol": symbol, "error": str(error)})
        return None


def _is_bad(line: _Line) -> bool:
    return line.report is not None and line.head is None
