"""The stack under test while it runs: Redis, a local exchange, two ingests, two beats and three nodes."""

from __future__ import annotations

import os
import signal
import socket
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import msgspec
import redis
from prometheus_client.parser import text_string_to_metric_families

from tickfence.redis_access.connect import connect
from tools.chaos.deployment import BROKER_LANE, PRODUCT, Deployment, Topology
from tools.chaos.sentinel_group import SentinelGroup
from tools.local import ports
from tools.local.embedded_redis import wait_until_ready
from tools.local.roles import BEATS, NODES, REDIS_PHASE
from tools.local.supervision import READY_TIMEOUT_S, SupervisionError, Supervisor
from tools.simulator import kraken

_READY_S = 20.0
_POLL_S = 0.02


class StackError(SupervisionError):
    """The stack is not as a fault needs it; the message is one line to show."""


class StackUnderTest:
    """One stack in one folder, on its own ports.

    Args:
        state_dir: for logs and the files of Redis.
        settings_given: environment variables that set the roles' settings.
        topology: of its Redis.
        app: what the nodes run as Celery's ``-A``: the product, or one that is wrong on purpose.
        record: whether there are recorders.
    """

    def __init__(
        self,
        state_dir: Path,
        settings_given: Mapping[str, str],
        topology: Topology = Topology.SINGLE,
        app: str = PRODUCT,
        *,
        record: bool = False,
    ) -> None:
        self.state_dir = state_dir.resolve()
        self.deployment = Deployment.plan(self.state_dir / "redis", settings_given, topology, app, record=record)
        self.settings, self.environment = self.deployment.settings, self.deployment.environment
        self._group = SentinelGroup(self.deployment.sentinel) if self.deployment.sentinel else None
        self._supervisor = Supervisor.launch(self.state_dir, self.deployment.roles, self.environment)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols it reports on."""
        return self.settings.symbols

    @property
    def group(self) -> SentinelGroup:
        """The servers behind Sentinel.

        Raises:
            StackError: this topology has no Sentinel.
        """
        if self._group is None:
            raise StackError("this stack has one Redis server and no Sentinel")
        return self._group

    @property
    def redis_ports(self) -> tuple[int, ...]:
        """Ports of all Redis servers."""
        return tuple(self._group.where.servers.values()) if self._group else (self.deployment.ports.redis,)

    @property
    def ws_url(self) -> str:
        """Of the exchange's WebSockets."""
        return f"ws://{ports.LOOPBACK}:{self.deployment.ports.simulator}"

    @property
    def http_url(self) -> str:
        """Of the exchange's REST interface."""
        return f"http://{ports.LOOPBACK}:{self.deployment.ports.simulator}"

    def start(self) -> None:
        """Start every role, phase after phase."""
        if self._group:
            self._supervisor.start_in_order(role for role in self.deployment.roles if role.phase == REDIS_PHASE)
            self._group.await_complete()
        started = {name for name, pid in self.pids().items() if pid}
        self._supervisor.start_in_order(role for role in self.deployment.roles if role.name not in started)

    def stop(self) -> None:
        """Stop everything, frozen roles too, and leave no process behind."""
        try:
            for name, state in self._supervisor.states().items():
                if state.pid:
                    self.signal(name, signal.SIGCONT)
        finally:
            self._supervisor.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def signal(self, name: str, number: signal.Signals) -> float:
        """Send a role's process a signal; returns when it was sent (Unix time, s).

        Raises:
            StackError: the role has no process.
        """
        pid = self._supervisor.states()[name].pid
        if not pid:
            raise StackError(f"{name} does not run")
        at = time.time()
        os.kill(pid, number)
        return at

    def pid(self, name: str) -> int:
        """A role's process id, 0 if it does not run."""
        return self._supervisor.states()[name].pid

    def pids(self) -> dict[str, int]:
        """Process id by role, 0 for what does not run."""
        return {name: state.pid for name, state in self._supervisor.states().items()}

    def log(self, name: str) -> str:
        """Everything that a role has written to its log."""
        return self._supervisor.log(name)

    def await_end(self, name: str, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until a role has ended.

        Raises:
            SupervisionError: it still runs after ``timeout_s``.
        """
        self._supervisor.await_end(name, timeout_s)

    def start_role(self, name: str) -> float:
        """Start a role that has ended; returns when it was started (Unix time, s)."""
        self.await_end(name)
        at = time.time()
        self._supervisor.start(name)
        return at

    def client(self) -> redis.Redis:
        """A new client of the data plane; the caller closes it."""
        client: redis.Redis = connect(self.environment["REDIS_URL"], name="chaos:stack", timeout_s=5)
        return client

    def metric(self, role: str, name: str) -> float | None:
        """A metric of a role, summed over its labels; ``None`` if the role does not answer."""
        try:
            url = f"http://{ports.LOOPBACK}:{self.deployment.ports.metrics[role]}/metrics"
            with urllib.request.urlopen(url, timeout=2) as answer:
                text = answer.read().decode()
        except OSError:
            return None
        families = text_string_to_metric_families(text)
        return sum(s.value for family in families for s in family.samples if s.name == name)

    def leader(self) -> str:
        """The leading beat.

        Raises:
            StackError: no beat leads.
        """
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            for beat in BEATS:
                if self.metric(beat, "nt_dispatcher_leading"):
                    return beat
            time.sleep(_POLL_S)
        raise StackError("no beat leads")

    def incarnations(self) -> dict[str, str]:
        """Node id -> owner (``node/incarnation``) of every registered node."""
        with self.client() as client:
            found = {node: client.hget(self.settings.keys.node(node), "incarnation") for node in NODES}
        return {node: f"{node}/{value.decode()}" for node, value in found.items() if isinstance(value, bytes)}

    def stop_redis(self, *, keep: bool) -> float:
        """Shut Redis down in order; returns when it had ended (Unix time, s).

        Args:
            keep: whether its data is saved to the last write, or not at all.
        """
        pid = self.pid("redis")
        (self.deployment.data_dir / "dump.rdb").unlink(missing_ok=True)
        with self.client() as client:
            client.shutdown(save=keep, nosave=not keep)
        return self._await_exit(pid)

    def kill(self, name: str) -> float:
        """SIGKILL a role; returns when it had ended (Unix time, s)."""
        pid = self.pid(name)
        self.signal(name, signal.SIGKILL)
        return self._await_exit(pid)

    @staticmethod
    def _await_exit(pid: int) -> float:
        deadline = time.monotonic() + _READY_S
        while _alive(pid):
            if time.monotonic() > deadline:
                raise StackError(f"process {pid} did not end")
            time.sleep(0.001)
        return time.time()

    def start_redis(self) -> float:
        """Start Redis with the data it has saved; returns when it answered (Unix time, s)."""
        self.start_role("redis")
        wait_until_ready(self.deployment.ports.redis)
        return time.time()

    def proxy(self, name: str, order: str, *, broker_only: bool = False) -> float:
        """Send an order to the proxy of a role; returns when it was obeyed (Unix time, s).

        Args:
            name: one of :data:`PROXIED`.
            order: see :mod:`tools.chaos.proxy`.
            broker_only: whether it is for the way to the broker only, and not for the one to the data plane.

        Raises:
            StackError: the proxy refuses the order.
        """
        for lane in (name + BROKER_LANE,) if broker_only else (name, name + BROKER_LANE):
            with socket.create_connection((ports.LOOPBACK, self.deployment.control_port), timeout=2) as connection:
                connection.sendall(f"{lane} {order}\n".encode())
                answer = connection.makefile().readline().strip()
            if answer != "ok":
                raise StackError(f"the proxy refused {order!r}: {answer}")
        return time.time()

    def exchange_fault(self, name: str, venue: str = "", **parameters: Any) -> float:
        """Inject a fault into the exchange (see :mod:`tools.simulator.faults`); returns when it did (Unix time, s).

        Args:
            name: of the fault.
            venue: "kraken" for one of :mod:`tools.simulator.captured.server`.
            parameters: of the fault.
        """
        place = kraken.PATH if venue == "kraken" else ""
        request = urllib.request.Request(
            f"{self.http_url}{place}/simulator/faults/{name}", data=msgspec.json.encode(parameters), method="POST"
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            answer.read()
        return time.time()

    def ingest_connections(self, venue: str) -> list[int]:
        """Numbers that the simulated exchanges gave to the connections of ingest processes with one of them."""
        with urllib.request.urlopen(f"{self.http_url}/simulator/state", timeout=5) as answer:
            state = msgspec.json.decode(answer.read())
        connections = enumerate(state["connections"])
        return [n for n, one in connections if one["venue"] == venue and any("trade" in s for s in one["streams"])]


def _alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
