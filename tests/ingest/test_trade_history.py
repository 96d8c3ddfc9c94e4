"""Missing trades over real HTTP requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp
from aiohttp import web

from ingest.events import Trade
from ingest.rest import TRADES_SHARE, RestClient
from ingest.silence import Silence
from ingest.trade_history import TradeHistory
from ingest.venues.binance import TRADES_WEIGHT, Binance
from tests.ingest.writing import until

SYMBOL = "BTCUSDT"
PAGE_TRADES = Binance.limits.trades_per_request
TOLD = 10_000
"""The newest trade that the exchange tells."""


def told(query: dict[str, str]) -> list[dict[str, Any]]:
    """What the exchange answers."""
    assert query["symbol"] == SYMBOL
    first_id = int(query["fromId"])
    return [
        {
            "id": number,
            "price": "10.5",
            "qty": "0.1",
            "quoteQty": "1.05",
            "time": 1_700_000_000_000 + number,
            "isBuyerMaker": number % 2 == 0,
            "isBestMatch": True,
        }
        for number in range(first_id, min(first_id + int(query["limit"]), TOLD + 1))
    ]


async def ask(
    *questions: tuple[int, int],
    answer: Callable[[dict[str, str], int], Awaitable[web.Response]] | None = None,
    weight: int = 6_000,
) -> tuple[list[Sequence[Trade]], list[int]]:
    """The pages that answer questions of a first id and a number of trades, and the first id of each request.

    ``answer`` gets each request's query, and how many pages were given before.
    """
    requests: list[int] = []
    delivered: list[Sequence[Trade]] = []

    async def serve(request: web.Request) -> web.Response:
        query = dict(request.query)
        requests.append(int(query["fromId"]))
        return web.json_response(told(query)) if answer is None else await answer(query, len(delivered))

    application = web.Application()
    application.router.add_get("/api/v3/historicalTrades", serve)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    exchange = Binance([SYMBOL])
    exchange.limits = exchange.limits._replace(request_weight=(weight, 60.0))
    async with aiohttp.ClientSession() as session:
        [address] = runner.addresses
        client = RestClient(session, f"http://127.0.0.1:{address[1]}", exchange, Silence())
        history = TradeHistory(client, PAGE_TRADES, patience_s=0.5)
        task = asyncio.create_task(history.run(lambda _, trades: delivered.append(trades)))
        for first_id, count in questions:
            history.want(SYMBOL, first_id, count)
        await until(lambda: delivered.count(()) == len(questions), "the ends of the answers")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await runner.cleanup()
    return [page for page in delivered if page], requests


def test_trades_are_loaded_by_pages_and_given_in_order() -> None:
    pages, requests = asyncio.run(ask((101, 2 * PAGE_TRADES + 5)))
    ids = [[trade.trade_id for trade in page] for page in pages]
    starts = (106 + PAGE_TRADES, 106 + 2 * PAGE_TRADES)
    assert ids == [list(range(starts[0], starts[1])), list(range(106, starts[0])), list(range(101, 106))]
    assert pages[-1][0] == Trade(SYMBOL, 1_700_000_000_101, 101, "10.5", "0.1", True)
    assert requests == [101 + PAGE_TRADES + 5, 101 + 5, 101], "the newest first"


def test_of_what_the_exchange_does_not_tell_yet_no_older_page_is_loaded() -> None:
    [trades], requests = asyncio.run(ask((TOLD - PAGE_TRADES, 2 * PAGE_TRADES)))
    assert [trade.trade_id for trade in trades] == [TOLD]
    assert len(requests) == 1


def test_a_refusal_is_an_answer_too() -> None:
    async def refuse(*_: object) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "60"})

    async def rubbish(*_: object) -> web.Response:
        return web.json_response([{"id": 1, "price": "0", "qty": "1", "time": 1, "isBuyerMaker": True}])

    for answer in (refuse, rubbish):
        assert asyncio.run(ask((1, 1), answer=answer))[0] == []


def test_a_page_is_given_before_the_next_is_there() -> None:
    before: list[int] = []

    async def once(query: dict[str, str], given: int) -> web.Response:
        if query["fromId"] == "1":
            before.append(given)
            await asyncio.sleep(2)
        return web.json_response(told(query))

    [trades], _ = asyncio.run(ask((1, PAGE_TRADES + 1), answer=once))
    assert [trade.trade_id for trade in trades] == list(range(2, PAGE_TRADES + 2))
    assert before == [1]


def test_a_share_of_the_weight_is_left_for_the_books() -> None:
    questions = [(number, 1) for number in range(1, 9)]
    pages, requests = asyncio.run(ask(*questions, weight=8 * TRADES_WEIGHT))
    assert len(pages) == len(requests) == int(8 * TRADES_SHARE)
