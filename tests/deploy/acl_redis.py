"""A real Redis 7 with the very configuration and access list of a deployment."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from tests.deploy.compose_file import ROOT
from tests.processes import wait_until
from tests.programs import libraries, program
from tools.local import ports


def server_program(folder: Path) -> Path | None:
    """A server of version 7 or later, as an executable in ``folder``; ``None`` where the one at hand is older.

    Debian's ``redis-tools`` brings one without starting it: ``redis-check-rdb`` is the server under another name.
    """
    found = shutil.which("redis-server") or shutil.which("valkey-server") or program("redis-check-rdb", "redis-tools")
    executable = folder / "redis-server"
    executable.symlink_to(found)
    said = subprocess.run([executable, "--version"], capture_output=True, text=True, env=libraries(found), check=True)
    version = re.search(r" v=(\d+)\.", said.stdout)
    assert version, said.stdout
    return executable if int(version[1]) >= 7 else None


def make_secrets(folder: Path) -> Path:
    """What ``deploy/secrets.sh`` makes."""
    subprocess.run(["sh", ROOT / "deploy" / "secrets.sh", folder], check=True, capture_output=True)
    return folder


class AclRedis:
    """Runs the server.

    Attributes:
        secrets: the folder of passwords.
        port: on the loopback address.
    """

    def __init__(self, executable: Path, folder: Path) -> None:
        self.secrets = make_secrets(folder / "secrets")
        self.port = ports.pick()
        log = folder / "redis.log"
        options = ["--port", str(self.port), "--bind", ports.LOOPBACK, "--dir", str(folder)]
        options += ["--aclfile", str(self.secrets / "redis-users.acl"), "--logfile", str(log)]
        configuration = ROOT / "deploy" / "redis" / "redis.conf"
        environment = libraries(str(executable.readlink()))
        self._process = subprocess.Popen([executable, configuration, *options], env=environment)
        wait_until(self._answers, lambda: f"the server answers: {log.read_text() if log.exists() else ''}")

    def client(self, user: str, db: int = 0) -> redis.Redis:
        """A client as one of the users; the caller closes it."""
        password = (self.secrets / f"redis-{user}").read_text()
        return redis.Redis(port=self.port, db=db, username=user, password=password)

    def refusals(self) -> list[str]:
        """What was refused to whom since the server started."""
        with self.client("admin") as admin:
            entries: list[dict[str, Any]] = admin.acl_log(count=1000)
        return sorted({f"{e['username']}: {e['object']} ({e['reason']})" for e in entries})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"the server ended with status {self._process.returncode}")
        try:
            with self.client("health") as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False
