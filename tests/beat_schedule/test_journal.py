"""What leaders record, on a real stream: each thing once, also when the leader changes."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from beat_schedule.event_recorder import AssignmentChange, EventRecorder, Observation
from tickfence.coordination.controller import Move, MoveReason
from tickfence.coordination.desired import Change
from tickfence.coordination.leadership import LeaderReason
from tickfence.coordination.membership import NodeReason
from tickfence.coordination.owner import Owner
from tickfence.keys import Keys
from tickfence.timeline import events
from tickfence.timeline.text import sentence

KEYS = Keys()

ONE, TWO, THREE = (Owner(f"node-00{n}", "a") for n in (1, 2, 3))
FIRST = AssignmentChange(10, [Move("BTCUSDT", None, ONE, "orphan"), Move("ETHUSDT", None, TWO, "orphan")], first=True)


def observed(term: int = 5, live: tuple[Owner, ...] = (ONE, TWO), **more: object) -> Observation:
    return Observation(term, LeaderReason.FIRST, frozenset(live), {}, ())._replace(**more)


def recorded(client: redis.Redis) -> list[str]:
    return [sentence(event) for event in events.read(client, KEYS, limit=1000)]


BEGIN = [
    "beat-1 leads, the first to do so.",
    "node-001 joined.",
    "node-002 joined.",
    "First assignment: BTCUSDT to node-001, ETHUSDT to node-002.",
]


def test_a_first_leader_records_itself_the_nodes_and_the_assignment(redis_client: redis.Redis) -> None:
    EventRecorder("beat-1", KEYS).record(redis_client, observed(change=FIRST))
    assert recorded(redis_client) == BEGIN
    first, *_, moved = events.read(redis_client, KEYS)
    assert first.fields == {"leader": "beat-1", "term": "5"}
    assert moved.fields["generation"] == "10"
    assert moved.fields["by"] == "beat-1"
    assert moved.moves == {"BTCUSDT": (None, "node-001"), "ETHUSDT": (None, "node-002")}


def test_nothing_is_recorded_twice(redis_client: redis.Redis) -> None:
    one = EventRecorder("beat-1", KEYS)
    for _ in range(3):
        one.record(redis_client, observed(change=FIRST))
    assert recorded(redis_client) == BEGIN


@pytest.mark.parametrize("sign", [NodeReason.LEFT, NodeReason.DIED, NodeReason.SILENT])
def test_a_departure_and_what_it_moved_have_the_same_reason(redis_client: redis.Redis, sign: NodeReason) -> None:
    one = EventRecorder("beat-1", KEYS)
    one.record(redis_client, observed(change=FIRST))
    moved = AssignmentChange(11, [Move("ETHUSDT", TWO, ONE, "orphan")])
    one.record(redis_client, observed(live=(ONE,), departed={TWO: sign}, change=moved))
    node, change = events.read(redis_client, KEYS, limit=2)
    assert (node.reason, node.fields["node"]) == (sign, "node-002")
    assert change.reason == f"node {sign}"
    assert change.moves == {"ETHUSDT": ("node-002", "node-001")}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (AssignmentChange(11, [Move("BTCUSDT", ONE, TWO, "join")]), MoveReason.JOINED),
        (AssignmentChange(11, [Move("BTCUSDT", ONE, TWO, "rebalance")]), MoveReason.REBALANCE),
        (AssignmentChange(11, [Move("ADAUSDT", None, TWO, "orphan")]), MoveReason.SYMBOLS),
        (AssignmentChange(11, dropped={"BTCUSDT": ONE}), MoveReason.SYMBOLS),
        (AssignmentChange(11, lost=True), MoveReason.DATA_LOST),
        (AssignmentChange(11, [Move("BTCUSDT", None, TWO, "orphan")], first=True, lost=True), MoveReason.DATA_LOST),
        (AssignmentChange(11, [Move("A1", THREE, TWO, "orphan"), Move("B1", ONE, TWO, "join")]), MoveReason.DIED),
    ],
)
def test_why_the_assignment_changed(redis_client: redis.Redis, change: AssignmentChange, reason: MoveReason) -> None:
    one = EventRecorder("beat-1", KEYS)
    one.record(redis_client, observed(change=FIRST))
    one.record(redis_client, observed(change=change))
    assert events.read(redis_client, KEYS, limit=1)[0].reason == reason


def test_a_symbol_that_is_not_reported_on_any_more_is_given_up(redis_client: redis.Redis) -> None:
    EventRecorder("beat-1", KEYS).record(redis_client, observed(change=AssignmentChange(11, dropped={"OLDUSDT": ONE})))
    assert events.read(redis_client, KEYS)[-1].moves == {"OLDUSDT": ("node-001", None)}


def test_a_new_leader_goes_on_where_the_one_before_it_ended(redis_client: redis.Redis) -> None:
    EventRecorder("beat-1", KEYS).record(redis_client, observed(change=FIRST))
    found = observed(6, reason=LeaderReason.TOOK_OVER, adopted=frozenset([ONE, TWO]), change=AssignmentChange(12))
    EventRecorder("beat-2", KEYS).record(redis_client, found)
    assert recorded(redis_client) == [*BEGIN, "beat-2 took the lead: the leader before it was gone."]


def test_a_death_that_the_leader_did_not_live_to_record_is_recorded_by_the_next(redis_client: redis.Redis) -> None:
    EventRecorder("beat-1", KEYS).record(redis_client, observed(change=FIRST))
    moved = AssignmentChange(12, [Move("ETHUSDT", TWO, ONE, "orphan")])
    found = observed(6, (ONE,), reason=LeaderReason.TOOK_OVER, departed={TWO: NodeReason.DIED}, change=moved)
    EventRecorder("beat-2", KEYS).record(redis_client, found)
    assert recorded(redis_client)[len(BEGIN) + 1 :] == [
        "node-002 died: its connection vanished.",
        "A node died: ETHUSDT from node-002 to node-001.",
    ]


def test_a_death_that_is_recorded_is_not_recorded_by_the_next(redis_client: redis.Redis) -> None:
    before = EventRecorder("beat-1", KEYS)
    before.record(redis_client, observed(change=FIRST))
    before.record(redis_client, observed(live=(ONE,), departed={TWO: NodeReason.SILENT}))
    # What it adopts still names the owner that is gone: its symbols have not moved.
    moved = AssignmentChange(12, [Move("ETHUSDT", TWO, ONE, "orphan")])
    found = observed(6, (ONE,), reason=LeaderReason.TOOK_OVER, adopted=frozenset([ONE, TWO]), change=moved)
    EventRecorder("beat-2", KEYS).record(redis_client, found)
    assert recorded(redis_client)[len(BEGIN) :] == [
        "node-002 fell silent: no heartbeat.",
        "beat-2 took the lead: the leader before it was gone.",
        "A node fell silent: ETHUSDT from node-002 to node-001.",
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"incarnation": "a", "left": "1"}, "left"),
        ({"incarnation": "a"}, "died"),
        ({"incarnation": "b", "left": "1"}, "died"),
        ({}, "died"),
    ],
)
def test_a_departure_before_the_first_poll_is_judged_by_the_nodes_record(
    redis_client: redis.Redis, record: dict[str, str], reason: str
) -> None:
    if record:
        redis_client.hset(KEYS.node("node-002"), mapping=record)  # type: ignore[arg-type]
    EventRecorder("beat-1", KEYS).record(redis_client, observed(live=(ONE,), adopted=frozenset([ONE, TWO])))
    assert events.read(redis_client, KEYS, limit=1)[0].fields["node"] == "node-002"
    assert events.read(redis_client, KEYS, limit=1)[0].reason == reason


def test_a_node_that_comes_back_joins_again(redis_client: redis.Redis) -> None:
    one = EventRecorder("beat-1", KEYS)
    one.record(redis_client, observed(change=FIRST))
    one.record(redis_client, observed(live=(ONE,), departed={TWO: NodeReason.SILENT}))
    one.record(redis_client, observed())
    assert recorded(redis_client)[len(BEGIN) :] == ["node-002 fell silent: no heartbeat.", "node-002 joined."]


def test_another_start_of_a_node_is_another_owner(redis_client: redis.Redis) -> None:
    one = EventRecorder("beat-1", KEYS)
    one.record(redis_client, observed(change=FIRST))
    one.record(redis_client, observed(live=(ONE, Owner("node-002", "b"))))
    assert recorded(redis_client)[len(BEGIN) :] == ["node-002 joined.", "node-002 died: its connection vanished."]


def test_a_leader_whose_term_is_over_records_nothing(redis_client: redis.Redis) -> None:
    redis_client.hset(KEYS.dispatcher, "term", 6)
    EventRecorder("beat-1", KEYS).record(redis_client, observed(5, change=FIRST))
    assert recorded(redis_client) == []


def test_after_lost_data_the_same_leader_does_not_record_every_node_again(redis_client: redis.Redis) -> None:
    one = EventRecorder("beat-1", KEYS)
    one.record(redis_client, observed(change=FIRST))
    redis_client.flushall()
    lost = AssignmentChange(20, lost=True)
    one.record(redis_client, observed(6, reason=LeaderReason.RENEWED, change=lost))
    assert recorded(redis_client) == [
        "beat-1 leads again: its lead had run out, or was lost with Redis' data.",
        "Redis had lost the assignment, so it was published again: no symbol moved.",
    ]


@pytest.mark.parametrize("known", ["by its own appends", "by the stream"])
def test_after_lost_data_with_a_clock_behind_ids_go_on(redis_client: redis.Redis, known: str) -> None:
    """Who reads on from an id finds the next event, and does not wait until the clock has caught up."""
    ahead = events.place(redis_client.xadd("clock", {"a": "b"}))[0] + 3_600_000
    redis_client.xadd(
        KEYS.events, {"kind": "leader", "reason": "first", "leader": "beat-0", "term": "4"}, id=f"{ahead}-0"
    )
    one = EventRecorder("beat-1", KEYS)
    if known == "by its own appends":
        one.record(redis_client, observed(change=FIRST))  # goes on behind that one
    else:
        one.learn(events.read(redis_client, KEYS))
    redis_client.flushall()
    one.record(redis_client, observed(6, reason=LeaderReason.RENEWED, change=AssignmentChange(20, lost=True)))
    found = events.read(redis_client, KEYS, after=f"{ahead}-99")
    assert len(found) == len(events.read(redis_client, KEYS)) >= 2


class LosesReplies:
    """A client that sends everything, and loses the replies to its pipelines."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def pipeline(self, **options: Any) -> Any:
        pipe = self.client.pipeline(**options)
        send = pipe.execute

        def execute() -> None:
            send()
            raise redis.exceptions.ConnectionError("lost")

        pipe.execute = execute
        return pipe


