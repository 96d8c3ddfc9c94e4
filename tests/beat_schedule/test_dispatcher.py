"""Dispatchers on a real Redis, with nodes that really register."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import redis
from celery import Celery

from beat_schedule.broker import Broker
from beat_schedule.dispatcher import Dispatcher
from tests.processes import await_threads, wait_until
from tickfence.coordination import desired
from tickfence.coordination.assignment_store import publish_assignment, read_assignment
from tickfence.coordination.clock import ServerClock
from tickfence.coordination.desired import Desired
from tickfence.coordination.desired_store import read_desired, replace_desired
from tickfence.coordination.lease import Acquired, Lease, Written, parse_grant, parse_outcomes, write_command
from tickfence.coordination.membership import GRACE_MS
from tickfence.coordination.owner import Owner
from tickfence.coordination.registration import REGISTER, Registration
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.monitoring import dispatcher_metrics
from tickfence.redis_access.scripts import send
from tickfence.settings import Settings
from tickfence.timeline import events
from tickfence.timeline.events import Event, Kind
from tools.local.embedded_redis import EmbeddedRedis

KEYS = Keys()

SYMBOLS = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "ADAUSDT", "DOTUSDT"]
# Silence shorter than half a minute kills nobody here: where something dies, it is by another sign.
PATIENT = {
    "SYMBOLS": ",".join(SYMBOLS),
    "NT_HEARTBEAT_TTL_MS": "30000",
    "NT_HEARTBEAT_INTERVAL_MS": "50",
    "NT_LEADER_TTL_MS": "30000",
}

MakeDispatcher = Callable[..., Dispatcher]
MakeNode = Callable[..., Registration]


class MortalNode:
    """A node that registers and joins once, and whose connection can be cut. Nobody registers it again."""

    def __init__(self, url: str, name: str) -> None:
        self.owner = Owner.start(name)
        self._client = redis.Redis.from_url(url, single_connection_client=True)
        record = ["client_id", self._client.client_id(), "weight", 1]
        _, server_ms = REGISTER.run(self._client, [KEYS.node(name)], [self.owner.incarnation, 30_000, "", *record])
        self._client.zadd(KEYS.nodes, {name: server_ms})

    def die(self) -> None:
        """As a killed process: its connection is closed, and nothing else is said."""
        self._client.close()


MakeMortalNode = Callable[..., MortalNode]


@pytest.fixture
def dispatcher(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> Iterator[MakeDispatcher]:
    assert redis_client.dbsize() == 0
    made: list[Dispatcher] = []

    def make(name: str = "beat-1", url: str | None = None, grace_ms: int = GRACE_MS, **variables: str) -> Dispatcher:
        settings = Settings.from_environment({"REDIS_URL": url or redis_server.url()} | PATIENT | variables)
        made.append(Dispatcher(settings, Broker(Celery(), settings), name, grace_ms))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def node(redis_server: EmbeddedRedis) -> Iterator[MakeNode]:
    made: list[Registration] = []

    def make(name: str, url: str | None = None, weight: float = 1.0) -> Registration:
        made.append(
            Registration(
                url or redis_server.url(),
                KEYS.node_group,
                Owner.start(name),
                {"weight": weight},
                interval_ms=50,
                ttl_ms=30_000,
                clock=ServerClock(),
                on_replaced=lambda _: None,
            )
        )
        made[-1].register()
        made[-1].announce()
        return made[-1]

    yield make
    for one in made:
        one.leave()
    await_threads("registration")


@pytest.fixture
def mortal_node(redis_server: EmbeddedRedis) -> Iterator[MakeMortalNode]:
    made: list[MortalNode] = []

    def make(name: str, url: str | None = None) -> MortalNode:
        made.append(MortalNode(url or redis_server.url(), name))
        return made[-1]

    yield make
    for one in made:
        one.die()


def redis_errors() -> float:
    """How many polls of this process's dispatchers have failed."""
    return dispatcher_metrics.registry.get_sample_value("nt_dispatcher_redis_errors_total") or 0


def poll(dispatcher: Dispatcher) -> dict[Instrument, Owner]:
    """Poll once; symbol -> owner, of those to be dispatched at once."""
    return {symbol: owner for owners in dispatcher.poll().values() for symbol, owner in owners.items()}


