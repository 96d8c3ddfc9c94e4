"""Writing from another thread: nobody waits, everything is bounded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from tests.processes import wait_until
from tickfence.keys import Keys
from tickfence.timeline import events
from tickfence.timeline import writer as event_writer
from tickfence.timeline.writer import MAXIMUM_WAITING, EventWriter
from tools.local.embedded_redis import EmbeddedRedis

EVENTS = Keys().events

MakeWriter = Callable[..., EventWriter[str]]


class Failures:
    """Counts failures."""

    def __init__(self) -> None:
        self.count = 0

    def one_more(self) -> None:
        self.count += 1


@pytest.fixture
def failures() -> Failures:
    return Failures()


@pytest.fixture
def writer(failures: Failures) -> Iterator[MakeWriter]:
    made: list[EventWriter[str]] = []

    def append(client: Any, symbol: str) -> None:
        events.queue_append(client, Keys(), events.conflict_event(symbol, "node-001", "node-002"))

    def make(url: str, write: Callable[[Any, str], None] = append) -> EventWriter[str]:
        made.append(EventWriter(url, "events:test", write, failures.one_more))
        return made[-1]

    yield make
    for one in made:
        one.close()
    wait_until(lambda: not threads(), "the threads to end")


def threads() -> list[threading.Thread]:
    """The writers' threads that run now."""
    return [thread for thread in threading.enumerate() if thread.name == "events:test"]


def symbols(client: redis.Redis) -> list[str]:
    return [event.fields["symbol"] for event in events.read(client, Keys())]


def test_what_is_put_is_written_in_its_order(
    writer: MakeWriter, redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    one = writer(redis_server.url())
    wanted = [f"S{n}" for n in range(20)]
    for name in wanted:
        one.put(name)
    one.close(10)
    assert symbols(redis_client) == wanted


def test_without_anything_to_write_there_is_neither_thread_nor_connection(
    writer: MakeWriter, redis_server: EmbeddedRedis, redis_client: redis.Redis
) -> None:
    one = writer(redis_server.url())
    assert threads() == []
    one.close()
    assert "events:test" not in [client["name"] for client in redis_client.client_list()]


def test_a_writer_that_stands_still_keeps_nobody_waiting_and_holds_a_bounded_number(
    writer: MakeWriter, redis_server: EmbeddedRedis, failures: Failures
) -> None:
    begun, go_on, written = threading.Event(), threading.Event(), []

    def stand_still(_: Any, symbol: str) -> None:
        begun.set()
        go_on.wait(30)
        written.append(symbol)

    one = writer(redis_server.url(), stand_still)
    one.put("first")
    assert begun.wait(10)
    for n in range(3 * MAXIMUM_WAITING):
        one.put(f"S{n}")
    assert written == []
    assert failures.count == 2 * MAXIMUM_WAITING
    go_on.set()
    wait_until(lambda: len(written) == 1 + MAXIMUM_WAITING, "the others")
    assert written == ["first", *(f"S{n}" for n in range(MAXIMUM_WAITING))]


def test_what_was_put_while_redis_was_away_is_written_when_it_is_back(
    writer: MakeWriter, own_redis_server: Callable[..., EmbeddedRedis], failures: Failures
) -> None:
    server = own_redis_server()
    one = writer(server.url())
    one.put("before")
    with server.client() as client:
        wait_until(lambda: client.xlen(EVENTS), "the first")
    server.kill()
    one.put("during")
    wait_until(lambda: failures.count, "a failure")
    server.start()
    with server.client() as client:
        # The first may be there again: it was killed perhaps before it could say that it had it.
        wait_until(lambda: symbols(client)[-1:] == ["during"], "the second")


def test_what_cannot_be_written_is_dropped_after_a_while(
    writer: MakeWriter,
    redis_server: EmbeddedRedis,
    redis_client: redis.Redis,
    failures: Failures,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_writer, "GIVE_UP_S", 0.3)
    redis_client.set(EVENTS, "not a stream")
    tried: list[str] = []

    def append(client: Any, symbol: str) -> None:
        tried.append(symbol)
        events.queue_append(client, Keys(), events.conflict_event(symbol, "node-001", "node-002"))

    one = writer(redis_server.url(), append)
    one.put("lost")
    one.put("kept")
    wait_until(lambda: tried[-1:] == ["kept"], "the first to be given up")
    assert tried.count("lost") >= 3
    assert failures.count >= 3
    redis_client.delete(EVENTS)
    wait_until(lambda: redis_client.exists(EVENTS), "the second")
    assert symbols(redis_client) == ["kept"]


def test_an_item_whose_writing_is_a_mistake_is_dropped_at_once_and_the_next_is_written(
    writer: MakeWriter, redis_server: EmbeddedRedis, failures: Failures, caplog: pytest.LogCaptureFixture
) -> None:
    written: list[int] = []
    one = writer(redis_server.url(), lambda _, text: written.append(int(text)))
    one.put("rubbish")
    one.put("1")
    wait_until(lambda: written == [1], "the second")
    assert failures.count == 1
    assert "cannot write an event, it is dropped" in caplog.messages


def test_the_next_try_goes_over_another_connection(writer: MakeWriter, redis_server: EmbeddedRedis) -> None:
    """The address may lead to another server by then, such as after one that answers that it is a replica now."""
    tried: list[int] = []

    def refused(client: Any, _: str) -> None:
        tried.append(client.client_id())
        if len(tried) == 1:
            raise redis.ReadOnlyError("You can't write against a read only replica.")

    writer(redis_server.url(), refused).put("S1")
    wait_until(lambda: len(tried) == 2, "another try")
    assert tried[0] != tried[1]


def test_closing_does_not_wait_for_a_redis_that_is_away(writer: MakeWriter, failures: Failures) -> None:
    one = writer("redis://127.0.0.1:1/0")
    for n in range(10):
        one.put(f"S{n}")
    wait_until(lambda: failures.count, "a failure")
    began = time.monotonic()
    one.close(30)
    assert time.monotonic() - began < 10  # no item is tried for its whole time
    assert threads() == []