def test_an_append_whose_reply_was_lost_is_not_repeated(redis_client: redis.Redis) -> None:
    one = EventRecorder("beat-1", KEYS)
    one.record(redis_client, observed(live=(ONE,)))
    with pytest.raises(redis.exceptions.ConnectionError):
        one.record(LosesReplies(redis_client), observed(change=FIRST))
    one.record(redis_client, observed(change=FIRST))
    assert recorded(redis_client) == BEGIN


def test_what_redis_refused_is_recorded_later(redis_client: redis.Redis) -> None:
    one = EventRecorder("beat-1", KEYS)
    one.record(redis_client, observed(live=(ONE,)))
    redis_client.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            one.record(redis_client, observed(change=FIRST))
    finally:
        redis_client.config_set("maxmemory", 0)
    # Another append of this term, which may have been the refused one.
    EventRecorder("beat-1", KEYS).record(redis_client, observed())
    one.record(redis_client, observed(change=FIRST))
    assert recorded(redis_client) == BEGIN


def test_a_long_history_is_forgotten(redis_client: redis.Redis) -> None:
    """Nodes that joined before the oldest event are known if an earlier leader assigned symbols to them."""
    EventRecorder("beat-1", KEYS).record(redis_client, observed(change=FIRST))
    pipe = redis_client.pipeline()
    for n in range(1300):
        events.queue_append(pipe, KEYS, events.conflict_event(f"S{n}", "node-001", "node-002"))
    pipe.execute()
    found = observed(6, (ONE, TWO, THREE), reason=LeaderReason.HANDED_OVER, adopted=frozenset([ONE, TWO]))
    EventRecorder("beat-2", KEYS).record(redis_client, found)
    assert recorded(redis_client)[-2:] == ["beat-2 leads: the leader before it resigned.", "node-003 joined."]
    one = EventRecorder("beat-3", KEYS)
    one.learn(events.Event("1-0", 1, "node", "died", {"node": "node-001", "incarnation": f"{n}"}) for n in range(5000))
    adopted = [Owner("node-001", f"{n}") for n in range(5000)]
    new = one.new_events(observed(live=(), adopted=adopted))
    assert [fields["incarnation"] for fields in new if fields["kind"] == "node"] == sorted(map(str, range(4000)))


