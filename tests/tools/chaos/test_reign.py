"""Which server is the master, as far as it shows."""

from __future__ import annotations

from tools.chaos.reign import Reign


def test_the_first_that_accepts_a_write_is_the_master() -> None:
    reign = Reign()
    assert reign.accepted("a")
    assert not reign.accepted("b")
    assert reign.accepted("a")


def test_a_replica_that_accepts_a_write_was_promoted_and_the_old_master_counts_no_more() -> None:
    reign = Reign()
    reign.accepted("a")
    reign.replicated("b")
    assert reign.accepted("b")
    assert not reign.accepted("a")
    assert reign.accepted("b")


def test_the_old_master_counts_again_when_it_was_a_replica_and_is_promoted() -> None:
    reign = Reign()
    reign.accepted("a")
    reign.replicated("b")
    reign.accepted("b")
    reign.replicated("a")
    assert reign.accepted("b")
    assert reign.accepted("a")
    assert not reign.accepted("b")


def test_a_promotion_that_was_seen_counts_before_the_first_write() -> None:
    reign = Reign()
    reign.accepted("a")
    reign.replicated("b")
    reign.promoted("b")
    assert not reign.accepted("a")
    assert reign.accepted("b")


def test_what_a_new_master_replicated_a_moment_ago_does_not_make_it_a_replica() -> None:
    reign = Reign()
    reign.accepted("a")
    reign.promoted("b")
    reign.replicated("b")
    reign.replicated("a")
    assert reign.accepted("a")
    assert not reign.accepted("b")
