"""From an assignment to messages."""

from __future__ import annotations

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from beat_schedule.schedule import FAST_CYCLE, SLOW_CYCLE, entries
from beat_schedule.slices import OF_THEIR_OWN, SYMBOLS_A_MESSAGE, fan_out
from tickfence.coordination.owner import Owner
from tickfence.settings import Settings

owners = st.sampled_from([Owner(f"node-{i}", "a") for i in range(4)])
assignments = st.dictionaries(st.integers(0, 999).map(lambda i: f"S{i}USDT"), owners, max_size=300)
limits = st.integers(1, 40)


@given(assignments, limits)
def test_every_symbol_goes_once_to_its_owner_in_few_even_messages(assignment: dict[str, Owner], limit: int) -> None:
    messages = fan_out(assignment, limit)
    assert {s: m.owner for m in messages for s in m.symbols} == assignment
    assert sum(len(m.symbols) for m in messages) == len(assignment)
    held, sent = Counter(assignment.values()), Counter(m.owner for m in messages)
    for owner, count in held.items():
        sizes = [len(m.symbols) for m in messages if m.owner == owner]
        few = len(assignment) <= OF_THEIR_OWN
        assert sent[owner] == min(limit, count if few else math.ceil(count / SYMBOLS_A_MESSAGE))
        assert max(sizes) - min(sizes) <= 1
    assert fan_out(dict(reversed(assignment.items())), limit) == messages


def test_the_schedule_is_a_plain_dict_of_both_cycles() -> None:
    schedule = entries(Settings.from_environment({"NT_REPORT_PERIOD_MS": "100", "NT_SLOW_PERIOD_MS": "900"}))
    assert {name: (e["task"], e["schedule"].period_ms) for name, e in schedule.items()} == {
        FAST_CYCLE: ("tasks.fast_cycle", 100),
        SLOW_CYCLE: ("tasks.slow_cycle", 900),
    }


def test_alone_the_schedule_is_the_same_and_without_reports_it_is_empty() -> None:
    assert entries(Settings.from_environment({"NT_ENABLE_MULTI_INSTANCE": "false"})).keys() == {FAST_CYCLE, SLOW_CYCLE}
    assert entries(Settings.from_environment({"NT_ENABLE_KV_REPORTS": "false"})) == {}