def poll_until(dispatcher: Dispatcher, condition: Callable[[], object], what: str) -> dict[Instrument, Owner]:
    """Poll as beat does until ``condition`` holds; all symbols that were to be dispatched at once on the way."""
    moved: dict[Instrument, Owner] = {}

    def polled() -> bool:
        moved.update(poll(dispatcher))
        return bool(condition())

    wait_until(polled, what)
    return moved


def client_id(client: redis.Redis, node: Registration) -> int:
    """The registration connection of a node, as Redis has it."""
    return int(client.hget(KEYS.node(node.owner.node), "client_id"))


def nodes_of(dispatcher: Dispatcher) -> set[str]:
    return {owner.node for owner in dispatcher.owners.values()}


def recorded(client: redis.Redis, wanted: int) -> list[Event]:
    """The events of nodes, leads and moves, once there are as many as wanted."""

    def read() -> list[Event]:
        return [event for event in events.read(client, KEYS) if event.kind != Kind.DESIRED]

    wait_until(lambda: len(read()) >= wanted, lambda: f"{wanted} events: {events.read(client, KEYS)}")
    return read()


def reasons(found: list[Event]) -> list[tuple[str, str]]:
    return [(event.kind, event.reason) for event in found]


def test_the_first_to_poll_leads_and_assigns_every_symbol(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis
) -> None:
    nodes = [node(f"node-00{i}") for i in (1, 2, 3)]
    one = dispatcher()
    moves = poll_until(one, lambda: one.owners, "an assignment")
    assert one.leading
    assert moves.keys() == set(SYMBOLS)
    assert set(one.owners.values()) == {n.owner for n in nodes}
    stored = read_assignment(redis_client, KEYS)
    assert stored == (one.term, one.generation, dict(one.owners))


def test_without_nodes_nothing_is_assigned(dispatcher: MakeDispatcher) -> None:
    one = dispatcher()
    assert poll(one) == {}
    assert one.leading
    assert one.owners == {}


def test_the_second_stands_by_and_takes_over_what_there_is_when_the_first_resigns(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis
) -> None:
    node("node-001")
    node("node-002")
    first, second = dispatcher("beat-1"), dispatcher("beat-2")
    poll_until(first, lambda: first.owners, "an assignment")
    assert poll(second) == {}
    assert not second.leading
    before, generation, term = dict(first.owners), first.generation, first.term
    first.close()
    assert poll(second) == before, "the last cycle may not have been sent"
    assert second.leading
    assert dict(second.owners) == before
    assert second.generation > generation
    assert second.term > term
    assert read_assignment(redis_client, KEYS).term == second.term
    assert poll(first) == {}
    assert not first.leading


def test_an_orderly_leave_moves_its_symbols_at_the_next_poll(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis
) -> None:
    first, _ = node("node-001"), node("node-002")
    one = dispatcher()
    poll_until(one, lambda: nodes_of(one) == {"node-001", "node-002"}, "two owners")
    generation = one.generation
    lost = {s for s, o in one.owners.items() if o.node == "node-001"}
    first.leave()
    moves = poll(one)
    assert moves.keys() == lost
    assert nodes_of(one) == {"node-002"}
    assert one.generation > generation
    assert read_assignment(redis_client, KEYS).owners == dict(one.owners)


def test_a_node_that_joins_is_given_symbols(dispatcher: MakeDispatcher, node: MakeNode) -> None:
    node("node-001")
    one = dispatcher(NT_MIN_HOLD_MS="0")
    poll_until(one, lambda: one.owners, "an assignment")
    node("node-002")
    moves = poll_until(one, lambda: "node-002" in nodes_of(one), "the second to own some")
    assert {owner.node for owner in moves.values()} == {"node-002"}
    assert len(moves) == 3


def test_a_vanished_connection_moves_symbols_long_before_the_time_to_live_is_over(
    dispatcher: MakeDispatcher, node: MakeNode, mortal_node: MakeMortalNode
) -> None:
    first, _ = mortal_node("node-001"), node("node-002")
    one = dispatcher()
    poll_until(one, lambda: nodes_of(one) == {"node-001", "node-002"}, "two owners")
    died_at = time.monotonic()
    first.die()
    poll_until(one, lambda: nodes_of(one) == {"node-002"}, "its symbols to move")
    assert time.monotonic() - died_at < 15  # half of it


