"""A report system as one builds it with Celery and redis-py by their documentation: a beat entry and a lock per symbol.

    celery -A tools.benchmarks.peers.locked_app beat
    celery -A tools.benchmarks.peers.locked_app worker

- Two entries a symbol in ``beat_schedule``: its report every 250 ms, its slow sections every 2 s
  (https://docs.celeryq.dev/en/stable/userguide/periodic-tasks.html). ``expires`` is one period, so that what has waited
  longer is dropped (https://docs.celeryq.dev/en/stable/userguide/calling.html#expiration).
- One writer at a time by a lock around the task's work that runs out by itself, after longer than the work takes
  (https://docs.celeryq.dev/en/stable/tutorials/task-cookbook.html#ensuring-a-task-is-only-executed-one-at-a-time). The
  lock is redis-py's, not waited for (https://redis.readthedocs.io/en/stable/lock.html). It lasts as long as tickfence's
  lease does.
- The worker's pool is Celery's own choice, prefork with a process a core
  (https://docs.celeryq.dev/en/stable/userguide/workers.html#concurrency). Results are ignored, rate limits are off
  (https://docs.celeryq.dev/en/stable/userguide/tasks.html#tips-and-best-practices), and the prefetch multiplier is one
  for many short tasks (https://docs.celeryq.dev/en/stable/userguide/optimizing.html#prefetch-limits).
- Any process of the pool may get any symbol, so each keeps a warm state of all symbols and reads from the streams what
  is new to it. The slow sections are computed once and shared through Redis.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache

import redis
from celery import Celery, Task
from celery.utils.log import get_task_logger
from redis.exceptions import LockNotOwnedError

from tasks.symbol_events import Event
from tasks.warm_symbol import WarmSymbol
from tickfence.analytics import report as fast_report
from tickfence.analytics import slow_cycle
from tickfence.instrument import Instrument
from tickfence.redis_access.scripts import send
from tickfence.settings import load
from tools.benchmarks.peers import latencies

logger = get_task_logger(__name__)

UNFENCED_TOKEN = 1

_settings = load()
_period_s, _slow_period_s = _settings.nt_report_period_ms / 1000, _settings.nt_slow_period_ms / 1000

app = Celery("locked")
app.conf.update(
    broker_url=_settings.celery_broker_url,
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    worker_disable_rate_limits=True,
    worker_prefetch_multiplier=64,
    beat_schedule={
        f"{name}-{symbol}": {
            "task": f"locked.{name}",
            "schedule": period_s,
            "args": (symbol,),
            "options": {"expires": period_s},
        }
        for name, period_s in (("report", _period_s), ("slow", _slow_period_s))
        for symbol in _settings.symbols
    },
)

_warm: dict[str, WarmSymbol] = {}
_sections: dict[str, bytes | None] = {}


@app.task(name="locked.report", bind=True)  # type: ignore[untyped-decorator]
def report(task: Task, symbol: str) -> None:
    """Write the report of ``symbol``, unless another process is at it."""

    def write(warm: WarmSymbol, now_ms: int) -> None:
        built = fast_report.build(warm.state, now_ms, f"worker-{os.getpid()}", UNFENCED_TOKEN)
        _client().set(_settings.keys.report(symbol), built, ex=_settings.nt_report_ttl_s)
        latencies.note(task.request.expires, _period_s)

    _alone(symbol, write)


@app.task(name="locked.slow")  # type: ignore[untyped-decorator]
def slow(symbol: str) -> None:
    """Find the slow sections of ``symbol``'s reports, unless another process is at that symbol."""

    def write(warm: WarmSymbol, now_ms: int) -> None:
        _sections[symbol] = found = slow_cycle.run(warm.state, now_ms)
        _client().set(_settings.keys.slow(symbol), found, ex=_settings.nt_report_ttl_s)

    _alone(symbol, write)


def _alone(symbol: str, write: Callable[[WarmSymbol, int], None]) -> None:
    """Call ``write`` with the up-to-date state of ``symbol`` and the time (ms), under the symbol's lock."""
    lock = _client().lock(f"lock:{symbol}", timeout=_settings.nt_lease_ttl_ms / 1000, blocking=False)
    if not lock.acquire():
        return
    try:
        now_ms = time.time_ns() // 1_000_000
        warm = _read(symbol, now_ms)
        if not warm.cold and warm.state.publishable:
            write(warm, now_ms)
    finally:
        try:
            lock.release()
        except LockNotOwnedError:
            logger.warning("the lock of %s ran out during the work", symbol)


def _read(symbol: str, now_ms: int) -> WarmSymbol:
    warm = _warm.setdefault(symbol, WarmSymbol(Instrument(symbol), _settings.keys, _ignore))
    for _attempt in range(2):  # after a gap once more, from the snapshot
        requests = warm.read(now_ms, time.monotonic())
        sections, *replies = send(
            _client(), [("GET", _settings.keys.slow(symbol)), *(command for command, _ in requests)]
        )
        for (_, take), reply in zip(requests, replies, strict=True):
            take(reply)
        if not warm.cold:
            break
    if sections is not None and sections != _sections.get(symbol):
        warm.state.restore_slow(sections)
        _sections[symbol] = sections
    return warm


def _ignore(event: Event) -> None:
    """This worker tells nobody what happens to its symbols."""


@cache
def _client() -> redis.Redis:
    # Called by tasks alone, so in each process of the pool after it was forked.
    return redis.Redis.from_url(_settings.redis_url)
