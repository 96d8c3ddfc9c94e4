"""A container engine with Compose: Docker, or podman with podman-compose."""

from __future__ import annotations

import os
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
        self._compose, self._folder = [*compose, "-p", project], folder
        self._environment = {**os.environ, **environment}

    def compose(self, *words: str, **more: str) -> str:
        """``docker compose <words>``, with ``more`` in its environment; what it wrote."""
        return self._run([*self._compose, *words], more)

    def run(self, *words: str) -> str:
        """``docker <words>``; what it wrote."""
        return self._run([self.program, *words], {})

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
        return self._quiet("ps", "--all", "--format", "{{.Names}}", *filters).split()

    def logs(self, service: str) -> str:
        """What the containers of a service wrote last."""
        return "\n".join(self._quiet("logs", "--tail", "15", name) for name in self.containers(service))

    def healthy(self, service: str) -> bool:
        """Whether a service's health check passes now."""
        name = self.container(service)
        if self.program == "podman":  # it runs them by systemd's timers, where there is systemd
            return self.succeeds("healthcheck", "run", name)
        return self._quiet("inspect", "--format", "{{.State.Health.Status}}", name).strip() == "healthy"

    def clean_up(self) -> None:
        """Remove containers, volumes and networks of the project."""
        left = self.containers()
        if left:
            self._quiet("rm", "--force", *left)
        for kind in ("volume", "network"):
            mine = ("--quiet", "--filter", f"label=com.docker.compose.project={self.project}")
            if names := self._quiet(kind, "ls", *mine).split():
                self._quiet(kind, "rm", *names)

    def _quiet(self, *words: str) -> str:
        done = subprocess.run([self.program, *words], capture_output=True, text=True, check=False, timeout=120)
        return done.stdout + done.stderr if words[0] == "logs" else done.stdout

    def _run(self, words: list[str], more: Mapping[str, str]) -> str:
        started = time.monotonic()
        print(f"$ {' '.join([*(f'{n}={v}' for n, v in more.items()), *words])}", flush=True)
        done = subprocess.run(
            words,
            cwd=self._folder,
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
