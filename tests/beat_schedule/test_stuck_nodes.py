"""Nodes that are alive and take no messages: a real Redis, real registrations and queues; nobody consumes these."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from celery import Celery
from celery.beat import ScheduleEntry
from celery.schedules import schedule

from beat_schedule.broker import PROBE, Broker
from beat_schedule.dispatcher import Dispatcher
from beat_schedule.slices import fan_out
from tests.processes import await_threads, wait_until
from tickfence.coordination import leadership
from tickfence.coordination.assignment_store import read_assignment
from tickfence.coordination.clock import ServerClock
from tickfence.coordination.desired import resume
from tickfence.coordination.desired_store import read_desired, replace_desired
from tickfence.coordination.dispatch import Dispatch
from tickfence.coordination.leadership import parse_leader
from tickfence.coordination.owner import Owner
from tickfence.coordination.registration import Registration
from tickfence.coordination.shards import shard_of
from tickfence.coordination.verdicts import Verdicts
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.monitoring import dispatcher_metrics
from tickfence.settings import Settings
from tickfence.timeline import events
from tools.local.embedded_redis import EmbeddedRedis

KEYS = Keys()
SYMBOLS = [Instrument(name) for name in ("ADAUSDT", "BNBUSDT", "BTCUSDT", "DOTUSDT", "ETHUSDT", "SOLUSDT")]


def _work(symbols: list[str], dispatch: Dispatch) -> None:
    """The task that is sent."""


class IdleNode:
    """A node that is registered and alive. A test does the work of its main thread, or leaves it undone."""

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self.hangs = False
        self.status: dict[str, str | int] = {"progress": 0, "working": "", "probe": "", "drained": "", "shards": "1"}
        self.registration = Registration(
            url,
            KEYS.node_group,
            Owner.start(name),
            {"weight": 1},
            interval_ms=50,
            ttl_ms=30_000,
            clock=ServerClock(),
            on_replaced=lambda _: None,
            status=lambda: dict(self.status),
        )
        self.registration.register()
        self.registration.announce()

    @property
    def owner(self) -> Owner:
        return self.registration.owner

    def work(self, queues: redis.Redis) -> None:
        """Take all messages that wait, unless it hangs."""
        while not self.hangs and (found := queues.rpop(self.name)):
            self.status["progress"] = int(self.status["progress"]) + 1
            message = json.loads(found)
            if message["headers"]["task"] == PROBE:
                [[probe], *_] = json.loads(base64.b64decode(message["body"]))
                self.status["probe"] = probe


class Scene:
    """Nodes, and beats that send to them."""

    def __init__(self, server: EmbeddedRedis, queues: redis.Redis) -> None:
        self.server, self.queues = server, queues
        self.nodes: dict[str, IdleNode] = {}
        self.beats: list[tuple[Dispatcher, Broker]] = []
        self.silent = self.pause = False  # the leader sends nothing; nobody does

    def node(self, *names: str) -> None:
        for name in names:
            self.nodes[name] = IdleNode(self.server.url(), name)

    def beat(self, name: str = "beat-1", **variables: str) -> Dispatcher:
        settings = Settings.from_environment(
            {
                "REDIS_URL": self.server.url(),
                "CELERY_BROKER_URL": self.server.url(1),
                "SYMBOLS": ",".join(SYMBOLS),
                "NT_HEARTBEAT_TTL_MS": "30000",
                "NT_HEARTBEAT_INTERVAL_MS": "50",
                "NT_LEADER_TTL_MS": "30000",
                "NT_STUCK_AFTER_MS": "300",
                "NT_REBALANCE_INTERVAL_MS": "600000",  # symbols move for no other reason
                "NT_MIN_HOLD_MS": "0",
                **variables,
            }
        )
        app = Celery(broker=self.server.url(1))
        app.conf.broker_transport_options = {"priority_steps": [0]}
        app.task(name="work")(_work)
        broker = Broker(app, settings)
        self.app = app
        self.beats.append((Dispatcher(settings, broker, name), broker))
        return self.beats[-1][0]

    def turn(self) -> None:
        """One turn of everybody: the nodes take what waits, each beat polls, and the leader sends."""
        for node in self.nodes.values():
            node.work(self.queues)
        for beat, broker in self.beats:
            beat.poll()
            broker.backlog(beat.nodes)
            if not (self.pause or (beat.leading and self.silent)):
                self.send(beat, broker)

    def send(self, beat: Dispatcher, broker: Broker) -> None:
        owned = {s: owner for s, owner in beat.owners.items() if shard_of(s, beat.shard_count) in beat.shards}
        room = [owner for owner in set(owned.values()) if self.queues.llen(owner.node) < 3]
        owners = {symbol: owner for symbol, owner in owned.items() if owner in room}
        entry = ScheduleEntry(name="work", task="work", schedule=schedule(1, app=self.app), app=self.app)
        broker.send([(entry, message) for message in fan_out(owners, 1)], Dispatch("", 1, 1, sent_ms=1))

    def until(self, condition: Callable[[], object], what: str) -> None:
        def turned() -> bool:
            self.turn()
            return bool(condition())

        wait_until(turned, what)

    def owning(self, beat: Dispatcher) -> set[str]:
        return {owner.node for owner in beat.owners.values()}

    def begin(self, *names: str) -> Dispatcher:
        """A leader whose nodes own symbols and work."""
        self.node(*names)
        beat = self.beat()
        self.until(lambda: self.owning(beat) == {*names}, "an assignment")
        return beat

    def recorded(self, *kinds: str) -> list[tuple[str, str]]:
        found = events.read(self.server_client, KEYS)
        return [(e.reason, e.fields.get("node") or e.fields.get("symbol", "")) for e in found if e.kind in kinds]

    @property
    def verdicts(self) -> Verdicts:
        return parse_leader(self.server_client.hgetall(KEYS.dispatcher)).verdicts

    server_client: redis.Redis


@pytest.fixture
def scene(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> Iterator[Scene]:
    with redis_server.client(1) as queues:
        one = Scene(redis_server, queues)
        one.server_client = redis_client
        yield one
        for beat, broker in one.beats:
            beat.close()
            broker.close()
    for node in one.nodes.values():
        node.registration.leave()
    await_threads("registration")


def metric(name: str) -> float:
    return dispatcher_metrics.registry.get_sample_value(name) or 0


def test_a_node_that_takes_no_messages_of_another_beat_is_found_too(scene: Scene) -> None:
    """The leader itself sends nothing to any node: the shard is another beat's."""
    scene.node("node-001", "node-002")
    beats = [scene.beat(name, NT_DISPATCH_SHARDS="2") for name in ("beat-1", "beat-2")]
    leader = beats[0]
    scene.until(lambda: all(len(beat.shards) == 1 for beat in beats), "both to send")
    theirs = [owner.node for symbol, owner in leader.owners.items() if shard_of(symbol, 2) not in leader.shards]
    assert set(theirs) == {"node-001", "node-002"}
    for scene.pause, scene.silent in ((True, True), (False, True)):
        until = time.monotonic() + 0.8
        scene.until(lambda until=until: time.monotonic() > until, "a while, of which nothing follows")
        assert not scene.verdicts.stuck
    scene.nodes["node-002"].hangs = True
    scene.until(lambda: scene.verdicts.stuck.keys() == {scene.nodes["node-002"].owner}, "the verdict")
    scene.nodes["node-002"].hangs = False
    scene.until(lambda: not scene.verdicts.stuck and leader.leading, "it to answer")


