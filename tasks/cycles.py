"""The analysis tasks.

A task costs two round trips, whatever the number of symbols in its message: acquire the leases and read what is new;
compute; write under the fence. A lease whose last write was accepted is not asked for again: that write renewed it, and
the fence judges the next one anyway.

Both cycles are the same but for what they compute and write. The fast one writes the report; the slow one writes the
sections that every report of the next two seconds carries, for the owner after this one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from celery import Task
from prometheus_client import Histogram
from redis import exceptions
from redis.exceptions import ResponseError

from tasks.celery_app import app
from tasks.lifecycle import this_node
from tasks.node import Node
from tasks.warm_symbol import WarmSymbol
from tickfence.analytics import carry, report
from tickfence.analytics import slow_cycle as sections
from tickfence.coordination.dispatch import Dispatch
from tickfence.coordination.keys import carry_key, lease_key, report_key, slow_key
from tickfence.coordination.lease import (
    Acquired,
    Grant,
    Write,
    Written,
    parse_acquire,
    parse_writes,
    queue_acquire,
    queue_writes,
    writes_per_call,
)
from tickfence.instrument import Instrument
from tickfence.monitoring import node_metrics as metrics
from tickfence.redis_access.errors import UNAVAILABLE, cannot_serve
from tickfence.redis_access.raw_pipeline import pipeline
from tickfence.redis_access.scripts import execute
from tickfence.streams.codec import BadEntry

logger = logging.getLogger(__name__)

UNFENCED_TOKEN = 1

Values = dict[str, bytes]
"""Key -> value, all in the slot of one symbol's report."""


class PerSymbolTask(Task):  # type: ignore[misc]
    """A task that the dispatcher fans out over symbols and nodes.

    Its messages are worth nothing once their cycle is over, so nothing about them is stored, retried or announced.
    """

    fan_out = True
    spread = False
    ignore_result = True
    send_events = False
    max_retries = 0


class SpreadTask(PerSymbolTask):
    """One whose symbols are spread over its period instead of falling due all at once.

    It is rare enough to be shown by Flower and ``celery events``.
    """

    spread = True
    send_events = True


class Cycle(NamedTuple):
    """What tells one cycle from another.

    Attributes:
        name: label of its metrics.
        compute: finds what to write of a warm symbol at a time (ms).
        accepted: notes that Redis has accepted those values.
        latency: its metric of the time that ``compute`` takes.
    """

    name: str
    compute: Callable[[Node, WarmSymbol, int], Values]
    accepted: Callable[[WarmSymbol, Values], None]
    latency: Histogram


@app.task(name="tasks.fast_cycle", base=PerSymbolTask)  # type: ignore[untyped-decorator]
def fast_cycle(symbols: Sequence[Instrument], tick: Sequence[Any]) -> None:
    """Write the reports of ``symbols``, as told by ``tick`` (:class:`tickfence.coordination.dispatch.Dispatch`)."""
    node = this_node()
    run_cycle(node, FAST, symbols, Dispatch(*tick), node.settings.nt_report_period_ms)


@app.task(name="tasks.slow_cycle", base=SpreadTask)  # type: ignore[untyped-decorator]
def slow_cycle(symbols: Sequence[Instrument], tick: Sequence[Any]) -> None:
    """Find the slow sections of ``symbols``' reports, as told by ``tick``."""
    node = this_node()
    run_cycle(node, SLOW, symbols, Dispatch(*tick), node.settings.nt_slow_period_ms)


def run_cycle(node: Node, cycle: Cycle, symbols: Sequence[Instrument], tick: Dispatch, period_ms: int) -> None:
    """One cycle of ``symbols`` on ``node``; a tick that is not for it, or whose time is over, is dropped."""
    with node.lock:
        try:
            node.learn_time()
            refusal = node.refusal(tick, period_ms)
            if refusal is None:
                _run(node, cycle, symbols, tick)
            else:
                metrics.ticks_dropped.labels(cycle.name, refusal).inc()
        except UNAVAILABLE as error:
            # The next cycle is the retry; what was read but not taken in is read again then.
            metrics.redis_errors.labels("cycle").inc()
            if cannot_serve(error):
                node.forget_connections()  # another may be the master by now
            node.outage.failed(error)
        else:
            node.outage.over()
        node.forget_old()


def _run(node: Node, cycle: Cycle, symbols: Sequence[Instrument], tick: Dispatch) -> None:
    warm = [node.symbols.get(symbol) or node.symbols.setdefault(symbol, WarmSymbol(symbol)) for symbol in symbols]
    accepted, unasked = _publish(node, cycle, warm, tick)
    if unasked:  # Redis has lost these leases, or they are another's: ask now rather than lose a cycle
        accepted += _publish(node, cycle, unasked, tick)[0]
    if accepted:
        metrics.dispatch_to_written.labels(cycle.name).observe(max(0, node.clock.now_ms() - tick.due_ms))