def test_a_node_that_comes_back_with_another_connection_keeps_its_symbols(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis
) -> None:
    first, _ = node("node-001"), node("node-002")
    one = dispatcher(grace_ms=10_000)  # a slow machine may take longer than 100 ms to come back
    poll_until(one, lambda: nodes_of(one) == {"node-001", "node-002"}, "two owners")
    before, cut = dict(one.owners), client_id(redis_client, first)
    redis_client.client_kill_filter(_id=str(cut))
    moves = poll_until(one, lambda: client_id(redis_client, first) != cut, "another connection")
    heartbeat = redis_client.zscore(KEYS.nodes, "node-001")
    moves |= poll_until(one, lambda: redis_client.zscore(KEYS.nodes, "node-001") != heartbeat, "a heartbeat of it")
    assert moves == {}
    assert dict(one.owners) == before


def test_where_client_list_is_not_allowed_it_leads_all_the_same(
    own_redis_server: Callable[..., EmbeddedRedis], dispatcher: MakeDispatcher, node: MakeNode
) -> None:
    server = own_redis_server()
    with server.client() as admin:
        rules = "ACL SETUSER plain on nopass ~* &* +@all -client +client|id +client|setname"
        admin.execute_command(*rules.split())
    node("node-001", server.url())
    node("node-002", server.url())
    one = dispatcher(url=server.url().replace("redis://", "redis://plain:any@"))
    poll_until(one, lambda: nodes_of(one) == {"node-001", "node-002"}, "two owners")
    assert one.leading


def test_a_leader_of_an_old_term_publishes_nothing_and_leads_again_only_with_a_newer_one(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis
) -> None:
    node("node-001")
    one = dispatcher()
    poll_until(one, lambda: one.owners, "an assignment")
    stored = read_assignment(redis_client, KEYS)
    newer = one.term + 1_000_000
    theirs = publish_assignment(redis_client, KEYS, newer, stored, stored.owners).generation
    third = node("node-003")
    poll_until(one, lambda: not one.leading, "it to notice")
    assert read_assignment(redis_client, KEYS) == (newer, theirs, stored.owners)
    poll_until(one, lambda: one.leading, "it to lead again, since nobody else does")
    assert one.term > newer
    poll_until(one, lambda: third.owner in one.owners.values(), "what it had to do")
    assert read_assignment(redis_client, KEYS) == (one.term, one.generation, dict(one.owners))
    assert one.generation > theirs


def test_moves_that_could_not_be_published_count_for_nothing_until_they_are(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis
) -> None:
    first, _ = node("node-001"), node("node-002")
    one = dispatcher()
    poll_until(one, lambda: nodes_of(one) == {"node-001", "node-002"}, "two owners")
    generation = one.generation
    first.leave()
    redis_client.set(KEYS.assignment, "not a hash")
    assert poll(one) == {}
    assert not one.leading  # what it would send now, nobody has been told of
    redis_client.delete(KEYS.assignment)
    poll_until(one, lambda: one.leading, "it to go on")
    assert nodes_of(one) == {"node-002"}
    assert one.generation > generation
    assert read_assignment(redis_client, KEYS) == (one.term, one.generation, dict(one.owners))


@pytest.mark.parametrize(
    "field", [{"host": b"\xff"}, {"weight": "nan"}, {"weight": "0"}, {"client_id": "-1"}, {"client_id": "1" * 20}]
)
def test_a_field_of_a_node_that_is_out_of_range_stops_no_dispatcher(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis, field: dict[str, str | bytes]
) -> None:
    node("node-001")
    record = {"incarnation": "a", "client_id": 0, "weight": 1}
    redis_client.hset(KEYS.node("node-002"), mapping=record | field)  # type: ignore[arg-type]
    redis_client.zadd(KEYS.nodes, {"node-002": redis_client.time()[0] * 1000})
    one = dispatcher()
    for _ in range(3):
        poll_until(one, lambda: one.owners, "an assignment")
        assert poll(one) == {}
        assert nodes_of(one) == {"node-001"}


