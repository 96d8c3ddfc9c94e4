"""Which node a worker is, and which messages it acts on."""

from __future__ import annotations

import pytest

from tasks.celery_app import app
from tasks.lifecycle import choose_node_id, this_node
from tasks.node import Node
from tickfence.coordination.dispatch import ALONE, Dispatch
from tickfence.coordination.owner import Owner
from tickfence.settings import BadSetting, Settings


def settings(**variables: str) -> Settings:
    return Settings.from_environment(variables)


@pytest.mark.parametrize(
    ("variable", "queues", "chosen"),
    [
        ("", ["node-001"], "node-001"),
        ("node-001", [], "node-001"),
        ("node-001", ["node-001"], "node-001"),
        ("node-001", ["other", "node-001"], "node-001"),
        ("", ["A.b_c-9"], "A.b_c-9"),
    ],
)
def test_the_variable_or_else_the_queue_names_the_node(variable: str, queues: list[str], chosen: str) -> None:
    assert choose_node_id(queues, settings(NT_NODE_ID=variable)) == chosen


@pytest.mark.parametrize(
    ("variable", "queues", "said"),
    [
        ("", [], "or set NT_NODE_ID"),
        ("", ["a", "b"], "-Q 'a,b' must name one queue"),
        ("node-001", ["node-002"], "NT_NODE_ID=node-001: -Q node-002 must name that queue"),
        ("", ["bad/name"], r"bad/name.*must match \[A-Za-z0-9._-\]\{1,64\}"),
        ("", ["x" * 65], r"must match \[A-Za-z0-9._-\]\{1,64\}"),
    ],
)
def test_what_does_not_name_one_node_is_refused_in_one_line(variable: str, queues: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said) as refusal:
        choose_node_id(queues, settings(NT_NODE_ID=variable))
    assert "\n" not in str(refusal.value)


def test_a_variable_that_is_no_node_id_is_refused_by_the_settings() -> None:
    with pytest.raises(BadSetting, match="NT_NODE_ID=a/b: must match"):
        settings(NT_NODE_ID="a/b")


def test_a_nodes_queue_keeps_nothing_that_was_delivered() -> None:
    assert app.amqp.perishable_queue("node-001").no_ack is True


def test_outside_a_worker_there_is_no_node() -> None:
    with pytest.raises(RuntimeError, match="celery -A tasks worker"):
        this_node()


class TestRefusal:
    """Dispatches to ``node-001``, judged by its own clock as long as it has seen no server."""

    @pytest.fixture
    def node(self) -> Node:
        return Node(settings(), "node-001")

    @staticmethod
    def dispatch(node: Node, *, owner: str | None = None, term: int = 5, age_ms: int = 0) -> Dispatch:
        return Dispatch(str(node.owner) if owner is None else owner, 1, term, node.clock.now_ms() - age_ms)

    def test_a_dispatch_for_it_and_for_now_is_acted_on(self, node: Node) -> None:
        assert node.refusal(self.dispatch(node), 250) is None
        assert node.refusal(self.dispatch(node, age_ms=200), 10_000) is None

    def test_another_start_of_the_same_node_is_another_owner(self, node: Node) -> None:
        assert node.refusal(self.dispatch(node, owner=str(Owner.start("node-001"))), 250) == "other owner"
        assert node.refusal(self.dispatch(node, owner=str(Owner(ALONE, ALONE))), 250) == "other owner"
        assert node.refusal(self.dispatch(node, owner=""), 250) == "other owner"

    def test_a_dispatch_past_its_cycle_is_late(self, node: Node) -> None:
        assert node.refusal(self.dispatch(node, age_ms=10_001), 10_000) == "late"

    def test_a_dispatcher_that_was_followed_by_another_is_not_listened_to(self, node: Node) -> None:
        assert node.refusal(self.dispatch(node, term=5), 250) is None
        assert node.refusal(self.dispatch(node, term=6), 250) is None
        assert node.refusal(self.dispatch(node, term=5), 250) == "old term"
        assert node.refusal(self.dispatch(node, term=6), 250) is None

    def test_each_shard_of_dispatch_has_terms_of_its_own(self, node: Node) -> None:
        other = Dispatch(*self.dispatch(node, term=9).to_message(), shard=2)
        assert node.refusal(other, 250) is None
        assert node.refusal(self.dispatch(node, term=5), 250) is None
        assert node.refusal(other._replace(term=8), 250) == "old term"
        assert node.refusal(self.dispatch(node, term=4), 250) == "old term"

    def test_the_term_of_a_dispatch_for_others_does_not_count(self, node: Node) -> None:
        assert node.refusal(self.dispatch(node, owner="x/y", term=9), 250) == "other owner"
        assert node.refusal(self.dispatch(node, term=5), 250) is None

    def test_alone_it_is_the_only_owner_and_terms_do_not_matter(self) -> None:
        node = Node(settings(NT_ENABLE_MULTI_INSTANCE="false"), "node-001")
        only = str(Owner(ALONE, ALONE))
        assert node.refusal(self.dispatch(node, owner=only), 250) is None
        assert node.refusal(self.dispatch(node, owner=only, term=0), 250) is None
        assert node.refusal(self.dispatch(node), 250) == "other owner"
        assert node.refusal(self.dispatch(node, owner=only, age_ms=10_001), 10_000) == "late"


def test_the_metrics_page_is_named_after_the_node() -> None:
    node = Node(settings(), "node-001")
    assert node.assigned() == 0
    assert node.owner.node == "node-001"
    assert Node(settings(), "node-001").owner != node.owner