class Read(NamedTuple):
    """What came of round trip 1.

    Attributes:
        granted: symbols whose lease was granted now, or renewed by the last write; brought up to date. Whether it still
            holds, the fence will tell.
        asked: names of those whose lease was asked for.
        failure: the first error reply that is the server's; its symbols are not among ``granted``.
    """

    granted: list[WarmSymbol]
    asked: set[Instrument]
    failure: ResponseError | None


def _publish(node: Node, cycle: Cycle, warm: list[WarmSymbol], tick: Dispatch) -> tuple[int, list[WarmSymbol]]:
    """Read, compute, write.

    Returns the number of writes accepted, and the symbols whose write was refused while their lease was not asked for.
    """
    known = [symbol for symbol in warm if not symbol.cold]
    granted, asked, failure = _read(node, warm, tick.generation)
    again = [symbol for symbol in granted if symbol.cold and symbol in known]
    if again:  # a gap in the stream: load the snapshot now rather than lose a cycle
        reread = _read(node, again, tick.generation)
        asked, failure = asked | reread.asked, failure or reread.failure
    found = [(symbol, values) for symbol in granted if (values := _compute(node, cycle, symbol)) is not None]
    refused = []
    if found:
        refused = _write(node, cycle, found, tick.generation)
        not_written = {symbol.symbol for symbol in refused}
        for symbol, values in found:
            if symbol.symbol not in not_written:
                cycle.accepted(symbol, values)
    for symbol in refused:
        if symbol.symbol in asked:
            metrics.writes_fenced.inc()
            where = {"node": node.owner.node, "symbol": symbol.symbol, "token": symbol.token}
            logger.info("write refused by the fence", extra=where)
    if failure is not None:
        raise failure  # only now: in a Redis Cluster, what the other servers hold has been written
    return len(found) - len(refused), [symbol for symbol in refused if symbol.symbol not in asked]


def _read(node: Node, symbols: list[WarmSymbol], generation: int) -> Read:
    """Round trip 1.

    An error reply that is the server's is not any symbol's; one that a single key causes stops its symbol only.
    """
    now_ms = node.clock.now_ms()

    def queue() -> tuple[Any, set[Instrument], list[int]]:
        pipe = pipeline(node.client)
        asked = {warm.symbol for warm in symbols if node.fenced and warm.renewed != generation}
        counts = []
        for warm in symbols:
            warm.renewed = 0
            if warm.symbol in asked:
                queue_acquire(pipe, warm.symbol, node.owner, generation, node.settings.nt_lease_ttl_ms)
            counts.append(warm.queue_read(pipe, now_ms))
        return pipe, asked, counts

    pipe, asked, counts = queue()
    try:
        replies = iter(execute(pipe, raise_errors=False))
    except (exceptions.ConnectionError, exceptions.TimeoutError):
        # Connections kept in the pool are dead after Redis restarted; all of this may be asked twice.
        node.forget_connections()
        pipe, asked, counts = queue()
        replies = iter(execute(pipe, raise_errors=False))

    granted: list[WarmSymbol] = []
    failure: ResponseError | None = None
    for warm, count in zip(symbols, counts, strict=True):
        answer = next(replies) if warm.symbol in asked else None
        read = [next(replies) for _ in range(count)]
        if isinstance(answer, ResponseError):
            if cannot_serve(answer):
                failure = failure or answer
                continue
            logger.error(
                "no lease can be had: %s", answer, extra={"symbol": warm.symbol, "key": lease_key(warm.symbol)}
            )
            metrics.reports_withheld.labels("bad lease").inc()
            continue
        if answer is not None and not _granted(node, warm, parse_acquire(_checked(answer))):
            continue
        if not node.fenced:
            warm.granted_at = time.monotonic()
        try:
            warm.take([_checked(reply) for reply in read])
        except (BadEntry, ResponseError) as error:  # one key that is not what it should be stops one symbol
            if isinstance(error, ResponseError) and cannot_serve(error):
                failure = failure or error
                continue
            logger.error("unreadable market data: %s", error, extra={"symbol": warm.symbol})
            metrics.reports_withheld.labels("bad entry").inc()
            warm.chill("bad entry")
            continue
        granted.append(warm)
    return Read(granted, asked, failure)


def _checked(reply: Any) -> Any:
    if isinstance(reply, Exception):
        raise reply
    return reply


