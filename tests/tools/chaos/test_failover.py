"""Campaigns on a stack behind Sentinel, and how their findings go together with those on one server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.chaos import campaign
from tools.chaos.deployment import Topology
from tools.chaos.faults import BY_NAME, CHOSEN
from tools.chaos.faults.redis_server import ALSO_BEHIND_SENTINEL, written_to_the_old_master
from tools.chaos.history import Acquisition, Injected, Record, StackStarted, Unobserved, Write, WrittenToOldMaster
from tools.chaos.stack_under_test import StackError, StackUnderTest

S = "BTCUSDT"
OLD = "127.0.0.1:6379"


@pytest.mark.e2e
@pytest.mark.timeout(180)
def test_after_a_failover_everybody_writes_to_the_new_master_and_the_old_one_follows_it(tmp_path: Path) -> None:
    outcome = campaign.run(tmp_path, seed=1, seconds=90, only=["redis-failover"], max_faults=1, say=print)
    assert outcome.verdict.violations == []
    assert outcome.undue_conflicts == 0
    assert outcome.unsteady == []
    assert outcome.faults == {"redis-failover": 1, "redis-join": 1}
    assert outcome.verdict.books_compared > 50
    failover, join = (record for record in outcome.records if isinstance(record, Injected))
    assert (failover.victim, join.victim) == ("redis-2", "redis-1")
    writes = [record.time for record in outcome.records if isinstance(record, Write) and record.report]
    assert [time for time in writes if time < failover.time]
    assert [time for time in writes if time > failover.counts_from]
    assert not [time for time in writes if failover.time < time < failover.counts_from]
    assert [record for record in outcome.records if isinstance(record, Unobserved)]  # both servers were watched
    assert all(gap.longest_ms < 15_000 for gap in outcome.gaps)


def test_a_stack_with_one_server_has_no_group(tmp_path: Path) -> None:
    with StackUnderTest(tmp_path, {}) as stack, pytest.raises(StackError, match="one Redis server"):
        _ = stack.group


def test_each_topology_has_its_own_kinds_and_a_failover_company() -> None:
    chosen = campaign.parts()
    assert list(chosen) == list(Topology)
    assert all(BY_NAME[name].topology is Topology.SINGLE for name in chosen[Topology.SINGLE])
    unrecorded = {name for name in CHOSEN if not BY_NAME[name].recorded}
    assert set(chosen[Topology.SINGLE]) | set(chosen[Topology.SENTINEL]) == unrecorded
    assert set(campaign.parts(record=True)[Topology.SINGLE]) > set(chosen[Topology.SINGLE])
    assert {"redis-failover", *ALSO_BEHIND_SENTINEL} <= set(chosen[Topology.SENTINEL])
    assert set(ALSO_BEHIND_SENTINEL) <= set(chosen[Topology.SINGLE])


def test_only_the_stacks_that_are_needed_are_started() -> None:
    assert campaign.parts(["redis-failover"]) == {Topology.SENTINEL: ["redis-failover"]}
    assert campaign.parts(["node-kill"]) == {Topology.SINGLE: ["node-kill"]}
    assert campaign.parts(["redis-failover", "node-kill"]) == {
        Topology.SINGLE: ["node-kill"],
        Topology.SENTINEL: ["redis-failover"],
    }


def test_each_stack_is_judged_by_itself() -> None:
    first: list[Record] = [
        StackStarted(1.0, "single"),
        Acquisition(1.1, S, "a/1", 10),
        Write(1.2, S, "a/1", 10, seq=10),
    ]
    second: list[Record] = [
        StackStarted(2.0, "sentinel"),
        Acquisition(2.1, S, "b/1", 5),
        Write(2.2, S, "b/1", 5, seq=5),
        Write(2.5, S, "b/1", 5, seq=6),
        Injected(2.3, "redis-failover", (S,), 2.3, 3.0),
    ]
    outcome = campaign.judge([*first, *second])
    assert outcome.verdict.violations == []
    assert (outcome.verdict.acquisitions, outcome.verdict.writes) == (2, 3)
    assert [round(gap.longest_ms) for gap in outcome.gaps] == [200]
    assert outcome.faults == {"redis-failover": 1}
    assert outcome.records == [*first, *second]
    mixed = campaign.judge([record for record in (*first, *second) if not isinstance(record, StackStarted)])
    assert mixed.verdict.violations != []


def test_what_the_old_master_accepts_after_a_failover_is_a_violation() -> None:
    records: list[Record] = [
        WrittenToOldMaster(1.0, OLD, Write(1.0, S, "a/1", 10)),
        Write(2.1, S, "b/1", 11),
        WrittenToOldMaster(2.2, OLD, Acquisition(2.2, S, "a/1", 12)),
        WrittenToOldMaster(2.3, OLD, Write(2.3, S, "a/1", 12)),
    ]
    found = written_to_the_old_master(records, since=2.0)
    assert [(one.time, one.symbol, one.detail) for one in found] == [
        (2.2, S, f"a lease of a/1 on {OLD}, which was no longer the master"),
        (2.3, S, f"a write of a/1 on {OLD}, which was no longer the master"),
    ]
