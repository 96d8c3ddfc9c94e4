"""Slices that wait: nothing twice, nothing forgotten, and the same rate for all if not all can be served."""

from __future__ import annotations

import pickle
import random
from collections import Counter, deque

import pytest
from celery import Celery
from celery.beat import ScheduleEntry
from hypothesis import given
from hypothesis import strategies as st

from beat_schedule.pending import PendingSlices
from beat_schedule.schedule import fixed_rate
from beat_schedule.scheduler import TURN_MS
from beat_schedule.slices import SlicedCycle, phase_of
from tickfence.coordination.owner import Owner
from tickfence.coordination.shards import shard_of

A, B = Owner("node-001", "a"), Owner("node-002", "b")
SYMBOLS = [f"S{number}USDT" for number in range(400)]
APP = Celery()


def cycle(
    symbols: list[str],
    phases: int,
    limit: int = 32,
    *,
    urgent: bool = True,
    name: str = "",
    shard: int = 0,
    shards: int = 1,
) -> SlicedCycle:
    name = name or ("fast" if urgent else "slow")
    entry = ScheduleEntry(name=name, task="one", schedule=fixed_rate(250), app=APP)
    one = SlicedCycle(entry, phases, limit, urgent, shard, shards)
    one.begin(entry, symbols, 0.0)
    return one


def taken(pending: PendingSlices, owners: dict[str, Owner], **lengths: int) -> list[str]:
    """Symbols of what is sent, where the queues are of these lengths (of A and B; else empty)."""
    found = pending.take(owners, {A: lengths.get("a", 0), B: lengths.get("b", 0)})
    return [symbol for _, message in found for symbol in message.symbols]


def at(phase: int, of: int, symbols: list[str]) -> list[str]:
    return sorted(symbol for symbol in symbols if phase_of(symbol, of) == phase)


def test_with_room_each_slice_goes_whole_as_it_falls_due() -> None:
    owners = {symbol: (A, B)[number % 3 == 0] for number, symbol in enumerate(SYMBOLS)}
    pending, fast = PendingSlices(), cycle(SYMBOLS, 4)
    for _ in range(2):
        sent: dict[str, Owner] = {}
        for phase in range(4):
            assert pending.add(fast, phase, owners) == 0
            found = pending.take(owners, {A: 0, B: 0})
            assert not sent.keys() & {symbol for _, message in found for symbol in message.symbols}
            sent |= {symbol: message.owner for _, message in found for symbol in message.symbols}
            assert pending.nodes() == []
        assert sent == owners


@given(st.floats(0.1, 8), st.integers(0, 3))
def test_a_node_that_cannot_keep_up_serves_all_its_symbols_evenly(service: float, power: int) -> None:
    """A node that takes ``service`` steps for a message."""
    owners, phases = dict.fromkeys(SYMBOLS, A), 2**power
    pending, fast = PendingSlices(), cycle(SYMBOLS, phases, limit=phases)
    sent: Counter[tuple[str, ...]] = Counter()
    done_at: list[float] = []
    lost = 0
    for step in range(400):
        lost += pending.add(fast, step % phases, owners)
        waiting = [moment for moment in done_at if moment > step + service]
        for _, message in pending.take(owners, {A: len(waiting)}):
            sent[message.symbols] += 1
            done_at.append(max([step, *done_at[-1:]]) + service)
        assert len([moment for moment in done_at if moment > step + service]) <= 3
    counts = sorted(sent.values())
    assert len(counts) == phases
    assert counts[-1] - counts[0] <= 2
    if service < 1:
        assert lost == 0
    still = sum(pending.add(fast, phase, owners) for phase in range(phases))
    assert sum(counts) + lost + still == 400


