"""The same pair on several venues, over HTTP."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request
from msgspec import Meta, Struct
from starlette.responses import Response

from tickfence.analytics.report import Level
from tickfence.readers.pairs import AcrossVenues, Best, Quote
from tickfence.web.api import reader_of
from tickfence.web.examples import AT
from tickfence.web.openapi import answers
from tickfence.web.parameters import PairName
from tickfence.web.problems import known_parameters_only

router = APIRouter(dependencies=[Depends(known_parameters_only)], tags=["pairs"])


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
    ],
    Best("coinbase:BTC-USD", "coinbase", 67_123.4, 1.25),
    Best("kraken:BTC/USD", "kraken", 67_123.3, 0.2),
    -0.0148979,
)


@router.get("/pairs", responses=answers(Pairs({"BTC-USD": ["coinbase:BTC-USD", "kraken:BTC/USD"]})))
async def get_pairs(request: Request) -> Response:
    """All pairs, and the symbols of each. A symbol whose exchange does not tell its base and quote is of none."""
    return _json(Pairs(await reader_of(request).pairs()))


@router.get("/pairs/{pair}", responses=answers(EXAMPLE, 404))
async def get_pair(request: Request, pair: PairName) -> Response:
    """The best bid and ask of one pair on each venue, with their age, and the best of all.

    Only fresh ones count for the best: `reason` says why another one does not. USD is not USDT: two symbols are of the
    same pair when their exchanges' listings name the same base and quote.
    """
    return _json(await reader_of(request).across_venues(pair))


def _json(data: Struct) -> Response:
    return Response(msgspec.json.encode(data), media_type="application/json")
