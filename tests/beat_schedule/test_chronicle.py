"""What leaders tell, on a real stream: each thing once, whoever leads."""

from __future__ import annotations

import pytest
import redis

from beat_schedule.chronicle import Change, Chronicle, Seen
from tickfence.coordination.controller import Move, MoveReason
from tickfence.coordination.leadership import LeaderReason
from tickfence.coordination.membership import NodeReason
from tickfence.coordination.owner import Owner
from tickfence.keys import Keys
from tickfence.timeline import events
from tickfence.timeline.text import sentence

KEYS = Keys()

ONE, TWO, THREE = (Owner(f"node-00{n}", "a") for n in (1, 2, 3))
FIRST = Change(10, [Move("BTCUSDT", None, ONE, "orphan"), Move("ETHUSDT", None, TWO, "orphan")], first=True)


def seen(term: int = 5, live: tuple[Owner, ...] = (ONE, TWO), **more: object) -> Seen:
    return Seen(term, LeaderReason.FIRST, frozenset(live), {}, ())._replace(**more)


def told(client: redis.Redis) -> list[str]:
    return [sentence(event) for event in events.read(client, KEYS, limit=1000)]


BEGIN = [
    "beat-1 leads, the first to do so.",
    "node-001 joined.",
    "node-002 joined.",
    "First assignment: BTCUSDT to node-001, ETHUSDT to node-002.",
]


def test_a_first_leader_tells_of_itself_the_nodes_and_the_assignment(redis_client: redis.Redis) -> None:
    Chronicle("beat-1", KEYS).write(redis_client, seen(change=FIRST))
    assert told(redis_client) == BEGIN
    first, *_, moved = events.read(redis_client, KEYS)
    assert first.fields == {"leader": "beat-1", "term": "5"}
    assert moved.fields["generation"] == "10"
    assert moved.fields["by"] == "beat-1"
    assert moved.moves == {"BTCUSDT": (None, "node-001"), "ETHUSDT": (None, "node-002")}


def test_nothing_is_told_twice(redis_client: redis.Redis) -> None:
    one = Chronicle("beat-1", KEYS)
    for _ in range(3):
        one.write(redis_client, seen(change=FIRST))
    assert told(redis_client) == BEGIN


@pytest.mark.parametrize("sign", [NodeReason.LEFT, NodeReason.DIED, NodeReason.SILENT])
def test_a_departure_and_what_it_moved_have_the_same_reason(redis_client: redis.Redis, sign: NodeReason) -> None:
    one = Chronicle("beat-1", KEYS)
    one.write(redis_client, seen(change=FIRST))
    moved = Change(11, [Move("ETHUSDT", TWO, ONE, "orphan")])
    one.write(redis_client, seen(live=(ONE,), gone={TWO: sign}, change=moved))
    node, change = events.read(redis_client, KEYS, limit=2)
    assert (node.reason, node.fields["node"]) == (sign, "node-002")
    assert change.reason == f"node {sign}"
    assert change.moves == {"ETHUSDT": ("node-002", "node-001")}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (Change(11, [Move("BTCUSDT", ONE, TWO, "join")]), MoveReason.JOINED),
        (Change(11, [Move("BTCUSDT", ONE, TWO, "rebalance")]), MoveReason.REBALANCE),
        (Change(11, [Move("ADAUSDT", None, TWO, "orphan")]), MoveReason.SYMBOLS),
        (Change(11, dropped={"BTCUSDT": ONE}), MoveReason.SYMBOLS),
        (Change(11, lost=True), MoveReason.DATA_LOST),
        (Change(11, [Move("BTCUSDT", None, TWO, "orphan")], first=True, lost=True), MoveReason.DATA_LOST),
        (Change(11, [Move("A1", THREE, TWO, "orphan"), Move("B1", ONE, TWO, "join")]), MoveReason.DIED),
    ],
)
def test_why_the_assignment_changed(redis_client: redis.Redis, change: Change, reason: MoveReason) -> None:
    one = Chronicle("beat-1", KEYS)
    one.write(redis_client, seen(change=FIRST))
    one.write(redis_client, seen(change=change))
    assert events.read(redis_client, KEYS, limit=1)[0].reason == reason


def test_a_symbol_that_is_not_reported_on_any_more_is_given_up(redis_client: redis.Redis) -> None:
    Chronicle("beat-1", KEYS).write(redis_client, seen(change=Change(11, dropped={"OLDUSDT": ONE})))
    assert events.read(redis_client, KEYS)[-1].moves == {"OLDUSDT": ("node-001", None)}


def test_a_new_leader_goes_on_where_the_one_before_it_ended(redis_client: redis.Redis) -> None:
    Chronicle("beat-1", KEYS).write(redis_client, seen(change=FIRST))
    found = seen(6, reason=LeaderReason.TOOK_OVER, adopted=frozenset([ONE, TWO]), change=Change(12))
    Chronicle("beat-2", KEYS).write(redis_client, found)
    assert told(redis_client) == [*BEGIN, "beat-2 took the lead: the leader before it was gone."]


def test_a_death_that_the_leader_did_not_live_to_tell_is_told_by_the_next(redis_client: redis.Redis) -> None:
    Chronicle("beat-1", KEYS).write(redis_client, seen(change=FIRST))
    moved = Change(12, [Move("ETHUSDT", TWO, ONE, "orphan")])
    found = seen(6, (ONE,), reason=LeaderReason.TOOK_OVER, gone={TWO: NodeReason.DIED}, change=moved)
    Chronicle("beat-2", KEYS).write(redis_client, found)
    assert told(redis_client)[len(BEGIN) + 1 :] == [
        "node-002 died: its connection vanished.",
        "A node died: ETHUSDT from node-002 to node-001.",
    ]


