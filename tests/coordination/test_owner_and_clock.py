"""Names of owners, and the server's time between round trips."""

from __future__ import annotations

import time

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from tickfence.coordination.clock import ServerClock
from tickfence.coordination.owner import Owner


def test_two_starts_of_one_node_are_two_owners() -> None:
    first, second = Owner.start("node-001"), Owner.start("node-001")
    assert first.node == second.node
    assert first != second
    assert str(first) != str(second)


@given(st.from_regex(r"[A-Za-z0-9._@/-]{1,64}", fullmatch=True), st.from_regex(r"[0-9a-f]{16}", fullmatch=True))
def test_owners_read_back_from_their_text(node: str, incarnation: str) -> None:
    assert Owner.parse(str(Owner(node, incarnation))) == Owner(node, incarnation)


@pytest.mark.parametrize("text", ["", "node-001", "node-001/", "/5f0c"])
def test_text_that_names_no_owner_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be node/incarnation"):
        Owner.parse(text)


def test_a_clock_without_samples_shows_this_hosts() -> None:
    assert abs(ServerClock().now_ms() - time.time() * 1000) < 1000


def test_the_shortest_round_trip_counts() -> None:
    clock = ServerClock()
    clock.observe(10.0, 10.1, 50_000)  # the reply came late: up to 50 ms wrong
    assert clock.at(10.0) == 50_000 - 50
    clock.observe(11.0, 11.002, 51_031)
    assert clock.at(11.0) == 51_030
    clock.observe(12.0, 12.5, 52_040)
    assert clock.at(12.0) == 52_030


@given(
    st.integers(10**12, 10**13),
    st.lists(st.tuples(st.floats(0, 0.2), st.floats(0, 0.2), st.floats(0.01, 1)), min_size=1, max_size=20),
)
def test_it_is_never_off_by_more_than_half_the_shortest_round_trip(
    offset_ms: int, trips: list[tuple[float, float, float]]
) -> None:
    clock, now = ServerClock(samples=32), 100.0
    for there, back, pause in trips:
        clock.observe(now, now + there + back, offset_ms + (now + there) * 1000)
        now += there + back + pause
    half_ms = min(there + back for there, back, _ in trips) / 2 * 1000
    assert abs(clock.at(now) - (offset_ms + now * 1000)) <= half_ms + 1


def test_a_server_that_was_replaced_by_one_of_another_time_is_believed_at_once() -> None:
    clock = ServerClock()
    for second in range(8):
        clock.observe(second, second + 0.001, 1_000_000 + second * 1000)
    clock.observe(9.0, 9.02, 1_000_000 + 9_000 - 3_600_000)
    assert clock.at(9.01) == 1_000_000 + 9_000 - 3_600_000


@pytest.mark.parametrize("step_ms", [-300, 300])
def test_a_small_step_of_the_servers_clock_is_believed_at_once_too(step_ms: int) -> None:
    clock = ServerClock()
    for second in range(8):
        clock.observe(second, second + 0.001, 1_000_000 + second * 1000)
    clock.observe(9.0, 9.01, 1_000_000 + 9_005 + step_ms)
    assert clock.at(9.005) == 1_000_000 + 9_005 + step_ms


def test_it_follows_a_real_server(redis_client: redis.Redis) -> None:
    clock = ServerClock()
    for _ in range(8):
        sent = time.monotonic()
        seconds, microseconds = redis_client.time()
        clock.observe(sent, time.monotonic(), seconds * 1000 + microseconds / 1000)
    before = clock.now_ms()
    seconds, microseconds = redis_client.time()
    shown = seconds * 1000 + microseconds / 1000
    after = clock.now_ms()
    assert before - 100 <= shown <= after + 100