@pytest.mark.parametrize(("name", "heartbeat_ms"), [(b"\xff", 1.0), ("node-002", float("inf"))])
def test_an_entry_of_the_nodes_that_is_not_one_stops_no_dispatcher(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis, name: str | bytes, heartbeat_ms: float
) -> None:
    node("node-001")
    redis_client.zadd(KEYS.nodes, {name: heartbeat_ms})
    one = dispatcher()
    poll_until(one, lambda: one.owners, "an assignment")
    assert nodes_of(one) == {"node-001"}


@pytest.mark.parametrize("field", [{"BTCUSDT": "nobody"}, {"generation": "many"}, {b"\xff": "a/b"}])
def test_an_assignment_that_is_not_readable_is_lost_and_stops_no_dispatcher(
    dispatcher: MakeDispatcher,
    node: MakeNode,
    redis_client: redis.Redis,
    caplog: pytest.LogCaptureFixture,
    field: dict[str | bytes, str],
) -> None:
    node("node-001")
    redis_client.hset(KEYS.assignment, mapping={"term": "1", "generation": "1"} | field)  # type: ignore[arg-type]
    one = dispatcher()
    poll_until(one, lambda: one.owners, "an assignment")
    assert read_assignment(redis_client, KEYS) == (one.term, one.generation, dict(one.owners))
    assert any("counts as lost" in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("field", "leads"), [({"leader": b"\xff", "until": "1"}, True), ({"leader": "beat", "client_id": "none"}, False)]
)
def test_a_field_of_the_lead_that_is_none_stops_no_dispatcher(
    dispatcher: MakeDispatcher, redis_client: redis.Redis, field: dict[str, str | bytes], leads: bool
) -> None:
    until = (redis_client.time()[0] + 60) * 1000
    redis_client.hset(KEYS.dispatcher, mapping={"term": "1", "until": until} | field)  # type: ignore[arg-type]
    one = dispatcher()
    one.poll()
    assert one.leading is leads


def test_a_leader_that_was_paused_finds_another(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis
) -> None:
    node("node-001")
    first, second = dispatcher("beat-1"), dispatcher("beat-2")
    poll_until(first, lambda: first.owners, "an assignment")
    redis_client.hset(KEYS.dispatcher, "until", 1)  # so long was the pause
    second.poll()
    assert second.leading
    assert first.leading  # it cannot know yet,
    assert first.term < second.term  # but what it sends says so
    first.poll()
    assert not first.leading


def test_lost_data_costs_no_symbol_its_owner_and_numbers_go_on(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis
) -> None:
    node("node-001")
    node("node-002")
    one = dispatcher()
    poll_until(one, lambda: nodes_of(one) == {"node-001", "node-002"}, "two owners")
    before, generation, term = dict(one.owners), one.generation, one.term
    redis_client.flushall()
    redis_client.script_flush()
    moves = poll_until(one, lambda: one.term > term, "it to lead again")
    assert moves == {}
    assert dict(one.owners) == before
    assert one.generation > generation
    assert read_assignment(redis_client, KEYS) == (one.term, one.generation, before)


