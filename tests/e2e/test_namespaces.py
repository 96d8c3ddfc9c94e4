"""Two deployments in one Redis, with the same symbols and node ids, do not see each other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.observer import tokens
from tests.e2e.roles_at import RolesAt
from tools.local.embedded_redis import EmbeddedRedis
from tools.local.roles import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

NODE = ("node-001",)


def answers(server: EmbeddedRedis, namespace: str) -> int:
    """How many nodes answer Celery's ping."""
    asked = subprocess.run(
        [sys.executable, "-c", "from tasks import app; print(len(app.control.ping(timeout=1)))"],
        cwd=ROOT,
        env={**os.environ, "CELERY_BROKER_URL": server.url(1), "NT_NAMESPACE": namespace},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(asked.stdout)


def test_two_namespaces_share_a_redis(tmp_path: Path, own_redis_server: Callable[..., EmbeddedRedis]) -> None:
    server = own_redis_server()
    folders = [tmp_path / name for name in ("red", "blue")]
    for folder in folders:
        folder.mkdir()
    with (
        RolesAt(server.url(), server.url(1), folders[0], namespace="red", nodes=NODE) as red,
        RolesAt(server.url(), server.url(1), folders[1], namespace="blue", nodes=NODE) as blue,
    ):
        red.wait_for_reports(NODE, timeout_s=40)
        before = blue.wait_for_reports(NODE, timeout_s=40)
        for database in (0, 1):
            with server.client(database) as client:
                keys = set(client.scan_iter(count=1000))
            assert keys
            assert {key.split(b":")[0] for key in keys} == {b"red", b"blue"}, sorted(keys)

        assert answers(server, "red") == answers(server, "blue") == 1, "remote control reaches the own nodes only"

        red.kill("node-001")
        red.kill("beat")
        after = blue.wait_for_reports(NODE)
        assert tokens(after) == tokens(before), "no lease of the other one has moved"
        assert (red.ended(), blue.ended()) == (["beat", "node-001"], [])
        assert blue.conflicts(NODE) == 0
