"""One node without leases and fences does its work under the access list, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.deploy.acl_redis import AclRedis
from tests.deploy.compose_processes import ComposeProcesses
from tests.processes import wait_until
from tickfence.settings import Settings

pytestmark = pytest.mark.e2e


def test_one_node_writes_all_reports_and_nothing_is_refused(acl_redis: AclRedis, tmp_path: Path) -> None:
    symbols = Settings.from_environment({}).symbols
    with (
        acl_redis.client("admin") as admin,
        ComposeProcesses(acl_redis, tmp_path, {"NT_ENABLE_MULTI_INSTANCE": "false"}) as stack,
    ):
        stack.start(["simulator", "ingest-1", "beat-1", "node-001"])

        def tokens() -> set[int]:
            found = [text for text in admin.mget([f"report:{symbol}" for symbol in symbols]) if text]
            return (
                {json.loads(text)["writer"]["writerToken"] for text in found} if len(found) == len(symbols) else set()
            )

        wait_until(lambda: tokens() == {1}, lambda: f"{acl_redis.refusals()} {stack.log('node-001')[-1000:]}", 30)
        wait_until(lambda: stack.healthy("beat-1"), lambda: stack.log("beat-1")[-1000:], 20, 0.2)
        assert acl_redis.refusals() == []
