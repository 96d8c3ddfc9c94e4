"""Files of `symbols apply`: what they mean, and which line is wrong."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickfence.cli.symbols_file import parse_symbols
from tickfence.coordination.desired import SymbolState
from tickfence.instrument import PATTERN, Instrument

ACTIVE, PAUSED = SymbolState.ACTIVE, SymbolState.PAUSED

NAMES = st.text(string.ascii_uppercase + string.digits, min_size=2, max_size=20).map(Instrument)
OF_VENUES = st.from_regex(PATTERN, fullmatch=True).filter(lambda name: ":" in name).map(Instrument)
COMMENTS = st.sampled_from(["", "# paused", " # BTCUSDT paused", "#"])
SPACES = st.text(" \t", min_size=1, max_size=3)


@given(st.dictionaries(NAMES | OF_VENUES, st.sampled_from([ACTIVE, PAUSED])), st.data())
def test_what_was_written_is_read(wanted: dict[Instrument, SymbolState], data: st.DataObject) -> None:
    lines = []
    for symbol, state in wanted.items():
        name = data.draw(st.sampled_from([symbol, symbol if ":" in symbol else symbol.lower()]))
        words = data.draw(SPACES).join([name, *([state] if state == PAUSED else [])])
        lines.append(f"{data.draw(st.sampled_from(['', ' ']))}{words} {data.draw(COMMENTS)}\n")
        lines += data.draw(st.lists(st.sampled_from(["\n", "# nothing\n", "  \n"]), max_size=2))
    read = parse_symbols(lines)
    assert read == wanted
    assert list(read) == list(wanted)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["BTCUSDT", "ETHUSDT,SOLUSDT"], "line 2: symbol 'ETHUSDT,SOLUSDT' must be 2 to 20 capital letters"),
        (["# x", "BTCUSDT pause"], "line 2: 'BTCUSDT pause' must be a symbol, or a symbol and the word paused"),
        (["okx:BTC-USDT", "OKX:BTC-USDT"], "line 2: symbol 'OKX:BTC-USDT': the part before the colon must be a venue"),
        (["BTCUSDT paused now"], "line 1: 'BTCUSDT paused now' must be"),
        (["BTCUSDT", "ETHUSDT", "btcusdt paused"], "line 3: BTCUSDT is in line 1 already"),
    ],
)
def test_a_wrong_line_is_named(lines: list[str], why: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse_symbols(lines)
    assert str(raised.value).startswith(why)


def test_an_editors_byte_order_mark_is_no_part_of_the_first_symbol() -> None:
    assert parse_symbols(["\ufeffBTCUSDT"]) == {"BTCUSDT": ACTIVE}
