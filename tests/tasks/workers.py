"""Real workers, as one types them, on a Redis of a test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import redis
from celery import Celery

from tests.processes import wait_until
from tests.tasks.cycle_runs import KEYS, S
from tickfence.coordination.dispatch import Dispatch
from tickfence.coordination.owner import Owner
from tools.local.embedded_redis import EmbeddedRedis

ROOT = Path(__file__).parents[2]


class Workers:
    """Starts workers and sends them dispatches, as the dispatcher would."""

    def __init__(self, server: EmbeddedRedis, client: redis.Redis, folder: Path) -> None:
        self.server, self.client, self.folder = server, client, folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.producer = Celery(broker=server.url(1))
        self.generation = 1

    def start(
        self, *arguments: str, output: int | None = None, role: str = "worker", **variables: str
    ) -> subprocess.Popen[bytes]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NT_")} | {
            "REDIS_URL": self.server.url(),
            "CELERY_BROKER_URL": self.server.url(1),
            "SYMBOLS": S,
            "NT_METRICS_PORT": "0",
            "NT_HEARTBEAT_TTL_MS": "10000",
            "NT_REPORT_PERIOD_MS": "10000",
            "NT_SLOW_PERIOD_MS": "10000",
            "NT_LEASE_TTL_MS": "60000",
        }
        with self.log(len(self.processes)).open("wb") as log:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "celery", "-A", "tasks", role, *arguments],
                    cwd=ROOT,
                    env=environment | variables,
                    stdout=log if output is None else output,
                    stderr=subprocess.STDOUT,
                )
            )
        return self.processes[-1]

    def log(self, number: int = 0) -> Path:
        return self.folder / f"worker-{number}.log"

    def said(self, number: int = 0) -> str:
        return self.log(number).read_text()

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Wait for ``condition``; say what the workers said if it does not come."""
        try:
            wait_until(condition, what, 30)
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *map(self.said, range(len(self.processes)))])) from None

    def ended(self, process: subprocess.Popen[bytes]) -> int:
        self.wait(lambda: process.poll() is not None, "the worker to end")
        return process.returncode

    def joined(self, node: str) -> None:
        self.wait(lambda: self.client.zscore(KEYS.nodes, node), f"{node} to join")

    def owner(self, node: str) -> str:
        return str(Owner(node, self.client.hget(KEYS.node(node), "incarnation").decode()))

    def dispatch(
        self, node: str, owner: str | None = None, queue: str | None = None, late_ms: int = 0, task: str = "fast_cycle"
    ) -> None:
        seconds, microseconds = self.client.time()
        sent_ms = seconds * 1000 + microseconds // 1000 - late_ms
        sent = Dispatch(owner or self.owner(node), self.generation, 1, sent_ms)
        self.producer.send_task(f"tasks.{task}", ([S], sent), queue=queue or node, serializer="json")

    def report(self) -> dict | None:
        text = self.client.get(KEYS.report(S))
        return text and json.loads(text)

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.producer.close()
