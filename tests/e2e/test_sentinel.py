"""Data plane and broker behind Sentinel: the master is killed, and every role finds the one that takes its place."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.e2e.roles_at import RolesAt
from tests.redis_groups import SentinelGroup

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]


def test_after_a_failover_all_reports_are_back_and_no_token_fell(tmp_path: Path) -> None:
    with SentinelGroup() as group, RolesAt(group.url(0), group.url(1), tmp_path) as roles:
        roles.wait_for_reports(timeout_s=30)
        assert roles.conflicts() == 0
        group.first.kill()
        group.wait_for_promotion()
        promoted = time.monotonic()
        roles.wait_for_reports()
        print(f"{time.monotonic() - promoted:.2f} s from the promotion to six reports of two nodes")
