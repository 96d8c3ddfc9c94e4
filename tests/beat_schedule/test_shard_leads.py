"""Dispatchers that share the shards, on a real Redis with nodes that really register."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import redis
from celery import Celery

from beat_schedule import shard_leads
from beat_schedule.broker import Broker
from beat_schedule.dispatcher import Dispatcher
from tests.processes import await_threads, wait_until
from tickfence.coordination.clock import ServerClock
from tickfence.coordination.leadership import parse_leader
from tickfence.coordination.owner import Owner
from tickfence.coordination.registration import Registration
from tickfence.coordination.shards import shard_of
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.settings import Settings
from tools.local.embedded_redis import EmbeddedRedis

KEYS = Keys()
SYMBOLS = [Instrument(f"S{number}USDT") for number in range(30)]


def symbols_of(beat: Dispatcher) -> set[Instrument]:
    """The symbols that it sends for."""
    return {symbol for symbol in beat.owners if shard_of(symbol, beat.shard_count) in beat.shards}


class Scene:
    """Dispatchers and nodes. Silence shorter than half a minute means nothing, unless a test says otherwise."""

    def __init__(self, server: EmbeddedRedis, client: redis.Redis) -> None:
        self.server, self.client = server, client
        self.nodes: list[Registration] = []
        self.beats: dict[str, Dispatcher] = {}
        self.brokers: dict[str, Broker] = {}
        self.urgent: dict[str, set[Instrument]] = {}

    def node(self, name: str, *, knows_shards: bool = True) -> Registration:
        status = {"shards": "1"} if knows_shards else {}
        keys, owner, clock = KEYS.node_group, Owner.start(name), ServerClock()
        url, details = self.server.url(), {"weight": 1}
        one = Registration(
            url,
            keys,
            owner,
            details,
            interval_ms=50,
            ttl_ms=30_000,
            clock=clock,
            on_replaced=print,
            status=lambda: status,
        )
        one.register()
        one.announce()
        self.nodes.append(one)
        return one

    def beat(self, name: str, **variables: str) -> Dispatcher:
        environment = {
            "REDIS_URL": self.server.url(),
            "SYMBOLS": ",".join(SYMBOLS),
            "NT_DISPATCH_SHARDS": "3",
            "NT_HEARTBEAT_TTL_MS": "30000",
            "NT_LEADER_TTL_MS": "30000",
        }
        settings = Settings.from_environment(environment | variables)
        self.brokers[name] = Broker(Celery(), settings)
        self.beats[name] = Dispatcher(settings, self.brokers[name], name)
        return self.beats[name]

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Poll with every beat in turn until ``condition`` holds."""

        def polled() -> bool:
            for name, beat in self.beats.items():
                for owners in beat.poll().values():
                    self.urgent.setdefault(name, set()).update(owners)
            return bool(condition())

        wait_until(polled, what)

    def shared(self) -> bool:
        """Whether each shard is sent by one beat, all beats have an equal part, and every symbol has an owner."""
        shards = [shard for beat in self.beats.values() for shard in beat.shards]
        parts = [len(beat.shards) for beat in self.beats.values()]
        sent = [symbol for beat in self.beats.values() for symbol in symbols_of(beat)]
        return sorted(shards) == [0, 1, 2] and max(parts) - min(parts) <= 1 and sorted(sent) == sorted(SYMBOLS)

    def terms(self) -> dict[int, int]:
        return dict(enumerate(lead.term for lead in parse_leader(self.client.hgetall(KEYS.dispatcher)).shards.leads))

    def leader(self) -> str:
        return next(name for name, beat in self.beats.items() if beat.leading)

    def follower(self) -> str:
        return next(name for name, beat in self.beats.items() if not beat.leading and beat.shards)

    def kill(self, name: str) -> Dispatcher:
        """As by SIGKILL: its connection closes, and it says nothing more."""
        connection = (self.client.hget(KEYS.dispatcher, f"beat:{name}") or b"").split()[0]
        self.client.client_kill_filter(_id=connection.decode())
        return self.beats.pop(name)


