"""Which order book is loaded next, and how often one that fails is tried."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ingest.events import Depth
from ingest.rest import DepthQueue, Priority, RestError
from tests.ingest.writing import run, until
from tickfence.instrument import Instrument

DEPTH = Depth(1, [], [])


class Exchange:
    """An exchange with room for some requests, which answers when it is told to.

    Attributes:
        room: how many requests it takes yet.
        asked: the symbols asked for, in order, each with its priority.
        answers: replies to come; an exception fails the request. Without any, every request is answered at once.
    """

    def __init__(self, room: int = 1_000) -> None:
        self.room = room
        self.asked: list[tuple[str, Priority]] = []
        self.answers: list[Depth | RestError] = []
        self.open = asyncio.Event()
        self.open.set()

    def depth_wait_s(self, symbol: Instrument, priority: Priority) -> float:  # noqa: ARG002
        return 0.0 if self.room > (1 if priority is Priority.AUDIT else 0) else 0.01

    async def depth(self, symbol: Instrument, priority: Priority) -> Depth:
        self.room -= 1
        self.asked.append((symbol, priority))
        await self.open.wait()
        answer = self.answers.pop(0) if self.answers else DEPTH
        if isinstance(answer, RestError):
            raise answer
        return answer


def working(
    test: Callable[[Exchange, DepthQueue, list[tuple[str, Depth | None]]], object], deliver: Callable[[], bool]
) -> None:
    """Run a test beside a queue at work; what it delivers is in the test's list."""

    async def go() -> None:
        exchange = Exchange()
        queue = DepthQueue(exchange)
        delivered: list[tuple[str, Depth | None]] = []

        def take(symbol: str, depth: Depth | None) -> bool:
            delivered.append((symbol, depth))
            return deliver()

        task = asyncio.create_task(queue.run(take))
        try:
            await test(exchange, queue, delivered)  # type: ignore[misc]
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(go)


def test_a_more_urgent_book_passes_those_that_wait_for_weight() -> None:
    async def test(exchange: Exchange, queue: DepthQueue, delivered: list[tuple[str, Depth | None]]) -> None:
        exchange.room = 0
        for number in range(6):
            queue.want(f"A{number}", Priority.AUDIT)
        queue.want("R", Priority.REFRESH)
        await asyncio.sleep(0)
        queue.want("G", Priority.GAP)
        exchange.room = 2
        await until(lambda: len(delivered) == 2, "two books")
        assert exchange.asked == [("G", Priority.GAP), ("R", Priority.REFRESH)]
        exchange.room = 7
        await until(lambda: len(delivered) == 8, "the audits")
        assert [symbol for symbol, _ in exchange.asked[2:]] == [f"A{number}" for number in range(6)]

    working(test, lambda: True)


def test_a_book_that_becomes_more_urgent_moves_forward_and_is_asked_for_once() -> None:
    async def test(exchange: Exchange, queue: DepthQueue, delivered: list[tuple[str, Depth | None]]) -> None:
        exchange.room = 0
        queue.want("X", Priority.START)
        queue.want("S", Priority.AUDIT)
        queue.want("S", Priority.GAP)
        queue.want("S", Priority.REFRESH)
        exchange.room = 9
        await until(lambda: len(delivered) == 2, "both books")
        assert exchange.asked == [("S", Priority.GAP), ("X", Priority.START)]

    working(test, lambda: True)


def test_a_book_on_its_way_is_not_asked_for_again() -> None:
    async def test(exchange: Exchange, queue: DepthQueue, delivered: list[tuple[str, Depth | None]]) -> None:
        exchange.open.clear()
        queue.want("S", Priority.AUDIT)
        await until(lambda: exchange.asked, "the request")
        queue.want("S", Priority.GAP)
        exchange.open.set()
        await until(lambda: delivered, "the book")
        queue.want("T", Priority.START)
        await until(lambda: len(delivered) == 2, "another book")
        assert [symbol for symbol, _ in exchange.asked] == ["S", "T"]

    working(test, lambda: True)


@pytest.mark.parametrize("needed", [True, False])
def test_a_failed_request_is_told_and_tried_again_where_the_book_is_needed(needed: bool) -> None:
    async def test(exchange: Exchange, queue: DepthQueue, delivered: list[tuple[str, Depth | None]]) -> None:
        exchange.answers = [RestError("no")]
        queue.want("S", Priority.REFRESH)
        await until(lambda: len(delivered) == 1 + needed, "what is delivered")
        await asyncio.sleep(2 * DepthQueue.FIRST_RETRY_S)
        assert delivered == [("S", None), ("S", DEPTH)][: 1 + needed]

    answers = iter((not needed, True, True))
    working(test, lambda: next(answers))
