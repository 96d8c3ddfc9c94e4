"""The desired state: pure operations, and the store that operators and leader share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickfence.coordination import desired as d
from tickfence.coordination.desired import Desired, NodeMode, SymbolState
from tickfence.coordination.desired_store import (
    parse_version,
    read_desired,
    replace_desired,
    seed_desired,
    version_command,
    write_back,
)
from tickfence.keys import Keys

A, B, C = "ADAUSDT", "BTCUSDT", "币安人生USDT"
KEYS = Keys()

symbols = st.lists(st.sampled_from([A, B, C]), unique=True)
operations = st.one_of(
    st.tuples(st.sampled_from([d.add, d.remove, d.pause, d.resume]), symbols),
    st.tuples(st.just(d.set_mode), st.tuples(st.sampled_from(["node-001", "node-002"]), st.sampled_from(NodeMode))),
    st.tuples(st.just(d.set_weight), st.tuples(st.just("node-001"), st.one_of(st.none(), st.floats(0.1, 10)))),
)


def apply(desired: Desired, operation, now_ms: int) -> Desired:
    change, given_ = operation
    try:
        return change(desired, *given_, now_ms) if isinstance(given_, tuple) else change(desired, given_, now_ms)
    except KeyError as error:
        assert error.args[0] not in desired.listed
        return desired


@given(st.lists(operations))
def test_what_is_stored_is_what_was_wanted(asked):
    desired = d.seed([A, B])
    for now_ms, operation in enumerate(asked, 1):
        desired = apply(desired, operation, now_ms)
        assert set(desired.active) | desired.paused == set(desired.listed)
        assert not set(desired.active) & desired.paused
        assert not set(desired.removed) & set(desired.listed)
    stored = {k.encode(): v.encode() for k, v in {**d.fields(desired), "version": "7"}.items()}
    assert d.parse_desired(stored) == desired._replace(version=7)


@given(st.lists(operations), operations)
def test_what_changes_nothing_returns_the_same_state(asked, operation):
    desired = d.seed([A, B])
    for now_ms, one in enumerate(asked, 1):
        desired = apply(desired, one, now_ms)
    once = apply(desired, operation, 100)
    twice = apply(once, operation, 200)
    if operation[0] is not d.resume:  # to resume an active symbol is to want it again, wherever it was set aside
        assert twice is once


def test_a_removal_is_remembered_for_some_minutes():
    desired = d.remove(d.seed([A, B]), [A], 1000)
    assert desired.removed == {A: 1000}
    assert desired.without_old_removals(1000 + d.REMEMBERED_MS - 1).removed == {A: 1000}
    assert desired.without_old_removals(1000 + d.REMEMBERED_MS).removed == {}
    assert d.add(desired, [A], 2000).removed == {}


@pytest.mark.parametrize(
    "found",
    [
        {b"version": b"x"},
        {b"changes": b"[]"},
        {b"version": b"1", b"symbol:BTCUSDT": b"active"},
        {b"version": b"1", b"symbol:btc usdt": b'{"state":"active","since":0}'},
        {b"version": b"1", b"symbol:BTCUSDT": b'{"state":"gone","since":0}'},
        {b"version": b"1", b"node:node-001": b'{"mode":"open","weight":-1,"since":0}'},
        {b"version": b"1", b"symbol:BTCUSDT": b'{"state":"active","since":1e999}'},
        {b"version": b"1", b"node:node-001": b'{"mode":"open","weight":1' + b"0" * 400 + b',"since":0}'},
        {b"version": b"1", b"changes": b'[{"version":"x","at":0,"by":"anna","what":"symbols add"}]'},
    ],
)
def test_what_is_no_desired_state_is_refused(found):
    with pytest.raises(ValueError, match="desired state"):
        d.parse_desired(found)


def test_fields_of_a_newer_version_are_left_out():
    assert d.parse_desired({b"version": b"5", b"shards": b"2"}) == Desired(5, {})


def test_of_two_changes_at_once_one_is_made_and_the_other_is_told(redis_client):
    seed_desired(redis_client, KEYS, d.seed([A, B]), "beat-1")
    old = read_desired(redis_client, KEYS)
    assert old.active == (A, B)
    new = replace_desired(redis_client, KEYS, old.version, d.pause(old, [A], 1), "anna", "symbols pause ADAUSDT")
    assert new.version > old.version
    assert new.paused == {A}
    assert replace_desired(redis_client, KEYS, old.version, d.remove(old, [B], 1), "bert", "…") is None
    stored = read_desired(redis_client, KEYS)
    assert stored == new
    assert [(change.by, change.what) for change in stored.changes] == [
        ("beat-1", "symbols seed (2)"),
        ("anna", "symbols pause ADAUSDT"),
    ]
    assert stored.changes[-1].version == stored.version
    assert parse_version(redis_client.execute_command(*version_command(KEYS))) == stored.version


def test_only_the_last_changes_are_kept(redis_client):
    seed_desired(redis_client, KEYS, d.seed([A]), "beat-1")
    for number in range(d.KEPT_CHANGES + 5):
        state = read_desired(redis_client, KEYS)
        wanted = d.set_weight(state, "node-001", number + 1.0, number)
        assert replace_desired(redis_client, KEYS, state.version, wanted, "anna", f"weight {number}")
    changes = read_desired(redis_client, KEYS).changes
    assert len(changes) == d.KEPT_CHANGES
    assert changes[-1].what == f"weight {d.KEPT_CHANGES + 4}"


def test_a_state_is_seeded_only_once(redis_client):
    seed_desired(redis_client, KEYS, d.seed([A]), "beat-1")
    seed_desired(redis_client, KEYS, d.seed([B]), "beat-2")
    assert read_desired(redis_client, KEYS).active == (A,)


def test_a_lost_or_older_state_is_written_back_and_a_newer_one_stays(redis_client):
    seed_desired(redis_client, KEYS, d.seed([A]), "beat-1")
    first = read_desired(redis_client, KEYS)
    second = replace_desired(redis_client, KEYS, first.version, d.add(first, [B], 1), "anna", "symbols add BTCUSDT")
    redis_client.delete(KEYS.desired)
    write_back(redis_client, KEYS, second)
    assert read_desired(redis_client, KEYS) == second
    write_back(redis_client, KEYS, first)
    assert read_desired(redis_client, KEYS) == second
    redis_client.delete(KEYS.desired)
    write_back(redis_client, KEYS, first)
    write_back(redis_client, KEYS, second)
    assert read_desired(redis_client, KEYS) == second


def test_a_change_after_redis_lost_all_has_a_higher_version(redis_client):
    lost = d.seed([A])._replace(version=2**45)  # followed while the server's clock was ahead
    write_back(redis_client, KEYS, lost)
    stored = read_desired(redis_client, KEYS)
    new = replace_desired(redis_client, KEYS, stored.version, d.pause(stored, [A], 1), "anna", "symbols pause ADAUSDT")
    assert new.version > lost.version
    assert new.symbols[A].state == SymbolState.PAUSED
