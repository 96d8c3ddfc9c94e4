"""OKX's REST requests: the rules of an instrument, and its trades of the past.

Source: https://www.okx.com/docs-v5/en/, "Get instruments" and "Get trades history". Both allow 20 requests in 2 s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from ingest.checks import checked_trade, size
from ingest.events import HALTED, TRADING, ExchangeInfo, Rejected, SymbolRules, Trade
from ingest.venue import Request
from ingest.venues.okx.messages import decoded
from tickfence.instrument import Instrument
from tickfence.monitoring.ingest_metrics import Refusal

MAX_TRADES = 100

_NO_SUCH_INSTRUMENT = "51001"
_WRONG_PARAMETER = ("51000", "50014", "51015")

_FUTURES = re.compile(r"\d{6}", re.ASCII)


class _Answer(msgspec.Struct):
    code: str
    msg: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")


class _Instrument(msgspec.Struct):
    instId: str
    state: str
    tickSz: str = ""
    lotSz: str = ""
    baseCcy: str = ""
    quoteCcy: str = ""


class _Trade(msgspec.Struct):
    tradeId: int
    px: str
    sz: str
    side: Literal["buy", "sell"]
    ts: int


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_instruments = msgspec.json.Decoder(list[_Instrument]).decode
_decode_trades = msgspec.json.Decoder(list[_Trade], strict=False).decode


def instrument_type(name: str) -> str:
    """The type of an instrument, as its name shows it.

    Example:
        >>> [instrument_type(name) for name in ("BTC-USDT", "BTC-USD-SWAP", "BTC-USD-260327", "BTC-USD-260327-90000-C")]
        ['SPOT', 'SWAP', 'FUTURES', 'OPTION']
    """
    parts = name.split("-")
    if len(parts) == 3:
        return "FUTURES" if _FUTURES.fullmatch(parts[2]) else parts[2]
    return "OPTION" if len(parts) == 5 else "SPOT"


def info_request(name: str) -> Request:
    """GET /api/v5/public/instruments, for one instrument."""
    query = {"instType": instrument_type(name), "instId": name}
    if query["instType"] == "OPTION":
        query["instFamily"] = "-".join(name.split("-")[:2])
    return Request("/api/v5/public/instruments", query)


def decode_info(body: bytes, symbols: Mapping[str, Instrument]) -> ExchangeInfo:
    """Decode the answer of /api/v5/public/instruments.

    Orders are matched in the state `live` alone. For contracts the exchange names no currencies.

    Args:
        body: the answer.
        symbols: the exchange's name -> the instrument.

    Raises:
        Rejected: it is not JSON, not of the documented shape, or an error.
    """
    answer = decoded(_decode_answer, body, body, None)
    found = decoded(_decode_instruments, _data(answer), body, None)
    return ExchangeInfo(
        {
            symbols[one.instId]: SymbolRules(
                size(one.tickSz),
                size(one.lotSz),
                TRADING if one.state == "live" else HALTED,
                one.baseCcy,
                one.quoteCcy,
            )
            for one in found
            if one.instId in symbols
        }
    )


def trades_request(name: str, first_id: int, count: int) -> Request:
    """GET /api/v5/market/history-trades: single trades, also those that the channel has put together."""
    query = {"instId": name, "type": "1", "after": str(first_id + count), "limit": str(count)}
    return Request("/api/v5/market/history-trades", query)


def decode_trades(symbol: Instrument, body: bytes) -> list[Trade]:
    """Decode the answer of /api/v5/market/history-trades.

    Raises:
        Rejected: it is not JSON, not of the documented shape, an error, or holds a value that cannot be true.
    """
    answer = decoded(_decode_answer, body, body, None)
    found = decoded(_decode_trades, _data(answer), body, None)
    found.sort(key=lambda trade: trade.tradeId)
    return [checked_trade(symbol, one.ts, one.tradeId, one.px, one.sz, one.side == "buy") for one in found]


def refuses_symbol(status: int, body: bytes) -> bool:
    """Whether the exchange itself does not know the instrument, or takes its name for no name."""
    try:
        code = decoded(_decode_answer, body, body, None).code
    except Rejected:
        return False
    return status in (200, 400) and code in (_NO_SUCH_INSTRUMENT, *_WRONG_PARAMETER)


def _data(answer: _Answer) -> bytes:
    if answer.code != "0":
        raise Rejected(Refusal.UNKNOWN_EVENT, f"answer {answer.code} {answer.msg[:80]}")
    return bytes(answer.data)
