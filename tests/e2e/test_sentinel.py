"""Data plane and broker behind Sentinel: the master is replaced, and then killed; every role finds its successor."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.e2e.roles_at import RolesAt
from tests.redis_groups import SentinelGroup

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]

SWITCH_S = 6.0
"""On a busy machine. Roles that do not follow the switch need 11 s: so long Sentinel leaves the old master as it is."""


def test_after_a_planned_switch_and_after_a_failover_all_reports_are_back_and_no_token_fell(tmp_path: Path) -> None:
    with SentinelGroup() as group, RolesAt(group.url(0), group.url(1), tmp_path) as roles:
        roles.wait_for_reports(timeout_s=30)
        group.switch()
        asked = time.monotonic()
        group.wait_for_promotion()
        roles.wait_for_reports(another_master=True)
        took = time.monotonic() - asked
        print(f"{took:.2f} s from a switch to six reports of two nodes")
        assert took < SWITCH_S
        assert roles.conflicts() == 0
        group.demote(group.first, group.second)
        group.second.kill()
        group.wait_for_promotion(group.first)
        promoted = time.monotonic()
        roles.wait_for_reports(another_master=True)
        print(f"{time.monotonic() - promoted:.2f} s from the promotion to six reports of two nodes")
