"""Who is stuck, judged in a simulated cluster: nodes that hang, outages, overload, pauses, at any time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tickfence.coordination.membership import NodeRecord
from tickfence.coordination.owner import Owner
from tickfence.coordination.progress import VERDICT_EVERY_S, ProgressJudge

BOUND_S, LATE_S = 1.5, 0.5
STEP_S, SEND_EVERY_S, HEARTBEAT_S = 0.025, 0.25, 0.26
RECONNECT_S = 0.5
NOTICED_S = 2.4
"""A hang is noticed within this, so that the symbols have moved within 2.5 s."""


@dataclass
class SimulatedNode:
    """A node with its queue. Its main thread and its heartbeats run apart from each other."""

    owner: Owner
    now: float
    counts: bool = True  # else it is of an older version
    progress: int = 0
    queue: int = 0
    busy_until: float = 0.0
    slow: bool = False  # a message takes it two seconds
    hung_since: float | None = None
    frozen: bool = False
    shown: int | None = None
    beats_at: float = 0.0

    @property
    def record(self) -> NodeRecord:
        return NodeRecord(self.owner, 1, progress=self.shown if self.counts else None)

    def work(self, now: float) -> None:
        if self.hung_since is not None or self.frozen:
            return
        if now < self.busy_until:
            self.progress += 1  # one of many symbols of its message
        elif self.queue:
            self.queue -= 1
            self.progress += 1
            self.busy_until = now + (2.0 if self.slow else 0.01)


class Cluster:
    """Some nodes, the broker and Redis, and a leader that judges."""

    def __init__(self, nodes: int = 3, *, counting: bool = True) -> None:
        self.now = 1000.0
        self.judge = ProgressJudge(BOUND_S, LATE_S)
        self.judge.begin(self.now)
        self.nodes = {
            owner: SimulatedNode(owner, self.now, counting, beats_at=self.now + 0.07 * i)
            for i, owner in enumerate(Owner(f"node-00{i}", "a") for i in range(1, nodes + 1))
        }
        self.eligible = set(self.nodes)
        self.sent: dict[Owner, float] = {}
        self.broker_failed_at = 0.0
        self.broker_up = self.redis_up = self.leader_runs = True
        self.resuming = False
        self.works_again_at = self.send_at = 0.0
        self.verdicts: list[tuple[float, Owner]] = []
        self.disturbed_at = 0.0

    def step(self) -> None:
        self.now += STEP_S
        if not (self.broker_up and self.redis_up):
            self.works_again_at = self.now + RECONNECT_S
        heard = []
        for node in self.nodes.values():
            if self.now >= self.works_again_at:
                node.work(self.now)
            if self.now >= node.beats_at and not node.frozen and self.redis_up:
                node.shown, node.beats_at = node.progress, self.now + HEARTBEAT_S
                heard.append(node.owner)
        self.heard = getattr(self, "heard", set()) | set(heard)
        if self.leader_runs:
            self.lead()

    def lead(self) -> None:
        if self.now >= self.send_at:
            self.send_at = self.now + SEND_EVERY_S
            self.send()
        if not self.redis_up:
            self.resuming = True
            return
        if self.resuming:
            self.resuming = False
            self.judge.resume(self.now)
        live = {owner: self.nodes[owner].record for owner in self.eligible}
        heard, self.heard = self.heard & live.keys(), set()
        suspects = self.judge.observe(self.now, live, heard, self.sent, self.broker_failed_at)
        waiting = {owner: self.nodes[owner].queue for owner in suspects} if self.ask() else {}
        stuck = self.judge.decide(self.now, waiting, (), self.eligible)
        if stuck is not None:
            self.verdicts.append((self.now, stuck))
            self.eligible.discard(stuck)

    def send(self, room: int = 3) -> None:
        if self.ask():
            for owner in self.eligible:
                if self.nodes[owner].queue < room:
                    self.nodes[owner].queue += 1
                    self.sent[owner] = self.now

    def ask(self) -> bool:
        if not self.broker_up:
            self.broker_failed_at = self.now
        return self.broker_up

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.step()

    def hang(self, owner: Owner) -> None:
        self.nodes[owner].hung_since = self.now

    @property
    def stuck(self) -> set[Owner]:
        return self.nodes.keys() - self.eligible


ONE, TWO, THREE = (Owner(f"node-00{i}", "a") for i in (1, 2, 3))


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.1, 0.15, 0.2, 0.25])
def test_a_node_that_hangs_is_found_within_two_and_a_half_seconds(after_s: float) -> None:
    cluster = Cluster()
    cluster.run(5 + after_s)
    cluster.hang(ONE)
    hung_at = cluster.now
    cluster.run(0.75 * BOUND_S)
    assert not cluster.stuck
    cluster.run(NOTICED_S - 0.75 * BOUND_S)
    assert [owner for _, owner in cluster.verdicts] == [ONE]
    assert cluster.verdicts[0][0] - hung_at <= NOTICED_S


def test_a_node_without_a_counter_is_not_judged() -> None:
    cluster = Cluster(counting=False)
    cluster.run(2)
    cluster.hang(ONE)
    cluster.run(20)
    assert not cluster.stuck


def test_a_node_that_nothing_waits_for_is_not_judged() -> None:
    cluster = Cluster()
    cluster.run(2)
    cluster.send_at = cluster.now + 1000
    cluster.run(20)
    assert not cluster.stuck


def test_a_message_that_comes_after_a_long_time_without_any_is_waited_for_first() -> None:
    """A report period of a minute: the counter has stood still for that long when the next message is sent."""
    cluster = Cluster()
    cluster.send_at = cluster.now + 60
    cluster.run(60)
    cluster.hang(ONE)
    cluster.run(0.75 * BOUND_S)
    assert not cluster.stuck
    cluster.run(NOTICED_S - 0.75 * BOUND_S)
    assert cluster.stuck == {ONE}


def test_messages_from_before_the_lead_do_not_count() -> None:
    cluster = Cluster()
    cluster.run(2)
    cluster.hang(ONE)
    cluster.run(1)
    cluster.judge.begin(cluster.now)
    cluster.send_at = cluster.now + 1000  # this leader sends nothing
    cluster.run(20)
    assert not cluster.stuck


def test_the_last_node_that_works_is_not_judged_and_neither_are_all_at_once() -> None:
    cluster = Cluster(nodes=2)
    cluster.run(2)
    cluster.hang(ONE)
    cluster.hang(TWO)
    cluster.run(20)
    assert not cluster.stuck  # whatever they all wait for, moving symbols does not help
    cluster.nodes[TWO].hung_since = None
    cluster.run(1)
    assert cluster.stuck == {ONE}
    cluster.hang(TWO)
    cluster.run(20)
    assert cluster.stuck == {ONE}


def test_verdicts_keep_their_distance() -> None:
    cluster = Cluster()
    cluster.run(2)
    cluster.hang(ONE)
    cluster.hang(TWO)
    cluster.run(10)
    (first, _), (second, _) = cluster.verdicts
    assert cluster.stuck == {ONE, TWO}
    assert second - first >= VERDICT_EVERY_S


def test_a_node_that_cannot_be_sent_anything_is_stuck() -> None:
    judge, live = ProgressJudge(BOUND_S, LATE_S), {owner: NodeRecord(owner, 1) for owner in (ONE, TWO)}
    judge.begin(0)
    assert judge.observe(0, live, (), {}, 0) == []
    assert judge.decide(0, {}, {THREE}, live) is None  # it is not among those that may get symbols
    assert judge.decide(0, {}, {ONE}, live) == ONE
    assert judge.decide(10, {}, {ONE, TWO}, live) is None


owners = st.sampled_from([ONE, TWO, THREE])
durations = st.floats(0.025, 4.0)


class ProgressMachine(RuleBasedStateMachine):
    """Whatever happens: who is called stuck hangs, and has for the bound; who hangs for long enough is called so."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster()
        self.seen = 0

    @initialize(seconds=durations)
    def start(self, seconds: float) -> None:
        self.run_for(seconds)

    def run_for(self, seconds: float) -> None:
        until = self.cluster.now + seconds
        while self.cluster.now < until:
            self.cluster.step()
            self.check()

    def disturb(self, seconds: float) -> None:
        """Nobody need be found in this time, nor in the bound after it."""
        self.run_for(seconds)
        self.cluster.disturbed_at = self.cluster.now

    @rule(seconds=durations)
    def time_goes_by(self, seconds: float) -> None:
        self.run_for(seconds)

    @rule(owner=owners)
    def hang(self, owner: Owner) -> None:
        if self.cluster.nodes[owner].hung_since is None:
            self.cluster.hang(owner)

    @rule(owner=owners)
    def wake(self, owner: Owner) -> None:
        node = self.cluster.nodes[owner]
        node.hung_since = None
        if owner in self.cluster.stuck:  # it answers a probe
            self.cluster.eligible.add(owner)

    @rule(owner=owners)
    def change_speed(self, owner: Owner) -> None:
        node = self.cluster.nodes[owner]
        node.slow = not node.slow

    @rule(seconds=durations)
    def lose_the_broker(self, seconds: float) -> None:
        self.cluster.broker_up = False
        self.run_for(seconds)
        self.cluster.broker_up = True
        for node in self.cluster.nodes.values():
            if node.hung_since is None:
                node.queue = 0  # it empties its queue when it connects again
        self.disturb(RECONNECT_S)

    @rule(seconds=durations)
    def lose_redis(self, seconds: float) -> None:
        self.cluster.redis_up = False
        self.run_for(seconds)
        self.cluster.redis_up = True
        self.disturb(RECONNECT_S)

    @rule(seconds=durations)
    def pause_the_leader(self, seconds: float) -> None:
        self.cluster.leader_runs = False
        self.run_for(seconds)
        self.cluster.leader_runs = True
        self.disturb(STEP_S)

    @rule(owner=owners, seconds=st.floats(0.6, 3.0))
    def freeze_a_process(self, owner: Owner, seconds: float) -> None:
        node = self.cluster.nodes[owner]
        node.frozen = True
        self.run_for(seconds)
        node.frozen = False
        self.disturb(STEP_S)

    @rule(seconds=st.floats(0.6, 3.0))
    def stop_the_machine(self, seconds: float) -> None:
        cluster = self.cluster
        cluster.now += seconds
        cluster.disturbed_at = cluster.now

    @rule()
    @precondition(lambda self: self.cluster.now > self.cluster.disturbed_at + 1)
    def lead_anew(self) -> None:
        self.cluster.judge.begin(self.cluster.now)
        self.disturb(STEP_S)
        self.cluster.send(room=64)  # who gets the lead dispatches all symbols at once

    @invariant()
    def verdicts_keep_their_distance(self) -> None:
        times = [at for at, _ in self.cluster.verdicts]
        assert all(later - sooner >= VERDICT_EVERY_S for sooner, later in pairwise(times))

    def check(self) -> None:
        cluster = self.cluster
        for at, owner in cluster.verdicts[self.seen :]:
            self.seen += 1
            since = cluster.nodes[owner].hung_since
            assert since is not None and at - since >= 0.75 * BOUND_S, "it worked"
            others = [cluster.nodes[other].hung_since for other in cluster.eligible]
            shown_s = BOUND_S + HEARTBEAT_S  # so long ago the counters of all others last rose, for all that is shown
            assert any(hung is None or at - max(hung, cluster.disturbed_at) < shown_s for hung in others), (
                "nobody is left"
            )
        works = [owner for owner in cluster.eligible if cluster.nodes[owner].hung_since is None]
        verdict_at = cluster.verdicts[-1][0] if cluster.verdicts else 0.0
        if not works or not (cluster.broker_up and cluster.redis_up and cluster.leader_runs):
            cluster.disturbed_at = cluster.now
        if any(node.frozen for node in cluster.nodes.values()):
            cluster.disturbed_at = cluster.now
        for owner in cluster.eligible:
            since = cluster.nodes[owner].hung_since
            if since is not None:
                found_by = max(since, cluster.disturbed_at, verdict_at) + NOTICED_S + SEND_EVERY_S
                assert cluster.now < found_by, f"{owner} has hung since {since}"


ProgressMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestProgressMachine = ProgressMachine.TestCase
