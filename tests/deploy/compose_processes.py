"""The roles of docker-compose.yml as processes of this machine: the same commands, environments and secrets."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from tests.deploy.acl_redis import AclRedis
from tests.deploy.compose_file import ROOT, command, is_optional, services
from tools.local import ports

OURS = "tickfence"
"""The image of our own roles."""

_DEFAULT_METRICS = {
    "ingest": 9121,
    "beat": 9111,
    "node": 9101,
    "recorder": 9131,
    "batch": 9141,
    "alerts": 9151,
    "web": 9161,
}


def image(folder: Path) -> Path:
    """What the image has in its ``/app``: what the Dockerfile's last stage copies of what ``.dockerignore`` lets in."""
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    last_stage = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    copied = {name for line in re.findall(r"^COPY ([^-].*) \S+$", last_stage, re.MULTILINE) for name in line.split()}
    for name in let_in:
        if name in copied or name.partition("/")[0] in copied:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, folder / name)
    return folder


class ComposeProcesses:
    """Runs services whose image is ours, each with a port of its own for each port of its container.

    Parameters:
        server: stands for the service ``redis``.
        folder: for logs.
        more: variables that all of them are told on top.
    """

    def __init__(self, server: AclRedis, folder: Path, more: dict[str, str] | None = None) -> None:
        self._server, self._folder = server, folder
        self._more = more or {}
        self._image = image(folder / "image")
        self.services = {n: s for n, s in services().items() if s["image"] == OURS}
        taken: list[int] = []
        self.ports: dict[str, dict[int, int]] = {}
        for name, service in self.services.items():
            self.ports[name], kind = {}, name.partition("-")[0]
            spoken_of = f"{command(service)} {service.get('healthcheck', {}).get('test')}"
            inner_ports = {int(port) for port in re.findall(r"\b(?:91[0-6]1|5555|8000|9443)\b", spoken_of)}
            for inner in sorted(inner_ports | ({_DEFAULT_METRICS[kind]} if kind in _DEFAULT_METRICS else set())):
                taken.append(ports.pick(taken=taken))
                self.ports[name][inner] = taken[-1]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, names: Iterable[str] | None = None) -> None:
        """Start the named services, or all that ``docker compose up`` starts."""
        for name in names or [name for name, service in self.services.items() if not is_optional(service)]:
            words = [self._here(name, word) for word in command(self.services[name])]
            with (self._folder / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    words, cwd=self._image, env=self.environment(name), stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )

    def environment(self, name: str) -> dict[str, str]:
        """What a service's container would have, and nothing of this process's own."""
        given = {n: self._here(name, v) for n, v in self.services[name].get("environment", {}).items() if v is not None}
        kind = name.partition("-")[0]
        if kind in _DEFAULT_METRICS:
            given["NT_METRICS_PORT"] = str(self.ports[name][_DEFAULT_METRICS[kind]])
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {
            **given,
            **self._more,
            "PATH": programs,
            "PYTHONPATH": str(self._image),
            "HOSTNAME": "4f6a09c1d2e3",
            "PYTHONUNBUFFERED": "1",
        }

    def run(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another command as ``docker compose exec`` would."""
        return subprocess.run(
            words, cwd=self._image, env=self.environment(name), capture_output=True, text=True, check=False, timeout=60
        )

    def healthy(self, name: str) -> bool:
        """Whether the service's health check passes."""
        test = self._here(name, self.services[name]["healthcheck"]["test"])
        return self.run(name, "sh", "-c", test).returncode == 0

    def page(self, name: str, inner: int, path: str) -> str:
        """A page that a service serves at a port of its container; empty while it does not."""
        try:
            with urlopen(f"http://{ports.LOOPBACK}:{self.ports[name][inner]}{path}", timeout=5) as answer:
                text: str = answer.read().decode()
                return text
        except URLError:
            return ""

    def log(self, name: str) -> str:
        """All that a service wrote."""
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()

    def _here(self, name: str, text: str) -> str:
        """A text with this machine's addresses for the containers'."""
        text = text.replace("redis:6379", f"{ports.LOOPBACK}:{self._server.port}").replace("0.0.0.0", ports.LOOPBACK)
        text = text.replace("simulator:9443", f"{ports.LOOPBACK}:{self.ports['simulator'][9443]}")
        text = text.replace("/run/secrets", str(self._server.secrets))
        for volume in self.services[name].get("volumes", []):
            source, target, *_ = volume.split(":")
            text = str(self._folder / source) if text == target else text
        if not self.ports[name]:
            return text
        inner = "|".join(map(str, self.ports[name]))
        return re.sub(rf"\b({inner})\b", lambda found: str(self.ports[name][int(found[1])]), text)
