"""The roles of a stack: what each of them runs, with which environment, in which order."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tickfence.settings import Settings
from tools.local import ports
from tools.local.embedded_redis import server_command

ROOT = Path(__file__).resolve().parents[2]
NODES = ("node-001", "node-002", "node-003")
BEATS = ("beat-1", "beat-2")
INGESTS = ("ingest-1", "ingest-2")
RECORDERS = ("recorder-1", "recorder-2")
SECOND_VENUE = "okx:BTC-USDT,okx:ETH-USDT"
"""What `make run` shows beside the default symbols, if the simulated exchange is used."""
MORE_LISTED = "XRPUSDT,LTCUSDT,okx:XRP-USDT,kraken:BTC/USD"
"""What the simulated exchange lists beside the stack's symbols, so that there is something to add while it runs."""

_METRICS_PORTS = {
    **{name: 9101 + number for number, name in enumerate(NODES)},
    **{name: 9111 + number for number, name in enumerate(BEATS)},
    **{name: 9121 + number for number, name in enumerate(INGESTS)},
    **{name: 9131 + number for number, name in enumerate(RECORDERS)},
}

# Settings of a single process, or of servers outside this stack.
_NOT_PASSED_ON = (
    "NT_NAME",
    "NT_NODE_ID",
    "NT_METRICS_PORT",
    "NT_RECORDER_WAL",
    "NT_REDIS_PASSWORD_FILE",
    "NT_BROKER_PASSWORD_FILE",
)

# Roles start in rising order and stop in falling order: Redis outlives its writers.
REDIS_PHASE, EXCHANGE_PHASE, INGEST_PHASE, REPORT_PHASE = range(4)


@dataclass(frozen=True)
class Role:
    """One process of the stack.

    Attributes:
        name: unique; also the name of its log.
        command: absolute path of a program, and its arguments.
        phase: roles of a lower phase start before this one and stop after it.
        environment: variables on top of the stack's environment.
        listens_on: loopback port that must answer before the next role starts, if there is one.
    """

    name: str
    command: tuple[str, ...]
    phase: int
    environment: Mapping[str, str] = field(default_factory=dict)
    listens_on: int | None = None


