"""The contestants: the processes of each, and the packages that they need."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.benchmarks.peers import latencies
from tools.local.roles import BEATS, NODES, REPORT_PHASE, ROOT, Ports, Role, celery, celery_app

_LOCKED = "tools.benchmarks.peers.locked_app"
_REDBEAT = "tools.benchmarks.peers.redbeat_app"
_NAIVE = "tools.benchmarks.peers.naive_app"

REDBEAT = ("celery-redbeat==2.4.2", "tenacity==9.2.1")
"""The package, and what it needs beyond Celery and redis-py, which are the same for all contestants."""

_INSTALL_TIMEOUT_S = 180


class NotInstalled(RuntimeError):
    """The package of a contestant cannot be installed; the message is one line to show."""


def install(requirements: tuple[str, ...], within: Path = ROOT / ".local" / "peers") -> Path:
    """Install packages into their own folder with pip, unless they are there: they are no requirement of tickfence.

    Args:
        requirements: of pip, with versions.
        within: parent of the folder.

    Returns:
        The folder, for ``PYTHONPATH``.

    Raises:
        NotInstalled: pip fails, or takes too long.
    """
    folder = within / "-".join(requirements).replace("==", "-")
    if folder.is_dir():
        return folder
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check")
    try:
        subprocess.run(
            [*command, "--target", str(unfinished), *requirements],
            check=True,
            capture_output=True,
            text=True,
            timeout=_INSTALL_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"pip did not install {requirements[0]} within {_INSTALL_TIMEOUT_S} s") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines()
        raise NotInstalled(f"pip cannot install {requirements[0]}: {said[-1] if said else 'no reason given'}") from None
    unfinished.rename(folder)
    return folder


@dataclass(frozen=True)
class Contestant:
    """One way to write a report of every symbol four times a second.

    Attributes:
        name: of its results.
        about: what it is, in a line.
        beats, workers: two processes of each, so that it can survive the loss of one; one beat if a second must not run.
        metrics_ports: of workers that export their latencies as a metric.
        latencies: folder to which other workers write their latencies.
    """

    name: str
    about: str
    beats: tuple[Role, ...]
    workers: tuple[Role, ...]
    metrics_ports: tuple[int, ...] = ()
    latencies: Path | None = None

    @property
    def roles(self) -> tuple[Role, ...]:
        """All its processes."""
        return (*self.workers, *self.beats)


def contestants(where: Ports, folder: Path, redbeat: Path | None) -> list[Contestant]:
    """All contestants.

    Args:
        where: the ports to use.
        folder: for their files.
        redbeat: where celery-redbeat is installed; ``None`` leaves it out.
    """
    found = [
        _product("tickfence", "HRW dispatcher, lease and fence", where, "tasks"),
        _product("check-then-write", "the same with GET token, then SET, in place of the fence", where, _NAIVE),
        _locked("celery beat + lock", "an entry a symbol, redis.lock.Lock around each task, prefork", folder),
    ]
    if redbeat is not None:
        found.append(_locked("redbeat + lock", "the same with celery-redbeat as the scheduler", folder, redbeat))
    return found


def _product(name: str, about: str, where: Ports, worker_app: str) -> Contestant:
    def role(process: str, command: tuple[str, ...]) -> Role:
        environment = {"NT_METRICS_PORT": str(where.metrics[process])}
        return Role(f"{name}-{process}", command, REPORT_PHASE, environment)

    def worker(node: str) -> tuple[str, ...]:
        return celery_app(worker_app, "worker", "-Q", node)

    nodes = NODES[:2]
    return Contestant(
        name,
        about,
        tuple(role(beat, celery("beat")) for beat in BEATS),
        tuple(role(node, worker(node)) for node in nodes),
        metrics_ports=tuple(where.metrics[node] for node in nodes),
    )


def _locked(name: str, about: str, folder: Path, redbeat: Path | None = None) -> Contestant:
    """The contestants of :mod:`tools.benchmarks.peers.locked_app`.

    Celery's own beat is one process: a second one would send all tasks twice
    (https://docs.celeryq.dev/en/stable/userguide/periodic-tasks.html). After its loss the service manager starts it
    again: ``Restart=always`` in Celery's service file
    (https://docs.celeryq.dev/en/stable/userguide/daemonizing.html#service-file-celerybeat-service).

    Several beats of celery-redbeat may run: the standbys wait for the lock of the leader.
    """
    slug = re.sub(r"\W+", "-", name)
    noted = folder / slug
    noted.mkdir(parents=True, exist_ok=True)

    def role(process: str, command: tuple[str, ...], environment: Mapping[str, str]) -> Role:
        return Role(f"{slug}-{process}", command, REPORT_PHASE, environment)

    beats: tuple[Role, ...]
    if redbeat is None:
        schedule = f"--schedule={folder / slug}-schedule"
        beats = (role("beat-1", celery_app(_LOCKED, "beat", schedule), {}),)
    else:
        path = os.pathsep.join(filter(None, [str(redbeat), os.environ.get("PYTHONPATH")]))
        beats = tuple(role(beat, celery_app(_REDBEAT, "beat"), {"PYTHONPATH": path}) for beat in BEATS)
    workers = tuple(
        role(
            f"worker-{number}",
            celery_app(_LOCKED, "worker", "-n", f"worker-{number}@%h"),
            {latencies.FOLDER: str(noted)},
        )
        for number in (1, 2)
    )
    return Contestant(name, about, beats, workers, latencies=noted)
