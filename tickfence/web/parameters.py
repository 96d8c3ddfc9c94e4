"""Parameters that several addresses take."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import unquote

from fastapi import Path, Query
from pydantic import AfterValidator

from tickfence.instrument import as_typed
from tickfence.readers.when import TIMES
from tickfence.web.problems import Kind, Refusal

MAX_SYMBOLS = 100
"""Symbols in one ``?symbols=``."""

_Name = AfterValidator(unquote)  # see `EncodedPath` in web/middleware.py
_Typed = AfterValidator(as_typed)

Symbol = Annotated[
    str,
    Path(
        description="Like BTCUSDT (also in lower case) or okx:BTC-USDT; a slash in it is written %2F.",
        examples=["BTCUSDT"],
    ),
    _Name,
    _Typed,
]
PairName = Annotated[str, Path(description="Base and quote, like BTC-USD.", examples=["BTC-USD"]), _Name]
Since = Annotated[str, Query(description=f"The beginning of the range, inclusive: {TIMES}.", examples=["-15m"])]
Until = Annotated[str, Query(description="The end of the range, exclusive; like `since`.", examples=["now"])]
Format = Annotated[
    Literal["json", "csv"] | None,
    Query(alias="format", description="What you get; default: what the `Accept` header prefers.", examples=["csv"]),
]


def several(symbols: str) -> list[str]:
    """Return the symbols in a comma-separated list, each once.

    Raises:
        Refusal: There is none, or more than ``MAX_SYMBOLS``.
    """
    names = list(dict.fromkeys(as_typed(name.strip()) for name in symbols.split(",") if name.strip()))
    if not 0 < len(names) <= MAX_SYMBOLS:
        detail = f"symbols names {len(names)} symbols; give 1 to {MAX_SYMBOLS}, comma-separated"
        raise Refusal(Kind.BAD_PARAMETER, detail)
    return names
