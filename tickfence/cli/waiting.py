"""``--wait``: whether what was asked for holds, and what is missing as long as it does not."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from tickfence.analytics.freshness import freshness
from tickfence.cli.session import UNREADABLE, one_line
from tickfence.coordination.desired import Desired, DesiredNode, DesiredSymbol, NodeMode, SymbolState
from tickfence.coordination.leadership import LeaderRecord, parse_leader
from tickfence.coordination.membership import NodeState
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.readers.cluster import Cluster, read_cluster
from tickfence.readers.reports import BadReport, Head, decode_head
from tickfence.redis_access.connect import forget_connections
from tickfence.settings import Settings
from tickfence.timeline.text import leader_name

EVERY_S = 0.1
_AT_ONCE = 100  # symbols that are looked up at a time: a report has 30 kB
_NAMED = 3
_NUMBERS = re.compile(r"\b[0-9.]+\b")

_REMOVED: tuple[Callable[[Keys, str], str], ...] = (
    *(Keys.report, Keys.slow, Keys.carry),
    *(Keys.trades, Keys.book, Keys.snapshot, Keys.ticker, Keys.info),
)
"""The keys of a symbol that its removal deletes; what is left of its lease keeps late writers out."""


class Superseded(Exception):
    """Somebody else has changed what was asked for. The text says to what."""


class Goal(NamedTuple):
    """What is to hold.

    Attributes:
        version: The version of the desired state that has it.
        symbols: The symbols that were asked for, as they are to be.
        nodes: The same for nodes.
    """

    version: int
    symbols: Mapping[Instrument, DesiredSymbol] = {}
    nodes: Mapping[str, DesiredNode] = {}

    @classmethod
    def of(cls, desired: Desired, *, symbols: Collection[str] = (), nodes: Collection[str] = ()) -> Goal:
        """Return the goal that these symbols and nodes are as ``desired`` has them."""
        wanted = {symbol: state for symbol, state in desired.symbols.items() if symbol in symbols}
        return cls(desired.version, wanted, {node: desired.node(node) for node in nodes})


class Market(NamedTuple):
    """What Redis has of one symbol.

    Attributes:
        report: Its report; ``None`` if there is none that can be read.
        listed: The exchange's word on it, as in ``md:{X}:info``; "" if ingest has written none.
        book: Whether ingest has written its order book.
        left: How many of the keys exist that a removal deletes.
    """

    report: Head | None = None
    listed: str = ""
    book: bool = False
    left: int = 0


class Seen(NamedTuple):
    """What Redis shows at one moment.

    Attributes:
        cluster: Nodes, lead, assignment and desired state.
        leader: What stands beside the lead; without coordination it is noted there, too, though nobody leads.
        markets: What there is of the symbols that were looked up.
    """

    cluster: Cluster
    leader: LeaderRecord
    markets: Mapping[Instrument, Market]


def wait(client: Any, settings: Settings, goal: Goal, limit_s: float, tell: Callable[[str], None]) -> list[str]:
    """Wait until ``goal`` holds; return what is missing when the time is up, or nothing.

    Args:
        client: The data plane.
        settings: The deployment's.
        goal: What is to hold.
        limit_s: How long to wait.
        tell: Called with what is missing, when that changes.

    Raises:
        Superseded: Somebody else has changed what was asked for.
    """
    started, told = time.monotonic(), ""
    open_symbols = dict(goal.symbols)
    while True:
        try:
            seen = look(client, settings, open_symbols)
            lacking = dict(missing(goal._replace(symbols=open_symbols), seen, settings))
        except UNREADABLE as error:
            forget_connections(client)
            lacking = {"": f"Redis does not answer: {one_line(error)}"}
        else:
            if "" not in lacking:
                looked_up = seen.markets.keys()
                open_symbols = {s: to for s, to in open_symbols.items() if s in lacking or s not in looked_up}
        lines = list(lacking.values())
        if not lines and not open_symbols:
            return []
        waited_s = time.monotonic() - started
        if waited_s >= limit_s:
            return lines or [f"{len(open_symbols)} symbols were not looked at yet"]
        shown = summary(lines)
        reason = _NUMBERS.sub("", shown)  # an age alone is no news
        if lines and waited_s >= EVERY_S and reason != told:  # most changes hold by then
            tell(shown)
            told = reason
        time.sleep(EVERY_S)


def summary(lines: Collection[str]) -> str:
    """Return the first of many lines in one."""
    shown = [*lines][:_NAMED]
    more = len(lines) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def look(client: Any, settings: Settings, symbols: Mapping[Instrument, DesiredSymbol]) -> Seen:
    """Read what there is, of the first 100 ``symbols`` at most.

    Raises:
        redis.exceptions.RedisError: Redis does not answer, or a key has another type.
        Unreadable: A key holds what tickfence did not write.
    """
    keys = settings.keys
    leader = parse_leader(client.hgetall(keys.dispatcher))  # before the assignment, which is published first
    cluster = read_cluster(client, settings)
    part = [*symbols][:_AT_ONCE]
    if not part:
        return Seen(cluster, leader, {})
    pipe = client.pipeline(transaction=False)
    for symbol in part:
        pipe.get(keys.report(symbol))
        pipe.hget(keys.info(symbol), "status")
        for key in _REMOVED:
            pipe.exists(key(keys, symbol))
    replies = iter(pipe.execute())
    return Seen(cluster, leader, {symbol: _market(symbol, replies) for symbol in part})


def _market(symbol: Instrument, replies: Iterator[Any]) -> Market:
    report, listed = next(replies), next(replies)
    exist = {key: next(replies) for key in _REMOVED}
    try:
        head = report and decode_head(symbol, report)
    except BadReport:
        head = None
    return Market(head, (listed or b"").decode(errors="replace"), bool(exist[Keys.snapshot]), sum(exist.values()))


def missing(goal: Goal, seen: Seen, settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield each symbol or node that is not yet as it is to be, and why, in one line; "" stands for all of them.

    Args:
        goal: What is to hold.
        seen: What Redis shows.
        settings: The deployment's.

    Raises:
        Superseded: Somebody else has changed what was asked for.
    """
    stored = seen.cluster.desired
    if stored is not None and stored.version > goal.version:
        _check_unchanged(goal, stored)
    if seen.leader.desired < goal.version:
        yield "", _not_followed(seen, settings)
        return
    for symbol, to in goal.symbols.items():
        market = seen.markets.get(symbol)
        if market and (reason := _lacks(symbol, to, market, seen, settings)):
            yield symbol, f"{symbol} {reason}"
    for name, node in goal.nodes.items():
        if node.mode == NodeMode.DRAINED and (reason := _not_drained(name, seen.cluster)):
            yield name, f"{name} {reason}"


