"""The stream of events: what is appended can be read again, by every kind of client."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import redis
import redis.asyncio

from tickfence.coordination.controller import MoveReason
from tickfence.coordination.leadership import LeaderReason
from tickfence.coordination.membership import NodeReason
from tickfence.coordination.owner import Owner
from tickfence.keys import Keys
from tickfence.redis_access.raw_pipeline import exchange
from tickfence.timeline import events
from tickfence.timeline.events import Event, SymbolReason
from tickfence.timeline.text import sentence, to_json
from tools.local.embedded_redis import EmbeddedRedis

KEYS = Keys()

MOVES: events.Moves = {
    "BTCUSDT": (None, "node-001"),
    "ETHUSDT": ("node-003", "node-002"),
    "OLDUSDT": ("node-001", None),
}
ONE_OF_EACH = [
    events.node_event(NodeReason.JOINED, Owner("node-001", "a"), 17),
    events.moved_event(MoveReason.FIRST, 20, 17, "beat@host/b", MOVES),
    events.leader_event(LeaderReason.FIRST, "beat@host/b", 17),
    events.conflict_event("BTCUSDT", "node-002", "node-001"),
]


def append(client: redis.Redis, *entries: events.Fields) -> None:
    pipe = client.pipeline(transaction=False)
    for fields in entries:
        events.queue_append(pipe, KEYS, fields)
    pipe.execute()


def numbered(client: redis.Redis, count: int) -> list[str]:
    append(client, *(events.leader_event(LeaderReason.FIRST, "beat", n) for n in range(count)))
    return [identity.decode() for identity, _ in client.xrange(KEYS.events)]


def terms(found: list[Event]) -> list[int]:
    return [int(event.fields["term"]) for event in found]


def test_each_kind_comes_back_as_it_was_appended(redis_client: redis.Redis) -> None:
    append(redis_client, *ONE_OF_EACH)
    found = events.read(redis_client, KEYS)
    assert [{"kind": e.kind, "reason": e.reason} | e.fields for e in found] == ONE_OF_EACH
    assert [e.moves for e in found] == [{}, MOVES, {}, {}]
    seconds, microseconds = redis_client.time()
    now_ms = seconds * 1000 + microseconds // 1000
    assert all(now_ms - 60_000 < event.at_ms <= now_ms for event in found)


def test_the_last_ones_oldest_first(redis_client: redis.Redis) -> None:
    numbered(redis_client, 12)
    assert terms(events.read(redis_client, KEYS, limit=10)) == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]


def test_those_after_an_id_page_after_page(redis_client: redis.Redis) -> None:
    ids = numbered(redis_client, 5)
    assert terms(events.read(redis_client, KEYS, after=ids[0], limit=2)) == [1, 2]
    assert terms(events.read(redis_client, KEYS, after=ids[2], limit=2)) == [3, 4]
    assert events.read(redis_client, KEYS, after=ids[4]) == []


def test_where_nothing_happened_there_are_none(redis_client: redis.Redis) -> None:
    assert events.read(redis_client, KEYS) == []


@pytest.mark.parametrize("after", ["x", "-", "+", "(1-0", "1-0 COUNT 5", "1-", "-1", "1-0\n", "9" * 20, "٣-0"])
def test_what_is_no_id_is_refused(redis_client: redis.Redis, after: str) -> None:
    with pytest.raises(ValueError, match="must be the id of an event"):
        events.read(redis_client, KEYS, after=after)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_limit_out_of_bounds_is_refused(redis_client: redis.Redis, limit: int) -> None:
    with pytest.raises(ValueError, match="must be from 1 to 1000"):
        events.read(redis_client, KEYS, limit=limit)


def test_the_stream_stays_bounded(redis_client: redis.Redis) -> None:
    numbered(redis_client, 3 * events.KEPT)
    assert redis_client.xlen(KEYS.events) <= events.KEPT + 200  # Redis trims whole blocks of 100
    assert terms(events.read(redis_client, KEYS, limit=1)) == [3 * events.KEPT - 1]


def test_every_kind_of_client_reads_the_same(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    append(redis_client, *ONE_OF_EACH)
    expected = events.read(redis_client, KEYS)

    async def asynchronous() -> list[Event]:
        async with redis.asyncio.Redis(port=redis_server.port) as client:
            pipe = client.pipeline(transaction=False)
            pipe.execute_command(*events.read_command(KEYS))
            [reply] = await pipe.execute()
            return events.parse(reply)

    raw = exchange(redis_client, [events.read_command(KEYS, after="0-1")])[0]
    with redis.Redis(port=redis_server.port, decode_responses=True) as text:
        assert events.read(text, KEYS) == expected
    assert events.parse(raw) == expected
    assert asyncio.run(asynchronous()) == expected


def test_what_is_no_event_is_left_out(redis_client: redis.Redis) -> None:
    redis_client.xadd(KEYS.events, {"kind": "party", "reason": "x"})
    redis_client.xadd(KEYS.events, {b"\xff": b"\xfe"})
    redis_client.xadd(KEYS.events, {"kind": "moved", "moves": '{"BTCUSDT": 1}'})
    [only] = events.read(redis_client, KEYS)
    assert only.moves == {}
    assert to_json(only)["moves"] == {}


def test_as_json(redis_client: redis.Redis) -> None:
    append(redis_client, ONE_OF_EACH[1])
    [event] = events.read(redis_client, KEYS)
    shown: dict[str, Any] = json.loads(json.dumps(to_json(event)))
    assert shown == {
        "id": event.id,
        "at": event.at_ms,
        "kind": "moved",
        "reason": "first assignment",
        "text": "First assignment: BTCUSDT to node-001, ETHUSDT from node-003 to node-002, OLDUSDT given up by node-001.",
        "generation": 20,
        "term": 17,
        "by": "beat@host/b",
        "moves": {"BTCUSDT": [None, "node-001"], "ETHUSDT": ["node-003", "node-002"], "OLDUSDT": ["node-001", None]},
    }


def test_every_reason_has_its_sentence() -> None:
    said = [
        *(sentence(Event("1-0", 1, "node", reason, {"node": "node-003"})) for reason in NodeReason),
        *(sentence(Event("1-0", 1, "leader", reason, {"leader": "beat@host/5f0c9a1b"})) for reason in LeaderReason),
        *(sentence(Event("1-0", 1, "moved", reason, {})) for reason in MoveReason),
        *(
            sentence(Event("1-0", 1, "conflict", "lease held", {"symbol": "A1", "node": "n1", "holder": holder}))
            for holder in ("n2", "n1")
        ),
        *(sentence(Event("1-0", 1, "symbol", reason, {"symbol": "A1", "nodes": "n1,n2"})) for reason in SymbolReason),
    ]
    assert said == [
        "node-003 joined.",
        "node-003 left in order.",
        "node-003 died: its connection vanished.",
        "node-003 fell silent: no heartbeat.",
        "node-003 is stuck: it is alive, but takes no messages.",
        "node-003 is drained: it is alive, and gets no symbols.",
        "beat@host/5f0c leads, the first to do so.",
        "beat@host/5f0c took the lead: the leader before it was gone.",
        "beat@host/5f0c leads: the leader before it resigned.",
        "beat@host/5f0c leads: the leader before it could not reach the broker.",
        "beat@host/5f0c leads again: its lead had run out, or was lost with Redis' data.",
        "First assignment: no symbol moved.",
        "A node joined: no symbol moved.",
        "A node left: no symbol moved.",
        "A node died: no symbol moved.",
        "A node fell silent: no symbol moved.",
        "A node is stuck: no symbol moved.",
        "A node was drained: no symbol moved.",
        "Better balance: no symbol moved.",
        "The list of symbols changed: no symbol moved.",
        "Redis had lost the assignment, so it was published again: no symbol moved.",
        "n1 was refused the lease of A1: n2 holds it.",
        "n1 was refused the lease of A1: another process of that name holds it.",
        "A1 is set aside: nodes got stuck while they worked on it (n1 and n2).",
        "A1 is no longer set aside.",
    ]


def test_many_moves_make_a_short_sentence() -> None:
    lost = {f"S{n}": ("node-003", f"node-00{1 + n % 2}") for n in range(300)}
    died = Event("1-0", 1, "moved", "node died", {"moves": json.dumps(lost)})
    assert sentence(died) == (
        "A node died: 150 symbols from node-003 to node-001, 150 symbols from node-003 to node-002."
    )
    spread = {f"S{n}": (f"node-{n % 4}", f"node-{n % 9}") for n in range(300)}
    joined = Event("1-0", 1, "moved", "node joined", {"moves": json.dumps(spread)})
    assert sentence(joined) == "A node joined: 300 symbols to 9 nodes."
    dropped = {f"S{n}": ("node-1", None) for n in range(5)}
    changed = Event("1-0", 1, "moved", "symbols changed", {"moves": json.dumps(dropped)})
    assert sentence(changed) == "The list of symbols changed: S0, S1, S2, S3 and S4 given up by node-1."