def test_a_node_that_takes_no_messages_loses_its_symbols_until_it_answers(scene: Scene) -> None:
    beat = scene.begin("node-001", "node-002", "node-003")
    found = metric("nt_node_stuck_total")
    hung = scene.nodes["node-002"]
    its = {symbol for symbol, owner in beat.owners.items() if owner == hung.owner}
    others = {symbol: owner for symbol, owner in beat.owners.items() if symbol not in its}
    hung.hangs = True
    scene.until(lambda: scene.owning(beat) == {"node-001", "node-003"}, "its symbols to move")
    assert {symbol: owner for symbol, owner in beat.owners.items() if symbol not in its} == others
    assert read_assignment(scene.server_client, KEYS).owners == dict(beat.owners)
    assert scene.verdicts.stuck.keys() == {hung.owner}
    assert hung.owner in beat.nodes
    assert (metric("nt_nodes_alive"), metric("nt_nodes_stuck")) == (3, 1)
    assert metric("nt_node_stuck_total") == found + 1
    scene.until(lambda: ("stuck", "node-002") in scene.recorded("node"), "it to be recorded")
    assert scene.recorded("moved")[-1][0] == "node stuck"
    assert "tasks.probe" in str(scene.queues.lrange("node-002", 0, -1))

    hung.hangs = False
    scene.until(lambda: hung.owner in beat.owners.values(), "it to get symbols again")
    assert not scene.verdicts.stuck
    assert metric("nt_nodes_stuck") == 0
    scene.until(lambda: scene.recorded("node")[-1] == ("joined", "node-002"), "that to be recorded")