def _check_unchanged(goal: Goal, stored: Desired) -> None:
    changed: list[str] = [name for name, to in goal.symbols.items() if _state(stored, name) != to.state]
    changed += [name for name, node in goal.nodes.items() if stored.node(name)[:2] != node[:2]]
    if changed:
        since = [change for change in stored.changes if change.version > goal.version]
        by = "; ".join(f"{change.by} did `{change.what}`" for change in since) or "it was changed"
        raise Superseded(f"{changed[0]} is no longer as asked for: {by}")


def _state(desired: Desired, symbol: Instrument) -> SymbolState:
    found = desired.symbols.get(symbol)
    return found.state if found else SymbolState.REMOVED


def _not_followed(seen: Seen, settings: Settings) -> str:
    if not settings.nt_enable_multi_instance:
        return "no beat has followed the change"
    if seen.cluster.leader is None:
        return "no beat leads"
    return f"{leader_name(seen.cluster.leader.name)}, which leads, has not followed the change"


def _lacks(symbol: Instrument, to: DesiredSymbol, market: Market, seen: Seen, settings: Settings) -> str:
    """Why a symbol is not as it is to be; "" if it is."""
    owner = seen.cluster.assignment.owners.get(symbol)
    if to.state != SymbolState.ACTIVE:
        if owner is not None:
            return f"is still assigned to {owner.node}"
        kept = market.left if to.state == SymbolState.REMOVED else 0
        return f"still has {kept} key{'s' if kept > 1 else ''} in Redis" if kept else ""
    if settings.nt_enable_multi_instance:
        if seen.cluster.idle.get(symbol) == "set aside":
            return "is set aside: it was in work on two nodes when they got stuck"
        if owner is None:
            return "has no owner: no node may have it"
        if not any(node.alive for node in seen.cluster.nodes if node.record.owner == owner):
            return f"is assigned to {owner.node}, which is not alive"
    if market.report is None or market.report.updated_at < to.since_ms:
        return f"has no {'new ' if market.report else ''}report yet{_why_none(market)}"
    fresh = freshness(market.report, seen.cluster.now_ms, settings.nt_report_period_ms)
    return f"has no fresh report: {fresh.reason}" if fresh.stale else ""


def _why_none(market: Market) -> str:
    if market.listed == "delisted":
        return ": the exchange does not list it"
    if market.listed == "halted":
        return ": the exchange has halted it"
    if not market.book:
        return ": no ingest has written its order book"
    return ""


def _not_drained(name: str, cluster: Cluster) -> str:
    count = sum(owner.node == name for owner in cluster.assignment.owners.values())
    if not count:
        return ""
    others = any(node.works and node.state != NodeState.CORDONED for node in cluster.nodes if node.name != name)
    alone = "" if others else ", and no other node may have them"
    return f"still has {count} symbol{'s' if count > 1 else ''}{alone}"
