"""What a recorder knows of one source, and when it takes one that it did not have. Pure."""

from __future__ import annotations

import json

import pytest

from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.recorder.frames import Held, Mine, Read
from tickfence.recorder.patience import LONGEST_WAIT_S, SETTLE_S, Patience
from tickfence.recorder.recording import Recording
from tickfence.recorder.share import share
from tickfence.recorder.sources import symbol_source

SOURCE = symbol_source(Keys(), Instrument("AAUSDT"))


def starts(*tokens: int) -> bytes:
    return json.dumps([{"token": str(token), "owner": "x", "at": {}} for token in tokens]).encode()


@pytest.fixture
def held() -> Recording:
    recording = Recording(SOURCE, "one", 1000)
    recording.acquire()[1]([b"taken", b"7", starts(7), b"trades", b"5-1"])
    assert recording.held
    assert recording.own
    return recording


def test_it_knows_that_another_has_taken_it(held: Recording) -> None:
    held.note()[1]([0, starts(7, 8)])
    assert (held.held, held.own, held.forgotten) == (False, False, False)


@pytest.mark.parametrize("left", [b"[]", starts(5)])
def test_it_knows_that_redis_has_forgotten_it(held: Recording, left: bytes) -> None:
    held.note()[1]([0, left])
    assert (held.held, held.own, held.forgotten) == (False, True, True)


def test_what_it_gave_back_or_was_refused_is_its_own_no_more(held: Recording) -> None:
    held.release()
    assert (held.held, held.own) == (False, False)
    held.acquire()[1]([b"held", b"two"])
    assert (held.own, held.holder) == (False, "two")


def test_one_that_starts_again_knows_what_it_had() -> None:
    recording = Recording(SOURCE, "one", 1000)
    recording.replay(Held("AAUSDT", 7, {"trades": "5-1"}))
    recording.replay(Read("AAUSDT", 6, "trades", [(b"5-9", [])]))
    recording.replay(Mine("AAUSDT", 6))
    recording.replay(Read("AAUSDT", 7, "trades", [(b"5-2", [])]))
    recording.replay(Read("AAUSDT", 7, "diffs", [(b"5-3", [])]))
    assert recording.own
    assert recording.waiting
    command, _ = recording.acquire()
    assert command[4:] == ("one", 1000, 7, 1, 1, "trades", "5-1", "diffs", "5-2", *command[-4:])
    assert {*zip(command[-4::2], command[-3::2], strict=True)} == {("trades", "5-2"), ("diffs", "5-3")}
    recording.replay(Mine("AAUSDT", 7, {}))
    assert not recording.own


@pytest.mark.parametrize(("found", "own"), [(starts(7), True), (starts(7, 8), False), (b"[]", True), (starts(5), True)])
def test_one_that_starts_again_asks_who_had_it_since(found: bytes, own: bool) -> None:
    recording = Recording(SOURCE, "one", 1000)
    recording.replay(Held("AAUSDT", 7, {"trades": "5-1"}))
    assert recording.unclear
    recording.ask_starts()[1](found)
    assert (recording.unclear, recording.own) == (False, own)


def nothing_is_own(_: str) -> bool:
    return False


def test_a_share_is_taken_when_others_are_not_back_by_then() -> None:
    patience = Patience(ttl_s=1.0)
    assert patience.wanted({"a"}, nothing_is_own, 10.0) == set()
    assert patience.wanted({"a", "b"}, nothing_is_own, 11.0) == {"a"}
    assert patience.wanted({"b"}, nothing_is_own, 12.0) == {"b"}
    assert patience.wanted({"a", "b"}, nothing_is_own, 12.5) == {"b"}


def test_after_redis_was_away_each_takes_back_what_it_had_first() -> None:
    patience = Patience(ttl_s=1.0)
    patience.disturbed(10.0)
    assert patience.wanted({"a", "b"}, lambda name: name == "a", 10.0) == {"a"}
    assert patience.wanted({"a", "b"}, nothing_is_own, 10.0 + SETTLE_S - 0.1) == set()
    assert patience.wanted({"a", "b"}, nothing_is_own, 10.0 + SETTLE_S) == {"a", "b"}


def test_it_does_not_wait_for_ever_for_redis_to_be_steady() -> None:
    patience = Patience(ttl_s=1.0)
    for second in range(int(LONGEST_WAIT_S)):
        patience.disturbed(float(second))
        assert patience.wanted({"a"}, nothing_is_own, float(second)) == set()
    assert patience.wanted({"a"}, nothing_is_own, LONGEST_WAIT_S) == {"a"}


def test_recorders_share_the_sources_and_only_those_of_one_that_ends_move() -> None:
    names = [f"S{number}USDT" for number in range(200)]
    before = {name: share(names, ["r1", "r2", "r3"], name) for name in ("r1", "r2", "r3")}
    assert sorted(name for part in before.values() for name in part) == sorted(names)
    assert all(40 < len(part) < 95 for part in before.values())
    after = {name: share(names, {"r1", "r3"}, name) for name in ("r1", "r3")}
    assert all(before[name] <= after[name] for name in after)
    assert share([], ["r1"], "r1") == frozenset()