@pytest.fixture
def scene(redis_client: redis.Redis, redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    assert redis_client.dbsize() == 0
    monkeypatch.setattr(shard_leads, "SETTLED_S", 0.2)
    one = Scene(redis_server, redis_client)
    yield one
    for beat in one.beats.values():
        beat.close()
    for node in one.nodes:
        node.leave()
    await_threads("registration")


@pytest.fixture
def three(scene: Scene) -> Scene:
    """Three beats that share three shards, and two nodes."""
    for name in ("node-001", "node-002"):
        scene.node(name)
    for name in ("beat-1", "beat-2", "beat-3"):
        scene.beat(name)
    scene.until(scene.shared, "the beats to share the shards")
    scene.urgent.clear()
    return scene


def test_the_live_beats_share_the_shards_and_follow_one_assignment(three: Scene) -> None:
    owners = dict(three.beats["beat-1"].owners)
    assert all(beat.owners == owners for beat in three.beats.values())
    assert len({owner.node for owner in owners.values()}) == 2
    assert len({beat.generation for beat in three.beats.values()}) == 1
    leaving = three.nodes[0]
    leaving.leave()
    lost = {symbol for symbol, owner in owners.items() if owner == leaving.owner}
    three.until(lambda: set().union(*three.urgent.values()) == lost, "each beat to dispatch what has moved of its own")
    assert three.shared()
    assert all(three.urgent[name] <= symbols_of(beat) for name, beat in three.beats.items() if name in three.urgent)


@pytest.mark.parametrize("how", ["killed", "ended"])
def test_the_shards_of_a_beat_that_is_gone_go_to_the_others_at_once(three: Scene, how: str) -> None:
    name = three.follower()
    lost, before = symbols_of(three.beats[name]), three.terms()
    [shard] = three.beats[name].shards
    if how == "killed":
        three.kill(name)
    else:
        three.beats.pop(name).close()
    three.until(three.shared, "the others to have its shard")
    assert set().union(*three.urgent.values()) >= lost, "its last cycle may not have been sent"
    after = three.terms()
    assert after[shard] > max(before.values())
    assert {number: term for number, term in after.items() if number != shard} == {
        number: term for number, term in before.items() if number != shard
    }


def test_when_the_leader_dies_the_others_keep_their_shards_under_new_terms(three: Scene) -> None:
    before = {name: set(beat.shards) for name, beat in three.beats.items()}
    terms = three.terms()
    three.kill(three.leader())
    three.until(lambda: any(beat.leading for beat in three.beats.values()) and three.shared(), "another leader")
    assert all(before[name] <= set(beat.shards) for name, beat in three.beats.items())
    assert all(three.terms()[shard] > term for shard, term in terms.items())


def test_a_beat_that_joins_gets_a_shard_after_a_while(scene: Scene) -> None:
    scene.node("node-001")
    for name in ("beat-1", "beat-2"):
        scene.beat(name)
    scene.until(scene.shared, "two to share the shards")
    scene.beat("beat-3")
    scene.until(scene.shared, "three to share the shards")


def test_a_silent_beat_sends_nothing_any_more_when_another_has_its_shards(scene: Scene) -> None:
    scene.node("node-001")
    for name in ("beat-1", "beat-2"):
        scene.beat(name, NT_LEADER_TTL_MS="500")
    scene.until(scene.shared, "two to share the shards")
    silent = scene.beats.pop(scene.follower())
    assert silent.shards
    scene.until(scene.shared, "the other to have all")
    assert not silent.shards
    assert silent.poll() == {}, "it learns that others send"
    silent.close()


def test_a_leader_that_is_silent_loses_its_shards_with_its_lead(scene: Scene) -> None:
    """Also to a beat that has led before, and knew the other one then."""
    scene.node("node-001")
    for name in ("beat-1", "beat-2"):
        scene.beat(name, NT_LEADER_TTL_MS="1000")
    scene.until(scene.shared, "two to share the shards")
    silent = scene.leader()
    for _ in range(2):
        away = scene.beats.pop(silent)
        [other] = scene.beats
        scene.until(lambda other=other: scene.beats[other].leading, "the other to lead")
        assert set(scene.beats[other].shards) == {0, 1, 2}
        scene.beats[silent] = away
        scene.until(scene.shared, "two to share the shards again")
        silent = other


def test_a_beat_that_does_not_reach_the_broker_gets_no_shard(three: Scene) -> None:
    mute = three.follower()

    def all_but_one_send() -> bool:
        for name, broker in three.brokers.items():
            if name != mute:
                broker.answered_at = time.monotonic()
        return not three.beats[mute].shards

    three.until(all_but_one_send, "it to lose its shard")
    rest = {name: beat for name, beat in three.beats.items() if name != mute}
    three.until(lambda: sum(len(beat.shards) for beat in rest.values()) == 3, "the others to have all")


def test_with_a_node_that_does_not_know_shards_the_leader_sends_everything(three: Scene) -> None:
    old = three.node("node-003", knows_shards=False)
    three.until(lambda: set(three.beats[three.leader()].shards) == {0}, "one shard")
    assert symbols_of(three.beats[three.leader()]) == set(SYMBOLS)
    three.until(lambda: sum(bool(beat.shards) for beat in three.beats.values()) == 1, "the others to send nothing")
    old.leave()
    three.until(three.shared, "the beats to share the shards again")


def test_after_redis_has_lost_everything_the_shards_have_newer_terms(three: Scene) -> None:
    before = three.terms()
    three.client.flushall()
    three.until(lambda: three.client.exists(KEYS.assignment) and three.shared(), "all to go on")
    assert all(term > before[shard] for shard, term in three.terms().items())


def test_terms_do_not_fall_when_redis_has_lost_its_last_seconds(three: Scene) -> None:
    """A node has seen them, so it would refuse all that is sent by lower ones. The leader goes on in its term."""
    name, before = three.follower(), three.client.hget(KEYS.dispatcher, "shards")
    away = three.kill(name)
    three.until(three.shared, "the others to have its shard")
    three.beats[name] = away
    three.until(three.shared, "three to share the shards again")
    seen = three.terms()
    three.client.hset(KEYS.dispatcher, "shards", before)
    assert three.terms() != seen
    three.until(lambda: all(term >= seen[shard] for shard, term in three.terms().items()), "terms not to fall")
    three.until(three.shared, "three to share the shards")


def test_terms_do_not_fall_though_only_nodes_and_beats_remember_them(three: Scene) -> None:
    """Redis comes back empty with its clock behind, and a beat that knows no shards leads for a while."""
    shards = parse_leader(three.client.hgetall(KEYS.dispatcher)).shards
    ahead = shards._replace(leads=tuple(lead._replace(term=lead.term + 10**9) for lead in shards.leads))
    three.client.hset(KEYS.dispatcher, "shards", ahead.to_json())
    three.until(lambda: all(min(beat.shards.values()) >= 10**9 for beat in three.beats.values()), "all to follow")
    known = three.terms()
    three.client.flushall()
    term = max(beat.term for beat in three.beats.values()) + 1_000
    until = int(time.time() * 1000) + 60_000
    old = {"leader": "old", "client_id": "", "term": term, "until": until}
    three.client.hset(KEYS.dispatcher, mapping=old)
    three.until(lambda: not any(beat.shards for beat in three.beats.values()), "nobody to send")
    three.client.hset(KEYS.dispatcher, "until", 1)
    three.until(three.shared, "one of them to lead")
    assert all(term > known[shard] for shard, term in three.terms().items())


def test_an_assignment_that_redis_has_lost_is_published_again(three: Scene) -> None:
    before = three.client.hgetall(KEYS.assignment)
    leaving = three.nodes[0]
    leaving.leave()
    three.until(lambda: leaving.owner not in three.beats[three.leader()].owners.values(), "its symbols to move")
    generation = max(beat.generation for beat in three.beats.values())
    three.client.delete(KEYS.assignment)
    three.client.hset(KEYS.assignment, mapping=before)
    three.beat("beat-4", NT_DISPATCH_SHARDS="3")
    three.kill(three.follower())
    three.until(three.shared, "the beat that knows nothing to send, too")
    assert three.beats["beat-4"].generation > generation


def test_a_beat_that_knows_no_shards_and_leads_silences_the_others(three: Scene) -> None:
    """A version before this one notes no shards, and sends everything."""
    term = max(three.beats[three.leader()].term, *three.terms().values()) + 1_000_000
    for name in list(three.beats):
        if three.beats[name].leading:
            three.kill(name)
    three.client.hset(KEYS.dispatcher, mapping={"leader": "old", "client_id": "", "term": term})
    three.until(lambda: not any(beat.shards for beat in three.beats.values()), "the others to send nothing")