def test_a_change_that_the_stream_has_forgotten_is_not_recorded_again(redis_client: redis.Redis) -> None:
    pipe = redis_client.pipeline()
    for n in range(1300):
        events.queue_append(pipe, KEYS, events.conflict_event(f"S{n}", "node-001", "node-002"))
    pipe.execute()
    later = events.read(redis_client, KEYS, limit=1)[0].at_ms + 1
    wanted = (Change(7, 1, "anna", "symbols add ADAUSDT"), Change(8, later, "anna", "symbols remove ADAUSDT"))
    EventRecorder("beat-2", KEYS).record(redis_client, observed(6, wanted=wanted))
    found = [event for event in events.read(redis_client, KEYS, limit=1000) if event.kind == events.Kind.DESIRED]
    assert [event.fields["version"] for event in found] == ["8"]


def test_rubbish_in_the_stream_does_no_harm(redis_client: redis.Redis) -> None:
    redis_client.xadd(KEYS.events, {"kind": "leader", "reason": "first"})
    redis_client.xadd(KEYS.events, {"kind": "moved", "generation": "x"})
    redis_client.xadd(KEYS.events, {"kind": "node", "reason": "flew away", "node": "node-001"})
    redis_client.xadd(KEYS.events, {"kind": "node", "reason": "left"})
    EventRecorder("beat-1", KEYS).record(redis_client, observed(change=FIRST))
    assert recorded(redis_client)[-len(BEGIN) :] == BEGIN
