"""What the stack under test consists of: its roles, their settings, and where its Redis is.

With a single Redis server, one node, both beats and one ingest reach it through a proxy, which can disturb them. The symbols
are of three venues, one of which has updates without numbers: there one ingest writes and the other stands by.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Self

from tickfence.settings import Settings
from tools.local import ports
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
    with_second_venue,
    without_settings,
)
from tools.local.sentinel import SentinelPorts, sentinel_roles

PROXIED = (NODES[-1], *BEATS, INGESTS[-1])
BROKER_LANE = "-broker"
"""End of the name of the lane that leads a role to the broker; the one to the data plane has the role's name."""

PRODUCT = "tasks"
UNNUMBERED = "kraken:BTC/USDT,kraken:ETH/USDT"
OTHER_VERSION = "CHAOS_OTHER_VERSION"
"""Environment variable: a checkout of another version, with a virtual environment in ``.venv``. It may know one venue only."""


class Topology(StrEnum):
    """Where data plane and broker are.

    Attributes:
        SINGLE: on one server; some roles reach it through a proxy.
        SENTINEL: on a master with a replica and three Sentinels.
    """

    SINGLE = "single"
    SENTINEL = "sentinel"


@dataclass(frozen=True)
class Deployment:
    """A stack that can be started.

    Attributes:
        topology: of its Redis.
        settings: of its roles.
        environment: of every role, apart from its own variables.
        ports: of its roles.
        control_port: of the proxy.
        sentinel: ports of the servers behind Sentinel, ``None`` with a single server.
        data_dir: for the files of Redis.
        roles: in starting order.
        recordings: what the recorders write; ``None``: there are none.
    """

    topology: Topology
    settings: Settings
    environment: Mapping[str, str]
    ports: Ports
    control_port: int
    sentinel: SentinelPorts | None
    data_dir: Path
    roles: list[Role]
    recordings: Path | None = None

    @classmethod
    def plan(
        cls, data_dir: Path, settings_given: Mapping[str, str], topology: Topology, app: str, *, record: bool = False
    ) -> Self:
        """Choose ports and roles.

        Args:
            data_dir: for the files of Redis; created if missing.
            settings_given: environment variables that set the roles' settings.
            topology: of its Redis.
            app: what the nodes run as Celery's ``-A``.
            record: whether there are recorders.

        Raises:
            BadSetting: a variable is not accepted.
            RedisUnavailable: there is no Redis server to run.
        """
        data_dir.mkdir(parents=True, exist_ok=True)
        settings_given = _of_all_venues(settings_given)
        settings, where = Settings.from_environment(settings_given), Ports.choose(usual=False)
        environment = stack_environment({**without_settings(os.environ), **settings_given}, where)
        taken = [where.redis, where.simulator, where.flower, *where.metrics.values()]

        def pick() -> int:
            taken.append(ports.pick(taken=taken))
            return taken[-1]

        control_port, sentinel = pick(), None
        lanes = {f"{name}{of}": pick() for name in PROXIED for of in ("", BROKER_LANE)}
        if topology is Topology.SENTINEL:
            sentinel = SentinelPorts.choose(pick)
            environment |= {"REDIS_URL": sentinel.url(0), "CELERY_BROKER_URL": sentinel.url(1)}
        options = ("--to", str(where.redis), "--control", str(control_port))
        lane_options = (word for name, port in lanes.items() for word in ("--lane", f"{name}={port}"))
        proxy = (sys.executable, "-m", "tools.chaos.proxy", *options, *lane_options)
        roles = [Role("proxy", proxy, EXCHANGE_PHASE, listens_on=control_port)] if sentinel is None else []
        recordings = data_dir.parent / "recordings" if record else None
        for role in stack_roles(settings, where, data_dir, recordings=str(recordings) if recordings else None):
            if role.phase == REDIS_PHASE and sentinel:
                roles += sentinel_roles(sentinel, data_dir)
            elif role.name not in ("flower", "web"):
                roles.append(_adapted(role, app, {} if sentinel else lanes))
        return cls(topology, settings, environment, where, control_port, sentinel, data_dir, roles, recordings)


def _of_all_venues(given: Mapping[str, str]) -> Mapping[str, str]:
    """``given`` with symbols of all venues, unless it names some, or another version takes part."""
    if given.get("SYMBOLS") or os.environ.get(OTHER_VERSION):
        return given
    two = with_second_venue(given)
    return {**two, "SYMBOLS": f"{two['SYMBOLS']},{UNNUMBERED}"}


def _adapted(role: Role, app: str, lanes: Mapping[str, int]) -> Role:
    """A role of an ordinary stack as this one needs it."""
    command, environment = role.command, role.environment
    if role.name == "simulator":
        # All clients share one address here, and so they share the request weight of one client.
        command = (*command, "--weight-per-minute", "1000000")
    if role.name in NODES:
        command = tuple(app if word == PRODUCT else word for word in command)
    if role.name in lanes:
        data, broker = (f"redis://{ports.LOOPBACK}:{lanes[role.name + of]}" for of in ("", BROKER_LANE))
        environment = {**environment, "REDIS_URL": f"{data}/0", "CELERY_BROKER_URL": f"{broker}/1"}
    return replace(role, command=command, environment=environment)