def _granted(node: Node, warm: WarmSymbol, grant: Grant) -> bool:
    """Note what came of asking for a lease; a symbol that is another's now is forgotten."""
    where = {"node": node.owner.node, "symbol": warm.symbol, "token": grant.token}
    if grant.granted:
        if grant.outcome is Acquired.TAKEN:
            logger.info("lease taken", extra=where)
        # Redis may have lost the last writes; their numbers are not used again.
        warm.token, warm.seq = grant.token, max(warm.seq, grant.seq)
        warm.granted_at = time.monotonic()
        return True
    if grant.outcome is Acquired.CONFLICT:
        metrics.lease_conflicts.inc()
        logger.error("lease refused: another owner of this generation holds it", extra=where | {"holder": grant.holder})
        node.conflicts.tell(warm.symbol, grant.holder.rpartition("/")[0])
    else:
        metrics.lease_refused.inc()
        logger.info("lease refused: this message is of an older assignment", extra=where)
    if grant.token != warm.token:
        node.symbols.pop(warm.symbol, None)
    return False


def _compute(node: Node, cycle: Cycle, warm: WarmSymbol) -> Values | None:
    """What one cycle writes of one symbol, or ``None`` while its book cannot be trusted."""
    if warm.cold or not warm.state.publishable:
        metrics.reports_withheld.labels("no snapshot" if warm.cold else "book").inc()
        if not warm.cold:
            warm.chill("book")  # its sides cross, though no update is missing: only another snapshot mends that
        return None
    started = time.perf_counter()
    warm.computed_ms = node.clock.now_ms()
    values = cycle.compute(node, warm, warm.computed_ms)
    cycle.latency.observe((time.perf_counter() - started) * 1000)
    return values


def _compute_report(node: Node, warm: WarmSymbol, now_ms: int) -> Values:
    token = warm.token if node.fenced else UNFENCED_TOKEN
    return {report_key(warm.symbol): report.build(warm.state, now_ms, node.owner.node, token)}


def _compute_slow(node: Node, warm: WarmSymbol, now_ms: int) -> Values:
    values = {slow_key(warm.symbol): sections.run(warm.state, now_ms)}
    # The streams keep the diffs of two snapshot intervals, so what is left behind may be older by one.
    if time.monotonic() - warm.carried_at >= node.settings.nt_snapshot_interval_ms / 1000:
        values[carry_key(warm.symbol)] = carry.dump(warm.state, now_ms)
    return values


def _report_accepted(warm: WarmSymbol, _: Values) -> None:
    if warm.state.last_update_ms is not None:
        metrics.data_age.observe(max(0, warm.computed_ms - warm.state.last_update_ms))


def _slow_accepted(warm: WarmSymbol, values: Values) -> None:
    if carry_key(warm.symbol) in values:
        warm.carried_at = time.monotonic()


FAST = Cycle("fast", _compute_report, _report_accepted, metrics.calc_latency.labels("fast"))
SLOW = Cycle("slow", _compute_slow, _slow_accepted, metrics.calc_latency.labels("slow"))


def _write(node: Node, cycle: Cycle, found: list[tuple[WarmSymbol, Values]], generation: int) -> list[WarmSymbol]:
    """Round trip 2. Sent again once if its reply is lost: the number of each write makes that safe.

    A write whose outcome stays unknown keeps its number: the next one, of other values, has another.

    Returns the symbols whose write was refused.
    """
    ttl_ms, lease_ms = node.settings.nt_report_ttl_s * 1000, node.settings.nt_lease_ttl_ms

    size = writes_per_call(node.client)

    def queue() -> Any:
        pipe = pipeline(node.client)
        if node.fenced:
            writes = [
                Write(one.symbol, one.token, one.seq + 1, values, one.state.book.last_update_id)
                for one, values in found
            ]
            for first in range(0, len(writes), size):
                queue_writes(pipe, node.owner, writes[first : first + size], ttl_ms, lease_ms)
        else:
            for _, values in found:
                for key, value in values.items():
                    pipe.execute_command("SET", key, value, "PX", ttl_ms)
        return pipe

    try:
        try:
            replies = execute(queue())
        except (exceptions.ConnectionError, exceptions.TimeoutError):
            node.forget_connections()
            replies = execute(queue())
    except UNAVAILABLE:
        for warm, _ in found:
            warm.seq += 1
        raise
    if node.fenced:
        outcomes = [outcome for reply in replies for outcome in parse_writes(reply)]
    else:
        outcomes = [Written.WRITTEN] * len(found)
    now = time.monotonic()
    refused = []
    for (warm, _), outcome in zip(found, outcomes, strict=True):
        if outcome.accepted:
            warm.seq += 1
            warm.renewed, warm.granted_at = generation, now
        else:
            refused.append(warm)
    metrics.report_publish.labels(cycle.name).inc(len(found) - len(refused))
    return refused