def test_a_lead_that_ran_out_goes_on_without_reading_what_it_knows(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """To read 100,000 symbols and to adopt them takes longer than a lead lasts, so it would run out again and again."""
    node("node-001")
    one = dispatcher()
    poll_until(one, lambda: one.owners, "an assignment")
    before, generation, term = dict(one.owners), one.generation, one.term
    redis_client.hset(KEYS.assignment, "UNREADABLE", "no owner")
    redis_client.hset(KEYS.dispatcher, "until", 1)
    poll_until(one, lambda: one.term > term, "it to lead again")
    assert dict(one.owners) == before
    assert one.generation > generation
    assert "is not readable" not in caplog.text
    redis_client.hdel(KEYS.assignment, "UNREADABLE")
    assert read_assignment(redis_client, KEYS) == (one.term, one.generation, before)


def test_a_server_that_comes_back_empty_costs_no_symbol_its_owner(
    own_redis_server: Callable[..., EmbeddedRedis], dispatcher: MakeDispatcher, node: MakeNode
) -> None:
    server = own_redis_server()
    node("node-001", server.url())
    node("node-002", server.url())
    one = dispatcher(url=server.url())
    poll_until(one, lambda: nodes_of(one) == {"node-001", "node-002"}, "two owners")
    before, term = dict(one.owners), one.term
    errors = redis_errors()
    assert one.connected
    server.kill()
    poll_until(one, lambda: redis_errors() > errors, "it to notice")
    assert not one.connected
    server.start()
    moves = poll_until(one, lambda: one.term > term and len(one.nodes) == 2, "it to lead again")
    assert moves == {}
    assert dict(one.owners) == before


def test_after_a_restart_of_the_server_nodes_have_time_to_come_back(
    own_redis_server: Callable[..., EmbeddedRedis], dispatcher: MakeDispatcher, mortal_node: MakeMortalNode
) -> None:
    server = own_redis_server()
    mortal_node("node-001", server.url())
    mortal_node("node-002", server.url())
    one = dispatcher(url=server.url())
    poll_until(one, lambda: nodes_of(one) == {"node-001", "node-002"}, "two owners")
    before, term = dict(one.owners), one.term
    errors = redis_errors()
    server.kill()
    poll_until(one, lambda: redis_errors() > errors, "it to notice")
    server.start()
    poll_until(one, lambda: one.term > term, "it to lead again")
    back_at = one.clock.now_ms()
    assert poll_until(one, lambda: one.clock.now_ms() > back_at + 5 * GRACE_MS, "a while to pass") == {}
    assert dict(one.owners) == before


def test_what_becomes_of_lead_nodes_and_symbols_is_recorded(
    dispatcher: MakeDispatcher, node: MakeNode, mortal_node: MakeMortalNode, redis_client: redis.Redis
) -> None:
    first = node("node-001")
    one = dispatcher(NT_MIN_HOLD_MS="0")
    poll_until(one, lambda: one.owners, "an assignment")
    found = recorded(redis_client, 3)
    assert reasons(found) == [("leader", "first"), ("node", "joined"), ("moved", "first assignment")]
    assert found[0].fields == {"leader": "beat-1", "term": str(one.term)}
    assert found[1].fields["incarnation"] == first.owner.incarnation
    assert found[2].fields["generation"] == str(one.generation)
    assert found[2].moves == dict.fromkeys(SYMBOLS, (None, "node-001"))

    second = node("node-002")
    poll_until(one, lambda: "node-002" in nodes_of(one), "the second to own some")
    found = recorded(redis_client, 5)[3:]
    assert reasons(found) == [("node", "joined"), ("moved", "node joined")]
    moved = found[1].moves
    assert set(moved.values()) == {("node-001", "node-002")}
    assert moved.keys() == {symbol for symbol, owner in one.owners.items() if owner == second.owner}

    first.leave()
    poll_until(one, lambda: nodes_of(one) == {"node-002"}, "the rest to move")
    found = recorded(redis_client, 7)[5:]
    assert reasons(found) == [("node", "left"), ("moved", "node left")]
    assert found[1].moves == dict.fromkeys(set(SYMBOLS) - moved.keys(), ("node-001", "node-002"))

    third = mortal_node("node-003")
    poll_until(one, lambda: "node-003" in nodes_of(one), "the third to own some")
    recorded(redis_client, 9)
    third.die()
    poll_until(one, lambda: nodes_of(one) == {"node-002"}, "its symbols to move")
    found = recorded(redis_client, 11)[9:]
    assert reasons(found) == [("node", "died"), ("moved", "node died")]
    assert {(before, now) for before, now in found[1].moves.values()} == {("node-003", "node-002")}


def test_a_node_that_falls_silent_is_recorded_as_silent(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis
) -> None:
    first = node("node-001")
    one = dispatcher(NT_HEARTBEAT_TTL_MS="200")
    poll_until(one, lambda: one.owners, "an assignment")
    first.withdraw()
    poll_until(one, lambda: not one.owners, "its silence to be noticed")
    assert reasons(recorded(redis_client, 4))[3:] == [("node", "silent")]


def test_a_lead_that_is_handed_over_is_one_event(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis
) -> None:
    node("node-001")
    first, second = dispatcher("beat-1"), dispatcher("beat-2")
    poll_until(first, lambda: first.owners, "an assignment")
    second.poll()
    recorded(redis_client, 3)
    first.close()
    second.poll()
    assert second.leading
    second.close()
    found = recorded(redis_client, 4)[3:]
    assert [(event.reason, event.fields["leader"]) for event in found] == [("handed over", "beat-2")]


def test_a_departure_that_was_not_observed_is_recorded_by_the_leader_that_adopts_the_assignment(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis
) -> None:
    gone, _ = node("node-001"), node("node-002")
    first = dispatcher("beat-1")
    poll_until(first, lambda: nodes_of(first) == {"node-001", "node-002"}, "two owners")
    first.close()
    gone.leave()
    redis_client.delete(KEYS.events)  # as if all of it had been pushed out
    second = dispatcher("beat-2")
    poll_until(second, lambda: nodes_of(second) == {"node-002"}, "its symbols to move")
    found = recorded(redis_client, 4)
    assert [(event.kind, event.reason, event.fields.get("node")) for event in found] == [
        ("leader", "handed over", None),
        ("node", "joined", "node-002"),
        ("node", "left", "node-001"),
        ("moved", "node left", None),
    ]


def test_lost_data_is_recorded(dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis) -> None:
    node("node-001")
    one = dispatcher()
    poll_until(one, lambda: one.owners, "an assignment")
    recorded(redis_client, 3)
    term = one.term
    redis_client.flushall()
    poll_until(one, lambda: one.term > term, "it to lead again")
    found = recorded(redis_client, 2)
    assert reasons(found) == [("leader", "renewed"), ("moved", "data lost")]
    assert found[1].moves == {}
    assert found[1].fields["generation"] == str(one.generation)


def change(client: redis.Redis, operation: Callable[..., Desired], *arguments: object) -> Desired:
    """What an operator does."""
    state = read_desired(client, KEYS)
    assert state is not None
    wanted = operation(state, *arguments, int(time.time() * 1000))
    new = replace_desired(client, KEYS, state.version, wanted, "anna", f"symbols {operation.__name__}")
    assert new is not None
    return new


def test_symbols_follow_what_is_stored_and_not_the_next_leaders_symbols(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    node("node-001")
    first = dispatcher("beat-1", SYMBOLS="BTCUSDT,ETHUSDT")
    poll_until(first, lambda: first.owners, "an assignment")
    recorded(redis_client, 3)
    new = change(redis_client, desired.add, ["ADAUSDT"])
    assert poll(first).keys() == {"ADAUSDT"}
    assert int(redis_client.hget(KEYS.dispatcher, "desired") or 0) == new.version
    assert first.owners.keys() == {"ADAUSDT", "BTCUSDT", "ETHUSDT"}
    change(redis_client, desired.pause, ["ETHUSDT"])
    assert poll(first) == {}
    assert first.owners.keys() == {"ADAUSDT", "BTCUSDT"}
    assert read_assignment(redis_client, KEYS).owners.keys() == {"ADAUSDT", "BTCUSDT"}
    found = recorded(redis_client, 5)[3:]
    assert reasons(found) == [("moved", "symbols changed")] * 2
    assert [event.moves for event in found] == [{"ADAUSDT": (None, "node-001")}, {"ETHUSDT": ("node-001", None)}]

    second = dispatcher("beat-2", SYMBOLS="BTCUSDT,DOTUSDT")
    second.poll()
    assert "SYMBOLS differs from the stored symbols" in caplog.text
    owners = dict(first.owners)
    first.close()
    poll_until(second, lambda: second.leading, "the lead")
    assert second.owners == owners
    changes = [event for event in events.read(redis_client, KEYS) if event.kind == Kind.DESIRED]
    assert [(event.fields["by"], event.reason) for event in changes] == [
        ("beat-1", "symbols seed"),
        ("anna", "symbols add"),
        ("anna", "symbols pause"),
    ]


def test_only_the_leader_writes_a_lost_desired_state_back(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis
) -> None:
    node("node-001")
    first, second = dispatcher("beat-1"), dispatcher("beat-2")
    poll_until(first, lambda: first.owners, "an assignment")
    second.poll()
    wanted = change(redis_client, desired.remove, ["BTCUSDT"])
    first.poll()
    redis_client.delete(KEYS.desired)
    second.poll()
    assert read_desired(redis_client, KEYS) is None
    first.poll()
    assert read_desired(redis_client, KEYS) == wanted


def test_a_stand_by_expects_the_reports_that_are_wanted_and_not_those_of_its_symbols(
    dispatcher: MakeDispatcher, redis_client: redis.Redis
) -> None:
    first, second = dispatcher("beat-1"), dispatcher("beat-2")
    poll_until(first, lambda: first.leading, "the lead")
    second.poll()
    change(redis_client, desired.remove, ["BTCUSDT"])
    second.poll()
    due = dispatcher_metrics.registry.get_sample_value("nt_reports_due_per_second")
    assert due == 4 * (len(SYMBOLS) - 1)


def test_a_desired_state_that_cannot_be_read_stops_nothing(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    node("node-001")
    one = dispatcher()
    poll_until(one, lambda: one.owners, "an assignment")
    owners = dict(one.owners)
    for broken in (
        lambda: redis_client.hset(KEYS.desired, mapping={"version": 2**50, "symbol:BTCUSDT": "paused"}),
        lambda: redis_client.set(KEYS.desired, "not a hash"),
    ):
        redis_client.delete(KEYS.desired)
        broken()
        one.poll()
        assert one.leading
        assert one.owners == owners
    assert "the desired state cannot be read" in caplog.text


def test_a_removed_symbol_leaves_a_fence_and_no_keys(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis
) -> None:
    node("node-001")
    one = dispatcher()
    poll_until(one, lambda: one.owners, "an assignment")
    late = Lease(KEYS.lease("BTCUSDT"), Owner.start("node-009"), 60_000)
    [reply] = send(redis_client, [late.acquire(one.generation)])
    assert late.granted(parse_grant(reply), 0.0)
    for key in KEYS.of_node("BTCUSDT"):
        redis_client.set(key, "…")
    change(redis_client, desired.remove, ["BTCUSDT"])
    one.poll()
    assert not redis_client.exists(*KEYS.of_node("BTCUSDT"))
    write = late.next_write({KEYS.report("BTCUSDT"): b"late"})
    [reply] = send(redis_client, [write_command(late.owner, [write], 60_000, 60_000)])
    assert parse_outcomes(reply) == [Written.FENCED]
    before = one.generation - 1
    [reply] = send(redis_client, [Lease(KEYS.lease("BTCUSDT"), Owner.start("node-009"), 60_000).acquire(before)])
    assert parse_grant(reply).outcome is Acquired.STALE
    assert 0 < redis_client.pttl(KEYS.lease("BTCUSDT")) <= desired.REMEMBERED_MS

    change(redis_client, desired.add, ["BTCUSDT"])
    assert poll(one).keys() == {"BTCUSDT"}
    again = Lease(KEYS.lease("BTCUSDT"), Owner.start("node-001"), 60_000)
    [reply] = send(redis_client, [again.acquire(one.generation)])
    assert parse_grant(reply).outcome is Acquired.TAKEN
    assert redis_client.pttl(KEYS.lease("BTCUSDT")) == -1


def test_a_leader_that_may_not_delete_what_was_removed_leads_all_the_same(
    dispatcher: MakeDispatcher,
    node: MakeNode,
    redis_client: redis.Redis,
    redis_server: EmbeddedRedis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The access list of an older version lets a beat use no key of a symbol."""
    keys = [KEYS.dispatcher, KEYS.assignment, KEYS.desired, KEYS.nodes, KEYS.events, f"{KEYS.node('')}*"]
    redis_client.acl_setuser("old-beat", enabled=True, passwords="+secret", keys=keys, commands=["+@all"])
    leaving = node("node-001")
    node("node-002")
    one = dispatcher(url=redis_server.url().replace("redis://", "redis://old-beat:secret@"))
    poll_until(one, lambda: nodes_of(one) == {"node-001", "node-002"}, "two owners")
    new = change(redis_client, desired.remove, ["BTCUSDT"])
    one.poll()
    assert "BTCUSDT" not in one.owners
    assert int(redis_client.hget(KEYS.dispatcher, "desired") or 0) == new.version
    assert "keys of removed symbols cannot be deleted" in caplog.text
    leaving.leave()
    assert poll(one)
    assert nodes_of(one) == {"node-002"}
    redis_client.acl_deluser("old-beat")


def test_nodes_are_drained_cordoned_and_weighed(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis
) -> None:
    node("node-001")
    node("node-002")
    one = dispatcher(NT_MIN_HOLD_MS="0")
    poll_until(one, lambda: nodes_of(one) == {"node-001", "node-002"}, "two owners")
    change(redis_client, desired.set_mode, "node-001", desired.NodeMode.CORDONED)
    kept = {symbol for symbol, owner in one.owners.items() if owner.node == "node-001"}
    change(redis_client, desired.add, ["XRPUSDT", "TRXUSDT", "LTCUSDT", "UNIUSDT"])
    poll_until(one, lambda: len(one.owners) == 10, "owners of the new symbols")
    assert {symbol for symbol, owner in one.owners.items() if owner.node == "node-001"} == kept

    change(redis_client, desired.set_mode, "node-001", desired.NodeMode.DRAINED)
    assert poll(one).keys() == kept
    assert nodes_of(one) == {"node-002"}
    wait_until(lambda: "node drained" in {event.reason for event in recorded(redis_client, 5)}, "the event")

    change(redis_client, desired.set_mode, "node-001", desired.NodeMode.OPEN)
    poll_until(one, lambda: nodes_of(one) == {"node-001", "node-002"}, "it to own some again")
    change(redis_client, desired.set_weight, "node-001", 9.0)
    one.poll()
    assert sum(owner.node == "node-001" for owner in one.owners.values()) >= 8


@pytest.mark.parametrize("other", [desired.NodeMode.CORDONED, desired.NodeMode.DRAINED])
def test_no_node_is_drained_to_nowhere(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis, other: desired.NodeMode
) -> None:
    node("node-001")
    last = node("node-002")
    one = dispatcher(NT_MIN_HOLD_MS="0")
    poll_until(one, lambda: nodes_of(one) == {"node-001", "node-002"}, "two owners")
    change(redis_client, desired.set_mode, "node-001", desired.NodeMode.DRAINED)
    poll_until(one, lambda: nodes_of(one) == {"node-002"}, "one owner")
    change(redis_client, desired.set_mode, "node-002", desired.NodeMode.DRAINED)
    assert poll(one) == {}
    assert set(one.owners.values()) == {last.owner}
    assert set(one.owners) == set(SYMBOLS)

    change(redis_client, desired.set_mode, "node-001", other)
    one.poll()
    assert set(one.owners.values()) == {last.owner}
    last.leave()
    again = node("node-002")
    poll_until(one, lambda: set(one.owners.values()) == {again.owner}, "its next process to have them")
    change(redis_client, desired.set_mode, "node-001", desired.NodeMode.OPEN)
    poll_until(one, lambda: nodes_of(one) == {"node-001"}, "the other node to get them")


def test_alone_the_desired_state_is_followed_too(dispatcher: MakeDispatcher, redis_client: redis.Redis) -> None:
    one = dispatcher(NT_ENABLE_MULTI_INSTANCE="false")
    one.poll()
    assert set(one.symbols) == set(SYMBOLS)
    redis_client.set(KEYS.report("BTCUSDT"), "…")
    new = change(redis_client, desired.remove, ["BTCUSDT"])

    def followed() -> bool:
        one.poll()
        return int(redis_client.hget(KEYS.dispatcher, "desired") or 0) == new.version

    wait_until(followed, "the beat to follow")
    redis_client.delete(KEYS.dispatcher)
    wait_until(followed, "it to say so again, after Redis lost it")
    assert set(one.symbols) == set(SYMBOLS) - {"BTCUSDT"}
    assert not redis_client.exists(KEYS.report("BTCUSDT"))


def test_events_that_cannot_be_written_keep_nobody_from_leading(
    dispatcher: MakeDispatcher, node: MakeNode, redis_client: redis.Redis
) -> None:
    redis_client.set(KEYS.events, "not a stream")
    first, _ = node("node-001"), node("node-002")
    one = dispatcher()
    poll_until(one, lambda: nodes_of(one) == {"node-001", "node-002"}, "two owners")
    first.leave()
    assert poll(one)
    assert one.leading
    assert nodes_of(one) == {"node-002"}
