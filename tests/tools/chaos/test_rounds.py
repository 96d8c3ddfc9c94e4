"""Which kinds of faults a campaign chooses, and how often."""

from __future__ import annotations

import random
from collections import Counter
from itertools import chain, islice

from tools.chaos.campaign import judge, parts, rounds
from tools.chaos.deployment import Topology
from tools.chaos.faults import BY_NAME, CHOSEN
from tools.chaos.history import Injected


def test_a_long_campaign_has_faults_of_all_kinds_and_a_few_of_the_rare_ones() -> None:
    rare = [name for name in CHOSEN if BY_NAME[name].every_nth_round > 1]
    chosen = Counter(islice(rounds((), random.Random(1)), 8 * len(CHOSEN)))
    assert "node-flap" in rare
    assert set(chosen) == set(CHOSEN)
    assert all(2 <= chosen[name] <= 4 for name in rare)
    assert all(chosen[name] >= 7 for name in CHOSEN if name not in rare)


def test_kinds_that_are_asked_for_are_in_every_round() -> None:
    only = ("node-flap", "node-kill")
    assert Counter(islice(rounds(only, random.Random(1)), 6)) == dict.fromkeys(only, 3)


def test_recorders_are_hit_only_where_there_are_some() -> None:
    recorded = {"recorder-kill", "recorders-kill", "recorder-freeze"}
    assert recorded.isdisjoint(chain(*parts().values()))
    assert recorded < set(parts(record=True)[Topology.SINGLE])


def test_the_same_seed_gives_the_same_order() -> None:
    first, second = (list(islice(rounds((), random.Random(7)), 100)) for _ in range(2))
    assert first == second


def test_what_follows_from_a_fault_is_no_fault_of_its_own() -> None:
    outcome = judge([Injected(1.0, kind, (), 1.0, 2.0) for kind in ("node-kill", "node-join", "node-kill")])
    assert (outcome.chosen, outcome.faults.total()) == (2, 3)
