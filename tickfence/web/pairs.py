"""The same pair on several venues, over HTTP."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from msgspec import Meta, Struct
from msgspec.structs import replace
from starlette.responses import Response

from tickfence.analytics.report import Level
from tickfence.readers.pairs import AcrossVenues, Best, Quote
from tickfence.readers.reader import Reader
from tickfence.web.api import reader_of
from tickfence.web.examples import AT
from tickfence.web.openapi import answers
from tickfence.web.parameters import PairName
from tickfence.web.problems import Kind, known_parameters_only, problem
from tickfence.web.representation import json_answer

router = APIRouter(dependencies=[Depends(known_parameters_only)], tags=["pairs"])

_KEPT_S = 0.25  # reports are written no faster


class PairCache:
    """The pairs that clients ask for, each read at most four times a second: an open page asks every second.

    Args:
        reader: reads them.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._asked: dict[str, asyncio.Task[AcrossVenues]] = {}

    async def get(self, name: str) -> AcrossVenues:
        """Return the best prices of a pair, read at most a quarter of a second ago.

        Raises:
            UnknownPair: no symbol is of that pair.
            Unavailable: Redis does not answer.
        """
        if name not in self._asked:
            self._asked[name] = asyncio.create_task(self._reader.across_venues(name))
            self._asked[name].add_done_callback(lambda done: self._keep(name, done))
        return await asyncio.shield(self._asked[name])  # for others too, when this client goes

    def _keep(self, name: str, done: asyncio.Task[AcrossVenues]) -> None:
        if done.cancelled() or done.exception():
            del self._asked[name]
        else:
            asyncio.get_running_loop().call_later(_KEPT_S, self._asked.pop, name)


class Pairs(Struct, frozen=True):
    """All pairs."""

    pairs: Annotated[dict[str, list[str]], Meta(description="The symbols of each, one a venue or more.")]


EXAMPLE = AcrossVenues(
    AT,
    "BTC-USD",
    "BTC",
    "USD",
    [
        Quote(
            *("coinbase:BTC-USD", "coinbase", "ok", True, None),
            *(Level(67_123.4, 1.25), Level(67_123.5, 0.75), 0.0149, 162),
        ),
        Quote(
            *("kraken:BTC/USD", "kraken", "ok", True, None),
            *(Level(67_122.9, 0.5), Level(67_123.3, 0.2), 0.0596, 205),
        ),
        Quote(
            *("ccxt:bitstamp:BTC/USD", "ccxt", "down", False, "the report has not been rewritten for 47.5 s"),
            *(Level(67_130.0, 0.4), Level(67_131.0, 0.3), 0.149, 47_562),
        ),
    ],
    Best("coinbase:BTC-USD", "coinbase", 67_123.4, 1.25),
    Best("kraken:BTC/USD", "kraken", 67_123.3, 0.2),
    -0.0148979,
)


UNKNOWN = problem(Kind.UNKNOWN_PAIR, "there is no pair 'BTC-EUR'; there are BTC-USD", ["BTC-USD"])


@router.get("/pairs", responses=answers(Pairs({"BTC-USD": ["coinbase:BTC-USD", "kraken:BTC/USD"]})))
async def list_pairs(request: Request) -> Response:
    """All pairs, and the symbols of each. A symbol whose exchange does not tell its base and quote is of none."""
    return await json_answer(request, Pairs(await reader_of(request).pairs()))


@router.get("/pairs/{pair}", responses=answers(EXAMPLE, UNKNOWN))
async def get_pair(request: Request, pair: PairName) -> Response:
    """The best bid and ask of one pair on each venue, with their age, and the best of all.

    Only fresh ones count for the best. `reason` says why another one does not. A `spreadBps` below 0 is shown as it is:
    one venue bids more than another asks. USD is not USDT: two symbols are of one pair when the listings of their exchanges
    name the same base and quote.
    """
    cache: PairCache = request.app.state.pairs
    found = await cache.get(pair)
    ageless = replace(found, now=0, venues=[replace(quote, age_ms=0, reason=None) for quote in found.venues])
    return await json_answer(request, found, same=ageless)