def test_a_death_that_was_told_is_not_told_by_the_next(redis_client: redis.Redis) -> None:
    before = Chronicle("beat-1", KEYS)
    before.write(redis_client, seen(change=FIRST))
    before.write(redis_client, seen(live=(ONE,), gone={TWO: NodeReason.SILENT}))
    # What it adopts still names the owner that is gone: its symbols have not moved.
    moved = Change(12, [Move("ETHUSDT", TWO, ONE, "orphan")])
    found = seen(6, (ONE,), reason=LeaderReason.TOOK_OVER, adopted=frozenset([ONE, TWO]), change=moved)
    Chronicle("beat-2", KEYS).write(redis_client, found)
    assert told(redis_client)[len(BEGIN) :] == [
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
def test_of_one_that_went_before_anybody_looked_its_record_tells(
    redis_client: redis.Redis, record: dict[str, str], reason: str
) -> None:
    if record:
        redis_client.hset(KEYS.node("node-002"), mapping=record)  # type: ignore[arg-type]
    Chronicle("beat-1", KEYS).write(redis_client, seen(live=(ONE,), adopted=frozenset([ONE, TWO])))
    assert events.read(redis_client, KEYS, limit=1)[0].fields["node"] == "node-002"
    assert events.read(redis_client, KEYS, limit=1)[0].reason == reason


def test_one_that_comes_back_joins_anew(redis_client: redis.Redis) -> None:
    one = Chronicle("beat-1", KEYS)
    one.write(redis_client, seen(change=FIRST))
    one.write(redis_client, seen(live=(ONE,), gone={TWO: NodeReason.SILENT}))
    one.write(redis_client, seen())
    assert told(redis_client)[len(BEGIN) :] == ["node-002 fell silent: no heartbeat.", "node-002 joined."]


def test_another_start_of_a_node_is_another_owner(redis_client: redis.Redis) -> None:
    one = Chronicle("beat-1", KEYS)
    one.write(redis_client, seen(change=FIRST))
    one.write(redis_client, seen(live=(ONE, Owner("node-002", "b"))))
    assert told(redis_client)[len(BEGIN) :] == ["node-002 joined.", "node-002 died: its connection vanished."]


def test_a_leader_whose_term_is_over_tells_nothing(redis_client: redis.Redis) -> None:
    redis_client.hset(KEYS.dispatcher, "term", 6)
    Chronicle("beat-1", KEYS).write(redis_client, seen(5, change=FIRST))
    assert told(redis_client) == []


def test_after_lost_data_the_same_leader_does_not_tell_of_every_node_again(redis_client: redis.Redis) -> None:
    one = Chronicle("beat-1", KEYS)
    one.write(redis_client, seen(change=FIRST))
    redis_client.flushall()
    lost = Change(20, lost=True)
    one.write(redis_client, seen(6, reason=LeaderReason.RENEWED, change=lost))
    assert told(redis_client) == [
        "beat-1 leads again: its lead had run out, or was lost with Redis' data.",
        "Redis had lost the assignment, so it was published anew: no symbol moved.",
    ]


def test_an_append_whose_reply_was_lost_is_not_repeated(redis_client: redis.Redis) -> None:
    one = Chronicle("beat-1", KEYS)
    one.write(redis_client, seen(live=(ONE,)))
    Chronicle("beat-1", KEYS).write(redis_client, seen(change=FIRST))  # what the same leader sent, and
    one._read_in = 0  # as if its reply had been lost
    one.write(redis_client, seen(change=FIRST))
    assert told(redis_client) == BEGIN


def test_what_redis_refused_is_told_later(redis_client: redis.Redis) -> None:
    one = Chronicle("beat-1", KEYS)
    one.write(redis_client, seen(live=(ONE,)))
    redis_client.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            one.write(redis_client, seen(change=FIRST))
    finally:
        redis_client.config_set("maxmemory", 0)
    Chronicle("beat-1", KEYS).write(
        redis_client, seen()
    )  # another append of this term, which may have been the refused one
    one.write(redis_client, seen(change=FIRST))
    assert told(redis_client) == BEGIN


def test_a_long_history_is_forgotten(redis_client: redis.Redis) -> None:
    """Nodes whose coming is not in the stream any more, and that an earlier leader assigned symbols to, are known."""
    Chronicle("beat-1", KEYS).write(redis_client, seen(change=FIRST))
    pipe = redis_client.pipeline()
    for n in range(1300):
        events.queue_append(pipe, KEYS, events.conflict_event(f"S{n}", "node-001", "node-002"))
    pipe.execute()
    found = seen(6, (ONE, TWO, THREE), reason=LeaderReason.HANDED_OVER, adopted=frozenset([ONE, TWO]))
    Chronicle("beat-2", KEYS).write(redis_client, found)
    assert told(redis_client)[-2:] == ["beat-2 leads: the leader before it resigned.", "node-003 joined."]
    one = Chronicle("beat-3", KEYS)
    one.learn(events.Event("1-0", 1, "node", "died", {"node": "node-001", "incarnation": f"{n}"}) for n in range(5000))
    assert len(one._nodes) == 1000


def test_rubbish_in_the_stream_does_no_harm(redis_client: redis.Redis) -> None:
    redis_client.xadd(KEYS.events, {"kind": "leader", "reason": "first"})
    redis_client.xadd(KEYS.events, {"kind": "moved", "generation": "x"})
    redis_client.xadd(KEYS.events, {"kind": "node", "reason": "flew away", "node": "node-001"})
    redis_client.xadd(KEYS.events, {"kind": "node", "reason": "left"})
    Chronicle("beat-1", KEYS).write(redis_client, seen(change=FIRST))
    assert told(redis_client)[-len(BEGIN) :] == BEGIN