def test_a_probe_that_is_lost_is_sent_again_and_one_that_waits_is_not(scene: Scene) -> None:
    beat = scene.begin("node-001", "node-002")
    hung = scene.nodes["node-002"]
    hung.hangs = True
    scene.until(lambda: scene.verdicts.stuck, "the verdict")
    waiting = scene.queues.llen("node-002")
    again = beat.clock.now_ms() + 1500
    scene.until(lambda: beat.clock.now_ms() > again, "the time of the second probe")
    assert scene.queues.llen("node-002") == waiting
    scene.queues.delete("node-002")  # as a node does when it connects to the broker again
    scene.until(lambda: scene.queues.llen("node-002") == 1, "another probe")
    hung.hangs = False
    scene.until(lambda: hung.owner in beat.owners.values(), "it to get symbols again")


def test_the_last_node_that_works_keeps_its_symbols(scene: Scene) -> None:
    beat = scene.begin("node-001")
    scene.nodes["node-001"].hangs = True
    since = beat.clock.now_ms()
    scene.until(lambda: beat.clock.now_ms() > since + 1000, "three times the bound")
    assert not scene.verdicts.stuck
    assert scene.owning(beat) == {"node-001"}
    scene.node("node-002")
    scene.until(lambda: scene.owning(beat) == {"node-002"}, "another node to get them")


def test_a_drained_node_gets_no_symbols_and_is_not_judged(scene: Scene) -> None:
    beat = scene.begin("node-001", "node-002")
    drained = scene.nodes["node-001"]
    drained.hangs = True
    drained.status["drained"] = "1"
    scene.until(lambda: scene.owning(beat) == {"node-002"}, "its symbols to move")
    assert not scene.verdicts.stuck
    scene.until(lambda: scene.recorded("node")[-1] == ("drained", "node-001"), "it to be recorded")
    assert scene.recorded("moved")[-1][0] == "node drained"
    drained.hangs = False
    drained.status["drained"] = ""
    scene.until(lambda: scene.owning(beat) == {"node-001", "node-002"}, "it to get symbols again")


def test_a_stuck_node_that_dies_is_recorded_as_dead_too(scene: Scene) -> None:
    beat = scene.begin("node-001", "node-002")
    scene.nodes["node-002"].hangs = True
    scene.until(lambda: scene.owning(beat) == {"node-001"}, "its symbols to move")
    scene.nodes["node-002"].registration.leave()
    scene.until(lambda: scene.recorded("node")[-1] == ("left", "node-002"), "its end to be recorded")
    assert ("stuck", "node-002") in scene.recorded("node")
    assert not scene.verdicts.stuck


def test_the_next_leader_knows_who_is_stuck_and_asks_it_anew(scene: Scene) -> None:
    first = scene.begin("node-001", "node-002")
    hung = scene.nodes["node-002"]
    hung.hangs = True
    scene.until(lambda: scene.owning(first) == {"node-001"}, "its symbols to move")
    second = scene.beat("beat-2")
    scene.turn()
    scene.beats.pop(0)[0].close()
    scene.until(lambda: second.leading, "the second to lead")
    assert scene.owning(second) == {"node-001"}
    assert scene.verdicts.stuck.keys() == {hung.owner}
    hung.hangs = False
    scene.until(lambda: hung.owner in second.owners.values(), "it to get symbols again")
    assert [reason for reason, node in scene.recorded("node") if node == "node-002"].count("stuck") == 1


def test_a_verdict_that_an_older_version_ignored_ends_with_an_answer(scene: Scene) -> None:
    """An older beat led in between, and gave the node symbols again: it works."""
    scene.node("node-001", "node-002")
    stale = Verdicts().with_stuck(scene.nodes["node-001"].owner, "", 1)
    scene.server_client.hset(KEYS.dispatcher, mapping={"term": 1, "leader": "", "verdicts": stale.to_json()})
    beat = scene.beat()
    scene.until(lambda: scene.owning(beat) == {"node-001", "node-002"}, "both to get symbols")
    assert not scene.verdicts.stuck


