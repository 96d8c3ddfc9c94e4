"""The stack that is tormented: Redis, a local exchange, two ingests, two beats and three nodes.

Where Redis is one server, one node, the beats and one ingest reach it through a proxy, all others directly.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Self

import msgspec
import redis
from prometheus_client.parser import text_string_to_metric_families

from tickfence.redis_access.connect import connect
from tickfence.settings import Settings
from tools.chaos.failover import SentinelGroup
from tools.chaos.topology import Topology
from tools.local import ports
from tools.local.embedded_redis import wait_until_ready
from tools.local.roles import (
    BEATS,
    EXCHANGE_PHASE,
    INGESTS,
    NODES,
    REDIS_PHASE,
    Ports,
    Role,
    stack_environment,
    stack_roles,
)
from tools.local.sentinel import SentinelPorts, sentinel_roles
from tools.local.supervision import Supervisor

PROXIED = (NODES[-1], *BEATS, INGESTS[-1])
PROXY = "proxy"
PRODUCT = "tasks"
_READY_S = 20.0
_POLL_S = 0.02


class LabError(RuntimeError):
    """The stack cannot be had as it should be; the text is the one line to show."""


class Lab:
    """One stack in one folder, on ports of its own.

    Parameters:
        state_dir: for logs and Redis' files.
        settings_given: environment variables that set the roles' settings.
        topology: the shape of its Redis.
        app: what the nodes run as Celery's ``-A``: the product, or one that is wrong on purpose.
    """

    def __init__(
        self,
        state_dir: Path,
        settings_given: Mapping[str, str],
        topology: Topology = Topology.SINGLE,
        app: str = PRODUCT,
    ) -> None:
        plain = {n: v for n, v in os.environ.items() if not n.startswith("NT_") and n != "SYMBOLS"}
        self.settings = Settings.from_environment(settings_given)
        self.state_dir = state_dir.resolve()
        self.ports = Ports.choose(usual=False)
        taken = [self.ports.redis, self.ports.simulator, self.ports.flower, *self.ports.metrics.values()]
        self._control_port = self._pick(taken)
        self._lanes = {name: self._pick(taken) for name in PROXIED}
        self.environment = stack_environment({**plain, **settings_given}, self.ports)
        self.topology = topology
        self._app = app
        self._group: SentinelGroup | None = None
        if topology is Topology.SENTINEL:
            where = SentinelPorts.choose(lambda: self._pick(taken))
            self._group = SentinelGroup(where)
            self.environment |= {"REDIS_URL": where.url(0), "CELERY_BROKER_URL": where.url(1)}
        self._data_dir = self.state_dir / "redis"
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self.roles = self._roles()
        self._supervisor = Supervisor.launch(self.state_dir, self.roles, self.environment)

    @staticmethod
    def _pick(taken: list[int]) -> int:
        taken.append(ports.pick(taken=taken))
        return taken[-1]

    def _roles(self) -> list[Role]:
        roles = []
        for role in stack_roles(self.settings, self.ports, self._data_dir):
            if role.name in ("flower", "web"):
                continue
            if self._group and role.phase == REDIS_PHASE:
                roles += sentinel_roles(self._group.where, self._data_dir)
                continue
            if role.name == "simulator":
                # All clients share one address here, and with it the weight that the exchange grants one.
                role = replace(role, command=(*role.command, "--weight-per-minute", "1000000"))  # noqa: PLW2901
            if role.name in NODES:
                role = replace(role, command=tuple(self._app if w == PRODUCT else w for w in role.command))  # noqa: PLW2901
            if role.name in PROXIED and not self._group:
                role = replace(role, environment={**role.environment, **self._through_proxy(role.name)})  # noqa: PLW2901
            roles.append(role)
            if role.phase == REDIS_PHASE:
                roles.append(self._proxy_role())
        return roles

    def _through_proxy(self, name: str) -> dict[str, str]:
        address = f"redis://{ports.LOOPBACK}:{self._lanes[name]}"
        return {"REDIS_URL": f"{address}/0", "CELERY_BROKER_URL": f"{address}/1"}

    def _proxy_role(self) -> Role:
        where = ("--to", str(self.ports.redis), "--control", str(self._control_port))
        lanes = (word for name, port in self._lanes.items() for word in ("--lane", f"{name}={port}"))
        command = (sys.executable, "-m", "tools.chaos.proxy", *where, *lanes)
        return Role(PROXY, command, EXCHANGE_PHASE, listens_on=self._control_port)

    @property
    def symbols(self) -> tuple[str, ...]:
        return self.settings.symbols

    @property
    def group(self) -> SentinelGroup:
        """The servers behind Sentinel, in the topology that has them."""
        if self._group is None:
            raise LabError("this stack has one Redis server, and no Sentinel")
        return self._group

    @property
    def redis_ports(self) -> tuple[int, ...]:
        """Ports of all servers that hold the data plane."""
        return tuple(self._group.where.servers.values()) if self._group else (self.ports.redis,)

    @property
    def ws_url(self) -> str:
        return f"ws://{ports.LOOPBACK}:{self.ports.simulator}"

    @property
    def http_url(self) -> str:
        return f"http://{ports.LOOPBACK}:{self.ports.simulator}"

    def start(self) -> None:
        """Start every role, phase after phase."""
        for _, phase in groupby(sorted(self.roles, key=attrgetter("phase")), attrgetter("phase")):
            for role in phase:
                self._supervisor.start(role.name)
                self._await_ready(role)
                if self._group and role.name == self._group.where.last:
                    self._group.await_complete()

    def stop(self) -> None:
        """Stop everything, and leave no process behind."""
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
        """Send a role's process a signal; the time at which it was sent (Unix, s)."""
        pid = self._supervisor.states()[name].pid
        if not pid:
            raise LabError(f"{name} does not run")
        at = time.time()
        os.kill(pid, number)
        return at

    def pid(self, name: str) -> int:
        """A role's process id, 0 if it does not run."""
        return self._supervisor.states()[name].pid

    def pids(self) -> dict[str, int]:
        """Process id by role, 0 for what does not run."""
        return {name: state.pid for name, state in self._supervisor.states().items()}

    def await_end(self, name: str, timeout_s: float = _READY_S) -> None:
        """Wait until a role has ended."""
        deadline = time.monotonic() + timeout_s
        while self._supervisor.states()[name].running:
            if time.monotonic() > deadline:
                raise LabError(f"{name} did not end within {timeout_s:g} s")
            time.sleep(_POLL_S)

    def start_role(self, name: str) -> float:
        """Start a role that has ended; the time at which it was started."""
        self.await_end(name)
        at = time.time()
        self._supervisor.start(name)
        return at

    def log(self, name: str) -> str:
        """All that a role wrote."""
        path = self.state_dir / "logs" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def client(self) -> redis.Redis:
        """A new client of the data plane; the caller closes it."""
        client: redis.Redis = connect(self.environment["REDIS_URL"], name="chaos:lab", timeout_s=5)
        return client

    def metric(self, role: str, name: str) -> float | None:
        """A metric of a role, summed over its labels; None where the role does not answer."""
        try:
            url = f"http://{ports.LOOPBACK}:{self.ports.metrics[role]}/metrics"
            with urllib.request.urlopen(url, timeout=2) as answer:
                text = answer.read().decode()
        except OSError:
            return None
        families = text_string_to_metric_families(text)
        return sum(s.value for family in families for s in family.samples if s.name == name)

    def leader(self) -> str:
        """The beat that leads."""
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            for beat in BEATS:
                if self.metric(beat, "nt_dispatcher_leading"):
                    return beat
            time.sleep(_POLL_S)
        raise LabError("no beat leads")

    def incarnations(self) -> dict[str, str]:
        """Node id -> owner (``node/incarnation``), of all nodes that are registered."""
        with self.client() as client:
            found = {node: client.hget(f"nt:node:{node}", "incarnation") for node in NODES}
        return {node: f"{node}/{value.decode()}" for node, value in found.items() if isinstance(value, bytes)}

    def stop_redis(self, *, keep: bool) -> float:
        """Stop Redis in order, its data saved to the last write or not at all; the time at which it was gone."""
        pid = self.pid("redis")
        (self._data_dir / "dump.rdb").unlink(missing_ok=True)
        with self.client() as client:
            client.shutdown(save=keep, nosave=not keep)
        return self._gone(pid)

    def save_redis(self) -> None:
        """Have Redis save its data."""
        with self.client() as client:
            client.save()

    def kill_redis(self) -> float:
        """SIGKILL Redis: what was written since its last save is lost. Returns the time at which it was gone."""
        return self.kill("redis")

    def kill(self, name: str) -> float:
        """SIGKILL a role; the time at which it was gone."""
        pid = self.pid(name)
        self.signal(name, signal.SIGKILL)
        return self._gone(pid)

    @staticmethod
    def _gone(pid: int) -> float:
        deadline = time.monotonic() + _READY_S
        while _alive(pid):
            if time.monotonic() > deadline:
                raise LabError(f"process {pid} did not end")
            time.sleep(0.001)
        return time.time()

    def start_redis(self) -> float:
        """Start Redis on what it was stopped with; the time at which it answered."""
        self.start_role("redis")
        wait_until_ready(self.ports.redis)
        return time.time()

    def proxy(self, name: str, order: str) -> float:
        """Give the proxy of one of :data:`PROXIED` an order (see :mod:`tools.chaos.proxy`); the time at which it was obeyed."""
        with socket.create_connection((ports.LOOPBACK, self._control_port), timeout=2) as connection:
            connection.sendall(f"{name} {order}\n".encode())
            answer = connection.makefile().readline().strip()
        if answer != "ok":
            raise LabError(f"the proxy refused {order!r}: {answer}")
        return time.time()

    def exchange_fault(self, name: str, **parameters: Any) -> float:
        """Have the exchange commit a fault (see :mod:`tools.simulator.faults`); the time at which it did."""
        request = urllib.request.Request(
            f"{self.http_url}/simulator/faults/{name}", data=msgspec.json.encode(parameters), method="POST"
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            answer.read()
        return time.time()

    def ingest_connections(self) -> list[int]:
        """Numbers, as the exchange counts, of the connections that ingest processes hold."""
        with urllib.request.urlopen(f"{self.http_url}/simulator/state", timeout=5) as answer:
            state = msgspec.json.decode(answer.read())
        return [n for n, one in enumerate(state["connections"]) if any("@trade" in s for s in one["streams"])]

    def _await_ready(self, role: Role) -> None:
        if role.phase == REDIS_PHASE and role.name == "redis":
            wait_until_ready(self.ports.redis)
        deadline = time.monotonic() + _READY_S
        while role.listens_on is not None and ports.is_free(role.listens_on):
            if time.monotonic() > deadline:
                raise LabError(f"{role.name} is not ready; its log ends: {self.log(role.name)[-300:]}")
            time.sleep(_POLL_S)


def _alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
