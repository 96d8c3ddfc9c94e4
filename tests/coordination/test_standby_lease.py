"""A lease that one process has while others stand by: the scripts on a real Redis."""

from __future__ import annotations

import pytest
import redis
from redis.exceptions import ResponseError

from tickfence.coordination.standby_lease import ASK_EVERY_S, StandbyLease
from tickfence.redis_access.scripts import send

KEY, VALUE, STREAM = "md:{X}:writer", "md:{X}:ticker", "md:{X}:book"
TTL_MS = 60_000
NOW_S = 100.0


@pytest.fixture
def client(redis_client: redis.Redis) -> redis.Redis:
    return redis_client


def lease(owner: str, ttl_ms: int = TTL_MS) -> StandbyLease:
    return StandbyLease(KEY, owner, ttl_ms)


def ask(client: redis.Redis, one: StandbyLease, *, ready: bool = True, behind: int = 0, now_s: float = NOW_S) -> bool:
    [reply] = send(client, [one.ask(ready=ready, behind=behind)])
    return one.on_reply(reply, now_s)


def put(client: redis.Redis, one: StandbyLease, value: str, *, ready: bool = True) -> object:
    [reply] = send(client, [one.fenced([VALUE], [(0, ("SET", value))], ready=ready)])
    return one.on_fenced(one.token, reply, NOW_S)


def test_one_has_it_and_the_others_are_told_when_to_ask_again(client: redis.Redis) -> None:
    one, two = lease("one", 120), lease("two", 120)
    assert ask(client, one)
    assert not ask(client, two)
    assert (two.token, two.due(NOW_S)) == (0, False)
    assert two.due(NOW_S + 0.12)
    assert not ask(client, one), "it goes on with its token"
    assert not one.due(NOW_S + 0.03)
    assert one.due(NOW_S + 0.04), "in time to renew it"


def test_who_waits_for_a_long_lease_looks_whether_it_was_given_back(client: redis.Redis) -> None:
    one, two = lease("one"), lease("two")
    ask(client, one)
    ask(client, two)
    assert two.due(NOW_S + ASK_EVERY_S)
    before = one.token
    assert send(client, [one.release()]) == [1]
    one.on_released()
    assert not one.due(NOW_S + 1e6)
    assert ask(client, two)
    assert two.token > before


def test_commands_run_for_the_one_that_has_it_only(client: redis.Redis) -> None:
    one, two = lease("one"), lease("two")
    ask(client, one)
    assert put(client, one, "1") == [b"OK"]
    client.hset(KEY, "until", 1)
    assert put(client, one, "2") == [b"OK"], "it is over, but nobody else has had it"
    client.hset(KEY, "until", 1)
    assert ask(client, two)
    assert put(client, one, "3") is None
    assert (client.get(VALUE), one.token, one.due(0.0)) == (b"2", 0, True)
    assert put(client, two, "4") == [b"OK"]


def test_a_command_that_fails_costs_the_others_nothing(client: redis.Redis) -> None:
    one = lease("one")
    ask(client, one)
    client.set(STREAM, "no stream")
    commands = [
        (0, ("SET", "1")),
        (1, ("XADD", "1-1", "f", "1")),
        (2, ("XADD", "NOMKSTREAM", "1-1", "f", "1")),
        (0, ("APPEND", "2")),
    ]
    [reply] = send(client, [one.fenced([VALUE, STREAM, "md:{X}:none"], commands, ready=True)])
    ok, error, missing, length = one.on_fenced(one.token, reply, NOW_S) or ()
    assert (ok, missing, length) == (b"OK", None, 2)
    assert isinstance(error, ResponseError)


def test_who_can_do_the_work_takes_it_from_one_who_cannot(client: redis.Redis) -> None:
    one, two, three = lease("one"), lease("two"), lease("three")
    assert ask(client, one, ready=False)
    assert not ask(client, two, ready=False)
    assert ask(client, two)
    assert not ask(client, three)
    put(client, two, "1", ready=False)
    assert ask(client, three)


def test_who_can_do_the_work_takes_it_from_one_who_is_behind(client: redis.Redis) -> None:
    one, two, three = lease("one"), lease("two"), lease("three")
    ask(client, one)
    behind = one.token
    assert not ask(client, two, ready=False, behind=behind)
    assert not ask(client, two, behind=behind - 1)
    assert ask(client, two, behind=behind)
    assert not ask(client, three, behind=behind), "the next owner is another one"


def test_who_has_seen_a_token_that_redis_has_lost_takes_the_lease(client: redis.Redis) -> None:
    one, two = lease("one"), lease("two")
    ask(client, one)
    before = client.hgetall(KEY)
    client.hset(KEY, "until", 1)
    ask(client, two)
    lost = two.token
    client.hset(KEY, mapping=before)  # a replica that had not heard of it took over, with its clock behind
    assert ask(client, two)
    assert two.token > lost
    assert put(client, one, "1") is None


def test_a_new_token_that_is_wanted_while_a_renewal_is_on_its_way(client: redis.Redis) -> None:
    one = lease("one")
    ask(client, one)
    [reply] = send(client, [one.ask(ready=True)])
    one.ask_again()
    assert not one.on_reply(reply, NOW_S)
    assert one.due(NOW_S)
    assert ask(client, one)
    assert not one.due(NOW_S)


@pytest.mark.parametrize("lost", ["everything", "the lease", "a hash"])
def test_tokens_grow_after_redis_lost_them_with_its_clock_behind(client: redis.Redis, lost: str) -> None:
    one, two = lease("one"), lease("two")
    client.hset(KEY, "token", 2**44)  # far ahead of the clock
    ask(client, one)
    ask(client, two)
    client.flushall() if lost == "everything" else client.delete(KEY)
    if lost == "a hash":
        client.set(KEY, "no lease")
    before = one.token
    assert before > 2**44
    assert put(client, one, "1") is None
    assert ask(client, two), "it has seen the token, though it never had it"
    assert two.token > before
    assert not ask(client, one)


def test_a_lease_from_when_the_clock_was_ahead_does_not_count(client: redis.Redis) -> None:
    one, two = lease("one"), lease("two")
    ask(client, one)
    client.hincrby(KEY, "until", 3_600_000)
    assert ask(client, two)


def test_a_grant_whose_reply_was_lost_is_given_again_with_another_token(client: redis.Redis) -> None:
    one = lease("one")
    send(client, [one.ask(ready=True)])
    one.on_no_reply()
    given = int(client.hget(KEY, "token") or 0)
    assert one.due(0.0)
    assert ask(client, one)
    assert one.token > given


def test_a_new_token_for_who_has_it_already(client: redis.Redis) -> None:
    one = lease("one")
    ask(client, one)
    before = one.token
    one.ask_again()
    assert one.due(NOW_S)
    assert put(client, one, "1") == [b"OK"], "it goes on with the old one"
    assert one.due(NOW_S), "and still asks"
    assert ask(client, one)
    assert one.token > before


def test_who_sees_its_token_or_a_later_one_in_use_gives_up(client: redis.Redis) -> None:
    one = lease("one")
    ask(client, one)
    token = one.token
    one.see(token - 1)
    assert one.token == token
    one.see(token)
    assert (one.token, one.due(0.0)) == (0, True)
    assert ask(client, one)
    assert one.token > token
