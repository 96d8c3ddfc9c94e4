"""The analysis tasks.

A task costs two round trips, whatever the number of symbols in its message: acquire the leases and read what is new;
compute; write under the fence.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from celery import Task
from redis.exceptions import ConnectionError, RedisError, TimeoutError

from analytics import report
from coordination.keys import report_key
from coordination.lease import Acquired, Grant, Written, parse_acquire, parse_write, queue_acquire, queue_write
from coordination.scripts import execute
from coordination.tick import Tick
from monitoring import node_metrics as metrics
from streams.codec import BadEntry
from tasks.celery_app import app
from tasks.lifecycle import this_node
from tasks.node import Node
from tasks.warm_symbol import WarmSymbol

logger = logging.getLogger(__name__)

UNFENCED_TOKEN = 1


class PerSymbolTask(Task):  # type: ignore[misc]
    """A task that the dispatcher fans out over symbols and nodes.

    Its messages are worth nothing once their cycle is over, so nothing about them is stored, retried or announced.
    """

    fan_out = True
    ignore_result = True
    send_events = False
    max_retries = 0


@app.task(name="tasks.fast_cycle", base=PerSymbolTask)  # type: ignore[untyped-decorator]
def fast_cycle(symbols: Sequence[str], tick: Sequence[Any]) -> None:
    """Write the reports of ``symbols``, as told by ``tick`` (:class:`coordination.tick.Tick`)."""
    node = this_node()
    with node.lock:
        publish(node, symbols, Tick(*tick), node.settings.nt_report_period_ms)


def publish(node: Node, symbols: Sequence[str], tick: Tick, period_ms: int) -> None:
    """One fast cycle of ``symbols`` on ``node``."""
    refusal = node.refusal(tick, period_ms)
    if refusal is not None:
        metrics.ticks_dropped.labels(refusal).inc()
        return
    warm = [node.symbols.setdefault(symbol, WarmSymbol(symbol)) for symbol in symbols]
    try:
        granted = _read(node, warm, tick.generation)
        again = [symbol for symbol in granted if symbol.cold]
        if again:  # a gap in the stream: load the snapshot now rather than lose a cycle
            _read(node, again, tick.generation)
        reports = [(symbol, body) for symbol in granted if (body := _compute(node, symbol)) is not None]
        if reports:
            _write(node, reports)
            metrics.dispatch_to_written.observe(max(0, node.clock.now_ms() - tick.due_ms))
    except RedisError as error:
        # The next cycle is the retry; what was read but not taken in is read again then.
        metrics.redis_errors.labels("cycle").inc()
        logger.warning("no reports this cycle: %s", error, extra={"symbols": len(symbols)})
    node.forget_old()


def _read(node: Node, symbols: list[WarmSymbol], generation: int) -> list[WarmSymbol]:
    """Round trip 1. Returns the symbols whose lease was granted, brought up to date."""
    now_ms = node.clock.now_ms()

    def queue(pipe: Any) -> list[int]:
        counts = []
        for warm in symbols:
            if node.fenced:
                queue_acquire(pipe, warm.symbol, node.owner, generation, node.settings.nt_lease_ttl_ms)
            counts.append(warm.queue_read(pipe, now_ms))
        return counts

    pipe = node.client.pipeline(transaction=False)
    counts = queue(pipe)
    try:
        replies = iter(execute(pipe))
    except (ConnectionError, TimeoutError):
        # Connections kept in the pool are dead after Redis restarted; all of this may be asked twice.
        node.client.connection_pool.disconnect()
        pipe = node.client.pipeline(transaction=False)
        queue(pipe)
        replies = iter(execute(pipe))

    granted = []
    for warm, count in zip(symbols, counts, strict=True):
        grant = parse_acquire(next(replies)) if node.fenced else None
        read = [next(replies) for _ in range(count)]
        if grant is not None and not _granted(node, warm, grant):
            continue
        warm.granted_at = time.monotonic()
        try:
            warm.take(read)
        except BadEntry as error:
            logger.error("unreadable market data: %s", error, extra={"symbol": warm.symbol})
            metrics.reports_withheld.labels("bad entry").inc()
            warm.chill("bad entry")
            continue
        granted.append(warm)
    return granted


def _granted(node: Node, warm: WarmSymbol, grant: Grant) -> bool:
    """Note what came of asking for a lease; a symbol that is another's now is forgotten."""
    where = {"node": node.owner.node, "symbol": warm.symbol, "token": grant.token}
    if grant.granted:
        if grant.outcome is Acquired.TAKEN:
            logger.info("lease taken", extra=where)
        warm.token, warm.seq = grant.token, grant.seq
        return True
    if grant.outcome is Acquired.CONFLICT:
        metrics.lease_conflicts.inc()
        logger.error("lease refused: another owner of this generation holds it", extra=where)
    else:
        metrics.lease_refused.inc()
        logger.info("lease refused: this message is of an older assignment", extra=where)
    if grant.token != warm.token:
        node.symbols.pop(warm.symbol, None)
    return False


def _compute(node: Node, warm: WarmSymbol) -> bytes | None:
    """One report as JSON, or ``None`` while the book cannot be trusted."""
    if warm.cold or not warm.state.publishable:
        metrics.reports_withheld.labels("no snapshot" if warm.cold else "book").inc()
        return None
    started = time.perf_counter()
    now_ms = node.clock.now_ms()
    body = report.build(warm.state, now_ms, node.owner.node, warm.token if node.fenced else UNFENCED_TOKEN)
    metrics.calc_latency.labels("fast").observe((time.perf_counter() - started) * 1000)
    if warm.state.last_update_ms is not None:
        metrics.data_age.observe(max(0, now_ms - warm.state.last_update_ms))
    return body


def _write(node: Node, reports: list[tuple[WarmSymbol, bytes]]) -> None:
    """Round trip 2. Sent again once if its reply is lost: the number of each write makes that safe."""
    ttl_ms = node.settings.nt_report_ttl_s * 1000

    def queue(pipe: Any) -> Any:
        for warm, body in reports:
            if node.fenced:
                queue_write(pipe, warm.symbol, node.owner, warm.token, warm.seq + 1, body, ttl_ms)
            else:
                pipe.set(report_key(warm.symbol), body, px=ttl_ms)
        return pipe

    try:
        replies = execute(queue(node.client.pipeline(transaction=False)))
    except (ConnectionError, TimeoutError):
        node.client.connection_pool.disconnect()
        replies = execute(queue(node.client.pipeline(transaction=False)))
    for (warm, _), reply in zip(reports, replies, strict=True):
        outcome = parse_write(reply) if node.fenced else Written.WRITTEN
        if outcome.accepted:
            warm.seq += 1
            metrics.report_publish.labels("fast").inc()
        else:
            metrics.writes_fenced.inc()
            logger.info(
                "report refused by the fence",
                extra={"node": node.owner.node, "symbol": warm.symbol, "token": warm.token, "outcome": outcome.value},
            )