@dataclass(frozen=True)
class Ports:
    """The loopback ports of one stack, claimed while this object lives.

    Attributes:
        redis: of the Redis server.
        simulator: of the local exchange.
        flower: of Flower.
        web: of the live page.
        metrics: role name -> port of its metrics.
        claims: keep other stacks from the same ports.
    """

    redis: int
    simulator: int
    flower: int
    web: int
    metrics: Mapping[str, int]
    claims: tuple[ports.Claim, ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def choose(cls, *, usual: bool = True) -> Ports:
        """The usual ports (6379, 9443, 5555, 8000, 9101...) where they are free, others where they are not.

        Args:
            usual: False takes none of the usual ports, so that this stack leaves them to another one.

        Raises:
            RuntimeError: no free port was found.
        """
        usuals = {"redis": 6379, "simulator": 9443, "flower": 5555, "web": 8000, **_METRICS_PORTS}
        chosen: dict[str, int] = {}
        claims = []
        for name, port in usuals.items():
            chosen[name], claim = ports.choose(port if usual else None, taken=chosen.values())
            claims.append(claim)
        metrics = {role: chosen.pop(role) for role in _METRICS_PORTS}
        return cls(**chosen, metrics=metrics, claims=tuple(claims))


def stack_environment(given: Mapping[str, str], where: Ports) -> dict[str, str]:
    """The environment of every role: ``given`` with the addresses of this stack.

    An exchange or the URL of a venue that is named in ``given`` stays. Settings of a single process (``NT_NAME``,
    ``NT_NODE_ID``, ``NT_METRICS_PORT``) and the passwords of other servers are left out.
    """
    environment = {name: value for name, value in given.items() if name not in _NOT_PASSED_ON}
    environment |= {
        "REDIS_URL": f"redis://{ports.LOOPBACK}:{where.redis}/0",
        "CELERY_BROKER_URL": f"redis://{ports.LOOPBACK}:{where.redis}/1",
        "PYTHONUNBUFFERED": "1",
    }
    environment.setdefault("NT_WEB_LINKS", f"Flower=http://{ports.LOOPBACK}:{where.flower}")
    if not uses_other_exchange(given):
        environment["NT_EXCHANGE_WS_URL"] = f"ws://{ports.LOOPBACK}:{where.simulator}"
        environment["NT_EXCHANGE_REST_URL"] = f"http://{ports.LOOPBACK}:{where.simulator}"
        urls = (venue_urls(where.simulator), given.get("NT_VENUE_URLS"))
        environment["NT_VENUE_URLS"] = ",".join(filter(None, urls))  # the last one of a name counts
        environment["no_proxy"] = ports.LOOPBACK  # no proxy leads to this machine
    return environment


def with_second_venue(given: Mapping[str, str]) -> dict[str, str]:
    """``given`` with symbols of a second venue, unless it names symbols or an exchange."""
    if given.get("SYMBOLS") or uses_other_exchange(given):
        return dict(given)
    usual = Settings.from_environment(given).symbols
    return {**given, "SYMBOLS": ",".join((*usual, SECOND_VENUE))}


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` without the settings of roles, so that a stack for tests or benchmarks has only its own."""
    return {name: value for name, value in environment.items() if not name.startswith("NT_") and name != "SYMBOLS"}


def venue_urls(port: int) -> str:
    """``NT_VENUE_URLS`` for the simulator on a loopback port: it speaks the dialects of several exchanges."""
    at = f"://{ports.LOOPBACK}:{port}"
    return f"okx.ws=ws{at},okx.rest=http{at},kraken.ws=ws{at}/kraken"


def uses_other_exchange(given: Mapping[str, str]) -> bool:
    """Whether ``given`` names an exchange, so that the stack needs no simulator."""
    return bool(given.get("NT_EXCHANGE_WS_URL") or given.get("NT_EXCHANGE_REST_URL"))


def stack_roles(
    settings: Settings, where: Ports, data_dir: Path, *, simulate: bool = True, recordings: str | None = None
) -> list[Role]:
    """The roles for the mode of ``settings``, in starting order.

    Single-instance mode has one ingest, one node and one beat. Without reports there are neither nodes nor beats.

    Args:
        settings: of the stack.
        where: its ports.
        data_dir: for the files of Redis; the recorders' write-ahead logs are beside it.
        simulate: whether to run a local exchange.
        recordings: ``NT_RECORDINGS`` of the recorders; ``None``: the stack has none.

    Raises:
        RedisUnavailable: there is no Redis server to run.
    """
    roles = [Role("redis", tuple(server_command(where.redis, data_dir)), REDIS_PHASE, listens_on=where.redis)]
    if simulate:
        market = ("--port", str(where.simulator), "--symbols", ",".join(settings.symbols), "--also", MORE_LISTED)
        command = (sys.executable, "-m", "tools.simulator", *market, "--seed", "1")
        roles.append(Role("simulator", command, EXCHANGE_PHASE, listens_on=where.simulator))
    several = settings.nt_enable_multi_instance
    for ingest in INGESTS if several else INGESTS[:1]:
        roles.append(_measured(ingest, (sys.executable, "-m", "ingest"), INGEST_PHASE, where))
    if recordings is not None:
        log = data_dir.parent / "recorder-wal"
        roles += [_recorder(name, recordings, log / name, where) for name in RECORDERS]
    if not settings.nt_enable_kv_reports:
        return roles
    for node in NODES if several else NODES[:1]:
        roles.append(_measured(node, celery("worker", "-Q", node), REPORT_PHASE, where))
    for beat in BEATS if several else BEATS[:1]:
        roles.append(_measured(beat, celery("beat"), REPORT_PHASE, where))
    flower = celery("flower", f"--address={ports.LOOPBACK}", f"--port={where.flower}")
    roles.append(Role("flower", flower, REPORT_PHASE))
    web = (sys.executable, "-m", "tickfence", "web", "--host", ports.LOOPBACK, "--port", str(where.web))
    roles.append(Role("web", web, REPORT_PHASE))
    return roles


def celery(*arguments: str) -> tuple[str, ...]:
    """``celery -A tasks <arguments>`` with the celery beside this Python, whether its environment is activated or not."""
    return celery_app("tasks", *arguments)


def celery_app(app: str, *arguments: str) -> tuple[str, ...]:
    """As :func:`celery`, for another app."""
    # Through the interpreter: the script's first line breaks when the folder moves or its path is long.
    return (sys.executable, str(Path(sys.executable).parent / "celery"), "-A", app, *arguments)


def _measured(name: str, command: tuple[str, ...], phase: int, where: Ports) -> Role:
    return Role(name, command, phase, {"NT_NAME": name, "NT_METRICS_PORT": str(where.metrics[name])})


def _recorder(name: str, recordings: str, log: Path, where: Ports) -> Role:
    role = _measured(name, (sys.executable, "-m", "tickfence.recorder"), INGEST_PHASE, where)
    return replace(role, environment={**role.environment, "NT_RECORDINGS": recordings, "NT_RECORDER_WAL": str(log)})
