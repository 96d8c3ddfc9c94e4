"""The contestants: which processes each one consists of."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.benchmarks.peers import latencies
from tools.local.roles import BEATS, NODES, REPORT_PHASE, Ports, Role, celery

_LOCKED = "tools.benchmarks.peers.locked_app"
_REDBEAT = "tools.benchmarks.peers.redbeat_app"
_NAIVE = "tools.benchmarks.peers.naive_app"


@dataclass(frozen=True)
class Contestant:
    """One way to have a report of every symbol written four times a second.

    Attributes:
        name: what its results are listed under.
        about: what it is, in a line.
        beats, workers: two processes of each kind; the second ones are for surviving the loss of the first. Only one
            beat where no second one may run.
        metrics_ports: of the workers that tell their latencies by a metric.
        latencies: folder to which the workers write their latencies otherwise.
    """

    name: str
    about: str
    beats: tuple[Role, ...]
    workers: tuple[Role, ...]
    metrics_ports: tuple[int, ...] = ()
    latencies: Path | None = None

    @property
    def roles(self) -> tuple[Role, ...]:
        return (*self.workers, *self.beats)


def contestants(where: Ports, folder: Path, redbeat: Path | None) -> list[Contestant]:
    """All of them.

    Parameters:
        where: the ports to use.
        folder: for their files.
        redbeat: the folder in which celery-redbeat is installed; without it, it is left out.
    """
    found = [
        _product("tickfence", "HRW dispatcher, lease and fence", where, None),
        _product("check-then-write", "the same with GET token, then SET, in place of the fence", where, _NAIVE),
        _locked("celery beat + lock", "an entry a symbol, redis.lock.Lock around each task, prefork", folder),
    ]
    if redbeat is not None:
        found.append(_locked("redbeat + lock", "the same with celery-redbeat as the scheduler", folder, redbeat))
    return found


def _product(name: str, about: str, where: Ports, worker_app: str | None) -> Contestant:
    def role(process: str, command: tuple[str, ...]) -> Role:
        environment = {"NT_METRICS_PORT": str(where.metrics[process])}
        return Role(f"{name}-{process}", command, REPORT_PHASE, environment)

    def worker(node: str) -> tuple[str, ...]:
        return celery("worker", "-Q", node) if worker_app is None else _celery(worker_app, "worker", "-Q", node)

    nodes = NODES[:2]
    return Contestant(
        name,
        about,
        tuple(role(beat, celery("beat")) for beat in BEATS),
        tuple(role(node, worker(node)) for node in nodes),
        metrics_ports=tuple(where.metrics[node] for node in nodes),
    )


def _locked(name: str, about: str, folder: Path, redbeat: Path | None = None) -> Contestant:
    """Stock beat is one process: with a second one all tasks would be sent twice
    (https://docs.celeryq.dev/en/stable/userguide/periodic-tasks.html). What makes good for its loss is the service
    manager, which starts it again: ``Restart=always`` in the service file that Celery gives
    (https://docs.celeryq.dev/en/stable/userguide/daemonizing.html#service-file-celerybeat-service).

    Of celery-redbeat there may be several: the stand-bys wait for the leader's lock.
    """
    slug = re.sub(r"\W+", "-", name)
    noted = folder / slug
    noted.mkdir(parents=True, exist_ok=True)

    def role(process: str, command: tuple[str, ...], environment: Mapping[str, str]) -> Role:
        return Role(f"{slug}-{process}", command, REPORT_PHASE, environment)

    beats: tuple[Role, ...]
    if redbeat is None:
        schedule = f"--schedule={folder / slug}-schedule"
        beats = (role("beat-1", _celery(_LOCKED, "beat", schedule), {}),)
    else:
        path = os.pathsep.join(filter(None, [str(redbeat), os.environ.get("PYTHONPATH")]))
        beats = tuple(role(beat, _celery(_REDBEAT, "beat"), {"PYTHONPATH": path}) for beat in BEATS)
    workers = tuple(
        role(
            f"worker-{number}", _celery(_LOCKED, "worker", "-n", f"worker-{number}@%h"), {latencies.FOLDER: str(noted)}
        )
        for number in (1, 2)
    )
    return Contestant(name, about, beats, workers, latencies=noted)


def _celery(app: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, str(Path(sys.executable).parent / "celery"), "-A", app, *arguments)
