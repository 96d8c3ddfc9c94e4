"""Who may send, and what is known of what was sent, when owners die, freeze, and Redis loses its data."""

from __future__ import annotations

import time

import pytest
import redis

from tests.processes import wait_until
from tickfence.alerts.firing import ATTEMPTS, LONGEST_PAUSE_MS, Firing, Kind, Message, Outcome, State
from tickfence.alerts.ledger import Ledger
from tickfence.keys import Keys

KEYS = Keys()


def ledger(client: redis.Redis, name: str, *again: str) -> Ledger:
    return Ledger(client, KEYS, f"alerts/{name}", 300, again)


def hold(one: Ledger) -> None:
    wait_until(lambda: one.hold(time.monotonic()), "the lease", 5)


def begun(one: Ledger) -> Firing:
    """A firing whose message is being sent."""
    firing = Firing("wall/B/1", "wall", "B", 1, 1, 2.5, [Message("desk", Kind.FIRING)])
    one.firings[firing.id] = firing
    for message in firing.due(5):
        message.begin()
    assert one.write([firing], time.monotonic())
    return firing


def test_the_next_owner_leaves_alone_what_may_have_been_sent_and_the_old_one_records_nothing(
    redis_client: redis.Redis,
) -> None:
    first, second = ledger(redis_client, "a"), ledger(redis_client, "b")
    hold(first)
    firing = begun(first)
    assert not second.hold(time.monotonic())
    hold(second)
    [message] = second.firings[firing.id].messages
    assert (message.state, second.firings[firing.id].due(10**15)) == (State.UNKNOWN, [])
    assert not first.write([firing], time.monotonic()), "it was frozen meanwhile"
    assert not first.hold(time.monotonic())
    assert first.firings == {}, "the other one knows better"


def test_the_next_owner_sends_what_was_surely_refused_and_what_may_arrive_twice(redis_client: redis.Redis) -> None:
    first, second = ledger(redis_client, "a"), ledger(redis_client, "b", "desk")
    hold(first)
    firing = begun(first)
    hold(second)
    assert second.firings[firing.id].messages[0].state is State.WAITING, "its target takes it twice"
    third = ledger(redis_client, "c")
    hold(third)
    assert len(third.firings[firing.id].due(10**15)) == 1


def test_records_that_redis_lost_are_written_back_and_forgotten_when_they_are_over(redis_client: redis.Redis) -> None:
    one = ledger(redis_client, "a")
    hold(one)
    firing = begun(one)
    redis_client.delete(KEYS.alerts, KEYS.alerts_lease)
    assert not one.write([firing], time.monotonic())
    hold(one)
    assert one.firings[firing.id] is firing
    assert redis_client.hlen(KEYS.alerts) == 2
    firing.messages[0].ended(Outcome.ACCEPTED, 1, at_least_once=False)
    firing.end(9, [])
    assert one.write([firing], time.monotonic())
    assert one.firings == {} and redis_client.hkeys(KEYS.alerts) == [b"token"]


def test_who_stands_by_leaves_lost_records_to_the_one_that_knows_them(redis_client: redis.Redis) -> None:
    first, second = ledger(redis_client, "a"), ledger(redis_client, "b")
    hold(first)
    firing = begun(first)
    assert not second.hold(time.monotonic())
    redis_client.delete(KEYS.alerts, KEYS.alerts_lease)
    wait_until(lambda: second.hold(time.monotonic()) or redis_client.exists(KEYS.alerts_lease), "the second to ask", 5)
    assert not second.hold(time.monotonic())
    hold(first)
    assert first.firings[firing.id] is firing
    assert redis_client.hlen(KEYS.alerts) == 2
    redis_client.delete(KEYS.alerts, KEYS.alerts_lease)
    hold(second)  # the first one does not ask any more
    assert second.firings == {}


def test_thousands_of_firings_are_recorded_at_once_and_one_that_cannot_be_read_costs_no_other(
    redis_client: redis.Redis,
) -> None:
    first, second = ledger(redis_client, "a"), ledger(redis_client, "b")
    hold(first)
    first.firings = {str(n): Firing(str(n), "wall", "B", n, n, 1, []) for n in range(5000)}
    assert first.write(first.firings.values(), time.monotonic())
    redis_client.hset(KEYS.alerts, "7", "of another version")
    hold(second)
    assert first.firings.keys() - second.firings.keys() == {"7"}


def test_what_redis_refuses_to_record_is_not_sent(redis_client: redis.Redis) -> None:
    one = ledger(redis_client, "a")
    hold(one)
    redis_client.set(KEYS.alerts, "no hash")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        begun(one)


@pytest.mark.parametrize(
    ("outcome", "at_least_once", "state"),
    [
        (Outcome.ACCEPTED, False, State.ACCEPTED),
        (Outcome.REJECTED, True, State.REJECTED),
        (Outcome.UNKNOWN, False, State.UNKNOWN),
        (Outcome.UNKNOWN, True, State.GAVE_UP),
        (Outcome.REFUSED, False, State.GAVE_UP),
    ],
)
def test_attempts_are_repeated_with_pauses_and_an_end(outcome: Outcome, at_least_once: bool, state: State) -> None:
    message, now_ms = Message("desk", Kind.FIRING), 1_000_000
    while not message.over:
        assert message.due(now_ms)
        message.begin()
        assert not message.due(now_ms)
        message.ended(outcome, now_ms, at_least_once=at_least_once)
        pause_ms = message.next_ms - now_ms
        assert message.over or 0 < pause_ms <= LONGEST_PAUSE_MS
        assert not message.due(now_ms)
        now_ms += LONGEST_PAUSE_MS
    assert (message.state, message.attempts) == (state, ATTEMPTS if state is State.GAVE_UP else 1)


def test_the_end_is_told_after_the_beginning() -> None:
    firing = Firing("wall/B/1", "wall", "B", 1, 1, 2.5, [Message("desk", Kind.FIRING)])
    firing.end(9, ["desk"])
    [first] = firing.due(10)
    assert first.kind is Kind.FIRING
    first.begin()
    assert firing.due(10) == []
    first.ended(Outcome.ACCEPTED, 10, at_least_once=False)
    [second] = firing.due(10)
    assert second.kind is Kind.RESOLVED
