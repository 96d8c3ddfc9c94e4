"""Who leads, among two dispatchers on a real Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from tests.processes import wait_until
from tickfence.coordination.assignment_store import Deposed, StoredAssignment, publish_assignment, read_assignment
from tickfence.coordination.leadership import (
    CANNOT_SEND_S,
    SENDER_FOR_MS,
    Lead,
    LeaderReason,
    LeaderRecord,
    Leadership,
    note,
    parse_leader,
)
from tickfence.coordination.owner import Owner
from tickfence.coordination.verdicts import Verdicts
from tickfence.keys import Keys
from tickfence.redis_access.scripts import send
from tools.local.embedded_redis import EmbeddedRedis

KEYS = Keys()

LONG_MS = 600_000
OWNERS = {"BTCUSDT": Owner("node-001", "a"), "ETHUSDT": Owner("node-002", "b")}


class Candidate:
    """A dispatcher reduced to its candidacy, with a connection of its own."""

    def __init__(
        self, server: EmbeddedRedis, name: str, ttl_ms: int = LONG_MS, grace_ms: int = 0, hold_s: float = 0
    ) -> None:
        self.server = server
        self.leadership = Leadership(KEYS, name, ttl_ms, grace_ms, hold_s)
        self.connect()

    def connect(self) -> None:
        self.client = redis.Redis(port=self.server.port, single_connection_client=True)
        self.client_id = self.client.client_id()

    def poll(self, *, can_send: bool = False) -> Lead:
        sent_at = time.monotonic()
        [reply] = send(self.client, [self.leadership.poll(self.client_id, can_send=can_send)])
        lead = self.leadership.handle_reply(reply, sent_at)
        assert self.leadership.leading is lead.leading
        assert self.leadership.term == lead.term
        return lead

    def observe_leader(self) -> bool:
        connected = bool(self.client.client_list(client_id=[self.leadership.leader_client_id]))
        self.leadership.note_leader_connected(connected)
        return connected

    @property
    def leading(self) -> bool:
        return self.leadership.leading


Candidates = Callable[..., Candidate]


@pytest.fixture
def candidate(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> Iterator[Candidates]:
    made: list[Candidate] = []
    assert redis_client.dbsize() == 0

    def make(name: str, **options: Any) -> Candidate:
        made.append(Candidate(redis_server, name, **options))
        return made[-1]

    yield make
    for one in made:
        one.client.close()


def end_lease(client: redis.Redis) -> None:
    """As if the leader had been silent for its whole time to live."""
    client.hset(KEYS.dispatcher, "until", 1)


def test_how_each_got_the_lead(candidate: Candidates, redis_client: redis.Redis) -> None:
    a, b = candidate("a"), candidate("b")
    assert a.poll().reason is LeaderReason.FIRST
    assert a.poll().reason is None
    assert b.poll().reason is None
    a.leadership.resign(a.client)
    assert b.poll().reason is LeaderReason.HANDED_OVER
    end_lease(redis_client)
    assert a.poll().reason is LeaderReason.TOOK_OVER
    end_lease(redis_client)
    again = a.poll()
    assert (again.reason, again.lost) == (LeaderReason.RENEWED, False)


def test_a_leader_that_cannot_send_hands_over_to_one_that_can(candidate: Candidates) -> None:
    a, b = candidate("a"), candidate("b")
    a.poll()
    b.poll(can_send=True)
    lead = a.poll()
    assert not a.leadership.should_hand_over(lead, CANNOT_SEND_S - 0.1)
    assert a.leadership.should_hand_over(lead, CANNOT_SEND_S)
    a.leadership.resign(a.client, why=LeaderReason.CANNOT_SEND)
    taken = b.poll()
    assert (taken.leading, taken.reason) == (True, LeaderReason.CANNOT_SEND)
    assert not b.leadership.should_hand_over(b.poll(), 60), "it was itself that could send"
    b.leadership.resign(b.client)
    assert a.poll().reason is LeaderReason.HANDED_OVER, "what the one before it said is over"


def test_a_leader_that_cannot_send_keeps_its_lead_if_no_other_can(
    candidate: Candidates, redis_client: redis.Redis
) -> None:
    a, b = candidate("a"), candidate("b")
    a.poll(can_send=True)
    b.poll()
    assert not a.leadership.should_hand_over(a.poll(), 60)
    b.poll(can_send=True)
    connection, heard, said_at = map(int, (redis_client.hget(KEYS.dispatcher, "beat:b") or b"").split())
    for wrong in (said_at - SENDER_FOR_MS, said_at + 3_600_000):  # long ago, or by a clock that was ahead
        redis_client.hset(KEYS.dispatcher, "beat:b", f"{connection} {heard} {wrong}")
        assert not a.leadership.should_hand_over(a.poll(), 60)


def test_a_leader_that_cannot_send_holds_its_lead_for_a_while(candidate: Candidates) -> None:
    a, b = candidate("a", hold_s=0.3), candidate("b")
    a.poll()
    b.poll(can_send=True)
    assert not a.leadership.should_hand_over(a.poll(), 60)
    wait_until(lambda: a.leadership.should_hand_over(a.poll(), 60), "it to have led for a while")


def test_one_that_takes_back_what_it_gave_away_leads_again(candidate: Candidates) -> None:
    a = candidate("a")
    a.poll()
    a.leadership.resign(a.client, why=LeaderReason.CANNOT_SEND)
    assert a.poll().reason is LeaderReason.RENEWED


def test_lost_data_is_noticed_by_the_next_leader(candidate: Candidates, redis_client: redis.Redis) -> None:
    a, b = candidate("a"), candidate("b")
    a.poll()
    b.poll()
    redis_client.flushall()
    same = a.poll()
    assert (same.reason, same.lost) == (LeaderReason.RENEWED, True)
    b.poll()
    redis_client.flushall()
    other = b.poll()
    assert (other.reason, other.lost) == (LeaderReason.TOOK_OVER, True)


def test_the_record_of_the_leader(candidate: Candidates, redis_client: redis.Redis) -> None:
    assert parse_leader(redis_client.hgetall(KEYS.dispatcher)) == LeaderRecord()
    a = candidate("a")
    lead = a.poll()
    record = parse_leader(redis_client.hgetall(KEYS.dispatcher))
    assert record == LeaderRecord("a", a.client_id, lead.term, lead.server_ms + LONG_MS)
    assert record.leads(lead.server_ms)
    assert record.leads(record.until_ms - 1)
    assert not record.leads(record.until_ms)
    a.leadership.resign(a.client)
    resigned = parse_leader(redis_client.hgetall(KEYS.dispatcher))
    assert resigned == LeaderRecord(term=lead.term)
    assert not resigned.leads(0)
    with pytest.raises(ValueError, match="soon"):
        parse_leader({b"leader": b"a", b"until": b"soon"})


def test_what_a_leader_notes_outlasts_its_lead_and_nobody_else_notes_anything(
    candidate: Candidates, redis_client: redis.Redis
) -> None:
    a, b = candidate("a"), candidate("b")
    term, verdicts = a.poll().term, Verdicts({Owner("node-001", "x"): 7})
    b.poll()
    assert note(a.client, KEYS, "a", term, {"verdicts": verdicts.to_json(), "desired": 5})
    assert not note(b.client, KEYS, "b", term, {"desired": 6})
    assert not note(a.client, KEYS, "a", term - 1, {"desired": 6})
    a.leadership.resign(a.client)
    assert not note(a.client, KEYS, "a", term, {"desired": 6})
    b.poll()
    record = parse_leader(redis_client.hgetall(KEYS.dispatcher))
    assert (record.name, record.desired, record.verdicts) == ("b", 5, verdicts)
    redis_client.flushall()
    assert not note(b.client, KEYS, "b", record.term, {"desired": 6})
    assert not redis_client.exists(KEYS.dispatcher)


def test_the_first_leads_and_keeps_its_term_while_it_polls(candidate: Candidates) -> None:
    a, b = candidate("a"), candidate("b")
    first = a.poll()
    assert first.leading
    assert first.client_id == a.client_id
    for _ in range(3):
        assert not (seen := b.poll()).leading
        assert (seen.term, seen.client_id) == (first.term, a.client_id)
        assert a.poll().term == first.term


def test_after_a_resignation_another_leads_at_once_with_a_higher_term(
    candidate: Candidates, redis_client: redis.Redis
) -> None:
    a, b = candidate("a"), candidate("b")
    first = a.poll()
    b.leadership.resign(b.client)
    assert a.poll().leading
    a.leadership.resign(a.client)
    assert not a.leading
    assert redis_client.hget(KEYS.dispatcher, "term") == str(first.term).encode()
    second = b.poll()
    assert second.leading
    assert second.term > first.term
    assert not a.poll().leading


def test_a_silent_leader_is_followed_and_gets_a_new_term_if_it_comes_back_first(
    candidate: Candidates, redis_client: redis.Redis
) -> None:
    a, b = candidate("a"), candidate("b")
    terms = [a.poll().term]
    end_lease(redis_client)
    again = a.poll()
    assert again.leading
    terms.append(again.term)
    end_lease(redis_client)
    taken = b.poll()
    assert taken.leading
    terms.append(taken.term)
    assert terms == sorted(set(terms))
    late = a.poll()
    assert not late.leading
    assert late.term == taken.term


def test_a_leader_that_does_not_poll_stops_by_its_own_clock(candidate: Candidates) -> None:
    a = candidate("a", ttl_ms=100)
    assert a.poll().leading
    wait_until(lambda: not a.leading, "the lead to run out")
    assert a.poll().leading


def test_a_lead_that_was_counted_while_the_clock_was_ahead_is_none(
    candidate: Candidates, redis_client: redis.Redis
) -> None:
    a, b = candidate("a"), candidate("b")
    first = a.poll()
    until_ms = first.server_ms + 3_600_000
    redis_client.hset(KEYS.dispatcher, "until", until_ms)
    assert not LeaderRecord("a", 1, first.term, until_ms).leads(first.server_ms)
    taken = b.poll()
    assert taken.leading
    assert taken.term > first.term


def test_the_lead_counts_from_the_poll_not_from_its_reply() -> None:
    leadership = Leadership(KEYS, "a", ttl_ms=1000)
    leadership.handle_reply([1, 5, 0, b"7", b"", b"", 0, b""], sent_at=time.monotonic() - 2)
    assert not leadership.leading


def test_a_leader_whose_connection_is_gone_is_deposed(candidate: Candidates, redis_client: redis.Redis) -> None:
    a, b = candidate("a"), candidate("b")
    first = a.poll()
    assert not b.poll().leading
    assert b.observe_leader()
    redis_client.client_kill_filter(_id=str(a.client_id))
    wait_until(lambda: not b.observe_leader(), "the connection to be gone")
    second = b.poll()
    assert second.leading
    assert second.term > first.term


def test_a_leader_that_came_back_with_a_new_connection_is_not(candidate: Candidates, redis_client: redis.Redis) -> None:
    a, b = candidate("a"), candidate("b")
    first = a.poll()
    b.poll()
    redis_client.client_kill_filter(_id=str(a.client_id))
    wait_until(lambda: not b.observe_leader(), "the connection to be gone")
    a.connect()
    back = a.poll()
    assert (back.leading, back.term, back.client_id) == (True, first.term, a.client_id)
    assert not b.poll().leading
    assert b.leadership.leader_client_id == a.client_id
    assert not b.poll().leading


def test_a_connection_that_is_missing_for_less_than_the_grace_deposes_nobody(
    candidate: Candidates, redis_client: redis.Redis
) -> None:
    a, b = candidate("a"), candidate("b", grace_ms=LONG_MS)
    a.poll()
    b.poll()
    redis_client.client_kill_filter(_id=str(a.client_id))
    wait_until(lambda: not b.observe_leader(), "the connection to be gone")
    assert not b.poll().leading
    b.leadership.note_leader_connected(True)
    b.leadership.grace_ms = 0
    assert not b.poll().leading


def test_terms_grow_over_lost_data(candidate: Candidates, redis_client: redis.Redis) -> None:
    a, b = candidate("a"), candidate("b")
    first = a.poll()
    redis_client.flushall()
    second = a.poll()
    assert second.leading
    assert second.term > first.term
    b.poll()
    redis_client.flushall()
    third = b.poll()
    assert third.leading
    assert third.term > second.term


def test_a_leader_that_redis_has_forgotten_the_term_of_gets_a_newer_one(candidate: Candidates) -> None:
    one = candidate("one")
    seen = one.poll().term
    one.leadership.term = seen + 100  # it stood by while another led, until Redis lost its last second
    lead = one.poll()
    assert lead.leading
    assert lead.term > seen + 100
    assert one.leadership.term == lead.term


def test_a_leader_gets_a_term_above_one_that_only_a_stand_by_knows(candidate: Candidates) -> None:
    a, b = candidate("a"), candidate("b")
    known = b.leadership.term = a.poll().term + 100  # Redis has lost it, with its last second
    follower = b.poll()
    lead = a.poll()
    assert lead.leading
    assert lead.reason is LeaderReason.RENEWED
    assert lead.term == follower.term == known + 1
    assert a.poll().reason is None
    assert b.poll().term == lead.term


NOTHING = StoredAssignment(0, 0, {})


def test_an_assignment_reads_back_as_published(redis_client: redis.Redis) -> None:
    assert read_assignment(redis_client, KEYS) == NOTHING
    first = publish_assignment(redis_client, KEYS, 7, NOTHING, OWNERS)
    assert read_assignment(redis_client, KEYS) == first
    assert (first.term, first.owners) == (7, OWNERS)
    fewer = {"BTCUSDT": OWNERS["ETHUSDT"]}
    later = publish_assignment(redis_client, KEYS, 7, first, fewer)
    assert later.generation > first.generation
    assert read_assignment(redis_client, KEYS) == later == (7, later.generation, fewer)


def test_what_others_wrote_since_is_replaced_and_not_changed(redis_client: redis.Redis) -> None:
    first = publish_assignment(redis_client, KEYS, 7, NOTHING, OWNERS)
    publish_assignment(redis_client, KEYS, 7, first, {"XRPUSDT": OWNERS["BTCUSDT"]})
    moved = OWNERS | {"BTCUSDT": OWNERS["ETHUSDT"]}
    again = publish_assignment(redis_client, KEYS, 7, first, moved)
    assert read_assignment(redis_client, KEYS) == again == (7, again.generation, moved)
    redis_client.delete(KEYS.assignment)
    last = publish_assignment(redis_client, KEYS, 7, again, moved)
    assert read_assignment(redis_client, KEYS) == last == (7, last.generation, moved)


def test_a_thousand_symbols_are_one_assignment(redis_client: redis.Redis) -> None:
    owners = {f"S{i}USDT": Owner(f"node-{i % 7}", "a") for i in range(1000)}
    publish_assignment(redis_client, KEYS, 1, NOTHING, owners)
    assert read_assignment(redis_client, KEYS).owners == owners


def test_a_deposed_leader_publishes_nothing(redis_client: redis.Redis) -> None:
    newer = publish_assignment(redis_client, KEYS, 8, NOTHING, OWNERS)
    before = redis_client.hgetall(KEYS.assignment)
    for seen in (newer, newer._replace(term=7)):
        with pytest.raises(Deposed, match="term 7 is over: the assignment is written by term 8"):
            publish_assignment(redis_client, KEYS, 7, seen, {})
    assert redis_client.hgetall(KEYS.assignment) == before
    assert publish_assignment(redis_client, KEYS, 8, NOTHING, OWNERS).generation > newer.generation


def test_generations_grow_over_lost_data_and_a_clock_set_back(redis_client: redis.Redis) -> None:
    ahead = 10 * publish_assignment(redis_client, KEYS, 1, NOTHING, OWNERS).generation
    redis_client.flushall()
    known = StoredAssignment(1, ahead, OWNERS)
    assert publish_assignment(redis_client, KEYS, 2, known, OWNERS).generation == ahead + 1
    assert publish_assignment(redis_client, KEYS, 3, NOTHING, OWNERS).generation == ahead + 2
