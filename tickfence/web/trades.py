"""The newest trades of a symbol, from its stream of trades."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from msgspec import Meta, Struct
from starlette.responses import Response

from tickfence.readers.data_plane import Unreadable
from tickfence.readers.reader import Reader
from tickfence.streams.codec import BadEntry, decode_trade
from tickfence.web.api import reader_of
from tickfence.web.openapi import answers
from tickfence.web.parameters import Symbol
from tickfence.web.problems import known_parameters_only

MAX_TRADES = 200
_USUAL = 50

router = APIRouter(dependencies=[Depends(known_parameters_only)])


class Trade(Struct, frozen=True, gc=False):
    """One trade."""

    time_ms: Annotated[int, Meta(description="The exchange's time, ms.")]
    id: Annotated[int, Meta(description="The exchange's number.")]
    price: float
    qty: Annotated[float, Meta(description="In base currency.")]
    side: Annotated[Literal["buy", "sell"], Meta(description="Of who took liquidity.")]


class Trades(Struct, frozen=True):
    """The newest trades of one symbol, the newest first."""

    now: int
    symbol: str
    trades: list[Trade]


_EXAMPLE = Trades(1_700_000_000_000, "BTCUSDT", [Trade(1_699_999_999_900, 3_210, 67_123.45, 0.25, "buy")])


@router.get("/trades/{symbol}", responses=answers(_EXAMPLE, 404), tags=["reports"])
async def get_trades(
    request: Request,
    symbol: Symbol,
    limit: Annotated[
        int, Query(ge=1, le=MAX_TRADES, description="Maximum number of trades.", examples=[_USUAL])
    ] = _USUAL,
) -> Response:
    """The newest trades of one symbol, the newest first. Redis keeps about half an hour of them."""
    reader = reader_of(request)
    await reader.require_known(symbol)
    return Response(msgspec.json.encode(await fetch_trades(reader, symbol, limit)), media_type="application/json")


async def fetch_trades(reader: Reader, symbol: str, limit: int) -> Trades:
    """Return the newest ``limit`` trades.

    Raises:
        Unavailable: Redis does not answer, or an entry of the stream is not a trade.
    """
    key = reader.keys.trades(symbol)
    now_ms, [entries] = await reader.plane.read([("XREVRANGE", key, "+", "-", "COUNT", limit)])
    try:
        found = [decode_trade(*entry) for entry in entries]
    except BadEntry as error:
        raise Unreadable(f"{key}: {error}") from error
    listed = [
        Trade(one.time_ms, one.trade_id, one.price, one.quantity, "buy" if one.is_buy else "sell") for one in found
    ]
    return Trades(now_ms, symbol, listed)
