"""Who is alive, judged by heartbeats and connections."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tickfence.coordination.membership import Membership, NodeReason, NodeRecord, NodeState, is_alive, parse_node
from tickfence.coordination.owner import Owner

TTL, GRACE = 1000, 100
HASH = {b"incarnation": b"5f0c", b"client_id": b"17", b"weight": b"2.5"}


class FakeRedis:
    """What Redis would show, as plain data: the membership itself does no I/O."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000
        self.heartbeats: dict[str, int] = {}
        self.records: dict[str, NodeRecord] = {}
        self.connected: set[int] = set()
        self.last_client_id = 0

    def connect(self, node: str, incarnation: str = "a") -> None:
        """The node registers with a new connection, and sends a heartbeat."""
        self.last_client_id += 1
        self.connected.add(self.last_client_id)
        self.records[node] = NodeRecord(Owner(node, incarnation), self.last_client_id)
        self.heartbeats[node] = self.now

    def disconnect(self, node: str) -> None:
        self.connected.discard(self.records[node].client_id)

    def heartbeat(self, *nodes: str) -> None:
        for node in nodes:
            self.heartbeats[node] = self.now

    def leave(self, node: str) -> None:
        self.disconnect(node)
        self.records[node] = self.records[node]._replace(left=True)
        del self.heartbeats[node]

    def flush(self) -> None:
        self.heartbeats.clear()
        self.records.clear()


class Watcher:
    """A membership that observes it as the dispatcher does."""

    def __init__(self, shown: FakeRedis) -> None:
        self.shown = shown
        self.membership = Membership(TTL, GRACE)

    def observe(self, after_ms: int = 0, *, connections_shown: bool = True) -> set[str]:
        """The live nodes, as ``name/incarnation``, after observing every 25 ms for ``after_ms``."""
        while after_ms > 25:
            after_ms -= 25
            self.observe(25, connections_shown=connections_shown)
        self.shown.now += after_ms
        watched = self.membership.client_ids
        connected: Collection[int] | None = self.shown.connected & set(watched) if connections_shown else None
        records = {
            node: self.shown.records.get(node) for node in self.membership.records_to_read(self.shown.heartbeats)
        }
        live = self.membership.observe(self.shown.now, dict(self.shown.heartbeats), records, connected)
        return {str(owner) for owner in live}


@pytest.fixture
def shown() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
def watcher(shown: FakeRedis) -> Watcher:
    return Watcher(shown)


def test_a_node_lives_from_its_first_heartbeat_until_the_ttl_is_over(shown: FakeRedis, watcher: Watcher) -> None:
    assert watcher.observe() == set()
    shown.connect("n1")
    assert watcher.observe() == {"n1/a"}
    assert watcher.observe(TTL - 1) == {"n1/a"}
    assert watcher.observe(1) == set()
    shown.heartbeat("n1")
    assert watcher.observe() == {"n1/a"}


def test_why_each_was_judged_to_be_gone(shown: FakeRedis, watcher: Watcher) -> None:
    for node in ("n1", "n2", "n3", "n4"):
        shown.connect(node)
    watcher.observe()
    shown.leave("n1")
    watcher.observe(25)
    shown.disconnect("n2")
    watcher.observe(GRACE + 25)
    shown.heartbeat("n4")
    watcher.observe(TTL - 1)
    assert watcher.observe() == {"n4/a"}
    watcher.observe(10 * TTL)
    by_node = {owner.node: reason for owner, reason in watcher.membership.departed.items()}
    assert by_node == {
        "n1": NodeReason.LEFT,
        "n2": NodeReason.DIED,
        "n3": NodeReason.SILENT,
        "n4": NodeReason.SILENT,
    }


def test_a_node_that_is_back_is_not_gone(shown: FakeRedis, watcher: Watcher) -> None:
    shown.connect("n1")
    watcher.observe()
    watcher.observe(TTL)
    assert watcher.membership.departed == {Owner("n1", "a"): NodeReason.SILENT}
    shown.heartbeat("n1")
    assert watcher.observe() == {"n1/a"}
    assert watcher.membership.departed == {}


def test_a_predecessor_whose_id_was_taken_had_died_or_left(shown: FakeRedis, watcher: Watcher) -> None:
    shown.connect("n1", "a")
    shown.connect("n2", "a")
    watcher.observe()
    watcher.observe(25)
    shown.connect("n1", "b")
    shown.connect("n2", "b")
    del shown.heartbeats["n2"]  # it has registered, and not joined yet
    assert watcher.observe(1) == {"n1/b"}
    assert watcher.membership.departed == {Owner("n1", "a"): NodeReason.DIED, Owner("n2", "a"): NodeReason.DIED}


