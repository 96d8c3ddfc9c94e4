"""The analysis tasks: two round trips each, whatever the number of symbols in a message.

Round trip 1 acquires the leases and reads what is new; then the values are computed; round trip 2 writes them under the
fence. :class:`tasks.reporter.Reporter` decides what to send for a symbol, and what follows from a reply.

The fast cycle writes the report. The slow one writes the sections that every report of the next two seconds repeats,
and what the next owner starts with.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, ParamSpec, TypeVar

from celery import Task
from prometheus_client import Histogram

from tasks.celery_app import app
from tasks.lifecycle import this_node
from tasks.node import Node
from tasks.reporter import Compute, Progress, Reporter, Values
from tasks.work import Work
from tickfence.coordination.dispatch import Dispatch
from tickfence.coordination.lease import Write
from tickfence.instrument import Instrument
from tickfence.monitoring import node_metrics as metrics
from tickfence.redis_access.command import Request
from tickfence.redis_access.errors import CONNECTION_LOST, REDIS_ERRORS, cannot_serve
from tickfence.redis_access.scripts import send

logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")
_Arguments = ParamSpec("_Arguments")


class PerSymbolTask(Task):  # type: ignore[misc]
    """A task that the dispatcher fans out over symbols and nodes.

    Its messages are worth nothing once their cycle is over, so nothing about them is stored, retried or announced.
    """

    fan_out = True
    spread = False
    ignore_result = True
    send_events = False
    max_retries = 0

    def on_failure(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002 - Celery's
        """Count a message that could not be worked on; Celery logs it."""
        metrics.messages_dropped.labels("failed").inc()


class SpreadTask(PerSymbolTask):
    """A task whose symbols are spread over its period instead of falling due all at once.

    It is rare enough to be shown by Flower and ``celery events``.
    """

    spread = True
    send_events = True


class Cycle(NamedTuple):
    """What tells one cycle from another.

    Attributes:
        name: label of its metrics.
        compute: finds what to write of a symbol.
        latency: its metric of the time that ``compute`` takes.
        data_age: its metric of how old the market data is in what Redis has accepted; ``None`` where that is not asked.
        rules: whether it reads the exchange's rules of the symbol each time, because what it computes depends on them.
    """

    name: str
    compute: Compute
    latency: Histogram
    data_age: Histogram | None = None
    rules: bool = False


FAST = Cycle("fast", Reporter.report, metrics.calc_latency.labels("fast"), metrics.data_age)
SLOW = Cycle("slow", Reporter.sections, metrics.calc_latency.labels("slow"), rules=True)


@app.task(name="tasks.fast_cycle", base=PerSymbolTask)  # type: ignore[untyped-decorator]
def fast_cycle(symbols: Sequence[Instrument], dispatch: Sequence[Any]) -> None:
    """Write the reports of ``symbols``.

    Args:
        symbols: of this node.
        dispatch: the fields of a :class:`tickfence.coordination.dispatch.Dispatch`.
    """
    node = this_node()
    run_cycle(node, FAST, symbols, Dispatch(*dispatch), node.settings.nt_report_period_ms)


@app.task(name="tasks.slow_cycle", base=SpreadTask)  # type: ignore[untyped-decorator]
def slow_cycle(symbols: Sequence[Instrument], dispatch: Sequence[Any]) -> None:
    """Write the slow sections of ``symbols``' reports; arguments as of :func:`fast_cycle`."""
    node = this_node()
    run_cycle(node, SLOW, symbols, Dispatch(*dispatch), node.settings.nt_slow_period_ms)


def run_cycle(node: Node, cycle: Cycle, symbols: Sequence[Instrument], dispatch: Dispatch, period_ms: int) -> None:
    """Run one cycle of ``symbols`` on ``node``; drop a dispatch that is not for this node, or comes too late."""
    with node.lock:
        try:
            node.learn_time()
            refusal = node.refusal(dispatch, period_ms)
            if refusal is None:
                _run(node, cycle, symbols, dispatch)
            else:
                metrics.ticks_dropped.labels(cycle.name, refusal).inc()
        except REDIS_ERRORS as error:
            # The next cycle is the retry: what was not taken in is read again then.
            metrics.redis_errors.labels("cycle").inc()
            if cannot_serve(error):
                node.forget_connections()  # another may be the master by now
            node.outage.failed(error)
        else:
            node.outage.over()
        node.forget_old(time.monotonic())


def _run(node: Node, cycle: Cycle, symbols: Sequence[Instrument], dispatch: Dispatch) -> None:
    written, lost = _publish(node, cycle, node.reporters(symbols), dispatch.generation)
    if lost:
        written += _publish(node, cycle, lost, dispatch.generation)[0]
    if written:
        metrics.dispatch_to_written.labels(cycle.name).observe(max(0, node.clock.now_ms() - dispatch.sent_ms))


