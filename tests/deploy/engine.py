"""A container engine with Compose: Docker, or podman with podman-compose."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

NONE = "needs Docker with its compose plugin and a running engine, or podman with podman-compose; neither is here"


class Engine:
    """Runs the Compose file of one folder, and tells what it does.

    Parameters:
        program: ``docker`` or ``podman``.
        compose: the words that Compose begins with.
        folder: where the Compose file is.
        project: prefix of all names.
        environment: on top of this process's own.
    """

    def __init__(
        self, program: str, compose: Sequence[str], folder: Path, project: str, environment: Mapping[str, str]
    ) -> None:
        self.program, self.project = program, project
        self._compose, self.folder = [*compose, "-p", project], folder
        self._environment = {**os.environ, **environment}

    def compose(self, *words: str, **more: str) -> str:
        """``docker compose <words>``, with ``more`` in its environment; what it wrote."""
        return self._run([*self._compose, *words], more)

    def run(self, *words: str) -> str:
        """``docker <words>``; what it wrote."""
        return self._run([self.program, *words], {})

    def type(self, line: str) -> str:
        """A whole command line without its first word: ``compose stop web``, ``pause tickfence-web-1``."""
        first, *rest = line.split()
        return self.compose(*rest) if first == "compose" else self.run(first, *rest)

    def ask(self, *words: str) -> str:
        """``docker <words>`` without a word about it; what it wrote to its standard output, whatever its status."""
        return subprocess.run([self.program, *words], capture_output=True, text=True, check=False, timeout=120).stdout

    def scales(self) -> bool:
        """Whether Compose does what ``--scale`` says; podman-compose before 1.1 reads it and does nothing."""
        said = subprocess.run([*self._compose[:-2], "version"], capture_output=True, text=True, check=True)
        version = re.search(r"podman-compose\w* version\D*(\d+)\.(\d+)", said.stdout + said.stderr)
        return version is None or (int(version[1]), int(version[2])) >= (1, 1)

    def succeeds(self, *words: str) -> bool:
        """Whether ``docker <words>`` ends with status 0; shows nothing."""
        done = subprocess.run([self.program, *words], capture_output=True, check=False, timeout=120)
        return done.returncode == 0

    def has_image(self, name: str) -> bool:
        """Whether an image is here, or can be had."""
        return self.succeeds("image", "inspect", name) or self.succeeds("pull", "--quiet", name)

    def container(self, service: str) -> str:
        """Name of the one container of a service."""
        [name] = self.containers(service)
        return name

    def containers(self, service: str | None = None) -> list[str]:
        """Names of the containers of a service, or of all, whatever their state."""
        labels = [f"project={self.project}", *([f"service={service}"] if service else [])]
        filters = [word for label in labels for word in ("--filter", f"label=com.docker.compose.{label}")]
        return self.ask("ps", "--all", "--format", "{{.Names}}", *filters).split()

    def logs(self, service: str) -> str:
        """What the containers of a service wrote last."""
        said = (
            subprocess.run(
                [self.program, "logs", "--tail", "15", name],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=120,
            ).stdout
            for name in self.containers(service)
        )
        return "\n".join(said)

    def healthy(self, service: str) -> bool:
        """Whether a service's health check passes now."""
        name = self.container(service)
        if self.program == "podman":  # it runs them by systemd's timers, where there is systemd
            return self.succeeds("healthcheck", "run", name)
        return self.ask("inspect", "--format", "{{.State.Health.Status}}", name).strip() == "healthy"

    def hold_bridges(self) -> None:
        """Fix the hardware addresses of the project's bridges, where the engine does not.

        A bridge takes the lowest address among its ports, so it changes as containers come and go; until the others
        notice, which takes ten seconds and more, they ask a name server that is not there. Netavark fixes the address
        from 1.9 on: https://github.com/containers/netavark/pull/833
        """
        mine = self.ask("network", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={self.project}")
        for bridge in self.ask("network", "inspect", "--format", "{{.NetworkInterface}}", *mine.split()).split():
            address = Path("/sys/class/net", bridge, "address")
            if address.exists():  # rootless podman has its bridges elsewhere
                subprocess.run(["ip", "link", "set", "dev", bridge, "address", address.read_text().strip()], check=True)

    def clean_up(self) -> None:
        """Remove containers, volumes and networks of the project."""
        for _ in range(4):  # podman refuses one that others depend on, and at first one that was cut off for a while
            if left := self.containers():
                self.ask("rm", "--force", *left)
        for kind in ("volume", "network"):
            mine = ("--quiet", "--filter", f"label=com.docker.compose.project={self.project}")
            if names := self.ask(kind, "ls", *mine).split():
                self.ask(kind, "rm", *names)

    def _run(self, words: list[str], more: Mapping[str, str]) -> str:
        started = time.monotonic()
        print(f"$ {' '.join([*(f'{n}={v}' for n, v in more.items()), *words])}", flush=True)
        done = subprocess.run(
            words,
            cwd=self.folder,
            env={**self._environment, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=600,
        )
        print(f"  status {done.returncode} after {time.monotonic() - started:.1f} s", flush=True)
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout


def find(folder: Path, project: str, environment: Mapping[str, str]) -> Engine | None:
    """The engine that is here, or none."""
    answers = (("docker", "info"), ("docker", "compose", "version"))
    if shutil.which("docker") and all(
        subprocess.run(a, capture_output=True, check=False).returncode == 0 for a in answers
    ):
        return Engine("docker", ("docker", "compose"), folder, project, environment)
    if shutil.which("podman") and shutil.which("podman-compose"):
        return Engine("podman", ("podman-compose",), folder, project, environment)
    return None
