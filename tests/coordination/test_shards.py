"""Shards of dispatch: how beats share them, and the terms that fence them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickfence.coordination.shards import ShardLead, Shards, parse_shards, shard_of, share_shards

BEATS = ["beat-1/a", "beat-2/b", "beat-3/c", "beat-4/d"]
some_beats = st.sets(st.sampled_from(BEATS), min_size=1)


@given(count=st.integers(1, 9), first=some_beats, later=some_beats)
def test_shards_are_shared_evenly_and_as_few_as_possible_move(count: int, first: set[str], later: set[str]) -> None:
    present = share_shards(count, first, [], settled=True)
    now = share_shards(count, later, present, settled=True)
    assert set(now) <= later
    shares = [now.count(beat) for beat in later]
    most = -(-count // len(later))
    assert max(shares) <= most
    must_move = sum(beat not in later for beat in present)
    too_many = sum(max(0, present.count(beat) - most) for beat in later)
    assert sum(old != new for old, new in zip(present, now, strict=True)) == must_move + too_many


@given(count=st.integers(1, 9), first=some_beats, later=some_beats)
def test_before_it_is_settled_only_shards_without_a_beat_move(count: int, first: set[str], later: set[str]) -> None:
    present = share_shards(count, first, [], settled=True)
    now = share_shards(count, later, present, settled=False)
    assert set(now) <= later
    assert all(new == old for old, new in zip(present, now, strict=True) if old in later)


def test_another_number_of_shards_begins_from_nothing() -> None:
    assert Counter(share_shards(4, BEATS, ["beat-1/a"], settled=False)) == dict.fromkeys(BEATS, 1)


@given(st.lists(st.tuples(st.booleans(), st.lists(st.sampled_from(BEATS), min_size=1, max_size=4)), min_size=1))
def test_the_term_of_a_shard_rises_with_each_new_lead_of_it_and_never_falls(
    changes: list[tuple[bool, list[str]]],
) -> None:
    term, shards, newest = 1, Shards(), dict.fromkeys(range(4), 0)
    for another_leader, beats in changes:
        before = shards
        term += another_leader
        term = max([term, *(lead.term for lead in shards.leads)]) if another_leader else term
        shards = shards.next(term, beats)
        assert [lead.beat for lead in shards.leads] == beats
        assert shards.term == term
        for number, lead in enumerate(shards.leads):
            stays = before.term == term and len(before.leads) == len(beats) and before.leads[number].beat == lead.beat
            assert lead.term == before.leads[number].term if stays else lead.term > newest[number]
            newest[number] = lead.term
        assert shards.next(term, beats) is shards


def test_shards_read_back_as_noted() -> None:
    shards = Shards(7, (ShardLead("beat-1/a", 7), ShardLead("beat-2/b", 9)))
    assert parse_shards(shards.to_json()) == shards
    assert shards.of("beat-2/b") == {1: 9}
    assert shards.of("beat-3/c") == {}


@pytest.mark.parametrize("text", ["", "null", "7", "[7]", '[7,[["a"]]]', '["x",[]]', "[7,[[1]]", b"\xff"])
def test_what_is_not_readable_holds_no_shard(text: str | bytes) -> None:
    assert parse_shards(text) == Shards()


def test_a_symbol_has_one_shard_and_shards_are_of_about_one_size() -> None:
    symbols = [f"S{number}USDT" for number in range(3000)]
    assert {shard_of(symbol, 1) for symbol in symbols} == {0}
    sizes = Counter(shard_of(symbol, 3) for symbol in symbols)
    assert sizes.keys() == {0, 1, 2}
    assert all(900 < size < 1100 for size in sizes.values())