def test_verdicts_outlast_the_loss_of_redis_data(scene: Scene) -> None:
    beat = scene.begin("node-001", "node-002")
    hung = scene.nodes["node-002"]
    hung.hangs = True
    scene.until(lambda: scene.owning(beat) == {"node-001"}, "its symbols to move")
    term = beat.term
    scene.server_client.flushdb()
    scene.until(lambda: beat.term > term and beat.leading, "it to lead again")
    assert scene.owning(beat) == {"node-001"}
    assert scene.verdicts.stuck.keys() == {hung.owner}


def test_nothing_follows_from_a_verdict_that_could_not_be_noted(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else has taken the lead since this poll began."""
    beat = scene.begin("node-001", "node-002")
    before = read_assignment(scene.server_client, KEYS)
    note, noted = leadership.note, []

    def overtaken(client: Any, keys: Keys, name: str, term: int, fields: Any) -> bool:
        scene.server_client.hset(KEYS.dispatcher, mapping={"leader": "another", "term": term + 1})
        noted.append(note(client, keys, name, term, fields))
        return noted[-1]

    monkeypatch.setattr(leadership, "note", overtaken)
    scene.nodes["node-002"].hangs = True
    scene.until(lambda: noted, "the verdict")
    assert noted == [False]
    assert not beat.leading
    assert read_assignment(scene.server_client, KEYS) == before
    assert not scene.verdicts.stuck


def test_a_node_whose_queue_is_another_key_is_stuck_until_that_is_gone(scene: Scene) -> None:
    beat = scene.begin("node-001", "node-002")
    node = scene.nodes["node-002"]
    node.hangs = scene.silent = True
    scene.queues.delete("node-002")
    scene.queues.hset("node-002", "field", "value")
    [(_, broker)] = scene.beats

    def moved() -> bool:
        broker.backlog(beat.nodes)  # as beat does before it sends
        return scene.owning(beat) == {"node-001"}

    scene.until(moved, "its symbols to move")
    assert scene.verdicts.stuck.keys() == {node.owner}
    node.hangs = False
    scene.queues.delete("node-002")
    scene.until(lambda: scene.owning(beat) == {"node-001", "node-002"}, "it to get symbols again")


def test_a_symbol_that_two_nodes_got_stuck_with_is_given_to_no_third(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    beat = scene.begin("node-001", "node-002", "node-003")
    poison = SYMBOLS[0]

    def get_stuck_with_it() -> IdleNode:
        node = scene.nodes[beat.owners[poison].node]
        node.hangs, node.status["working"] = True, poison
        scene.until(lambda: node.owner in scene.verdicts.stuck, f"{node.name} to be found")
        return node

    first = get_stuck_with_it()
    assert poison in beat.owners
    second = get_stuck_with_it()
    assert beat.owners.keys() == set(SYMBOLS) - {poison}
    assert read_assignment(scene.server_client, KEYS).owners == dict(beat.owners)
    assert metric("nt_symbols_set_aside") == 1
    assert any(record.__dict__.get("symbol") == poison for record in caplog.records)
    scene.until(lambda: scene.recorded("symbol") == [("set aside", poison)], "it to be recorded")

    for node in (first, second):
        node.hangs, node.status["working"] = False, ""
    scene.until(lambda: len(scene.owning(beat)) == 3, "both to get symbols again")
    assert poison not in beat.owners  # it would take them again
    scene.beats.pop(0)[0].close()
    next_beat = scene.beat("beat-2")
    scene.until(lambda: len(scene.owning(next_beat)) == 3, "another leader")
    assert poison not in next_beat.owners

    desired = read_desired(scene.server_client, KEYS)
    assert desired
    resumed = resume(desired, [poison], next_beat.clock.now_ms())
    assert replace_desired(scene.server_client, KEYS, desired.version, resumed, "operator", "symbols resume")
    scene.until(lambda: poison in next_beat.owners, "the symbol to be given to a node")
    scene.until(lambda: scene.recorded("symbol")[-1] == ("resumed", poison), "that to be recorded")
    assert metric("nt_symbols_set_aside") == 0


def test_a_symbol_that_the_node_finished_after_all_is_not_blamed(scene: Scene) -> None:
    beat = scene.begin("node-001", "node-002", "node-003")
    node = scene.nodes[beat.owners[SYMBOLS[0]].node]
    node.hangs, node.status["working"] = True, SYMBOLS[0]
    scene.until(lambda: scene.verdicts.blamed, "the verdict")
    node.hangs, node.status["working"] = False, ""
    scene.until(lambda: node.owner in beat.owners.values(), "it to get symbols again")
    assert scene.verdicts == Verdicts()