@given(st.floats(0.1, 5), st.floats(0.1, 40))
def test_under_overload_what_is_not_urgent_is_thinned_out_first_but_never_stops(fast_ms: float, slow_ms: float) -> None:
    """A node of one message a slice; steps of 31.25 ms, a slow slice every fourth one, finer than what beat does."""
    owners = dict.fromkeys(SYMBOLS, A)
    pending = PendingSlices()
    fast, slow = cycle(SYMBOLS, 8, limit=8), cycle(SYMBOLS, 32, urgent=False)
    done_at: list[float] = []
    starts: list[float] = []
    sent: Counter[str] = Counter()
    for step in range(960):
        now = step * 31.25
        pending.add(fast, step % 8, owners)
        if step % 2 == 0:
            pending.add(slow, step // 2 % 32, owners)
        starts = [start for start in starts if start > now]
        for of, _ in pending.take(owners, {A: len(starts)}):
            starts.append(max([now, *done_at[-1:]]))
            done_at.append(starts[-1] + (fast_ms * 12.5 if of.urgent else slow_ms))
            sent[of.entry.name] += 1
    assert sent["slow"] > 0
    if fast_ms * 12.5 / 31.25 + slow_ms / 125 < 0.9:  # carried: all is sent
        assert sent["fast"] >= 952
        assert sent["slow"] >= 235
    assert sent["fast"] >= min(
        940, 2.9 * sent["slow"]
    )  # so slow ones come last, unless the fast ones are nearly all sent


def test_of_two_kinds_that_always_wait_every_fourth_slice_is_not_urgent() -> None:
    owners = dict.fromkeys(SYMBOLS, A)
    pending = PendingSlices()
    fast, slow = cycle(SYMBOLS, 2, limit=2), cycle(SYMBOLS, 2, limit=2, urgent=False)
    sent = []
    for _ in range(40):
        for phase in range(2):
            pending.add(fast, phase, owners)
            pending.add(slow, phase, owners)
        sent += [of.entry.name for of, _ in pending.take(owners, {A: 2})]
    assert sent == ["fast", "fast", "fast", "slow"] * 10


def test_entries_of_one_urgency_are_each_sent_in_turn() -> None:
    owners = dict.fromkeys(SYMBOLS, A)
    pending = PendingSlices()
    fast, other = cycle(SYMBOLS, 2, limit=2), cycle(SYMBOLS, 2, limit=2, name="other")
    sent = []
    for _ in range(4):
        for phase in range(2):
            pending.add(fast, phase, owners)
            pending.add(other, phase, owners)
        sent += [of.entry.name for of, _ in pending.take(owners, {A: 2})]
    assert sent == ["fast", "other", "fast", "other"]


def test_no_more_waits_at_a_node_than_its_slices_need() -> None:
    """However many messages a slice might be: those of one that waits while another is worked on, and no more."""
    owners = dict.fromkeys(SYMBOLS, A)
    pending, fast = PendingSlices(), cycle(SYMBOLS, 4)
    pending.add(fast, 0, owners)
    pending.add(fast, 1, owners)
    assert pending.take(owners, {A: 3}) == []
    assert [list(message.symbols) for _, message in pending.take(owners, {A: 2})] == [at(0, 4, SYMBOLS)]


def test_a_slice_that_does_not_fit_waits_and_goes_first_later() -> None:
    few = [*[symbol for symbol in SYMBOLS if phase_of(symbol, 2) == 0][:3], "S1USDT"]
    assert phase_of("S1USDT", 2) == 1
    owners = dict.fromkeys(few, A)
    pending, fast = PendingSlices(), cycle(few, 2)
    pending.add(fast, 0, owners)
    assert taken(pending, owners, a=2) == []
    pending.add(fast, 1, owners)
    assert taken(pending, owners, a=1) == sorted(few[:3])
    assert taken(pending, owners, a=3) == []
    assert taken(pending, owners, a=1) == ["S1USDT"]


def test_what_waits_is_forgotten_once_its_node_is_gone_or_the_lead_is() -> None:
    pending, fast = PendingSlices(), cycle(["S1USDT", "S2USDT"], 1, limit=2)
    before, after = dict.fromkeys(["S1USDT", "S2USDT"], A), dict.fromkeys(["S1USDT", "S2USDT"], B)
    pending.add(fast, 0, before)
    assert taken(pending, after) == []  # a move is dispatched by itself
    assert pending.nodes() == []
    pending.add(fast, 0, after)
    pending.clear()
    assert pending.add(fast, 0, after) == 0
    assert taken(pending, after) == ["S1USDT", "S2USDT"]


def test_what_waits_goes_once_although_the_node_has_more_symbols_by_now_or_fewer() -> None:
    pending, fast = PendingSlices(), cycle(SYMBOLS, 4)
    many, few = dict.fromkeys(SYMBOLS, A), dict.fromkeys(SYMBOLS[:40], A)
    for phase in range(1, 4):
        pending.add(fast, phase, many)
    assert sorted(taken(pending, few)) == sorted(few)
    pending.add(fast, 0, few)
    assert taken(pending, many) == at(0, 4, SYMBOLS)
    assert pending.nodes() == []


def test_symbols_without_an_owner_do_not_wait() -> None:
    pending, fast = PendingSlices(), cycle(["S1USDT", "S2USDT"], 1, limit=2)
    assert pending.add(fast, 0, {}) == 0
    assert pending.take({}, {}) == []
    owners = {"S1USDT": A}
    pending.add(fast, 0, owners)
    assert taken(pending, owners) == ["S1USDT"]


def test_slices_that_go_together_keep_their_own_symbols_and_cycle() -> None:
    owners = {symbol: (A, B)[number % 2] for number, symbol in enumerate(SYMBOLS)}
    pending = PendingSlices()
    fast, slow = cycle(SYMBOLS, 4), cycle(SYMBOLS, 8, urgent=False)
    for of, phase in [(fast, 0), (fast, 1), (slow, 0), (slow, 1)]:
        pending.add(of, phase, owners)
    found = pending.take(owners, {A: -40, B: -40})  # room for all of them
    sent = {"fast": at(0, 4, SYMBOLS) + at(1, 4, SYMBOLS), "slow": at(0, 8, SYMBOLS) + at(1, 8, SYMBOLS)}
    for name, symbols in sent.items():
        assert sorted(s for of, m in found for s in m.symbols if of.entry.name == name) == sorted(symbols)
    assert all(owners[symbol] == message.owner for _, message in found for symbol in message.symbols)


def test_what_is_for_a_node_whose_queue_cannot_be_read_waits() -> None:
    owners = {symbol: (A, B)[number % 2] for number, symbol in enumerate(SYMBOLS)}
    pending, fast = PendingSlices(), cycle(SYMBOLS, 1)
    pending.add(fast, 0, owners)
    assert {message.owner for _, message in pending.take(owners, {A: 0})} == {A}
    assert pending.nodes() == [B]
    assert {message.owner for _, message in pending.take(owners, {B: 0})} == {B}


def test_owners_that_come_and_go_leave_nothing_behind() -> None:
    pending, fast = PendingSlices(), cycle(SYMBOLS, 1)
    sizes = []
    for number in range(100, 150):
        owners = dict.fromkeys(SYMBOLS, Owner("node-001", f"start-{number}"))
        pending.add(fast, 0, owners)
        pending.take(owners, dict.fromkeys(owners.values(), 0))
        sizes.append(len(pickle.dumps(pending)))
    assert pending.nodes() == []
    assert sizes[-1] == sizes[0]


@pytest.mark.parametrize("load", [0.8, 1.1, 2.0, 4.0])
@pytest.mark.parametrize("beats", [(0, 1, 2), (0, 0, 1)])
def test_shards_share_a_node_that_cannot_keep_up_equally(load: float, beats: tuple[int, ...]) -> None:
    """A node that needs ``load`` periods for all its symbols, and beats that poll every 25 ms; ``beats`` has each shard's."""
    shards = [[symbol for symbol in SYMBOLS if shard_of(symbol, len(beats)) == number] for number in range(len(beats))]
    cycles = [cycle(SYMBOLS, 4, shard=number, shards=len(shards)) for number in range(len(shards))]
    owners = dict.fromkeys(SYMBOLS, A)
    pending, queue = [PendingSlices() for _ in shards], deque[tuple[str, ...]]()
    served: Counter[str] = Counter()
    chance, polls, free_at = random.Random(7), [0.0, 8.0, 16.0], 0.0
    for now in range(30_000):
        while queue and free_at <= now:
            symbols = queue.popleft()
            free_at = max(free_at, now) + len(symbols) * load * 250 / len(SYMBOLS)
            served.update(symbols)
        phase, begins = divmod(now % 250 * 4, 250)
        for beat in set(beats):
            mine = [number for number, of in enumerate(beats) if of == beat]
            if begins < 4:
                for number in mine:
                    pending[number].add(cycles[number], phase, owners)
            if begins >= 4 and now < polls[beat]:
                continue
            polls[beat] = now + 25 + chance.random() * 3
            for number in mine:
                turn = now // TURN_MS % len(shards) == number
                taken = pending[number].take(owners, {A: len(queue)}, turn=turn)
                queue.extend(message.symbols for _, message in taken)
    rates = [sum(served[symbol] for symbol in symbols) / len(symbols) / 30 for symbols in shards]
    assert sum(rates) / len(rates) == pytest.approx(min(4, 4 / load), rel=0.1)
    assert max(rates) - min(rates) <= 0.1 * max(rates)
