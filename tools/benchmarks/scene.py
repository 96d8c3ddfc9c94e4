"""A deployment to be measured: a Redis Cluster, a broker, a quiet market, a fleet, and what watches them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from redis.exceptions import RedisClusterException, RedisError

from tickfence.coordination.assignment_store import StoredAssignment, read_assignment
from tickfence.keys import Keys
from tickfence.redis_access.connect import connect
from tickfence.timeline.events import Kind
from tools.benchmarks.dispatch_watch import DispatchWatch
from tools.benchmarks.fleet import Fleet
from tools.benchmarks.lease_watch import LeaseWatch
from tools.benchmarks.machine import process_cpu_seconds
from tools.benchmarks.quiet_market import names
from tools.benchmarks.redis_cluster import RedisCluster
from tools.benchmarks.stack import StackError
from tools.local.embedded_redis import EmbeddedRedis
from tools.local.parent_death import ends_with_parent
from tools.local.roles import ROOT, without_settings

LOOK_EVERY_S = 0.005


class Scene:
    """A deployment within the ``with`` block. Entering it starts the servers and the market, not the fleet.

    Args:
        folder: for logs.
        count: number of symbols.
        nodes: number of nodes.
        beats: number of beats.
        variables: settings of nodes and beats.
        market_every_s: seconds between two diffs of a symbol.
        node_timeout_ms: ``cluster-node-timeout``.
    """

    def __init__(
        self,
        folder: Path,
        count: int,
        nodes: int,
        beats: int,
        variables: Mapping[str, str],
        market_every_s: float,
        node_timeout_ms: int,
    ) -> None:
        self.symbols, self.keys = names(count), Keys()
        self.cluster, self.broker = RedisCluster(node_timeout_ms), EmbeddedRedis()
        environment = {
            **without_settings(os.environ),
            "REDIS_URL": self.cluster.url,
            "CELERY_BROKER_URL": self.broker.url(),
            "SYMBOLS": ",".join(self.symbols),
            "NT_LOG_LEVEL": "WARNING",
            **variables,
        }
        node_names = [f"node-{number:03}" for number in range(1, nodes + 1)]
        self.fleet = Fleet(folder, environment, node_names, [f"beat-{number}" for number in range(1, beats + 1)])
        self.leases = LeaseWatch(self.cluster.url, self.symbols)
        self.dispatches = DispatchWatch(self.broker.port)
        self.events: list[Mapping[bytes, bytes]] = []
        self._last_event = b"0"
        self._market_every_s, self._log = market_every_s, folder / "market.log"
        self._client: Any = None
        self._market: subprocess.Popen[bytes] | None = None
        self._running = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._running.enter_context(self.cluster)
            self._running.enter_context(self.broker)
            self._client = self._running.enter_context(connect(self.cluster.url, name="bench", timeout_s=2))
            self._start_market()
            for one in (self.fleet, self.leases, self.dispatches):
                self._running.enter_context(one)
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def wait(self, condition: Callable[[], Any], what: str, within_s: float) -> Any:
        """Wait until the condition is true, and return it. While a master is away it counts as false.

        Raises:
            StackError: it is not true in time.
        """
        deadline = time.monotonic() + within_s
        while True:
            try:
                if found := condition():
                    return found
            except (RedisError, RedisClusterException, OSError):
                time.sleep(LOOK_EVERY_S)
            if not (self.leases.watching and self.dispatches.watching):
                raise StackError("what watches the reports or the dispatches has ended")
            if time.monotonic() > deadline:
                raise StackError(f"not within {within_s:g} s: {what}")
            time.sleep(LOOK_EVERY_S)

    def assignment(self) -> StoredAssignment:
        """The published assignment."""
        return read_assignment(self._client, self.keys)

    def generation(self) -> int:
        """Of the published assignment."""
        return int(self._client.hget(self.keys.assignment, "generation") or 0)

    def leader(self) -> tuple[str, int]:
        """Name of the beat that leads, and its term."""
        leader, term = self._client.hmget(self.keys.dispatcher, "leader", "term")
        return (leader or b"").decode().partition("/")[0], int(term or 0)

    def loads(self) -> Counter[str]:
        """Node -> number of its symbols in the published assignment."""
        return Counter(owner.node for owner in self.assignment().owners.values())

    def last_report_ms(self, symbol: str) -> int:
        """When a symbol's newest report that was seen was made; 0 without any."""
        seen = self.leases.seen[symbol]
        return seen[-1].at_ms if seen else 0

    def without_report_since(self, at_ms: float, symbols: Sequence[str] | None = None) -> list[str]:
        """The symbols, of all or of some, that have no report made after a moment."""
        return [symbol for symbol in symbols or self.symbols if self.last_report_ms(symbol) <= at_ms]

    def read_events(self) -> None:
        """Add what has come to the timeline to :attr:`events`; it is capped, so do so now and then."""
        found = self._client.xrange(self.keys.events, min=b"(" + self._last_event)
        self.events += [fields for _, fields in found]
        self._last_event = found[-1][0] if found else self._last_event

    def departures(self) -> Counter[str]:
        """Why nodes joined or left, by the timeline."""
        return Counter(event[b"reason"].decode() for event in self.events if event[b"kind"].decode() == Kind.NODE)

    def conflicts(self) -> int:
        """Refused leases, by the timeline or by the metrics of all processes that ever ran: the larger number."""
        told = sum(event[b"kind"].decode() == Kind.CONFLICT for event in self.events)
        return max(told, int(self.fleet.counted().counters["nt_lease_conflicts_total"]))

    def cpu_s(self) -> dict[str, float]:
        """CPU time by kind of process."""
        found: dict[str, float] = defaultdict(float)
        for name, spent in self.fleet.cpu_s().items():
            found[f"{name.partition('-')[0]}s"] += spent
        servers = {"redis cluster": self.cluster.servers, "broker": [self.broker]}
        for kind, each in servers.items():
            found[kind] = sum(process_cpu_seconds(one.process.pid) for one in each if one.process)
        if self._market:
            found["market"] = process_cpu_seconds(self._market.pid)
        found["this tool"] = process_cpu_seconds(os.getpid())
        return dict(found)

    def _start_market(self) -> None:
        options = ("--symbols", str(len(self.symbols)), "--every", str(self._market_every_s))
        command = (sys.executable, "-m", "tools.benchmarks.quiet_market", "--url", self.cluster.url, *options)
        environment = {**os.environ, "PARENT_PID": str(os.getpid())}
        with self._log.open("wb") as log:
            self._market = subprocess.Popen(
                ends_with_parent("KILL", command),
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._running.callback(self._market.wait)
        self._running.callback(self._market.kill)
