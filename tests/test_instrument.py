"""Names of instruments: what is accepted, and what every place that uses a name relies on."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickfence.instrument import PATTERN, is_instrument


@pytest.mark.parametrize(
    "name",
    [
        "BTCUSDT",
        "1INCHUSDT",
        "1000SATSUSDT",
        "币安人生USDT",
        "我踏马来了USDT",
        "비트코인KRW",
        "ビットコインJPY",
        "ЁЖUSDT",
        "ÅÐUSDT",
    ],
)
def test_names_that_exchanges_list(name: str) -> None:
    assert is_instrument(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "A", "A" * 21, "币" * 21, "btcusdt", "币安usdt", "éUSDT", "жUSDT"),
        *(
            "BTC/USDT",
            "BTC-USDT",
            "BTC,ETH",
            "{BTC}",
            "BTC USDT",
            "BTCUSDT\n",
            "币\u3000安",
            "币\u00a0安",
            "币\u200b安",
        ),
        *(
            "币安\uff0c人生",
            "币{安}",
            "币\u0085安",
            "币\ue000安",
            "币\u2028安",
            "币\ufeff安",
            "安\u202e币",
            "A\u00d7B",
            "٣٣",
        ),
    ],
)
def test_what_is_no_name(name: str) -> None:
    assert not is_instrument(name)


@given(st.from_regex(PATTERN, fullmatch=True))
def test_every_letter_can_be_shown_and_survives_a_change_of_case(name: str) -> None:
    assert name.isprintable()
    assert name.isalnum()
    assert name.upper() == name == name.lower().upper()
    assert unicodedata.normalize("NFC", name) == name
    assert len(name.lower()) == len(name)


def test_every_character_of_the_pattern() -> None:
    for code in range(0x80, 0x10000):
        letter = chr(code)
        if is_instrument(letter * 2):
            assert letter.isalpha(), hex(code)
            assert letter.isprintable(), hex(code)
            assert letter.upper() == letter == letter.lower().upper(), hex(code)
            assert unicodedata.normalize("NFC", letter) == letter, hex(code)