def test_departures_are_remembered_for_a_while_only(shown: FakeRedis, watcher: Watcher) -> None:
    for start in range(300):
        shown.connect("n1", f"{start}")
        watcher.observe(25)
    assert len(watcher.membership.departed) == 100
    assert Owner("n1", "298") in watcher.membership.departed


def test_each_heartbeat_counts_from_its_own_time(shown: FakeRedis, watcher: Watcher) -> None:
    shown.connect("n1")
    shown.connect("n2")
    for _ in range(5):
        assert watcher.observe(TTL // 2) == {"n1/a", "n2/a"}
        shown.heartbeat("n1", "n2")
    watcher.observe(TTL // 2)
    shown.heartbeat("n2")
    assert watcher.observe(TTL // 2) == {"n2/a"}


def test_a_vanished_connection_is_death_after_the_grace(shown: FakeRedis, watcher: Watcher) -> None:
    shown.connect("n1")
    shown.connect("n2")
    assert watcher.observe() == {"n1/a", "n2/a"}
    shown.disconnect("n1")
    assert watcher.observe(1) == {"n1/a", "n2/a"}
    assert watcher.observe(GRACE - 1) == {"n1/a", "n2/a"}
    assert watcher.observe(1) == {"n2/a"}


def test_a_reconnect_within_the_grace_is_no_death(shown: FakeRedis, watcher: Watcher) -> None:
    shown.connect("n1")
    watcher.observe()
    shown.disconnect("n1")
    assert watcher.observe(1) == {"n1/a"}
    assert watcher.observe(GRACE - 1) == {"n1/a"}
    shown.connect("n1")
    for _ in range(3):
        assert watcher.observe(GRACE // 2) == {"n1/a"}
    shown.disconnect("n1")  # and the next one has its own grace
    assert watcher.observe(1) == {"n1/a"}
    assert watcher.observe(GRACE) == set()


def test_a_node_that_comes_back_after_the_grace_is_the_same_owner(shown: FakeRedis, watcher: Watcher) -> None:
    shown.connect("n1")
    watcher.observe()
    shown.disconnect("n1")
    watcher.observe(1)
    assert watcher.observe(GRACE) == set()
    shown.connect("n1")
    assert watcher.observe(1) == {"n1/a"}


def test_a_registration_made_after_client_list_was_sent_is_not_missing(shown: FakeRedis, watcher: Watcher) -> None:
    shown.connect("n1")
    watcher.observe()
    shown.disconnect("n1")
    shown.now += 1
    shown.connect("n1")  # its connection was not among the watched ones
    assert watcher.observe() == {"n1/a"}
    assert watcher.observe(GRACE) == {"n1/a"}


def test_a_restart_is_another_owner(shown: FakeRedis, watcher: Watcher) -> None:
    shown.connect("n1", "a")
    assert watcher.observe() == {"n1/a"}
    shown.now += 1
    shown.connect("n1", "b")
    assert watcher.observe() == {"n1/b"}


def test_an_orderly_leave_counts_at_once(shown: FakeRedis, watcher: Watcher) -> None:
    shown.connect("n1")
    shown.connect("n2")
    watcher.observe()
    shown.leave("n1")
    assert watcher.observe(1) == {"n2/a"}
    shown.connect("n1", "b")
    assert watcher.observe(1) == {"n1/b", "n2/a"}


@pytest.mark.parametrize("connections_shown", [True, False])
def test_after_redis_lost_its_data_nodes_have_the_ttl_to_register_again(
    shown: FakeRedis, watcher: Watcher, connections_shown: bool
) -> None:
    shown.connect("n1")
    shown.connect("n2")
    watcher.observe(connections_shown=connections_shown)
    shown.flush()
    assert watcher.observe(TTL - 1, connections_shown=connections_shown) == {"n1/a", "n2/a"}
    shown.records["n1"] = NodeRecord(Owner("n1", "a"), 1)
    shown.heartbeat("n1")
    assert watcher.observe(1, connections_shown=connections_shown) == {"n1/a"}
    assert watcher.observe(TTL - 2, connections_shown=connections_shown) == {"n1/a"}


def test_entries_that_are_stale_at_the_first_observation_are_not_alive(shown: FakeRedis, watcher: Watcher) -> None:
    shown.connect("n1")
    assert watcher.observe(TTL) == set()
    assert watcher.observe(25) == set()


def test_the_record_of_a_purged_name_is_not_read_for_ever(shown: FakeRedis, watcher: Watcher) -> None:
    shown.connect("n1")
    watcher.observe()
    watcher.observe(2 * TTL)
    del shown.heartbeats["n1"]
    watcher.observe()
    assert watcher.membership.records_to_read(shown.heartbeats) == []


def test_an_unwatched_registration_is_not_taken_for_a_broken_one(shown: FakeRedis, watcher: Watcher) -> None:
    shown.connect("n1")
    shown.records["n1"] = shown.records["n1"]._replace(client_id=0)  # its server shows it no client id
    watcher.observe()
    shown.heartbeat("n1")
    watcher.observe(GRACE)
    shown.heartbeat("n1")
    assert watcher.observe(GRACE) == {"n1/a"}


def test_an_entry_without_a_whole_record_is_no_node(shown: FakeRedis, watcher: Watcher) -> None:
    shown.heartbeat("n1")
    assert watcher.observe() == set()
    shown.now += 10
    shown.connect("n1")
    assert watcher.observe() == {"n1/a"}


def test_where_connections_are_not_shown_the_ttl_alone_decides(shown: FakeRedis, watcher: Watcher) -> None:
    shown.connect("n1")
    watcher.observe(connections_shown=False)
    shown.disconnect("n1")
    assert watcher.observe(1, connections_shown=False) == {"n1/a"}
    assert watcher.observe(TTL - 2, connections_shown=False) == {"n1/a"}
    assert watcher.observe(1, connections_shown=False) == set()


class TestAfterAnOutage:
    """While Redis could not be reached, silence proved nothing."""

    @pytest.mark.parametrize("away_ms", [100, 1_000, 30_000])
    def test_no_node_dies_because_we_could_not_observe(self, shown: FakeRedis, watcher: Watcher, away_ms: int) -> None:
        shown.connect("n1")
        shown.connect("n2")
        watcher.observe()
        watcher.observe(TTL - 50)
        shown.connected.clear()  # it restarted
        shown.now += away_ms
        watcher.membership.resume(shown.now)
        assert watcher.observe() == {"n1/a", "n2/a"}
        assert watcher.observe(GRACE + 1) == {"n1/a", "n2/a"}
        shown.connect("n1")
        assert watcher.observe(GRACE + 1) == {"n1/a", "n2/a"}
        assert watcher.observe(TTL - 2 * GRACE - 3) == {"n1/a", "n2/a"}
        assert watcher.observe(1) == {"n1/a"}

    def test_a_node_that_was_dead_before_stays_dead(self, shown: FakeRedis, watcher: Watcher) -> None:
        shown.connect("n1")
        shown.connect("n2")
        watcher.observe()
        shown.disconnect("n1")
        watcher.observe(1)
        assert watcher.observe(GRACE) == {"n2/a"}
        shown.now += 200
        watcher.membership.resume(shown.now)
        assert watcher.observe() == {"n2/a"}
        assert watcher.observe(GRACE) == {"n2/a"}
        shown.connect("n1")
        assert watcher.observe(1) == {"n1/a", "n2/a"}

    def test_a_connection_seen_again_is_watched_again(self, shown: FakeRedis, watcher: Watcher) -> None:
        shown.connect("n1")
        watcher.observe()
        shown.now += 500
        watcher.membership.resume(shown.now)
        assert watcher.observe() == {"n1/a"}
        shown.disconnect("n1")
        assert watcher.observe(1) == {"n1/a"}
        assert watcher.observe(GRACE) == set()


class TestWhenTheServersTimeJumps:
    """A stepped clock, or a replica of another time that was promoted."""

    @pytest.mark.parametrize("jump_ms", [5_000, 3_600_000])
    def test_forward_a_node_with_heartbeats_stays_alive(self, shown: FakeRedis, watcher: Watcher, jump_ms: int) -> None:
        shown.connect("n1")
        shown.connect("n2")
        watcher.observe()
        shown.now += jump_ms
        assert watcher.observe() == {"n1/a", "n2/a"}
        shown.now += 10
        shown.heartbeat("n1")
        assert watcher.observe(TTL - 11) == {"n1/a", "n2/a"}
        assert watcher.observe(1) == {"n1/a"}

    @pytest.mark.parametrize("jump_ms", [5_000, 3_600_000])
    def test_back_a_silent_node_dies_all_the_same(self, shown: FakeRedis, watcher: Watcher, jump_ms: int) -> None:
        shown.connect("n1")
        shown.connect("n2")
        shown.connect("n3")
        watcher.observe()
        shown.disconnect("n3")
        watcher.observe(1)
        assert watcher.observe(GRACE) == {"n1/a", "n2/a"}
        shown.heartbeat("n2")
        watcher.observe(25)
        shown.now -= jump_ms
        shown.heartbeat("n1")
        assert watcher.observe() == {"n1/a", "n2/a"}
        for _ in range(3):
            assert watcher.observe(TTL // 4) == {"n1/a", "n2/a"}
            shown.heartbeat("n1")
        assert watcher.observe(TTL // 4) == {"n1/a"}

    def test_heartbeats_from_the_future_keep_no_node_alive(self, shown: FakeRedis, watcher: Watcher) -> None:
        shown.connect("n1")
        shown.now -= 3_600_000
        assert watcher.observe() == {"n1/a"}
        assert watcher.observe(TTL) == set()


@pytest.mark.parametrize("still_ms", [TTL - 10, 10 * TTL])
def test_time_in_which_redis_or_we_stood_still_does_not_count(
    shown: FakeRedis, watcher: Watcher, still_ms: int
) -> None:
    shown.connect("n1")
    shown.connect("n2")
    watcher.observe()
    watcher.observe(300)
    shown.disconnect("n2")
    shown.now += still_ms
    assert watcher.observe() == {"n1/a", "n2/a"}
    assert watcher.observe(GRACE) == {"n1/a"}
    assert watcher.observe(TTL - 300 - GRACE - 1) == {"n1/a"}
    assert watcher.observe(1) == set()


def test_a_restart_that_has_not_announced_itself_yet_gets_nothing(shown: FakeRedis, watcher: Watcher) -> None:
    """It left and registered again between two observations: its record is there, its heartbeat is not."""
    shown.connect("n1", "a")
    watcher.observe()
    shown.leave("n1")
    shown.connect("n1", "b")
    del shown.heartbeats["n1"]
    assert watcher.observe(10) == set()
    shown.heartbeat("n1")
    assert watcher.observe(10) == {"n1/b"}


@pytest.mark.parametrize(
    ("change", "whole"),
    [
        ({}, True),
        ({b"left": b"1700000000000"}, True),
        ({b"client_id": b""}, False),
        ({b"weight": b"heavy"}, False),
        ({b"pid": b"none"}, False),
        ({b"host": b"\xff"}, False),
        ({b"status_of": b"5f0c", b"progress": b"far"}, False),
        ({b"incarnation": None}, False),
    ],
)
def test_records_are_read_whole_or_not_at_all(change: dict[bytes, bytes | None], whole: bool) -> None:
    record = parse_node("n1", {k: v for k, v in (HASH | change).items() if v is not None})
    assert (record is not None) is whole
    if record:
        assert (record.owner, record.client_id, record.weight) == (Owner("n1", "5f0c"), 17, 2.5)
        assert record.left is (b"left" in change)


def test_a_status_counts_only_for_the_process_that_wrote_it() -> None:
    """An older version that takes the id leaves the fields of a newer one before it as they are."""
    status = {b"progress": b"7", b"working": b"BTCUSDT", b"probe": b"p1", b"drained": b"1"}
    own = parse_node("n1", HASH | status | {b"status_of": b"5f0c"})
    assert own and (own.progress, own.working, own.probe, own.drained) == (7, "BTCUSDT", "p1", True)
    for other in ({b"status_of": b"a"}, {}):
        older = parse_node("n1", HASH | status | other)
        assert older and (older.progress, older.working, older.probe, older.drained) == (None, "", "", False)
    idle = parse_node("n1", HASH | {b"status_of": b"5f0c", b"progress": b"0", b"working": b"", b"drained": b""})
    assert idle and (idle.progress, idle.working, idle.drained) == (0, "", False)


@pytest.mark.parametrize(
    ("heartbeat_ms", "connected", "left", "state"),
    [
        (9_001, None, False, NodeState.ALIVE),
        (9_001, {17}, False, NodeState.ALIVE),
        (10_500, {17}, False, NodeState.ALIVE),  # newer than our reading of the server's clock
        (9_000, {17}, False, NodeState.SILENT),
        (70_001, {17}, False, NodeState.SILENT),  # from a clock that was ahead
        (None, {17}, False, NodeState.SILENT),
        (9_001, set(), False, NodeState.GONE),
        (9_000, set(), False, NodeState.GONE),
        (9_001, {17}, True, NodeState.LEFT),
        (None, set(), True, NodeState.LEFT),
    ],
)
def test_the_state_of_a_node_at_one_moment(
    heartbeat_ms: int | None, connected: set[int] | None, left: bool, state: NodeState
) -> None:
    record = NodeRecord(Owner("n1", "a"), client_id=17, left=left)
    assert record.state(heartbeat_ms, ttl_ms=TTL, now_ms=10_000, connected=connected) is state


def test_a_node_without_a_known_connection_is_judged_by_its_heartbeat() -> None:
    record = NodeRecord(Owner("n1", "a"), client_id=0)
    assert record.state(9_001, ttl_ms=TTL, now_ms=10_000, connected=set()) is NodeState.ALIVE
    assert is_alive(9_001, ttl_ms=TTL, now_ms=10_000)
    assert not is_alive(9_000, ttl_ms=TTL, now_ms=10_000)


class MembershipMachine(RuleBasedStateMachine):
    """Nodes live and die in every way; the membership must agree with what was done to them, within its delays."""

    NAMES = ("n1", "n2", "n3")

    def __init__(self) -> None:
        super().__init__()
        self.shown = FakeRedis()
        self.watcher = Watcher(self.shown)
        self.incarnations = 0
        self.running: dict[str, str] = {}  # node -> incarnation, of those whose process runs
        self.ended: dict[str, tuple[str, int]] = {}  # "node/incarnation" -> how it ended, and when
        self.last: set[str] = set()
        self.observed: set[int] = set()
        self.resumed = 0

    @rule(node=st.sampled_from(NAMES))
    def start(self, node: str) -> None:
        if node in self.running:
            self.kill(node)
        self.incarnations += 1
        self.running[node] = f"i{self.incarnations}"
        self.shown.now += 1
        self.shown.connect(node, self.running[node])

    @rule(node=st.sampled_from(NAMES))
    def reconnect(self, node: str) -> None:
        if node in self.running:
            self.shown.disconnect(node)
            self.time_goes_by(GRACE // 2)
            self.shown.connect(node, self.running[node])

    @rule(node=st.sampled_from(NAMES))
    def leave(self, node: str) -> None:
        if node in self.running:
            self.shown.leave(node)
            self.ended[f"{node}/{self.running.pop(node)}"] = ("leave", self.shown.now)

    @rule(node=st.sampled_from(NAMES))
    def kill(self, node: str) -> None:
        if node in self.running:
            self.shown.disconnect(node)
            # A connection that was never observed cannot be missing.
            how = "kill" if self.shown.records[node].client_id in self.observed else "freeze"
            self.ended[f"{node}/{self.running.pop(node)}"] = (how, self.shown.now)

    @rule(node=st.sampled_from(NAMES))
    def freeze(self, node: str) -> None:
        if node in self.running:
            self.ended[f"{node}/{self.running.pop(node)}"] = ("freeze", self.shown.now)

    @rule()
    def flush(self) -> None:
        kept = {node: self.shown.records[node] for node in self.running}
        self.shown.flush()
        for name, (how, when) in self.ended.items():
            if how == "leave" and name in self.last:
                self.ended[name] = ("kill", when)  # its word was lost before it was observed
        self.shown.now += 1
        self.shown.records.update(kept)  # over connections that stand
        self.shown.heartbeat(*kept)

    @rule(ms=st.sampled_from([1_500, 30_000]))
    def outage(self, ms: int) -> None:
        self.shown.now += ms
        self.shown.connected.clear()
        self.resumed = self.shown.now
        self.watcher.membership.resume(self.shown.now)
        known, self.last = self.last, self.watcher.observe()
        assert {f"{n}/{i}" for n, i in self.running.items() if f"{n}/{i}" in known} <= self.last
        for node, incarnation in self.running.items():
            self.shown.connect(node, incarnation)

    @rule(ms=st.sampled_from([0, 25, GRACE, 250]))
    def time_goes_by(self, ms: int) -> None:
        while ms > 0:  # the dispatcher polls every 25 ms, the nodes send heartbeats
            step = min(ms, 25)
            ms -= step
            self.shown.now += step
            for node in self.running:
                if self.shown.records[node].client_id in self.shown.connected:
                    self.shown.heartbeat(node)
            self.check()
        self.check()

    def check(self) -> None:
        self.last = self.watcher.observe()
        self.observed |= self.shown.connected
        assert {f"{node}/{incarnation}" for node, incarnation in self.running.items()} <= self.last
        for name in self.last - {f"{node}/{incarnation}" for node, incarnation in self.running.items()}:
            how, when = self.ended[name]
            assert how != "leave"
            seen_to_go = how == "kill" and when > self.resumed
            assert self.shown.now - max(when, self.resumed) < (GRACE + 50 if seen_to_go else TTL)

    def teardown(self) -> None:
        self.time_goes_by(2 * TTL)
        assert self.last == {f"{node}/{incarnation}" for node, incarnation in self.running.items()}


MembershipMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestMembershipMachine = MembershipMachine.TestCase
