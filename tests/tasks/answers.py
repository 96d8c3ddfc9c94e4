"""Replies of Redis as tables, and a reporter that takes them: no Redis, no time, no process."""

from __future__ import annotations

import json
from typing import Any

from redis.exceptions import ResponseError

from tasks.reporter import Progress, Reporter
from tasks.symbol_events import Event, Kind
from tasks.symbol_history import SymbolHistory
from tickfence.coordination.lease import Lease, Write, Written
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.redis_access.command import Command
from tickfence.streams import codec

S = Instrument("BTCUSDT")
KEYS = Keys()
NOW_MS = 1_700_000_000_000

Entry = tuple[bytes, dict[bytes, bytes]]
Levels = list[tuple[float, float]]

TAKEN = [b"taken", 100, 100]
HELD = [b"held", 100, 100]
STALE = [b"stale", 200, 205]
CONFLICT = [b"conflict", 200, 205, b"node-002/b"]
WRONG_TYPE = ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")
INFO = [b"0.01", b"0.001", b"trading", None]
TICKER = [b"100.5", b"1.5", b"101", b"99", b"1000", b"1"]


def snapshot(
    update_id: int = 10, bids: Levels | None = None, asks: Levels | None = None, lowest_bid: float | None = None
) -> bytes:
    """A book around 100, or as given."""
    book = codec.Snapshot(
        last_update_id=update_id,
        stream_id="0-0",
        bids=bids or [(99.0, 1.0)],
        asks=asks or [(101.0, 1.0)],
        lowest_bid=lowest_bid,
        time=NOW_MS,
    )
    return codec.encode_snapshot(book)


def diff(first: int, last: int | None = None, bids: Levels | None = None, at_ms: int = 0) -> Entry:
    """A diff, ``at_ms`` after the snapshot."""
    last = first if last is None else last
    ms = NOW_MS + at_ms
    return f"{ms}-{last}".encode(), {
        b"U": b"%d" % first,
        b"b": codec.encode_levels(bids or [(99.5, float(last))]),
        b"a": b"[]",
        b"r": b"%d" % ms,
    }


def trade(trade_id: int, at_ms: int = 0) -> Entry:
    """A buy of 0.5, ``at_ms`` after the snapshot."""
    ms = NOW_MS + at_ms
    return f"{ms}-{trade_id}".encode(), {b"p": b"100.25", b"q": b"0.5", b"s": b"b", b"r": b"%d" % ms}


class Node:
    """A reporter, and what it tells.

    Attributes:
        events: all that it told.
        asked: the commands of the last read.
    """

    def __init__(self, lease: Lease | None = None) -> None:
        self.events: list[Event] = []
        self.asked: list[Command] = []
        lease = lease or Lease(KEYS.lease(S), Owner("node-001", "a"), 1500)
        history = SymbolHistory(S, KEYS, str(lease.owner), interval_ms=1000, rows=3600, note=self.events.append)
        self.reporter = Reporter(S, KEYS, lease, history, carry_every_s=5, note=self.events.append)

    def read(self, generation: int = 1, now_s: float = 0.0, *, rules: bool = False, **answers: Any) -> Progress:
        """One round trip 1.

        Args:
            generation: of the assignment.
            now_s: monotonic seconds.
            rules: ask for the exchange's rules in any case.
            answers: by what is asked for: lease, slow, carry, snapshot, ticker, info, book and trades (newest last, as
                a cold read finds them), older (newest last), or new: (trades, diffs) that a warm read finds.
        """
        requests = self.reporter.read(generation, NOW_MS, now_s, rules=rules)
        self.asked = [command for command, _ in requests]
        return self.reporter.take(requests, [answer(command, answers) for command in self.asked], now_s)

    def start(self, **answers: Any) -> Node:
        """Take the lease and a cold start, and write once."""
        given = {"snapshot": snapshot(), "info": INFO, "trades": [trade(1)]} | answers
        assert self.read(**given) is Progress.READY
        assert self.write() is Progress.READY
        self.events.clear()
        return self

    def compute(self, now_s: float = 0.0, *, slow: bool = False) -> Write | None:
        """What it writes."""
        values = self.reporter.compute(Reporter.sections if slow else Reporter.report, NOW_MS, now_s)
        return values and self.reporter.write(values)

    def write(self, outcome: Written = Written.WRITTEN, now_s: float = 0.0, *, slow: bool = False) -> Progress:
        """Compute and write, with this outcome."""
        write = self.compute(now_s, slow=slow)
        assert write is not None
        return self.reporter.written(write, outcome, now_s)

    def report(self) -> Any:
        """The report as JSON, or ``None`` where it is withheld."""
        write = self.compute()
        return write and json.loads(write.values[KEYS.report(S)])

    @property
    def kinds(self) -> list[Kind]:
        """The kinds of the events."""
        return [event.kind for event in self.events]


def answer(command: Command, answers: dict[str, Any]) -> Any:
    """The reply to one command."""
    name, key, *rest = command
    if name == "EVALSHA":
        return answers.get("lease", TAKEN)
    if name == "XREAD":
        new = answers.get("new", ([], []))
        if isinstance(new, Exception):
            return new
        streams = zip((KEYS.trades(S), KEYS.book(S)), new, strict=True)
        return [[stream.encode(), entries] for stream, entries in streams if entries] or None
    what = {
        KEYS.slow(S): "slow",
        KEYS.carry(S): "carry",
        KEYS.snapshot(S): "snapshot",
        KEYS.ticker(S): "ticker",
        KEYS.info(S): "info",
        KEYS.book(S): "book",
        KEYS.trades(S): "older" if str(rest[:1]).startswith("['(") else "trades",
    }[key]
    if name == "XREVRANGE":
        entries = answers.get(what, [])
        return entries if isinstance(entries, Exception) else list(reversed(entries))
    return answers.get(what, [None] * len(rest) if name == "HMGET" else None)
