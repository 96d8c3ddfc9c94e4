"""An exchange, an ingest, a beat and two nodes as processes, at a given Redis and broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from redis.exceptions import RedisClusterException

from tests.e2e.observer import Report, metric
from tests.processes import wait_until
from tests.tools.simulator.exchange_process import Exchange
from tickfence.keys import Keys
from tickfence.redis_access.connect import connect, forget_connections
from tickfence.settings import Settings
from tools.chaos.stopped_thread import main_thread_stopped, unavailable
from tools.local import ports
from tools.local.roles import ROOT, celery

SYMBOLS = Settings.from_environment({}).symbols
NODES = ("node-001", "node-002")


class RolesAt:
    """Runs the roles; every read of the reports also checks that no token fell.

    One kind of fall is none of a writer: a replica that becomes the master has not got the last writes of the one before,
    and shows again what was there before them. It must not last: see :meth:`wait_for_reports`.

    Args:
        data: for ``REDIS_URL``.
        broker: for ``CELERY_BROKER_URL``.
        folder: for logs.
        namespace: for ``NT_NAMESPACE``.
        nodes: ids of the nodes.
        variables: further settings of the roles.
    """

    def __init__(
        self,
        data: str,
        broker: str,
        folder: Path,
        *,
        namespace: str = "",
        nodes: tuple[str, ...] = NODES,
        variables: Mapping[str, str] = {},
    ) -> None:
        self._folder = folder
        self._keys = Keys(namespace)
        self._tokens = dict.fromkeys(SYMBOLS, 0)
        self._client = connect(data, name="test")
        taken: list[int] = []
        commands = {
            "ingest": (sys.executable, "-m", "ingest"),
            "beat": celery("beat"),
            **{node: celery("worker", "-Q", node) for node in nodes},
        }
        for _ in commands:
            taken.append(ports.pick(taken=taken))
        self.metrics = dict(zip(commands, taken, strict=True))
        self._exchange = Exchange("--symbols", ",".join(SYMBOLS), "--seed", "1")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NT_")} | {
            "REDIS_URL": data,
            "CELERY_BROKER_URL": broker,
            "SYMBOLS": ",".join(SYMBOLS),
            "NT_NAMESPACE": namespace,
            **variables,
            "NT_EXCHANGE_WS_URL": self._exchange.ws,
            "NT_EXCHANGE_REST_URL": self._exchange.http,
        }
        self._processes = {name: self._start(name, command, environment) for name, command in commands.items()}

    def kill(self, name: str) -> None:
        """End a role as a crash would."""
        self._processes[name].kill()
        self._processes[name].wait()

    def wait_for_moves_from_a_hung_node(self) -> float:
        """Stop the main thread of one of two nodes, wait until the other writes all reports, and until both do again.

        Returns:
            Seconds from the stop to six reports of the other node; 0.0 where this user may stop no thread.
        """
        if unavailable():
            return 0.0
        hung, other = NODES
        with main_thread_stopped(self._processes[hung].pid) as at:
            self.wait_for_reports((other,))
            took_s = time.time() - at
        self.wait_for_reports()
        return took_s

    def ended(self) -> list[str]:
        """Roles whose process has ended."""
        return [name for name, process in self._processes.items() if process.poll() is not None]

    def reports(self, *, another_master: bool = False) -> dict[str, Report]:
        """The reports that can be read now.

        Args:
            another_master: whether one may have taken over that lacks the last writes; a report from before them is left
                out then.
        """
        found = {}
        for symbol in SYMBOLS:
            try:
                text = self._client.get(self._keys.report(symbol))
            except (redis.RedisError, RedisClusterException):
                forget_connections(self._client)
                continue
            if text is not None:
                report = json.loads(text)
                token, highest = report["writer"]["writerToken"], self._tokens[symbol]
                if another_master and token < highest:
                    continue
                assert token >= highest, f"{symbol}: token fell from {highest} to {token}"
                found[symbol], self._tokens[symbol] = report, token
        return found

    def wait_for_reports(
        self, nodes: tuple[str, ...] = NODES, timeout_s: float = 20, *, another_master: bool = False
    ) -> dict[str, Report]:
        """Wait until each of ``nodes``, and no other, writes reports on fresh data, written from now on.

        Args:
            nodes: ids of the nodes.
            timeout_s: how long to wait.
            another_master: whether one may have taken over that lacks the last writes. Each symbol must still come to a
                token that is not below the highest that was ever read, of a lost write too.

        Returns:
            The reports of all symbols.
        """
        since = time.time() * 1000

        def live() -> dict[str, Report] | None:
            found = self.reports(another_master=another_master)
            writers = {report["writer"]["nodeId"] for report in found.values()}
            fresh = all(r["updatedAt"] > since and r["ingestion"]["status"] == "ok" for r in found.values())
            return found if len(found) == len(SYMBOLS) and writers == set(nodes) and fresh else None

        return wait_until(live, lambda: f"{SYMBOLS} written by {nodes}; {self._diagnosis()}", timeout_s, 0.02)

    def conflicts(self, nodes: tuple[str, ...] = NODES) -> float:
        """Lease conflicts that the nodes counted."""
        return sum(metric(self.metrics[node], "nt_lease_conflicts_total") for node in nodes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()
        self._exchange.stop()
        self._client.close()

    def _start(self, name: str, command: tuple[str, ...], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env={**environment, "NT_METRICS_PORT": str(self.metrics[name])},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _diagnosis(self) -> str:
        found = {s: (r["writer"], r["ingestion"], r["updatedAt"]) for s, r in self.reports(another_master=True).items()}
        logs = [f"{name}: {self._log(name)[-1500:]}" for name in self._processes]
        return "\n".join([f"the reports are {found} at {time.time() * 1000:.0f}", *logs])

    def _log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(errors="replace")
