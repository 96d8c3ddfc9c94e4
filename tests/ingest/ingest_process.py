"""Starting ``python -m ingest`` as a process of its own."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from tests.role_process import RoleProcess
from tools.local import ports


class IngestProcess(RoleProcess):
    """A running ingest between an exchange and a Redis server."""

    def __init__(self, *, symbols: str, redis_url: str, ws: str, rest: str, **variables: object) -> None:
        self.metrics_port = ports.pick(None)
        settings = {
            "SYMBOLS": symbols,
            "REDIS_URL": redis_url,
            "NT_EXCHANGE_WS_URL": ws,
            "NT_EXCHANGE_REST_URL": rest,
            "NT_METRICS_PORT": self.metrics_port,
        }
        super().__init__("ingest", **settings | variables)

    def log(self) -> list[dict[str, Any]]:
        """The log's lines."""
        return [json.loads(line) for line in self.log_text().splitlines() if line.startswith("{")]

    def metric(self, name: str) -> float:
        """A metric's value, by its name with labels as the metrics page shows it, summed over its other labels.

        0 while it is not there.
        """
        name, _, labels = name.rstrip("}").partition("{")
        asked = set(filter(None, labels.split(",")))
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as page:
                lines = page.read().decode().splitlines()
        except OSError:
            return 0.0
        shown = (line.rsplit(" ", 1) for line in lines if line.startswith((name + " ", name + "{")))
        return sum(float(value) for text, value in shown if asked <= set(text[len(name) + 1 : -1].split(",")))
