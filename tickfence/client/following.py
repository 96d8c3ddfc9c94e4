"""A stream of reports that outlives its connection: what to ask, what to yield, how long to wait. No I/O."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from msgspec import Struct

from tickfence.client.delay import Delay
from tickfence.client.errors import ClientError, NoReport, StaleReport, Unavailable, Unreachable
from tickfence.client.exchange import Request, target
from tickfence.client.freshness import aged, require_fresh
from tickfence.client.queries import decoded, named
from tickfence.readers.reports import FreshReport

SILENCE_S = 20.0
"""After so many seconds without a byte the connection counts as broken: the server sends one every 15 s."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 10.0
PATIENCE_S = 300.0
"""How long a stream tries to come back, unless you say otherwise."""


@dataclass(frozen=True, slots=True)
class Lost:
    """There is no report now that you can act on. The next report of a symbol ends it.

    Attributes:
        symbols: Of these symbols.
        error: Why.
    """

    symbols: tuple[str, ...]
    error: ClientError


class _Outage(Struct, rename="camel"):
    away_for_ms: int
    text: str


class _Absent(Struct):
    symbol: str
    text: str


class Following:
    """The state of one stream.

    Args:
        symbols: One symbol or several.
        max_age_s: As of `require_fresh`.
        patience_s: How long it tries to come back before it gives up.

    Raises:
        ValueError: There is no symbol.
    """

    def __init__(self, symbols: str | Iterable[str], max_age_s: float | None, patience_s: float) -> None:
        self._symbols = named(symbols)
        self._max_age_s, self._patience_s = max_age_s, patience_s
        self._seen: dict[str, tuple[int, int]] = {}
        self._lost: set[str] = set()
        self._attempts = 0
        self._broke_at: float | None = None
        self._delay = Delay()

    def request(self) -> Request:
        """Return what opens the stream, or opens it again."""
        self._delay = Delay()
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        [first, *others] = self._symbols
        if others:
            return Request(target("stream", "reports", symbols=",".join(self._symbols)), headers)
        return Request(target("stream", first), headers)

    def event(self, name: str, data: str, now: float) -> Iterator[FreshReport | Lost]:
        """Return what an event tells: a new report, or that there is none to act on.

        Args:
            name: The event's name.
            data: Its data.
            now: Monotonic seconds.

        Raises:
            BadAnswer: It cannot be read.
            Unreachable: It was too long on its way. What waits behind it is as old: open the stream again.
        """
        self._attempts, self._broke_at = 0, None
        if name == "report":
            yield from self._report(decoded(data, FreshReport), now)
        elif name == "absent":
            absent = decoded(data, _Absent)
            yield from self._lose([absent.symbol], NoReport(absent.text))
        elif name == "outage":
            yield from self._lose(self._symbols, Unavailable(decoded(data, _Outage).text))

    def broke(self, error: ClientError, now: float) -> tuple[list[Lost], float]:
        """Tell that the connection broke or could not be opened.

        Args:
            error: Why.
            now: Monotonic seconds.

        Returns:
            What to yield, and how many seconds to wait before the next try.

        Raises:
            ClientError: ``error``, if another try is useless or the patience is over.
        """
        self._broke_at = now if self._broke_at is None else self._broke_at
        if not error.retryable or now - self._broke_at >= self._patience_s:
            raise error
        longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(self._attempts, 10))
        self._attempts += 1
        wait = random.uniform(longest / 2, longest)  # so that clients do not all come back at once
        if error.retry_after_s is not None:
            wait = max(wait, min(error.retry_after_s, LONGEST_WAIT_S))
        return list(self._lose(self._symbols, error)), wait

    def _report(self, report: FreshReport, now: float) -> Iterator[FreshReport | Lost]:
        symbol, late_s = report.symbol, self._delay.of(report.freshness.read_at, now)
        if self._max_age_s is not None and late_s > self._max_age_s:
            raise Unreachable(f"the stream is {late_s:.1f} s behind: the network or your program is too slow")
        report = aged(report, late_s)
        try:
            require_fresh(report, self._max_age_s)
        except StaleReport as error:
            yield from self._lose([symbol], error)
            return
        # After a reconnect the server begins with the newest report, which may be the one that was last seen.
        version = (report.writer.writer_token, report.updated_at)
        if symbol in self._lost or self._seen.get(symbol) != version:
            self._lost.discard(symbol)
            self._seen[symbol] = version
            yield report

    def _lose(self, symbols: Sequence[str], error: ClientError) -> Iterator[Lost]:
        """Tell it once, until a report comes."""
        news = tuple(symbol for symbol in symbols if symbol not in self._lost)
        self._lost.update(news)
        if news:
            yield Lost(news, error)
