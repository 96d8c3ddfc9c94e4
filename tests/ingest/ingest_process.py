"""Starting ``python -m ingest`` as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from local import ports

ROOT = Path(__file__).parents[2]


class IngestProcess:
    """A running ingest between an exchange and a Redis server; ends with the ``with`` block."""

    def __init__(self, *, symbols: str, redis_url: str, ws: str, rest: str, **variables: object) -> None:
        self.metrics_port = ports.pick(None)
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in __exit__
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NT_")}
        environment |= {
            "SYMBOLS": symbols,
            "REDIS_URL": redis_url,
            "NT_EXCHANGE_WS_URL": ws,
            "NT_EXCHANGE_REST_URL": rest,
            "NT_METRICS_PORT": str(self.metrics_port),
        }
        environment |= {name: str(value) for name, value in variables.items()}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ingest"], cwd=ROOT, env=environment, stderr=self._errors, text=True
        )

    def __enter__(self) -> IngestProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if error is not None:
            print(self.log_text())
        self._errors.close()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=10)

    def log_text(self) -> str:
        """Everything written to standard error."""
        self._errors.seek(0)
        return self._errors.read()

    def log(self) -> list[dict[str, Any]]:
        """The log's lines."""
        return [json.loads(line) for line in self.log_text().splitlines() if line.startswith("{")]

    def metric(self, name: str) -> float:
        """A metric's value, by its name with labels as the metrics page shows it; 0 while it is not there."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as page:
                lines = page.read().decode().splitlines()
        except OSError:
            return 0.0
        return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + " ")), 0.0)