def _publish(node: Node, cycle: Cycle, reporters: Sequence[Reporter], generation: int) -> tuple[int, list[Reporter]]:
    """Read, compute, write.

    Returns:
        The number of writes accepted, and the reporters that have lost their lease since its renewal: Redis has lost
        it, or another owner has taken it. Asked again at once, a lease that Redis lost costs no cycle.
    """
    ready, behind, failure = _read(node, cycle, reporters, generation)
    if behind:
        caught_up, _, failure_again = _read(node, cycle, behind, generation)
        ready, failure = ready + caught_up, failure or failure_again
    computed = [(reporter, values) for reporter in ready if (values := _compute(node, cycle, reporter)) is not None]
    # Rows of history are made here, one after the other: beside the computations, each would find the caches cold.
    writes = [(reporter, reporter.write(values)) for reporter, values in computed]
    accepted, lost = _write(node, cycle, writes) if writes else (0, [])
    if failure is not None:
        raise failure  # only now: in a Redis Cluster, what the other servers hold has been written
    return accepted, lost


def _read(
    node: Node, cycle: Cycle, reporters: Sequence[Reporter], generation: int
) -> tuple[list[Reporter], list[Reporter], Exception | None]:
    """Round trip 1.

    Returns:
        The reporters that may write, those that must read once more, and the first error reply that is the server's
        and not any symbol's.
    """
    now_ms = node.clock.now_ms()

    def ask() -> tuple[list[list[Request] | None], list[Any]]:
        now_s = time.monotonic()
        requests = [
            _alone(node.work, reporter, None, reporter.read, generation, now_ms, now_s, rules=cycle.rules)
            for reporter in reporters
        ]
        commands = [command for of_one in requests for command, _ in of_one or ()]
        return requests, send(node.client, commands, raise_errors=False)

    requests, replies = _twice(node, ask)
    now_s, last = time.monotonic(), 0
    ready, behind = [], []
    failure: Exception | None = None
    for reporter, of_one in zip(reporters, requests, strict=True):
        if of_one is None:
            continue
        first, last = last, last + len(of_one)
        try:
            progress = _alone(node.work, reporter, None, reporter.take, of_one, replies[first:last], now_s)
        except REDIS_ERRORS as error:
            failure = failure or error
            continue
        if progress is Progress.READY:
            ready.append(reporter)
        elif progress is Progress.AGAIN:
            behind.append(reporter)
        elif progress is Progress.MOVED:
            node.symbols.pop(reporter.symbol, None)
    return ready, behind, failure


def _compute(node: Node, cycle: Cycle, reporter: Reporter) -> Values | None:
    started = time.perf_counter()
    values = _alone(
        node.work, reporter, cycle.compute, reporter.compute, cycle.compute, node.clock.now_ms(), time.monotonic()
    )
    if values is not None:
        cycle.latency.observe((time.perf_counter() - started) * 1000)
    return values


def _write(node: Node, cycle: Cycle, writes: list[tuple[Reporter, Write]]) -> tuple[int, list[Reporter]]:
    """Round trip 2. Sent again once if its reply is lost: the number of each write makes that safe.

    Returns:
        The number of writes accepted, and the reporters whose lease must be asked for again at once.
    """
    outcomes = _twice(node, lambda: node.writer.write(node.client, [write for _, write in writes]))
    now_s = time.monotonic()
    accepted, lost = 0, []
    for (reporter, write), outcome in zip(writes, outcomes, strict=True):
        progress = _alone(node.work, reporter, cycle.compute, reporter.written, write, outcome, now_s)
        if progress is Progress.READY:
            accepted += 1
            if cycle.data_age is not None:
                if (age_ms := reporter.data_age_ms) is not None:
                    cycle.data_age.observe(age_ms)
                if (news_ms := reporter.news_age_ms()) is not None:
                    metrics.exchange_to_report.observe(news_ms)
        elif progress is Progress.AGAIN:
            lost.append(reporter)
    metrics.report_publish.labels(cycle.name).inc(accepted)
    return accepted, lost


def _alone(
    work: Work,
    reporter: Reporter,
    values: Compute | None,
    step: Callable[_Arguments, _Answer],
    *arguments: _Arguments.args,
    **options: _Arguments.kwargs,
) -> _Answer | None:
    """Take a step for one symbol; an exception is that symbol's alone, whatever it is.

    Any value that the exchange or another version wrote can meet a line that did not expect it. The other symbols of
    the message must not pay for that, so every exception is caught here. (What history needs beside the report is caught
    apart: `tasks.symbol_events.BesideTheReport`.)

    Args:
        work: of this node, where the step is noted.
        reporter: of the symbol.
        values: what the step computes or writes; ``None`` where it reads.
        step: a method of the reporter.
        arguments, options: what the step is called with.

    Returns:
        What the step returns, or ``None`` if it failed: the symbol is withheld in this cycle.
    """
    work.begin(reporter.symbol)
    try:
        return step(*arguments, **options)
    except Exception as error:
        if values is None and isinstance(error, REDIS_ERRORS):
            raise  # a reply that is the server's trouble, and not the symbol's
        reporter.fail(error, time.monotonic(), values)
        return None
    finally:
        work.symbol = ""


def _twice(node: Node, round_trip: Callable[[], _Answer]) -> _Answer:
    """Make a round trip; once more if its connection is dead: after Redis restarted, each that the pool keeps is."""
    try:
        return round_trip()
    except CONNECTION_LOST:
        node.forget_connections()
        return round_trip()
