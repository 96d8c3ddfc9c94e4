"""What a report was made from: as bytes and back, and what its digests count."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickfence.analytics.basis import Basis, Before, Inputs, Kind, Start, decode, encode, members, report_digest
from tickfence.analytics.symbol_state import Ticker24h

whole = st.integers(0, 2**53)
maybe = st.none() | st.floats(allow_nan=False)
ids = st.none() | st.text(max_size=30)
BEFORE = st.builds(Before, whole, whole, st.booleans(), whole, st.text(), whole)
STARTS = st.builds(
    Start,
    *(st.text(), st.booleans(), BEFORE, whole, whole, ids, ids),
    *(st.none() | st.binary(), st.none() | st.binary(), st.none() | whole),
)
INPUTS = st.builds(
    Inputs,
    *(st.text(), st.text(), whole, whole, whole, whole, ids, ids),
    st.none() | st.builds(Ticker24h, maybe, maybe, maybe, maybe, maybe, whole),
    *(maybe, ids, st.none() | whole, maybe, maybe, st.none() | whole, st.none() | whole),
)
BASES = st.builds(
    Basis,
    version=st.just(1),
    kind=st.sampled_from(Kind),
    number=whole,
    at_ms=whole,
    owner=st.text(),
    token=whole,
    inputs=INPUTS,
    digest=st.binary(),
    members=st.dictionaries(st.text(), st.integers(0, 2**32 - 1)),
    start=st.none() | STARTS,
    carry=st.none() | st.binary(),
)


@given(basis=BASES)
def test_a_basis_comes_out_as_it_went_in(basis: Basis) -> None:
    assert decode(encode(basis)) == basis


def report(node: str, token: int, price: float) -> bytes:
    return msgspec.json.encode(
        {
            "schemaVersion": "2.0",
            "writer": {"nodeId": node, "writerToken": token},
            "updatedAt": 1,
            "last_price": price,
            "depth": {"bids": [{"price": 1.0, "qty": 2.0}], "asks": []},
        }
    )


def test_who_wrote_a_report_does_not_count() -> None:
    assert report_digest(report("node-001", 1, 2.5)) == report_digest(report("node-002", 17, 2.5))
    assert members(report("node-001", 1, 2.5)) == members(report("node-002", 17, 2.5))
    assert report_digest(report("node-001", 1, 2.5)) != report_digest(report("node-001", 1, 2.6))


def test_the_member_that_differs_is_the_one_whose_number_differs() -> None:
    one, other = members(report("a", 1, 2.5)), members(report("a", 1, 2.6))
    assert list(one) == ["schemaVersion", "updatedAt", "last_price", "depth"]
    assert [name for name in one if one[name] != other[name]] == ["last_price"]


@pytest.mark.parametrize(
    "data", [b"", b"x", b"\x90", msgspec.msgpack.encode([2]), msgspec.msgpack.encode([1, "report"])]
)
def test_what_is_no_basis_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a basis"):
        decode(data)
