"""Names of instruments: what is accepted, and what every place that uses a name relies on."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickfence.instrument import PATTERN, as_typed, is_instrument, parse_instrument, split


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


@pytest.mark.parametrize(
    "name",
    ["okx:BTC-USDT", "kraken:BTC/USD", "ccxt:bitstamp:BTC/USD", "ccxt:gate:BTC/USDT:USDT", "x1:币安人生_USDT", "x:a"],
)
def test_names_of_other_venues(name: str) -> None:
    assert parse_instrument(name) == name == as_typed(name)
    venue, symbol = split(name)
    assert f"{venue}:{symbol}" == name
    assert ":" not in venue


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("BTC-USDT", "venue:symbol as the exchange writes it, like okx:BTC-USDT"),
        ("binance:BTCUSDT", "must be written without its venue, the default one: BTCUSDT"),
        ("binance:BTC-USDT", "2 to 20 capital letters"),
        *(
            (name, "1 to 20 small letters or digits")
            for name in ("OKX:BTC-USDT", ":BTC", "1x:BTC", "o-x:BTC", "a" * 21 + ":B")
        ),
        *(
            (f"okx:{symbol}", "1 to 40 letters, digits or signs")
            for symbol in ("", "A" * 41, "A B", "A,B", "{A}", "A\\B")
        ),
        *(
            (f"okx:{symbol}", "1 to 40 letters, digits or signs")
            for symbol in ("A'B", 'A"B', "A`B", "A\x7f", "A\n", "é", "A\u00a0")
        ),
    ],
)
def test_a_refusal_names_what_was_given_and_what_is_accepted(name: str, accepted: str) -> None:
    with pytest.raises(ValueError, match="symbol ") as refused:
        parse_instrument(name)
    assert repr(name) in str(refused.value)
    assert accepted in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not is_instrument(name)


@given(st.from_regex(PATTERN, fullmatch=True))
def test_every_name_is_one_printable_word(name: str) -> None:
    assert name.isprintable()
    assert not set(name) & set(" ,{}\\\"'`")
    assert len(name) <= 61


@given(st.from_regex(PATTERN, fullmatch=True).filter(lambda name: ":" not in name))
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
