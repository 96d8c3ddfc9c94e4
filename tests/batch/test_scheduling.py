"""Which worker gets which partition, and when one is sent again."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tickfence.batch.job import Done, Failed
from tickfence.batch.scheduling import AHEAD, ATTEMPTS, LOST_AFTER_S, NO_PROGRESS_S, Scheduler, Seen, Sent, Verdict
from tickfence.coordination.lease import LeaseRecord
from tickfence.coordination.membership import NodeRecord
from tickfence.coordination.owner import Owner

ONE, TWO, THREE = (Owner(f"node-00{n}.batch", str(n)) for n in (1, 2, 3))
NOBODY = Seen()


def worker(owner: Owner, **known: Any) -> NodeRecord:
    return NodeRecord(owner, 1, **known)


class Command:
    """A scheduler and the time; what is not said of a partition is as at the beginning."""

    def __init__(self, *names: str) -> None:
        self.scheduler = Scheduler(names, silent_s=2.0)
        self.now_s = 100.0

    def assign(self, *owners: Owner) -> dict[str, Sent]:
        return dict(self.scheduler.assign([worker(owner) for owner in owners], self.now_s, 1_000))

    def look(self, seen: dict[str, Seen], *workers: NodeRecord, after_s: float = 0.25) -> list[Verdict]:
        self.now_s += after_s
        return list(self.scheduler.look(seen, workers, self.now_s))


def held(sent: Sent, by: Owner | None = None, until_ms: int = 1) -> Seen:
    owner = sent.owner if by is None else by
    return Seen(None, LeaseRecord(str(owner), owner.node, 1, sent.generation, 1, 0, until_ms))


def test_each_worker_has_one_partition_and_the_next_and_none_more() -> None:
    command = Command(*map(str, range(12)))
    sent = command.assign(ONE, TWO, THREE)
    assert Counter(one.owner for one in sent.values()) == dict.fromkeys((ONE, TWO, THREE), AHEAD)
    assert command.assign(ONE, TWO, THREE) == {}
    name = next(iter(sent))
    command.look({name: Seen(Done("f", 1))}, *map(worker, (ONE, TWO, THREE)))
    again = command.assign(ONE, TWO, THREE)
    assert [one.owner for one in again.values()] == [sent[name].owner]


def test_the_same_partitions_go_to_the_same_workers_whoever_asks() -> None:
    first, second = (Command("a", "b", "c", "d").assign(ONE, TWO) for _ in range(2))
    assert first == second


def test_a_message_that_an_idle_worker_has_not_taken_is_sent_again_in_a_newer_generation() -> None:
    command = Command("a")
    [before] = command.assign(ONE).values()
    command.look({"a": NOBODY}, worker(ONE))
    command.look({"a": NOBODY}, worker(ONE, working="b"), after_s=LOST_AFTER_S)
    assert command.assign(ONE) == {}, "it waits behind another partition"
    command.look({"a": NOBODY}, worker(ONE), after_s=LOST_AFTER_S)
    [again] = command.assign(ONE).values()
    assert again.generation > before.generation


def test_a_partition_of_a_dead_worker_goes_to_another_and_costs_an_attempt() -> None:
    command = Command("a")
    [sent] = command.assign(ONE).values()
    assert command.look({"a": held(sent)}, worker(ONE)) == []
    assert command.look({"a": held(sent)}, worker(TWO), after_s=1.9) == [], "Redis's clock may have stepped"
    [verdict] = command.look({"a": held(sent)}, worker(TWO), after_s=0.2)
    assert verdict == Verdict("a", str(ONE), sent.generation, "its worker node-001.batch died", 1)
    command.scheduler.take("a", Failed(sent.generation + 1, 1, verdict.reason, 0), command.now_s)
    assert command.assign(TWO) == {}, "not at once"
    command.now_s += 60
    assert command.assign(TWO)["a"].generation > sent.generation + 1


def test_a_worker_that_was_started_again_is_known_at_once_to_be_dead() -> None:
    command = Command("a", "b")
    sent = command.assign(ONE)
    again = Owner(ONE.node, "later")
    [verdict] = command.look({"a": held(sent["a"]), "b": NOBODY}, worker(again))
    assert verdict.name == "a"
    assert command.assign(again)["b"].owner == again, "its message is sent again, at no cost"


def test_a_worker_that_lives_and_does_not_renew_makes_no_progress() -> None:
    command = Command("a")
    [sent] = command.assign(ONE).values()
    for until_ms in range(5):
        assert command.look({"a": held(sent, until_ms=until_ms)}, worker(ONE), after_s=NO_PROGRESS_S - 1) == []
    [verdict] = command.look({"a": held(sent, until_ms=4)}, worker(ONE), after_s=NO_PROGRESS_S + 1)
    assert "made no progress" in verdict.reason


def test_what_a_worker_gives_back_is_sent_at_once() -> None:
    command = Command("a")
    [sent] = command.assign(ONE).values()
    given_back = Seen(None, LeaseRecord("", ONE.node, 1, sent.generation, 1))
    assert command.look({"a": given_back}, worker(TWO)) == []
    assert command.assign(TWO)["a"].owner == TWO


def test_an_idle_worker_gets_what_waits_for_a_busy_one_in_the_same_generation() -> None:
    command = Command("a", "b")
    sent = command.assign(ONE)
    command.look({"a": held(sent["a"]), "b": NOBODY}, worker(ONE, working="a"), worker(TWO))
    assert command.assign(ONE, TWO) == {"b": Sent(TWO, sent["b"].generation)}
    assert command.assign(ONE, TWO) == {}
    assert command.look({"b": held(sent["b"], by=ONE)}, worker(ONE), worker(TWO)) == [], "whoever begins first has it"
    assert command.scheduler.units["b"].running == ONE


@pytest.mark.parametrize("resumed", [False, True])
def test_what_fails_again_and_again_is_set_aside_until_the_job_is_resumed(resumed: bool) -> None:
    command = Command("a", "b")
    for attempt in range(1, ATTEMPTS + 1):
        assert "a" not in command.scheduler.set_aside
        command.now_s += 60
        generation = command.assign(ONE)["a"].generation
        command.look({"a": Seen(Failed(generation, attempt, "why", 0))}, worker(ONE))
        if attempt == 1:
            command.scheduler.take("b", Done("f", 1), command.now_s)
    assert command.scheduler.over
    assert command.scheduler.set_aside["a"].reason == "why"
    if resumed:
        again = Command("a", "b")
        again.scheduler.begin("a", Seen(command.scheduler.set_aside["a"]), None, 0.0)
        again.scheduler.begin("b", Seen(Done("f", 1)), None, 0.0)
        assert again.assign(ONE).keys() == {"a"}


def test_a_command_that_goes_on_waits_for_what_was_sent_before() -> None:
    command = Command("a", "b")
    command.scheduler.begin("a", Seen(), Sent(ONE, 9_000), command.now_s)
    command.scheduler.begin("b", held(Sent(TWO, 8_000)), Sent(TWO, 8_000), command.now_s)
    assert command.look({"a": NOBODY, "b": held(Sent(TWO, 8_000))}, worker(ONE, working="x"), worker(TWO)) == []
    assert command.assign(ONE, TWO) == {}
    assert command.scheduler.outstanding == ["a", "b"]
